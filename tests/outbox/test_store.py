"""The outbox on a real file and in memory: what is accepted comes back, once, to the one who claims it."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from pytest_httpserver import HTTPServer
from storing import ALERTS, TESTS, Clock, Turns, accept, exact, ids, receivers

from hookplugin import Host
from hookplugin.delivery.dispatcher import Dispatcher
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Work
from hookplugin.outbox import lanes
from hookplugin.outbox.lanes import Wanted
from hookplugin.outbox.opening import MEMORY, OutboxError
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Store
from hookspecs import Alert, Delivery, Outcome, Reason

ALERT = Alert(content="disk full", target="db1", tags={"env": "prod", "disk": 3})
DELIVERED = Outcome(state="delivered", status=204, milliseconds=12.5, detail="fine")
DEAD = Outcome(state="dead", reason=Reason.client_error, status=404, detail="no such hook")


@pytest.fixture
def run() -> Callable[..., str]:
    """Run Python code in a process of its own, with `sys.argv[1:]`, and return what it prints."""

    def run_code(code: str, *arguments: object) -> str:
        command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=TESTS, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_code


def delivery(delivery_id: str, receiver: str = "ops", alert: Alert | None = None) -> Delivery:
    """Return a delivery, of an alert of its own unless one is given."""
    alert = alert or ALERT.model_copy(update={"fingerprint": delivery_id})
    return Delivery(id=delivery_id, alert=alert, receiver=receiver, body="hertzbeat", strategies=("all", "night"))


def stored(path: Path) -> list[str]:
    """Return the ids that another program finds in the file."""
    connection = sqlite3.connect(path)
    found = [row[0] for row in connection.execute("select id from outbox order by seq")]
    connection.close()
    return found


def test_what_was_accepted_is_claimed_as_it_was_with_its_attempt_counted(store: Store) -> None:
    accept(store, delivery("a"))
    (claimed,) = Turns(store, "ops").claim()
    assert claimed.deliveries == (delivery("a").model_copy(update={"attempts": 1}),)
    assert (claimed.id, claimed.content) == ("a", None)


def test_a_delivery_is_claimed_once(store: Store) -> None:
    accept(store, delivery("a"))
    turns = Turns(store, "ops")
    assert [ids(one.claim()) for one in (turns, turns, Turns(store, "ops"))] == [["a"], [], []]


def test_each_receiver_has_its_own_room_and_the_oldest_go_first(store: Store, clock: Clock) -> None:
    def claim(receiver: str, room: int) -> list[str]:
        wanted = Wanted(receiver, room)
        (done,) = store.commit([lambda connection: lanes.claim(connection, wanted, store.owner, clock.time)])
        taken, _ = done.value
        return ids(one.read() for one in taken)

    for number in range(4):
        clock.time += 1
        accept(store, delivery(f"ops{number}"), delivery(f"dev{number}", "dev"), delivery(f"other{number}", "other"))
    rooms = {"ops": 2, "dev": 1, "nobody": 5, "other": 0}
    claimed = {name: claim(name, room) for name, room in rooms.items()}
    assert claimed == {"ops": ["ops0", "ops1"], "dev": ["dev0"], "nobody": [], "other": []}
    assert claim("ops", 9) == ["ops2", "ops3"]


def test_a_clock_that_was_set_back_makes_nothing_wait(store: Store, clock: Clock) -> None:
    accept(store, delivery("a"))
    clock.time /= 2
    accept(store, delivery("b"))
    assert ids(Turns(store, "ops").claim()) == ["a", "b"]


@pytest.mark.parametrize("outcome", [DELIVERED, DEAD, Outcome(state="delivered")])
def test_a_settled_delivery_has_its_outcome_and_is_never_claimed_again(store: Store, outcome: Outcome) -> None:
    accept(store, delivery("a"), delivery("b"))
    turns = Turns(store, "ops")
    (claimed,) = turns.claim(most=1)
    assert store.outcomes(["a", "b", "unknown"]) == {"a": None, "b": None}
    turns.settle(claimed, outcome)
    assert store.outcomes(["a", "b"]) == {"a": outcome, "b": None}
    assert turns.settled == [(*claimed.deliveries, outcome)]
    assert ids(turns.claim()) == ["b"]
    assert Turns(store, "ops").claim() == []


def test_the_first_outcome_stays(store: Store) -> None:
    accept(store, delivery("a"))
    turns = Turns(store, "ops")
    (claimed,) = turns.claim()
    turns.settle(claimed, DELIVERED)
    turns.settle(claimed, DEAD)
    assert store.outcomes(["a"]) == {"a": DELIVERED}
    assert len(turns.settled) == 1


def test_what_nobody_claimed_cannot_be_settled(store: Store) -> None:
    accept(store, delivery("a"))
    turns = Turns(store)
    turns.settle(Claimed("a", (delivery("a"),), inf), DELIVERED)
    assert store.outcomes(["a"]) == {"a": None}
    assert ids(Turns(store, "ops").claim()) == ["a"]


@pytest.mark.parametrize("attempts", [0, 2])
def test_what_was_claimed_anew_meanwhile_the_earlier_attempt_cannot_settle(store: Store, attempts: int) -> None:
    accept(store, delivery("a"))
    turns = Turns(store, "ops")
    (claimed,) = turns.claim()
    other = delivery("a").model_copy(update={"attempts": attempts})
    turns.settle(replace(claimed, deliveries=(other,)), DEAD)
    assert store.outcomes(["a"]) == {"a": None}
    turns.settle(claimed, DELIVERED)
    assert store.outcomes(["a"]) == {"a": DELIVERED}


def test_what_another_process_claimed_only_that_process_can_settle(file: str) -> None:
    code = """
        import sys
        from storing import Turns, ids
        from hookplugin.outbox.store import Store
        from hookspecs import Outcome
        store = Store(sys.argv[1])
        turns = Turns(store, "ops")
        (claimed,) = turns.claim()
        print(*ids([claimed]), flush=True)
        input()
        turns.settle(claimed, Outcome(state="delivered"))
        store.close()
    """
    store = Store(file)
    accept(store, delivery("a"))
    command = [sys.executable, "-c", textwrap.dedent(code), file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS) as other:
        assert other.stdout
        assert other.stdout.readline() == "a\n"
        turns = Turns(store, "ops")
        turns.settle(Claimed("a", (delivery("a").model_copy(update={"attempts": 1}),), inf), DEAD)
        assert store.outcomes(["a"]) == {"a": None}
        accept(store, delivery("b"))
        assert store.unsettled(["ops"]) == 1
        Store(file).close()  # who starts now does not take it back
        assert ids(turns.claim()) == ["b"]
        other.communicate("\n", timeout=30)
    assert store.outcomes(["a"]) == {"a": Outcome(state="delivered")}
    store.close()


def test_what_waits_and_what_is_claimed_here_is_unsettled(store: Store) -> None:
    accept(store, delivery("a"), delivery("b"), delivery("c", "dev"), delivery("d", alert=ALERT))
    accept(store, delivery("e", alert=ALERT))  # parked behind the one before
    assert store.unsettled(["ops", "dev"]) == 5
    turns = Turns(store, "ops")
    (claimed,) = turns.claim(most=1)
    assert [store.unsettled(["ops"]), store.unsettled(["dev"]), store.unsettled([])] == [4, 1, 0]
    turns.settle(claimed, DEAD)
    assert store.unsettled(["ops"]) == 3


def test_deliveries_are_accepted_together_or_not_at_all(store: Store) -> None:
    accept(store, delivery("a"))
    with pytest.raises(OutboxError):
        accept(store, delivery("b"), delivery("a"))
    assert store.outcomes(["a", "b"]) == {"a": None}
    assert store.unsettled(["ops"]) == 1


def test_nothing_to_accept_is_no_error(store: Store) -> None:
    assert store.accept([]) == []
    assert Turns(store).claim() == []


# What comes back


@given(alert=ALERTS)
def test_any_alert_comes_back_as_it_was(alert: Alert) -> None:
    store = Store(MEMORY)
    accept(store, delivery("a", alert=alert))
    (claimed,) = Turns(store, "ops").claim()
    store.close()
    assert exact(claimed.deliveries[0].alert) == exact(alert)


@pytest.mark.parametrize(
    "alert",
    [
        Alert(content="naive", gmt_create="2024-01-01T00:00:00.000001", gmt_update=[2024, 1, 1, 0, 0, 0, 999]),
        Alert(content="zone", gmt_create="2024-01-01T00:00:00+05:45", gmt_update="1880-01-01T00:00:00+00:53:28"),
        Alert(content="tags", tags={"none": None, "one": 1, "float": 1.0, "yes": True, "inf": float("-inf")}),
        Alert(content="\ud800\0\u2028\x1b", raw={"a": [None, {"b": [10**400, -(2**70)]}], "": {}}),
        Alert(content="group", group={"groupLabels": {}, "new": [10**400, float("-inf"), {"deep": None}]}),
        Alert(content="", id=-(2**63), fingerprint="", target="", first_trigger_time=2**63 - 1),
    ],
)
def test_odd_alerts_come_back_equal(store: Store, alert: Alert) -> None:
    accept(store, delivery("a", alert=alert))
    (claimed,) = Turns(store, "ops").claim()
    assert claimed.deliveries[0].alert == alert
    assert exact(claimed.deliveries[0].alert) == exact(alert)


@pytest.mark.parametrize("field", ["raw", "group"])
def test_a_payload_that_cannot_be_written_costs_itself_alone(
    store: Store, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    poison = Alert.model_validate({"content": "x", field: [10**5000]})
    accept(store, delivery("a", alert=ALERT), delivery("b", alert=poison))
    alerts = [claimed.deliveries[0].alert for claimed in Turns(store, "ops").claim()]
    assert alerts == [ALERT, Alert(content="x")]
    assert "kept without the payload it came from, which cannot be written: Exceeds the limit" in caplog.text


def test_a_row_that_cannot_be_read_is_dead_and_does_not_keep_the_others(
    path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(file)
    accept(store, delivery("a"), delivery("b"), delivery("c"))
    other = sqlite3.connect(path)
    other.execute("update outbox set alert = '{}' where id = 'b'")
    other.commit()
    other.close()
    turns = Turns(store, "ops")
    assert ids(turns.claim()) == ["a", "c"]
    assert turns.claim() == []
    outcome = store.outcomes(["b"])["b"]
    store.close()
    assert outcome
    assert (outcome.state, outcome.reason) == ("dead", Reason.failed)
    assert "deliveries that cannot be read any more; they are dead: 1" in caplog.text


@pytest.mark.parametrize("seconds", [0.0, 20.0], ids=["in time", "expired"])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("strategies", "5"),
        ("strategies", "null"),
        ("strategies", "[" * 100_000),
        ("strategies", b"\xff"),
        ("via", "5"),
        ("via", "null"),
        ("via", "[" * 100_000),
        ("alert", "null"),
        ("alert", "[" * 100_000),
        ("alert", b"\xff"),
        ("body", b"\xff"),
    ],
)
def test_a_row_that_was_damaged_costs_itself_alone(
    file: str, clock: Clock, column: str, value: object, seconds: float
) -> None:
    with closing(Store(file, clock)) as store:
        accept(store, delivery("a"), max_age=10.0)
        accept(store, delivery("b"))
        store.commit([lambda connection: connection.execute(f"update outbox set {column} = ? where id = 'a'", [value])])
        clock.time += seconds
        turns = Turns(store, "ops")
        claimed = ids(turns.claim())
        turns.round()
        a, b = store.outcomes("ab").values()
        assert claimed[-1:] == ["b"]
        assert b is None
        assert claimed[:-1] == ["a"] if a is None else (claimed[:-1], a.state) == ([], "dead")
        assert store.durable


# The file


def test_only_a_file_is_durable(file: str) -> None:
    stores = [Store(file), Store(MEMORY)]
    assert [store.durable for store in stores] == [True, False]
    for store in stores:
        store.close()


def test_what_was_accepted_is_there_after_a_restart_and_what_was_claimed_here_stays_claimed(file: str) -> None:
    first = Store(file)
    accept(first, delivery("a"))
    assert ids(Turns(first, "ops").claim()) == ["a"]
    accept(first, delivery("b"))
    second = Store(file)
    assert ids(Turns(second, "ops").claim()) == ["b"]
    first.close()
    second.close()


@pytest.mark.parametrize("name", ["a b.db", "a?mode=ro.db", "a#b%20.db", "größe.db"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    store = Store(f"sqlite:///{tmp_path / name}")
    accept(store, delivery("a"))
    assert stored(tmp_path / name) == ["a"]
    store.close()


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(OutboxError, match="is closed"):
        accept(store, delivery("a"))


def test_who_interrupts_a_reader_in_its_own_thread_is_refused_and_does_not_hang(store: Store) -> None:
    def read(_: sqlite3.Connection) -> None:
        accept(store, delivery("a"))  # as a signal handler does

    with pytest.raises(OutboxError, match="in use by this very thread"):
        store.read(read)
    accept(store, delivery("b"))
    assert store.outcomes("ab") == {"b": None}


@pytest.mark.parametrize("replaced", [False, True])
def test_it_is_seen_that_the_file_was_deleted_or_replaced(path: Path, file: str, *, replaced: bool) -> None:
    with closing(Store(file)) as store:
        store.changed_elsewhere()
        for found in path.parent.iterdir():
            found.rename(found.with_name(f"away-{found.name}"))
        if replaced:
            Store(file).close()
        with pytest.raises(OutboxError, match="was deleted or replaced"):
            store.changed_elsewhere()


def test_a_broken_storage_is_an_outbox_error_and_nothing_else(path: Path, file: str) -> None:
    store = Store(file, memory_meanwhile=False)
    other = sqlite3.connect(path)
    for table in ("outbox", "seen", "recent"):
        other.execute(f"drop table {table}")
    other.close()
    calls: list[Callable[[], object]] = [
        lambda: accept(store, delivery("a")),
        Turns(store, "ops").claim,
        lambda: Turns(store).settle(Claimed("a", (delivery("a"),), inf), DELIVERED),
        lambda: store.outcomes(["a"]),
        lambda: store.unsettled(["ops"]),
        lambda: store.known(ALERT),
        lambda: store.recent(0),
    ]
    for call in calls:
        with pytest.raises(OutboxError, match="no such table"):
            call()
    store.close()


def test_a_full_disk_refuses_what_does_not_fit_and_nothing_after_it_was_freed(
    path: Path, file: str, run: Callable[..., str]
) -> None:
    code = """
        import resource, storing, sys
        from hookplugin.outbox.opening import OutboxError
        from hookplugin.outbox.store import Store
        from hookspecs import Alert, Delivery
        def accept(name, content):
            storing.accept(store, Delivery(id=name, alert=Alert(content=content), receiver="ops", body="hertzbeat"))
        store = Store(sys.argv[1], memory_meanwhile=False)
        accept("before", "x")
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for _ in range(2):
            try:
                accept("large", "x" * 1_000_000)
            except OutboxError as error:
                print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        accept("after", "x" * 1_000_000)
        store.close()
    """
    printed = run(code, file)
    assert printed.count(f"the outbox {path} failed: ") == 2
    assert "rollback" not in printed
    assert stored(path) == ["before", "after"]


# Threads and processes


def test_threads_share_a_store_and_what_each_accepts_is_delivered_once(store: Store) -> None:
    delivered: list[str] = []

    def deliver(claimed: Claimed) -> Attempt:
        delivered.extend(ids([claimed]))
        return Attempt(DELIVERED)

    def work(number: int) -> list[Outcome | None]:
        names = [f"{number}-{step}" for step in range(10)]
        for name in names:
            accept(store, delivery(name))
        return list(dispatcher.wait(names, 30).values())

    dispatcher = Dispatcher(store, Work(receivers("ops"), deliver), lambda *_: None)
    with ThreadPoolExecutor(8) as pool:
        outcomes = [one for found in pool.map(work, range(8)) for one in found]
    assert dispatcher.close(30) == 0
    assert sorted(delivered) == sorted(f"{number}-{step}" for number in range(8) for step in range(10))
    assert outcomes == [DELIVERED] * 80


def test_a_second_store_in_a_process_does_not_cost_the_first_its_locks(
    path: Path, file: str, run: Callable[..., str]
) -> None:
    first, second = Store(file), Store(file)
    accept(first, delivery("before"))
    accept(second, delivery("beside"))
    run("import sys; from hookplugin.outbox.store import Store; Store(sys.argv[1]).close()", file)
    accept(first, delivery("after"))
    assert stored(path) == ["before", "beside", "after"]
    first.close()
    second.close()


FORK = """
    import os, storing, sys
    from hookplugin.outbox.store import Store
    from hookspecs import Alert, Delivery, Outcome
    def accept(name):
        storing.accept(store, Delivery(id=name, alert=Alert(content=name), receiver="ops", body="hertzbeat"))
    def claim():
        return ",".join(storing.ids(storing.Turns(store, "ops").claim()))
    store = Store(sys.argv[1])
    accept("first")
    mine, child = os.pipe(), os.pipe()
    if pid := os.fork():
        os.read(child[0], 1)
        print("parent claims", claim(), flush=True)
        accept("parent")
        store.close()
        os.write(mine[1], b"x")
        os.waitpid(pid, 0)
    else:
        print("child claims", claim(), flush=True)
        accept("child before")
        os.write(child[1], b"x")
        os.read(mine[0], 1)
        accept("child after")
        print("child has", store.unsettled(["ops"]), flush=True)
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), 9)
        store.close()
        os._exit(0)
