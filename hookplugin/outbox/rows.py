"""Rows: what the outbox stores, as values and back."""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from hookplugin.strategy.notify import Held, Known, Notified
from hookspecs import Alert, Body, Delivery, Outcome, Reason
from hookspecs.alert import tag_text

STATES: Final[Mapping[Literal["delivered", "dead"], int]] = {"delivered": 4, "dead": 5}
"""The numbers of final states."""

_log = logging.getLogger("hookplugin")
_FOREIGN: Final = ("raw", "group")  # what may be huge, and may hold what cannot be written
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
    fields = alert.model_dump(exclude_none=True, exclude=set(_FOREIGN))
    plain = _text(fields)
    whole = plain
    foreign = {name: found for name in _FOREIGN if (found := getattr(alert, name)) is not None}
    if foreign:
        try:
            whole = _text({**fields, **foreign})
        except ValueError as error:
            _log.warning("an alert is kept without the payload it came from, which cannot be written: %s", error)
    tags = [name for name in islice(alert.tags, _MOST_TAGS) if len(name) <= _LONGEST_NAME]
    return AlertText(whole, plain if len(plain) <= _LONGEST else _cut(alert), alert.source, json.dumps(tags))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold a delivery that is to be stored, and for how many seconds it may wait."""

    delivery: Delivery
    max_age: float
    """Until it is given up."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold the rows of a request that was claimed; reading them takes longer than claiming them."""

    id: str
    """The `webhook-id`: the delivery's, or the batch's own."""
    rows: tuple[Sequence[Any], ...]
    """Of its deliveries: seq, id, receiver, body, strategies, via, alert, earlier attempts, batch, expiry, earlier
    failures, and whatever follows."""
    expires: float
    """When the last of them does; seconds since 1970-01-01 UTC."""
    content: Body | None = None
    """What an earlier attempt has sent; none if there was none."""

    @property
    def receiver(self) -> str:
        """Return who is to hear."""
        receiver: str = self.rows[0][2]
        return receiver

    def read(self) -> Claimed:
        """Return what is to be sent.

        Raises:
            ValueError: another version has written it, or the storage has changed it.

        """
        deliveries = tuple(read_delivery(row, row[7] + 1) for row in self.rows)
        return Claimed(self.id, deliveries, self.expires, self.content, self.rows[0][10])


@dataclass(frozen=True, slots=True)
class Claimed:
    """Hold what is sent in one request: a delivery, or a batch of them for one receiver in one body."""

    id: str
    """The `webhook-id`: the delivery's, or the batch's own."""
    deliveries: tuple[Delivery, ...]
    expires: float
    """When they do; seconds since 1970-01-01 UTC."""
    content: Body | None = None
    """What an earlier attempt has sent; none if there was none."""
    failed: int = 0
    """Earlier attempts of which it is known that they failed."""

    @property
    def receiver(self) -> str:
        """Return who is to hear."""
        return self.deliveries[0].receiver

    @property
    def attempts(self) -> int:
        """Return the number of the attempt."""
        return self.deliveries[0].attempts


def new_id(now: float) -> str:
    """Make an id that sorts by time, which keeps inserts at the end of the index."""
    return f"{int(now * 1000):012x}{secrets.token_hex(10)}"


def delivery_row(waiting: Waiting, text: str, now: float) -> Mapping[str, Any]:
    """Return a delivery as it is stored.

    Args:
        waiting: the delivery.
        text: its alert, as `alert_text` writes it.
        now: when it is accepted.

    """
    delivery = waiting.delivery
    return {
        "id": delivery.id,
        "receiver": delivery.receiver,
        "key": delivery.alert.fingerprint,
        "body": delivery.body,
        "strategies": json.dumps(delivery.strategies),
        "via": json.dumps(delivery.via) if delivery.via else "[]",
        "alert": text,
        "accepted": now,
        "expires": now + waiting.max_age,
    }


