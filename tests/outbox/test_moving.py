"""What is kept in memory while the file fails, and goes into it when it works again."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from storing import Clock, Turns, accept, deliver_all, ids, receivers, telling

from hookplugin.delivery.health import Health, read_health, write_health
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.rounds import LOOK
from hookplugin.outbox.moving import move
from hookplugin.outbox.opening import MEMORY
from hookplugin.outbox.store import Store
from hookspecs import Alert, Body, Delivery, Outcome, Reason

DELIVERED = Outcome(state="delivered", status=204)
FAILED = Outcome(state="dead", reason=Reason.server_error, status=503)


@pytest.fixture
def on_disk(file: str, clock: Clock) -> Iterator[Store]:
    with closing(Store(file, clock)) as opened:
        yield opened


@pytest.fixture
def in_memory(clock: Clock) -> Iterator[Store]:
    with closing(Store(MEMORY, clock)) as opened:
        yield opened


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process be written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def wait_for_file(store: Store, turns: Turns) -> None:
    """Make rounds until the file is used again."""
    deadline = time.monotonic() + 10.0
    while not store.durable:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        turns.round()


def delivery(name: str, target: str | None = None) -> Delivery:
    """Return a delivery of an alert of its own, unless a target is shared."""
    return Delivery(id=name, alert=Alert(content="full", target=target or name), receiver="ops", body="hertzbeat")


def query(path: Path, sql: str) -> list[Any]:
    """Ask the file as another program does."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def fail(turns: Turns, body: bytes = b"sent") -> list[str]:
    """Let all that is due fail; return the ids."""
    requests = turns.claim()
    for claimed in requests:
        turns.rounds.finish(claimed, Attempt(FAILED, body=Body(content=body)))
    turns.round()
    return ids(requests)


def move_all(source: Store, target: Store) -> int:
    (done,) = source.read(lambda memory: target.commit([lambda file: move(memory, file, source.owner, source.now())]))
    assert done.error is None
    moved: int = done.value
    return moved


def test_while_the_disk_is_full_all_goes_on_in_memory_and_the_rest_is_moved_when_it_has_room(
    on_disk: Store, path: Path, clock: Clock
) -> None:
    turns = Turns(on_disk, "ops", max_in_flight=10)
    accept(on_disk, delivery("claimed before"))
    (before,) = turns.claim()
    with full_disk():
        accept(on_disk, delivery("delivered"), delivery("failed", "db1"), delivery("behind", "db1"))
        assert not on_disk.durable
        first, second = turns.claim()
        turns.settle(first, DELIVERED)
        turns.rounds.finish(second, Attempt(FAILED, body=Body(content=b"sent")))
        turns.settle(before, DELIVERED)
        accept(on_disk, delivery("on the wire"))
        (claimed,) = turns.claim()
        assert [one.id for one, _ in turns.settled] == ["delivered"]
    wait_for_file(on_disk, turns)
    turns.settle(claimed, DELIVERED)
    assert [one.id for one, _ in turns.settled] == ["delivered", "claimed before", "on the wire"]
    assert query(path, "select id, state, attempts, reason from outbox where state <= 3 order by seq") == [
        ("failed", 1, 1, "server_error"),
        ("behind", 3, 0, None),
    ]
    assert query(path, "select request, content from kept") == [("failed", b"sent")]
    assert query(path, "select o.id, a.status from attempt a join outbox o on o.seq = a.delivery") == [("failed", 503)]
    assert query(path, "select pending from tally") == [(2,)]
    assert deliver_all(turns, clock) == ["failed", "behind"]
    assert query(path, "select pending from tally") == [(0,)]


def test_a_lane_that_waits_in_the_file_and_is_on_the_wire_from_memory_goes_on(
    on_disk: Store, path: Path, clock: Clock
) -> None:
    turns = Turns(on_disk, "ops")
    accept(on_disk, delivery("in the file", "db1"))
    fail(turns)
    with full_disk():
        accept(on_disk, delivery("in memory", "db1"), delivery("behind", "db1"))
        (claimed,) = turns.claim()
    wait_for_file(on_disk, turns)
    turns.settle(claimed, FAILED)
    assert sorted(deliver_all(turns, clock)) == ["behind", "in memory", "in the file"]
    assert query(path, "select pending from tally") == [(0,)]


def test_what_is_given_back_while_the_file_fails_waits_there_again(on_disk: Store, clock: Clock) -> None:
    turns = Turns(on_disk, "ops", max_in_flight=1)
    accept(on_disk, delivery("begun"), delivery("ahead"))
    (begun,) = turns.claim()
    with full_disk():
        accept(on_disk, delivery("other"))
        turns.rounds.work = replace(turns.rounds.work, deliver=lambda _: Attempt(DELIVERED))  # as after a reload
        turns.round()
    wait_for_file(on_disk, turns)
    turns.settle(begun, DELIVERED)
    assert sorted(deliver_all(turns, clock)) == ["ahead", "other"]


