"""Rounds of several processes over one file, in any order that hypothesis thinks of, against what must always hold."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from storing import Clock, Turns, accept

from hookplugin.delivery.health import LONGEST_RETRY_AFTER, Health, read_health, write_health
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt, is_retried
from hookplugin.delivery.round import Work
from hookplugin.delivery.rounds import Job, Rounds
from hookplugin.outbox import lanes
from hookplugin.outbox.lanes import LEASE, Pair
from hookplugin.outbox.rows import Claimed, new_id
from hookplugin.outbox.store import Store
from hookspecs import Alert, Body, Delivery, Outcome, Reason

HOUR: Final = 3600.0
MAX_AGE: Final = 4 * HOUR
INTERVAL: Final = 10.0
FALLBACKS: Final = {"plain": "batching", "batching": "rated", "rated": "plain"}

DELIVERED: Final = Attempt(Outcome(state="delivered", status=204))


def failed(reason: Reason, status: int | None = None, retry_after: float | None = None) -> Attempt:
    return Attempt(Outcome(state="dead", reason=reason, status=status), retry_after=retry_after)


ANSWERS: Final = [
    DELIVERED,
    failed(Reason.client_error, 400),
    failed(Reason.client_error, 404),
    failed(Reason.gone, 410),
    failed(Reason.client_error, 413),
    failed(Reason.rate_limited, 429, 20.0),
    failed(Reason.rate_limited, 429, 2 * HOUR),
    failed(Reason.server_error, 500),
    failed(Reason.connection),
    failed(Reason.timeout),
]


def receivers(port: int) -> dict[str, Receiver]:
    """Return what a configuration holds that sends to this port."""
    limits: dict[str, dict[str, object]] = {
        "plain": {},
        "batching": {"batch": {"wait": "5s", "max": 3}},
        "rated": {"rate": "6/m"},
    }
    common = {"url": f"http://127.0.0.1:{port}/", "max_in_flight": 2}
    return {
        name: Receiver.model_validate({"name": name, "fallback": FALLBACKS[name], **common, **limit})
        for name, limit in limits.items()
    }


class Row(NamedTuple):
    """A delivery as it is stored."""

    seq: int
    id: str
    receiver: str
    key: str
    state: int
    owner: str | None
    attempts: int
    reason: str | None
    via: str

    @property
    def lane(self) -> tuple[str, str]:
        return self.receiver, self.key

    @property
    def waits(self) -> bool:
        return self.state <= 3


class Seen(NamedTuple):
    """What is stored."""

    rows: dict[str, Row]
    leases: dict[str, float]
    health: dict[str, Health]
    pending: int


def look(connection: sqlite3.Connection) -> Seen:
    rows = connection.execute(f"select {', '.join(Row._fields)} from outbox order by seq")
    return Seen(
        {row.id: row for row in map(Row._make, rows)},
        dict(connection.execute("select owner, lease from process")),
        read_health(connection),
        connection.execute("select pending from tally").fetchone()[0],
    )


@dataclass
class Bound:
    """What is known of a receiver: not before when, and at last when, it may hear again."""

    failures: int = 0
    asked: float = 0.0
    """Until then it asked to be left alone."""
    asked_for: float = 0.0
    """For so long; a clock that is set back lets that begin anew."""
    asked_at_last: float = 0.0
    """Until then it is left alone at most."""
    shut: float = 0.0
    """Until then the breaker leaves it alone at least."""
    sent: list[float] = field(default_factory=list)
    """When requests to it were claimed."""


@dataclass
class Process:
    """A process that delivers, without its threads: what they do is done at once, or by the test."""

    store: Store
    rounds: Rounds
    settled: list[Pair]
    wire: list[Claimed] = field(default_factory=list)
    lost: set[tuple[str, int]] = field(default_factory=set)
    """Attempts that others have taken back, as far as it cannot know yet, or has begun them before."""
    finished: list[tuple[Claimed, Attempt]] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.store.owner


def start(path: Path, clock: Clock, work: Work) -> Process:
    store = Store(f"sqlite:///{path}", clock, durability="normal")
    settled: list[Pair] = []
    return Process(store, Rounds(store, work, settled.extend), settled)


def no_deliver(_: Claimed) -> Attempt:
    raise NotImplementedError


class Rounding(RuleBasedStateMachine):
    """Several processes on one file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = Clock()
        self.clock.time = 1_000_000.0
        self.port = 1
        self.bounds = {name: Bound() for name in FALLBACKS}
        self.requests: dict[str, tuple[str, ...]] = {}  # who is in them, by webhook-id
        self.request_of: dict[str, str] = {}
        self.kept: dict[str, Body] = {}
        self.accepted: set[str] = set()
        self.paused: set[str] = set()
        self.ended: list[Process] = []
        self.living = [self.new_process(), self.new_process()]
        self.seen = self.look()

    def new_process(self) -> Process:
        return start(self.path, self.clock, Work(receivers(self.port), partial(no_deliver)))

    def look(self) -> Seen:
        return self.living[0].store.read(look)

    def one(self, number: int) -> Process:
        return self.living[number % len(self.living)]

    # What happens

    @rule(number=st.integers(0, 2), receiver=st.sampled_from(sorted(FALLBACKS)), which=st.text("abcde", max_size=8))
    def accept(self, number: int, receiver: str, which: str) -> None:
        """Accept deliveries to a receiver, in one transaction."""
        process, to = self.one(number), receivers(self.port)[receiver]
        waiting = [
            to.waiting(
                Delivery(
                    id=new_id(self.clock()),
                    alert=Alert(content="disk full", target=target),
                    receiver=receiver,
                    body="hertzbeat",
                )
            )
            for target in which
        ]
        if waiting:
            (done,) = process.store.commit([partial(lanes.add, waiting=waiting, now=self.clock())])
            assert done.error is None
            process.rounds.expect({receiver: len(waiting)}, self.clock() + MAX_AGE)
            self.accepted |= {one.delivery.id for one in waiting}
            self.seen = self.look()

    @rule(number=st.integers(0, 2), around=st.booleans())
    def round(self, number: int, around: bool) -> None:  # noqa: FBT001 - drawn
        """Make one round of a process, which may not have seen yet what others have written."""
        process = self.one(number)
        if around:
            process.rounds.look_around()
        before, now = self.look(), self.clock()
        expected = self.settle(process, before)
        process.settled.clear()
        (done,) = process.store.commit([process.rounds.run])
        assert done.error is None, done.error
        process.rounds.end(done)
        self.seen = self.look()
        self.check_settled(process, before, expected)
        self.check_claims(process, before, now)
        self.check_taken(process, before, now)
        process.lost &= {(one.id, one.attempts) for claimed in process.wire for one in claimed.deliveries}
        self.send(process, at_once=True)

    @rule(number=st.integers(0, 2), answer=st.sampled_from(ANSWERS), which=st.none() | st.integers(0, 3))
    def answer(self, number: int, answer: Attempt, which: int | None) -> None:
        """Let one request on the wire, or all, come back to a process."""
        process = self.one(number)
        for claimed in list(process.wire) if which is None else process.wire[which : which + 1]:
            self.finish(process, claimed, answer)

    @rule(number=st.integers(0, 2), times=st.integers(2, 6))
    def fail(self, number: int, times: int) -> None:
        """Let nobody be reached for a while."""
        for attempt in range(times):
            self.round(number, around=True)
            self.answer(number, ANSWERS[-1], None)
            self.clock.time += 1.5 * 2.0**attempt

    @rule(seconds=st.sampled_from([0.3, 2.0, 5.0, 12.0, 31.0, 400.0, 5 * HOUR]))
    def pass_time(self, seconds: float) -> None:
        self.clock.time += seconds

    @rule()
    def set_clock_back(self) -> None:
        self.clock.time -= HOUR
        for bound in self.bounds.values():
            bound.shut = bound.asked = 0.0
            bound.asked_at_last = self.clock() + bound.asked_for
            bound.sent.clear()

    @rule()
    @precondition(lambda self: len(self.living) < 3)
    def start_another(self) -> None:
        self.living.append(self.new_process())

    @rule(number=st.integers(0, 2))
    @precondition(lambda self: len(self.living) > 1)
    def die(self, number: int) -> None:
        """End a process as `kill -9` does."""
        process = self.one(number)
        self.living.remove(process)
        self.ended.append(process)

    @rule(number=st.integers(0, 2))
    @precondition(lambda self: len(self.living) > 1)
    def close(self, number: int) -> None:
        """End a process in order: what it had is given back at once."""
        process = self.one(number)
        process.store.commit([partial(lanes.leave, owner=process.owner)])
        self.die(number)
        self.seen = self.look()
        assert process.owner not in self.seen.leases
        assert not [row for row in self.seen.rows.values() if row.state == 2 and row.owner == process.owner]

    @rule(number=st.integers(0, 2), moved=st.booleans())
    def reload(self, number: int, moved: bool) -> None:  # noqa: FBT001 - drawn
        """Take another configuration; the receivers may have other URLs there."""
        self.port += moved
        self.one(number).rounds.work = Work(receivers(self.port), partial(no_deliver))

    @rule(receiver=st.sampled_from(sorted(FALLBACKS)), paused=st.booleans())
    def pause(self, receiver: str, paused: bool) -> None:  # noqa: FBT001 - drawn
        """Let an operator pause a receiver, or resume it."""
        health = replace(self.seen.health.get(receiver, Health(receiver)), paused=paused)
        self.living[0].store.commit([partial(write_health, healths=[health], now=self.clock())])
        self.paused = self.paused | {receiver} if paused else self.paused - {receiver}
        self.seen = self.look()

    # What the threads of a process do

    def send(self, process: Process, *, at_once: bool) -> None:
        """Begin what has a free place."""
        for receiver in process.rounds.waiting():
            while job := process.rounds.begin(receiver):
                self.check_begun(process, job, at_once=at_once)
                process.wire.append(job.claimed)

    def finish(self, process: Process, claimed: Claimed, answer: Attempt) -> None:
        body = claimed.content or Body(content=f"{claimed.id} {claimed.attempts}".encode())
        process.wire.remove(claimed)
        process.finished.append((claimed, replace(answer, body=body)))
        process.rounds.finish(*process.finished[-1])
        self.send(process, at_once=False)

    # What must hold

    def settle(self, process: Process, before: Seen) -> dict[str, Outcome | None]:
        """Return what is to become of deliveries whose attempts came back, and learn from these."""
        expected: dict[str, Outcome | None] = {}
        now = self.clock()
        for claimed, attempt in process.finished:
            mine = [
                one.id
                for one in claimed.deliveries
                if (row := before.rows[one.id]).owner == process.owner and row.attempts == one.attempts and row.waits
            ]
            if not mine:
                continue
            assert len(mine) == len(claimed.deliveries)
            bound, outcome = self.bounds[claimed.receiver], attempt.outcome
            if is_retried(outcome):
                bound.failures += 1
                if attempt.retry_after:
                    bound.asked_for = max(bound.asked_at_last - now, min(attempt.retry_after, LONGEST_RETRY_AFTER))
                    bound.asked = max(bound.asked, now + min(attempt.retry_after, LONGEST_RETRY_AFTER))
                    bound.asked_at_last = now + bound.asked_for
                if bound.failures == 10 and bound.asked <= now and attempt.retry_after is None:
                    bound.shut = now + 5.0
                self.kept.setdefault(claimed.id, attempt.body or Body(content=b""))
                expected |= dict.fromkeys(mine)
                continue
            bound.failures, bound.shut = 0, 0.0
            if outcome.status in {400, 413} and len(mine) > 1:
                middle = len(mine) // 2
                for half in (tuple(sorted(mine[:middle])), tuple(sorted(mine[middle:]))):
                    for one in half:
                        self.request_of.pop(one)
                    self.requests[half[0]] = half  # until its new id is known
                expected |= dict.fromkeys(mine)
            else:
                expected |= dict.fromkeys(mine, outcome)
        process.finished.clear()
        return expected

    def check_settled(self, process: Process, before: Seen, expected: dict[str, Outcome | None]) -> None:
        after = self.seen
        now_settled = {one.id: outcome for one, outcome in process.settled}
        for one, row in before.rows.items():
            assert one in after.rows, "a delivery disappeared"
            if not row.waits:
                assert after.rows[one] == row, "what is settled changed"
        old = {one for one, row in before.rows.items() if not row.waits}
        changed = {one for one, row in after.rows.items() if not row.waits} - old
        assert changed == set(now_settled)
        for one, outcome in expected.items():
            assert outcome is None or now_settled.get(one) == outcome
        for one in changed:
            row = after.rows[one]
            assert (row.state == 4) == (row.reason is None)
        self.check_fallbacks(before, changed)

    def check_fallbacks(self, before: Seen, changed: set[str]) -> None:
        after = self.seen
        expected: Counter[tuple[str, str, str]] = Counter()
        for row in (after.rows[one] for one in changed if after.rows[one].state == 5):
            via = [*_names(row.via), row.receiver]
            if (other := FALLBACKS[row.receiver]) not in via:
                expected[other, row.key, ",".join(via)] += 1
        new = [row for one, row in after.rows.items() if one not in before.rows]
        assert Counter((row.receiver, row.key, ",".join(_names(row.via))) for row in new) == expected
        self.accepted |= {row.id for row in new}
        assert set(after.rows) == self.accepted

    def check_claims(self, process: Process, before: Seen, now: float) -> None:
        """Check that what was claimed in a round might be."""
        mine = [row for row in self.seen.rows.values() if row.state == 2 and row.owner == process.owner]
        new = [
            row for row in mine if row.id not in before.rows or before.rows[row.id]._replace(reason=row.reason) != row
        ]
        for row in new:
            health = self.seen.health.get(row.receiver, Health(row.receiver))
            bound = self.bounds[row.receiver]
            assert not health.paused
            assert health.gone is None
            assert health.opens_at(now) <= now
            assert bound.asked <= now, "the receiver asked for a later time"
            assert bound.shut <= now, "the breaker is open"
        for receiver, bound in self.bounds.items():
            claimed = {self.request(row) for row in new if row.receiver == receiver}
            if bound.failures >= 10 and claimed:
                assert len({self.request(row) for row in mine if row.receiver == receiver}) == 1, "one probe at a time"
            if receiver == "rated":
                bound.sent += [now] * len(claimed)
                for index, first in enumerate(bound.sent):
                    assert len(bound.sent) - index <= 1 + (bound.sent[-1] - first) / INTERVAL + 1e-6, "too many"
        if mine:
            assert now < self.seen.leases[process.owner] <= now + 2 * LEASE, "others may take it"

    def request(self, row: Row) -> str:
        (batch,) = self.living[0].store.read(
            lambda connection: connection.execute("select batch from outbox where seq = ?", (row.seq,)).fetchone()
        )
        return batch or row.id

    def check_taken(self, process: Process, before: Seen, now: float) -> None:
        """Check that claims were taken only from those whose lease does not count."""
        for row in before.rows.values():
            after = self.seen.rows[row.id]
            if row.state == 2 and row.owner != process.owner and (after.state, after.owner) != (2, row.owner):
                lease = before.leases.get(row.owner or "", 0.0)
                assert not now < lease <= now + 2 * LEASE, "its lease counts"
                for other in self.living:
                    if other.owner == row.owner:
                        other.lost.add((row.id, row.attempts))

    def check_begun(self, process: Process, job: Job, *, at_once: bool) -> None:
        claimed, seen = job.claimed, self.seen
        to = process.rounds.work.receivers[claimed.receiver]
        members = tuple(sorted(one.id for one in claimed.deliveries))
        now, lease = self.clock(), seen.leases.get(process.owner, 0.0)
        lease_counts = now < lease <= now + 2 * LEASE  # one further ahead was written before the clock was set back
        for one in claimed.deliveries:
            assert (one.receiver, one.body) == (claimed.receiver, "hertzbeat")
            row = seen.rows[one.id]
            if at_once or (lease_counts and (one.id, one.attempts) not in process.lost):
                assert (row.state, row.owner, row.attempts) == (2, process.owner, one.attempts), "it is another's"
                self.check_alone(row)
        assert sum(one.receiver == claimed.receiver for one in process.wire) < to.max_in_flight
        assert len(members) <= (to.batch.max if to.batch else 1)
        if len(members) == 1 and not to.batch:
            assert claimed.id == members[0]
        if not process.lost & {(one.id, one.attempts) for one in claimed.deliveries}:
            self.check_again(claimed, members)

    def check_alone(self, row: Row) -> None:
        """Check that nobody else, whose claim counts, has an earlier or later one of this lane on the wire."""
        for other in self.living:
            for claimed in other.wire:
                for one in claimed.deliveries:
                    if (one.receiver, one.alert.fingerprint) == row.lane:
                        assert (one.id, one.attempts) in other.lost, "two of one lane are on the wire"

    def check_again(self, claimed: Claimed, members: tuple[str, ...]) -> None:
        """Check that an attempt that is made again is the same request, or half of one that was split."""
        known = {self.request_of.get(one) for one in members}
        assert known in ({None}, {claimed.id}), "it is another request"
        assert self.requests.get(claimed.id, members) == members
        if None in known and (half := self.requests.get(members[0])):
            assert half == members, "another half"
        self.requests[claimed.id] = members
        self.request_of |= dict.fromkeys(members, claimed.id)
        assert claimed.content == self.kept.get(claimed.id), "another body"

    @invariant()
    def each_delivery_waits_or_is_settled_and_is_counted(self) -> None:
        assert self.seen.pending == sum(row.waits for row in self.seen.rows.values())
        assert self.accepted == set(self.seen.rows)

    @invariant()
    def what_an_operator_said_counts(self) -> None:
        assert {health.name for health in self.seen.health.values() if health.paused} == self.paused

    @invariant()
    def lanes_are_first_in_first_out(self) -> None:
        lane: dict[tuple[str, str], list[int]] = {}
        for row in self.seen.rows.values():
            if row.waits:
                lane.setdefault(row.lane, []).append(row.state)
        for states in lane.values():
            assert 2 not in states[1:], "a later one is claimed first"
            assert states[0] != 3, "parked behind nothing"

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # nothing has failed before
                self.deliver_all()
        finally:
            for process in (*self.living, *self.ended):
                process.store.close()
            self.folder.cleanup()

    def deliver_all(self) -> None:
        """Let one process be left, and every receiver be well."""
        while len(self.living) > 1:
            self.die(1)
        last = self.living[0]
        for receiver in FALLBACKS:
            self.pause(receiver, paused=False)
        self.round(0, around=True)
        young = [
            row.id
            for row in self.seen.rows.values()
            if row.waits and self.age(row) < MAX_AGE - 2 * HOUR and not self.is_gone(row)
        ]
        asked = max(bound.asked_at_last for bound in self.bounds.values()) - self.clock()
        end = self.clock() + max(asked, 0.0) + 1000.0 + 2 * INTERVAL * len(self.seen.rows)
        for around in (True, True, *[False] * 1000):
            self.round(0, around=around)
            while last.wire:
                self.answer(0, DELIVERED, None)
            if not self.seen.pending:
                break
            self.clock.time += 2 * LEASE + 1 if around else 7.0
            assert self.clock() < end, [row for row in self.seen.rows.values() if row.waits]
        assert not self.seen.pending
        assert [self.seen.rows[one].state for one in young] == [4] * len(young)
        leaked = (
            "select count(*) from kept where request not in (select coalesce(batch, id) from outbox where state = 5)"
        )
        checks = ("pragma integrity_check", leaked)
        found = last.store.read(lambda connection: [connection.execute(check).fetchone()[0] for check in checks])
        assert found == ["ok", 0]

    def age(self, row: Row) -> float:
        (accepted,) = self.living[0].store.read(
            lambda connection: connection.execute("select accepted from outbox where seq = ?", (row.seq,)).fetchone()
        )
        return self.clock() - float(accepted)

    def is_gone(self, row: Row) -> bool:
        health = self.seen.health.get(row.receiver)
        return bool(health and health.gone)


