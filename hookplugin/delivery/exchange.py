"""One exchange over HTTP: a request, and as much of the answer as is wanted, within the time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from hookplugin.delivery.failure import classify
from hookplugin.delivery.headers import is_printable
from hookplugin.delivery.receiver import Timeout
from hookplugin.delivery.session import Sessions
from hookplugin.delivery.url import split_target
from hookspecs import Reason, WireRequest

MAX_ANSWER: Final = 16 * 1024
"""Bytes that are read of an answer's body."""
_MOST_READ: Final = 64 * 1024 + MAX_ANSWER  # bytes of a whole answer, with all its headers

_REASONS: Final[Mapping[int, Reason]] = {410: Reason.gone, 429: Reason.rate_limited}
_CLASSES: Final[Mapping[int, Reason]] = {3: Reason.redirect, 4: Reason.client_error, 5: Reason.server_error}


class ExchangeError(Exception):
    """Say why there is no answer, or none that helps."""

    def __init__(self, reason: Reason, detail: str, quoted: str = "", retry_after: float | None = None) -> None:
        """Hold the reason.

        Args:
            reason: of the failure.
            detail: for people, in our words.
            quoted: what others said; it may hold secrets.
            retry_after: seconds that were asked for.

        """
        super().__init__(detail)
        self.reason: Final = reason
        self.detail: Final = detail
        self.quoted: Final = quoted
        self.retry_after: Final = retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)
    """The first `MAX_ANSWER` bytes, never decompressed; may quote secrets."""

    @property
    def reason(self) -> Reason | None:
        """Return why this is no success; none if it is."""
        if 200 <= self.status <= 299:
            return None
        return _REASONS.get(self.status) or _CLASSES.get(self.status // 100, Reason.invalid_answer)

    @property
    def retry_after(self) -> float | None:
        """Return the seconds that are asked for (RFC 9110, 10.2.3); none if none are, or not clearly."""
        value = self.headers.get("Retry-After", "")
        if value.strip().isdecimal():
            return float(value)
        try:
            date = parsedate_to_datetime(value)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)  # one of its forms names no zone
            return max(0.0, date.timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return None


def exchange(sessions: Sessions, request: WireRequest, timeout: Timeout, deadline: float) -> Answer:
    """Send a request, and read the answer: complete headers, and of its body what comes in time.

    Args:
        sessions: through which it goes.
        request: what is sent.
        timeout: of the single operations.
        deadline: for all of it, in monotonic seconds.

    Raises:
        ExchangeError: no complete status line and headers came.

    """
    for name, value in request.headers.items():
        if not is_printable(value):
            raise ExchangeError(Reason.failed, f"the request cannot be written: {name} is not printable ASCII")
    origin, target = split_target(request.url)
    session, call = sessions.of_this_thread()
    call.deadline = deadline
    call.budget = _MOST_READ
    call.answered = True
    is_forwarded = sessions.is_proxied and origin[:5].lower() == "http:"
    call.target = f"http:{origin[5:]}{target}" if is_forwarded else target  # http.client only knows small letters
    prepared = _prepare(request, origin)
    limits = (timeout.connect, timeout.read)
    try:
        answer = session.send(prepared, stream=True, timeout=limits, allow_redirects=False, proxies=session.proxies)
    except MemoryError:
        raise
    except Exception as error:
        raise ExchangeError(*classify(error)) from error
    with answer:
        if is_forwarded and answer.status_code == 407:
            raise ExchangeError(Reason.connection, "the proxy answered 407")  # as it does for https
        return Answer(answer.status_code, answer.headers, _read(answer))


def _prepare(request: WireRequest, origin: str) -> requests.PreparedRequest:
    """Build a request by hand: preparing one anew costs half of a POST, and would re-encode the URL.

    It holds no path or query: urllib3 logs them. The connection knows the target.
    """
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = f"{origin}/"
    prepared.headers = CaseInsensitiveDict({
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **request.headers,
        "Content-Length": str(len(request.content)),
    })  # fmt: skip
    prepared.body = request.content
    return prepared


def _read(answer: requests.Response) -> str:
    """Return the first bytes of an answer, never decompressed; what cannot be read is left out."""
    try:
        content: bytes = answer.raw.read(MAX_ANSWER, decode_content=False)
    except (HTTPError, OSError, ValueError):
        return ""
    return content.decode(errors="replace")
