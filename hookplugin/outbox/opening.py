"""Opening an outbox: a private file in write-ahead mode with today's tables, or the same in memory."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from hookplugin.outbox import schema

MEMORY: Final = "sqlite:///:memory:"
"""The outbox that is lost when the process ends."""

PATIENCE: Final = 5.0
"""Seconds to wait for another process."""

_AGAIN: Final = 0.0003  # seconds; SQLite's own way to wait sleeps so long that a rare writer never gets a turn
_OURS: Final = frozenset({"outbox", "tally"})  # every outbox has one of these tables, also a damaged one
_WITHOUT_COUNTERS: Final = 3  # the version
_MAX_AGE: Final = 4 * 3600.0  # seconds, for what older versions have stored

Value = TypeVar("Value")
Durability = Literal["full", "normal"]
"""Of what is committed: full survives a power cut, normal a kill."""


class OutboxError(Exception):
    """Say that the storage failed, and how."""


def file_of(url: str) -> Path | None:
    """Return the file of an outbox; none if it is in memory."""
    return None if url == MEMORY else Path(url.removeprefix("sqlite:///"))


def open_memory() -> sqlite3.Connection:
    """Open an outbox that is lost with the process."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for statement in schema.SCHEMA:
        connection.execute(statement)
    return connection


def open_file(path: Path, patience: float = PATIENCE) -> sqlite3.Connection:
    """Open the file of an outbox; make it if it is not there, bring it up to date if an older version wrote it.

    Args:
        path: of the file.
        patience: seconds to wait for other processes.

    Raises:
        OutboxError: it cannot be a file of ours, or a newer version has written it.
        sqlite3.Error: the storage failed.

    """
    _create_private(path)
    _make_alike(path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text
    try:
        version = patiently(lambda: _version(connection, path), patience)  # before anything changes what is not ours
        connection.execute("pragma page_size = 2048")  # an alert touches many pages, each a little
        patiently(lambda: connection.execute("pragma journal_mode = wal"), patience)
        connection.execute("pragma journal_size_limit = 67108864")  # what a burst has grown is cut again
        if version != schema.VERSION:
            patiently(lambda: connection.execute("begin immediate"), patience)
            _bring_up_to_date(connection, path)
            connection.execute("commit")
    except BaseException:
        connection.close()
        raise
    return connection


def _text(stored: bytes) -> str:
    """Read text that the storage may have changed: what is wrong in one row must not stop the others."""
    return stored.decode(errors="replace")


def patiently(work: Callable[[], Value], patience: float) -> Value:
    """Run what may find the file locked again and again, for at most this many seconds.

    Raises:
        sqlite3.OperationalError: it is locked still, or something else is wrong.

    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version that wrote the file, 0 for a new one."""
    query = "select user_version, name from pragma_user_version left join sqlite_master on type = 'table'"
    (version, *_), *_ = found = connection.execute(query).fetchall()
    tables = {name for _, name in found if name}
    if tables and (not version or tables.isdisjoint(_OURS)):
        message = f"{path} is the database of another program; name another file"
        raise OutboxError(message)
    if version > schema.VERSION:
        message = f"the outbox {path} was written by a newer hookplugin; upgrade, or name another file"
        raise OutboxError(message)
    return int(version)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection, path)  # again: another process may have been faster
    if version == schema.VERSION:
        return
    if version == _WITHOUT_COUNTERS:
        _add_counters(connection)
        return
    found = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    old = [name for name in ("outbox", "recent", "seen", "notified") if (name,) in found]
    for index in ("outbox_due", "outbox_claimed"):
        connection.execute(f"drop index if exists {index}")
    for name in old:
        connection.execute(f"alter table {name} rename to old_{name}")
    for statement in schema.SCHEMA:
        connection.execute(statement)
    if version:
        _copy_old(connection, old)
    for name in old:
        connection.execute(f"drop table old_{name}")
    connection.execute("delete from counter")  # what was copied happened before
    connection.execute(f"pragma user_version = {schema.VERSION}")


def _add_counters(connection: sqlite3.Connection) -> None:
    """Add what version 3 did not have: it counted nothing."""
    query = "select type, name from sqlite_master where type in ('trigger', 'view')"
    for kind, name in connection.execute(query).fetchall():
        if name in schema.OURS:  # others' views stay
            connection.execute(f"drop {kind} if exists {name}")  # with a view, its triggers are gone
    for statement in (schema.COUNTER, *schema.TRIGGERS):
        connection.execute(statement)
    connection.execute(f"pragma user_version = {schema.VERSION}")


def _copy_old(connection: sqlite3.Connection, old: list[str]) -> None:
    """Copy what versions 1 and 2 had; what they sent at most once is new again."""
    connection.create_function("fingerprint", 1, _fingerprint)
    values = {"expires": time.time() + _MAX_AGE}
    connection.execute(
        """insert into outbox(seq, id, receiver, key, body, strategies, alert, state, accepted, expires, attempts,
                settled, reason, status, milliseconds, detail)
            select seq, id, receiver, coalesce(fingerprint(alert), id), body, strategies, alert,
                case state when 2 then 0 else state end, accepted, :expires, attempts,
                settled, reason, status, milliseconds, detail from old_outbox""",
        values,
    )
    if "recent" in old:
        connection.execute("insert into recent select * from old_recent")
    if "seen" in old and "notified" in old:
        for seq, fingerprint, firing, at in connection.execute("select * from old_seen").fetchall():
            told = connection.execute(
                """select receiver, body, status, priority, trigger_times, at, pause, firing, recovery, delivery, lost
                    from old_notified where fingerprint = ? order by rowid""",
                (fingerprint,),
            )
            known = (seq, fingerprint, firing, at, json.dumps([_told(row) for row in told]))
            connection.execute("insert into seen values (?, ?, ?, ?, ?)", known)


def _told(row: Sequence[Any]) -> list[Any]:
    """Return what version 2 knew of a receiver as it is stored today."""
    receiver, body, status, priority, times, at, pause, firing, recovery, delivery, lost = row
    copy = [receiver, body or None]
    fired, given_up = bool(firing), bool(lost)
    return [copy, status, priority, json.loads(times), at, pause, fired, json.loads(recovery), delivery, given_up]


def _fingerprint(alert: str) -> Any:  # noqa: ANN401 - what stands there
    """Return the fingerprint of a stored alert; SQLite's own JSON knows no NaN."""
    with suppress(ValueError, TypeError, LookupError):
        return json.loads(alert)["fingerprint"]
    return None


def _make_alike(path: Path) -> None:
    """Give side files the mode of the file: SQLite makes them as it is, also while it may only be read by mistake."""
    for side in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(OSError):
            if (mode := path.stat().st_mode) != side.stat().st_mode:
                side.chmod(stat.S_IMODE(mode))


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
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT}:
            raise sqlite3.OperationalError(error.strerror) from None
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"cannot open the outbox {path}: {reason}"
        raise OutboxError(message) from None
