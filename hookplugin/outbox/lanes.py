"""Lanes: what is claimed, and what becomes of it; first in, first out for each receiver and alert.

Every function works in a transaction of the caller's. Times are seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeAlias

from hookplugin.outbox import journal, statements
from hookplugin.outbox.owner import has_ended
from hookplugin.outbox.rows import (
    STATES,
    Taken,
    Waiting,
    alert_text,
    delivery_row,
    new_id,
    read_array,
    read_delivery,
    read_failure,
)
from hookspecs import Body, Delivery, Outcome

LEASE: Final = 30.0
"""Seconds for which a claim counts, unless it is renewed."""

LONGEST_PAUSE: Final = 300.0
"""Seconds, at most, until a delivery is due again; what is due later was written before the clock was set back."""

_STEP: Final = 500  # rows, so that no transaction takes long
_PASSES: Final = 8  # over what waits behind others, for the same reason

Pair: TypeAlias = tuple[Delivery, Outcome]
_Row: TypeAlias = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what may be claimed for a receiver."""

    receiver: str
    requests: int
    """How many, at most."""
    wait: float = 0.0
    """Seconds that the first of a batch waits for others."""
    most: int = 0
    """Deliveries in a batch; none for no batches."""
    at_once: bool = False
    """Whether batches wait no longer."""


@dataclass(frozen=True, slots=True)
class Waiters:
    """Hold deliveries that are not claimed."""

    rows: dict[str, int]
    """By id."""
    deliveries: list[Delivery]
    broken: list[int]
    """The rows of what cannot be read any more."""
    failed: dict[str, Outcome]
    """How their last attempts failed, by id."""
    requests: set[str]
    """The ids under which what was sent of them is kept."""


# Claiming


def claim(connection: sqlite3.Connection, wanted: Wanted, owner: str, now: float) -> tuple[list[Taken], float]:
    """Take what is due for a receiver, oldest first; return it, and when there may be more."""
    claimed: list[Taken] = []
    most = min(wanted.requests * max(wanted.most, 1), _STEP)
    values = {"receiver": wanted.receiver, "now": now, "most": most}
    full_at, more = inf, True
    for _ in range(_PASSES):
        free = wanted.requests - len(claimed)
        picked = read_array(connection, statements.PICK, values)
        heads, parked = _sort(picked)
        if parked:
            connection.execute(statements.PARK, {"seqs": json.dumps(parked)})
            # else they would be behind what is parked behind them, at the next look
            connection.execute(statements.HEADS, {"seqs": json.dumps([row[_SEQ] for row in heads])})
        alone, batches, full_at = _requests(connection, heads, wanted, now)
        alone, batches = alone[:free], batches[: max(free - len(alone), 0)]
        if alone:
            taken = {"seqs": json.dumps([row[_SEQ] for row in alone]), "owner": owner}
            connection.execute(statements.TAKE, taken)
        for batch, rows in batches:
            taken = {"seqs": json.dumps([row[_SEQ] for row in rows]), "owner": owner, "batch": batch}
            connection.execute(statements.TAKE_BATCH, taken)
        for request, rows in (*((row[_ID], [row]) for row in alone), *batches):
            content = _kept(connection, request) if rows[0][_FAILED] else None
            claimed.append(Taken(request, tuple(rows), max(row[_EXPIRES] for row in rows), content))
        more = bool(parked or (len(picked) >= most and claimed))
        if not parked or len(claimed) >= wanted.requests:
            break
    if more:
        return claimed, now
    return claimed, min(full_at, _next_due(connection, wanted.receiver, now))


# columns of PICK
_SEQ, _ID, _BODY, _ATTEMPTS, _BATCH, _EXPIRES, _FAILED, _ACCEPTED, _KEY, _FATE = 0, 1, 3, 7, 8, 9, 10, 11, 12, 13


def _sort(picked: Iterable[_Row]) -> tuple[list[_Row], list[int]]:
    """Tell the heads of lanes from what comes behind them."""
    heads: list[_Row] = []
    parked: list[int] = []
    met: set[str] = set()
    for row in picked:
        if row[_FATE] == 3 or row[_KEY] in met:
            parked.append(row[_SEQ])
        else:
            heads.append(row)
            met.add(row[_KEY])
    return heads, parked