def _names(via: str) -> list[str]:
    return [name for name in via.strip("[]").replace('"', "").replace(" ", "").split(",") if name]


TestRounding = Rounding.TestCase
TestRounding.settings = settings(
    max_examples=350,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)


# What hypothesis seldom thinks of


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Clock, Store, Store]]:
    """Open one file twice, as two processes do."""
    clock, url = Clock(), f"sqlite:///{tmp_path / 'outbox.db'}"
    with closing(Store(url, clock)) as one, closing(Store(url, clock)) as other:
        yield clock, one, other


def delivery(name: str, target: str | None = None) -> Delivery:
    return Delivery(id=name, alert=Alert(content="full", target=target or name), receiver="ops", body="hertzbeat")


def round_without_looking(store: Store, turns: Turns) -> None:
    """Make a round before it is seen that another process has written."""
    (done,) = store.commit([turns.rounds.run])
    assert done.error is None
    turns.rounds.end(done)


def test_a_failure_that_comes_back_just_after_a_pause_does_not_end_it(two: tuple[Clock, Store, Store]) -> None:
    clock, store, other = two
    turns = Turns(store, "ops")
    accept(store, delivery("a"))
    (claimed,) = turns.claim()
    other.commit([partial(write_health, healths=[Health("ops", paused=True)], now=clock())])
    turns.rounds.finish(claimed, ANSWERS[-1])
    round_without_looking(store, turns)
    assert store.read(read_health)["ops"].paused


