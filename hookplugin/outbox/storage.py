"""The storage under the outbox: one connection in each process, and what happens when the file fails."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from hookplugin.outbox import counters, lanes
from hookplugin.outbox.counters import Counts
from hookplugin.outbox.handle import Handle
from hookplugin.outbox.moving import keep_receivers, move
from hookplugin.outbox.opening import (
    PATIENCE,
    Durability,
    OutboxError,
    file_of,
    open_file,
    open_memory,
    patiently,
)
from hookplugin.outbox.owner import owner_name
from hookplugin.outbox.writer import Done, Routine, Work, Writer

AGAIN: Final = 1.0
"""Seconds until a storage that failed is tried again."""

_log = logging.getLogger("hookplugin")

Value = TypeVar("Value")


class Storage:
    """Run work on one SQLite file, or in memory; safe for threads and forks.

    While the file fails, work is done in memory, and what is there is moved when the file works again.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], float],
        *,
        durability: Durability,
        memory_meanwhile: bool,
    ) -> None:
        """Open it; the arguments and errors are those of `Store`."""
        self.path: Final = file_of(url)
        self.now: Final = clock
        self._durability: Final = durability
        self._memory_meanwhile = memory_meanwhile
        self._routine: Callable[[], Routine | None] = lambda: None
        self._owners: Final[dict[int, str]] = {}
        self._handles: Final[dict[int, Handle]] = {}
        self._writers: Final[dict[int, Writer]] = {}
        self._thread: Final = threading.local()
        self._close_later = False
        self._closed = False
        self._open(self._handle)

    @property
    def durable(self) -> bool:
        """Say whether what is accepted now outlives the process."""
        return self.path is not None and self._handle.memory is None

    def stay_durable(self) -> None:
        """Keep nothing in memory from now on: while the file fails, nothing is accepted, and it says so."""
        self._memory_meanwhile = False

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"the outbox {self.path or 'in memory'}"

    @property
    def owner(self) -> str:
        """Return the name of what this process claims."""
        pid = os.getpid()
        return self._owners.get(pid) or self._owners.setdefault(pid, owner_name())

    @property
    def writer(self) -> Writer:
        """Return the writer of this process."""
        pid = os.getpid()
        return self._writers.get(pid) or self._writers.setdefault(pid, Writer(self.commit, self._routine()))

    def attach(self, routine: Callable[[], Routine]) -> None:
        """Let the writer of each process end its transactions with a routine that is made there."""
        self._routine = routine

    def run(self, work: Callable[[sqlite3.Connection], Value]) -> Value:
        """Run work in the writer; when it returns, it is stored.

        Raises:
            OutboxError: it is not stored.
            Exception: whatever the work raises.

        """
        if self._reads:  # the writer would wait for this thread, and this for it
            raise self._in_use()
        value: Value = self.writer.run(work)
        return value

    def commit(self, works: Sequence[Work], *, sync: bool = True) -> list[Done]:
        """Run work in one transaction, in this thread; in memory, while the file fails.

        Args:
            works: to run, in this order.
            sync: whether it is to survive a power cut, if the configuration says so.

        """
        handle = self._handle
        with handle.lock:
            if self._closed or handle.busy or self._reads:
                error = OutboxError(f"{self.name} is closed") if self._closed else self._in_use()
                return [Done(error=error)] * len(works)
            handle.busy = True
            counted = handle.counts.copy()
            try:
                done = self._commit_somewhere(handle, [*works, *_counting(counted)], sync=sync)
                handle.counts -= counted
                return done[: len(works)]
            except OutboxError as error:
                return [Done(error=error)] * len(works)
            finally:
                handle.busy = False
                if self._closed:  # by a signal handler, meanwhile
                    handle.close()

    def count(self, name: str, *labels: str) -> None:
        """Count what happened beside what is stored; it is stored with what is committed next."""
        handle = self._handle
        with handle.lock:
            handle.counts[name, labels] += 1

    def read(self, work: Callable[[sqlite3.Connection], Value]) -> Value:
        """Run what only reads, in this thread; it keeps no other process waiting.

        Raises:
            OutboxError: the storage does not answer.

        """
        handle = self._handle
        if self._reads:
            raise self._in_use()
        self._thread.reads = True
        try:
            with handle.lock:
                if handle.busy:
                    raise self._in_use()
                connection = handle.memory or self._connection(handle)
                connection.execute("begin")
                try:
                    return work(connection)
                finally:
                    connection.rollback()
        except sqlite3.Error as error:
            raise self._error(error) from error
        finally:
            self._thread.reads = False
            if self._close_later:
                self.close()

    def changed_elsewhere(self) -> tuple[int, int]:
        """Return numbers that change when another process has written, or may have while the file was not open here.

        Raises:
            OutboxError: the storage does not answer.

        """
        (version,) = self.read(lambda connection: connection.execute("pragma data_version").fetchone())
        if self.durable:
            self._check_identity(self._handle)
        return self._handle.opened, int(version)

    def close(self) -> None:
        """Give back what is claimed and close the storage; every later call raises OutboxError."""
        self._close_later = self._reads  # the writer would wait for this thread
        if self._close_later:
            return
        used = os.getpid() in self._writers
        if used:
            self.writer.stop()
        handle = self._handle
        with handle.lock:
            if used and self.path and not handle.busy:
                self._return(handle, at_once=True)
            if used and handle.connection and not handle.busy:
                with suppress(sqlite3.Error):
                    leaving: list[Work] = [lambda connection: lanes.leave(connection, self.owner)]
                    _transaction(handle.connection, [*_counting(handle.counts), *leaving])
            self._closed = True
            if not handle.busy:
                handle.close()

    @property
    def _handle(self) -> Handle:
        """Return this process's handle: neither a connection nor a held lock survives a fork."""
        pid = os.getpid()
        return self._handles.get(pid) or self._handles.setdefault(pid, Handle())

    def _open(self, handle: Handle) -> None:
        """Open the file, and say at once what is no fault of the storage but a mistake."""
        with handle.lock:
            try:
                self._connection(handle)
            except sqlite3.Error as error:
                if not self._memory_meanwhile or error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                    raise self._error(error) from error
                self._fail(handle, error)

    def _fail(self, handle: Handle, error: Exception) -> None:
        """Keep deliveries in memory from now on."""
        memory = open_memory()
        if handle.connection:
            with suppress(sqlite3.Error):  # if it can be read still
                keep_receivers(handle.connection, memory)
        handle.close_file()
        _log.error("%s; deliveries are kept in memory until it works again", self._error(error))
        handle.memory, handle.failed_at = memory, time.monotonic()
        handle.broken = _identity(self.path) if _is_broken(error) else None

    def _commit_somewhere(self, handle: Handle, works: Sequence[Work], *, sync: bool) -> list[Done]:
        if self.path is None and handle.memory is None:
            handle.memory = open_memory()
        if self.path and handle.memory:
            self._return(handle)
        if handle.memory:
            return _together(handle.memory, works)
        try:
            connection = self._connection(handle)
            self._check_identity(handle)
            handle.sync(self._durability if sync else "normal")
            done = _together(connection, works)
            handle.sync(self._durability)  # now, when nobody waits for it
        except (sqlite3.Error, OutboxError) as error:
            if not self._memory_meanwhile or self.path is None:
                handle.close_file()
                raise self._error(error) from error
            self._fail(handle, error)
        else:
            return done
        assert handle.memory  # noqa: S101 - that is where it is kept now
        return _together(handle.memory, works)

    def _return(self, handle: Handle, *, at_once: bool = False) -> None:
        """Go back to the file, if it works again: what was kept in memory meanwhile is moved."""
        if handle.memory is None or (time.monotonic() - handle.failed_at < AGAIN and not at_once):
            return
        handle.failed_at = time.monotonic()
        if handle.broken and handle.broken == _identity(self.path):  # it will not mend itself
            return
        try:
            connection = self._connection(handle, patience=0.0)
            connection.execute("begin immediate")
            moved = move(handle.memory, connection, self.owner, self.now())
            connection.execute("commit")
        except Exception as error:  # noqa: BLE001 - whatever stands in a damaged row: the file must not stay locked
            if not isinstance(error, (sqlite3.Error, OutboxError)):
                _log.error("what was kept in memory cannot be moved to %s: %r", self.name, error)
            handle.close_file()
            return
        handle.memory.close()
        handle.memory = None
        _log.warning("%s works again; deliveries that were moved there from memory: %d", self.name, moved)

    def _connection(self, handle: Handle, patience: float = PATIENCE) -> sqlite3.Connection:
        if self._closed:
            message = f"{self.name} is closed"
            raise OutboxError(message)
        if self.path is None:
            handle.memory = handle.memory or open_memory()
            return handle.memory
        if handle.connection is None:
            handle.connection = open_file(self.path, patience)
            handle.identity = _identity(self.path)
            handle.opened += 1
        return handle.connection

    def _check_identity(self, handle: Handle) -> None:
        """See that what is open is still there: what is written to a deleted file ends with the process."""
        if handle.identity != _identity(self.path):
            message = f"{self.name} was deleted or replaced"
            raise OutboxError(message)

    @property
    def _reads(self) -> bool:
        """Say whether this thread reads, and a signal handler came in between."""
        return getattr(self._thread, "reads", False)

    def _in_use(self) -> OutboxError:
        """Return what a signal handler is told that came in between."""
        return OutboxError(f"{self.name} is in use by this very thread")

    def _error(self, error: Exception) -> OutboxError:
        if isinstance(error, OutboxError):
            return error
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        hint = f"; {_HINTS[code]}" if code in _HINTS else ""
        return OutboxError(f"{self.name} failed: {error}{hint}")


