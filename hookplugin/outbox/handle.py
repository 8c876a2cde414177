"""What one process has open of an outbox, safe around forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from typing import Final

_WAIT: Final = 5.0  # seconds that a fork waits for a transaction to end
_known: Final[weakref.WeakSet[Handle]] = weakref.WeakSet()
_knowing: Final = threading.Lock()
_forking: Final = threading.local()


class Handle:
    """Hold a connection, and the lock of those who use it.

    A fork waits until nobody does: SQLite's own locks, held by another thread, would stay locked in the child for
    ever. A connection to a file is closed, and opened again when it is needed: SQLite's table of file locks is
    inherited, so a child would believe that it holds what only its parent holds.
    """

    def __init__(self, *, file: bool) -> None:
        """Open nothing yet."""
        self.file: Final = file
        self.lock: Final = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.busy = False
        """Whether the thread that holds the lock is in a transaction: a signal handler may come in between."""
        with _knowing:
            _known.add(self)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _before_fork() -> None:
    with _knowing:
        handles = list(_known)
    _forking.handles = [handle for handle in handles if handle.lock.acquire(timeout=_WAIT)]
    for handle in _forking.handles:
        if handle.file and not handle.busy:
            handle.close()


def _after_fork() -> None:
    for handle in _forking.handles:
        handle.lock.release()


if hasattr(os, "register_at_fork"):  # where nothing forks, there is none
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
