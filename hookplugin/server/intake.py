"""Intake: reads the bodies of requests, within limits of size, time and number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hookplugin.sources import PayloadError, parse_json


@dataclass(frozen=True, slots=True)
class Limits:
    """Say what is too much."""

    size: int = 16 * 1024 * 1024
    """Bytes of a body."""
    held: int = 32 * 1024 * 1024
    """Bytes of all bodies that are read or worked on at once; parsed, they take ten times as much, and more."""
    requests: int = 64
    """That are under way at once."""
    alerts: int = 20_000
    """In a body: all of them are stored in one transaction."""
    seconds: float = 10.0
    """Until all of a body is here."""


ENDED_EARLY: Final = "the body ended early"
"""What nobody is there to read."""

_LINGER: Final = 2.0  # seconds
_MOST_LINGERED: Final = 16 * 1024 * 1024  # bytes
_BUSY: Final = {"Retry-After": "1"}


class Intake:
    """Count what is under way."""

    def __init__(self, limits: Limits) -> None:
        """Begin with nothing."""
        self.limits: Final = limits
        self._requests = 0
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytearray]:
        """Read the body of a request, and hold a place for it until the work on it is done.

        Raises:
            HTTPException: it is not JSON by its headers (415), too large (413) or too slow (408), or too much else is
                under way (503).

        """
        limits = self.limits
        if self._requests >= limits.requests:
            raise HTTPException(503, f"{limits.requests} requests are under way; try again", _BUSY)
        _check_headers(request)
        if int(request.headers.get("content-length", 0)) > limits.size:  # the parser of HTTP lets only numbers pass
            raise self._too_large()
        body = bytearray()
        self._requests += 1
        try:
            await self._read(request, body)
            yield body
        finally:
            self._requests -= 1
            self._held -= len(body)

    async def _read(self, request: Request, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self.limits.size:
                        raise self._too_large()
                    if self._held + len(chunk) > self.limits.held:
                        raise HTTPException(503, "too much is under way; try again", _BUSY)
                    body += chunk
                    self._held += len(chunk)
        except TimeoutError:
            raise HTTPException(408, f"the body took longer than {self.limits.seconds:g} s") from None
        except ClientDisconnect:
            raise HTTPException(400, ENDED_EARLY) from None

    def parse(self, body: bytearray) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Parse JSON as RFC 8259 has it.

        Raises:
            PayloadError: with line and column.
            HTTPException: it holds too many alerts (413).

        """
        parsed, most = _parse_strictly(body), self.limits.alerts
        found = max(map(_events, (parsed, *(parsed.values() if isinstance(parsed, dict) else ()))))
        if found > most:
            raise HTTPException(413, f"{found} alerts are too many for one request; send at most {most}")
        return parsed

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the body is larger than {self.limits.size} bytes")


class Lingering:
    """Read on for a moment before an early answer: who is still writing would find the connection broken instead."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        more = scope["type"] == "http"
        waits = any(name == b"expect" for name, _ in scope.get("headers", ()))

        async def receive_and_look() -> Message:
            nonlocal more
            message = await receive()
            more = more and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def read_the_rest() -> None:
            size = 0
            while more and size < _MOST_LINGERED:
                size += len((await receive_and_look()).get("body", b""))

        async def linger_and_send(message: Message) -> None:
            if message["type"] == "http.response.start" and more:
                if not waits:  # who waits for leave to send its body sends none
                    with suppress(TimeoutError):
                        await asyncio.wait_for(read_the_rest(), _LINGER)
                if more:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive_and_look, linger_and_send)


def _events(items: object) -> int:
    """Count what may be alerts: those of a list, and those within each; CloudEvents hold lists in `data`."""
    listed = items if isinstance(items, list) else [{"data": items}]
    inner = 0
    for one in listed:
        data = one.get("data") if isinstance(one, dict) else None
        inner += sum(len(value) for value in data.values() if isinstance(value, list)) if isinstance(data, dict) else 0
    return inner + (len(listed) if isinstance(items, list) else 0)


def _check_headers(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise HTTPException(415, "the body should not be compressed", {"Accept-Encoding": "identity"})
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        raise HTTPException(415, "the body should be JSON, and say so: Content-Type: application/json")


def _parse_strictly(body: bytearray) -> Any:  # noqa: ANN401 - JSON has no narrower type
    with suppress(ValueError, RecursionError):
        return json.loads(body, parse_constant=_refuse)
    parse_json(body)  # says what is wrong
    message = "the payload is not JSON: it holds NaN or Infinity"
    raise PayloadError(message)


def _refuse(_: str) -> None:
    raise ValueError