def test_two_processes_share_the_rate_of_a_receiver(two: tuple[Clock, Store, Store]) -> None:
    clock, *stores = two
    both = [(store, Turns(store, "ops", rate="1/s")) for store in stores]
    accept(stores[0], *(delivery(f"d{number}") for number in range(30)))
    for _, turns in both:
        turns.round()
    sent = 0
    for _ in range(10):
        for store, turns in both:
            round_without_looking(store, turns)
            while job := turns.rounds.begin("ops"):
                sent += 1
                turns.rounds.finish(job.claimed, DELIVERED)
        clock.time += 1.0
    assert 9 <= sent <= 11


def test_a_process_that_was_away_beyond_its_lease_begins_nothing_that_another_has_taken(
    two: tuple[Clock, Store, Store],
) -> None:
    clock, store, other = two
    away, awake = Turns(store, "ops", max_in_flight=1), Turns(other, "ops", max_in_flight=1)
    accept(store, *(delivery(name) for name in "abc"))
    (begun,) = away.claim()
    clock.time += LEASE + 1.0
    taken = []
    while requests := awake.claim():
        for claimed in requests:
            taken.append(claimed.id)
            awake.settle(claimed, DELIVERED.outcome)
    away.round()
    away.rounds.finish(begun, DELIVERED)
    assert (taken, away.rounds.begin("ops")) == (["a", "b", "c"], None)


