"""What the outbox remembers of alerts, on real files and in memory: who was told, and what came in last."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storing import ALERTS, TESTS, Clock, Turns, exact, processes_in_turn, telling

from hookplugin.outbox import journal
from hookplugin.outbox.journal import RECENT, REMEMBERED_FOR, REMEMBERED_IN_MEMORY, RecentAlert
from hookplugin.outbox.opening import MEMORY, OutboxError, open_memory
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Entry, Store
from hookplugin.strategy.explain import TagsSeen
from hookplugin.strategy.notify import Firing, Known
from hookspecs import Alert, Delivery, Outcome, Reason

DELIVERED = Outcome(state="delivered", status=204)
DEAD = Outcome(state="dead", reason=Reason.client_error, status=404, detail="no such hook")


def resent(target: str = "db1", **fields: Any) -> Alert:
    """Return an alert that its source sends again and again."""
    return Alert(content="disk full", target=target, source="alertmanager", **fields)


def tell(store: Store, alert: Alert, *receivers: str) -> list[Delivery]:
    """Accept an alert that these are to hear, and return the deliveries to those who do."""
    (entry,) = store.accept([telling(alert, *receivers)])
    return list(entry.deliveries)


def told(store: Store, alert: Alert, *receivers: str) -> list[str]:
    return [delivery.receiver for delivery in tell(store, alert, *receivers)]


def become(one: RecentAlert) -> list[tuple[str | None, str]]:
    """Return what became of a recent alert: for each receiver the delivery's state, or why there is none."""
    return [
        *((delivery.receiver, delivery.state) for delivery in one.deliveries),
        *((held.receiver, held.reason) for held in one.held),
    ]


