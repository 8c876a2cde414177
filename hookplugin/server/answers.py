"""Answers: what a sender is told of its alerts; small, however many they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from starlette.exceptions import HTTPException

from hookplugin.receipt import Receipt, Unsent
from hookspecs.frozen import Frozen, text

_MOST_IDS: Final = 100
_MOST_REASONS: Final = 10
_LONGEST: Final = 500  # characters of a reason


class Accepted(Frozen):
    """Count the deliveries that were accepted."""

    count: int
    ids: tuple[str, ...]
    """Of the first hundred."""


class Unheard(Frozen):
    """Count what nobody, or a receiver, does not hear of."""

    count: int
    reasons: tuple[str, ...]
    """The first ten that differ."""


class Answer(Frozen):
    """Say what became of alerts: stored are all of them, also those that nobody is to hear of."""

    accepted: Accepted
    suppressed: Unheard
    refused: Unheard
    """What plugins could not do with them; ours has stored them all the same."""


class Trouble(Frozen):
    """Say what is wrong."""

    error: str


class Health(Frozen):
    """Say how the process is."""

    status: Literal["alive", "ready"]


class NotStoredError(Exception):
    """Say that alerts were not stored, and why."""


def answer_to(receipt: Receipt) -> Answer:
    """Return what a sender is told of alerts that are all stored.

    Raises:
        NotStoredError: some are not; the sender is to send them again.
        HTTPException: 400: some cannot be read; the others are stored.

    """
    missed = [one for one in receipt.refused if one.retry]
    if missed or not receipt.durable:
        raise NotStoredError(_joined(missed or receipt.refused) or "the alerts cannot be stored now")
    unread = [one for one in receipt.refused if one.alert is None]
    if unread:
        raise HTTPException(400, f"{len(unread)} cannot be read, the others count: {_joined(unread)}")
    return Answer(
        accepted=Accepted(count=len(receipt.deliveries), ids=receipt.accepted[:_MOST_IDS]),
        suppressed=_unheard(receipt.suppressed),
        refused=_unheard(receipt.refused),
    )


def trouble(message: str) -> Trouble:
    """Return an error as it may be sent: foreign text may hold what UTF-8 does not, or have no end."""
    return Trouble(error=_short(message, 2 * _MOST_REASONS * _LONGEST))


def _unheard(unsent: Iterable[Unsent]) -> Unheard:
    unsent = list(unsent)
    return Unheard(count=len(unsent), reasons=tuple(_reasons(unsent)[:_MOST_REASONS]))


def _joined(unsent: Iterable[Unsent]) -> str:
    reasons = _reasons(unsent)
    more = f"; and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
    return "; ".join(reasons[:_MOST_REASONS]) + more


def _reasons(unsent: Iterable[Unsent]) -> list[str]:
    return list(dict.fromkeys(_short(one.reason) for one in unsent))


def _short(message: str, longest: int = _LONGEST) -> str:
    message = text(message)
    return message if len(message) <= longest else f"{message[:longest]}…"