def test_two_attempts_of_one_delivery_that_come_back_together_settle_it_once(two: tuple[Clock, Store, Store]) -> None:
    clock, store, other = two
    turns, meanwhile = Turns(store, "ops"), Turns(other, "ops")
    accept(store, delivery("a"))
    (first,) = turns.claim()
    clock.time += LEASE + 1.0
    meanwhile.claim()
    clock.time += LEASE + 1.0
    (again,) = turns.claim()
    turns.rounds.finish(first, DELIVERED)
    turns.rounds.finish(again, DELIVERED)
    turns.round()
    assert ([one.id for one, _ in turns.settled], store.read(look).pending) == (["a"], 0)


def test_a_round_that_is_refused_is_said_once_and_made_again(
    two: tuple[Clock, Store, Store], caplog: pytest.LogCaptureFixture
) -> None:
    _, store, _ = two
    turns = Turns(store, "ops")
    accept(store, delivery("a"))
    no = "create trigger no before update of state on outbox begin select raise(abort, 'not now'); end"
    for statement, rounds in ((no, 3), ("drop trigger no", 1)):
        store.commit([methodcaller("execute", statement)])
        for _ in range(rounds):
            (done,) = store.commit([turns.rounds.run])
            turns.rounds.end(done)
    assert turns.rounds.waiting() == ["ops"]
    assert caplog.text.count("cannot be delivered now, and is tried again: the outbox refused it: not now") == 1


