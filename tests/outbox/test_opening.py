"""Opening an outbox: private, of this version, and what older ones have written is all there."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import pytest
from storing import Clock, Turns, accept, exact, ids, processes_in_turn, telling

from hookplugin.outbox import schema
from hookplugin.outbox.opening import Durability, OutboxError, open_file, open_memory
from hookplugin.outbox.store import Store
from hookplugin.strategy.explain import TagsSeen
from hookplugin.strategy.notify import Firing, Known, Notified
from hookspecs import Alert, Delivery, Outcome, Priority, Reason, Status

DISK = Alert(content="disk full", target="db1", source="alertmanager", first_trigger_time=5)
NOISE = Alert(content="noise", tags={"value": float("nan"), "limit": inf})


def query(path: Path, sql: str, *values: object) -> list[Any]:
    """Ask or change a file as another program does."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, values).fetchall()


def tables(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(connection.execute("select name, sql from sqlite_master where sql is not null"))


# The file


def test_the_file_and_those_beside_it_are_for_their_owner_only(path: Path, file: str) -> None:
    before = os.umask(0)
    try:
        store = Store(file)
        accept(store, Delivery(id="a", alert=DISK, receiver="ops", body="hertzbeat"))
    finally:
        os.umask(before)
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    store.close()
    assert modes == dict.fromkeys(("outbox.db", "outbox.db-wal", "outbox.db-shm"), 0o600)


def test_a_file_that_is_there_keeps_its_mode_which_those_beside_it_share(path: Path, file: str) -> None:
    path.touch()
    path.chmod(0o640)
    store = Store(file)
    accept(store, Delivery(id="a", alert=DISK, receiver="ops", body="hertzbeat"))
    modes = {stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    store.close()
    assert modes == {0o640}


@pytest.mark.parametrize(("durability", "numbers"), [("full", [2, 1]), ("normal", [1, 1])])
def test_a_file_is_written_ahead_and_synced_as_it_was_asked(
    file: str, durability: Durability, numbers: list[int]
) -> None:
    def read(connection: sqlite3.Connection) -> tuple[str, int]:
        (mode,) = connection.execute("pragma journal_mode").fetchone()
        (number,) = connection.execute("pragma synchronous").fetchone()
        return mode, number

    with closing(Store(file, durability=durability)) as store:
        found = [store.commit([read], sync=sync)[0].value for sync in (True, False, True)]
    assert found == [("wal", number) for number in [*numbers, numbers[0]]]


def test_a_file_and_memory_have_the_same_tables(path: Path) -> None:
    with closing(open_file(path)) as file, closing(open_memory()) as memory:
        assert tables(file) == tables(memory) != set()


def newer(path: Path) -> None:
    query(path, "pragma journal_mode = wal")
    query(path, f"pragma user_version = {schema.VERSION + 1}")
    query(path, "create table outbox(whatever)")


def foreign(path: Path) -> None:
    query(path, "create table outbox(whatever)")


def foreign_with_a_version(path: Path) -> None:
    query(path, "pragma user_version = 2")
    query(path, "create table settings(whatever)")


def foreign_written_ahead(path: Path) -> None:
    query(path, "pragma journal_mode = wal")
    foreign(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(foreign, "is the database of another program; name another file", id="foreign"),
        pytest.param(foreign_with_a_version, "is the database of another program", id="foreign, with a version"),
        pytest.param(foreign_written_ahead, "is the database of another program", id="foreign, written ahead"),
        pytest.param(newer, "was written by a newer hookplugin; upgrade, or name another file", id="newer"),
        pytest.param(lambda path: path.write_text("no database\n" * 999), "file is not a database", id="text"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="directory"),
    ],
)
def test_a_file_that_is_no_outbox_is_refused_in_one_line_and_left_as_it_is(
    path: Path, file: str, make: Callable[[Path], object], words: str
) -> None:
    make(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(OutboxError, match=words) as caught:
        Store(file)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.is_file() and path.read_bytes()) == before


def test_a_link_to_itself_is_a_storage_that_fails(path: Path, file: str, caplog: pytest.LogCaptureFixture) -> None:
    path.symlink_to(path)
    with pytest.raises(OutboxError, match="unable to open database file"):
        Store(file, memory_meanwhile=False)
    with closing(Store(file)) as store:
        assert not store.durable
    advice = "may this user write it, and the folder that it is in?; deliveries are kept in memory until it works again"
    assert f"unable to open database file; {advice}" in caplog.text


@pytest.mark.parametrize("where", ["missing/outbox.db", "file/outbox.db", "/proc/outbox.db", "nul\0.db"])
def test_a_place_where_no_file_can_be_made_is_refused_in_one_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match="cannot open the outbox") as caught:
        Store(f"sqlite:///{tmp_path / where}")
    assert "\n" not in str(caught.value)


OPEN = """
    import sys
    from hookplugin.outbox.opening import OutboxError
    from hookplugin.outbox.store import Store
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            store = Store("sqlite:///" + line.strip(), memory_meanwhile=False)
            print("opened", store.unsettled(["ops"]), flush=True)
            store.close()
        except OutboxError as error:
            print(error, flush=True)
"""


