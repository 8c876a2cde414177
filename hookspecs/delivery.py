"""What becomes of an alert: deliveries, bodies, outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Generic, Literal, Self, TypeVar

from hookspecs.alert import Alert
from hookspecs.frozen import Frozen


class Reason(StrEnum):
    """Say why a delivery was given up."""

    connection = "connection"
    """No connection, or it broke off."""
    timeout = "timeout"
    """The receiver did not answer in time."""
    tls = "tls"
    """The handshake or the certificate failed."""
    blocked = "blocked"
    """The operator's `network` does not let us reach the address."""
    redirect = "redirect"
    """3xx: redirects are never followed."""
    client_error = "client_error"
    """4xx, but for 410 and 429; or what a plugin's sender says of the kind."""
    gone = "gone"
    """410: the receiver wants nothing more; also what waits for it then."""
    rate_limited = "rate_limited"
    """429."""
    server_error = "server_error"
    """5xx; or what a plugin's sender says of the kind."""
    invalid_answer = "invalid_answer"
    """The receiver does not speak HTTP, or answered a status that is none."""
    expired = "expired"
    """It waited longer than the receiver's `max_age`."""
    failed = "failed"
    """An error of our own, or of a plugin; the log has more."""


Options = TypeVar("Options", covariant=True)  # noqa: PLC0105 - what authors read


class Body(Frozen):
    """Hold the exact bytes to POST and their media type (RFC 9110)."""

    content: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class WireRequest:
    """Hold one HTTP request as it is about to be sent; a signer makes another one of it.

    Its repr shows nothing that could be a secret.
    """

    id: str
    """Its `webhook-id`."""
    timestamp: int
    """Its `webhook-timestamp`, seconds since 1970-01-01 UTC; another one for each attempt."""
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """All but those that HTTP itself needs, such as `Content-Length`."""
    content: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The receiver's `secret:`, as it is written; several while it is rotated, the newest first."""

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return the request with more headers."""
        return replace(self, headers={**self.headers, **headers})


class Delivery(Frozen):
    """Hold one alert on its way to one receiver in one body.

    The id is the request's `webhook-id`, stable over retries and replays.
    """

    id: str
    alert: Alert
    receiver: str
    body: str
    """The name of the body."""
    strategies: tuple[str, ...] = ()
    """The strategies that chose the receiver."""
    via: tuple[str, ...] = ()
    """The receivers that were to hear before and did not; this one is the fallback of the last."""
    attempts: int = 0


class Outcome(Frozen):
    """Hold the final outcome of a delivery: delivered, or dead with the reason."""

    state: Literal["delivered", "dead"]
    reason: Reason | None = None
    status: int | None = None
    """The HTTP status, where there was an answer."""
    milliseconds: float = 0.0
    """From the start of the last attempt to its end."""
    detail: str = ""
    """For people: the error, or the first bytes of the receiver's answer; never a secret."""


@dataclass(frozen=True, slots=True)
class Message(Generic[Options]):
    """Hold one attempt to tell a receiver something, as a plugin's sender is handed it.

    Its repr shows nothing that could be a secret.
    """

    id: str
    """Of the request, stable over retries: a channel that keeps the ids it has seen tells nobody twice."""
    deliveries: tuple[Delivery, ...]
    """What is told; several for a receiver with `batch`."""
    body: Body = field(repr=False)
    """As it was rendered."""
    options: Options = field(repr=False)
    """The receiver's `options`, as the model that the sender has asked for; none if it has not."""
    timeout: float = 10.0
    """Seconds that the attempt may take; after that it counts as timed out, whatever comes of it."""

    @property
    def receiver(self) -> str:
        """Return the name of the receiver."""
        return self.deliveries[0].receiver


class SendError(Exception):
    """Say why a sender could not tell its receiver, and whether it is worth another attempt."""

    retry: bool = True
    """Whether it may work later; if not, the delivery is dead at once."""
    after: float | None = None
    """Seconds that the receiver asks for, until then."""

    def __init__(self, detail: str, *, retry: bool = True, after: float | None = None) -> None:
        """Hold the reason, which is for people."""
        super().__init__(detail)
        self.retry = retry
        self.after = after