def _requests(
    connection: sqlite3.Connection, heads: Iterable[_Row], wanted: Wanted, now: float
) -> tuple[list[_Row], list[tuple[str, list[_Row]]], float]:
    """Return what is sent by itself, batches by their ids (formed once, and new ones), and when the next is formed."""
    alone: list[_Row] = []
    formed: dict[str, list[_Row]] = {}
    waiting: dict[str, list[_Row]] = {}
    for row in heads:
        if row[_BATCH]:
            if row[_BATCH] not in formed:
                members = read_array(connection, statements.MEMBERS, {"batch": row[_BATCH]})
                formed[row[_BATCH]] = read_array(connection, statements.READ, {"seqs": json.dumps(members)})
        elif wanted.most and not row[_ATTEMPTS]:  # what was sent by itself stays so
            waiting.setdefault(row[_BODY], []).append(row)
        else:
            alone.append(row)
    batches = [(batch, rows) for batch, rows in formed.items() if rows]
    full_at = inf
    for rows in waiting.values():
        while rows:
            first = rows[0][_ACCEPTED]
            waits = first <= now < first + wanted.wait  # else it waited, or the clock was set back since
            if waits and len(rows) < wanted.most and not wanted.at_once:
                full_at = min(full_at, first + wanted.wait)
                break
            some, rows = rows[: wanted.most], rows[wanted.most :]  # noqa: PLW2901 - what is left of it
            batches.append((new_id(now) if len(some) > 1 else some[0][_ID], some))
    return alone, batches, full_at


def _kept(connection: sqlite3.Connection, request: str) -> Body | None:
    row = connection.execute(statements.KEPT, {"request": request}).fetchone()
    return Body(content=row[0], content_type=row[1]) if row else None


def _next_due(connection: sqlite3.Connection, receiver: str, now: float) -> float:
    """Return when something is due for a receiver again; never if nothing is."""
    due, last = connection.execute(statements.NEXT_DUE, {"receiver": receiver, "now": now}).fetchone()
    if last is not None and last > now + LONGEST_PAUSE:
        connection.execute(statements.DUE_NOW, {"receiver": receiver, "now": now, "ahead": now + LONGEST_PAUSE})
        return now
    return inf if due is None else float(due)


# Owners


def regain(connection: sqlite3.Connection, owner: str) -> None:
    """Give back what a commit has claimed that seemed to fail."""
    connection.execute(statements.TAKE_BACK, {"owner": owner})


def hold(connection: sqlite3.Connection, owner: str, now: float) -> None:
    """Let the claims of an owner count for a while from now."""
    connection.execute(statements.LEASE, {"owner": owner, "lease": now + LEASE})


def leave(connection: sqlite3.Connection, owner: str) -> None:
    """Give back all that an owner has claimed."""
    connection.execute(statements.TAKE_BACK, {"owner": owner})
    connection.execute(statements.LEAVE, {"owner": owner})


def take_back(connection: sqlite3.Connection, owner: str, now: float) -> Mapping[str, float]:
    """Take back what others have claimed who have ended, or are silent; return until when the other claims count."""
    others = {}
    for other, lease in read_array(connection, statements.OWNERS, {"owner": owner}):
        if lease is None or not now < lease <= now + 2 * LEASE or has_ended(other):
            leave(connection, other)
        else:
            others[other] = lease
    return others


def release(connection: sqlite3.Connection, owner: str, claimed: Iterable[Taken]) -> None:
    """Give back what was claimed, and not begun."""
    ids = [row[_ID] for one in claimed for row in one.rows]
    connection.execute(statements.RELEASE, {"owner": owner, "ids": json.dumps(ids)})


# Settling


def mine(connection: sqlite3.Connection, owner: str, deliveries: Sequence[Delivery]) -> dict[str, int]:
    """Return the rows, by id, of those of these claimed deliveries that are this owner's to settle."""
    rows = json.dumps([[one.id, one.attempts] for one in deliveries])
    found: dict[str, list[int]] = dict(read_array(connection, statements.MINE, {"owner": owner, "rows": rows}))
    return {one.id: found[one.id][0] for one in deliveries if one.id in found and found[one.id][1] == one.attempts}


def settle(connection: sqlite3.Connection, rows: Mapping[str, int], pairs: Sequence[Pair], now: float) -> None:
    """Store final outcomes, and let what waited behind go on; who did not hear may be told anew.

    Args:
        connection: in a transaction.
        rows: of the deliveries, by id.
        pairs: deliveries, and what became of each.
        now: the time.

    """
    settled = [
        [rows[one.id], STATES[out.state], out.reason, out.status, out.milliseconds, out.detail] for one, out in pairs
    ]
    _settle(connection, settled, now)
    for delivery, outcome in pairs:
        if outcome.state == "dead":
            journal.lose(connection, delivery)