def query(path: Path, sql: str) -> list[Any]:
    """Ask or change a file as another program does."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


# What is known of an alert


def test_what_is_known_is_known_to_all_who_open_the_file_and_after_a_restart(file: str, clock: Clock) -> None:
    first, second = Store(file, clock), Store(file, clock)
    assert told(first, resent(), "ops", "dev") == ["ops", "dev"]
    assert told(second, resent(), "ops", "dev", "pager") == ["pager"]
    known, listed = second.known(resent()), first.recent(0)
    first.close()
    second.close()
    again = Store(file, clock)
    assert (again.known(resent()), again.recent(0)) == (known, listed)
    assert (known[0].firing, len(known[0].notified), len(listed)) == (Firing.open, 3, 2)
    assert told(again, resent(), "ops", "dev", "pager") == []
    assert told(again, resent(status="recovered")) == ["ops", "dev", "pager"]
    again.close()


def test_of_what_never_came_in_nothing_is_known(store: Store) -> None:
    tell(store, resent("db2"), "ops")
    assert store.known(resent("db1")) == (Known(), TagsSeen(1, frozenset()))


def test_what_is_decided_is_known_to_the_next_alert_of_the_same_transaction(store: Store) -> None:
    entries = store.accept([telling(resent(), "ops"), telling(resent(), "ops"), telling(resent(status="recovered"))])
    assert [len(entry.deliveries) for entry in entries] == [1, 0, 1]


@pytest.mark.parametrize(("outcome", "again"), [(DEAD, ["ops"]), (DELIVERED, [])])
def test_only_who_did_not_hear_is_told_when_it_is_sent_again(store: Store, outcome: Outcome, again: list[str]) -> None:
    tell(store, resent(), "ops", "dev")
    tell(store, resent("db2"), "ops", "dev")
    turns = Turns(store, "ops", "dev")
    for receiver, what in (("ops", outcome), ("dev", DELIVERED)):
        (claimed,) = turns.claim(receiver, 1)
        turns.settle(claimed, what)
    assert told(store, resent(), "ops", "dev") == again
    assert told(store, resent("db2"), "ops", "dev") == []
    assert told(store, resent(status="recovered")) == ["ops", "dev"]


def test_a_delivery_that_is_given_up_late_does_not_repeat_what_was_told_since(store: Store) -> None:
    tell(store, resent(), "ops")
    turns = Turns(store, "ops")
    (late,) = turns.claim()
    tell(store, resent(priority="emergency"), "ops")
    turns.settle(late, DEAD)
    assert told(store, resent(priority="emergency"), "ops") == []


def test_a_delivery_that_another_gave_up_is_not_lost(store: Store) -> None:
    (delivery,) = tell(store, resent(), "ops")
    Turns(store).settle(Claimed(delivery.id, (delivery,), inf), DEAD)  # nobody has claimed it
    assert told(store, resent(), "ops") == []


RACE = """
    import storing, sys
    from hookplugin.outbox.store import Store
    from hookspecs import Alert
    store = Store(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        alert = Alert(content="x", target=line.strip(), source="alertmanager")
        (entry,) = store.accept([storing.telling(alert, "ops")])
        print(len(entry.deliveries), flush=True)
    store.close()
"""


def test_of_processes_that_accept_the_same_at_once_exactly_one_tells(path: Path, file: str) -> None:
    with processes_in_turn(2, RACE, file) as ask:
        for turn in range(150):
            assert sorted(ask(str(turn))) == ["0\n", "1\n"]
    assert query(path, "select count(*), (select count(*) from recent) from outbox") == [(150, 300)]


# One transaction


TABLES = ("outbox", "recent", "seen")


def counted(path: Path) -> list[int]:
    return [query(path, f"select count(*) from {table}")[0][0] for table in TABLES]


def test_a_decision_that_fails_stores_nothing_of_all_that_came_with_it(path: Path, file: str) -> None:
    def fail(_: Known, __: float) -> Entry:
        raise ZeroDivisionError

    store = Store(file)
    tell(store, resent(), "ops")
    before = counted(path)
    with pytest.raises(ZeroDivisionError):
        store.accept([telling(resent("db2"), "ops", "dev"), telling(resent(), "dev"), (resent("db3"), fail)])
    assert counted(path) == before == [1, 1, 1]
    assert told(store, resent("db2"), "ops", "dev") == ["ops", "dev"]
    store.close()


def test_a_decision_that_uses_its_own_store_is_refused_and_stores_nothing(store: Store) -> None:
    def use(known: Known, _: float) -> Entry:
        store.known(resent())
        return Entry((), (), known)

    with pytest.raises(OutboxError, match="in use by this very thread"):
        store.accept([telling(resent("db2"), "ops"), (resent(), use)])
    assert (store.recent(0), store.unsettled(["ops"])) == ([], 0)


def test_a_process_that_is_killed_in_a_decision_has_stored_nothing_of_what_came_with_it(path: Path, file: str) -> None:
    code = """
        import os, storing, sys
        from hookplugin.outbox.store import Store
        from hookspecs import Alert
        store = Store(sys.argv[1])
        store.accept([storing.telling(Alert(content="before"), "ops")])
        many = [storing.telling(Alert(content=str(number) * 999), "ops", "dev") for number in range(999)]
        store.accept([*many, (Alert(content="x"), lambda *_: os.kill(os.getpid(), 9))])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), file]
    assert subprocess.run(command, timeout=30, cwd=TESTS, check=False).returncode == -9
    assert counted(path) == [1, 1, 1]
    store = Store(file)
    assert [one.alert.content for one in store.recent(0)] == ["before"]
    store.close()


# What is forgotten


def pass_by(store: Store, count: int = 100) -> None:
    """Let alerts come in that nobody is to hear of: so many at least until a file is tidied up."""
    store.accept([telling(resent(f"passing {number}")) for number in range(count)])


def test_what_was_told_is_forgotten_when_its_time_is_over_and_not_before(store: Store, clock: Clock) -> None:
    tell(store, resent("old"), "ops")
    clock.time += 1
    tell(store, resent("again"), "ops")
    clock.time += REMEMBERED_FOR - 1
    tell(store, resent("again"), "ops")  # nobody is told, but it is seen
    known = {target: store.known(resent(target))[0].firing for target in ("old", "again")}
    assert known == {"old": Firing.open, "again": Firing.open}
    pass_by(store)
    assert store.known(resent("again"))[0].firing is Firing.open
    clock.time += REMEMBERED_FOR
    pass_by(store)
    assert store.known(resent("old"))[0] == Known()
    assert [one.copy[0] for one in store.known(resent("again"))[0].notified] == ["ops"]
    assert told(store, resent("again", status="recovered")) == ["ops"]


