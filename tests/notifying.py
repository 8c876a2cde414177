"""Monitoring systems that run commands: what they check, and a worker that delivers what the commands have stored."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from commands import COMMAND, PATIENCE, working
from pytest_httpserver import HTTPServer

ODD: Final = rb"""probe state 2 is "quoted" & <odd> $(x) `y` ; 'z' \n caf""" + b"\xe9"
MORE: Final = b"second line: NAME=VALUE\n3rd line"
TOLD: Final = ("content", "target", "tags", "annotations", "link", "event_id", "fingerprint", "id", "source", "raw")
TIMES: Final = ("first_trigger_time", "last_trigger_time")

_CHECK: Final = """#!/bin/sh
tail -n +2 {state}
exit "$(head -n 1 {state})"
"""


class Monitored:
    """One check, whose state is in a file, and the receiver of what is told of it."""

    def __init__(self, folder: Path, server: HTTPServer, keys: Mapping[str, Any] | None = None) -> None:
        self._folder, self._server = folder, server
        self._state = folder / "state"
        self.check = folder / "check.sh"
        self.check.write_text(_CHECK.format(state=self._state))
        self.check.chmod(0o700)
        self.config = folder / "hookplugin.yaml"
        names = {"priority": "{{ alert.priority.name }}", "status": "{{ alert.status.name }}"}
        body = names | {name: f"{{{{ alert.{name} }}}}" for name in (*TOLD, *TIMES)}
        self.config.write_text(
            json.dumps(
                {
                    "outbox": "sqlite:///outbox.db",
                    "receivers": [{"name": "ops", "url": server.url_for("/ops"), "body": "all of it"}],
                    "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
                    "bodies": [{"name": "all of it", "json": body}],
                    **(keys or {}),
                }
            )
        )
        server.expect_request("/ops").respond_with_data()

    def ready(self, example: Path) -> str:
        """Return the ready definitions, with the paths of this machine."""
        text = example.read_text(encoding="utf-8")
        for path, ours in (
            ("/opt/hookplugin/bin/hookplugin", COMMAND),
            ("/etc/hookplugin/hookplugin.yaml", self.config),
        ):
            assert path in text
            text = text.replace(path, str(ours))
        return text

    def becomes(self, state: int, output: bytes) -> None:
        """Change what the next check finds."""
        new = self._state.with_suffix(".new")
        new.write_bytes(b"%d\n%s\n" % (state, output))
        new.rename(self._state)

    def told(self, number: int) -> dict[str, Any]:
        """Wait for what the receiver hears, the first being number 0; raw is left out."""
        until(lambda: len(self._server.log) > number, f"nothing was told, number {number}")
        body = self._server.log[number][0].get_data()
        assert b"S3CR3T" not in body
        told: dict[str, Any] = json.loads(body)
        del told["raw"]
        return told


@contextmanager
def watching(command: Sequence[str | Path], monitored: Monitored, folder: Path) -> Iterator[None]:
    """Run a monitoring system, and a worker that delivers; show what they wrote if anything fails."""
    log = folder / "output"
    with (
        working(folder, "--config", str(monitored.config)),
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, cwd="/", stdin=subprocess.DEVNULL) as process,
    ):
        try:
            yield
        except BaseException:
            print(log.read_text(errors="replace")[-4000:])  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def order(pipe: Path, command: str) -> None:
    """Write an external command, as soon as somebody reads the pipe."""

    def opened() -> int | None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None

    descriptor = until(opened, f"nobody reads {pipe}")
    os.write(descriptor, f"[{int(time.time())}] {command}\n".encode())
    os.close(descriptor)


def until(found: Any, otherwise: str) -> Any:
    """Wait until a function returns something, and return that."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.02)
    raise AssertionError(otherwise)