def _settle(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]], now: float) -> None:
    connection.execute(statements.SETTLE, {"rows": json.dumps(rows), "now": now})


def retry(
    connection: sqlite3.Connection, rows: Mapping[str, int], pairs: Sequence[Pair], due: float, now: float
) -> None:
    """Store attempts that failed, and let their deliveries wait for the next one.

    Args:
        connection: in a transaction.
        rows: of the deliveries, by id.
        pairs: deliveries, and how the attempt failed.
        due: the time of the next one.
        now: the time.

    """
    failed = json.dumps(
        [[rows[one.id], due, out.reason, out.status, out.milliseconds, out.detail] for one, out in pairs]
    )
    connection.execute(statements.RETRY, {"rows": failed})
    connection.execute(statements.ATTEMPT, {"rows": failed, "now": now})


def regroup(connection: sqlite3.Connection, rows: Iterable[int], batch: str) -> None:
    """Make deliveries a batch of their own, or each its own request if the batch is a delivery's id."""
    connection.execute(statements.REGROUP, {"seqs": json.dumps(list(rows)), "batch": batch})


def keep_body(connection: sqlite3.Connection, request: str, body: Body) -> None:
    """Keep what a request has sent, for the next attempt."""
    values = {"request": request, "content": body.content, "content_type": body.content_type}
    connection.execute(statements.KEEP, values)


def drop_bodies(connection: sqlite3.Connection, requests: Iterable[str]) -> None:
    """Forget what requests have sent."""
    connection.execute(statements.DROP_KEPT, {"requests": json.dumps(list(requests))})


def add(connection: sqlite3.Connection, waiting: Sequence[Waiting], now: float) -> None:
    """Store deliveries that come of others: fallbacks."""
    rows = [delivery_row(one, alert_text(one.delivery.alert).whole, now) for one in waiting]
    connection.executemany(statements.ADD, rows)


def bury(connection: sqlite3.Connection, seqs: Sequence[int], outcome: Outcome, now: float) -> None:
    """Settle what cannot be read any more: it must not keep others waiting."""
    values = [STATES[outcome.state], outcome.reason, outcome.status, outcome.milliseconds, outcome.detail]
    _settle(connection, [[seq, *values] for seq in seqs], now)


def expired(connection: sqlite3.Connection, now: float) -> Waiters:
    """Return some of what waits and is older than it may be."""
    return _waiters(connection, statements.EXPIRED, {"now": now, "most": _STEP})


def waiting_for(connection: sqlite3.Connection, receiver: str) -> Waiters:
    """Return some of what waits for a receiver."""
    return _waiters(connection, statements.WAITING, {"receiver": receiver, "most": _STEP})


def next_expiry(connection: sqlite3.Connection) -> float:
    """Return when the next delivery is older than it may be; never if nothing waits."""
    row = connection.execute(statements.NEXT_EXPIRY).fetchone()
    return float(row[0]) if row else inf


def _waiters(connection: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> Waiters:
    found = Waiters({}, [], [], {}, set())
    if seqs := read_array(connection, statement, values):
        for row in read_array(connection, statements.READ, {"seqs": json.dumps(seqs)}):
            try:
                found.deliveries.append(read_delivery(row, row[_ATTEMPTS]))
                found.rows[row[1]] = row[0]
                found.requests.add(row[_BATCH])
                if row[_ATTEMPTS] and (failed := read_failure(row[-4:])):
                    found.failed[row[1]] = failed
            except ValueError:
                found.broken.append(row[0])
    return found


# Forgetting


def forget(connection: sqlite3.Connection, before: Mapping[int, float], now: float) -> int:
    """Forget some of what was settled before these times, by state; return of how many deliveries."""
    connection.execute(statements.FORGET_OWNERS, {"before": now - 100 * LEASE})
    return sum(
        _forget(connection, statements.FORGETTABLE, {"state": state, "before": time, "most": _STEP})
        for state, time in before.items()
    )


def forget_in_memory(connection: sqlite3.Connection, remembered: int) -> int:
    """Forget what was settled before the last so many deliveries came in; return of how many deliveries."""
    return _forget(connection, statements.FORGETTABLE_IN_MEMORY, {"remembered": remembered, "most": _STEP})


def _forget(connection: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> int:
    seqs = read_array(connection, statement, values)
    if seqs:
        for forgetting in statements.FORGET:
            connection.execute(forgetting, {"seqs": json.dumps(seqs)})
    return len(seqs)