def incoming_row(  # noqa: PLR0913, PLR0917 - all that is stored of an alert
    alert: Alert, text: AlertText, waiting: Sequence[Waiting], held: Sequence[Held], known: Known | None, now: float
) -> Mapping[str, Any]:
    """Return what is stored of an alert that came in.

    Args:
        alert: what came in.
        text: the same as `alert_text` writes it.
        waiting: its deliveries.
        held: who is not to hear of it.
        known: what is known of it from now on; nothing changes if none.
        now: when it came in.

    """
    rows = [delivery_row(one, "", now) for one in waiting]
    return {
        "fingerprint": alert.fingerprint if known else None,
        "firing": known.firing if known else None,
        "notified": notified_text(known.notified) if known else None,
        "at": now,
        "alert": text.whole,
        "rows": json.dumps([[row[name] for name in _OWN] for row in rows]),
        "source": text.source,
        "tags": text.tags,
        "recent": text.recent,
        "deliveries": json.dumps([[one.delivery.id, one.delivery.receiver] for one in waiting]),
        "held": json.dumps([[one.receiver, one.reason, one.kind] for one in held]) if held else "[]",
    }


_OWN: Final = ("id", "receiver", "body", "strategies", "expires")  # what deliveries of one alert do not share


def read_array(connection: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """Return the one JSON array that a statement answers."""
    (text,) = connection.execute(statement, values).fetchone()
    found: list[Any] = json.loads(text)
    return found


def read_delivery(row: Sequence[Any], attempts: int) -> Delivery:
    """Return a delivery as it was stored.

    Args:
        row: seq, id, receiver, body, strategies, via, alert, and whatever follows.
        attempts: of the delivery.

    Raises:
        ValueError: another version has written it, or the storage has changed it.

    """
    _, delivery_id, receiver, body, strategies, via, alert, *_ = row
    try:
        return Delivery(
            id=delivery_id,
            alert=Alert.model_validate_json(alert),
            receiver=receiver,
            body=body,
            strategies=tuple(json.loads(strategies)),
            via=tuple(json.loads(via)) if via != "[]" else (),
            attempts=attempts,
        )
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def read_failure(row: Sequence[Any]) -> Outcome | None:
    """Return how the last attempt of a delivery failed; none if there was none.

    Raises:
        ValueError: another version has written it, or the storage has changed it.

    """
    return read_outcome((STATES["dead"], *row)) if row[0] else None


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


def notified_text(notified: Iterable[Notified]) -> str:
    """Return what receivers were told as it is stored."""
    return json.dumps([[getattr(one, name) for name in _FIELDS] for one in notified])


def read_notified(text: str) -> tuple[Notified, ...]:
    """Return what receivers were told.

    Raises:
        ValueError, TypeError, OverflowError, OSError: another version has written it, or the storage has changed it.

    """
    notified = _NOTIFIED.validate_python([dict(zip(_FIELDS, row, strict=True)) for row in json.loads(text)])
    for one in notified:
        datetime.fromtimestamp(one.at, UTC)  # raises for what no calendar has
    return notified


_FIELDS: Final = tuple(field.name for field in fields(Notified))
_NOTIFIED: Final = TypeAdapter(tuple[Notified, ...])


def _cut(alert: Alert) -> str:
    kept = alert.model_dump(include={"content", "target", "source", "fingerprint"}, exclude_none=True)
    cut: dict[str, Any] = {name: value[:_LONGEST_FIELD] for name, value in kept.items()}
    tags = islice(alert.tags.items(), _MOST_TAGS)
    cut["tags"] = {name: value for name, value in tags if len(name) + len(tag_text(value)) <= _LONGEST_NAME}
    return _text({**cut, "id": alert.id, "priority": alert.priority, "status": alert.status})


_ENCODER: Final = json.JSONEncoder(default=datetime.isoformat)


def _text(fields: Mapping[str, Any]) -> str:
    """Write an alert exactly: pydantic's own JSON has no NaN, and no seconds in the offset of a time."""
    return _ENCODER.encode(fields)
