"""Health: what is the matter with a receiver; kept in the outbox, so that all processes know."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Final

from hookplugin.outbox import statements

BREAKS_AFTER: Final = 10
"""Failures in a row after which a receiver is only probed."""

LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds of a `Retry-After` (RFC 9110) that count."""

_FIRST_PROBE: Final = 5.0  # seconds
_LONGEST_PROBE: Final = 300.0


@dataclass(frozen=True, slots=True)
class Health:
    """Hold what is the matter with a receiver; times are seconds since 1970-01-01 UTC."""

    name: str
    failures: int = 0
    """In a row."""
    pause: float = 0.0
    """Seconds between probes."""
    until: float = 0.0
    """Nothing is sent before: the next probe is due then."""
    turn: float = 0.0
    """When its rate lets the next request pass."""
    paused: bool = False
    """By an operator."""
    gone: str | None = None
    """It answered 410: the mark of the URL that did."""
    asked: float = 0.0
    """Nothing is sent before: it asked for that."""
    asked_for: float = 0.0
    """Seconds from when it asked until then."""

    @property
    def is_probed(self) -> bool:
        """Say whether only one request at a time shall find out how it is."""
        return self.failures >= BREAKS_AFTER

    def as_of(self, now: float) -> Health:
        """Return the health at a time; what lies too far ahead was written before the clock was set back."""
        until, asked = min(self.until, now + self.pause), min(self.asked, now + self.asked_for)
        return self if (until, asked) == (self.until, self.asked) else replace(self, until=until, asked=asked)

    def opens_at(self, now: float) -> float:
        """Return when something may be sent."""
        return max(now, min(self.until, now + self.pause), min(self.asked, now + self.asked_for))

    def after_failure(self, retry_after: float | None, now: float) -> Health:
        """Return the health after an attempt that is to be made again."""
        until, pause, asked, asked_for = self.until, self.pause, min(self.asked, now + self.asked_for), self.asked_for
        # while it is shut, what fails was on the wire when that was found out
        if self.failures + 1 >= BREAKS_AFTER and self.opens_at(now) <= now:
            pause = min(pause * 2, _LONGEST_PROBE) if pause else _FIRST_PROBE
            until = now + pause
        if retry_after:
            asked_for = max(asked - now, min(retry_after, LONGEST_RETRY_AFTER))
            asked = now + asked_for
        return replace(self, failures=self.failures + 1, pause=pause, until=until, asked=asked, asked_for=asked_for)

    def after_answer(self) -> Health:
        """Return the health after an answer that settles: the receiver is there; what it asked for still counts."""
        if not self.failures:
            return self
        return replace(self, failures=0, pause=0.0, until=0.0)

    def is_well(self, now: float) -> bool:
        """Say whether there is nothing to remember."""
        return not (self.failures or self.paused or self.gone) and max(self.until, self.turn, self.asked) <= now


def read_health(connection: sqlite3.Connection) -> dict[str, Health]:
    """Return what is the matter with receivers, by name; the others are well."""
    (text,) = connection.execute(statements.RECEIVERS).fetchone()
    rows = json.loads(text)
    return {
        name: Health(name, failures, pause, until, turn, bool(paused), gone, asked, asked_for)
        for name, failures, pause, until, turn, paused, gone, asked, asked_for in rows
    }


def write_health(connection: sqlite3.Connection, healths: Iterable[Health], now: float) -> None:
    """Store what is the matter with receivers."""
    for health in healths:
        if health.is_well(now):
            connection.execute(statements.DROP_RECEIVER, {"name": health.name})
        else:
            connection.execute(statements.SET_RECEIVER, asdict(health))
