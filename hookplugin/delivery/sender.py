"""The sender: one attempt to POST a body to a receiver."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from hookplugin.delivery.exchange import Answer, ExchangeError, exchange
from hookplugin.delivery.redaction import redact, secrets_of, spellings
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.session import Sessions
from hookplugin.delivery.signing import scheme_of, signer_of
from hookplugin.delivery.url import split_target
from hookplugin.isolation import OfferError, describe, hiding
from hookplugin.references import FileSecret, must_pass
from hookplugin.version import __version__
from hookspecs import Body, Outcome, Reason, Signer, WireRequest

if TYPE_CHECKING:
    from hookplugin.delivery.oauth2 import Token, Tokens
    from hookplugin.delivery.receiver import Receiver

USER_AGENT: Final = f"hookplugin/{__version__}"


class Sender:
    """POST bodies to one receiver, from any thread."""

    def __init__(self, receiver: Receiver, sessions: Sessions, signers: Mapping[str, Signer] | None = None) -> None:
        """Prepare what all requests to the receiver share.

        Args:
            receiver: to whom they go.
            sessions: through which they go.
            signers: what plugins offer.

        """
        self._receiver: Final = receiver
        self._sessions: Final = sessions
        self._headers: Final = {name: value for name, value in receiver.headers.items() if isinstance(value, SecretStr)}
        self._signer: Final = signer_of(receiver.signer, signers or {}) if receiver.is_signed else None
        self._tokens: Final = _tokens_of(receiver)
        self._changes: Final = any(isinstance(one, FileSecret) for one in (receiver.address, *receiver.secrets))
        self._redacted: tuple[frozenset[str], tuple[str, ...]] = (frozenset(), ())
        if scheme := scheme_of(receiver.signer):
            for secret in receiver.secret:
                must_pass(secret, scheme.check)

    def send(self, request_id: str, body: Body, headers: Mapping[str, str]) -> Attempt:
        """Make one attempt; a complete 2xx status line and headers are success, anything else is not.

        Args:
            request_id: the `webhook-id` (Standard Webhooks 1.0).
            body: what to send, verbatim.
            headers: of this request alone; those that the receiver has anyway are sent, too.

        """
        started = time.monotonic()
        # signatures, a token, and what files hold now: that may have changed when the answer comes
        made = list(secrets_of(self._receiver)) if self._changes else []
        try:
            answer = self._send(self._request(request_id, body, headers), made, started)
        except ExchangeError as error:
            detail = ": ".join(filter(None, (error.detail, self._redact(error.quoted, made))))
            outcome = Outcome(state="dead", reason=error.reason, detail=detail, milliseconds=_since(started))
            return Attempt(outcome, body, error.retry_after)
        took, reason = _since(started), answer.reason
        outcome = Outcome(
            state="dead" if reason else "delivered",
            reason=reason,
            status=answer.status,
            detail=self._redact(answer.text, made),
            milliseconds=took,
        )
        mark = self._receiver.mark if reason is Reason.gone else None
        return Attempt(outcome, body, answer.retry_after if reason else None, mark)

    def _request(self, request_id: str, body: Body, headers: Mapping[str, str]) -> WireRequest:
        receiver, now = self._receiver, int(time.time())
        fixed = {name: value.get_secret_value() for name, value in self._headers.items()}
        said = receiver.auth.header if receiver.auth else None
        authorization = {"Authorization": said} if said else {}
        return WireRequest(
            id=request_id,
            timestamp=now,
            method=receiver.method,
            url=receiver.address.get_secret_value(),
            headers={**fixed, **headers, **authorization, **own_headers(request_id, now, body)},
            content=body.content,
        )

    def _send(self, request: WireRequest, made: list[str], started: float) -> Answer:
        deadline = started + self._receiver.timeout.total
        while True:
            token, is_new = self._token(made, deadline)
            shown = request.with_headers({"Authorization": f"Bearer {token.text}"}) if token else request
            signed = self._signed(shown, made)
            answer = exchange(self._sessions, signed, self._receiver.timeout, deadline)
            if answer.status != 401 or self._tokens is None or token is None or is_new:
                return answer
            self._tokens.reject(token)  # it was taken back before its end

    def _token(self, made: list[str], deadline: float) -> tuple[Token | None, bool]:
        if self._tokens is None:
            return None, False
        timeout = self._receiver.timeout
        token, is_new = self._tokens.get(
            lambda asking: exchange(self._sessions, asking, timeout, deadline), deadline - time.monotonic()
        )
        made.append(token.text)
        return token, is_new

    def _signed(self, request: WireRequest, made: list[str]) -> WireRequest:
        """Sign a request; what cannot be signed is not sent."""
        if self._signer is None:
            return request
        secrets = tuple(secret.get_secret_value() for secret in self._receiver.secret)
        try:
            with hiding(lambda: (*secrets_of(self._receiver), *made)):
                signed = self._signer(replace(request, secrets=secrets))
        except (ValueError, OfferError) as error:
            detail = f"the signer {self._receiver.signer.name!r} failed"
            said = str(error) if isinstance(error, OfferError) else describe(error)
            raise ExchangeError(Reason.failed, detail, said) from None
        made += (value for name, value in signed.headers.items() if request.headers.get(name) != value)
        made += (split_target(signed.url)[1],) if signed.url != request.url else ()
        return signed

    def _redact(self, text: str, made: list[str]) -> str:
        """Return what others said, without what is secret in a request."""
        if not text:
            return ""
        secrets = frozenset(secrets_of(self._receiver))
        if secrets != self._redacted[0]:
            self._redacted = secrets, spellings(secrets)
        more = set(made) - secrets
        known = self._redacted[1]
        return redact(text, sorted({*known, *spellings(more)}, key=len, reverse=True) if more else known)


def own_headers(request_id: str, timestamp: int, body: Body) -> dict[str, str]:
    """Return what every request says of itself (Standard Webhooks 1.0; RFC 9110)."""
    return {
        "User-Agent": USER_AGENT,
        "Content-Type": body.content_type,
        "webhook-id": request_id,
        "webhook-timestamp": str(timestamp),
    }


def _tokens_of(receiver: Receiver) -> Tokens | None:
    if receiver.auth is None or receiver.auth.oauth2 is None:
        return None
    from hookplugin.delivery.oauth2 import Tokens  # noqa: PLC0415 - needs a package that nobody else needs

    return Tokens(receiver.auth.oauth2)


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
