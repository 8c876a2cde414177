"""Listening: Uvicorn in a thread, with the deadlines and limits of connections that it has not itself."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable
from typing import ClassVar, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_FAREWELL: Final = 5.0  # seconds for requests under way at the end
_NEVER: Final = 10**6  # seconds: ours is the deadline that counts
_log = logging.getLogger("hookplugin")


class Listening:
    """Serve an application to whoever connects to a socket."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        ended: Callable[[], None] = lambda: None,
        connection: type[Connection] | None = None,
    ) -> None:
        """Start a thread.

        Args:
            app: the application.
            listener: is bound; it is closed at the end.
            ended: is called when the server has ended, also by an error.
            connection: another kind, of other limits.

        """
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # it warns of whatever strangers send
        config = uvicorn.Config(
            app,
            http=connection or Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_NEVER,
        )
        self._listener: Final = listener
        self._ended: Final = ended
        self._server: Final = uvicorn.Server(config)
        self.failed = False
        """Whether it has ended by an error."""
        self._thread: Final = threading.Thread(target=self._run, name="hookplugin-server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections, and finish the requests that are under way."""
        self._server.should_exit = True
        self._thread.join(2 * _FAREWELL)  # a plugin may hang

    def _run(self) -> None:
        try:
            self._server.run([self._listener])
        except BaseException:  # noqa: BLE001 - nobody else would hear of it
            self.failed = True
            _log.exception("the server has died")
        finally:
            self._listener.close()
            self._ended()


class Connection(H11Protocol):
    """Be a connection that may neither wait nor last for ever."""

    most: ClassVar[int] = 500
    """At once; each has a file open, of which a process may have 1024."""
    idle: ClassVar[float] = 10.0
    """Seconds until it has sent the head of its first, or next, request."""
    longest: ClassVar[float] = 60.0
    """Seconds for a request and its answer."""
    _deadline: asyncio.TimerHandle | None = None
    _works = False
    """Whether the deadline is that of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in Uvicorn
        """Let it in, if there is room."""
        super().connection_made(transport)
        # asyncio does so only for sockets that say TCP, and not just stream; else each answer takes 40 ms
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.most:
            transport.write(_answer(503, "Service Unavailable", "too many connections; try again"))
            transport.close()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Handle what came in."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on with the next request, which may be here already."""
        super().on_response_complete()
        self._watch(anew=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def shutdown(self) -> None:
        """Finish what is under way, and no more; it is not cancelled, which would be logged as an error."""
        super().shutdown()
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_FAREWELL, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the shape of all errors."""
        self.transport.write(_answer(400, "Bad Request", msg))
        self.transport.close()

    def _watch(self, *, anew: bool = False) -> None:
        """Set a deadline when a request begins, and when one is over; what comes in between does not move it."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        works = cycle is not None and not cycle.response_complete
        if self._deadline and works == self._works and not anew:
            return
        if self._deadline:
            self._deadline.cancel()
        self._works = works
        self._deadline = self.loop.call_later(self.longest if works else self.idle, self.transport.abort)


def _answer(status: int, phrase: str, error: str) -> bytes:
    body = json.dumps({"error": error})
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    retry = "\r\nRetry-After: 1" if status == 503 else ""
    return f"{head}{retry}\r\nConnection: close\r\n\r\n{body}".encode()