def test_many_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    with processes_in_turn(4, OPEN) as ask:
        for turn in range(50):
            assert ask(f"{tmp_path}/{turn}.db") == ["opened 0\n"] * 4


def test_side_files_that_could_only_be_read_are_made_as_the_file_is(path: Path, file: str) -> None:
    with closing(Store(file)):
        pass
    sides = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
    for side in sides:
        side.touch(0o444)
    with closing(Store(file)) as store:
        store.count("reloads", "success")
        store.try_to_write()
        assert {side.stat().st_mode & 0o777 for side in sides} == {0o600}


# What older versions have written


VERSION_1 = (
    """create table if not exists outbox(
        seq integer primary key, id text not null unique, receiver text not null, body text not null,
        strategies text not null, alert text not null, state integer not null default 0,
        accepted real not null, due real not null default 0,
        attempts integer not null default 0, owner text, settled real,
        reason text, status integer, milliseconds real, detail text)""",
    "create index if not exists outbox_due on outbox(receiver, due, seq) where state = 0",
    "create index if not exists outbox_claimed on outbox(owner) where state = 2",
    "pragma user_version = 1",
)
VERSION_2 = (
    *VERSION_1,
    """create table if not exists recent(
        seq integer primary key, received real not null, source text, tags text not null, alert text not null,
        deliveries text not null, held text not null)""",
    """create table if not exists seen(
        seq integer primary key, fingerprint text not null unique, firing integer not null, at real not null)""",
    """create table if not exists notified(
        fingerprint text not null, receiver text not null, body text not null default '',
        status integer not null, priority integer not null, trigger_times text not null, at real not null,
        pause real not null, firing integer not null, recovery text not null,
        delivery text not null, lost integer not null,
        primary key(fingerprint, receiver, body))""",
    "pragma user_version = 2",
)
OLD = {1: VERSION_1, 2: VERSION_2}
DELIVERED = Outcome(state="delivered", status=204, milliseconds=12.5, detail="fine")
DEAD = Outcome(state="dead", reason=Reason.timeout, milliseconds=5.0, detail="no complete answer in time")


def text(alert: Alert) -> str:
    """Write an alert as those versions did."""
    return json.dumps(alert.model_dump(exclude_none=True), default=str)


def write_old(path: Path, version: int) -> None:
    """Write a file as an older version did: two of an alert wait, one is claimed, two are settled."""
    for statement in OLD[version]:
        query(path, statement)
    row = "insert into outbox(id, receiver, body, strategies, alert, accepted, state, attempts, owner) values ({})"
    settled = """update outbox set settled = 9, owner = null, state = ?, reason = ?, status = ?, milliseconds = ?,
        detail = ? where id = ?"""
    waiting = "?, 'ops', 'hertzbeat', '[\"all\", \"night\"]', ?, 7, ?, ?, ?"
    query(path, row.format(waiting), "claimed", text(NOISE), 2, 1, "12-ab-cd")
    for name in ("first", "second", "good", "bad"):
        query(path, row.format(waiting), name, text(DISK), 0, 0, None)
    query(path, settled, 4, None, 204, 12.5, "fine", "good")
    query(path, settled, 5, "timeout", None, 5.0, "no complete answer in time", "bad")


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest, path: Path) -> int:
    write_old(path, request.param)
    version: int = request.param
    return version


@pytest.fixture
def opened(old: int, file: str) -> Iterator[Store]:
    del old
    with closing(Store(file)) as store:
        yield store


def test_an_older_file_has_todays_tables_and_no_other(path: Path, opened: Store) -> None:
    with closing(sqlite3.connect(path)) as file, closing(open_memory()) as memory:
        assert tables(file) == tables(memory)
    assert query(path, "pragma user_version") == [(schema.VERSION,)]
    assert opened.durable


def test_what_waits_in_an_older_file_is_claimed_in_its_order(path: Path, opened: Store) -> None:
    turns = Turns(opened, "ops")
    claimed, first = turns.claim()
    assert claimed.deliveries[0].model_copy(update={"alert": DISK}) == Delivery(
        id="claimed", alert=DISK, receiver="ops", body="hertzbeat", strategies=("all", "night"), attempts=2
    )
    assert exact(claimed.deliveries[0].alert) == exact(NOISE)
    assert first.deliveries[0].alert == DISK
    turns.settle(claimed, DELIVERED)
    assert turns.claim() == []  # the second waits for the first
    turns.settle(first, DEAD.model_copy(update={"reason": Reason.client_error, "status": 404}))
    (second,) = turns.claim()
    assert ids([claimed, first, second]) == ["claimed", "first", "second"]
    turns.settle(second, DELIVERED)
    assert query(path, "select pending, refused from tally") == [(0, 0)]


def test_what_is_settled_in_an_older_file_keeps_its_outcome(old: int, file: str) -> None:
    del old
    for _ in range(2):
        with closing(Store(file)) as store:
            names = ("first", "claimed", "good", "bad", "unknown")
            assert store.outcomes(names) == {"first": None, "claimed": None, "good": DELIVERED, "bad": DEAD}
            assert store.unsettled(["ops"]) == 3


