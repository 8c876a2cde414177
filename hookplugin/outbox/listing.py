"""What people see of the outbox, and do with it: list, count, replay and forget deliveries.

Every function works in a transaction of the caller's. Times are seconds since 1970-01-01 UTC, but in what is shown.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from hookplugin.outbox import lanes, statements
from hookplugin.outbox.rows import read_array
from hookspecs import Alert
from hookspecs.frozen import Frozen

State: TypeAlias = Literal["pending", "sending", "delivered", "dead"]
"""How a delivery stands, in the words of people."""

STATES: Final[tuple[State, ...]] = get_args(State)

STEP: Final = 500
"""Rows, at most, that one transaction changes."""

_BY_NUMBER: Final[Sequence[State]] = ("pending", "pending", "sending", "pending", "delivered", "dead")
_PARKED: Final = 3
_FIRST: Final = 10_000  # pending deliveries of a receiver, among which the oldest is looked for
_FIRST_FEW: Final = 100  # the same, where nobody may wait for it: a replay may be older than it looks
_DAY: Final = 86400.0


class Attempt(Frozen):
    """Hold what came of an attempt; what cannot be read any more is none."""

    at: datetime | None
    reason: str | None
    """Why it failed; none if it was delivered."""
    status: int | None
    milliseconds: float | None
    detail: str | None
    """The error, or the first bytes of the receiver's answer."""


class StoredDelivery(Frozen):
    """Hold a delivery as the outbox has it; what cannot be read any more is none."""

    id: str
    receiver: str
    body: str
    strategies: tuple[str, ...]
    via: tuple[str, ...]
    state: State
    accepted: datetime | None
    due: datetime | None
    """When its next attempt is; none if it does not wait for a time."""
    settled: datetime | None
    attempts: int
    reason: str | None
    """Why it is dead, or why the last attempt failed."""
    status: int | None
    milliseconds: float | None
    detail: str | None
    batch: str | None
    """The id of the request, if that is a batch."""
    alert: Alert | None
    """Without `raw`."""


class ReceiverCount(Frozen):
    """Count the deliveries to a receiver."""

    receiver: str
    pending: int = 0
    sending: int = 0
    delivered: int = 0
    dead: int = 0
    dead_last_day: int = 0
    oldest: datetime | None = None
    """When the oldest pending one was accepted."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Say which deliveries are meant."""

    states: Sequence[State] = STATES
    receiver: str | None = None
    since: float | None = None
    """Settled at this time or later; accepted, if it is not settled."""
    reason: str | None = None


# Looking


def select(connection: sqlite3.Connection, selection: Selection, most: int = -1) -> list[int]:
    """Return the rows that are meant.

    Args:
        connection: in a transaction.
        selection: says which.
        most: of each state, the newest; all if negative.

    """
    values = {"receiver": selection.receiver, "since": selection.since, "reason": selection.reason, "most": most}
    finders = {
        "pending": statements.FIND_PENDING,
        "sending": statements.FIND_SENDING,
        "delivered": statements.FIND_SETTLED,
        "dead": statements.FIND_SETTLED,
    }
    return [
        seq
        for state in selection.states
        for seq in read_array(connection, finders[state], values | {"state": _BY_NUMBER.index(state)})
    ]


def find(connection: sqlite3.Connection, delivery_id: str) -> int | None:
    """Return the row of a delivery; none if it is not here."""
    row = connection.execute(statements.FIND, {"id": delivery_id}).fetchone()
    return row[0] if row else None


def newest(connection: sqlite3.Connection, selection: Selection, most: int) -> list[StoredDelivery]:
    """Return the deliveries that are meant, newest first: by when they were settled, else accepted."""
    rows = _stored(connection, select(connection, selection, most))
    rows.sort(key=lambda row: (_number(row[_SETTLED]) or _number(row[_ACCEPTED]) or 0.0, row[_SEQ]), reverse=True)
    return [_delivery(row) for row in rows[:most]]


