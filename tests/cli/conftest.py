"""Fixtures of the commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from commands import RunIn, forked_commands
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Run = Callable[..., subprocess.CompletedProcess[str]]
Arrivals = SimpleQueue[tuple[str, str]]


@pytest.fixture(scope="session")
def run_in() -> Iterator[RunIn]:
    """Start what all commands are forked from."""
    with forked_commands() as run:
        yield run


@pytest.fixture
def run(run_in: RunIn, tmp_path: Path) -> Run:
    """Run the command in an empty folder."""

    def run_command(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = run_in(tmp_path, arguments, stdin)
        result = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in result.stderr
        return result

    return run_command


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., None]:
    """Write hookplugin.yaml: receivers by name and URL, one strategy that names them all, and keys of the file."""

    def write(receivers: dict[str, str], keys: Mapping[str, Any] | None = None, **strategy: Any) -> None:
        config = {
            "outbox": "sqlite:///outbox.db",
            "receivers": [{"name": name, "url": url, "timeout": {"total": "2s"}} for name, url in receivers.items()],
            "strategies": [{"name": "all", "receivers": list(receivers), **strategy}],
            **(keys or {}),
        }
        (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")

    return write


@pytest.fixture
def arrivals(httpserver: HTTPServer) -> Arrivals:
    """Return what arrives: the path, and the content of the alert."""
    arrived: Arrivals = SimpleQueue()

    def answer(request: Request) -> Response:
        arrived.put((request.path, json.loads(request.get_data())["content"]))
        return Response(status=200)

    for path in ("/one", "/two"):
        httpserver.expect_request(path).respond_with_handler(answer)
    return arrived
