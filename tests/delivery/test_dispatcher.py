"""The dispatcher: threads when they are needed, each receiver's limit, and a clean end."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from storing import accept, receivers
from werkzeug import Request, Response

from hookplugin.bodies.rendering import Bodies
from hookplugin.delivery.deliverer import Deliverer
from hookplugin.delivery.dispatcher import Dispatcher
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Work
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Store
from hookspecs import Alert, Delivery, Outcome, Reason

DELIVERED = Outcome(state="delivered", status=200)
DEAD = Outcome(state="dead", reason=Reason.client_error, status=404, detail="no such hook")
WAIT = 20.0


def work(limits: Mapping[str, int], deliver: Callable[[Delivery], Outcome]) -> Work:
    """Return what says that receivers take so many requests at once, and how each delivery is made."""

    def attempt(claimed: Claimed) -> Attempt:
        (delivery,) = claimed.deliveries
        return Attempt(deliver(delivery))

    known = {name: receivers(name, max_in_flight=limit)[name] for name, limit in limits.items()}
    return Work(known, attempt)


class Harness:
    """An outbox in memory, its dispatcher, and what became of the deliveries."""

    def __init__(self, work: Work, url: str = "sqlite:///:memory:") -> None:
        self.store = Store(url)
        self.settled: list[tuple[str, Outcome]] = []
        self.dispatcher = Dispatcher(self.store, work, lambda one, out: self.settled.append((one.id, out)))

    def fire(self, receiver: str, count: int = 1) -> list[str]:
        deliveries = [
            Delivery(id=name, alert=Alert(content=name), receiver=receiver, body="hertzbeat")
            for name in (f"{receiver}{number}" for number in range(count))
        ]
        accept(self.store, *deliveries)
        return [one.id for one in deliveries]


Make = Callable[..., Harness]


@pytest.fixture
def make() -> Iterator[Make]:
    before = set(threading.enumerate())
    made: list[Harness] = []

    def make_harness(
        limits: Mapping[str, int], deliver: Callable[[Delivery], Outcome], url: str = "sqlite:///:memory:"
    ) -> Harness:
        made.append(Harness(work(limits, deliver), url))
        return made[-1]

    yield make_harness
    for harness in made:
        harness.dispatcher.close(0)
        harness.store.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT)


@pytest.fixture(scope="module")
def listening() -> Iterator[HTTPServer]:
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture
def server(listening: HTTPServer) -> HTTPServer:
    """Know nothing of the tests before; to stop takes half a second."""
    listening.clear()
    return listening


def ours() -> list[str]:
    """Return the names of the threads that a dispatcher and its store keep."""
    names = {"hookplugin-outbox", "hookplugin-sender"}
    return sorted(thread.name for thread in threading.enumerate() if thread.name in names)


def test_what_is_accepted_is_delivered_settled_and_announced(make: Make) -> None:
    harness = make({"ops": 2}, lambda _: DELIVERED)
    ids = harness.fire("ops", 9)
    assert harness.dispatcher.wait(ids, WAIT) == dict.fromkeys(ids, DELIVERED)
    assert harness.dispatcher.close(WAIT) == 0
    assert sorted(harness.settled) == [(one, DELIVERED) for one in ids]


def test_a_dead_delivery_is_settled_and_not_tried_again(make: Make) -> None:
    tries: list[str] = []

    def deliver(delivery: Delivery) -> Outcome:
        tries.append(delivery.id)
        return DEAD

    harness = make({"ops": 1}, deliver)
    ids = harness.fire("ops", 2)
    assert harness.dispatcher.wait(ids, WAIT) == dict.fromkeys(ids, DEAD)
    assert harness.dispatcher.close(WAIT) == 0
    assert (tries, harness.settled) == (ids, [(one, DEAD) for one in ids])


def test_deliveries_of_other_receivers_are_left_alone(make: Make) -> None:
    harness = make({"ops": 1}, lambda _: DELIVERED)
    (other,) = harness.fire("other")
    (mine,) = harness.fire("ops")
    assert harness.dispatcher.wait([mine], WAIT) == {mine: DELIVERED}
    assert harness.dispatcher.close(WAIT) == 0
    assert harness.store.outcomes([other]) == {other: None}


@pytest.mark.parametrize("limit", [1, 3])
def test_no_receiver_gets_more_requests_at_once_than_it_takes(make: Make, server: HTTPServer, limit: int) -> None:
    lock, now, most = threading.Lock(), 0, 0
    full, release = threading.Event(), threading.Event()

    def answer(_: Request) -> Response:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == limit:
                full.set()
        release.wait(WAIT)
        with lock:
            now -= 1
        return Response()

    server.expect_request("/hook").respond_with_handler(answer)
    settings = {"name": "ops", "url": server.url_for("/hook"), "timeout": {"read": WAIT}, "max_in_flight": limit}
    receiver = Receiver.model_validate(settings)
    harness = make({}, lambda _: DEAD)
    harness.dispatcher.take(Work({"ops": receiver}, Deliverer([receiver], Bodies()).deliver))
    ids = harness.fire("ops", 12)
    assert full.wait(WAIT)
    assert harness.store.unsettled(["ops"]) == 12
    release.set()
    assert {outcome and outcome.state for outcome in harness.dispatcher.wait(ids, WAIT).values()} == {"delivered"}
    assert most == limit


def test_a_slow_receiver_does_not_keep_another_waiting(make: Make) -> None:
    release = threading.Event()

    def deliver(delivery: Delivery) -> Outcome:
        if delivery.receiver == "slow":
            release.wait(WAIT)
        return DELIVERED

    harness = make({"slow": 4, "fast": 1}, deliver)
    slow = harness.fire("slow", 50)
    fast = harness.fire("fast", 20)
    assert harness.dispatcher.wait(fast, WAIT) == dict.fromkeys(fast, DELIVERED)
    assert set(harness.store.outcomes(slow).values()) == {None}
    release.set()
    assert harness.dispatcher.wait(slow, WAIT) == dict.fromkeys(slow, DELIVERED)


def test_threads_start_with_the_first_alert_and_no_more_than_are_needed(make: Make) -> None:
    release = threading.Event()
    started = threading.Semaphore(0)

    def deliver(_: Delivery) -> Outcome:
        started.release()
        release.wait(WAIT)
        return DELIVERED

    harness = make({"ops": 3}, deliver)
    assert ours() == []
    ids = harness.fire("ops", 9)
    for _ in range(3):
        assert started.acquire(timeout=WAIT)
    assert ours() == ["hookplugin-outbox", *["hookplugin-sender"] * 3]
    release.set()
    harness.dispatcher.wait(ids, WAIT)
    assert len(ours()) == 4


def test_closing_ends_every_thread(make: Make) -> None:
    before = set(threading.enumerate())
    harness = make({"ops": 3}, lambda _: DELIVERED)
    harness.fire("ops", 9)
    assert harness.dispatcher.close(WAIT) == 0
    harness.store.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT)
    assert set(threading.enumerate()) <= before


def test_closing_delivers_what_there_is(make: Make) -> None:
    harness = make({"ops": 1}, lambda _: DELIVERED)
    ids = harness.fire("ops", 30)
    assert harness.dispatcher.close(WAIT) == 0
    assert harness.store.outcomes(ids) == dict.fromkeys(ids, DELIVERED)
    assert len(harness.settled) == 30


def test_closing_says_how_many_are_left_when_the_time_is_over(make: Make) -> None:
    release, started = threading.Event(), threading.Event()

    def deliver(_: Delivery) -> Outcome:
        started.set()
        release.wait(WAIT)
        return DELIVERED

    harness = make({"ops": 1}, deliver)
    harness.fire("ops", 3)
    assert started.wait(WAIT)
    assert harness.dispatcher.close(0.01) == 3
    release.set()


def test_closing_what_was_never_used_takes_no_time_and_starts_nothing(make: Make) -> None:
    harness = make({"ops": 1}, lambda _: DELIVERED)
    assert harness.dispatcher.close(WAIT) == 0
    assert ours() == []


def test_waiting_ends_with_the_time_and_says_what_has_no_outcome_yet(make: Make) -> None:
    release = threading.Event()

    def deliver(delivery: Delivery) -> Outcome:
        if delivery.receiver == "slow":
            release.wait(WAIT)
        return DEAD

    harness = make({"slow": 1, "fast": 1}, deliver)
    ids = [*harness.fire("slow"), *harness.fire("fast")]
    harness.dispatcher.wait(ids[1:], WAIT)
    assert harness.dispatcher.wait(ids, 0.01) == {"slow0": None, "fast0": DEAD}
    release.set()


@pytest.mark.parametrize("durable", [True, False])
def test_an_idle_dispatcher_does_nothing(make: Make, tmp_path: Path, *, durable: bool) -> None:
    url = f"sqlite:///{tmp_path}/outbox.db" if durable else "sqlite:///:memory:"
    harness = make({"ops": 4}, lambda _: DELIVERED, url)
    harness.dispatcher.wait(harness.fire("ops", 9), WAIT)
    threads, spent = ours(), time.process_time()
    threading.Event().wait(0.5)
    assert ours() == threads
    assert time.process_time() - spent < 0.1


def test_an_idle_dispatcher_sees_that_its_file_was_replaced_and_delivers_what_is_in_the_new_one(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.db"
    harness = make({"ops": 1}, lambda _: DELIVERED, f"sqlite:///{path}")
    harness.dispatcher.wait(harness.fire("ops"), WAIT)
    for file in list(tmp_path.iterdir()):
        file.unlink()
    with closing(Store(f"sqlite:///{path}")) as other:
        accept(other, Delivery(id="new", alert=Alert(content="new"), receiver="ops", body="hertzbeat"))
        deadline = time.monotonic() + WAIT
        while other.outcomes(["new"]) != {"new": DELIVERED}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert harness.store.durable


def test_a_max_age_of_centuries_costs_no_thread(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    harness = make({"ops": 1}, lambda _: DELIVERED)
    for name in ("first", "second"):
        one = Delivery(id=name, alert=Alert(content=name), receiver="ops", body="hertzbeat")
        accept(harness.store, one, max_age=200_000 * 86400.0)
        assert harness.dispatcher.wait([name], WAIT) == {name: DELIVERED}
        time.sleep(0.1)  # the writer waits until then
    assert "died" not in caplog.text


def test_a_system_without_threads_keeps_what_is_accepted_for_later(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    harness = make({"ops": 1}, lambda _: DELIVERED)
    size = threading.stack_size(2**46)  # no system has that much
    try:
        ids = harness.fire("ops")
    finally:
        threading.stack_size(size)
    assert "there is no thread for the outbox" in caplog.text
    assert harness.store.outcomes(ids) == {"ops0": None}
    harness.dispatcher.wake()
    assert harness.dispatcher.wait(ids, WAIT) == {"ops0": DELIVERED}


@pytest.mark.parametrize("before", ["quiet", "busy"])
@pytest.mark.parametrize("outbox", ["memory", "file"])
def test_a_host_works_in_a_process_that_was_forked(
    server: HTTPServer, tmp_path_factory: pytest.TempPathFactory, outbox: str, before: str
) -> None:
    code = """
        import os, sys
        from hookplugin import Alert, Host
        config = {
            "outbox": sys.argv[1],
            "receivers": [{"name": "ops", "url": sys.argv[2]}],
            "strategies": [{"name": "all", "receivers": ["ops"]}],
        }
        def fire(who):
            outcomes = host.wait(host.fire(Alert(content=who)))
            print(who, *(outcome.state for outcome in outcomes.values()), flush=True)
        host = Host(config)
        if sys.argv[3] == "busy":
            fire("before")
        if pid := os.fork():
            os.waitpid(pid, 0)
            fire("parent")
            host.close()
        else:
            fire("child")
            host.close()
            os._exit(0)
    """
    server.expect_request("/hook").respond_with_data("")
    url = "sqlite:///:memory:" if outbox == "memory" else f"sqlite:///{tmp_path_factory.mktemp('fork')}/outbox.db"
    command = [sys.executable, "-c", textwrap.dedent(code), url, server.url_for("/hook"), before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    expected = ["child delivered", "parent delivered"]
    assert done.stdout.splitlines() == (["before delivered", *expected] if before == "busy" else expected), done.stderr
    assert len(server.log) == len(done.stdout.splitlines())


def test_many_slow_receivers_leave_places_for_a_healthy_one(make: Make) -> None:
    """More than any fixed number of threads would serve."""
    release, healthy = threading.Event(), threading.Event()

    def deliver(delivery: Delivery) -> Outcome:
        if delivery.receiver == "healthy":
            healthy.set()
        else:
            release.wait(WAIT)
        return Outcome(state="delivered")

    harness = make({"slow": 100, "healthy": 1}, deliver)
    harness.fire("slow", 100)
    harness.fire("healthy")
    assert healthy.wait(WAIT)
    release.set()
    assert harness.dispatcher.close(WAIT) == 0


def test_an_outcome_that_could_not_be_stored_is_stored_later_and_nothing_is_made_twice(tmp_path: Path) -> None:
    made: list[str] = []
    fails = threading.Event()
    path = tmp_path / "outbox.db"

    def rename(before: str, after: str) -> None:
        with closing(sqlite3.connect(path, timeout=WAIT)) as connection, connection:
            connection.execute(f"alter table {before} rename to {after}")

    def deliver(delivery: Delivery) -> Outcome:
        made.append(delivery.id)
        if len(made) == 1:
            rename("outbox", "lost")  # from now on it fails
            fails.set()
        return DELIVERED

    store = Store(f"sqlite:///{path}", memory_meanwhile=False)
    settled: list[str] = []
    dispatcher = Dispatcher(store, work({"ops": 1}, deliver), lambda one, _: settled.append(one.id))
    accept(store, Delivery(id="a", alert=Alert(content="x"), receiver="ops", body="hertzbeat"))
    assert fails.wait(WAIT)
    time.sleep(0.3)
    assert (made, settled) == (["a"], [])
    rename("lost", "outbox")
    assert dispatcher.wait(["a"], WAIT) == {"a": DELIVERED}
    assert dispatcher.close(WAIT) == 0
    store.close()
    assert (made, settled) == (["a"], ["a"])


FORK_EARLY = """
    import os, sys, time
    from hookplugin import Alert, Host
    host = Host({
        "receivers": [{"name": "ops", "url": sys.argv[1]}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    })
    for number in range(8):
        host.fire(Alert(content="parent"))
        time.sleep(number / 200)
        if (pid := os.fork()) == 0:
            receipt = host.fire(Alert(content="child"))
            (outcome,) = host.wait(receipt, 15).values()
            os._exit(0 if outcome and outcome.state == "delivered" else 1)
        assert os.waitpid(pid, 0)[1] == 0
    print("all came back", flush=True)
    host.close()
"""


def test_a_fork_at_any_moment_of_the_first_deliveries_leaves_a_child_that_delivers(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK_EARLY), httpserver.url_for("/hook")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("all came back\n", 0), done.stderr


CLOSE_BY_SIGNAL = """
    import signal, sys
    from hookplugin import Alert, Host
    host = Host({
        "outbox": sys.argv[1],
        "receivers": [{"name": "ops", "url": "http://127.0.0.1:9/"}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    })
    closed = []
    def end(*_):
        host.close(0)
        closed.append(True)
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    while not closed:
        host.fire(Alert(content="x"))
    print("came to an end", flush=True)
"""


@pytest.mark.parametrize("durable", [True, False])
def test_a_signal_handler_may_close_a_host_in_the_middle_of_an_alert(tmp_path: Path, *, durable: bool) -> None:
    outbox = f"sqlite:///{tmp_path}/outbox.db" if durable else "sqlite:///:memory:"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLOSE_BY_SIGNAL), outbox],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("came to an end\n", 0), done.stderr


# Another configuration, while it runs


class Gate:
    """A way to deliver that lets a delivery to `ops` wait until it may; it leaves its name in the outcome."""

    def __init__(self, name: str, *, shut: bool = True) -> None:
        self.outcome = Outcome(state="delivered", detail=name)
        self.begun = threading.Semaphore(0)
        self.may = threading.Semaphore(0 if shut else 99)

    def deliver(self, delivery: Delivery) -> Outcome:
        if delivery.receiver == "ops":
            self.begun.release()
            self.may.acquire(timeout=WAIT)
        return self.outcome

    def begins(self, count: int) -> None:
        """Wait until this many more have begun, and see that no other has."""
        for _ in range(count):
            assert self.begun.acquire(timeout=WAIT)
        assert not self.begun.acquire(blocking=False)


def test_what_was_claimed_goes_on_as_it_was_begun_and_what_is_claimed_later_is_made_the_new_way(make: Make) -> None:
    old, new = Gate("old"), Gate("new", shut=False)
    harness = make({"ops": 2}, old.deliver)
    ids = harness.fire("ops", 5)
    old.begins(2)
    harness.dispatcher.take(work({"ops": 2, "fast": 1}, new.deliver))
    fast = harness.dispatcher.wait(harness.fire("fast"), WAIT)
    assert fast == {"fast0": new.outcome}
    old.may.release(2)
    outcomes = harness.dispatcher.wait(ids, WAIT)
    assert [outcomes[one] for one in ids] == [old.outcome] * 2 + [new.outcome] * 3
    assert harness.dispatcher.close(WAIT) == 0
    assert dict(harness.settled) == {**outcomes, **fast}


def test_a_receiver_that_takes_more_at_once_gets_more_beside_those_that_are_under_way(make: Make) -> None:
    old, new = Gate("old"), Gate("new")
    harness = make({"ops": 1}, old.deliver)
    ids = harness.fire("ops", 9)
    old.begins(1)
    harness.dispatcher.take(work({"ops": 3, "fast": 1}, new.deliver))
    harness.dispatcher.wake()
    new.begins(2)
    harness.dispatcher.wait(harness.fire("fast"), WAIT)  # it has looked once more
    new.begins(0)
    old.may.release()
    new.may.release(9)
    outcomes = harness.dispatcher.wait(ids, WAIT)
    assert [outcomes[one] for one in ids] == [old.outcome] + [new.outcome] * 8


def test_a_receiver_that_takes_fewer_at_once_gets_none_until_enough_of_those_under_way_have_ended(make: Make) -> None:
    old, new = Gate("old"), Gate("new")
    harness = make({"ops": 3}, old.deliver)
    ids = harness.fire("ops", 6)
    old.begins(3)
    harness.dispatcher.take(work({"ops": 1, "fast": 1, "quick": 1}, new.deliver))
    harness.dispatcher.wait(harness.fire("fast"), WAIT)  # it has looked at the new limits
    new.begins(0)
    old.may.release(2)
    harness.dispatcher.wait(harness.fire("quick"), WAIT)
    new.begins(0)
    old.may.release()
    for _ in range(3):
        new.begins(1)
        new.may.release()
    outcomes = harness.dispatcher.wait(ids, WAIT)
    assert [outcomes[one] for one in ids] == [old.outcome] * 3 + [new.outcome] * 3


def test_a_receiver_that_is_configured_no_more_is_left_alone_until_it_comes_back(make: Make) -> None:
    old = Gate("old")
    harness = make({"ops": 1}, old.deliver)
    ops = harness.fire("ops", 3)
    old.begins(1)
    harness.dispatcher.take(work({"dev": 1}, lambda _: DELIVERED))
    old.may.release()
    assert harness.dispatcher.wait(ops[:1], WAIT) == {ops[0]: old.outcome}
    dev = harness.fire("dev", 3)
    assert harness.dispatcher.wait(dev, WAIT) == dict.fromkeys(dev, DELIVERED)
    assert harness.store.outcomes(ops[1:]) == dict.fromkeys(ops[1:])
    harness.dispatcher.take(work({"ops": 1}, lambda _: DEAD))
    harness.dispatcher.wake()
    assert harness.dispatcher.wait(ops[1:], WAIT) == dict.fromkeys(ops[1:], DEAD)


def test_closing_waits_for_what_is_under_way_to_a_receiver_that_is_configured_no_more(make: Make) -> None:
    old = Gate("old")
    harness = make({"ops": 1}, old.deliver)
    harness.fire("ops", 2)
    old.begins(1)
    harness.dispatcher.take(work({}, old.deliver))
    threading.Timer(0.05, old.may.release).start()
    assert harness.dispatcher.close(WAIT) == 0
    assert harness.settled == [("ops0", old.outcome)]


def test_closing_counts_what_is_under_way_to_a_receiver_that_is_configured_no_more_among_what_is_left(
    make: Make,
) -> None:
    gate = Gate("slow")
    harness = make({"ops": 1}, gate.deliver)
    harness.fire("ops")
    gate.begins(1)
    waits = threading.Event()

    def deliver(_: Delivery) -> Outcome:
        waits.wait(WAIT)
        return DELIVERED

    harness.dispatcher.take(work({"dev": 1}, deliver))
    harness.fire("dev", 2)
    left = harness.dispatcher.close(0)
    gate.may.release()
    waits.set()
    assert left == 3
