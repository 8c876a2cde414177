"""The server, in this process or in one of its own, on a port of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import requests
from commands import COMMAND, PATIENCE

from hookplugin import Host
from hookplugin.server.app import create_app
from hookplugin.server.intake import Limits
from hookplugin.server.listening import Connection, Listening

JSON = {"Content-Type": "application/json"}
END = "\r\n"


@dataclass
class Served:
    """A server that listens."""

    host: Host
    port: int
    session: requests.Session = field(default_factory=requests.Session)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.url(path), timeout=30, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.url(path), timeout=30, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def say(self, *parts: bytes) -> bytes:
        """Send these, and return all that comes until the other side closes."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes; it resets what it has not read to its end."""
    found = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            found += chunk
    return found


def request(
    path: str = "/api/v1/alerts/json", body: bytes = b'{"content": "x"}', *headers: str, length: int | None = None
) -> bytes:
    """Return a request as it is on the wire; its length is that of the body unless told."""
    size = len(body) if length is None else length
    lines = ["Host: x", "Content-Type: application/json", *headers]
    lines += [] if any("Transfer-Encoding" in line for line in headers) else [f"Content-Length: {size}"]
    return f"POST {path} HTTP/1.1\r\n{END.join(lines)}\r\n\r\n".encode() + body


@contextmanager
def serving(
    host: Host, *, anonymous: bool = True, limits: Limits | None = None, connection: type[Connection] | None = None
) -> Iterator[Served]:
    """Serve a host, and close both at the end."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    app = create_app(host, anonymous=anonymous, limits=limits or Limits())
    with host:
        listening = Listening(app, listener, connection=connection)
        served = Served(host, listener.getsockname()[1])
        try:
            yield served
        finally:
            served.session.close()
            listening.stop()


@dataclass
class ServeProcess:
    """`hookplugin serve` in a process of its own."""

    process: subprocess.Popen[str]
    url: str

    @property
    def errors(self) -> IO[str]:
        assert self.process.stderr
        return self.process.stderr

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=PATIENCE)

    def end(self, number: int | None = signal.SIGTERM) -> tuple[int, str, str]:
        """Tell it to end, unless that was done; return how it did, and what it has written since it began."""
        if number is not None:
            self.process.send_signal(number)
        output, errors = self.process.communicate()
        return self.process.returncode, output, errors


@contextmanager
def serve_process(folder: Path, *options: str, port: int = 0) -> Iterator[ServeProcess]:
    """Start it, and wait until it listens; one that hangs is killed, and so is what is left at the end."""
    command = [str(COMMAND), "serve", f"--port={port}", *options]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        guard = threading.Timer(3 * PATIENCE, process.kill)
        guard.start()
        try:
            yield ServeProcess(process, _where(process, port))
        finally:
            guard.cancel()
            process.kill()


def _where(process: subprocess.Popen[str], port: int) -> str:
    """Return its URL: what it says, or once somebody listens there."""
    assert process.stdout
    assert process.stderr
    if not port:
        line = process.stdout.readline()
        found = re.fullmatch(r"hookplugin.yaml: taking alerts at (http://\S+); SIGHUP reloads, SIGTERM ends\n", line)
        assert found, line + process.stderr.read()
        return found[1].replace("0.0.0.0", "127.0.0.1")
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return f"http://127.0.0.1:{port}"
    raise AssertionError(process.stderr.read())