def test_what_was_told_is_gone_from_the_file_with_its_alert(path: Path, file: str, clock: Clock) -> None:
    store = Store(file, clock)
    tell(store, resent("old"), "ops", "dev")
    clock.time += REMEMBERED_FOR + 1
    tell(store, resent("new"), "ops")
    pass_by(store)
    store.close()
    told = query(path, "select fingerprint from seen where notified <> '[]'")
    assert told == [(resent("new").fingerprint,)]
    assert query(path, "select count(*) from seen") == [(101,)]


def test_forgetting_keeps_up_with_many_alerts_at_once(path: Path, file: str, clock: Clock) -> None:
    store = Store(file, clock)
    for turn in range(5):
        store.accept([telling(resent(f"{turn}-{number}"), "ops") for number in range(100)])
        clock.time += REMEMBERED_FOR + 1
    store.close()
    assert query(path, "select count(*) from seen")[0][0] <= 200


@pytest.mark.parametrize(("durable", "left"), [(False, REMEMBERED_IN_MEMORY), (True, REMEMBERED_IN_MEMORY + 5)])
def test_only_an_outbox_in_memory_forgets_for_want_of_room_those_not_seen_for_longest(
    *, durable: bool, left: int
) -> None:
    with closing(open_memory()) as connection:
        connection.execute(f"""with recursive n(x) as (select 1 union all select x + 1 from n
            where x < {REMEMBERED_IN_MEMORY + 5})
            insert into seen(fingerprint, firing, at, notified) select x, 1, 0, '[]' from n""")
        journal.forget(connection, 0, 5, durable=durable)
        assert connection.execute("select count(*), min(seq) from seen").fetchall() == [
            (left, REMEMBERED_IN_MEMORY + 6 - left)
        ]


def test_only_so_many_recent_alerts_are_kept(path: Path, file: str) -> None:
    store = Store(file)
    tell(store, resent("first"), "ops")
    query(path, f"""with recursive n(x) as (select 1 union all select x + 1 from n where x < {RECENT + 9})
        insert into recent(received, source, tags, alert, deliveries, held)
        select x, source, tags, alert, deliveries, held from recent, n""")  # fmt: skip
    pass_by(store, 98)  # one less than until the next time that it is tidied up
    tell(store, resent("last"), "ops")
    assert query(path, "select count(*), min(received) from recent") == [(RECENT, 109)]
    assert [one.alert.target for one in store.recent(RECENT + 9)][::99] == ["first", "last"]
    assert store.known(resent("first"))[0].notified  # what was told is remembered for longer
    store.close()


# What came in last


def test_recent_alerts_are_listed_in_order_with_what_became_of_each(path: Path, file: str, clock: Clock) -> None:
    store = Store(file, clock)
    tell(store, resent("old"), "ops")
    clock.time += 1
    tell(store, resent("first"), "ops", "dev", "pager")
    (forgotten,) = tell(store, resent("second"), "ops")
    tell(store, resent("first"), "ops")
    tell(store, resent("nobody"))
    outcomes = {"dev": DELIVERED, "pager": DEAD}
    turns = Turns(store, *outcomes)
    for receiver, outcome in outcomes.items():
        (claimed,) = turns.claim(receiver)
        turns.settle(claimed, outcome)
    query(path, f"delete from outbox where id = '{forgotten.id}'")
    listed = store.recent(clock.time)
    store.close()
    assert [(one.alert.target, become(one)) for one in listed] == [
        ("first", [("ops", "pending"), ("dev", "delivered"), ("pager", "dead")]),
        ("second", [("ops", "forgotten")]),
        ("first", [("ops", "it heard of this at 1970-01-01 00:16:41 UTC, and no strategy repeats it")]),
        ("nobody", [(None, "no strategy matched")]),
    ]
    assert [delivery.outcome for delivery in listed[0].deliveries] == [None, DELIVERED, DEAD]
    assert {one.received for one in listed} == {datetime.fromtimestamp(clock.time, UTC)}


