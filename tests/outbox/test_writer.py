"""The writer: many threads, few transactions; nobody waits for ever, whatever happens to the thread."""

from __future__ import annotations

import ctypes
import logging
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest
from storing import TESTS, Turns, receivers

from hookplugin.delivery.dispatcher import Dispatcher
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Work
from hookplugin.outbox.opening import MEMORY, OutboxError
from hookplugin.outbox.store import Store
from hookplugin.outbox.writer import Done
from hookspecs import Outcome

WAIT = 20.0


def insert(name: object) -> Callable[[sqlite3.Connection], object]:
    """Return work that stores a name, and returns it."""

    def work(connection: sqlite3.Connection) -> object:
        connection.execute("insert into process values (?, 0)", (str(name),))
        return name

    return work


def failing(error: BaseException) -> Callable[[sqlite3.Connection], object]:
    """Return work that stores something, and then fails."""

    def work(connection: sqlite3.Connection) -> object:
        insert("half")(connection)
        raise error

    return work


def stored(store: Store) -> list[str]:
    names = "select owner from process order by rowid"
    return store.read(lambda connection: [row[0] for row in connection.execute(names)])


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hookplugin-outbox"]


@pytest.fixture(autouse=True)
def alone() -> None:
    """See that no other test has left a thread."""
    for thread in threads():
        thread.join(WAIT)
    assert threads() == []


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


@contextmanager
def held_up(store: Store, pool: ThreadPoolExecutor) -> Iterator[Future[Any]]:
    """Keep the writer in a transaction meanwhile; what is handed in waits, and is one group."""
    begun, release = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> str:
        begun.set()
        while not release.wait(0.01):  # an exception from outside comes between two steps
            pass
        return "held up"

    future = pool.submit(store.writer.run, work)
    assert begun.wait(WAIT)
    try:
        yield future
        time.sleep(0.2)  # the others are in it by now
    finally:
        release.set()


def kill(thread: threading.Thread) -> None:
    """Let a thread die, at its next step."""
    assert thread.ident
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)) == 1


def idle(store: Store) -> threading.Thread:
    """Return the thread when it waits for something to do."""
    store.writer.run(insert("before"))
    time.sleep(0.2)
    (thread,) = threads()
    return thread


class Counting:
    """A routine that is due once for each time it is woken."""

    def __init__(self) -> None:
        self.wake_at = inf
        self.ran = threading.Semaphore(0)

    def expect(self, counts: Mapping[str, int], expires: float) -> None:
        raise NotImplementedError

    def is_due(self) -> bool:
        return True

    def run(self, connection: sqlite3.Connection) -> int:
        return connection.total_changes

    def end(self, result: Done) -> None:
        assert result.error is None
        self.ran.release()


def results(futures: Iterable[Future[Any]]) -> list[object]:
    """Return what came of each: a value, or an error."""
    return [future.exception(WAIT) or future.result() for future in futures]


