"""`hookplugin serve`: takes alerts by HTTP until it is told to end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import requests
from commands import PATIENCE
from pytest_httpserver import HTTPServer
from serving import ServeProcess, everything, request, serve_process

Run = Callable[..., subprocess.CompletedProcess[str]]
Configure = Callable[..., None]
Arrivals = SimpleQueue[tuple[str, str]]

TOKEN = {"Authorization": "Bearer T0KEN"}


def post(server: ServeProcess, content: str, headers: dict[str, str] | None = None) -> int:
    url = f"{server.url}/api/v1/alerts/json"
    return requests.post(url, json={"content": content}, headers=headers, timeout=PATIENCE).status_code


def test_alerts_are_taken_and_delivered_and_a_reload_counts_if_it_is_right(
    configure: Configure, arrivals: Arrivals, httpserver: HTTPServer, tmp_path: Path
) -> None:
    path = tmp_path / "hookplugin.yaml"
    configure({"ops": httpserver.url_for("/one")})
    path.chmod(0o600)
    first = path.read_text(encoding="utf-8")
    with serve_process(tmp_path) as server:
        assert post(server, "before") == 200
        assert arrivals.get(timeout=PATIENCE) == ("/one", "before")

        configure({"ops": httpserver.url_for("/two")}, {"serve": {"bearer": "T0KEN"}})
        server.process.send_signal(signal.SIGHUP)
        assert server.errors.readline() == "hookplugin: the configuration was reloaded\n"
        assert [post(server, "without"), post(server, "after", TOKEN)] == [401, 200]
        refused = "127.0.0.1 was answered 401 to POST '/api/v1/alerts/json': valid credentials are needed"
        assert server.errors.readline() == f"hookplugin: {refused}\n"
        assert arrivals.get(timeout=PATIENCE) == ("/two", "after")

        path.write_text(first.replace('"ops"', '"osp"', 1), encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        assert server.errors.readline() == "hookplugin: the configuration is wrong, the one before is kept:\n"
        assert server.errors.readline().endswith("unknown receiver 'ops'; did you mean 'osp'?\n")
        assert post(server, "still", TOKEN) == 200
        assert arrivals.get(timeout=PATIENCE) == ("/two", "still")

        assert server.end() == (0, "", "")
    assert arrivals.empty()


def test_as_json_the_end_is_one_document(configure: Configure, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    port = free_port()
    with serve_process(tmp_path, "--json", port=port) as server:
        assert post(server, "x") == 200
        code, output, _ = server.end()
    assert (code, json.loads(output)) == (0, {"url": f"http://127.0.0.1:{port}", "left": 1})


def test_lines_of_the_log_may_be_json(configure: Configure, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with serve_process(tmp_path, "--log-format=json") as server:
        server.process.send_signal(signal.SIGHUP)
        line = json.loads(server.errors.readline())
        assert (line["level"], line["msg"]) == ("warning", "the configuration was reloaded")


def test_what_cannot_be_delivered_before_the_end_is_counted(configure: Configure, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with serve_process(tmp_path) as server:
        assert [post(server, "x"), post(server, "y")] == [200, 200]
        assert server.end()[:2] == (0, "2 deliveries wait for the next start\n")


def test_a_request_under_way_is_finished_and_no_other_begun(
    configure: Configure, arrivals: Arrivals, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure({"ops": httpserver.url_for("/one")})
    whole = request(body=b'{"content": "under way"}')
    with serve_process(tmp_path) as server, server.connect() as connection:
        connection.sendall(whole[:-5])
        assert post(server, "another") == 200  # so the first one is there
        server.process.send_signal(signal.SIGTERM)
        while True:
            try:
                server.connect().close()
            except OSError:
                break
        connection.sendall(whole[-5:])
        assert everything(connection).startswith(b"HTTP/1.1 200 OK")
        assert server.end(None) == (0, "", "")
    assert {arrivals.get(timeout=PATIENCE)[1] for _ in range(2)} == {"another", "under way"}


def test_a_request_that_never_ends_does_not_keep_the_process(configure: Configure, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with serve_process(tmp_path) as server, server.connect() as connection:
        connection.sendall(request(length=100))
        assert post(server, "another") == 200
        code, output, log = server.end()
        assert (code, output, log) == (0, "1 deliveries wait for the next start\n", "")


def test_signals_in_quick_succession_are_all_heard(configure: Configure, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with ExitStack() as stack:
        servers = [stack.enter_context(serve_process(tmp_path)) for _ in range(3)]  # they may share an outbox
        for server in servers:
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                server.process.send_signal(number)
        for server in servers:
            code, output, log = server.end(None)
            assert (code, output) == (0, "")
            assert set(log.splitlines()) == {"hookplugin: the configuration was reloaded"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_if_there_is_nothing_to_do(configure: Configure, tmp_path: Path, number: int) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with serve_process(tmp_path) as server:
        assert server.end(number) == (0, "", "")


def test_what_does_not_outlive_the_process_is_not_taken(configure: Configure, run: Run, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, {"outbox": "sqlite:///:memory:"})
    done = run("serve")
    error = "hookplugin.yaml: serve answers once alerts are stored in a file; write outbox: sqlite:///outbox.db\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)
    configure({"ops": "http://127.0.0.1:9/"}, {"outbox": "sqlite:///no/such/folder/outbox.db"})
    done = run("serve", "--json")
    (error,) = json.loads(done.stdout)["errors"]
    assert (done.returncode, done.stderr) == (2, "")
    assert error.startswith("hookplugin.yaml:1: outbox: ")
    assert f"{tmp_path}/no/such/folder/outbox.db" in error
    configure({"ops": "http://127.0.0.1:9/"}, {"plugins": {"disabled": ["webhook"]}})
    done = run("serve", "--port", "0")
    assert (done.returncode, done.stderr) == (2, "the plugin 'webhook' is off: nothing would be stored\n")


def test_an_address_that_cannot_be_had_is_one_clear_line(configure: Configure, run: Run) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port))
        error = (
            f"cannot listen at 127.0.0.1, port {port}: Address already in use; --host and --port name another place\n"
        )
        assert (done.returncode, done.stdout, done.stderr) == (2, "", error)
    for address in ("no.such.host.invalid", "x" * 300, "a..b", ""):
        done = run("serve", "--host", address)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"cannot listen at {address}, port 4665: ")
        assert done.stderr.count("\n") == 1
    assert run("serve", "--port", "65536").returncode == 2


def test_other_machines_need_credentials_or_a_word_that_they_need_none(
    configure: Configure, run: Run, tmp_path: Path
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    (tmp_path / "hookplugin.yaml").chmod(0o600)
    done = run("serve", "--host", "0.0.0.0", "--port", "0")
    error = "other machines reach 0.0.0.0: name credentials under serve:, or let anybody in by --insecure\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)
    with serve_process(tmp_path, "--host", "0.0.0.0", "--insecure") as server:
        assert post(server, "x") == 200
    configure({"ops": "http://127.0.0.1:9/"}, {"serve": {"bearer": "T0KEN"}})
    with serve_process(tmp_path, "--host", "0.0.0.0") as server:
        assert [post(server, "x"), post(server, "x", TOKEN)] == [401, 200]
        assert server.errors.readline().endswith(
            " was answered 401 to POST '/api/v1/alerts/json': valid credentials are needed\n"
        )
        configure({"ops": "http://127.0.0.1:9/"})
        server.process.send_signal(signal.SIGHUP)
        assert server.errors.readline() == "hookplugin: the configuration was reloaded\n"
        assert server.errors.readline() == (
            "hookplugin: the configuration names no credentials any more: everybody is refused until it does\n"
        )
        assert [post(server, "x"), post(server, "x", TOKEN)] == [401, 401]


def test_localhost_may_be_called_by_its_names(configure: Configure, tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    with serve_process(tmp_path, "--host", "localhost") as server:
        assert post(server, "x") == 200


CODE = "import sys; sys.modules[{!r}] = None; sys.argv = ['', 'serve']; from hookplugin.cli import main; main()"


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_the_extra_it_says_what_to_install(configure: Configure, tmp_path: Path, name: str) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    command = [sys.executable, "-c", CODE.format(name)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    error = "serve needs packages that are not installed: pip install 'hookplugin[serve]'\n"
    assert (done.returncode, done.stderr) == (2, error)


def test_other_commands_start_without_the_server(tmp_path: Path) -> None:
    code = "import sys; import hookplugin.cli.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not {"fastapi", "uvicorn", "starlette", "prometheus_client", "asyncio"} & set(done.stdout.split())


def test_credentials_are_never_told(configure: Configure, run: Run, tmp_path: Path) -> None:
    serve: dict[str, Any] = {"bearer": ["T0KEN", "N3XT"], "basic": {"username": "ops", "password": "P4SS"}}
    configure({"ops": "http://127.0.0.1:9/"}, {"serve": serve})
    (tmp_path / "hookplugin.yaml").chmod(0o644)
    said = [run("check", "--json"), run("check")]
    assert all("secrets of 'serve'" in done.stdout for done in said)
    serve["bearer"] = ["T0KEN with space"]
    configure({"ops": "http://127.0.0.1:9/"}, {"serve": serve})
    said += [run("check", "--json"), run("serve")]
    assert said[-1].returncode == 2
    for done in said:
        assert not [one for one in ("T0KEN", "N3XT", "P4SS") if one in done.stdout + done.stderr]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port
