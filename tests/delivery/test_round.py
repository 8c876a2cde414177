"""What one round does, on an outbox in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from storing import Clock, Turns, accept, deliver_all, ids

from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Work
from hookplugin.outbox.opening import MEMORY
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Store
from hookspecs import Alert, Body, Delivery, Outcome, Reason

DELIVERED = Outcome(state="delivered", status=204)
BAD_REQUEST = Outcome(state="dead", reason=Reason.client_error, status=400)
GONE = Outcome(state="dead", reason=Reason.gone, status=410)
FAILED = Outcome(state="dead", reason=Reason.server_error, status=503, detail="busy")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    with closing(Store(MEMORY, clock)) as opened:
        yield opened


def delivery(name: str, receiver: str = "ops", body: str = "hertzbeat", target: str | None = None) -> Delivery:
    """Return a delivery of an alert of its own, unless a target is shared."""
    return Delivery(id=name, alert=Alert(content="full", target=target or name), receiver=receiver, body=body)


def configure(turns: Turns, **receivers: dict[str, Any]) -> None:
    """Let rounds work with these receivers from now on."""
    url = {"url": "http://127.0.0.1:9/"}
    made = {name: Receiver.model_validate({**url, "name": name, **settings}) for name, settings in receivers.items()}

    def deliver(_: Claimed) -> Attempt:
        raise NotImplementedError

    turns.rounds.work = Work(made, deliver)


def become(turns: Turns) -> dict[str, Reason | str | None]:
    """Return what became of deliveries: the reason of what is dead."""
    return {one.id: outcome.reason or outcome.state for one, outcome in turns.settled}


# What is said


def test_it_is_said_once_that_a_receiver_stops_to_answer_and_that_it_does_again(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    turns = Turns(store, "ops")
    accept(store, *(delivery(str(number)) for number in range(12)))
    for _ in range(10):
        assert caplog.messages == []
        turns.settle(turns.claim(most=1)[0], FAILED)
    why = "the receiver 'ops' failed 10 times in a row, and is only probed: server_error, 503, busy"
    assert caplog.messages == [why]
    clock.time += 60
    for claimed in turns.claim():
        turns.settle(claimed, DELIVERED)
    assert caplog.messages == [why, "the receiver 'ops' answers again"]
    assert {record.receiver for record in caplog.records} == {"ops"}  # type: ignore[attr-defined]  # an `extra`


def test_nothing_is_kept_of_what_is_given_up(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops")
    accept(store, delivery("old"), max_age=100.0)
    (claimed,) = turns.claim()
    turns.rounds.finish(claimed, Attempt(FAILED, Body(content=b"{}")))
    turns.round()
    kept = "select count(*) from kept"
    assert store.read(lambda connection: connection.execute(kept).fetchone()) == (1,)
    clock.time += 200
    turns.round()
    assert become(turns) == {"old": Reason.server_error}
    assert store.read(lambda connection: connection.execute(kept).fetchone()) == (0,)


# Lanes


@pytest.mark.parametrize("settings", [{}, {"batch": {"wait": "5s", "max": 3}}, {"max_in_flight": 1}])
def test_all_of_many_lanes_are_delivered_and_each_lane_in_order(
    store: Store, clock: Clock, settings: dict[str, Any]
) -> None:
    turns = Turns(store)
    configure(turns, ops=settings)
    names = [f"{target}{number}" for target in range(60) for number in range(3)]
    accept(store, *(delivery(name, target=f"t{name[:-1]}") for name in names))
    sent = deliver_all(turns, clock)
    assert sorted(sent) == sorted(names)
    lanes = {one[:-1]: [name for name in sent if name[:-1] == one[:-1]] for one in names}
    assert all(lane == sorted(lane) for lane in lanes.values())


def test_what_comes_in_behind_a_head_that_is_due_again_follows_it(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops")
    accept(store, delivery("first", target="db1"))
    (claimed,) = turns.claim()
    turns.settle(claimed, FAILED)
    clock.time += 2.0
    accept(store, delivery("second", target="db1"))
    assert deliver_all(turns, clock) == ["first", "second"]


@pytest.mark.parametrize("settings", [{}, {"batch": {"wait": "1s"}}])
def test_order_outlives_a_reload_that_makes_batches_wait_less(
    store: Store, clock: Clock, settings: dict[str, Any]
) -> None:
    turns = Turns(store)
    configure(turns, ops={"batch": {"wait": "5s"}})
    accept(store, delivery("first", target="db1"))
    turns.round()
    configure(turns, ops=settings)
    accept(store, delivery("second", target="db1"))
    assert deliver_all(turns, clock) == ["first", "second"]


def test_what_is_due_again_is_not_kept_waiting_by_what_comes_in(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops", max_in_flight=1)
    accept(store, delivery("failed"), *(delivery(f"new{number:03}") for number in range(200)))
    (claimed,) = turns.claim()
    turns.settle(claimed, FAILED)
    clock.time += 2.0
    sent = []
    for _ in range(100):
        (claimed,) = turns.claim()
        sent.append(claimed.id)
        turns.settle(claimed, DELIVERED)
    assert "failed" in sent


def test_a_clock_set_back_by_an_hour_keeps_nothing_waiting_even_while_others_are_retried(
    store: Store, clock: Clock
) -> None:
    turns = Turns(store, "ops")
    clock.time = 10_000.0
    accept(store, delivery("first"))
    (first,) = turns.claim()
    turns.settle(first, FAILED)
    clock.time -= 3600.0
    accept(store, delivery("other"))
    sent = []
    for _ in range(20):
        for claimed in turns.claim():
            sent += ids([claimed])
            turns.settle(claimed, DELIVERED if claimed.id == "first" else FAILED)
        clock.time += 1.0
    assert "first" in sent


def test_a_clock_set_back_is_noticed_without_a_word_from_others(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops")
    clock.time = 10_000.0
    accept(store, delivery("first"))
    (first,) = turns.claim()
    turns.settle(first, FAILED)
    clock.time -= 3600.0
    for _ in range(5):  # nobody looks around: nobody else writes
        clock.time += 1.0
        (done,) = store.commit([turns.rounds.run])
        turns.rounds.end(done)
    assert turns.rounds.waiting() == ["ops"]


# Batches


@pytest.mark.parametrize("bad", range(7))
def test_a_batch_is_halved_until_only_the_bad_one_is_dead(store: Store, clock: Clock, bad: int) -> None:
    turns = Turns(store, "ops", batch={"wait": "5s", "max": 100})
    accept(store, *(delivery(f"d{number}") for number in range(7)))
    clock.time += 5.0
    sizes = []
    while requests := turns.claim():
        for claimed in requests:
            sizes.append(len(claimed.deliveries))
            turns.settle(claimed, BAD_REQUEST if f"d{bad}" in ids([claimed]) else DELIVERED)
    assert become(turns) == {f"d{number}": "delivered" for number in range(7)} | {f"d{bad}": Reason.client_error}
    assert sizes[:3] == [7, 3, 4]
    assert sum(sizes) <= 7 + 7 + 4 + 2


def test_a_batch_waits_for_others_is_of_one_body_and_is_cut_at_its_maximum(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops", batch={"wait": "5s", "max": 3})
    accept(store, *(delivery(f"a{number}") for number in range(5)))
    accept(store, *(delivery(f"b{number}", body="chat") for number in range(2)))
    full = [ids([one]) for one in turns.claim()]
    clock.time += 4.9
    early = turns.claim()
    clock.time += 0.1
    late = [ids([one]) for one in turns.claim()]
    assert full == [["a0", "a1", "a2"]]
    assert early == []
    assert sorted(late) == [["a3", "a4"], ["b0", "b1"]]


def test_a_batch_that_failed_is_sent_again_alone_with_its_id_and_body(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops", batch={"wait": "5s", "max": 3})
    accept(store, delivery("a"), delivery("b"))
    clock.time += 5.0
    (first,) = turns.claim()
    body = Body(content=b"[1,2]")
    turns.rounds.finish(first, Attempt(FAILED, body=body))
    turns.round()
    accept(store, delivery("c"))
    clock.time += 5.0
    again = {one.id: one for one in turns.claim()}
    assert (ids([first]), first.id in {"a", "b"}) == (["a", "b"], False)
    assert (ids([again[first.id]]), again[first.id].content) == (["a", "b"], body)
    assert again["c"].content is None


def test_what_was_sent_by_itself_keeps_its_id_when_the_receiver_wants_batches_from_now_on(
    store: Store, clock: Clock
) -> None:
    turns = Turns(store, "ops")
    accept(store, delivery("a"), delivery("b"))
    for claimed in turns.claim():
        turns.rounds.finish(claimed, Attempt(FAILED, body=Body(content=claimed.id.encode())))
    turns.round()
    configure(turns, ops={"batch": {"wait": "5s", "max": 3}})
    clock.time += 2.0
    assert {one.id: one.content and one.content.content for one in turns.claim()} == {"a": b"a", "b": b"b"}


def test_a_process_that_ends_lets_batches_wait_no_longer(store: Store) -> None:
    turns = Turns(store, "ops", batch={"wait": "5s", "max": 3})
    accept(store, delivery("a"), delivery("b"))
    assert turns.claim() == []
    turns.rounds.flush = True
    assert [ids([one]) for one in turns.claim()] == [["a", "b"]]


# Giving up


def test_what_never_had_its_turn_is_dead_as_expired_at_its_max_age_and_not_before(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops", max_in_flight=1)
    accept(store, delivery("on the wire", target="db1"), delivery("behind", target="db1"), max_age=60.0)
    (claimed,) = turns.claim()
    clock.time += 59.0
    turns.round()
    assert turns.settled == []
    clock.time += 1.0
    turns.round()
    assert become(turns) == {"behind": Reason.expired}
    turns.settle(claimed, DELIVERED)
    assert become(turns) == {"behind": Reason.expired, "on the wire": "delivered"}


def test_what_was_attempted_and_waits_beyond_its_max_age_is_dead_with_the_last_reason(
    store: Store, clock: Clock
) -> None:
    turns = Turns(store, "ops")
    accept(store, delivery("a"), max_age=60.0)
    (claimed,) = turns.claim()
    turns.rounds.finish(claimed, Attempt(FAILED, retry_after=600.0))
    turns.round()
    clock.time += 60.0
    turns.round()
    ((_, outcome),) = turns.settled
    assert (outcome.reason, outcome.status, outcome.detail) == (Reason.server_error, 503, "busy")


def test_what_waits_for_a_receiver_that_nobody_knows_any_more_is_given_up_only_at_its_max_age(
    store: Store, clock: Clock
) -> None:
    turns = Turns(store, "dev")
    accept(store, delivery("a"), max_age=60.0)
    clock.time += 59.9
    turns.round()
    assert turns.settled == []
    clock.time += 0.1
    turns.round()
    ((_, outcome),) = turns.settled
    assert (outcome.reason, outcome.detail) == (Reason.expired, "no receiver 'ops' is configured any more")


def test_after_410_all_that_waits_is_dead_until_the_url_is_another(store: Store) -> None:
    turns = Turns(store)
    configure(turns, ops={"max_in_flight": 1}, dev={})
    accept(store, delivery("a", target="db1"), delivery("behind", target="db1"), delivery("ahead"))
    accept(store, delivery("dev's", "dev"))
    (claimed,) = turns.claim()
    turns.settle(claimed, GONE)
    assert become(turns) == dict.fromkeys(("a", "behind", "ahead"), Reason.gone)
    accept(store, delivery("later"))
    assert turns.claim() == []
    assert become(turns)["later"] is Reason.gone
    configure(turns, ops={"url": "http://127.0.0.1:10/"}, dev={})
    accept(store, delivery("new"))
    assert ids([*turns.claim(), *turns.claim("dev")]) == ["new", "dev's"]


def test_each_fallback_hears_once_of_what_those_before_it_did_not_and_never_in_a_circle(store: Store) -> None:
    turns = Turns(store)
    configure(turns, a={"fallback": "b"}, b={"fallback": "c", "body": "chat"}, c={"fallback": "a"})
    accept(store, delivery("first", "a"))
    heard = []
    for receiver in ("a", "b", "c", "a", "b", "c"):
        for claimed in turns.claim(receiver):
            (one,) = claimed.deliveries
            heard.append((one.receiver, one.body, one.via, one.attempts))
            turns.settle(claimed, BAD_REQUEST)
    assert heard == [("a", "hertzbeat", (), 1), ("b", "chat", ("a",), 1), ("c", "hertzbeat", ("a", "b"), 1)]
    assert len({one.id for one, _ in turns.settled}) == 3


# Receivers that are not well


def test_a_breaker_that_opens_gives_back_what_was_claimed_ahead_and_sends_one_probe(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops", max_in_flight=1)
    accept(store, *(delivery(f"d{number:02}") for number in range(30)))
    for _ in range(10):
        (claimed,) = turns.claim()
        turns.settle(claimed, FAILED)
    assert turns.claim() == []
    clock.time += 4.9
    assert turns.claim() == []
    clock.time += 0.1
    (probe,) = turns.claim()
    assert turns.claim() == []
    turns.settle(probe, DELIVERED)
    attempts = {probe.id: probe.attempts}
    for _ in range(29):
        (claimed,) = turns.claim()
        attempts[claimed.id] = claimed.attempts
        turns.settle(claimed, DELIVERED)
    # what was given back was no attempt
    assert attempts == {f"d{number:02}": 2 if number < 10 else 1 for number in range(30)}


@pytest.mark.parametrize(("rate", "interval", "burst"), [("1/s", 1.0, 1), ("6/m", 10.0, 1), ("50/s", 0.02, 6)])
def test_requests_go_out_as_evenly_as_the_rate_says(
    store: Store, clock: Clock, rate: str, interval: float, burst: int
) -> None:
    turns = Turns(store, "ops", rate=rate, max_in_flight=10)
    accept(store, *(delivery(f"d{number}") for number in range(40)))
    sent: list[float] = []
    while len(sent) < 40:
        for claimed in turns.claim():
            sent.append(clock())
            turns.settle(claimed, DELIVERED)
        clock.time += interval / 4
    for index, first in enumerate(sent):
        assert all(at - first >= (number - burst) * interval - 1e-6 for number, at in enumerate(sent[index:], 1))
    assert sent[-1] - sent[0] <= 40 * interval * 1.3


def test_probes_are_no_faster_than_the_rate(store: Store, clock: Clock) -> None:
    turns = Turns(store, "ops", rate="1/m", max_in_flight=10)
    accept(store, *(delivery(f"d{number}") for number in range(15)))
    sent: list[float] = []
    for _ in range(1200):
        for claimed in turns.claim():
            sent.append(clock())
            turns.settle(claimed, FAILED)
        clock.time += 1.0
    assert len(sent) > 10
    assert all(after - before >= 60.0 for before, after in pairwise(sent))


@pytest.mark.parametrize(("which", "sent"), [("old", ["b"]), ("new", [])])
def test_a_410_disables_the_url_that_answered_it_and_no_other(store: Store, which: str, sent: list[str]) -> None:
    marks = {}
    turns = Turns(store)
    accept(store, delivery("a"), delivery("b"))
    requests = []
    for name in ("old", "new"):
        configure(turns, ops={"url": f"http://127.0.0.1:9/{name}", "max_in_flight": 1})
        marks[name] = turns.rounds.work.receivers["ops"].mark
        requests += turns.claim()
    (claimed,) = requests
    turns.rounds.finish(claimed, Attempt(GONE, mark=marks[which]))
    assert ids(turns.claim()) == sent
    turns.round()
    assert become(turns) == dict.fromkeys({"a", "b"} - set(sent), Reason.gone)