"""


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_after_a_fork_each_process_has_its_own_connection_and_nothing_is_lost(
    path: Path, file: str, run: Callable[..., str], end: str
) -> None:
    lines = run(FORK, file, end).splitlines()
    # four: the parent gave back what it had claimed when it closed
    assert lines == ["child claims first", "parent claims child before", "child has 4"]
    assert stored(path) == ["first", "child before", "parent", "child after"]


def test_what_a_child_writes_while_the_file_is_closed_for_the_fork_is_seen(file: str, run: Callable[..., str]) -> None:
    code = """
        import os, sys
        from hookplugin.outbox.store import Store
        from hookspecs import Alert, Delivery
        from storing import accept
        store = Store(sys.argv[1])
        before = [store.changed_elsewhere() for _ in range(2)]
        if pid := os.fork():
            os.waitpid(pid, 0)
            after = [store.changed_elsewhere() for _ in range(2)]
            print(before[0] == before[1] != after[0] == after[1])
        else:
            accept(store, Delivery(id="a", alert=Alert(content="x"), receiver="ops", body="hertzbeat"))
            store.close()
            os._exit(0)
    """
    assert run(code, file) == "True\n"


def test_a_fork_in_memory_has_nothing_of_its_parent(run: Callable[..., str]) -> None:
    code = """
        import os
        from hookplugin.outbox.store import Store
        from hookspecs import Alert, Delivery
        from storing import accept
        store = Store("sqlite:///:memory:")
        accept(store, Delivery(id="a", alert=Alert(content="x"), receiver="ops", body="hertzbeat"))
        if pid := os.fork():
            os.waitpid(pid, 0)
            print("parent", store.unsettled(["ops"]))
        else:
            print("child", store.unsettled(["ops"]), flush=True)
            os._exit(0)
    """
    assert run(code).splitlines() == ["child 0", "parent 1"]


def test_a_fork_does_not_open_a_closed_store_again(file: str, run: Callable[..., str]) -> None:
    code = """
        import os, sys
        from hookplugin.outbox.opening import OutboxError
        from hookplugin.outbox.store import Store
        store = Store(sys.argv[1])
        store.close()
        if pid := os.fork():
            os.waitpid(pid, 0)
        try:
            store.unsettled([])
        except OutboxError as error:
            print("closed" if "is closed" in str(error) else error, flush=True)
        if not pid:
            os._exit(0)
    """
    assert run(code, file).splitlines() == ["closed", "closed"]


HOST = """
    import sys
    from hookplugin import Alert, Host
    host = Host({
        "outbox": sys.argv[1],
        "receivers": [{"name": "ops", "url": sys.argv[2], "max_in_flight": 1}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    })
    print(*(host.fire(Alert(content=str(number))).accepted[0] for number in range(3)), flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_had_claimed_is_delivered_after_the_next_start(file: str, httpserver: HTTPServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        command = [sys.executable, "-c", textwrap.dedent(HOST), file, url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            accepted = process.stdout.readline().split()
            listener.settimeout(30)
            with listener.accept()[0]:  # the first of them is on its way
                process.kill()
    httpserver.expect_request("/hook").respond_with_data("")
    config = {
        "outbox": file,
        "receivers": [{"name": "ops", "url": httpserver.url_for("/hook")}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }
    with Host(config) as host:
        assert host.close() == 0
    store = Store(file)
    outcomes = store.outcomes(accepted).values()
    store.close()
    assert [outcome.state if outcome else None for outcome in outcomes] == ["delivered"] * 3
    assert sorted(request.headers["webhook-id"] for request, _ in httpserver.log) == sorted(accepted)


def test_a_store_that_closes_gives_back_what_it_has_claimed(file: str) -> None:
    store = Store(file)
    accept(store, delivery("a"))
    assert ids(Turns(store, "ops").claim()) == ["a"]
    store.close()
    again = Store(file)
    (claimed,) = Turns(again, "ops").claim()
    assert (ids([claimed]), claimed.attempts) == (["a"], 2)
    again.close()


BUSY = """
    import os, sqlite3, storing, sys, threading
    from hookplugin.outbox.store import Store
    from hookspecs import Alert, Delivery
    store = Store(sys.argv[1])
    def work():
        number = 0
        while True:
            number += 1
            name = f"{threading.get_ident()}-{number}"
            storing.accept(store, Delivery(id=name, alert=Alert(content="x"), receiver="ops", body="hertzbeat"))
    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            connection = sqlite3.connect(":memory:")
            connection.execute("create table t(x)")
            os._exit(0)
        os.waitpid(pid, 0)
    print("all came back", flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("url", ["file", "memory"])
def test_no_child_of_a_busy_process_hangs_in_a_lock_of_sqlite(url: str, file: str, run: Callable[..., str]) -> None:
    assert run(BUSY, file if url == "file" else MEMORY).strip() == "all came back"


def test_an_outbox_in_memory_forgets_what_was_settled_long_ago_and_nothing_that_waits() -> None:
    store = Store(MEMORY)
    names = [str(number) for number in range(10_000 + 3)]
    accept(store, delivery("0", "other"), *(delivery(name) for name in names[1:]))
    turns = Turns(store, "ops", max_in_flight=1000)
    while claimed := turns.claim():
        for one in claimed:
            turns.rounds.finish(one, Attempt(DELIVERED))
    Turns(store, "ops").round()  # the first round of each tidies up
    known = store.outcomes(["0", "1", "2", "3", names[-1]])
    assert known == {"0": None, "3": DELIVERED, names[-1]: DELIVERED}
    store.close()
