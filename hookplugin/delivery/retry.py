"""Retry: which attempts are made again, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from hookplugin.delivery.health import Health
from hookplugin.outbox.lanes import LONGEST_PAUSE
from hookplugin.outbox.rows import Claimed
from hookspecs import Body, Outcome, Reason

_JITTER: Final = 0.2  # of a pause, either way
_RETRIED: Final = frozenset({Reason.connection, Reason.timeout, Reason.tls, Reason.rate_limited, Reason.server_error})
_RETRIED_STATUSES: Final = frozenset({408, 425})
_SPLIT_STATUSES: Final = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Attempt:
    """Hold what came of one request."""

    outcome: Outcome
    """Delivered; or dead, if it is not made again."""
    body: Body | None = None
    """What was sent."""
    retry_after: float | None = None
    """Seconds that the receiver asked for."""
    mark: str | None = None
    """Of the URL that wants nothing more; the present one if none."""
    fallback: bool = False
    """Whether the fallback was sent instead of the body that was asked for."""
    again: bool = False
    """Whether it is made again, whatever the outcome says."""
    too_large: bool = False
    """Whether the whole of a batch would not fit into the body; then nothing was sent."""


def is_retried(outcome: Outcome) -> bool:
    """Say whether an attempt is made again: nobody answered in HTTP, or the receiver asks for another time."""
    if outcome.state == "delivered":
        return False
    if outcome.status is None and outcome.reason is Reason.invalid_answer:
        return True
    return outcome.reason in _RETRIED or outcome.status in _RETRIED_STATUSES


def backoff(failed: int) -> float:
    """Return the seconds until the next attempt, after so many: about 1, 2, 4, … and at most `LONGEST_PAUSE`."""
    pause = min(2.0 ** min(failed - 1, 30), LONGEST_PAUSE)
    return min(pause * random.uniform(1 - _JITTER, 1 + _JITTER), LONGEST_PAUSE)  # noqa: S311 - only spreads them


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what becomes of a request after an attempt."""

    health: Health
    """Of its receiver from now on."""
    final: Outcome | None = None
    """Of all its deliveries; none if there is another attempt."""
    due: float = 0.0
    """When that is."""
    split: bool = False
    """Whether it is made in two halves."""
    gone: bool = False
    """Whether the receiver wants nothing more."""


def judge(claimed: Claimed, attempt: Attempt, health: Health, now: float) -> Verdict:
    """Decide what becomes of a request.

    Args:
        claimed: the request.
        attempt: what came of it.
        health: of its receiver until now.
        now: seconds since 1970-01-01 UTC.

    """
    outcome = attempt.outcome
    if attempt.too_large:
        return Verdict(health, due=now, split=True)
    if attempt.again or is_retried(outcome):
        health = health.after_failure(attempt.retry_after, now)
        due = now + backoff(claimed.failed + 1)
        return Verdict(health, None if due < claimed.expires else outcome, due)
    health = health.after_answer()
    refused = outcome.status in _SPLIT_STATUSES or (outcome.status is None and outcome.reason is Reason.client_error)
    if refused and len(claimed.deliveries) > 1:  # one of them may be to blame, or the size
        return Verdict(health, due=now, split=True)
    return Verdict(health, outcome, gone=outcome.reason is Reason.gone)
