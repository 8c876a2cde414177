"""What is counted in the outbox: once, however often it is tried, moved or read by another version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from storing import Clock, Turns, telling

from hookplugin import Host
from hookplugin.outbox import counters, schema
from hookplugin.outbox.counters import Counters
from hookplugin.outbox.moving import move
from hookplugin.outbox.opening import MEMORY, OutboxError
from hookplugin.outbox.store import Store
from hookplugin.server.metrics import exposition
from hookspecs import Alert, Outcome, Reason

DELIVERED = Outcome(state="delivered", status=204, milliseconds=70)
DEAD = Outcome(state="dead", reason=Reason.client_error, status=404)


def accept(store: Store, alert: Alert, *receivers: str) -> None:
    store.accept([telling(alert, *receivers)])


def deliver(store: Store, **outcomes: Outcome) -> None:
    turns = Turns(store, *outcomes)
    for receiver, outcome in outcomes.items():
        for claimed in turns.claim(receiver):
            turns.settle(claimed, outcome)


def insert(row: str, connection: sqlite3.Connection) -> None:
    connection.execute(f"insert into counter values {row}")


def counted(store: Store) -> Counters:
    store.try_to_write()
    return store.read(counters.read)


@pytest.fixture
def on_disk(file: str, clock: Clock) -> Iterator[Store]:
    with closing(Store(file, clock)) as opened:
        yield opened


def test_what_is_stored_is_counted_as_it_is_stored(store: Store, clock: Clock) -> None:
    accept(store, Alert(content="1", source="mine"), "ops", "dev")
    accept(store, Alert(content="2"), "ops")
    clock.time += 3
    deliver(store, ops=DELIVERED, dev=DEAD)
    found = counted(store)
    assert found["alerts"] == {("",): 1, ("mine",): 1}
    assert found["accepted"] == {("dev",): 1, ("ops",): 2}
    assert found["settled"] == {("dev", "5", "client_error"): 1, ("ops", "4", ""): 2}
    assert found["latency"] == {("ops", "5"): 2}
    assert found["latency_sum"] == {("ops",): 6}
    assert found["attempts"] == {("dev", "client_error"): 1, ("ops", "delivered"): 2}
    assert found["attempt"] == {("dev", "0.05"): 1, ("ops", "0.1"): 2}
    assert found["attempt_sum"][("ops",)] == pytest.approx(0.14)


def test_a_clock_that_is_set_back_counts_nothing_below_zero(store: Store, clock: Clock) -> None:
    accept(store, Alert(content="1"), "ops")
    clock.time -= 500
    deliver(store, ops=DELIVERED)
    assert (counted(store)["latency"], counted(store)["latency_sum"]) == ({("ops", "0.05"): 1}, {("ops",): 0})


def test_of_many_sources_the_others_are_counted_together(store: Store) -> None:
    for number in range(120):
        accept(store, Alert(content="x", source=f"source {number % 60}"))
    accept(store, Alert(content="x", source="x" * 1000))
    found = counted(store)["alerts"]
    assert len(found) == 51
    assert (found["source 0",], found["source 49",], found["others",]) == (2, 2, 21)


def test_what_is_rolled_back_is_not_counted(on_disk: Store) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        counters.add(connection, {("reloads", ("success",)): 1})
        raise LookupError

    with pytest.raises(LookupError):
        on_disk.run(fail)
    assert counted(on_disk) == {}


def test_what_happens_beside_is_stored_with_what_is_committed_next(on_disk: Store) -> None:
    on_disk.count("plugin_failures", "odd", "alert_fired")
    on_disk.count("plugin_failures", "odd", "alert_fired")
    assert on_disk.read(counters.read) == {}
    accept(on_disk, Alert(content="x"))
    assert on_disk.read(counters.read)["plugin_failures"] == {("odd", "alert_fired"): 2}
    on_disk.try_to_write()
    assert counted(on_disk)["plugin_failures"] == {("odd", "alert_fired"): 2}


def test_what_cannot_be_stored_is_counted_later(file: str, path: Path) -> None:
    with closing(Store(file, memory_meanwhile=False)) as store:
        store.count("reloads", "success")
        away = path.rename(path.with_name("away.db"))
        with pytest.raises(OutboxError):
            store.try_to_write()
        away.rename(path)
        assert counted(store)["reloads"] == {("success",): 1}


def test_two_processes_count_together(file: str, on_disk: Store) -> None:
    with closing(Store(file)) as other:
        accept(on_disk, Alert(content="1", source="mine"), "ops")
        accept(other, Alert(content="2", source="mine"), "ops")
        other.count("reloads", "success")
        on_disk.count("reloads", "success")
        assert counted(other)["alerts"] == {("mine",): 2}
        assert counted(on_disk)["reloads"] == {("success",): 2}


def test_what_was_counted_in_memory_is_added_once_to_what_the_file_had(on_disk: Store, clock: Clock) -> None:
    accept(on_disk, Alert(content="before", source="mine"), "ops")
    with closing(Store(MEMORY, clock)) as memory:
        accept(memory, Alert(content="meanwhile", source="mine"), "ops")
        accept(memory, Alert(content="delivered", source="mine"), "dev")
        accept(memory, Alert(content="elsewhere", source="mine"), "büro")
        deliver(memory, dev=DELIVERED)
        memory.read(lambda source: on_disk.run(lambda target: move(source, target, on_disk.owner, clock())))
    found = counted(on_disk)
    assert found["accepted"] == {("büro",): 1, ("dev",): 1, ("ops",): 2}
    assert found["alerts"] == {("mine",): 4}
    assert found["settled"] == {("dev", "4", ""): 1}
    accept(on_disk, Alert(content="after", source="mine"), "ops", "büro", "dev")
    deliver(on_disk, dev=DELIVERED)
    found = counted(on_disk)
    assert found["accepted"] == {("büro",): 2, ("dev",): 2, ("ops",): 3}
    assert found["settled"] == {("dev", "4", ""): 2}


def test_a_damaged_counter_costs_itself_alone(file: str, on_disk: Store, clock: Clock) -> None:
    accept(on_disk, Alert(content="1", source="mine"), "ops")
    for row in ("('alerts', 'garbage', 1)", "('settled', '[1]', 'many')", "('latency_sum', '[\"m\", \"n\"]', 2)"):
        on_disk.run(partial(insert, row))
    assert counted(on_disk)["alerts"] == {("mine",): 1}
    with closing(Store(MEMORY, clock)) as memory:
        accept(memory, Alert(content="2", source="mine"), "ops")
        memory.read(lambda source: on_disk.run(lambda target: move(source, target, on_disk.owner, clock())))
    assert counted(on_disk)["alerts"] == {("mine",): 2}
    with closing(Host({"outbox": file}, dispatch=False)) as host:
        assert b'hookplugin_alerts_total{source="mine"} 2.0' in exposition(host)


def test_a_file_of_the_version_that_counted_nothing_counts_from_now_on(file: str, path: Path, clock: Clock) -> None:
    with closing(Store(file, clock)) as store:
        accept(store, Alert(content="before"), "ops")
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        query = "select type, name from sqlite_master where type in ('trigger', 'view')"
        for kind, name in old.execute(query).fetchall():
            old.execute(f"drop {kind} if exists {name}")
        old.execute("drop table counter")
        old.execute("pragma user_version = 3")
    with closing(Store(file, clock)) as store:
        accept(store, Alert(content="after"), "ops")
        deliver(store, ops=DELIVERED)
        assert (counted(store)["accepted"], counted(store)["settled"]) == ({("ops",): 1}, {("ops", "4", ""): 2})
        (version,) = store.read(lambda connection: connection.execute("pragma user_version").fetchone())
        assert version == schema.VERSION


def test_a_damaged_row_is_counted_as_well_as_it_can_be(on_disk: Store) -> None:
    accept(on_disk, Alert(content="x"), "ops")
    on_disk.run(lambda connection: connection.execute("update outbox set receiver = x'6f70ff', accepted = 'soon'"))
    on_disk.run(lambda connection: connection.execute("update outbox set state = 5, settled = 9"))
    assert sum(counted(on_disk)["settled"].values()) == 1