@pytest.mark.parametrize(
    ("attempt", "seconds", "at_once"),
    [(DELIVERED, 0.001, 2), (DELIVERED, 0.0029, 2), (DELIVERED, 0.0031, 8), (ANSWERS[-2], 0.001, 8)],
)
def test_a_receiver_that_answers_at_once_needs_few_requests_on_the_wire(
    two: tuple[Clock, Store, Store], attempt: Attempt, seconds: float, at_once: int
) -> None:
    _, store, _ = two
    turns = Turns(store, "ops", max_in_flight=8)
    accept(store, *(delivery(f"d{number:02}") for number in range(40)))
    first = turns.claim()
    for claimed in first:
        turns.rounds.finish(claimed, attempt, seconds)
    assert (len(first), len(turns.claim())) == (8, at_once)


def test_one_quick_answer_does_not_hold_up_a_receiver_that_is_slow_from_then_on(
    two: tuple[Clock, Store, Store],
) -> None:
    _, store, _ = two
    turns = Turns(store, "ops", max_in_flight=8)
    accept(store, *(delivery(f"d{number:03}") for number in range(100)))
    sent: list[Claimed] = []
    for number in range(50):
        sent += turns.claim()
        turns.rounds.finish(sent.pop(0), DELIVERED, 0.02 if number else 0.001)
    sent += turns.claim()
    assert len(sent) == 8


