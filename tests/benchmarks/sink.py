"""A receiver for benchmarks, in a process of its own: answers 204, after the seconds that the path ends with.

It prints its port. `GET /` answers when each `webhook-id` arrived, on the clock of `time.perf_counter`, and forgets it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time

_HEADERS = re.compile(rb"content-length: *(\d+)|webhook-id: *(\S+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
arrivals: dict[str, float] = {}


class Sink(asyncio.Protocol):
    """Read requests as cheaply as Python can."""

    def __init__(self) -> None:
        self.waiting = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end]
            found = dict(zip(("length", "id"), ("0", ""), strict=True))
            for length, request in _HEADERS.findall(head):
                found["length" if length else "id"] = (length or request).decode()
            size = end + 4 + int(found["length"])
            if len(self.waiting) < size:
                return
            self.waiting = self.waiting[size:]
            self.answer(head.split(b" ", 2)[1].decode(), found["id"])

    def answer(self, path: str, request: str) -> None:
        assert self.transport
        if path == "/":
            body = json.dumps(arrivals).encode()
            arrivals.clear()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        arrivals.setdefault(request, time.perf_counter())
        delay = float(path.rpartition("/")[2])
        if delay:
            asyncio.get_running_loop().call_later(delay, self.transport.write, _ANSWER)
        else:
            self.transport.write(_ANSWER)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
