"""Connections under `requests` that end when the call's time is over, and send the target as it was written.

`timeout=(connect, read)` alone bounds each operation, not their sum: a receiver that trickles a header byte by byte
would hold a thread for ever.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import certifi
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.response import HTTPResponse


@dataclass(slots=True)
class Call:
    """Hold what the connections of one thread need to know of its current request."""

    deadline: float = 0.0
    """On the monotonic clock."""
    target: str = "/"
    """The request target (RFC 9112), as the operator wrote it."""
    answered: bool = True
    """Whether the status line and the headers of the answer are complete."""

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


class _Bounded(socket.socket):
    """Shorten the time-out of every operation to what is left of the call."""

    call: Call | None = None
    limit: float | None = None

    def settimeout(self, value: float | None) -> None:
        self.limit = value
        super().settimeout(value)

    def _arm(self) -> None:
        if self.call is not None:
            super().settimeout(self.call.remaining(self.limit))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - passed through
        self._arm()
        count = super().recv_into(*args, **kwargs)
        if not count and self.call is not None and not self.call.answered:
            raise ConnectionResetError(errno.ECONNRESET, "the connection broke off")
        return count

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - passed through
        self._arm()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        self._arm()
        return super().sendall(*args, **kwargs)


class _BoundedTls(_Bounded, ssl.SSLSocket):
    """Be the same over TLS."""


class _Answer(http.client.HTTPResponse):
    def begin(self) -> None:
        """Read on until the final answer (RFC 9110, 15.2): `http.client` skips no informational one but 100."""
        super().begin()
        while 101 < self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]  # as before it began
            super().begin()


class _Connection(HTTPConnection):
    response_class = _Answer

    def __init__(self, *args: Any, call: Call, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        self.call: Final = call

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
        """Connect to the first address that answers within the time."""
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, reason) from error
        failure: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in found:
            sock = _Bounded(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.call.remaining(self.timeout))
                sock.connect(address)
                sock.settimeout(self.call.remaining(self.timeout))  # for a TLS handshake
            except OSError as error:
                sock.close()
                failure = error
            else:
                sock.call = self.call
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, str(failure)) from failure
        raise NewConnectionError(self, str(failure)) from failure


class _TlsConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        """Bound the handshake too: OpenSSL takes the time-out of the socket for all of it."""
        super().connect()
        if isinstance(self.sock, _Bounded):
            self.sock.call = self.call


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType] - urllib3's protocol does not fit its own class


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType] - as above


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the machine's certificate authorities and certifi's; about 40 ms."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = _BoundedTls
    return context


class BoundedAdapter(HTTPAdapter):
    """Be the transport of one thread's Session."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        """Keep connections open between requests; never retry, that is the outbox's part.

        Args:
            context: for https; none where there is only http.

        """
        self.call: Final = Call()
        self._context: Final = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        """Make pools of our connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_Pool, call=self.call),
            "https": partial(_TlsPool, call=self.call),
        }

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        """Leave certificates to our context: `requests` would load them again for each connection."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - ignored
        """Leave certificates to our context."""
