"""Outboxes in tests: a clock that stands still, any alert, and who is to hear of it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path

from hypothesis import strategies as st

from hookplugin.outbox.store import Entry, Incoming, Store
from hookplugin.strategy.notify import Choice, Known, decide
from hookspecs import Alert, Delivery

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


def accept(store: Store, *deliveries: Delivery) -> None:
    """Store deliveries in one transaction, whatever is known of their alerts."""
    store.accept([(delivery.alert, partial(_entry, delivery)) for delivery in deliveries])


def _entry(delivery: Delivery, known: Known, _: float) -> Entry:
    return Entry((delivery,), (), known)


def telling(alert: Alert, *receivers: str) -> Incoming:
    """Return an alert that a strategy without repeat lets pass to these receivers."""
    source_sends_again = alert.source == "alertmanager"
    choices = [Choice((receiver, None), ("all",), inf if source_sends_again else 0, ("all",)) for receiver in receivers]
    return alert, partial(_told, alert, choices)


def _told(alert: Alert, choices: list[Choice], known: Known, now: float) -> Entry:
    decision = decide(alert, choices, known, {"ops", "dev", "pager"}, now)
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
    return Entry(tuple(deliveries.values()), decision.held, replace(decision.known, notified=tuple(notified)))


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
)
"""Any alert, with whatever a host may put into it."""


def exact(alert: Alert) -> str:
    """Write everything that tells two alerts apart; NaN is equal to itself here."""
    return json.dumps(alert.model_dump(), default=datetime.isoformat)
