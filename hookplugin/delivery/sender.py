"""The sender: one attempt to POST a body to a receiver."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import requests
from pydantic import SecretStr
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, InvalidHeader

from hookplugin.delivery.connection import BoundedAdapter, Call, tls_context
from hookplugin.delivery.redaction import redact, secrets_of
from hookplugin.delivery.retry import Attempt
from hookplugin.version import __version__
from hookspecs import Body, Outcome, Reason

if TYPE_CHECKING:
    from hookplugin.delivery.receiver import Auth, Receiver

USER_AGENT: Final = f"hookplugin/{__version__}"
MAX_ANSWER: Final = 16 * 1024
"""Bytes that are read of an answer's body."""

_URL: Final = re.compile(r"([^:]+://[^/?#]*)([^#]*)")  # origin and target; a fragment is never sent
_REASONS: Final[Mapping[int, Reason]] = {410: Reason.gone, 429: Reason.rate_limited}
_CLASSES: Final[Mapping[int, Reason]] = {3: Reason.redirect, 4: Reason.client_error, 5: Reason.server_error}


class _Session(requests.Session):
    """Know nothing of redirects, proxies, netrc and cookies."""

    def __init__(self, adapter: BoundedAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none: `requests` would read and decompress the whole body of a redirect otherwise."""


class Sessions:
    """Hold one session for each thread: it is not safe to share, and each keeps connections open."""

    def __init__(self, *, tls: bool) -> None:
        """Open no connection yet.

        Args:
            tls: whether a TLS context is needed, which takes 40 ms to make.

        """
        self._context: Final = tls_context() if tls else None
        self._threads: Final = threading.local()

    def of_this_thread(self) -> tuple[requests.Session, Call]:
        """Return this thread's session, and what its connections know of the current request."""
        try:
            pair: tuple[requests.Session, Call] = self._threads.pair
        except AttributeError:
            adapter = BoundedAdapter(self._context)
            pair = self._threads.pair = _Session(adapter), adapter.call
        return pair


class Sender:
    """POST bodies to one receiver, from any thread."""

    def __init__(self, receiver: Receiver, sessions: Sessions) -> None:
        """Prepare what all requests to the receiver share."""
        self._receiver: Final = receiver
        self._sessions: Final = sessions
        found = _URL.match(receiver.url.get_secret_value())
        self._origin, target = found.groups() if found else ("", "")
        self._target: Final = target if target.startswith("/") else f"/{target}"
        self._headers: Final = {
            name: value.get_secret_value() for name, value in receiver.headers.items() if isinstance(value, SecretStr)
        }
        self._authorization: Final = _authorization(receiver.auth)
        self._secrets: Final = secrets_of(receiver, self._target, self._authorization)

    def send(self, request_id: str, body: Body, headers: Mapping[str, str]) -> Attempt:
        """Make one attempt; a complete 2xx status line and headers are success, anything else is not.

        Args:
            request_id: the `webhook-id` (Standard Webhooks 1.0).
            body: what to send, verbatim.
            headers: of this request alone; those that the receiver has anyway are sent, too.

        """
        session, call = self._sessions.of_this_thread()
        started = time.monotonic()
        call.deadline = started + self._receiver.timeout.total
        call.target = self._target
        timeout = (self._receiver.timeout.connect, self._receiver.timeout.read)
        try:
            request = self._request(request_id, body, headers)
            answer = session.send(request, stream=True, timeout=timeout, allow_redirects=False)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            reason, detail = _failure(error)
            detail = redact(detail, self._secrets)
            return Attempt(Outcome(state="dead", reason=reason, detail=detail, milliseconds=_since(started)), body)
        with answer:
            status = answer.status_code
            took = _since(started)
            text = redact(_read(answer), self._secrets)
        if 200 <= status <= 299:
            return Attempt(Outcome(state="delivered", status=status, detail=text, milliseconds=took), body)
        reason = _REASONS.get(status) or _CLASSES.get(status // 100, Reason.invalid_answer)
        outcome = Outcome(state="dead", reason=reason, status=status, detail=text, milliseconds=took)
        mark = self._receiver.mark if reason is Reason.gone else None
        return Attempt(outcome, body, _retry_after(answer.headers.get("Retry-After", "")), mark)

    def _request(self, request_id: str, body: Body, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Build a request by hand: preparing one anew costs half of a POST, and would re-encode the URL.

        It holds no path or query: urllib3 logs them. The connection knows the target.
        """
        request = requests.PreparedRequest()
        request.method = self._receiver.method
        request.url = f"{self._origin}/"
        request.headers = CaseInsensitiveDict(
            {
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                **self._headers,
                **headers,
                **self._authorization,
                **own_headers(request_id, body),
            }
        )
        request.body = body.content
        return request


def own_headers(request_id: str, body: Body) -> dict[str, str]:
    """Return what every request says of itself (Standard Webhooks 1.0; RFC 9110)."""
    return {
        "User-Agent": USER_AGENT,
        "Content-Type": body.content_type,
        "Content-Length": str(len(body.content)),
        "webhook-id": request_id,
        "webhook-timestamp": str(int(time.time())),
    }


def _authorization(auth: Auth | None) -> dict[str, str]:
    if auth is None:
        return {}
    if auth.bearer is not None:
        return {"Authorization": f"Bearer {auth.bearer.get_secret_value()}"}
    assert auth.basic is not None  # noqa: S101 - the model holds exactly one of them
    pair = f"{auth.basic.username.get_secret_value()}:{auth.basic.password.get_secret_value()}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _read(answer: requests.Response) -> str:
    """Return the first bytes of an answer, never decompressed; what cannot be read is left out."""
    try:
        content: bytes = answer.raw.read(MAX_ANSWER, decode_content=False)
    except (HTTPError, OSError, ValueError):
        return ""
    return content.decode(errors="replace")


def _retry_after(value: str) -> float | None:
    """Return the seconds that a receiver asks for (RFC 9110, 10.2.3); none if it does not, or not clearly."""
    if value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)  # one of its forms names no zone
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from an error to what caused it; `requests` and urllib3 hold causes in their arguments, too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        reason = getattr(current, "reason", None)
        inside = [reason, *current.args, current.__cause__, current.__context__]
        waiting += [cause for cause in reversed(inside) if isinstance(cause, BaseException)]


def _tls_failure(error: ssl.SSLError) -> tuple[Reason, str]:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Reason.connection, "the connection broke off"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Reason.tls, f"the certificate is not to be trusted: {error.verify_message}"
    return Reason.tls, f"the TLS handshake failed: {error.reason or 'no reason given'}"


def _failure(error: Exception) -> tuple[Reason, str]:
    """Class an error, in words that never hold the URL: its path may be a secret."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(cause)
        if isinstance(cause, socket.gaierror):
            return Reason.connection, "the name of the host is not known"
    for cause in causes:
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return Reason.timeout, "no complete answer in time"
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return Reason.connection, cause.strerror
        if isinstance(cause, InvalidHeader) or (isinstance(cause, HTTPException) and not isinstance(cause, OSError)):
            return Reason.invalid_answer, "the answer is not HTTP"
    if not isinstance(error, (HTTPError, OSError)):
        return Reason.failed, "the request cannot be written: the type of its body is no header"
    return Reason.connection, "the connection broke off"
