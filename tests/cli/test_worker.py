"""`hookplugin worker`: delivers what waits, until it is told to end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest
from commands import PATIENCE, working
from pytest_httpserver import HTTPServer
from storing import accept
from werkzeug import Request, Response

from hookplugin.outbox.store import Store
from hookspecs import Alert, Delivery

Run = Callable[..., subprocess.CompletedProcess[str]]
Arrivals = SimpleQueue[tuple[str, str]]

BEGUN = "hookplugin.yaml: delivering what waits; SIGHUP reloads, SIGTERM ends\n"


@pytest.fixture
def leave(tmp_path: Path) -> Callable[..., None]:
    """Store a delivery as another process does that has no time left to make it."""

    def leave_delivery(content: str, receiver: str = "ops") -> None:
        store = Store(f"sqlite:///{tmp_path}/outbox.db")
        accept(store, Delivery(id=content, alert=Alert(content=content), receiver=receiver, body="hertzbeat"))
        store.close()

    return leave_delivery


def test_a_worker_delivers_what_others_leave_and_reloads_what_is_right(
    configure: Callable[..., None],
    leave: Callable[..., None],
    arrivals: Arrivals,
    httpserver: HTTPServer,
    tmp_path: Path,
) -> None:
    path = tmp_path / "hookplugin.yaml"
    configure({"ops": httpserver.url_for("/one")})
    first = path.read_text(encoding="utf-8")
    leave("left before")
    with working(tmp_path) as worker:
        assert worker.stdout
        assert worker.stderr
        assert worker.stdout.readline() == BEGUN
        assert arrivals.get(timeout=PATIENCE) == ("/one", "left before")
        leave("left meanwhile")
        assert arrivals.get(timeout=PATIENCE) == ("/one", "left meanwhile")

        path.write_text(first.replace("/one", "/two"), encoding="utf-8")
        worker.send_signal(signal.SIGHUP)
        assert worker.stderr.readline() == "hookplugin: the configuration was reloaded\n"
        leave("after a reload")
        assert arrivals.get(timeout=PATIENCE) == ("/two", "after a reload")

        kept = "hookplugin: the configuration is wrong, the one before is kept:\n"
        path.write_text("receivers: []\nstrategies:\n  - {name: all, receivers: [ops]}\n", encoding="utf-8")
        worker.send_signal(signal.SIGHUP)
        assert worker.stderr.readline() == kept
        assert (
            worker.stderr.readline() == f"{path}:3: strategies[0].receivers[0]: unknown receiver 'ops'; there is none\n"
        )

        path.write_text(first.replace("outbox.db", "other.db"), encoding="utf-8")
        worker.send_signal(signal.SIGHUP)
        assert worker.stderr.readline() == kept
        assert worker.stderr.readline() == f"{path}:1: outbox: cannot change while the host runs; start it anew\n"

        path.unlink()
        worker.send_signal(signal.SIGHUP)
        assert worker.stderr.readline() == kept
        assert worker.stderr.readline() == f"{path}: cannot be read: No such file or directory\n"
        leave("after mistakes")
        assert arrivals.get(timeout=PATIENCE) == ("/two", "after mistakes")

        worker.send_signal(signal.SIGTERM)
        assert worker.communicate() == ("", "")
        assert worker.returncode == 0
    assert arrivals.empty()
    assert not (tmp_path / "other.db").exists()


def test_a_log_for_machines_has_one_line_an_event_with_the_delivery(
    configure: Callable[..., None], leave: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request("/no").respond_with_data("no such hook", status=404)
    configure({"ops": httpserver.url_for("/no")})
    leave("one")
    with working(tmp_path, "--log-format", "json") as worker:
        assert worker.stderr
        told = json.loads(worker.stderr.readline())
        assert (told["level"], told["delivery"], told["receiver"]) == ("warning", "one", "ops")
        assert told["msg"] == "delivery one to 'ops': dead, client_error, 404: no such hook"
        (tmp_path / "hookplugin.yaml").write_text("nonsense: 1\nmore: 2\n", encoding="utf-8")
        worker.send_signal(signal.SIGHUP)
        assert len(json.loads(worker.stderr.readline())["msg"].splitlines()) == 3
        worker.send_signal(signal.SIGTERM)
        _, rest = worker.communicate()
        assert rest == ""


def test_signals_in_quick_succession_are_all_heard_and_the_last_ends_the_worker(
    configure: Callable[..., None], tmp_path: Path
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with ExitStack() as stack:
        workers = [stack.enter_context(working(tmp_path)) for _ in range(5)]
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == BEGUN
        for worker in workers:
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                worker.send_signal(number)
        for worker in workers:
            output, log = worker.communicate()
            assert (worker.returncode, output) == (0, "")
            assert set(log.splitlines()) == {"hookplugin: the configuration was reloaded"}


def test_a_worker_takes_over_what_a_process_had_on_the_wire_when_it_was_killed(
    configure: Callable[..., None],
    leave: Callable[..., None],
    arrivals: Arrivals,
    httpserver: HTTPServer,
    tmp_path: Path,
) -> None:
    command = [str(Path(sys.executable).with_name("hookplugin")), "fire"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure({"ops": f"http://127.0.0.1:{silent.getsockname()[1]}/"})
        path = tmp_path / "hookplugin.yaml"
        patient = path.read_text(encoding="utf-8").replace('"total": "2s"', '"total": "1m", "read": "1m"')
        path.write_text(patient, encoding="utf-8")
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path) as firing:
            assert firing.stdin
            firing.stdin.write(b'{"content": "on the wire"}')
            firing.stdin.close()
            silent.settimeout(PATIENCE)
            with silent.accept()[0]:  # it has claimed and is sending
                configure({"ops": httpserver.url_for("/one"), "dev": httpserver.url_for("/two")})
                with working(tmp_path) as worker:
                    leave("left", "dev")  # of which the other process knows nothing
                    assert arrivals.get(timeout=PATIENCE) == ("/two", "left")
                    assert arrivals.empty()  # the other process lives
                    firing.kill()
                    firing.wait()
                    assert arrivals.get(timeout=PATIENCE) == ("/one", "on the wire")
                    worker.send_signal(signal.SIGTERM)
                    assert worker.communicate() == (BEGUN, "")
    assert arrivals.empty()


def test_a_worker_that_is_told_to_end_makes_what_it_has_begun(
    configure: Callable[..., None], leave: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    begun, told = threading.Event(), threading.Event()

    def answer(_: Request) -> Response:
        begun.set()
        told.wait(PATIENCE)
        return Response(status=200)

    httpserver.expect_request("/slow").respond_with_handler(answer)
    configure({"ops": httpserver.url_for("/slow")})
    leave("slow")
    with working(tmp_path, "--json") as worker:
        assert begun.wait(PATIENCE)
        worker.send_signal(signal.SIGTERM)
        told.set()
        assert json.loads(worker.communicate()[0]) == {"left": 0}
        assert worker.returncode == 0
    store = Store(f"sqlite:///{tmp_path}/outbox.db")
    (outcome,) = store.outcomes(["slow"]).values()
    store.close()
    assert outcome
    assert outcome.state == "delivered"


def test_a_worker_delivers_what_processes_fire_that_do_not_dispatch(
    configure: Callable[..., None], run: Run, arrivals: Arrivals, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure({"ops": httpserver.url_for("/one")}, {"dispatch": False})
    assert run("fire", "--wait", "100ms", stdin=b'{"content": "before"}').returncode == 1
    assert arrivals.empty()
    with working(tmp_path) as worker:
        assert arrivals.get(timeout=PATIENCE) == ("/one", "before")
        done = run("fire", "--json", stdin=b'{"content": "beside"}')
        assert arrivals.get(timeout=PATIENCE) == ("/one", "beside")
        worker.send_signal(signal.SIGTERM)
        assert worker.communicate() == (BEGUN, "")
    assert (done.returncode, [one["state"] for one in json.loads(done.stdout)["deliveries"]]) == (0, ["delivered"])
    assert arrivals.empty()


def test_what_a_worker_could_not_deliver_yet_is_made_by_the_next_under_the_same_id(
    configure: Callable[..., None], leave: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    tried = threading.Event()

    def fail(_: Request) -> Response:
        tried.set()
        return Response(status=503)

    httpserver.expect_request("/down").respond_with_handler(fail)
    httpserver.expect_oneshot_request("/one").respond_with_data()
    configure({"ops": httpserver.url_for("/down")})
    leave("x")
    with working(tmp_path) as worker:
        assert tried.wait(PATIENCE)
        worker.send_signal(signal.SIGTERM)
        assert worker.communicate() == (f"{BEGUN}1 deliveries wait for the next start\n", "")
        assert worker.returncode == 0
    configure({"ops": httpserver.url_for("/one")})
    with working(tmp_path), httpserver.wait(timeout=PATIENCE) as waited:
        pass
    assert waited.result
    assert [(request.path, request.headers["webhook-id"]) for request, _ in httpserver.log] == [
        ("/down", "x"),
        ("/one", "x"),
    ]


def test_a_worker_has_nothing_to_do_without_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text("receivers: []\n", encoding="utf-8")
    done = run("worker", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0].startswith("the outbox is in memory, ")
