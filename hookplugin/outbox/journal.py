"""The journal: the alerts that came in last, and what was told of each; in the outbox, in its transactions."""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hookplugin.outbox import statements
from hookplugin.outbox.rows import notified_text, read_notified, read_outcome
from hookplugin.strategy.explain import TagsSeen
from hookplugin.strategy.notify import Firing, Held, Known
from hookspecs import Alert, Delivery, Outcome
from hookspecs.frozen import Frozen

RECENT: Final = 10_000
RECENT_IN_MEMORY: Final = 1_000
"""How many of the last alerts are listed."""

REMEMBERED: Final = 10_000_000
REMEMBERED_IN_MEMORY: Final = 100_000
"""Of how many of the last alerts it is remembered what was told."""

REMEMBERED_FOR: Final = 30 * 86400.0
"""Seconds for which that is remembered, from when the alert came in last."""

_log = logging.getLogger("hookplugin")


class RecentDelivery(Frozen):
    """Hold a delivery of a recent alert, as far as the outbox still knows it."""

    id: str
    receiver: str
    state: Literal["pending", "delivered", "dead", "forgotten"]
    outcome: Outcome | None = None


class RecentAlert(Frozen):
    """Hold an alert that came in, and what became of it."""

    received: datetime
    alert: Alert
    """Without `raw`; of one that is huge, only what tells it from others."""
    deliveries: tuple[RecentDelivery, ...]
    held: tuple[Held, ...]


def read_known(connection: sqlite3.Connection, fingerprint: str) -> Known:
    """Return what is known of an alert; what cannot be read any more is known no more, and told once too often."""
    seen = connection.execute(statements.SEEN, {"fingerprint": fingerprint}).fetchone()
    if seen is None:
        return Known()
    try:
        return Known(Firing(seen[0]), read_notified(seen[1]))
    except (ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
        _log.error("what was told of the alert %s cannot be read: %s", fingerprint, error)
        return Known()


def lose(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Remember that a receiver did not hear what it was to be told."""
    fingerprint = delivery.alert.fingerprint
    known = read_known(connection, fingerprint)
    notified = [replace(one, lost=one.lost or one.delivery == delivery.id) for one in known.notified]
    if notified != list(known.notified):
        values = {"fingerprint": fingerprint, "notified": notified_text(notified)}
        connection.execute(statements.RENOTIFY, values)


def forget(connection: sqlite3.Connection, now: float, added: int, *, durable: bool) -> None:
    """Forget what is older than it has to be, after so many alerts were added."""
    recent, remembered = (RECENT, REMEMBERED) if durable else (RECENT_IN_MEMORY, REMEMBERED_IN_MEMORY)
    connection.execute(statements.FORGET_RECENT, {"most": recent})
    values = {"horizon": now - REMEMBERED_FOR, "future": now + REMEMBERED_FOR, "most": remembered, "few": 2 * added}
    connection.execute(statements.FORGET_SEEN, values)


def read_recent(connection: sqlite3.Connection, since: float) -> list[tuple[Any, ...]]:
    """Return the rows of the alerts that came in since a time, oldest first, for `recent_alert`."""
    return [
        (*row, [(*one, connection.execute(statements.OUTCOME, {"id": one[0]}).fetchone()) for one in json.loads(sent)])
        for *row, sent in connection.execute(statements.RECENT, {"since": since}).fetchall()
    ]


def recent_alert(row: tuple[Any, ...]) -> RecentAlert:
    """Return what a row of `read_recent` says; it takes a while, and needs no transaction."""
    received, alert, held, deliveries = row
    return RecentAlert(
        received=datetime.fromtimestamp(received, UTC),
        alert=Alert.model_validate_json(alert),
        deliveries=tuple(_delivery(*delivery) for delivery in deliveries),
        held=tuple(Held(reason, receiver, *kind) for receiver, reason, *kind in json.loads(held)),
    )


def read_tags(connection: sqlite3.Connection, source: str | None) -> TagsSeen:
    """Return how many recent alerts a source had, and the names of their tags."""
    (alerts,) = connection.execute(statements.FROM_SOURCE, {"source": source}).fetchone()
    return TagsSeen(alerts, frozenset(name for (name,) in connection.execute(statements.TAGS, {"source": source})))


def _delivery(delivery_id: str, receiver: str, row: tuple[Any, ...] | None) -> RecentDelivery:
    outcome = read_outcome(row) if row else None
    state = outcome.state if outcome else "pending" if row else "forgotten"
    return RecentDelivery(id=delivery_id, receiver=receiver, state=state, outcome=outcome)