def test_what_failed_first_of_all_and_waits_for_a_pause_is_given_up_at_its_max_age(
    two: tuple[Clock, Store, Store],
) -> None:
    clock, store, _ = two
    turns = Turns(store, "ops")
    accept(store, delivery("a"), max_age=60.0)
    turns.rounds.expect({"ops": 1}, clock() + 60.0)
    round_without_looking(store, turns)
    job = turns.rounds.begin("ops")
    assert job
    clock.time += 1.0
    turns.rounds.finish(job.claimed, failed(Reason.rate_limited, 429, 600.0))
    settled = []
    for seconds in (0.0, 58.0, 1.0):
        clock.time += seconds
        round_without_looking(store, turns)
        settled.append([(one.id, outcome.reason) for one, outcome in turns.settled])
    assert settled == [[], [], [("a", Reason.rate_limited)]]


def test_what_is_parked_behind_a_row_that_cannot_be_read_goes_on(two: tuple[Clock, Store, Store]) -> None:
    _, store, _ = two
    turns = Turns(store, "ops")
    accept(store, delivery("a", "db1"), delivery("b", "db1"))
    store.commit([methodcaller("execute", "update outbox set alert = '{' where id = 'a'")])
    turns.round()
    job = turns.rounds.begin("ops")
    assert job
    with pytest.raises(ValueError, match="JSON"):
        _ = job.claimed
    turns.rounds.discard(job)
    round_without_looking(store, turns)
    job = turns.rounds.begin("ops")
    assert job
    assert job.claimed.id == "b"


