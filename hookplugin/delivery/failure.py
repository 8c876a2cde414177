"""Failures on the wire: to which class each belongs, in words that never hold the URL, whose path may be a secret."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Final

from urllib3.exceptions import HTTPError, InvalidHeader, ProxyError

from hookplugin.delivery.connection import TooLongError
from hookplugin.delivery.guard import BlockedError
from hookspecs import Reason

_BROKEN: Final = "the connection broke off"
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")  # as http.client says it


def classify(error: Exception) -> tuple[Reason, str]:
    """Return the class of what `requests` raised, and what to tell people."""
    causes = list(_causes(error))
    found = next(filter(None, (look(cause) for look in (_decisive, _timeout, _telling) for cause in causes)), None)
    if found is None and not isinstance(error, (HTTPError, OSError)):
        found = Reason.failed, "the request cannot be written"
    reason, detail = found or (Reason.connection, _BROKEN)
    is_proxys = any(isinstance(cause, ProxyError) for cause in causes)
    return reason, f"the proxy: {detail}" if is_proxys and not detail.startswith("the proxy") else detail


def _decisive(cause: BaseException) -> tuple[Reason, str] | None:
    if isinstance(cause, BlockedError):
        return Reason.blocked, str(cause)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Reason.connection, _BROKEN
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Reason.tls, f"the certificate is not to be trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return Reason.tls, f"the TLS handshake failed: {cause.reason or 'no reason given'}"
    if isinstance(cause, socket.gaierror):
        return Reason.connection, "the name of the host is not known"
    return None


def _timeout(cause: BaseException) -> tuple[Reason, str] | None:
    if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
        return Reason.timeout, "no complete answer in time"
    return None


def _telling(cause: BaseException) -> tuple[Reason, str] | None:
    if isinstance(cause, OSError):
        refused = _TUNNEL.match(str(cause))
        detail = f"the proxy answered {refused[1]}" if refused else cause.strerror
        return (Reason.connection, detail) if detail else None
    if isinstance(cause, TooLongError):
        return Reason.invalid_answer, "the answer is too long"
    if isinstance(cause, (InvalidHeader, HTTPException)):
        return Reason.invalid_answer, "the answer is not HTTP"
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