@pytest.mark.parametrize("failures", [0, 1])
def test_what_is_moved_keeps_its_order_attempts_and_bodies(
    in_memory: Store, on_disk: Store, clock: Clock, failures: int
) -> None:
    turns = Turns(in_memory, "ops")
    accept(in_memory, *(delivery(name, "db1") for name in "abc"))
    for _ in range(failures):
        assert fail(turns) == ["a"]
    assert move_all(in_memory, on_disk) == 3
    clock.time += 2.0
    after = Turns(on_disk, "ops")
    (claimed,) = after.claim()
    assert (claimed.id, claimed.attempts) == ("a", 1 + failures)
    assert (claimed.content and claimed.content.content) == (b"sent" if failures else None)
    after.settle(claimed, DELIVERED)
    assert deliver_all(after, clock) == ["b", "c"]


def test_failures_that_were_met_are_moved_and_what_an_operator_said_stays(
    in_memory: Store, on_disk: Store, clock: Clock
) -> None:
    paused = Health("ops", paused=True)
    on_disk.commit([partial(write_health, healths=[paused], now=clock())])
    turns = Turns(in_memory, "ops")
    accept(in_memory, delivery("a"), delivery("b"))
    fail(turns)
    move_all(in_memory, on_disk)
    health = on_disk.read(read_health)["ops"]
    assert (health.paused, health.failures) == (True, 2)


def test_what_was_told_meanwhile_is_known_in_the_file(in_memory: Store, on_disk: Store) -> None:
    alert = Alert(content="full", target="db1", source="alertmanager")
    in_memory.accept([telling(alert, "ops")])
    move_all(in_memory, on_disk)
    (again,) = on_disk.accept([telling(alert, "ops")])
    assert again.deliveries == ()
    assert [one.alert.target for one in on_disk.recent(0.0)] == ["db1", "db1"]


def test_what_a_commit_that_seemed_to_fail_has_stored_is_neither_twice_there_nor_sent_again(
    in_memory: Store, on_disk: Store, clock: Clock
) -> None:
    turns, stored = Turns(in_memory, "ops"), [delivery(name, "db1") for name in "ab"]
    accept(on_disk, *stored)
    accept(in_memory, *stored)
    (claimed,) = turns.claim()
    turns.settle(claimed, DELIVERED)
    move_all(in_memory, on_disk)
    assert on_disk.outcomes("ab") == {"a": DELIVERED, "b": None}
    assert deliver_all(Turns(on_disk, "ops"), clock) == ["b"]


def test_retries_that_waited_in_the_file_go_on_when_it_is_back(on_disk: Store, clock: Clock) -> None:
    turns = Turns(on_disk, "ops")
    accept(on_disk, delivery("in the file"))
    fail(turns)
    with full_disk():
        accept(on_disk, delivery("in memory"))
        (claimed,) = turns.claim()
        turns.settle(claimed, DELIVERED)
    clock.time += 2.0
    begun: list[str] = []
    deadline = time.monotonic() + 10.0
    while not begun:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        if turns.rounds.is_due():  # as the writer does: nobody looks around
            (done,) = on_disk.commit([turns.rounds.run])
            turns.rounds.end(done)
        if job := turns.rounds.begin("ops"):
            begun.append(job.claimed.id)
    assert begun == ["in the file"]


@pytest.mark.parametrize(
    "health",
    [
        pytest.param(Health("ops", paused=True), id="paused"),
        pytest.param(Health("ops", failures=12, pause=300.0, until=Clock.time + 300.0), id="its breaker is open"),
        pytest.param(Health("ops", gone=receivers("ops")["ops"].mark), id="answered 410"),
    ],
)
def test_who_is_not_to_be_sent_to_is_not_sent_to_from_memory_either(
    on_disk: Store, clock: Clock, health: Health
) -> None:
    turns = Turns(on_disk, "ops", "dev")
    on_disk.commit([partial(write_health, healths=[health], now=clock())])
    with full_disk():
        accept(on_disk, delivery("ops"), delivery("dev").model_copy(update={"receiver": "dev"}))
        assert not on_disk.durable
        assert [ids(turns.claim(name)) for name in ("ops", "dev")] == [[], ["dev"]]


def test_a_batch_from_memory_of_which_one_waits_behind_another_in_the_file_is_heard_once(
    on_disk: Store, clock: Clock
) -> None:
    def failing() -> list[str]:
        clock.time += 0.1
        (claimed,) = turns.claim()
        turns.rounds.finish(claimed, Attempt(FAILED, body=Body(content=" ".join(ids([claimed])).encode())))
        turns.round()
        return ids([claimed])

    turns = Turns(on_disk, "ops", batch={"wait": "1ms", "max": 10})
    accept(on_disk, delivery("a0", "a"))
    failed = [failing()]
    with full_disk():
        accept(on_disk, delivery("a1", "a"), delivery("b1", "b"))
        failed.append(failing())
    wait_for_file(on_disk, turns)
    heard: list[str] = []
    for _ in range(6):
        clock.time += 3.0
        for claimed in turns.claim():
            heard += claimed.content.content.decode().split() if claimed.content else ids([claimed])
            turns.settle(claimed, DELIVERED)
    assert failed == [["a0"], ["a1", "b1"]]
    assert sorted(heard) == ["a0", "a1", "b1"]


def test_while_the_file_fails_rounds_wait_for_it(on_disk: Store) -> None:
    turns = Turns(on_disk, "ops")
    turns.rounds.is_due()
    with full_disk():
        accept(on_disk, delivery("a"))
        time.sleep(LOOK)
        turns.rounds.is_due()
        turns.round()
        assert not on_disk.durable
        assert turns.rounds.wake_at > time.monotonic()
