"""Rows: what the outbox stores, as values and back."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from hookplugin.strategy.notify import Notified
from hookspecs import Alert, Delivery, Outcome, Reason
from hookspecs.alert import tag_text

STATES: Final[Mapping[Literal["delivered", "dead"], int]] = {"delivered": 4, "dead": 5}
"""The numbers of final states."""

_log = logging.getLogger("hookplugin")
_LONGEST: Final = 16 * 1024  # characters of a recent alert
_LONGEST_FIELD: Final = 1000  # characters of its texts, if it is longer
_LONGEST_NAME: Final = 100  # characters of the name of a tag
_MOST_TAGS: Final = 100  # of an alert, that are known by their names


@dataclass(frozen=True, slots=True)
class AlertText:
    """Hold an alert as it is stored; writing it takes longer than storing it."""

    whole: str
    recent: str
    """Without the payload it came from; of one that is huge, only what tells it from others."""
    source: str | None
    tags: str
    """The names of its tags; of many, or of long ones, only some."""


def alert_text(alert: Alert) -> AlertText:
    """Write an alert; without its payload, if that holds a number with more digits than Python writes."""
    fields = alert.model_dump(exclude_none=True, exclude={"raw"})
    plain = _text(fields)
    whole = plain
    if alert.raw is not None:
        try:
            whole = _text({**fields, "raw": alert.raw})
        except ValueError as error:
            _log.warning("an alert is kept without the payload it came from, which cannot be written: %s", error)
    tags = [name for name in islice(alert.tags, _MOST_TAGS) if len(name) <= _LONGEST_NAME]
    return AlertText(whole, plain if len(plain) <= _LONGEST else _cut(alert), alert.source, json.dumps(tags))


def delivery_row(delivery: Delivery, text: AlertText, accepted: float) -> Mapping[str, Any]:
    """Return a delivery as it is stored."""
    return {
        "id": delivery.id,
        "receiver": delivery.receiver,
        "body": delivery.body,
        "strategies": json.dumps(delivery.strategies),
        "alert": text.whole,
        "accepted": accepted,
    }


def read_delivery(row: Sequence[Any]) -> Delivery:
    """Return a delivery that was claimed.

    Raises:
        ValueError: another version has written it, or the storage has changed it.

    """
    _, delivery_id, receiver, body, strategies, alert, attempts = row
    return Delivery(
        id=delivery_id,
        alert=Alert.model_validate_json(alert),
        receiver=receiver,
        body=body,
        strategies=tuple(json.loads(strategies)),
        attempts=attempts,
    )


def read_outcome(row: Sequence[Any]) -> Outcome | None:
    """Return the outcome of a delivery; none if it has none yet."""
    number, reason, status, milliseconds, detail = row
    for state, settled in STATES.items():
        if number == settled:
            return Outcome(
                state=state,
                reason=Reason(reason) if reason else None,
                status=status,
                milliseconds=milliseconds,
                detail=detail,
            )
    return None


def notified_row(fingerprint: str, one: Notified) -> Mapping[str, Any]:
    """Return what a receiver was told as it is stored."""
    receiver, body = one.copy
    return {
        "fingerprint": fingerprint,
        "receiver": receiver,
        "body": body or "",
        "status": one.status,
        "priority": one.priority,
        "trigger_times": json.dumps(one.trigger_times),
        "at": one.at,
        "pause": one.pause,
        "firing": one.firing,
        "recovery": json.dumps(one.recovery),
        "delivery": one.delivery,
        "lost": one.lost,
    }


def read_notified(row: Sequence[Any]) -> Notified:
    """Return what a receiver was told.

    Raises:
        ValueError, TypeError, OverflowError, OSError: another version has written it, or the storage has changed it.

    """
    receiver, body, status, priority, trigger_times, at, pause, firing, recovery, delivery, lost = row
    one = _NOTIFIED.validate_python(
        {
            "copy": (receiver, body or None),
            "status": status,
            "priority": priority,
            "trigger_times": json.loads(trigger_times),
            "at": at,
            "pause": pause,
            "firing": firing,
            "recovery": json.loads(recovery),
            "delivery": delivery,
            "lost": lost,
        }
    )
    datetime.fromtimestamp(one.at, UTC)  # raises for what no calendar has
    return one


_NOTIFIED: Final = TypeAdapter(Notified)


def _cut(alert: Alert) -> str:
    kept = alert.model_dump(include={"content", "target", "source", "fingerprint"}, exclude_none=True)
    cut: dict[str, Any] = {name: value[:_LONGEST_FIELD] for name, value in kept.items()}
    tags = islice(alert.tags.items(), _MOST_TAGS)
    cut["tags"] = {name: value for name, value in tags if len(name) + len(tag_text(value)) <= _LONGEST_NAME}
    return _text({**cut, "id": alert.id, "priority": alert.priority, "status": alert.status})


def _text(fields: Mapping[str, Any]) -> str:
    """Write an alert exactly: pydantic's own JSON has no NaN, and no seconds in the offset of a time."""
    return json.dumps(fields, default=datetime.isoformat)
