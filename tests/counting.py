"""A receiver for many processes at once: it remembers what it heard, and answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Heard:
    """A request that arrived."""

    at: float
    path: str
    id: str
    body: bytes
    headers: Mapping[str, str]
    status: int = 0
    """What was answered; 0 until then."""

    @property
    def contents(self) -> list[str]:
        """Return what its alerts say."""
        found: Any = json.loads(self.body)
        return [one["content"] for one in (found if isinstance(found, list) else [found])]


@dataclass(slots=True)
class Counting:
    """A receiver that listens."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    """In the order in which they arrived."""

    def contents(self, path: str) -> list[str]:
        """Return what was delivered to a path: each alert as often as it was."""
        return [text for one in self.heard if one.path == path and one.status == 204 for text in one.contents]


@contextmanager
def counting(answer: Callable[[Heard], int] = lambda _: 204) -> Iterator[Counting]:
    """Listen on 127.0.0.1; `answer` says with which status, in a thread for each connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(size := int(self.headers["Content-Length"]))
            if len(body) < size:  # whoever sends it was killed in the midst of it
                return
            one = Heard(time.monotonic(), self.path, self.headers["webhook-id"], body, dict(self.headers))
            found.heard.append(one)
            one.status = answer(one)
            with suppress(OSError):  # whoever sent it may have been killed
                self.send_response_only(one.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Counting(f"http://127.0.0.1:{server.server_port}")
        listening = threading.Thread(target=server.serve_forever, args=(0.05,))
        listening.start()
        try:
            yield found
        finally:
            server.shutdown()
            listening.join()
