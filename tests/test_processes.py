"""Several processes on one outbox: what any of them accepts arrives once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from counting import Counting, Heard, counting

from hookplugin import Alert, Host
from hookplugin.outbox.opening import MEMORY

Config: TypeAlias = dict[str, Any]

WORKERS = 4
REQUESTS = 300
BIN = Path(sys.executable).parent

# The host is made before gunicorn forks.
APP = """
import json
import os
from pathlib import Path

from hookplugin import Alert, Host

host = Host(json.loads(Path("config.json").read_text("utf-8")))


def application(environ, start_response):
    text = environ["QUERY_STRING"]
    receipt = host.fire(Alert(content=text, target=text))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {receipt.durable} {len(receipt.accepted)}".encode()]
"""

# Children that live for a moment, as of a server that recycles its workers.
RECYCLES = """
import json, os, sys
from hookplugin import Alert, Host

config, made, ends = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
host = Host(config) if made == "before" else None
for life in range(int(sys.argv[4])):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    host = host or Host(config)
    for number in range(5):
        assert host.fire(Alert(content=f"{life}.{number}", target=f"{number}")).durable
    if ends == "normally":
        sys.exit()
    os._exit(0)
"""


@pytest.fixture
def receiver() -> Iterator[Counting]:
    with counting() as found:
        yield found


def configuration(outbox: str, receiver: Counting, **keys: object) -> Config:
    return {
        "outbox": outbox,
        "receivers": [{"name": "ops", "url": f"{receiver.url}/ops", **keys}],
        "strategies": [{"name": "all", "match_all": True, "receivers": ["ops"]}],
    }


@pytest.fixture
def config(receiver: Counting, tmp_path: Path) -> Config:
    return configuration(f"sqlite:///{tmp_path}/outbox.db", receiver)


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alerts(count: int) -> list[Alert]:
    return [Alert(content=f"{number}", target=f"{number}") for number in range(count)]


@contextmanager
def running(*command: str | Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process; one that is left at the end is killed."""
    with subprocess.Popen(
        list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Tell a process to end; return what it has said."""
    process.send_signal(number)
    said, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return said + errors


def test_under_gunicorn_with_preload_workers_deliver_everything_once_also_while_they_are_replaced(
    config: Config, receiver: Counting, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    command = (BIN / "gunicorn", "--preload", "--workers", f"{WORKERS}", "--bind", "127.0.0.1:0", "app:application")
    with running(*command, folder=tmp_path) as server, ThreadPoolExecutor(8) as threads:
        assert server.stderr
        url = next(found[1] for line in server.stderr if (found := re.search(r"Listening at: (\S+)", line)))
        fired = [f"{number}" for number in range(REQUESTS)]
        answers = threads.map(lambda text: _get(f"{url}/?{text}").split(), fired)
        first = [next(answers) for _ in range(REQUESTS // 2)]
        server.send_signal(signal.SIGHUP)
        workers, durable, accepted = zip(*first, *answers, strict=True)
        until(lambda: len(receiver.contents("/ops")) >= REQUESTS)
        said = ended(server)
    assert "Traceback" not in said
    assert len(set(workers)) > WORKERS
    assert (set(durable), set(accepted)) == ({"True"}, {"1"})
    assert sorted(receiver.contents("/ops")) == sorted(fired)
    assert len({one.id for one in receiver.heard}) == len(receiver.heard) == REQUESTS


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("end", ["normally", "at once"])
@pytest.mark.parametrize("made", ["before", "after"])
def test_hosts_that_live_for_a_moment_in_forked_processes_deliver_everything_in_the_end(
    made: str, end: str, config: Config, receiver: Counting, tmp_path: Path
) -> None:
    lives = 8
    with running(sys.executable, "-c", RECYCLES, json.dumps(config), made, end, f"{lives}", folder=tmp_path) as process:
        errors = process.communicate(timeout=60)[1]
        assert (process.returncode, errors) == (0, "")
    expected = sorted(f"{life}.{number}" for life in range(lives) for number in range(5))
    if end == "normally":
        assert sorted(receiver.contents("/ops")) == expected  # each has delivered its own, at its end
    with Host(config):
        until(lambda: set(receiver.contents("/ops")) == set(expected))
    ids = {one.id: one.contents for one in receiver.heard}
    assert sorted(text for texts in ids.values() for text in texts) == expected
    for number in range(5):
        assert [text for [text] in ids.values() if text.endswith(f".{number}")] == [
            f"{life}.{number}" for life in range(lives)
        ]


def test_what_a_process_without_dispatch_accepts_is_delivered_once_by_the_workers_that_share_the_file(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(counting(_slow))
        config = configuration(f"sqlite:///{tmp_path}/outbox.db", receiver, max_in_flight=2)
        host = stack.enter_context(Host({**config, "dispatch": False}))
        early = host.fire_all(alerts(50))
        assert early.durable
        assert set(host.wait(early, 0.3).values()) == {None}
        assert receiver.heard == []
        workers = [stack.enter_context(running_worker(config, name, tmp_path)) for name in ("one", "two")]
        late = host.fire_all([Alert(content=f"late {number}") for number in range(100)])
        for receipt in (early, late):
            assert {outcome and outcome.state for outcome in host.wait(receipt).values()} == {"delivered"}
        assert [ended(worker) for worker in workers] == ["", ""]
        assert host.close() == 0
        assert {one.headers["X-Worker"] for one in receiver.heard} == {"one", "two"}
        assert sorted(one.id for one in receiver.heard) == sorted((*early.accepted, *late.accepted))


def _slow(_: Heard) -> int:
    time.sleep(0.02)
    return 204


@contextmanager
def running_worker(config: Config, name: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a worker that says its name in a header, and wait until it delivers."""
    ours = {**config["receivers"][0], "headers": {"X-Worker": name}}
    file = folder / f"{name}.json"
    file.write_text(json.dumps({**config, "dispatch": False, "receivers": [ours]}), encoding="utf-8")
    with running(BIN / "hookplugin", "worker", "--config", file, folder=folder) as process:
        assert process.stdout
        assert "delivering what waits" in process.stdout.readline()
        yield process


def test_closing_delivers_what_is_due_and_leaves_what_waits_for_another_attempt_in_the_file(tmp_path: Path) -> None:
    well: list[Heard] = []
    with counting(lambda heard: 204 if heard.contents[0] != "0" or well else 503) as receiver:
        config = configuration(f"sqlite:///{tmp_path}/outbox.db", receiver)
        host = Host(config)
        host.fire_all(alerts(50))
        assert host.close(30) == 1
        assert sorted(receiver.contents("/ops")) == sorted(f"{number}" for number in range(1, 50))
        failed = [one.id for one in receiver.heard if one.status == 503]
        well += receiver.heard
        with Host(config):
            until(lambda: "0" in receiver.contents("/ops"))
        assert [one.id for one in receiver.heard if one.contents == ["0"]] == [*failed, failed[0]]


@pytest.mark.parametrize("recovers", [True, False])
def test_closing_without_a_file_goes_on_trying_until_the_time_is_over(*, recovers: bool) -> None:
    attempts: list[Heard] = []

    def answer(heard: Heard) -> int:
        attempts.append(heard)
        return 204 if recovers and len(attempts) > 1 else 503

    with counting(answer) as receiver:
        host = Host(configuration(MEMORY, receiver))
        host.fire(Alert(content="only"))
        began = time.monotonic()
        assert host.close(30 if recovers else 1.5) == (0 if recovers else 1)
        assert recovers or time.monotonic() - began >= 1.5
        assert [one.status for one in receiver.heard] == [503, 204 if recovers else 503]
