"""Outboxes in tests: a clock that stands still, any alert, who is to hear of it, and rounds without threads."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Work
from hookplugin.delivery.rounds import Rounds
from hookplugin.outbox.lanes import Pair
from hookplugin.outbox.rows import Claimed, Waiting
from hookplugin.outbox.store import Entry, Incoming, Store
from hookplugin.strategy.notify import Choice, Known, decide
from hookspecs import Alert, Delivery, Outcome

TESTS = Path(__file__).parent


class Clock:
    """A clock that stands still."""

    time = 1000.0

    def __call__(self) -> float:
        return self.time


@contextmanager
def processes_in_turn(count: int, code: str, *arguments: str) -> Iterator[Callable[[str], list[str]]]:
    """Start processes that say "ready", then answer each line with a line; yield what asks all of them at once."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS)
            )
            for _ in range(count)
        ]
        pipes = [(process.stdin, process.stdout) for process in processes if process.stdin and process.stdout]

        def ask(line: str) -> list[str]:
            for orders, _ in pipes:
                orders.write(f"{line}\n")
                orders.flush()
            return [answers.readline() for _, answers in pipes]

        assert [answers.readline() for _, answers in pipes] == ["ready\n"] * count
        yield ask


def accept(store: Store, *deliveries: Delivery, max_age: float = 3600.0) -> None:
    """Store deliveries in one transaction, whatever is known of their alerts."""
    waiting = [Waiting(delivery, max_age) for delivery in deliveries]
    store.accept([(one.delivery.alert, partial(_entry, one)) for one in waiting])


def _entry(waiting: Waiting, known: Known, _: float) -> Entry:
    return Entry((waiting,), (), known)


def telling(alert: Alert, *receivers: str) -> Incoming:
    """Return an alert that a strategy without repeat lets pass to these receivers."""
    source_sends_again = alert.source == "alertmanager"
    choices = [Choice((receiver, None), ("all",), inf if source_sends_again else 0, ("all",)) for receiver in receivers]
    return alert, partial(_told, alert, choices)


def _told(alert: Alert, choices: list[Choice], known: Known, now: float) -> Entry:
    decision = decide(alert, choices, known, {"ops", "dev", "pager", "büro"}, now)
    deliveries = {
        choice.receiver: Delivery(
            id=secrets.token_hex(8), alert=alert, receiver=choice.receiver, body="hertzbeat", strategies=("all",)
        )
        for choice in decision.accepted
    }
    notified = (
        replace(one, delivery=deliveries[one.copy[0]].id) if one.copy[0] in deliveries else one
        for one in decision.known.notified
    )
    waiting = tuple(Waiting(one, 3600.0) for one in deliveries.values())
    return Entry(waiting, decision.held, replace(decision.known, notified=tuple(notified)))


def receivers(*names: str, **settings: Any) -> dict[str, Receiver]:
    """Return receivers that are alike but for their names."""
    url = "http://127.0.0.1:9/"
    return {name: Receiver.model_validate({"name": name, "url": url, **settings}) for name in names}


class Turns:
    """The rounds of a dispatcher over a store, which a test makes one by one: no thread does."""

    def __init__(self, store: Store, *names: str, **settings: Any) -> None:
        """Serve receivers with these names."""
        self.settled: list[Pair] = []
        self.rounds = Rounds(store, Work(receivers(*names, **settings), _nothing), self.settled.extend)
        self._store = store

    def round(self) -> None:
        """Make one round, also for what others have left."""
        self.rounds.look_around()
        (done,) = self._store.commit([self.rounds.run])
        self.rounds.end(done)
        if done.error:
            raise done.error

    def claim(self, receiver: str = "ops", most: int = 1000) -> list[Claimed]:
        """Make a round, and begin what has a free place and can be read."""
        self.round()
        claimed: list[Claimed] = []
        while len(claimed) < most and (job := self.rounds.begin(receiver)):
            try:
                claimed.append(job.claimed)
            except ValueError:
                self.rounds.discard(job)
        return claimed

    def settle(self, claimed: Claimed, outcome: Outcome) -> None:
        """Bring an attempt back, and make a round."""
        self.rounds.finish(claimed, Attempt(outcome))
        self.round()


def _nothing(_: Claimed) -> Attempt:
    raise NotImplementedError


def deliver_all(turns: Turns, clock: Clock) -> list[str]:
    """Let all be delivered, until nothing has been due for 16 seconds; return the ids in this order."""
    sent: list[str] = []
    idle = 0
    while idle < 8:
        requests = turns.claim()
        for claimed in requests:
            sent += ids([claimed])
            turns.settle(claimed, Outcome(state="delivered", status=204))
        idle = 0 if requests else idle + 1
        clock.time += 2.0
    return sent


def ids(claimed: Iterable[Claimed]) -> list[str]:
    """Return the ids of all deliveries of some requests."""
    return [delivery.id for one in claimed for delivery in one.deliveries]


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXT
TREES = st.recursive(
    SCALARS | st.integers(-(10**60), 10**60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MOMENTS = st.datetimes(timezones=st.none() | st.timezones())
ALERTS = st.builds(
    Alert,
    content=TEXT,
    target=st.none() | TEXT,
    priority=st.sampled_from([0, 1, 2]),
    status=st.sampled_from([0, 1, 2, 3]),
    tags=st.dictionaries(TEXT, SCALARS, max_size=4),
    annotations=st.dictionaries(TEXT, SCALARS, max_size=2),
    first_trigger_time=st.none() | st.integers(-(2**63), 2**63 - 1),
    gmt_create=st.none() | MOMENTS,
    gmt_update=st.none() | MOMENTS,
    source=st.none() | TEXT,
    raw=TREES,
    group=st.none() | TREES,
)
"""Any alert, with whatever a host may put into it."""


def exact(alert: Alert) -> str:
    """Write everything that tells two alerts apart; NaN is equal to itself here."""
    return json.dumps(alert.model_dump(), default=datetime.isoformat)
