"""What one process has open of an outbox, safe around forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import Counter
from typing import Final

from hookplugin.outbox.counters import Counts

_WAIT: Final = 5.0  # seconds that a fork waits for a transaction to end
_known: Final[weakref.WeakSet[Handle]] = weakref.WeakSet()
_knowing: Final = threading.Lock()
_forking: Final = threading.local()


class Handle:
    """Hold connections, and the lock of those who use them.

    A fork waits until nobody does: SQLite's own locks, held by another thread, would stay locked in the child for
    ever. A connection to a file is closed, and opened again when it is needed: SQLite's table of file locks is
    inherited, so a child would believe that it holds what only its parent holds.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self.lock: Final = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        """To the file."""
        self.opened = 0
        """How many times it was."""
        self.memory: sqlite3.Connection | None = None
        """Where deliveries are kept when there is no file, or while it fails."""
        self.failed_at = 0.0
        """When the file was tried last and failed, on the monotonic clock."""
        self.identity: tuple[int, int] | None = None
        """Device and inode of the file that is open."""
        self.broken: tuple[int, int] | None = None
        """Device and inode of the file, if it is damaged."""
        self._durability = ""
        self.counts: Counts = Counter()
        """What happened beside what is stored, and was not counted yet."""
        self.busy = False
        """Whether the thread that holds the lock is in a transaction: a signal handler may come in between."""
        with _knowing:
            _known.add(self)

    def sync(self, durability: str) -> None:
        """Let the next transactions of the file be synced (full), or survive only a kill (normal)."""
        if self.connection and durability != self._durability:
            self.connection.execute(f"pragma synchronous = {durability}")
            self._durability = durability

    def close_file(self) -> None:
        """Close the connection to the file, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            self._durability = ""

    def close(self) -> None:
        """Close all there is."""
        self.close_file()
        if self.memory is not None:
            self.memory.close()
            self.memory = None


def _before_fork() -> None:
    with _knowing:
        handles = list(_known)
    _forking.handles = [handle for handle in handles if handle.lock.acquire(timeout=_WAIT)]
    for handle in _forking.handles:
        if not handle.busy:
            handle.close_file()


def _after_fork() -> None:
    for handle in _forking.handles:
        handle.lock.release()


if hasattr(os, "register_at_fork"):  # where nothing forks, there is none
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
