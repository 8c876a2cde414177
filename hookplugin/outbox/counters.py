"""Counters: how often what happened; in the outbox, so that all its processes count together.

What is stored is counted by triggers of its tables, in the same transaction; see `schema`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Final, TypeAlias

from hookplugin.outbox import schema, statements

Counts: TypeAlias = Counter[tuple[str, tuple[str, ...]]]
"""By name and labels."""

Counters: TypeAlias = dict[str, dict[tuple[str, ...], float]]
"""What was counted: by name, then by labels."""

MOST: Final = 10_000
"""Rows that are read; labels are names of the configuration, of sources and of plugins, which are few."""


def bucket(seconds: float) -> str:
    """Return the bucket of a duration: its upper bound, as it is stored."""
    return schema.bound_text(next((bound for bound in schema.BUCKETS if seconds <= bound), inf))


def add(connection: sqlite3.Connection, counts: Mapping[tuple[str, tuple[str, ...]], float]) -> None:
    """Add to counters, in a transaction."""
    rows = [[name, json.dumps(labels), count] for (name, labels), count in counts.items()]
    connection.execute(statements.COUNT, {"rows": json.dumps(rows)})


def read(connection: sqlite3.Connection) -> Counters:
    """Return all counters: name, labels, value."""
    found: Counters = {}
    for name, labels, value in connection.execute(statements.COUNTERS, {"most": MOST}):
        with suppress(ValueError, TypeError):  # a row may be damaged
            key = tuple(map(str, json.loads(labels)))
            found.setdefault(name, {})[key] = found.get(name, {}).get(key, 0.0) + float(value)
    return found


def stored(connection: sqlite3.Connection) -> list[Sequence[Any]]:
    """Return all counters as they are stored: who counts next writes their labels the same way."""
    return connection.execute(statements.COUNTERS, {"most": -1}).fetchall()


def add_stored(connection: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Add to counters what another outbox has stored."""
    names = ("name", "labels", "value")
    connection.executemany(statements.ADD_COUNTER, [dict(zip(names, row, strict=True)) for row in rows])