def show(connection: sqlite3.Connection, seq: int) -> tuple[StoredDelivery, tuple[Attempt, ...]]:
    """Return a delivery and its history: every attempt, and how it ended."""
    (row,) = _stored(connection, [seq])
    rows = connection.execute(statements.ATTEMPTS, {"seq": seq}).fetchall()
    if row[_SETTLED] is not None:
        rows.append((row[_SETTLED], *row[_REASON:_SEQ]))
    return _delivery(row), tuple(map(_attempt, rows))


def knows(connection: sqlite3.Connection, receiver: str) -> bool:
    """Say whether there is anything about a receiver."""
    return bool(connection.execute(statements.KNOWS, {"receiver": receiver}).fetchone()[0])


def count(connection: sqlite3.Connection, now: float) -> tuple[list[ReceiverCount], int]:
    """Count the deliveries to each receiver, and what was refused for want of room."""
    pending = connection.execute(statements.COUNT_PENDING).fetchall()
    others = connection.execute(statements.COUNT_OTHERS, {"day": now - _DAY}).fetchall()
    return _by_receiver(connection, (*pending, *others), _FIRST), refused(connection)


def refused(connection: sqlite3.Connection) -> int:
    """Return how many deliveries were refused for want of room."""
    return int(connection.execute(statements.REFUSED).fetchone()[0])


def backlog(connection: sqlite3.Connection) -> list[ReceiverCount]:
    """Count what waits, what is on the wire and what was given up for each receiver; what was delivered is left out."""
    pending = connection.execute(statements.COUNT_PENDING).fetchall()
    others = connection.execute(statements.COUNT_UNDELIVERED).fetchall()
    return _by_receiver(connection, (*pending, *others), _FIRST_FEW)


def _by_receiver(connection: sqlite3.Connection, rows: Iterable[Sequence[Any]], few: int) -> list[ReceiverCount]:
    """Return what rows of receiver, state, deliveries and those of the last day say of each receiver."""
    found: dict[str, dict[str, Any]] = {}
    for receiver, number, deliveries, last_day in rows:
        counts = found.setdefault(str(receiver), {})
        state = _BY_NUMBER[number]
        counts[state] = counts.get(state, 0) + deliveries
        if state == "dead":
            counts["dead_last_day"] = last_day
    for receiver, counts in found.items():
        if "pending" in counts:
            counts["oldest"] = _oldest(connection, receiver, few)
    return [ReceiverCount(receiver=name, **counts) for name, counts in sorted(found.items())]


def _oldest(connection: sqlite3.Connection, receiver: str, few: int) -> datetime | None:
    values = {"receiver": receiver, "few": few}
    return _moment(connection.execute(statements.OLDEST, values).fetchone()[0])


# Replaying


def steps(connection: sqlite3.Connection, seqs: Iterable[int], most: int = STEP) -> list[list[int]]:
    """Divide rows for transactions, the oldest first; who is in a batch together stays together."""
    seqs = sorted(seqs)
    batches: dict[int, str] = dict(read_array(connection, statements.BATCHES, {"seqs": json.dumps(seqs)}))
    together: dict[str | int, list[int]] = {}
    for seq in seqs:
        together.setdefault(batches.get(seq, seq), []).append(seq)
    divided: list[list[int]] = [[]]
    for group in together.values():
        if divided[-1] and len(divided[-1]) + len(group) > most:
            divided.append([])
        divided[-1] += group
    return divided if divided[0] else []