def test_a_process_that_is_to_deliver_no_more_gives_back_what_it_has_claimed_ahead(
    two: tuple[Clock, Store, Store],
) -> None:
    _, store, other = two
    turns = Turns(store, "ops", max_in_flight=1)
    accept(store, *(delivery(name) for name in "abc"))
    (begun,) = turns.claim()
    turns.rounds.work = Work(turns.rounds.work.receivers, partial(no_deliver), dispatch=False)
    turns.rounds.look_around()
    assert turns.rounds.is_due()
    round_without_looking(store, turns)
    assert not turns.rounds.is_due()
    assert [one.id for one in Turns(other, "ops").claim()] == ["b", "c"]
    turns.rounds.finish(begun, DELIVERED)
    assert turns.rounds.is_due()
    round_without_looking(store, turns)
    assert [one.id for one, _ in turns.settled] == ["a"]


@pytest.mark.parametrize(("seconds", "known"), [(10.0, 2), (200 * LEASE, 1)])
def test_a_process_that_was_killed_long_ago_is_forgotten(
    two: tuple[Clock, Store, Store], seconds: float, known: int
) -> None:
    clock, store, other = two
    killed, living = Turns(store, "ops"), Turns(other, "ops")
    accept(store, delivery("a"))
    (claimed,) = killed.claim()
    killed.settle(claimed, DELIVERED.outcome)
    clock.time += seconds
    accept(other, delivery("b"))
    living.claim()
    assert set(other.read(look).leases) == set([other.owner, store.owner][:known])
