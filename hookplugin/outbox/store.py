"""The outbox on SQLite: accept, claim, settle."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from hookplugin.outbox import journal, statements
from hookplugin.outbox.handle import Handle
from hookplugin.outbox.journal import RecentAlert
from hookplugin.outbox.rows import STATES, alert_text, delivery_row, read_delivery, read_outcome
from hookplugin.strategy.explain import TagsSeen
from hookplugin.strategy.notify import Held, Known
from hookspecs import Alert, Delivery, Outcome, Reason

MEMORY: Final = "sqlite:///:memory:"
"""The outbox that is lost when the process ends."""

SETTLED_IN_MEMORY: Final = 10_000
"""How many deliveries at least an outbox in memory remembers."""

_log = logging.getLogger("hookplugin")
_BUSY: Final = 5.0  # seconds to wait for another process
_PROCESS: Final = secrets.token_hex(4)  # a container's process often gets the same number again after a restart


class OutboxError(Exception):
    """Say that the storage failed, and how."""


def file_of(url: str) -> Path | None:
    """Return the file of an outbox; none if it is in memory."""
    return None if url == MEMORY else Path(url.removeprefix("sqlite:///"))


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold what is stored of one alert: its deliveries, who is not to hear of it, and what is known from now on."""

    deliveries: tuple[Delivery, ...]
    held: tuple[Held, ...]
    known: Known


Incoming: TypeAlias = tuple[Alert, Callable[[Known, float], Entry]]
"""An alert, and what decides about it: from what is known of it, and the time in seconds since 1970-01-01 UTC."""