def test_what_is_claimed_is_still_pending(store: Store) -> None:
    tell(store, resent(), "ops")
    assert Turns(store, "ops").claim()
    assert [become(one) for one in store.recent(0)] == [[("ops", "pending")]]


def test_only_what_came_in_since_a_time_is_listed_in_the_order_in_which_it_came(store: Store, clock: Clock) -> None:
    for target, at in (("a", 1000), ("b", 2000), ("c", 1500), ("d", 2000.5)):
        clock.time = at
        tell(store, resent(target))
    listed = {since: "".join(one.alert.target or "" for one in store.recent(since)) for since in (0, 1500, 2000, 3000)}
    assert listed == {0: "abcd", 1500: "bcd", 2000: "bd", 3000: ""}


@pytest.mark.parametrize("source", [None, "", "nagios", "größe'\0"])
def test_the_tags_of_a_source_are_those_of_its_own_alerts(store: Store, source: str | None) -> None:
    tell(store, Alert(content="x", source="other", tags={"job": "a"}))
    tell(store, Alert(content="x", source=source, tags={"env": "a", "": 1}))
    tell(store, Alert(content="x", source=source, tags={"env": "b", "🔥\ud800\n\"'": None}))
    tell(store, Alert(content="x", source=source))
    expected = TagsSeen(3, frozenset({"env", "", "🔥\ufffd\n\"'"}))
    assert store.known(Alert(content="y", source=source))[1] == expected


HUGE = "🔥\0<" * 1_000_000


@pytest.mark.parametrize(
    "alert",
    [
        pytest.param(Alert(content=HUGE, target=HUGE, source=HUGE), id="texts"),
        pytest.param(Alert(content="x", tags={"a": HUGE}, annotations={HUGE: 1}), id="tags"),
        pytest.param(Alert(content="x", tags={HUGE: "a"}), id="a tag's name"),
        pytest.param(Alert(content="x", tags={f"tag{number}": number for number in range(100_000)}), id="many tags"),
        pytest.param(Alert(content="", annotations={"a": HUGE}), id="no content"),
        pytest.param(Alert(content="x", link=HUGE, group_key=HUGE, event_id=HUGE), id="links"),
        pytest.param(Alert(content="x", status="recovered", priority=0, id=7, fingerprint=HUGE), id="fingerprint"),
    ],
)
def test_of_a_huge_alert_only_what_tells_it_from_others_is_listed(path: Path, file: str, alert: Alert) -> None:
    store = Store(file)
    tell(store, alert)
    tell(store, resent())
    listed = store.recent(0)
    store.close()
    assert [one.alert.content for one in listed] == [alert.content[:1000], "disk full"]
    found = listed[0].alert
    assert (found.id, found.status, found.priority) == (alert.id, alert.status, alert.priority)
    assert found.target == (alert.target and alert.target[:1000])
    assert query(path, "select sum(length(alert) + length(tags) + length(deliveries) + length(held)) from recent") < [
        (100_000,)
    ]


@given(alerts=st.lists(ALERTS, min_size=1, max_size=3))
def test_any_alert_can_be_accepted_and_listed_and_is_known_again(alerts: list[Alert]) -> None:
    with closing(Store(MEMORY)) as store:
        for alert in alerts:
            tell(store, alert, "ops")
        assert [exact(one.alert) for one in store.recent(0)] == [
            exact(alert.model_copy(update={"raw": None, "group": None})) for alert in alerts
        ]
        last = alerts[-1]
        known, _ = store.known(last)
        assert [one.trigger_times[-1] for one in known.notified if one.status is last.status] == [
            last.first_trigger_time
        ]


# SQLite's JSON ends a text at NUL; such a name would only be seen in a note of explain.
@given(
    names=st.sets(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), max_size=4)
)
def test_the_tags_of_a_source_have_their_exact_names(names: set[str]) -> None:
    with closing(Store(MEMORY)) as store:
        tell(store, Alert(content="x", source="nagios", tags=dict.fromkeys(names)))
        assert store.known(Alert(content="y", source="nagios"))[1] == TagsSeen(1, frozenset(names))
