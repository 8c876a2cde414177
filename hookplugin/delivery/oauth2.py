"""Tokens for receivers behind OAuth 2.0, by the client credentials grant (RFC 6749, 4.4)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import urlencode

from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error

from hookplugin.bodies.secret import FORM
from hookplugin.delivery.auth import OAuth2, check_token
from hookplugin.delivery.exchange import Answer, ExchangeError
from hookplugin.delivery.lock import ProcessLock
from hookspecs import Reason, WireRequest

_EARLY: Final = 30.0  # seconds before its end at which a token is replaced, if it lasts for long enough

Post: TypeAlias = Callable[[WireRequest], Answer]
"""Sends a request, within the time of the attempt; raises ExchangeError."""


@dataclass(frozen=True, slots=True)
class Token:
    """Hold what a receiver is shown; times are monotonic seconds."""

    text: str = field(repr=False)
    replaced: float
    """When it is to be replaced."""
    ends: float


class Tokens:
    """Get tokens for one receiver, and keep each for as long as it lasts; one thread at a time asks for one."""

    def __init__(self, settings: OAuth2, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask nobody yet.

        Args:
            settings: whom to ask, and what for.
            clock: monotonic seconds.

        """
        self._settings: Final = settings
        self._clock: Final = clock
        self._token: Token | None = None
        self._lock: Final = ProcessLock()

    def get(self, post: Post, seconds: float) -> tuple[Token, bool]:
        """Return a token, and whether it is a new one.

        Args:
            post: asks the endpoint.
            seconds: that it may take.

        Raises:
            ExchangeError: there is none, or another thread is still asking for one.

        """
        known = self._token
        if known and self._clock() < known.replaced:
            return known, False
        lock = self._lock.here
        if not lock.acquire(timeout=max(seconds, 0.0)):
            return self._last_resort(ExchangeError(Reason.timeout, "no token in time")), False
        try:
            known = self._token
            if known and self._clock() < known.replaced:
                return known, False
            self._token = self._ask(post)
        except ExchangeError as error:
            return self._last_resort(error), False
        else:
            return self._token, True
        finally:
            lock.release()

    def reject(self, token: Token) -> None:
        """Forget a token that the receiver does not take any more."""
        if self._token is token:
            self._token = None

    def _last_resort(self, error: ExchangeError) -> Token:
        """Return the former token, if it has not ended yet."""
        known = self._token
        if known and self._clock() < known.ends:
            return known
        raise error

    def _ask(self, post: Post) -> Token:
        settings = self._settings
        client = BackendApplicationClient(settings.client_id.get_secret_value())
        body = client.prepare_request_body(urlencode(settings.params), list(settings.scopes) or None)
        headers = {"Authorization": settings.header, "Content-Type": FORM, "Accept": "application/json"}
        asked = self._clock()
        answer = post(WireRequest("", 0, "POST", settings.token_url.get_secret_value(), headers, body.encode()))
        if answer.reason:
            detail = f"the token's endpoint answered {answer.status}"
            reason = Reason.client_error if answer.reason is Reason.gone else answer.reason
            raise ExchangeError(reason, detail, answer.text, answer.retry_after)
        try:
            found = client.parse_request_body_response(answer.text)
            text, kind, lasts = found["access_token"], found.get("token_type"), found.get("expires_in")
            check_token(text)
            known = kind is None or kind.lower() == "bearer"
            lasts = math.inf if lasts is None else float(lasts)
        except (
            OAuth2Error,
            ValueError,
            TypeError,
            AttributeError,
            LookupError,
            OverflowError,
            RecursionError,
            Warning,
        ):
            known, text, lasts = False, "", 0.0
        if not known:
            raise ExchangeError(Reason.invalid_answer, "the token's endpoint gave no bearer token")
        return Token(text, asked + lasts - min(_EARLY, lasts / 2), asked + lasts)
