"""The outbox: alerts and their deliveries go in together, and it says what became of them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from hookplugin.outbox import journal, statements
from hookplugin.outbox.journal import RecentAlert
from hookplugin.outbox.opening import Durability
from hookplugin.outbox.rows import AlertText, Waiting, alert_text, incoming_row, read_outcome
from hookplugin.outbox.storage import Storage
from hookplugin.strategy.explain import TagsSeen
from hookplugin.strategy.notify import Held, Known
from hookspecs import Alert, Delivery, Outcome

_log = logging.getLogger("hookplugin")
_FORGET_EVERY: Final = 100  # alerts
_LOOK_EVERY: Final = 100  # deliveries, until it looks again how many wait; so many more each process may accept


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold what is stored of one alert: its deliveries, who is not to hear of it, and what is known from now on."""

    waiting: tuple[Waiting, ...]
    held: tuple[Held, ...]
    known: Known
    durable: bool = False
    """Whether it is in the file; only what was stored says so."""
    refused: str | None = None
    """Why it was not stored, because there is no room."""

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Return the deliveries."""
        return tuple(one.delivery for one in self.waiting)


_Decide: TypeAlias = Callable[[Known, float], Entry]
Incoming: TypeAlias = tuple[Alert, _Decide]
"""An alert, and what decides about it: from what is known of it, and the time in seconds since 1970-01-01 UTC."""


class Store(Storage):
    """Keep deliveries, and say what became of alerts."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.time,
        *,
        durability: Durability = "full",
        max_pending: int = 1_000_000,
        memory_meanwhile: bool = True,
    ) -> None:
        """Open the outbox.

        Args:
            url: `sqlite:///PATH`, or `sqlite:///:memory:`.
            clock: seconds since 1970-01-01 UTC.
            durability: of each commit to a file.
            max_pending: how many deliveries may wait.
            memory_meanwhile: keep deliveries in memory while the file fails; else raise OutboxError then.

        Raises:
            OutboxError: this can be no outbox, or a newer version has written it.

        """
        super().__init__(url, clock, durability=durability, memory_meanwhile=memory_meanwhile)
        self._max_pending: Final = max_pending
        self._accepted = 0
        self._room = 0
        """How many deliveries may be accepted before it looks again how many wait."""
        self._full = False

    def accept(self, incoming: Iterable[Incoming]) -> list[Entry]:
        """Decide about alerts and store what comes of it, in one transaction; when it returns, all is stored.

        Args:
            incoming: each alert, and what decides about it from what is known of it.

        Raises:
            OutboxError: nothing of it is stored.

        """
        written = [(alert, alert_text(alert), decide) for alert, decide in incoming]  # not while others wait

        def work(connection: sqlite3.Connection) -> list[Entry]:
            return self._accept(connection, written)

        entries = self.run(work) if written else []
        if refused := next((entry.refused for entry in entries if entry.refused), None):
            if not self._full:
                _log.error("%s", refused)
            self._full = True
        elif any(entry.waiting for entry in entries):
            self._full = False
        return entries

    def try_to_write(self) -> None:
        """See that the storage can be written, by writing what is there already.

        Raises:
            OutboxError: it cannot.

        """

        def write(connection: sqlite3.Connection) -> None:
            # SQLite leaves out an update that changes nothing, but not this
            (version,) = connection.execute("pragma user_version").fetchone()
            connection.execute(f"pragma user_version = {version}")

        self.run(write)

    def known(self, alert: Alert) -> tuple[Known, TagsSeen]:
        """Return what is known of an alert, and the tags that recent alerts of its source had.

        Raises:
            OutboxError: the storage does not answer.

        """
        return self.read(
            lambda connection: (
                journal.read_known(connection, alert.fingerprint),
                journal.read_tags(connection, alert.source),
            )
        )

    def recent(self, since: float) -> list[RecentAlert]:
        """Return the alerts that came in since a time, oldest first, with what became of each.

        Args:
            since: seconds since 1970-01-01 UTC.

        Raises:
            OutboxError: the storage does not answer.

        """
        rows = self.read(lambda connection: journal.read_recent(connection, since))
        return [alert for row in rows if (alert := self._recent(row))]

    def outcomes(self, ids: Iterable[str]) -> dict[str, Outcome | None]:
        """Return the outcomes of deliveries by id; none for one that has none yet, and no id that is not here.

        Raises:
            OutboxError: the storage does not answer.

        """
        wanted = list(ids)
        rows = self.read(
            lambda connection: {one: connection.execute(statements.OUTCOME, {"id": one}).fetchone() for one in wanted}
        )
        return {one: read_outcome(row) for one, row in rows.items() if row}

    def unsettled(self, receivers: Iterable[str]) -> int:
        """Count what waits for these receivers, and what this process has claimed for them.

        Raises:
            OutboxError: the storage does not answer.

        """
        wanted, owner = list(receivers), self.owner
        counts: list[int] = self.read(
            lambda connection: [
                connection.execute(statements.UNSETTLED, {"receiver": one, "owner": owner}).fetchone()[0]
                for one in wanted
            ]
        )
        return sum(counts)

    def _accept(
        self, connection: sqlite3.Connection, written: Sequence[tuple[Alert, AlertText, _Decide]]
    ) -> list[Entry]:
        now, durable = self.now(), self.durable
        entries: list[Entry] = []
        for alert, text, decide in written:
            known = journal.read_known(connection, alert.fingerprint)
            entry = replace(decide(known, now), durable=durable)
            if reason := self._refusal(connection, len(entry.waiting)):
                connection.execute(statements.REFUSE, {"refused": len(entry.waiting)})
                entry = Entry((), (Held(reason),), known, durable=durable, refused=reason)
            knows = None if reason else entry.known
            row = incoming_row(alert, text, entry.waiting, entry.held, knows, now)
            connection.execute(statements.ACCEPT, row)
            entries.append(entry)
        waiting = [one for entry in entries for one in entry.waiting]
        if waiting and (routine := self.writer.routine):
            counts = Counter(one.delivery.receiver for one in waiting)
            routine.expect(counts, now + min(one.max_age for one in waiting))
        self._accepted += len(entries)
        if self._accepted >= _FORGET_EVERY or not durable:
            journal.forget(connection, now, self._accepted, durable=durable)
            self._accepted = 0
        return entries

    def _refusal(self, connection: sqlite3.Connection, count: int) -> str | None:
        """Say why so many more cannot be accepted; none if they can. It looks only now and then how many wait."""
        self._room -= count
        if count and self._room < 0:
            (pending,) = connection.execute(statements.PENDING).fetchone()
            room = self._max_pending - pending
            self._room = min(room - count, _LOOK_EVERY)
            if room < count:
                self._room = 0
                return f"{self.name} is full: {pending} deliveries wait, and max_pending is {self._max_pending}"
        return None

    def _recent(self, row: tuple[Any, ...]) -> RecentAlert | None:
        try:
            return journal.recent_alert(row)
        except ValueError as error:
            _log.error("%s holds an alert that cannot be read: %s", self.name, error)
            return None