def test_what_waits_in_an_older_file_counts_for_max_pending(old: int, file: str) -> None:
    del old
    with closing(Store(file, max_pending=3)) as store:
        (entry,) = store.accept([telling(Alert(content="one more"), "ops")])
        assert entry.refused
        assert store.unsettled(["ops"]) == 3


def test_an_older_file_remembers_from_now_on(opened: Store) -> None:
    alert = DISK.model_copy(update={"fingerprint": "another"})
    assert [len(opened.accept([telling(alert, "ops")])[0].deliveries) for _ in range(2)] == [1, 0]


def test_the_first_version_knew_nothing_of_alerts(path: Path, file: str) -> None:
    write_old(path, 1)
    with closing(Store(file)) as store:
        assert (store.recent(0), store.known(DISK)) == ([], (Known(), TagsSeen()))


def write_memory(path: Path) -> None:
    """Write what version 2 remembered of the alerts."""
    seen = "insert into seen(fingerprint, firing, at) values (?, ?, ?)"
    query(path, seen, DISK.fingerprint, 1, 900.5)
    query(path, seen, NOISE.fingerprint, 2, 901)
    query(path, seen, "nobody was told", 1, 902)
    told = "insert into notified values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    query(
        path, told, DISK.fingerprint, "pager", "chat", 0, 1, "[4, null, 5]", 900.5, inf, 1, '["all", "größe"]', "b", 0
    )
    query(path, told, DISK.fingerprint, "ops", "", 0, 1, "[5]", 900.25, 14400.0, 0, "[]", "first", 1)
    query(path, told, NOISE.fingerprint, "ops", "", 2, 2, "[]", 901, 0, 0, '["all"]', "", 0)
    recent = "insert into recent(received, source, tags, alert, deliveries, held) values (?, ?, ?, ?, ?, ?)"
    query(
        path, recent, 900, "alertmanager", '["env"]', text(DISK), '[["good", "ops"], ["x", "ops"]]', '[["dev", "no"]]'
    )
    query(path, recent, 901, None, "[]", text(NOISE), "[]", '[[null, "no strategy matched"]]')


def test_what_was_told_according_to_an_older_file_is_still_known(path: Path, file: str, clock: Clock) -> None:
    write_old(path, 2)
    write_memory(path)
    with closing(Store(file, clock)) as store:
        critical, firing = Priority.critical, Status.firing
        known, tags = store.known(DISK)
        assert known.firing is Firing.open
        assert set(known.notified) == {
            Notified(
                ("pager", "chat"),
                firing,
                critical,
                (4, None, 5),
                900.5,
                inf,
                firing=True,
                recovery=("all", "größe"),
                delivery="b",
            ),
            Notified(
                ("ops", None),
                firing,
                critical,
                (5,),
                900.25,
                14400.0,
                firing=False,
                recovery=(),
                delivery="first",
                lost=True,
            ),
        }
        assert tags == TagsSeen(1, frozenset({"env"}))
        over, _ = store.known(NOISE)
        told = Notified(("ops", None), Status.recovered, Priority.warning, (), 901, 0, firing=False, recovery=("all",))
        assert over == Known(Firing.over, (told,))
        nobody, _ = store.known(NOISE.model_copy(update={"fingerprint": "nobody was told"}))
        assert nobody == Known(Firing.open)


def test_recent_alerts_of_an_older_file_are_listed(path: Path, file: str) -> None:
    write_old(path, 2)
    write_memory(path)
    with closing(Store(file)) as store:
        first, second = store.recent(0)
    assert (first.alert, first.received.timestamp()) == (DISK, 900)
    assert [(one.id, one.state, one.outcome) for one in first.deliveries] == [
        ("good", "delivered", DELIVERED),
        ("x", "forgotten", None),
    ]
    assert [(one.receiver, one.reason) for one in (*first.held, *second.held)] == [
        ("dev", "no"),
        (None, "no strategy matched"),
    ]
    assert (second.alert.content, second.deliveries) == ("noise", ())


def test_processes_may_open_an_older_file_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{turn}.db" for turn in range(20)]
    for turn, path in enumerate(paths):
        write_old(path, turn % 2 + 1)
    with processes_in_turn(3, OPEN) as ask:
        for path in paths:
            assert ask(str(path)) == ["opened 3\n"] * 3
    assert [query(path, "select count(*) from outbox") for path in paths] == [[(5,)]] * 20


def test_an_upgrade_that_fails_leaves_an_older_file_as_it_was(path: Path) -> None:
    write_old(path, 2)
    query(path, "alter table recent add column more")  # as nobody has written it
    write_memory(path)
    before = [query(path, f"select * from {table}") for table in ("sqlite_master", "outbox", "seen", "notified")]
    with pytest.raises(sqlite3.Error):
        open_file(path).close()
    after = [query(path, f"select * from {table}") for table in ("sqlite_master", "outbox", "seen", "notified")]
    assert (after, query(path, "pragma user_version")) == (before, [(2,)])