def test_what_many_threads_hand_in_at_once_is_one_transaction(store: Store, pool: ThreadPoolExecutor) -> None:
    begun: list[str] = []
    store.commit([lambda connection: connection.set_trace_callback(begun.append)])
    with held_up(store, pool):
        begun.clear()
        futures = [pool.submit(store.writer.run, insert(number)) for number in range(50)]
    assert results(futures) == list(range(50))
    store.commit([lambda connection: connection.set_trace_callback(None)])
    assert 1 <= [text.lower() for text in begun].count("begin immediate") <= 4
    assert sorted(stored(store), key=int) == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ZeroDivisionError(), ZeroDivisionError),
        (ValueError("no"), ValueError),
        (sqlite3.IntegrityError("twice"), OutboxError),
        (sqlite3.ProgrammingError("never"), OutboxError),
        (OutboxError("refused"), OutboxError),
    ],
)
def test_work_that_fails_stores_nothing_and_costs_no_other_of_its_group(
    store: Store, pool: ThreadPoolExecutor, error: Exception, told: type[Exception]
) -> None:
    with held_up(store, pool):
        works = [insert("a"), failing(error), insert("b"), failing(error), insert("c")]
        futures = [pool.submit(store.writer.run, work) for work in works]
    found = results(futures)
    assert [one if isinstance(one, str) else type(one) for one in found] == ["a", told, "b", told, "c"]
    assert sorted(stored(store)) == ["a", "b", "c"]
    assert store.path is None or store.durable


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_work_that_ends_the_thread_is_told_and_the_next_work_has_another_thread(
    store: Store, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    store.writer.run(insert("before"))
    (first,) = threads()
    with pytest.raises(OutboxError, match=f"the thread of the outbox died: {type(error).__name__}"):
        store.writer.run(failing(error))
    assert store.writer.run(insert("after")) == "after"
    first.join(WAIT)
    assert [thread for thread in threads() if thread is not first]
    assert not first.is_alive()
    assert stored(store) == ["before", "after"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "the thread of the outbox died, and is started again" in record.getMessage()


def test_a_thread_that_is_killed_fails_all_who_wait_and_stores_nothing_of_theirs(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    with held_up(store, pool) as future:
        waiting = [pool.submit(store.writer.run, insert(number)) for number in range(5)]
        time.sleep(0.2)
        (thread,) = threads()
        kill(thread)
        thread.join(WAIT)
        found = results([future, *waiting])
    assert [type(one) for one in found] == [OutboxError] * 6
    assert stored(store) == []
    assert store.writer.run(insert("after")) == "after"


def test_a_thread_that_is_killed_while_it_waits_is_started_again(store: Store) -> None:
    store.attach(Counting)
    kill(idle(store))
    with pytest.raises(OutboxError, match="died"):
        store.writer.run(insert("in vain"))
    assert store.writer.run(insert("after")) == "after"
    assert stored(store) == ["before", "after"]


def test_what_was_asked_of_a_thread_that_died_the_next_one_does(store: Store) -> None:
    routine = Counting()
    store.attach(lambda: routine)
    thread = idle(store)
    assert routine.ran.acquire(timeout=WAIT)
    kill(thread)
    store.writer.wake()  # it dies of that
    thread.join(WAIT)
    assert routine.ran.acquire(timeout=WAIT)
    assert thread not in threads()


def test_a_routine_runs_after_what_was_handed_in_and_at_the_time_it_was_woken_for(store: Store) -> None:
    routine = Counting()
    store.attach(lambda: routine)
    store.writer.run(insert("a"))
    assert routine.ran.acquire(timeout=WAIT)
    assert not routine.ran.acquire(timeout=0.1)
    at = time.monotonic() + 0.3
    store.writer.wake(at)
    store.writer.wake(at + WAIT)  # an earlier time stays
    assert routine.ran.acquire(timeout=WAIT)
    assert time.monotonic() >= at


def test_stopping_commits_what_was_handed_in_and_ends_the_thread(store: Store, pool: ThreadPoolExecutor) -> None:
    with held_up(store, pool) as future:
        futures = [pool.submit(store.writer.run, insert(number)) for number in range(5)]
        time.sleep(0.2)
        stopped = pool.submit(store.writer.stop)
    stopped.result(WAIT)
    assert not store.writer.is_running
    assert results([future, *futures]) == ["held up", *range(5)]
    assert len(stored(store)) == 5
    for thread in threads():
        thread.join(WAIT)
    assert threads() == []


def test_after_it_was_stopped_who_hands_in_work_does_it_alone(store: Store) -> None:
    store.writer.run(insert("before"))
    store.writer.stop()
    assert store.writer.run(insert("after")) == "after"
    with pytest.raises(ZeroDivisionError):
        store.writer.run(failing(ZeroDivisionError()))
    assert not store.writer.wake()
    assert stored(store) == ["before", "after"]


def test_closing_a_store_commits_what_was_handed_in_and_refuses_the_rest(file: str, pool: ThreadPoolExecutor) -> None:
    store = Store(file)
    with held_up(store, pool) as future:
        handed_in = pool.submit(store.writer.run, insert("handed in"))
        time.sleep(0.2)
        closed = pool.submit(store.close)
    closed.result(WAIT)
    assert results([future, handed_in]) == ["held up", "handed in"]
    with pytest.raises(OutboxError, match="is closed"):
        store.writer.run(insert("too late"))
    with closing(Store(file)) as again:
        assert "handed in" in stored(again)
        assert "too late" not in stored(again)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("dispatching", [True, False])
def test_nothing_runs_while_nothing_is_due(file: str, *, durable: bool, dispatching: bool) -> None:
    store = Store(file if durable else MEMORY)
    dispatcher = Dispatcher(store, Work(receivers("ops"), never), lambda *_: None) if dispatching else None
    store.writer.run(insert("a"))
    time.sleep(0.1)
    spent = time.process_time()
    time.sleep(0.5)
    spent = time.process_time() - spent
    if dispatcher:
        dispatcher.close(0)
    store.close()
    assert spent < 0.1


def never(_: object) -> Attempt:
    return Attempt(Outcome(state="delivered"))


def test_work_may_make_rounds_beside_it_and_each_sees_the_other(store: Store, pool: ThreadPoolExecutor) -> None:
    turns = Turns(store, "ops")
    futures = [pool.submit(store.writer.run, insert(number)) for number in range(20)]
    for _ in range(20):
        turns.round()
    assert results(futures) == list(range(20))
    assert len(stored(store)) == 20


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=TESTS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
    import os, sys, threading
    from hookplugin.outbox.store import Store
    store = Store(sys.argv[1])
    def insert(name):
        def work(connection):
            connection.execute("insert into process values (?, 0)", (name,))
            return f"{name} in {threading.current_thread().name} of {'parent' if os.getpid() == parent else 'child'}"
        print(store.writer.run(work), flush=True)
    parent = os.getpid()
    insert("before")
    if pid := os.fork():
        os.waitpid(pid, 0)
        insert("after")
        store.close()
    else:
        print(len(threading.enumerate()), flush=True)
        insert("forked")
        store.close()
        os._exit(0)
"""


def test_a_child_has_a_thread_of_its_own_once_it_needs_one(path: Path, file: str) -> None:
    assert run(FORK, file).splitlines() == [
        "before in hookplugin-outbox of parent",
        "1",
        "forked in hookplugin-outbox of child",
        "after in hookplugin-outbox of parent",
    ]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select owner from process order by rowid").fetchall() == [
            ("before",),
            ("forked",),
            ("after",),
        ]


CLOSE_BY_SIGNAL = """
    import signal, sys
    from hookplugin.outbox.opening import OutboxError
    from hookplugin.outbox.store import Store
    for turn in range(40):
        store = Store(sys.argv[1])
        committed = 0
        def end(*_):
            store.close()
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, 0.001 + turn / 2000)
        try:
            while True:
                store.writer.run(lambda connection: connection.execute("update tally set refused = refused + 1"))
                store.read(lambda connection: connection.execute("select 1").fetchone())
                committed += 1
        except OutboxError as error:
            if "closed" not in str(error):
                print(error, flush=True)
    print("came to an end", flush=True)
"""


@pytest.mark.parametrize("durable", [True, False])
def test_a_signal_handler_may_close_it_in_the_middle(file: str, *, durable: bool) -> None:
    assert run(CLOSE_BY_SIGNAL, file if durable else MEMORY) == "came to an end\n"
