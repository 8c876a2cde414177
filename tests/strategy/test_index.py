"""The index: as a scan of all strategies, in their order, but an alert meets few."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offering import predicate

from hookplugin.strategy.index import Index
from hookplugin.strategy.matchers import compile_pattern
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.selection import CompiledStrategy, Condition, compile_strategy
from hookspecs import Alert, Filter, Priority, Status

FRIDAY = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


def fails(_: Alert) -> bool:
    message = "no calendar"
    raise LookupError(message)


OFFERED: dict[str, Filter] = {
    "all": lambda _: True,
    "none": lambda _: False,
    "teams": lambda alert: bool(alert.tags.get("team")),
    "fails": predicate(fails),
}


def compiled(configured: Sequence[dict[str, Any]]) -> list[CompiledStrategy]:
    """Compile strategies; their names are their positions."""
    return [
        compile_strategy(
            Strategy.model_validate({"name": str(position), "receivers": ["ops"], **keys}), OFFERED, timezone=UTC
        )
        for position, keys in enumerate(configured)
    ]


def names(found: Sequence[CompiledStrategy]) -> list[str]:
    return [one.strategy.name for one in found]


def scan(strategies: Sequence[CompiledStrategy], alert: Alert, at: datetime) -> list[str]:
    """Ask every strategy, one after the other."""
    return names([one for one in strategies if one.matches(alert, at)])


def random_alert(random: Random) -> Alert:
    values = ["a", "b", "ab", "A", "", None, 80, True, "a\nb"]
    return Alert(
        content=random.choice(["a", "b", "ab", ""]),
        target=random.choice(["a", "b", "", None]),
        source=random.choice(["a", None]),
        priority=random.choice(list(Priority)),
        status=random.choice(list(Status)),
        tags={name: random.choice(values) for name in ("env", "team", "alert.content") if random.random() < 0.7},
        annotations={name: random.choice(values) for name in ("env", "team") if random.random() < 0.5},
    )


ALERTS = [(random_alert(random), random.choice([FRIDAY, SATURDAY])) for random in map(Random, range(100))]

TEXTS = st.sampled_from(["a", "b", "ab", "A", "80", "true", "", "c", "a\nb"])
SOME_PATTERNS = [
    *(
        "",
        "a",
        "b",
        "a|b",
        "b|c",
        "a*",
        "a?",
        ".+",
        ".*",
        "(?s).*",
        "(?s).+",
        "^a",
        "a$",
        "^(?:a|ab)$",
        "^a|b$",
        "a||b",
    ),
    *("(?i)A", "(a|)(b|)", "[^b]", "[0-9]+|true", r"\d{2}", r"\Aa\z", "(?m)^a$", "^$", "$^", "a+b*", r"\ba\b", "[^a]*"),
    *("critical|warning", "fir.*|re.*", "(?:emergency)?", "x{0}", "ab{0,1}|", "(?-s)a.b", "a\nb|a"),
]


def valid(pattern: str) -> bool:
    try:
        compile_pattern(pattern)
    except ValueError:
        return False
    return True


PATTERNS = st.sampled_from(SOME_PATTERNS) | st.text("ab|.*?()^$", max_size=5).filter(valid)
NAMES = ["env", "team", '"alert.content"', "alert.annotations.env", "alert.annotations.team", "alert.target"]
FIELDS = ["alert.content", "alert.source"]
MATCHERS = st.one_of(
    st.tuples(st.sampled_from(NAMES + FIELDS), st.sampled_from(["=", "!="]), TEXTS),
    st.tuples(st.just("alert.priority"), st.sampled_from(["=", "!="]), st.sampled_from(list(Priority.__members__))),
    st.tuples(st.just("alert.status"), st.sampled_from(["=", "!="]), st.sampled_from(list(Status.__members__))),
    st.tuples(
        st.sampled_from([*NAMES, *FIELDS, "alert.priority", "alert.status"]), st.sampled_from(["=~", "!~"]), PATTERNS
    ),
).map(lambda parts: f"{parts[0]}{parts[1]}{json.dumps(parts[2])}")  # JSON's escapes of these texts are Alertmanager's

ENABLED = st.sampled_from([True, True, True, False])
TAGS = st.dictionaries(st.sampled_from(["env", "team", "alert.content"]), TEXTS, min_size=1, max_size=2)
MATCH = st.lists(st.lists(MATCHERS, min_size=1, max_size=2).map(",".join), min_size=1, max_size=2)
FOUND: list[st.SearchStrategy[dict[str, Any]]] = [  # by one thing or another
    st.fixed_dictionaries({"tags": TAGS}),
    st.fixed_dictionaries({"tags": TAGS, "tags_mode": st.just("any")}),
    st.fixed_dictionaries({"match": MATCH}),
    st.fixed_dictionaries({"tags": TAGS, "match": MATCH}),
    st.fixed_dictionaries({"match_all": st.just(value=True)}, optional={"enabled": ENABLED}),
]
ANYHOW = st.fixed_dictionaries(
    {},
    optional={
        "enabled": ENABLED,
        "priorities": st.lists(st.sampled_from(list(Priority)), unique=True),
        "statuses": st.lists(st.sampled_from(list(Status)), unique=True),
        "tags": TAGS,
        "tags_mode": st.sampled_from(["any", "all"]),
        "match": MATCH,
        "filters": st.lists(st.sampled_from(list(OFFERED)), max_size=2),
        "days": st.lists(st.sampled_from(["fri", "sat"]), unique=True),
        "period": st.sampled_from(["00:00-12:00", "22:00-06:00"]),
    },
)


@settings(max_examples=200)  # 200 sets of strategies, each against 100 alerts: 20,000 pairs
@given(st.lists(st.one_of(*FOUND, ANYHOW, ANYHOW), min_size=8, max_size=16))
def test_the_index_agrees_with_a_scan_of_all_strategies(configured: list[dict[str, Any]]) -> None:
    strategies = compiled(configured)
    index = Index(strategies)
    for alert, at in ALERTS:
        assert names(index.matching(alert, at)) == scan(strategies, alert, at), alert


ALERT = Alert(
    content="disk full", priority="critical", tags={"env": "prod", "service": "svc-17"}, annotations={"runbook": "17"}
)
FOUND_DIFFERENTLY: list[dict[str, Any]] = [
    {"match": ['env=~"prod|staging"']},
    {"match_all": True},
    {"tags": {"service": "svc-17"}},
    {"match": ["alert.content=~disk.*", "team="]},
    {"tags": {"env": "dev", "service": "svc-17"}, "tags_mode": "any"},
    {},
    {"match": ['alert.annotations.runbook="17"']},
    {"priorities": ["critical"]},
    {"match": ['service!="svc-18"']},
]


@pytest.mark.parametrize("configured", [FOUND_DIFFERENTLY, FOUND_DIFFERENTLY[::-1], FOUND_DIFFERENTLY * 2])
def test_strategies_that_are_found_in_different_ways_keep_their_order(configured: list[dict[str, Any]]) -> None:
    assert names(Index(compiled(configured)).matching(ALERT, FRIDAY)) == [str(n) for n in range(len(configured))]


def met(configured: Sequence[dict[str, Any]], alert: Alert) -> tuple[list[str], list[str]]:
    """Return the strategies that an alert meets, and those of them that apply."""
    asked: list[str] = []

    def counting(one: CompiledStrategy) -> CompiledStrategy:
        def holds(_: Alert, __: datetime) -> bool:
            asked.append(one.strategy.name)
            return True

        return replace(one, conditions=(Condition(holds, lambda _, __: "never"), *one.conditions))

    found = Index([counting(one) for one in compiled(configured)]).matching(alert, FRIDAY)
    return asked, names(found)


@pytest.mark.parametrize(
    "keys",
    [
        {"tags": {"env": "prod", "service": "svc-{}"}},
        {"tags": {"service": "svc-{}", "runbook": "svc-{}"}, "tags_mode": "any"},
        {"tags": {"service": "svc-{}", "team": ""}},
        {"match": ['env=~"prod|staging"', 'service="svc-{}"'], "priorities": ["critical"]},
        {"match": ['env=~"prod|staging"', 'service=~"svc-{}(-.*)?"']},
        {"match": ['env="prod",alert.annotations.runbook="{}"', 'team!="sre"'], "statuses": []},
        {"match": ['service=~".*{}"', 'alert.annotations.runbook="{}"']},
        {"match": ['service=~"svc-{}|svc-{}-canary"', "alert.priority=critical"], "days": ["fri"]},
    ],
    ids=lambda keys: json.dumps(keys["match"] if "match" in keys else keys["tags"]),
)
def test_of_a_thousand_strategies_an_alert_meets_the_one_that_asks_for_its_own_value(keys: dict[str, Any]) -> None:
    text = json.dumps(keys)
    asked, found = met([json.loads(text.replace("{}", str(number))) for number in range(1000)], ALERT)
    assert asked == found == ["17"]


@pytest.mark.parametrize(
    "keys",
    [
        {"enabled": False, "match_all": False},
        {"priorities": ["warning", "emergency"]},
        {"statuses": ["recovered", "pending"], "match": ['team=""']},
    ],
)
def test_strategies_of_another_priority_or_status_and_disabled_ones_are_not_even_met(keys: dict[str, Any]) -> None:
    assert met([keys, {}, keys], ALERT) == (["1"], ["1"])


def test_patterns_that_are_too_large_together_are_each_tried_and_all_found() -> None:
    # Each repeats 80 letters 1,000 times, which RE2 compiles; of 60 it makes no set within the memory it may take.
    large = [{"match": [f'service=~"svc-{number}(?:-(?:{"x" * 80}){{1000}})?"']} for number in range(60)]
    asked, found = met([*large, {}, *large[17:18], {"tags": {"service": "svc-18"}}], ALERT)
    assert asked == [str(position) for position in range(62)]
    assert found == ["17", "60", "61"]
