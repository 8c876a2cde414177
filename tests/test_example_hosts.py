"""The example hosts: each runs as its author would start it, and what it fires arrives."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from counting import Counting, Heard, counting

from hookplugin import Alert, Host

EXAMPLES = Path(__file__).parent / "examples"
BIN = Path(sys.executable).parent
PATIENCE = 60.0  # seconds until a test gives up; nothing waits that long

# Two alerts at a time: a host that stops its program while it is called never comes to the second.
TOGETHER = """
    import os, threading
    from hookplugin import hookimpl

    two = threading.Barrier(2, timeout=30)


    @hookimpl
    def alert_fired(alert):
        two.wait()
        os.write(1, b"together\\n")
"""

# A program whose loop is blocked by the call would not answer.
ASKS = """
    import urllib.request
    from pathlib import Path
    from hookplugin import hookimpl


    @hookimpl
    def alert_fired(alert):
        with urllib.request.urlopen(Path("url.txt").read_text(), timeout=30) as answer:
            Path("answer.txt").write_bytes(answer.read())
"""

LOOKS = """
    import os, threading
    from hookplugin import hookimpl

    os.register_at_fork(before=lambda: print("threads", threading.active_count(), flush=True))


    @hookimpl
    def alert_shutdown():
        pass
"""


@pytest.fixture
def receiver() -> Iterator[Counting]:
    with counting() as found:
        yield found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)


def printed_by(name: str, *arguments: str, folder: Path) -> list[str]:
    """Run an example to its end; return the lines that it has printed."""
    done = run(name, *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@contextmanager
def serving(folder: Path, *command: str, ready: str) -> Iterator[str]:
    """Start a server in a folder and wait until it says where it listens; at the end, it must end as it is told."""
    with subprocess.Popen([BIN / command[0], *command[1:]], cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        guard = threading.Timer(PATIENCE, server.kill)
        guard.start()
        try:
            assert server.stderr
            said = []
            for line in server.stderr:
                said.append(line)
                if found := re.search(ready, line):
                    (folder / "url.txt").write_text(f"{found[1]}/prices/1", encoding="utf-8")
                    yield found[1]
                    break
            server.terminate()
            said += server.stderr
            assert server.wait() in {0, -signal.SIGTERM}, "".join(said)  # uvicorn dies of it when all is done
        finally:
            guard.cancel()
            server.kill()


def ask(url: str, method: str = "GET") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def sharing(folder: Path, receiver: Counting) -> dict[str, Any]:
    """Return a configuration with the outbox of an example that runs in a folder."""
    return {
        "outbox": f"sqlite:///{folder}/outbox.db",
        "receivers": [{"name": "ops", "url": receiver.url}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
    }


def alerts(receiver: Counting) -> list[dict[str, Any]]:
    """Return what arrived; each came once."""
    assert len({one.id for one in receiver.heard}) == len(receiver.heard)
    assert {one.status for one in receiver.heard} <= {204}
    return [json.loads(one.body) for one in receiver.heard]


def test_threads_fire_at_the_same_time(receiver: Counting, tmp_path: Path, install: Callable[..., None]) -> None:
    install("together", TOGETHER)
    missing = [f"{tmp_path}/{number}" for number in range(40)]
    printed = printed_by("host_threads.py", receiver.url, *missing, str(tmp_path), folder=tmp_path)
    assert printed == ["together"] * 40
    assert sorted(one["target"] for one in alerts(receiver)) == sorted(missing)


def test_a_loop_goes_on_while_alerts_are_fired(
    receiver: Counting, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("together", TOGETHER)
    with socket.create_server(("127.0.0.1", 0)) as alive, socket.socket() as one, socket.socket() as other:
        for dead in (one, other):
            dead.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (alive, one, other)]
        printed = printed_by("host_asyncio.py", receiver.url, *addresses, folder=tmp_path)
    assert printed == ["together"] * 2
    assert sorted(one["target"] for one in alerts(receiver)) == sorted(addresses[1:])


def test_forked_workers_fire_and_no_thread_is_there_before_the_forks(
    receiver: Counting, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("looks", LOOKS)
    printed = [line.split() for line in printed_by("host_forking.py", receiver.url, folder=tmp_path)]
    threads, workers = printed[:4], printed[4:]
    assert threads == [["threads", "1"]] * 4
    assert [code for _, code in workers] == ["0"] * 4
    arrived = {one["target"]: one["tags"]["pid"] for one in alerts(receiver)}
    assert arrived == {f"{number}": int(pid) for number, (pid, _) in enumerate(workers)}
    assert len(receiver.heard) == 4


def test_what_workers_have_fired_that_are_killed_arrives_under_its_ids(tmp_path: Path) -> None:
    killed = threading.Event()

    def answer(_: Heard) -> int:
        killed.wait(PATIENCE)
        return 204

    with (
        counting(answer) as receiver,
        subprocess.Popen(
            [sys.executable, EXAMPLES / "host_forking.py", receiver.url],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program,
    ):
        try:
            until(lambda: len(receiver.heard) == 4)
            fired = {one.id: one.body for one in receiver.heard}
            workers = [json.loads(body)["tags"]["pid"] for body in fired.values()]
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            killed.set()
            printed, errors = program.communicate(timeout=PATIENCE)
        finally:
            killed.set()
            program.kill()
        assert (program.returncode, errors) == (0, "")
        assert sorted(printed.splitlines()) == sorted(f"{worker} -9" for worker in workers)
        assert len(fired) == 4
        assert {one.id: one.body for one in receiver.heard} == fired
        requests = len(receiver.heard)
        with Host(sharing(tmp_path, receiver)) as later:
            assert later.close() == 0
        assert len(receiver.heard) == requests


@pytest.fixture
def shop(receiver: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to run the shops in, with an alert in the outbox that an earlier process has left."""
    monkeypatch.setenv("OPS_URL", receiver.url)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES), prepend=os.pathsep)
    (tmp_path / "shop.toml").write_bytes((EXAMPLES / "shop.toml").read_bytes())
    with Host(sharing(tmp_path, receiver), dispatch=False) as earlier:
        assert earlier.fire(Alert(content="left")).durable
    return tmp_path


