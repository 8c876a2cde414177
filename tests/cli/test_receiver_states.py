"""`hookplugin receiver pause`, `resume`, `enable`, and what `receiver list` says of receivers that are not well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from storing import accept
from werkzeug import Request, Response

from hookplugin.delivery.health import Health, write_health
from hookplugin.outbox.store import Store
from hookspecs import Alert, Delivery

Run = Callable[..., subprocess.CompletedProcess[str]]

WELL = {"paused": False, "gone": False, "failures": 0, "until": None}
PATIENCE = 30.0  # seconds until a test gives up; nothing waits that long


@contextmanager
def working(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a worker; one that hangs is killed."""
    command = [str(Path(sys.executable).with_name("hookplugin")), "worker"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            assert process.stdout
            assert process.stdout.readline()
            yield process
        finally:
            guard.cancel()
            process.kill()


def leave(folder: Path, content: str) -> None:
    """Store a delivery to `ops` as another process does."""
    with closing(Store(f"sqlite:///{folder}/outbox.db")) as store:
        accept(store, Delivery(id=content, alert=Alert(content=content), receiver="ops", body="hertzbeat"))


def suffer(folder: Path, health: Health) -> None:
    """Store what is the matter with a receiver."""
    with closing(Store(f"sqlite:///{folder}/outbox.db")) as store:
        (done,) = store.commit([lambda connection: write_health(connection, [health], store.now())])
        assert done.error is None


def listed(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("receiver", "list", "--json").stdout)
    return rows


def test_a_worker_that_runs_waits_while_a_receiver_is_paused_and_goes_on_when_it_is_resumed(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    arrived: SimpleQueue[str] = SimpleQueue()

    def answer(request: Request) -> Response:
        arrived.put(json.loads(request.get_data())["content"])
        return Response(status=200)

    httpserver.expect_request("/").respond_with_handler(answer)
    configure({"ops": httpserver.url_for("/")})
    with working(tmp_path) as worker:
        leave(tmp_path, "before")
        assert arrived.get(timeout=PATIENCE) == "before"
        paused = run("receiver", "pause", "ops")
        assert paused.stdout == "deliveries to 'ops' wait until `hookplugin receiver resume ops`\n"
        leave(tmp_path, "meanwhile")
        with pytest.raises(Empty):
            arrived.get(timeout=1)
        assert (listed(run)[0]["health"], paused.returncode) == ({**WELL, "paused": True}, 0)
        resumed = run("receiver", "resume", "ops", "--json")
        assert json.loads(resumed.stdout) == {"receiver": "ops", **WELL}
        assert arrived.get(timeout=PATIENCE) == "meanwhile"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait() == 0


def test_a_receiver_that_answered_410_hears_again_once_it_is_enabled_and_what_it_missed_is_replayed(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    httpserver.expect_ordered_request("/").respond_with_data(status=410)
    httpserver.expect_ordered_request("/").respond_with_data(status=200)
    httpserver.expect_ordered_request("/").respond_with_data(status=200)
    configure({"ops": httpserver.url_for("/")})
    for content in ("first", "second"):
        assert run("fire", stdin=json.dumps({"content": content}).encode()).returncode == 1
    assert len(httpserver.log) == 1
    assert listed(run)[0]["health"] == {**WELL, "gone": True}
    told = run("receiver", "list").stdout.splitlines()[-1]
    assert told == "ops: disabled, it answered 410, until `hookplugin receiver enable ops`"
    assert run("receiver", "resume", "ops").stdout.rstrip() == f"deliveries to 'ops' go on; {told[5:]}"

    replaying = "hookplugin deliveries replay --receiver ops --reason gone"
    assert run("receiver", "enable", "ops").stdout == f"'ops' is enabled; `{replaying}` sends what it has missed\n"
    assert listed(run)[0]["health"] == WELL
    again = run(*replaying.split()[1:], "--json")
    assert (again.returncode, json.loads(again.stdout)["replayed"]) == (0, 2)
    assert len(httpserver.log) == 3


def test_a_url_that_is_another_one_now_is_not_disabled(
    run: Run, configure: Callable[..., None], tmp_path: Path
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    suffer(tmp_path, Health("ops", gone="of another"))
    assert listed(run)[0]["health"] == WELL


@pytest.mark.parametrize(
    ("health", "told"),
    [
        (Health("ops", failures=3), "failures in a row: 3"),
        (Health("ops", failures=10, until=1e9), "failures in a row: 10, probed again at once"),
        (Health("ops", paused=True), "paused until `hookplugin receiver resume ops`"),
        (Health("ops"), None),
    ],
)
def test_a_list_says_what_is_the_matter(
    run: Run, configure: Callable[..., None], tmp_path: Path, health: Health, told: str | None
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    suffer(tmp_path, health)
    lines = run("receiver", "list").stdout.splitlines()
    assert lines[2:] == ([f"ops: {told}"] if told else [])


def test_a_list_makes_no_file_and_a_receiver_can_be_paused_before_the_first_start(
    run: Run, configure: Callable[..., None], tmp_path: Path
) -> None:
    configure({"on call": "http://127.0.0.1:9/"})
    assert "health" not in listed(run)[0]
    wrong = run("receiver", "pause", "oncall")
    assert (wrong.returncode, wrong.stderr) == (2, "unknown receiver 'oncall'; did you mean 'on call'?\n")
    assert [path.name for path in tmp_path.iterdir()] == ["hookplugin.yaml"]
    done = run("receiver", "pause", "on call")
    assert done.stdout == "deliveries to 'on call' wait until `hookplugin receiver resume 'on call'`\n"
    fired = json.loads(run("fire", "--wait", "0", "--json", stdin=b'{"content": "x"}').stdout)
    assert [(one["state"], one["receiver"]) for one in fired["deliveries"]] == [("pending", "on call")]


def test_a_receiver_that_only_the_outbox_knows_can_be_paused_although_the_configuration_is_wrong_elsewhere(
    run: Run, tmp_path: Path
) -> None:
    leave(tmp_path, "left")
    (tmp_path / "hookplugin.yaml").write_text("outbox: sqlite:///outbox.db\nreceivers: [{name: 5}, 7]\n", "utf-8")
    done = run("receiver", "pause", "ops", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"receiver": "ops", **WELL, "paused": True})
    assert json.loads(run("receiver", "pause", "dev", "--json").stdout) == {
        "errors": ["unknown receiver 'dev'; there is none"]
    }


@pytest.mark.parametrize("command", ["pause", "resume", "enable"])
def test_nobody_can_tell_the_process_that_holds_an_outbox_in_memory(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "hookplugin.yaml").write_text("receivers: [{name: ops, url: 'http://127.0.0.1:9/'}]\n", "utf-8")
    done = run("receiver", command, "ops")
    message = "the outbox is in memory: only the process that holds it could be told\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