class Store:
    """Keep deliveries in one SQLite file, or in memory; safe for threads and forks."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Open the outbox, and take back what processes that ended had claimed.

        Args:
            url: `sqlite:///PATH`, or `sqlite:///:memory:`.
            clock: seconds since 1970-01-01 UTC.

        Raises:
            OutboxError: the file cannot be opened, or a newer version has written it.

        """
        self.path: Final = url.removeprefix("sqlite:///")
        self.now: Final = clock
        self._closed = False
        self._name: Final = f"{_PROCESS}-{secrets.token_hex(4)}"
        self._handles: dict[int, Handle] = {}
        with self._transaction():
            pass

    @property
    def durable(self) -> bool:
        """Say whether what is accepted outlives the process."""
        return self.path != ":memory:"

    def accept(self, incoming: Iterable[Incoming]) -> list[Entry]:
        """Decide about alerts and store what comes of it, in one transaction; when it returns, all is stored.

        Args:
            incoming: each alert, and what decides about it from what is known of it.

        Raises:
            OutboxError: nothing of it is stored.

        """
        now = self.now()
        written = [(alert, alert_text(alert), decide) for alert, decide in incoming]  # not while others wait
        entries = []
        with self._transaction() as connection:
            for alert, text, decide in written:
                known = journal.read_known(connection, alert.fingerprint)
                entry = decide(known, now)
                rows = [delivery_row(delivery, text, now) for delivery in entry.deliveries]
                connection.executemany(statements.ACCEPT, rows)
                journal.write_known(connection, alert.fingerprint, known, entry.known, now)
                journal.write_recent(connection, text, entry.deliveries, entry.held, now)
                entries.append(entry)
            journal.forget(connection, now, len(entries), durable=self.durable)
        return entries

    def known(self, alert: Alert) -> tuple[Known, TagsSeen]:
        """Return what is known of an alert, and the tags that recent alerts of its source had.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction(write=False) as connection:
            tags = journal.read_tags(connection, alert.source)
            return journal.read_known(connection, alert.fingerprint), tags

    def recent(self, since: float) -> list[RecentAlert]:
        """Return the alerts that came in since a time, oldest first, with what became of each.

        Args:
            since: seconds since 1970-01-01 UTC.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction(write=False) as connection:
            rows = journal.read_recent(connection, since)
        return [alert for row in rows if (alert := self._recent(row))]

    def claim(self, room: Mapping[str, int]) -> list[Delivery]:
        """Take what is due, oldest first.

        What cannot be read any more is dead: it must not keep the others waiting.

        Args:
            room: how many deliveries each receiver has a free place for.

        Raises:
            OutboxError: nothing was claimed.

        """
        claimed: list[tuple[Any, ...]] = []
        with self._transaction() as connection:
            for receiver, free in room.items():
                values = {"receiver": receiver, "room": free, "now": self.now(), "owner": self._owner}
                claimed += connection.execute(statements.CLAIM, values).fetchall()
        return [delivery for row in sorted(claimed) if (delivery := self._read(row))]

    def take_back(self) -> None:
        """Take back what processes that ended had claimed.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction() as connection:
            _take_back(connection)

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Store the final outcome of a delivery that this process has claimed; who did not hear may be told anew.

        Raises:
            OutboxError: it is not stored.

        """
        with self._transaction() as connection:
            if self._settle(connection, delivery.id, outcome) and outcome.state == "dead":
                journal.lose(connection, delivery)

    def outcomes(self, ids: Iterable[str]) -> dict[str, Outcome | None]:
        """Return the outcomes of deliveries by id; none for one that has none yet, and no id that is not here.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction(write=False) as connection:
            rows = {wanted: connection.execute(statements.OUTCOME, {"id": wanted}).fetchone() for wanted in ids}
        return {wanted: read_outcome(row) for wanted, row in rows.items() if row}

    def unsettled(self, receivers: Iterable[str]) -> int:
        """Count what waits for these receivers, and what this process has claimed for them.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction(write=False) as connection:
            rows = [
                row
                for receiver in receivers
                for row in connection.execute(statements.UNSETTLED, {"receiver": receiver, "owner": self._owner})
            ]
        return sum(count for (count,) in rows)

    def close(self) -> None:
        """Give back what is claimed and close the storage; every later call raises OutboxError."""
        with suppress(OutboxError), self._transaction() as connection:
            connection.execute(statements.TAKE_BACK, {"owner": self._owner})
        handle = self._handle
        with handle.lock:
            self._closed = True
            if not handle.busy:
                handle.close()

    @property
    def _owner(self) -> str:
        return f"{os.getpid()}-{self._name}"

    def _settle(self, connection: sqlite3.Connection, delivery_id: str, outcome: Outcome) -> bool:
        """Settle a delivery, and say whether it was this process that had claimed it."""
        values = {
            **outcome.model_dump(),
            "state": STATES[outcome.state],
            "id": delivery_id,
            "now": self.now(),
            "owner": self._owner,
        }
        settled = connection.execute(statements.SETTLE, values).rowcount > 0
        if not self.durable:
            connection.execute(statements.FORGET, {"remembered": SETTLED_IN_MEMORY})
        return settled

    def _read(self, row: tuple[Any, ...]) -> Delivery | None:
        try:
            return read_delivery(row)
        except ValueError as error:
            _log.error("the outbox %s holds a delivery that cannot be read, %s: %s", self.path, row[1], error)
            outcome = Outcome(state="dead", reason=Reason.failed, detail="it cannot be read any more")
            with suppress(OutboxError), self._transaction() as connection:
                self._settle(connection, row[1], outcome)  # else it stays claimed, and is given back at the end
            return None

    def _recent(self, row: tuple[Any, ...]) -> RecentAlert | None:
        try:
            return journal.recent_alert(row)
        except ValueError as error:
            _log.error("the outbox %s holds an alert that cannot be read: %s", self.path, error)
            return None

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[sqlite3.Connection]:
        """Run statements in one transaction; storage errors become OutboxError.

        One that only reads keeps no other process waiting.
        """
        handle = self._handle
        with handle.lock:
            if self._closed or handle.busy:
                message = f"the outbox {self.path} is {'closed' if self._closed else 'in use by this very thread'}"
                raise OutboxError(message)
            handle.busy = True
            try:
                connection = handle.connection = handle.connection or self._open()
                connection.execute("begin immediate" if write else "begin")
                try:
                    yield connection
                    connection.execute("commit")
                except BaseException:
                    connection.rollback()  # of what SQLite has not rolled back itself
                    raise
            except sqlite3.Error as error:
                message = f"the outbox {self.path} failed: {error}"
                raise OutboxError(message) from error
            finally:
                handle.busy = False
                if self._closed:  # by a signal handler, meanwhile
                    handle.close()

    @property
    def _handle(self) -> Handle:
        """Return this process's handle: neither a connection nor a held lock survives a fork."""
        pid = os.getpid()
        return self._handles.get(pid) or self._handles.setdefault(pid, Handle(file=self.durable))

    def _open(self) -> sqlite3.Connection:
        if self.durable:
            _create_private(Path(self.path))
        connection = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _use_wal(connection)
        connection.execute("pragma synchronous = full")
        (version,) = connection.execute("pragma user_version").fetchone()
        if version > statements.VERSION:
            message = f"the outbox {self.path} was written by a newer hookplugin; upgrade, or name another file"
            raise OutboxError(message)
        connection.execute("begin immediate")
        for statement in statements.SCHEMA:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {statements.VERSION}")
        _take_back(connection)
        connection.execute("commit")


def _take_back(connection: sqlite3.Connection) -> None:
    for (owner,) in connection.execute(statements.OWNERS).fetchall():
        if not _is_alive(owner):
            connection.execute(statements.TAKE_BACK, {"owner": owner})


def _create_private(path: Path) -> None:
    """Create the file for its owner only; SQLite gives its side files the same mode.

    A file that is there is not touched: closing it would drop the locks of every other connection of this process.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"cannot open the outbox {path}: {reason}"
        raise OutboxError(message) from None


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; SQLite does not wait when another process is about to do the same."""
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _is_alive(owner: str) -> bool:
    """Say whether the process of a claim lives; that it has closed its outbox is no question, it gave all back."""
    pid, process, _ = owner.split("-")
    if int(pid) == os.getpid():
        return process == _PROCESS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