def test_a_fastapi_application_tells_of_complaints_and_errors_and_its_loop_goes_on(
    shop: Path, receiver: Counting, install: Callable[..., None]
) -> None:
    install("asks", ASKS)
    with serving(shop, "uvicorn", "--port=0", "host_fastapi:app", ready=r"running on (http://\S+)") as url:
        until(lambda: receiver.heard)
        assert ask(f"{url}/complaints?text=too%20dear", "POST") == (202, "true")
        assert (shop / "answer.txt").read_text("utf-8") == '"5 EUR"'
        (shop / "answer.txt").unlink()
        assert ask(f"{url}/prices/7") == (500, '{"detail":"somebody has been told"}')
        assert (shop / "answer.txt").read_text("utf-8") == '"5 EUR"'
    left, *fired = alerts(receiver)
    assert left["content"] == "left"
    error, complaint = sorted(fired, key=itemgetter("content"))
    assert (error["content"], error["target"], error["tags"]) == ("KeyError: 7", "/prices/7", {"app": "shop"})
    assert (complaint["content"], complaint["tags"]) == ("too dear", {})


def test_a_mistake_in_the_settings_of_the_fastapi_application_is_told_and_no_address_is_quoted(shop: Path) -> None:
    settings = (shop / "shop.toml").read_text("utf-8")
    for right, wrong in (('name = "ops"', 'nmae = "ops"'), ('{ env = "OPS_URL" }', '"https://example.com/S3CR3T"')):
        assert right in settings
        settings = settings.replace(right, wrong)
    (shop / "shop.toml").write_text(settings, encoding="utf-8")
    done = run("host_fastapi.py", folder=shop)
    assert done.returncode == 1
    assert "alerts.receivers.0.name\n" in done.stderr
    assert "alerts.receivers.0.nmae\n" in done.stderr
    assert "S3CR3T" not in done.stderr


def test_workers_of_a_flask_application_that_was_loaded_before_they_were_forked_tell_of_errors(
    shop: Path, receiver: Counting
) -> None:
    with serving(
        shop, "gunicorn", f"--config={EXAMPLES}/gunicorn.conf.py", "--bind=127.0.0.1:0", ready=r"at: (http://\S+)"
    ) as url:
        until(lambda: receiver.heard)
        assert ask(f"{url}/prices/1") == (200, "5 EUR")
        for number in range(2, 22):
            assert ask(f"{url}/prices/{number}")[0] == 500
    left, *errors = alerts(receiver)
    assert left["content"] == "left"
    assert sorted(one["target"] for one in errors) == sorted(f"/prices/{number}" for number in range(2, 22))
    assert {(one["content"].split(":")[0], one["tags"]["app"]) for one in errors} == {("KeyError", "host_flask")}


def test_each_flask_application_has_a_host_with_the_configuration_that_it_was_made_with(receiver: Counting) -> None:
    create_app = runpy.run_path(str(EXAMPLES / "host_flask.py"))["create_app"]
    strategies = [{"name": "all", "receivers": ["ops"], "match_all": True}]
    receivers = [{"name": "ops", "url": f"{receiver.url}/{name}"} for name in ("one", "two")]
    apps = [create_app({"HOOKPLUGIN": {"receivers": [one], "strategies": strategies}}) for one in receivers]
    for app in apps:
        assert app.test_client().get("/prices/7").status_code == 500
        assert app.extensions["hookplugin"].close() == 0
    assert [one.path for one in receiver.heard] == ["/one", "/two"]