def replay(
    connection: sqlite3.Connection,
    seqs: Iterable[int],
    max_age: Callable[[str], float],
    now: float,
    *,
    delivered: bool = False,
) -> list[tuple[str, str]]:
    """Let what is dead wait to be delivered again; return the ids and receivers of what does so now.

    A batch that is replayed as a whole stays one, with its id, unless another delivery is on the way in one of its
    lanes: two in one lane are never sent at once.

    Args:
        connection: in a transaction.
        seqs: the rows; what is not dead any more is left alone.
        max_age: of each receiver, in seconds.
        now: the time.
        delivered: whether what is delivered is replayed, too.

    """
    lowest = _BY_NUMBER.index("delivered" if delivered else "dead")
    rows = read_array(connection, statements.SETTLED, {"seqs": json.dumps(list(seqs)), "lowest": lowest})
    if not rows:
        return []
    connection.execute(statements.LAST_ATTEMPTS, {"seqs": json.dumps([seq for seq, *_ in rows])})
    waiting = [[seq, now + max_age(receiver)] for seq, _, receiver, _ in rows]
    connection.execute(statements.REPLAY, {"rows": json.dumps(waiting), "now": now})
    for batch in dict.fromkeys(batch for *_, batch in rows if batch):
        (whole,) = connection.execute(statements.IS_WHOLE, {"batch": batch}).fetchone()
        connection.execute(statements.HEAD_BATCH if whole else statements.LEAVE_BATCH, {"batch": batch})
    lanes.drop_bodies(connection, {batch or delivery_id for _, delivery_id, _, batch in rows})
    return [(delivery_id, receiver) for _, delivery_id, receiver, _ in rows]


# Forgetting


def forget(connection: sqlite3.Connection, seqs: Iterable[int]) -> tuple[int, int]:
    """Forget deliveries, but for those on the wire; return how many are forgotten, and how many are not."""
    seqs = list(seqs)
    sending = set(read_array(connection, statements.SENDING, {"seqs": json.dumps(seqs)}))
    values = {"seqs": json.dumps([seq for seq in seqs if seq not in sending])}
    connection.execute(statements.STEP_ASIDE, values)
    *others, deliveries = statements.FORGET
    for forgetting in others:
        connection.execute(forgetting, values)
    return connection.execute(deliveries, values).rowcount, len(sending)


# Reading

_ACCEPTED, _SETTLED, _REASON, _SEQ = 7, 9, 12, 16  # columns of STORED


def _stored(connection: sqlite3.Connection, seqs: Iterable[int]) -> list[tuple[Any, ...]]:
    return connection.execute(statements.STORED, {"seqs": json.dumps(list(seqs))}).fetchall()


def _delivery(row: Sequence[Any]) -> StoredDelivery:
    """Return what a row says; another version may have written it, or the storage has changed it."""
    delivery_id, receiver, body, strategies, via, alert, number, accepted, due, settled, attempts, batch, *last = row
    waits = _BY_NUMBER[number] == "pending" and number != _PARKED
    reason, status, milliseconds, detail = _last(last)
    return StoredDelivery(
        id=str(delivery_id),
        receiver=str(receiver),
        body=str(body),
        strategies=tuple(_texts(strategies)),
        via=tuple(_texts(via)),
        state=_BY_NUMBER[number],
        accepted=_moment(accepted),
        due=_moment(due) if waits and due else None,
        settled=_moment(settled),
        attempts=attempts if isinstance(attempts, int) else 0,
        reason=reason,
        status=status,
        milliseconds=milliseconds,
        detail=detail,
        batch=str(batch) if batch and batch != delivery_id else None,
        alert=_alert(alert),
    )


def _attempt(row: Sequence[Any]) -> Attempt:
    reason, status, milliseconds, detail = _last(row[1:])
    return Attempt(at=_moment(row[0]), reason=reason, status=status, milliseconds=milliseconds, detail=detail)


def _last(columns: Sequence[Any]) -> tuple[str | None, int | None, float | None, str | None]:
    reason, status, milliseconds, detail = columns[:4]
    return (
        None if reason is None else str(reason),
        status if isinstance(status, int) else None,
        _number(milliseconds),
        None if detail is None else str(detail),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _moment(value: object) -> datetime | None:
    with suppress(TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(value, UTC)  # type: ignore[arg-type]  # that is what is suppressed
    return None


def _texts(text: object) -> Iterator[str]:
    with suppress(TypeError, ValueError):
        found = json.loads(text)  # type: ignore[arg-type]  # that is what is suppressed
        if isinstance(found, list):
            yield from map(str, found)


def _alert(text: object) -> Alert | None:
    with suppress(TypeError, ValueError):
        return Alert.model_validate_json(text).model_copy(update={"raw": None})  # type: ignore[arg-type]  # as above
    return None
