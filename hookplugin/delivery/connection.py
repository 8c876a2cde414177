"""Connections under `requests` that reach only what they may, and end when the call's time is over.

`timeout=(connect, read)` alone bounds each operation, not their sum: a receiver that trickles a header byte by byte
would hold a thread for ever.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util.ssltransport import SSLTransport

from hookplugin.delivery.guard import Guard

_PART: Final = 64 * 1024  # bytes that are encrypted at once
_CERTIFICATES: Final = 256 * 1024  # bytes that a TLS handshake may take


@dataclass(slots=True)
class Call:
    """Hold what the connections of one thread need to know of its current request."""

    deadline: float = 0.0
    """On the monotonic clock."""
    target: str = field(default="/", repr=False)
    """The request target (RFC 9112), as the operator wrote it; behind the origin, if a proxy is to forward it."""
    answered: bool = True
    """Whether the status line and the headers of the answer are complete."""
    budget: int = 0
    """Bytes that may still be read."""

    def remaining(self, limit: float | None) -> float:
        """Return the seconds that an operation may take.

        Raises:
            TimeoutError: there are none left.

        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            message = "the total time is over"
            raise TimeoutError(message)
        return left if limit is None else min(left, limit)


class TooLongError(http.client.HTTPException):
    """Say that more is sent to us than any answer needs."""


class _Bounded(socket.socket):
    """Shorten the time-out of every operation to what is left of the call, and read no more than it may."""

    call: Call | None = None
    limit: float | None = None

    def settimeout(self, value: float | None) -> None:
        self.limit = value
        super().settimeout(value)

    def _arm(self) -> None:
        if self.call is not None:
            super().settimeout(self.call.remaining(self.limit))

    def _pay(self, count: int) -> None:
        if self.call is not None:
            self.call.budget -= count
            if self.call.budget < 0:
                raise TooLongError

    def recv(self, *args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401 - passed through
        self._arm()
        data = super().recv(*args, **kwargs)
        self._pay(len(data))
        return data

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - passed through
        self._arm()
        count = super().recv_into(*args, **kwargs)
        self._pay(count)
        _insist(self.call, count)
        return count

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - passed through
        self._arm()
        return super().send(*args, **kwargs)

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ANN401 - as in socket
        if data:  # nothing is sent beside what TLS reads, and who has closed may have said why
            self._arm()
            super().sendall(data, flags)


def _insist(call: Call | None, count: int) -> None:
    """See that a connection does not end within headers."""
    if not count and call is not None and not call.answered:
        raise ConnectionResetError(errno.ECONNRESET, "the connection broke off")


class _Tls(SSLTransport):
    """Be TLS over a bounded socket.

    Within an `SSLSocket`, OpenSSL reads for itself: from who keeps a handshake busy, or sends session tickets without
    end, it never returns.
    """

    socket: _Bounded

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - as in urllib3
        """Send a part: all of it would be held once more, encrypted."""
        return super().send(data[:_PART], flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> Any:  # noqa: ANN401 - as in urllib3
        count = super().recv_into(buffer, nbytes, flags)
        _insist(self.socket.call, int(count or 0))
        return count

    @property
    def holds_more(self) -> bool:
        """Say whether something came that nobody has read."""
        return bool(self.incoming.pending or self.sslobj.pending())


class GuardedContext(ssl.SSLContext):
    """Make our TLS of our sockets."""

    def wrap_socket(self, sock: socket.socket, *_: Any, server_hostname: Any = None, **__: Any) -> Any:  # noqa: ANN401 - as urllib3 calls it
        """Do the handshake."""
        return _Tls(sock, self, server_hostname)


class _Answer(http.client.HTTPResponse):
    def begin(self) -> None:
        """Read on until the final answer (RFC 9110, 15.2): `http.client` skips no informational one but 100."""
        super().begin()
        while 101 < self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]  # as before it began
            super().begin()
        self.headers.defects = []  # urllib3 would log them with what is no header, which may quote the request
        self.headers.set_payload("")


class _Connection(HTTPConnection):
    response_class = _Answer

    def __init__(self, *args: Any, call: Call, guard: Guard, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        self.call: Final = call
        self.guard: Final = guard

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002, ANN401 - passed through
        """Send the target verbatim: urllib3 would re-encode it."""
        super().putrequest(method, self.call.target, *args, **kwargs)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        """Insist on whole headers: `http.client` takes the end of the connection for their end, and for success."""
        self.call.answered = False
        answer = super().getresponse()
        self.call.answered = True
        return answer

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers within the time, if all of them may be reached."""
        seconds = self.call.remaining(self.timeout)
        try:
            found = self.guard.addresses(self._dns_host.strip("[]"), self.port, seconds, proxy=self.proxy is not None)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, reason) from error
        failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
        for family, address in found:
            sock = _Bounded(family, socket.SOCK_STREAM)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.call.remaining(self.timeout))
                sock.connect(address)
                self.guard.check(sock.getpeername(), proxy=self.proxy is not None)
                sock.settimeout(self.call.remaining(self.timeout))  # for a TLS handshake
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                sock.call = self.call
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, str(failure)) from failure
        raise NewConnectionError(self, str(failure)) from failure


class _TlsConnection(_Connection, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        """Let certificates be read, too."""
        sock = super()._new_conn()
        self.call.budget += _CERTIFICATES
        return sock

    @property
    def is_connected(self) -> bool:
        """Say whether this is still open, and nothing has come that nobody asked for: it is no answer."""
        return super().is_connected and not (isinstance(self.sock, _Tls) and self.sock.holds_more)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType] - urllib3's protocol does not fit its own class


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType] - as above

    def _validate_conn(self, conn: Any) -> None:  # noqa: ANN401 - as in urllib3
        """Connect, without a warning for `verify: false`: we have given one when we started."""
        if conn.is_closed:
            conn.connect()


class GuardedAdapter(HTTPAdapter):
    """Be the transport of one thread's Session."""

    def __init__(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        """Keep connections open between requests; never retry, that is the outbox's part.

        Args:
            guard: says what may be reached.
            context: for https; none where there is only http.

        """
        self.call: Final = Call()
        self._context: Final = context
        self._pools: Final = {
            "http": partial(_Pool, call=self.call, guard=guard),
            "https": partial(_TlsPool, call=self.call, guard=guard),
        }
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        """Make pools of our connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - as in requests
        """Make pools of our connections behind a proxy, too."""
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        """Leave certificates to our context: `requests` would load them again for each connection."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"cert_reqs": self._context.verify_mode if self._context else None}

    def cert_verify(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - ignored
        """Leave certificates to our context."""
