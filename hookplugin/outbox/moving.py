"""Moving: what was kept in memory while the file failed goes into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hookplugin.outbox import counters, lanes, statements

_TABLES: Final = ("kept", "recent", "seen")
_STATE: Final = "state"
_SETTLE_TOO: Final = """update outbox set state = :state, settled = :settled, owner = null,
        reason = :reason, status = :status, milliseconds = :milliseconds, detail = :detail
    where id = :id and settled is null"""


def move(memory: sqlite3.Connection, file: sqlite3.Connection, owner: str, now: float) -> int:
    """Copy everything into the file, inside its transaction; return how many deliveries still waited.

    What is on the wire stays claimed by its owner, who settles it there.
    """
    counted = counters.stored(file)
    rows: dict[int, int] = {}
    apart: set[str] = set()
    pending = 0
    for row in _rows(memory, "outbox"):
        old = row.pop("seq")
        if new := _move_delivery(file, row, apart):
            rows[old] = new
            pending += row[_STATE] <= 3
    for batch in apart:
        file.execute("update outbox set batch = null where batch = :batch and settled is null", {"batch": batch})
    (refused,) = memory.execute("select refused from tally").fetchone()
    file.execute(statements.REFUSE, {"refused": refused})
    _move_attempts(rows, memory, file)
    for table in _TABLES:
        for row in _rows(memory, table):
            row.pop("seq", None)
            if row.get("request") not in apart:
                _insert(file, table, row)
    for row in _rows(memory, "receiver"):
        file.execute(statements.MEET_RECEIVER, row)
    _move_counters(counted, memory, file)
    lanes.hold(file, owner, now)
    return pending


def _move_attempts(rows: Mapping[int, int], memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    for row in _rows(memory, "attempt"):
        row.pop("seq")
        if row["delivery"] in rows:
            _insert(file, "attempt", row | {"delivery": rows[row["delivery"]]})


def _move_counters(counted: Sequence[Sequence[Any]], memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    """Add what was counted in memory; the moving was counted, too, and is not to be."""
    file.execute("delete from counter")
    for rows in (counted, counters.stored(memory)):
        counters.add_stored(file, rows)


def keep_receivers(file: sqlite3.Connection, memory: sqlite3.Connection) -> None:
    """Copy what is the matter with receivers into memory."""
    for row in _rows(file, "receiver"):
        memory.execute(statements.SET_RECEIVER, row)


def _move_delivery(file: sqlite3.Connection, row: dict[str, Any], apart: set[str]) -> int | None:
    """Return the row that it has in the file; none if a commit that seemed to fail has stored it there.

    A batch of which one has to wait behind another is added to those that are sent apart.
    """
    if row[_STATE] == 3:
        row[_STATE] = 0  # its place in the lane is found anew
    try:
        return _insert(file, "outbox", row)
    except sqlite3.IntegrityError:
        if file.execute("select 1 from outbox where id = :id", row).fetchone():
            if row[_STATE] > 3:
                file.execute(_SETTLE_TOO, row)
            return None
        # its lane has another head there
        apart |= {row["batch"]} - {None}
        return _insert(file, "outbox", row | {_STATE: 0, "batch": None})


def _rows(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"select * from {table}")  # noqa: S608 - a name of ours
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    values = ", ".join(f":{name}" for name in row)
    kind = "insert" if table in {"outbox", "attempt"} else "insert or replace"
    statement = f"{kind} into {table}({', '.join(row)}) values ({values})"
    return connection.execute(statement, row).lastrowid or 0
