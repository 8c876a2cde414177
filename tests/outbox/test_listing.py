"""What people see of an outbox and do with it: list, count, replay and forget, while others deliver."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from storing import Clock, Turns, accept, ids

from hookplugin.delivery.retry import Attempt
from hookplugin.outbox import listing, statements
from hookplugin.outbox.listing import STEP, Selection, State, StoredDelivery
from hookplugin.outbox.opening import MEMORY
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Store
from hookspecs import Alert, Body, Delivery, Outcome, Reason

DELIVERED = Outcome(state="delivered", status=204, milliseconds=12.5, detail="fine")
DEAD = Outcome(state="dead", reason=Reason.client_error, status=404, milliseconds=3.0, detail="no such hook")
SLOW = Outcome(state="dead", reason=Reason.timeout, milliseconds=5000.0, detail="no answer in time")
TOO_LARGE = Outcome(state="dead", reason=Reason.client_error, status=413)

Value = TypeVar("Value")


def delivery(delivery_id: str, receiver: str = "ops", lane: str | None = None) -> Delivery:
    alert = Alert(content=f"{delivery_id} failed", target=lane or delivery_id, raw={"from": "afar"})
    return Delivery(id=delivery_id, alert=alert, receiver=receiver, body="hertzbeat", strategies=("all", "night"))


def commit(store: Store, work: Callable[[sqlite3.Connection], Value]) -> Value:
    (done,) = store.commit([work])
    if done.error:
        raise done.error
    value: Value = done.value
    return value


ALL = Selection()


def newest(store: Store, selection: Selection = ALL, most: int = 100) -> list[StoredDelivery]:
    return store.read(lambda connection: listing.newest(connection, selection, most))


def rows(store: Store, *delivery_ids: str) -> list[int]:
    found = [store.read(partial(listing.find, delivery_id=one)) for one in delivery_ids]
    return [seq for seq in found if seq is not None]


def history(store: Store, delivery_id: str) -> list[tuple[float, str | None, int | None]]:
    (seq,) = rows(store, delivery_id)
    _, attempts = store.read(lambda connection: listing.show(connection, seq))
    return [(one.at.timestamp(), one.reason, one.status) for one in attempts if one.at]


def replay(store: Store, *delivery_ids: str, delivered: bool = False) -> list[str]:
    seqs = rows(store, *delivery_ids)
    replayed = commit(
        store, lambda connection: listing.replay(connection, seqs, lambda _: 600.0, store.now(), delivered=delivered)
    )
    return [one for one, _ in replayed]


def forget(store: Store, *delivery_ids: str) -> tuple[int, int]:
    seqs = rows(store, *delivery_ids)
    return commit(store, lambda connection: listing.forget(connection, seqs))


def scalar(store: Store, query: str) -> Any:
    return store.read(lambda connection: connection.execute(query).fetchone()[0])


def states(store: Store) -> dict[str, State]:
    return {one.id: one.state for one in newest(store)}


@pytest.fixture
def mixed(store: Store, clock: Clock) -> Store:
    """An outbox with something in each state, accepted from 1000 on and settled later, a second after each other."""
    turns = Turns(store, "ops", "dev")
    for name, receiver, outcome in (
        ("d1", "ops", DELIVERED),
        ("d2", "dev", DELIVERED),
        ("x1", "ops", DEAD),
        ("x2", "dev", SLOW.model_copy(update={"reason": Reason.gone})),
    ):
        accept(store, delivery(name, receiver))
        (claimed,) = turns.claim(receiver)
        clock.time += 1
        turns.settle(claimed, outcome)
    accept(store, delivery("s1"))
    turns.claim()
    clock.time += 1
    accept(store, delivery("p1"), delivery("p2", "dev"), delivery("p3", lane="s1"))
    turns.rounds.stopped = True
    return store


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(), ["p3", "p2", "p1", "s1", "x2", "x1", "d2", "d1"]),
        (Selection(["pending"]), ["p3", "p2", "p1"]),
        (Selection(["sending"]), ["s1"]),
        (Selection(["delivered", "dead"], receiver="dev"), ["x2", "d2"]),
        (Selection(receiver="nobody"), []),
        (Selection(since=1004.0), ["p3", "p2", "p1", "s1", "x2"]),
        (Selection(since=1005.0, receiver="ops"), ["p3", "p1"]),
        (Selection(["dead"], reason="gone"), ["x2"]),
    ],
)
def test_what_is_meant_is_listed_newest_first_by_when_it_was_settled_or_else_accepted(
    mixed: Store, selection: Selection, found: list[str]
) -> None:
    assert [one.id for one in newest(mixed, selection)] == found
    assert [one.id for one in newest(mixed, selection, 2)] == found[:2]


def test_a_delivery_is_shown_with_all_that_is_known_of_it(mixed: Store, clock: Clock) -> None:
    shown = {one.id: one for one in newest(mixed)}
    dead, parked = shown["x1"], shown["p3"]
    assert (dead.receiver, dead.body, dead.strategies, dead.via) == ("ops", "hertzbeat", ("all", "night"), ())
    assert (dead.state, dead.reason, dead.status, dead.detail) == ("dead", "client_error", 404, "no such hook")
    assert (dead.attempts, dead.milliseconds, dead.due, dead.batch) == (1, 3.0, None, None)
    assert (dead.accepted and dead.accepted.timestamp(), dead.settled and dead.settled.timestamp()) == (1002.0, 1003.0)
    assert dead.alert == delivery("x1").alert.model_copy(update={"raw": None})
    assert (parked.state, parked.attempts, parked.reason, parked.settled) == ("pending", 0, None, None)
    assert {name: one.state for name, one in shown.items()} == states(mixed)
    assert clock.time == 1005.0


def test_deliveries_are_counted_by_receiver_and_state(mixed: Store, clock: Clock) -> None:
    def count() -> dict[str, dict[str, Any]]:
        counts, refused = mixed.read(lambda connection: listing.count(connection, clock.time))
        assert refused == 0
        return {one.receiver: one.model_dump(exclude={"receiver"}) for one in counts}

    ops = {"pending": 2, "sending": 1, "delivered": 1, "dead": 1, "dead_last_day": 1}
    dev = {"pending": 1, "sending": 0, "delivered": 1, "dead": 1, "dead_last_day": 1}
    found = count()
    assert [found[name].pop("oldest").timestamp() for name in ("ops", "dev")] == [1005.0, 1005.0]
    assert found == {"ops": ops, "dev": dev}
    clock.time = 1003.5 + 86400
    replay(mixed, "d1", delivered=True)  # in front of what waits longer than it
    found = count()
    assert (found["ops"]["oldest"].timestamp(), found["ops"]["pending"], found["ops"]["dead_last_day"]) == (
        1005.0,
        3,
        0,
    )
    assert found["dev"]["dead_last_day"] == 1


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        (statements.FIND_PENDING, "outbox_due outbox_parked"),
        (statements.FIND_SENDING, "outbox_claimed"),
        (statements.FIND_SETTLED, "outbox_settled"),
        (statements.COUNT_PENDING, "outbox_due outbox_parked"),
        (statements.COUNT_OTHERS, "outbox_claimed outbox_settled"),
        (statements.OLDEST, "outbox_due outbox_parked"),
        (statements.KNOWS, "outbox_due outbox_parked outbox_claimed outbox_settled"),
        (statements.IS_WHOLE, "outbox_batch outbox_head"),
        (statements.HEAD_BATCH, "outbox_batch"),
        (statements.LEAVE_BATCH, "outbox_batch"),
    ],
)
def test_no_question_reads_every_row(statement: str, plan: str) -> None:
    with closing(Store(MEMORY)) as store:
        values = dict.fromkeys(re.findall(r":(\w+)", statement), 1)
        lines = store.read(
            lambda connection: [row[3] for row in connection.execute(f"explain query plan {statement}", values)]
        )
    used = [line for line in lines if "outbox" in line or re.search(r"\b[op] USING", line)]
    assert all("USING" in line for line in used)
    assert {name for line in used for name in re.findall(r"outbox_\w+", line)} == set(plan.split())
    if statement is statements.FIND_SETTLED:
        assert "SEARCH outbox USING INDEX outbox_settled (state=? AND settled>?)" in lines
        assert not any("FOR ORDER BY" in line for line in lines)  # but what was settled at the same time
    if statement in {statements.COUNT_OTHERS, statements.KNOWS}:  # so the index alone says to whom
        assert "SCAN outbox USING COVERING INDEX outbox_settled" in lines


COLUMNS = (
    *("receiver", "body", "strategies", "via", "alert", "accepted", "due", "settled", "attempts", "batch"),
    *("reason", "status", "milliseconds", "detail"),
)
ANYTHING = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9), st.binary(max_size=9), st.floats(allow_nan=False),
    st.integers(-(2**63), 2**63 - 1), st.sampled_from(['["all"', "[1, [2], null]", "7", '{"content": 5}', 1e300]),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(COLUMNS), ANYTHING, min_size=1), st.sampled_from([0, 2, 3, 4, 5]))
def test_what_cannot_be_read_any_more_is_shown_with_what_is_known(damage: dict[str, Any], state: int) -> None:
    with closing(Store(MEMORY)) as store:
        accept(store, delivery("a"))
        changes = ", ".join(f"{column} = :{column}" for column in damage)

        def work(connection: sqlite3.Connection) -> None:
            settled = 5.0 if state >= 4 else None
            connection.execute("update outbox set state = ?, settled = ?", (state, settled))
            connection.execute(f"update outbox set {changes}", damage)
            connection.execute(statements.ATTEMPT, {"rows": '[[1, 0, "new_reason", "?", "?", 5]]', "now": 7.0})

        commit(store, work)
        shown, attempts = store.read(lambda connection: listing.show(connection, 1))
        assert (shown.id, attempts[0].reason, attempts[0].status) == ("a", "new_reason", None)
        shown.model_dump_json(exclude={"alert": {"raw"}})
        if "settled" not in damage:
            assert [one.id for one in newest(store)] == ["a"]
        if "alert" not in damage:
            assert shown.alert


def test_a_history_has_every_attempt_and_goes_on_after_a_replay(store: Store, clock: Clock) -> None:
    accept(store, delivery("a"))
    turns = Turns(store, "ops")
    for outcome in (SLOW, DEAD):
        (claimed,) = turns.claim()
        clock.time += 1
        turns.settle(claimed, outcome)
        clock.time += 9
    told = [(1001.0, "timeout", None), (1011.0, "client_error", 404)]
    assert history(store, "a") == told
    assert replay(store, "a") == ["a"]
    assert history(store, "a") == told
    (claimed,) = turns.claim()
    assert (claimed.id, claimed.attempts) == ("a", 1)
    turns.settle(claimed, DELIVERED)
    assert history(store, "a") == [*told, (1020.0, None, 204)]


def test_a_replay_begins_anew_and_expires_as_its_receiver_is_configured_now(store: Store, clock: Clock) -> None:
    accept(store, delivery("a"), max_age=60.0)
    turns = Turns(store, "ops")
    (claimed,) = turns.claim()
    turns.rounds.finish(claimed, Attempt(SLOW, Body(content=b"{}")))
    turns.round()
    clock.time += 61
    turns.round()
    assert [(one.state, one.reason) for one in newest(store)] == [("dead", "timeout")]
    assert replay(store, "a") == ["a"]
    (shown,) = newest(store)
    assert (shown.state, shown.attempts, shown.reason, shown.detail, shown.settled) == ("pending", 0, None, None, None)
    assert shown.accepted
    assert shown.accepted.timestamp() == clock.time
    assert (scalar(store, "select pending from tally"), scalar(store, "select expires from outbox")) == (1, 1661.0)
    clock.time += 599
    (claimed,) = turns.claim()
    assert (claimed.id, claimed.content) == ("a", None)
    turns.settle(claimed, DELIVERED)
    assert scalar(store, "select count(*) from kept") == 0


def test_only_what_is_dead_is_replayed_or_delivered_if_that_is_meant(mixed: Store) -> None:
    everything = ("d1", "x1", "s1", "p1", "p3")
    before = scalar(mixed, "select pending from tally")
    assert replay(mixed, *everything) == ["x1"]
    assert replay(mixed, *everything) == []
    assert replay(mixed, *everything, delivered=True) == ["d1"]
    assert scalar(mixed, "select pending from tally") == before + 2
    assert states(mixed) == {
        **dict.fromkeys(("p1", "p2", "p3", "x1", "d1"), "pending"),
        "s1": "sending",
        "d2": "delivered",
        "x2": "dead",
    }


def test_a_replay_waits_behind_what_is_on_the_wire_in_its_lane_and_comes_before_what_waits_there(store: Store) -> None:
    turns = Turns(store, "ops")
    accept(store, delivery("first", lane="a"))
    (claimed,) = turns.claim()
    turns.settle(claimed, DEAD)
    accept(store, delivery("second", lane="a"), delivery("third", lane="a"))
    (second,) = turns.claim()
    replay(store, "first")
    assert turns.claim() == []
    turns.settle(second, DELIVERED)
    (first,) = turns.claim()
    assert first.id == "first"
    turns.settle(first, DELIVERED)
    assert ids(turns.claim()) == ["third"]


@pytest.fixture
def batch(store: Store) -> tuple[Turns, str]:
    """A batch of three that is dead, and its id."""
    turns = Turns(store, "ops", batch={"wait": "1s", "max": 3}, max_in_flight=1)
    accept(store, *(delivery(name) for name in "abc"))
    turns.rounds.flush = True
    (claimed,) = turns.claim()
    turns.settle(claimed, DEAD.model_copy(update={"reason": Reason.redirect, "status": 302}))
    assert {one.batch for one in newest(store)} == {claimed.id}
    return turns, claimed.id


def test_a_batch_that_is_replayed_as_a_whole_keeps_its_id_also_if_others_have_come(
    store: Store, batch: tuple[Turns, str]
) -> None:
    turns, name = batch
    accept(store, delivery("d"), delivery("later", lane="a"))
    replay(store, "c", "a", "b")
    requests = [(one.id == name, ids([one])) for _ in range(3) for one in turns.claim()]
    assert requests == [(True, ["a", "b", "c"])]


@pytest.mark.parametrize("case", ["one is left out", "another is on the way"])
def test_a_batch_that_cannot_go_out_again_as_it_was_gets_another_id(
    store: Store, batch: tuple[Turns, str], case: str
) -> None:
    turns, name = batch
    if case == "one is left out":
        replay(store, "a", "c")
        (again,) = turns.claim()
        assert ids([again]) == ["a", "c"]
    else:
        accept(store, delivery("other", lane="b"))
        (other,) = turns.claim()
        replay(store, "a", "b", "c")
        turns.settle(other, DELIVERED)
        (again,) = turns.claim()
        assert ids([again]) == ["a", "b", "c"]
    assert again.id != name


@given(st.lists(st.integers(0, 9) | st.none(), max_size=40), st.data())
def test_transactions_are_short_and_keep_batches_together(batches: list[int | None], data: st.DataObject) -> None:
    with closing(Store(MEMORY)) as store:
        accept(store, *(delivery(str(number)) for number in range(len(batches))))
        size = data.draw(st.integers(1, STEP))

        def work(connection: sqlite3.Connection) -> None:
            for number, name in enumerate(batches):
                connection.execute("update outbox set batch = ? where id = ?", (name, str(number)))

        commit(store, work)
        seqs = data.draw(st.permutations(range(1, len(batches) + 1)))
        steps = store.read(lambda connection: listing.steps(connection, seqs, size))
    assert sorted(seq for step in steps for seq in step) == sorted(seqs)
    home = [{batches[seq - 1] for seq in step} - {None} for step in steps]
    assert all(not one & other for index, one in enumerate(home) for other in home[:index])
    assert all(len(step) <= size or len({batches[seq - 1] for seq in step}) == 1 for step in steps)


def test_what_is_forgotten_leaves_nothing_behind_and_keeps_nobody_waiting(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops")
    accept(store, delivery("a", lane="x"), delivery("b", lane="x"), delivery("c", lane="x"), delivery("d"))
    first, _ = turns.claim()
    turns.rounds.finish(first, Attempt(SLOW, Body(content=b"{}")))
    turns.round()
    assert [scalar(store, f"select count(*) from {table}") for table in ("attempt", "kept")] == [1, 1]
    assert states(store) == {"a": "pending", "b": "pending", "c": "pending", "d": "sending"}
    assert forget(store, "a", "b", "d") == (2, 1)
    assert states(store) == {"c": "pending", "d": "sending"}
    assert scalar(store, "select pending from tally") == 2
    assert [scalar(store, f"select count(*) from {table}") for table in ("attempt", "kept")] == [0, 0]
    clock.time += 1
    assert ids(turns.claim()) == ["c"]


NUMBERS = st.sets(st.integers(0, 9), min_size=1, max_size=4)


class Replaying(RuleBasedStateMachine):
    """An operator who replays and forgets, while others accept and deliver."""

    @initialize(batches=st.booleans())
    def open(self, batches: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        self.clock = Clock()
        self.store = Store(MEMORY, self.clock)
        self.turns = Turns(self.store, "ops", **({"batch": {"wait": "2s", "max": 2}} if batches else {}))
        self.lanes: list[str] = []
        self.wire: list[Claimed] = []

    @rule(lane=st.sampled_from("xyz"))
    def accept(self, lane: str) -> None:
        accept(self.store, delivery(str(len(self.lanes)), lane=lane))
        self.lanes.append(lane)

    @rule()
    def claim(self) -> None:
        self.wire += self.turns.claim()
        lanes = [self.lanes[int(one)] for one in ids(self.wire)]
        assert len(lanes) == len(set(lanes))

    @precondition(lambda self: self.wire)
    @rule(outcome=st.sampled_from([SLOW, DEAD, TOO_LARGE, DELIVERED]), data=st.data())
    def settle(self, outcome: Outcome, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.wire))
        self.wire.remove(claimed)
        self.turns.rounds.finish(claimed, Attempt(outcome, Body(content=b"{}")))
        self.turns.round()

    @rule(seconds=st.sampled_from([1.0, 3.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    @rule(numbers=NUMBERS, delivered=st.booleans())
    def replay(self, numbers: set[int], delivered: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        replay(self.store, *map(str, numbers), delivered=delivered)

    @rule(numbers=NUMBERS)
    def forget(self, numbers: set[int]) -> None:
        on_the_wire = set(ids(self.wire))
        forget(self.store, *map(str, numbers))
        assert on_the_wire <= states(self.store).keys()

    @invariant()
    def counts_are_right(self) -> None:
        pending = "(select count(*) from outbox where state <= 3)"
        assert scalar(self.store, f"select pending - {pending} from tally") == 0

    def teardown(self) -> None:
        """See that nothing is stranded, and that nothing is left of what was forgotten."""
        for _ in range(3 * len(self.lanes) + 1):
            self.clock.time += 301
            self.claim()
            while self.wire:
                self.turns.settle(self.wire.pop(), DELIVERED)
        assert scalar(self.store, "select count(*) from outbox where state <= 3") == 0
        assert scalar(self.store, "select count(*) from attempt where delivery not in (select seq from outbox)") == 0
        assert scalar(self.store, "select count(*) from kept") == 0
        self.store.close()


Replaying.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
TestReplaying = Replaying.TestCase
