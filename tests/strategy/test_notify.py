"""Who hears of an alert, given who has heard what of it before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookplugin.strategy.model import Strategy
from hookplugin.strategy.notify import Choice, Decision, Known, choose, decide
from hookspecs import Alert, Priority, Status

HOUR = 3600.0
BODIES = {"ops": "hertzbeat", "dev": "chat"}
ALERT = Alert(content="disk full")


def strategy(name: str, *receivers: str, **keys: Any) -> Strategy:
    return Strategy.model_validate({"name": name, "receivers": receivers or ("ops",), **keys})


# One copy for each receiver and body


def test_there_is_one_copy_for_each_receiver_and_body_in_the_order_of_the_strategies() -> None:
    chosen = choose(
        [
            strategy("a", "ops", "dev", "ops"),
            strategy("b", "dev", "ops", body="chat"),  # dev's own
            strategy("c", "ops", body="hertzbeat", statuses=["firing"]),  # ops' own
            strategy("d", "dev", body="hertzbeat", match_all=True),
        ],
        BODIES,
    )
    assert chosen == [
        Choice(("ops", None), ("a", "c"), 0, ("a",)),
        Choice(("dev", None), ("a", "b"), 0, ("a", "b")),
        Choice(("ops", "chat"), ("b",), 0, ("b",)),
        Choice(("dev", "hertzbeat"), ("d",), 0, ("d",)),
    ]


def test_without_a_strategy_there_is_no_copy() -> None:
    assert choose([], BODIES) == []


@pytest.mark.parametrize(
    ("repeats", "resent", "own"),
    [
        ([None], inf, 0),
        (["4h"], 4 * HOUR, 4 * HOUR),
        (["4h", "1h"], HOUR, HOUR),
        (["1h", None, "4h"], HOUR, 0),
        ([None, None], inf, 0),
    ],
)
def test_the_same_is_told_again_when_the_first_strategy_wants_it(
    repeats: list[str | None], resent: float, own: float
) -> None:
    strategies = [strategy(str(number), repeat=repeat) for number, repeat in enumerate(repeats)]

    def pause(*, resends: bool) -> float:
        (choice,) = choose(strategies, BODIES, resends=resends)
        return choice.pause

    assert pause(resends=True) == resent
    assert pause(resends=False) == own


def test_a_choice_names_those_of_its_strategies_that_ask_for_recoveries() -> None:
    strategies = [
        strategy("default"),
        strategy("fires", statuses=["firing"]),
        strategy("every", statuses=[]),
        strategy("all", match_all=True),
        strategy("ends", statuses=["processed", "resolved"]),
    ]
    (choice,) = choose(strategies, BODIES)
    assert choice.recovery == ("default", "every", "all", "ends")


# Stories of one alert: who hears of each step

STRATEGIES = {
    one.name: one
    for one in (
        strategy("ops"),
        strategy("ops too"),
        strategy("dev", "dev"),
        strategy("team", "ops", "dev"),
        strategy("chat", body="chat"),
        strategy("fires", statuses=["firing"]),
        strategy("pends", statuses=["pending"]),
        strategy("ends", statuses=["processed", "recovered"]),
        strategy("hourly", repeat="1h"),
        strategy("any", match_all=True),
    )
}


@dataclass
class Story:
    """One alert, as it comes in again and again."""

    source: str | None = None
    now: float = 1e9
    known: Known = field(default_factory=Known)

    def tell(
        self,
        status: str,
        strategies: Sequence[Strategy] = (),
        gone: Sequence[str] = (),
        after: float = 1,
        **fields: Any,
    ) -> Decision:
        """Decide about the next step; these strategies let it pass, if they ask for its status."""
        self.now += after
        alert = Alert(content="disk full", target="db1", source=self.source, status=status, **fields)
        matching = [one for one in strategies if one.asks_for(alert.status)]
        choices = choose(matching, BODIES, resends=self.source is not None)
        decision = decide(alert, choices, self.known, set(BODIES) - set(gone), self.now)
        self.known = decision.known
        return decision


def named(*names: str) -> list[Strategy]:
    return [STRATEGIES[name] for name in names]


def heard(decision: Decision) -> list[str]:
    return [
        choice.receiver if choice.body is None else f"{choice.receiver}/{choice.body}" for choice in decision.accepted
    ]


Step: TypeAlias = tuple[str, list[str], dict[str, Any], list[str]]


def step(status: str, strategies: str, heard_by: str, **keys: Any) -> Step:
    """Hold a step: its status, the strategies that let it pass, who is to hear of it, and what else is special."""
    return status, [name for name in strategies.split(", ") if name], keys, heard_by.split()


def fires(strategies: str, heard_by: str, **keys: Any) -> Step:
    return step("firing", strategies, heard_by, **keys)


def recovers(strategies: str, heard_by: str, **keys: Any) -> Step:
    return step("recovered", strategies, heard_by, **keys)


YEAR = 365 * 24 * HOUR
OWN: dict[str, list[Step]] = {
    "a recovery follows its firing, also where nothing matches any more": [
        fires("team", "ops dev"), recovers("", "ops dev")
    ],
    "a recovery follows its firing and goes nowhere else": [fires("ops", "ops"), recovers("dev, chat", "ops")],
    "a recovery follows whatever its priority": [
        fires("ops", "ops", priority="emergency"), recovers("", "ops", priority="warning")
    ],
    "a recovery goes out in the body of its firing": [
        fires("chat, ops", "ops/chat ops"), recovers("ops", "ops/chat ops")
    ],
    "a firing that was filtered out takes its recovery along": [fires("", ""), recovers("ops, any", "")],
    "a firing that one receiver did not hear has no recovery there": [fires("ops", "ops"), recovers("team", "ops")],
    "a recovery whose firing is not known is matched alone": [recovers("ops", "ops"), recovers("dev", "dev")],
    "a recovery that was matched alone is no firing": [
        recovers("ops", "ops"), fires("dev", "dev"), recovers("ops", "dev")
    ],
    "who asks for firings only hears no recovery": [fires("fires, dev", "ops dev"), recovers("fires, dev", "dev")],
    "who asks for recoveries by another strategy hears it": [fires("fires, ops", "ops"), recovers("fires", "ops")],
    "a recovery that comes twice goes to the same twice": [
        fires("ops", "ops"), recovers("dev", "ops"), recovers("", "ops"), recovers("team", "ops")
    ],
    "what happens twice is told twice": [fires("ops", "ops"), fires("ops", "ops", after=0)],
    "a strategy that repeats tells the same once": [fires("hourly", "ops"), fires("hourly", "")],
    "one that does not repeat tells it again": [fires("hourly", "ops"), fires("hourly, ops", "ops")],
    "another trigger time is another event": [
        fires("hourly", "ops", first_trigger_time=1), fires("hourly", "ops", first_trigger_time=2),
        fires("hourly", "", first_trigger_time=2),
    ],
    "escalation adds to those who hear the recovery": [
        fires("ops", "ops"), fires("team", "ops dev", priority="critical"), recovers("", "ops dev")
    ],
    "de-escalation takes nobody away from those who hear the recovery": [
        fires("team", "ops dev"), fires("dev", "dev"), recovers("dev", "ops dev")
    ],
    "pending and processed do not forget the firing": [
        fires("ops", "ops"), step("pending", "", ""), step("processed", "any", "ops"), recovers("", "ops")
    ],
    "pending and processed are no firing": [
        step("pending", "pends", "ops"), step("processed", "ends", "ops"), recovers("dev", "dev"),
    ],
    "who heard that it is pending but not that it fires hears no recovery": [
        step("pending", "any", "ops"), fires("dev", "dev"), recovers("any", "dev")
    ],
    "who heard that it is processed hears the recovery of the firing": [
        fires("ops", "ops"), step("processed", "ends", "ops"), recovers("", "ops")
    ],
    "who heard that it is pending by a strategy without recoveries hears the recovery of the firing": [
        fires("ops", "ops"), step("pending", "pends", "ops"), recovers("ops", "ops")
    ],
    "a strategy that the firing did not pass brings no recovery": [
        fires("fires", "ops"), step("processed", "any", "ops"), recovers("any", "")
    ],
    "a strategy that asks for recoveries and never for firings hears them alone": [
        fires("dev", "dev"), recovers("ends", "dev ops")
    ],
    "a strategy that a later firing passed takes no recovery from an earlier one": [
        fires("ops", "ops", priority="critical"), fires("fires", "ops", priority="warning"), recovers("ops", "ops")
    ],
    "it fires anew with a clean slate": [
        fires("team", "ops dev"), recovers("", "ops dev"), fires("dev", "dev"), recovers("", "dev")
    ],
    "it fires anew and nobody is to hear of it": [
        fires("ops", "ops"), recovers("", "ops"), fires("", ""), recovers("ops", "")
    ],
    "it fires anew after a recovery that nobody heard": [
        fires("fires", "ops"), recovers("", ""), fires("dev", "dev"), recovers("", "dev")
    ],
    "after a recovery it is told at once that it fires anew": [
        fires("hourly", "ops", first_trigger_time=1), recovers("", "ops", first_trigger_time=1),
        fires("hourly", "ops", first_trigger_time=1),
    ],
    "a repeat goes for recoveries, too": [
        fires("hourly", "ops"), recovers("", "ops"), recovers("", ""), recovers("", "ops", after=HOUR)
    ],
    "who is configured no more hears nothing, the others do": [
        fires("team", "ops dev"), recovers("", "dev", gone=["ops"]), recovers("", "ops dev")
    ],
}  # fmt: skip
RESENT: dict[str, list[Step]] = {
    "what is sent again is told once": [fires("ops", "ops"), fires("ops", ""), fires("ops", "", after=YEAR)],
    "a change of status is told, and only that": [
        fires("ops", "ops"), recovers("", "ops"), recovers("ops", ""), fires("ops", "ops"), fires("ops", "")
    ],
    "another trigger time is told, and only that": [
        fires("ops", "ops", first_trigger_time=1), fires("ops", "", first_trigger_time=1),
        fires("ops", "ops", first_trigger_time=2), fires("ops", "", first_trigger_time=2),
    ],
    "each receiver and body counts alone": [
        fires("ops", "ops"), fires("chat, team", "ops/chat dev"), fires("chat, team", ""),
        recovers("", "ops ops/chat dev"),
    ],
    "what is sent again is a reminder when its pause is over, not before": [
        fires("hourly", "ops"), fires("hourly", "", after=HOUR - 1), fires("hourly", "ops", after=1),
        fires("hourly", "", after=HOUR - 1), fires("hourly", "ops", after=1),
    ],
    "the shortest pause counts": [fires("ops, hourly", "ops"), fires("ops, hourly", "ops", after=HOUR)],
    "the pause is that of the strategies that match now": [fires("ops", "ops"), fires("hourly", "ops", after=HOUR)],
    "a reminder does not cost the recovery": [
        fires("hourly", "ops"), fires("hourly", "ops", after=HOUR), fires("hourly", ""), recovers("", "ops")
    ],
    "a clock that was set back by the pause or more reminds at once": [
        fires("hourly", "ops"), fires("hourly", "ops", after=-HOUR), fires("hourly", ""),
        fires("hourly", "ops", after=-YEAR), fires("hourly", ""),
    ],
    "a clock that was set back by less is no reason to remind": [
        fires("hourly", "ops"), fires("hourly", "", after=1 - HOUR)
    ],
    "what is more urgent is told before the pause is over, what is less is not": [
        fires("hourly", "ops", priority="critical"), fires("hourly", "", priority="warning"),
        fires("hourly", "ops", priority="emergency"), fires("hourly", "", priority="critical"),
    ],
    "what is more urgent is told where nothing repeats": [
        fires("ops", "ops", priority="warning"), fires("ops", "ops", priority="critical"), fires("ops", "")
    ],
    "who is filtered out the second time hears the recovery": [fires("ops", "ops"), fires("", ""), recovers("", "ops")],
    "pending in between counts as new": [fires("any", "ops"), step("pending", "any", "ops"), fires("any", "ops")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        *(pytest.param(None, steps, id=words) for words, steps in OWN.items()),
        *(pytest.param("alertmanager", steps, id=f"sent again: {words}") for words, steps in RESENT.items()),
    ],
)
def test_of_each_step_of_a_story_those_hear_who_are_to(source: str | None, steps: list[Step]) -> None:
    story = Story(source)
    told = [sorted(heard(story.tell(status, named(*names), **keys))) for status, names, keys, _ in steps]
    assert told == [sorted(expected) for *_, expected in steps]


@pytest.mark.parametrize("back", [1, HOUR - 1, HOUR, YEAR])
def test_a_clock_that_is_set_back_silences_for_no_longer_than_the_pause(back: float) -> None:
    story = Story("alertmanager")
    story.tell("firing", named("hourly"))
    story.tell("firing", named("hourly"), after=HOUR / 2)
    story.tell("firing", named("hourly"), after=-back)
    minutes = [heard(story.tell("firing", named("hourly"), after=60)) for _ in range(60)]
    assert minutes.count(["ops"]) == 1


@pytest.mark.parametrize("status", ["firing", "recovered"])
def test_what_a_receiver_did_not_hear_is_told_when_it_is_sent_again(status: str) -> None:
    story = Story("alertmanager")
    story.tell("firing", named("ops", "dev"))
    if status == "recovered":
        story.tell(status)
    ops, dev = story.known.notified
    story.known = replace(story.known, notified=(ops, replace(dev, lost=True)))
    told = [heard(story.tell(status, named("ops", "dev"))) for _ in range(2)]
    assert told == [["dev"], []]
    assert heard(story.tell("recovered")) == ([] if status == "recovered" else ["ops", "dev"])


# What is said of those who do not hear of it

Reasons: TypeAlias = list[tuple[str | None, str]]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([fires("", "")], [(None, "no strategy matched")]),
        ([recovers("", "")], [(None, "no strategy matched")]),
        ([fires("", ""), recovers("ops", "")], [(None, "its firing was filtered out")]),
        (
            [fires("fires", ""), recovers("ops", "")],
            [(None, "the strategies that its firing passed ask for no recoveries")],
        ),
        (
            [fires("team", ""), recovers("", "", gone=["ops"])],
            [("ops", "it heard of the firing, and is configured no more")],
        ),
        (
            [fires("ops", ""), fires("ops", "", after=90)],
            [("ops", "it heard of this at 2001-09-09 01:46:41 UTC, and no strategy repeats it")],
        ),
        (
            [fires("hourly", ""), fires("hourly, dev", "", after=60)],
            [("ops", "it heard of this at 2001-09-09 01:46:41 UTC, and it is repeated after 1h")],
        ),
        ([fires("ops", ""), recovers("", "")], []),
    ],
)
def test_who_does_not_hear_of_an_alert_is_told_why(steps: list[Step], expected: Reasons) -> None:
    story = Story("alertmanager")
    decisions = [story.tell(status, named(*names), **keys) for status, names, keys, _ in steps]
    assert [(held.receiver, held.reason) for held in decisions[-1].held] == expected


def test_a_recovery_names_the_strategies_that_its_firing_passed_and_that_ask_for_it() -> None:
    story = Story()
    firing = story.tell("firing", named("ops", "fires", "ops too"))
    recovery = story.tell("recovered", named("any"))
    assert [choice.strategies for choice in (*firing.accepted, *recovery.accepted)] == [
        ("ops", "fires", "ops too"),
        ("ops", "ops too"),
    ]


# Any story, against the rules as design.md has them

RECEIVERS = ("ops", "dev")
STATUSES = (
    ["firing", "recovered"],
    ["firing"],
    ["pending", "processed"],
    ["processed", "recovered"],
    ["pending", "firing", "recovered"],
)
Copy: TypeAlias = tuple[str, str | None]


@dataclass(frozen=True)
class Event:
    """A step of a story that hypothesis tells."""

    status: Status
    priority: Priority
    trigger_time: int
    matching: frozenset[str]
    gone: frozenset[str]
    after: float
    lost: bool
    """Whether no delivery of it arrives."""


@dataclass
class Rules:
    """Remember everything, and say who hears."""

    resent: bool
    repeat: float | None
    last: dict[Copy, tuple[Event, float]] = field(default_factory=dict)
    """What each was told last, and when."""
    times: dict[Copy, set[int]] = field(default_factory=dict)
    """The trigger times that each was told with this status."""
    audience: set[tuple[Strategy, Copy]] = field(default_factory=set)
    """For which strategy and whom the firing was accepted."""
    state: str = "no firing known"

    def hear(self, event: Event, matching: Sequence[Strategy], now: float) -> set[Copy]:
        if event.status is Status.firing and self.state == "recovered":
            self.last, self.audience = {}, set()
        passed = {(one, (receiver, one.body)) for one in matching for receiver in one.receivers}
        if event.status is Status.recovered and self.state != "no firing known":
            passed = {
                (one, copy)
                for one, copy in self.audience
                if Status.recovered in one.statuses and copy[0] not in event.gone
            } | {(one, copy) for one, copy in passed if Status.firing not in one.statuses}
        accepted = {copy for _, copy in passed if self.is_new(event, copy, now)}
        for copy in accepted:
            before = self.last.get(copy)
            self.times[copy] = {event.trigger_time} | (
                self.times[copy] if before and before[0].status is event.status else set()
            )
            self.last[copy] = event, now
            if event.lost:
                del self.last[copy]
        if event.status is Status.firing:
            self.state = "fires"
            self.audience |= {(one, copy) for one, copy in passed if copy in accepted or copy in self.last}
        elif event.status is Status.recovered and self.state == "fires":
            self.state = "recovered"
        return accepted

    def is_new(self, event: Event, copy: Copy, now: float) -> bool:
        if copy not in self.last:
            return True
        last, at = self.last[copy]
        if last.status is not event.status or event.trigger_time not in self.times[copy]:
            return True
        if event.priority < last.priority:
            return True
        if self.repeat is None:
            return not self.resent
        return now >= at + self.repeat or now < at  # the clock was set back by a year: it is told


EVENTS = st.builds(
    Event,
    status=st.sampled_from([Status.firing, Status.recovered, *Status]),
    priority=st.sampled_from(Priority),
    trigger_time=st.integers(1, 2),
    matching=st.just(frozenset("abc")) | st.frozensets(st.sampled_from("abc")),
    gone=st.sampled_from([frozenset[str]()] * 3 + [frozenset({"dev"})]),
    after=st.sampled_from([0, 1, HOUR - 1, HOUR, YEAR, -YEAR]),
    lost=st.sampled_from([False, False, False, True]),
)


@st.composite
def strategies_of_a_configuration(draw: st.DrawFn) -> list[Strategy]:
    repeat = draw(st.sampled_from([None, "1h"]))  # one for all: it is told when the first of them wants it
    return [
        strategy(
            name,
            *draw(st.sampled_from([("ops",), ("ops",), ("dev",), RECEIVERS])),
            statuses=draw(st.sampled_from(STATUSES)),
            body=draw(st.sampled_from([None, None, "chat"])),
            repeat=repeat,
        )
        for name in "abc"
    ]


def recovers_at(trigger_time: int, gone: Sequence[str] = (), after: float = 0) -> Event:
    return Event(Status.recovered, Priority.warning, trigger_time, frozenset("c"), frozenset(gone), after, lost=False)


@settings(max_examples=200)
@example(
    source=None,
    strategies=[strategy("c", "dev", statuses=STATUSES[0], repeat="1h")],
    events=[
        replace(recovers_at(1), status=Status.firing),
        recovers_at(2),
        recovers_at(1, gone=["dev"], after=-YEAR),
        recovers_at(2),
    ],
)
@given(
    source=st.sampled_from([None, "prometheus"]),
    strategies=strategies_of_a_configuration(),
    events=st.lists(EVENTS, min_size=2, max_size=9),
)
def test_any_story_is_heard_by_those_whom_the_rules_name(
    source: str | None, strategies: list[Strategy], events: list[Event]
) -> None:
    rules = Rules(source is not None, strategies[0].repeat)
    known, now = Known(), 1e9
    for event in events:
        now += event.after
        alert = Alert(
            content="x", source=source, status=event.status, priority=event.priority,
            first_trigger_time=event.trigger_time,
        )  # fmt: skip
        matching = [
            one
            for one in strategies
            if one.name in event.matching and event.status in one.statuses and not event.gone & set(one.receivers)
        ]
        choices = choose(matching, dict.fromkeys(RECEIVERS, "hertzbeat"), resends=source is not None)
        decision = decide(alert, choices, known, set(RECEIVERS) - event.gone, now)
        known = decision.known
        told = [(choice.receiver, choice.body) for choice in decision.accepted]
        if event.lost:
            notified = (replace(one, lost=one.lost or one.copy in told) for one in known.notified)
            known = replace(known, notified=tuple(notified))
        assert len(told) == len(set(told))
        assert set(told) == rules.hear(event, matching, now)
        assert decision.accepted or decision.held