def _counting(counts: Counts) -> list[Work]:
    return [lambda connection: counters.add(connection, counts)] if counts else []


def _together(connection: sqlite3.Connection, works: Sequence[Work]) -> list[Done]:
    """Run work in one transaction; if some of it fails, each in its own.

    Raises:
        sqlite3.Error: the storage failed, and nothing of it is stored.

    """
    try:
        return _transaction(connection, works)
    except Exception as error:
        if _is_fault(error):
            raise
        if len(works) == 1:
            return [Done(error=_as_outbox_error(error))]
    return [done for work in works for done in _together(connection, [work])]


def _transaction(connection: sqlite3.Connection, works: Sequence[Work]) -> list[Done]:
    patiently(lambda: connection.execute("begin immediate"), PATIENCE)
    try:
        done = [Done(work(connection)) for work in works]
        connection.execute("commit")
    except BaseException:
        connection.rollback()  # of what SQLite has not rolled back itself
        raise
    return done


_FOR_WRITING: Final = "may this user write it, and the folder that it is in?"
_HINTS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_CORRUPT: "move it away, and a new one is made",
    sqlite3.SQLITE_NOTADB: "move it away, and a new one is made",
    sqlite3.SQLITE_FULL: "is the disk full?",
    sqlite3.SQLITE_IOERR: "is the disk full, or broken?",
    sqlite3.SQLITE_READONLY: _FOR_WRITING,
    sqlite3.SQLITE_CANTOPEN: _FOR_WRITING,
    sqlite3.SQLITE_PERM: _FOR_WRITING,
    sqlite3.SQLITE_BUSY: "another program holds it",
}
"""What to do, by SQLite's code."""


def _is_fault(error: Exception) -> bool:
    """Say whether it is the storage that failed, and not what was asked of it."""
    ours = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.NotSupportedError)
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, ours)


def _is_broken(error: Exception) -> bool:
    """Say whether the file is damaged, so that it will not work again by itself."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from another one under the same name; none if there is none."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _as_outbox_error(error: Exception) -> Exception:
    return OutboxError(f"the outbox refused it: {error}") if isinstance(error, sqlite3.Error) else error
