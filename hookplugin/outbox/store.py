"""The outbox on SQLite: accept, claim, settle."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from hookplugin.outbox import statements
from hookspecs import Alert, Delivery, Outcome, Reason

MEMORY: Final = ":memory:"

_BUSY: Final = 5.0  # seconds to wait for another process
_STATES: Final[Mapping[Literal["delivered", "dead"], int]] = {"delivered": 4, "dead": 5}
_PROCESS: Final = secrets.token_hex(4)  # a container's process often gets the same number again after a restart


class OutboxError(Exception):
    """Say that the storage failed, and how."""


class _Handle:
    """Hold what one process has open."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.connection: sqlite3.Connection | None = None


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
        self._handles: dict[int, _Handle] = {}
        with self._transaction():
            pass

    @property
    def durable(self) -> bool:
        """Say whether what is accepted outlives the process."""
        return self.path != MEMORY

    def accept(self, deliveries: Iterable[Delivery]) -> None:
        """Store deliveries in one transaction; when it returns, they are stored.

        Raises:
            OutboxError: none of them is.

        """
        due = self.now()
        rows = [
            {
                "id": delivery.id,
                "receiver": delivery.receiver,
                "body": delivery.body,
                "strategies": json.dumps(delivery.strategies),
                "alert": delivery.alert.model_dump_json(exclude_none=True),
                "due": due,
            }
            for delivery in deliveries
        ]
        with self._transaction() as connection:
            connection.executemany(statements.ACCEPT, rows)

    def claim(self, room: Mapping[str, int]) -> list[Delivery]:
        """Take what is due, oldest first.

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
        return [_delivery(row) for row in sorted(claimed)]

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Store the final outcome of a delivery that this process has claimed.

        Raises:
            OutboxError: it is not stored.

        """
        values = {
            **outcome.model_dump(),
            "state": _STATES[outcome.state],
            "id": delivery.id,
            "now": self.now(),
            "owner": self._owner,
        }
        with self._transaction() as connection:
            connection.execute(statements.SETTLE, values)

    def outcomes(self, ids: Iterable[str]) -> dict[str, Outcome | None]:
        """Return the outcomes of deliveries by id; none for one that has none yet.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction() as connection:
            rows = {wanted: connection.execute(statements.OUTCOME, {"id": wanted}).fetchone() for wanted in ids}
        return {wanted: _outcome(row) if row else None for wanted, row in rows.items()}

    def unsettled(self, receivers: Iterable[str]) -> int:
        """Count what waits for these receivers, and what this process has claimed for them.

        Raises:
            OutboxError: the storage does not answer.

        """
        with self._transaction() as connection:
            rows = [
                row
                for receiver in receivers
                for row in connection.execute(statements.UNSETTLED, {"receiver": receiver, "owner": self._owner})
            ]
        return sum(count for (count,) in rows)

    def close(self) -> None:
        """Close the storage; every later call raises OutboxError."""
        handle = self._handle
        with handle.lock:
            if handle.connection is not None:
                handle.connection.close()

    @property
    def _owner(self) -> str:
        return f"{os.getpid()}-{_PROCESS}"

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements in one transaction; storage errors become OutboxError."""
        handle = self._handle
        try:
            with handle.lock:
                connection = handle.connection = handle.connection or self._open()
                connection.execute("begin immediate")
                try:
                    yield connection
                except BaseException:
                    connection.execute("rollback")
                    raise
                connection.execute("commit")
        except sqlite3.Error as error:
            message = f"the outbox {self.path} failed: {error}"
            raise OutboxError(message) from error

    @property
    def _handle(self) -> _Handle:
        """Return this process's handle: neither a connection nor a held lock survives a fork."""
        return self._handles.setdefault(os.getpid(), _Handle())

    def _open(self) -> sqlite3.Connection:
        if self.durable:
            _create_private(Path(self.path))
        connection = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        (version,) = connection.execute("pragma user_version").fetchone()
        if version > statements.VERSION:
            message = f"the outbox {self.path} was written by a newer hookplugin; upgrade, or name another file"
            raise OutboxError(message)
        connection.execute("begin immediate")
        for statement in statements.SCHEMA:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {statements.VERSION}")
        for (owner,) in connection.execute(statements.OWNERS).fetchall():
            if not _is_alive(owner):
                connection.execute(statements.TAKE_BACK, {"owner": owner})
        connection.execute("commit")
        return connection


def _create_private(path: Path) -> None:
    """Create the file for its owner only; SQLite gives its side files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"cannot open the outbox {path}: {reason}"
        raise OutboxError(message) from None


def _is_alive(owner: str) -> bool:
    pid, _, process = owner.partition("-")
    if int(pid) == os.getpid():
        return process == _PROCESS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _delivery(row: tuple[Any, ...]) -> Delivery:
    _, delivery_id, receiver, body, strategies, alert, attempts = row
    return Delivery(
        id=delivery_id,
        alert=Alert.model_validate_json(alert),
        receiver=receiver,
        body=body,
        strategies=tuple(json.loads(strategies)),
        attempts=attempts,
    )


def _outcome(row: tuple[Any, ...]) -> Outcome | None:
    number, reason, status, milliseconds, detail = row
    for state, settled in _STATES.items():
        if number == settled:
            return Outcome(
                state=state,
                reason=Reason(reason) if reason else None,
                status=status,
                milliseconds=milliseconds,
                detail=detail,
            )
    return None
