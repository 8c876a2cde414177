"""Which strategies let an alert pass, and why the others do not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from offering import predicate

from hookplugin.strategy.model import Strategy
from hookplugin.strategy.selection import Verdict, compile_strategy
from hookspecs import Alert, Filter

SATURDAY = datetime(2026, 11, 28, 2, 12, tzinfo=UTC)  # 03:12 in Berlin, 21:12 on Friday in New York
ALERT = Alert(
    content="disk full", target="available", priority="warning", source="nagios", tags={"env": "dev", "port": 80}
)


def strategy(**keys: Any) -> Strategy:
    return Strategy.model_validate({"name": "production", "receivers": ["ops"], **keys})


OFFERED: dict[str, Filter] = {"yes": lambda _: True, "no": lambda _: False}


def judge(
    keys: dict[str, Any],
    *,
    alert: Alert = ALERT,
    filters: Mapping[str, Filter] = OFFERED,
    timezone: tzinfo | None = UTC,
    at: datetime = SATURDAY,
) -> Verdict:
    return compile_strategy(strategy(**keys), filters, timezone).judge(alert, at)


PASSED: list[dict[str, Any]] = [
    {},
    {"match_all": True},
    {"priorities": []},
    {"priorities": ["critical", "warning"]},
    {"statuses": ["pending", "firing"]},
    {"tags": {}},
    {"tags": {}, "tags_mode": "any"},
    {"tags": {"env": "dev"}},
    {"tags": {"env": "dev", "port": 80}},
    {"tags": {"env": "dev", "team": ""}},
    {"tags": {"env": "prod", "port": "80"}, "tags_mode": "any"},
    {"match": []},
    {"match": ['env=~"d.*"', "port=80,alert.target=available"]},
    {"days": ["sat"]},
    {"period": "02:12-02:13"},
    {"days": ["fri"], "period": "22:00-06:00"},
    {"days": ["fri"], "timezone": "America/New_York"},
    {"filters": []},
    {"filters": ["yes"]},
]


@pytest.mark.parametrize("keys", PASSED)
def test_an_alert_passes_a_strategy_that_asks_for_what_it_has(keys: dict[str, Any]) -> None:
    verdict = judge(keys)
    assert verdict.matched
    assert verdict == Verdict(strategy(**keys), None)


HELD: list[tuple[dict[str, Any], str]] = [
    ({"enabled": False}, "disabled"),
    ({"enabled": False, "match_all": True}, "disabled"),
    ({"enabled": False, "filters": ["not offered by anybody"]}, "disabled"),
    ({"priorities": ["emergency", "critical"]}, "priority warning is not in [emergency, critical]"),
    ({"statuses": ["recovered"]}, "status firing is not in [recovered]"),
    ({"tags": {"env": "prod"}}, 'tag env is "dev", not "prod"'),
    ({"tags": {"port": "443"}}, 'tag port is "80", not "443"'),
    ({"tags": {"team": "sre"}}, 'tag team is missing, not "sre"'),
    ({"tags": {"env": "dev", "team": "sre"}}, 'tag team is missing, not "sre"'),
    ({"tags": {"env": "Dev"}}, 'tag env is "dev", not "Dev"'),
    (
        {"tags": {"env": "prod", "team": "sre"}, "tags_mode": "any"},
        'tag env is "dev", not "prod"; tag team is missing, not "sre"',
    ),
    ({"match": ["env=~p.*"]}, 'env=~"p.*" does not match "dev"'),
    ({"match": ["env=dev,port!=80"]}, 'port!="80" does not match "80"'),
    ({"match": ["alert.target!=available"]}, 'alert.target!="available" does not match "available"'),
    ({"match": ['"team"=sre']}, 'team="sre" does not match: missing'),
    ({"match": ["env=~e"]}, 'env=~"e" does not match all of "dev"'),
    ({"filters": ["yes", "no"]}, "the filter no said no"),
]


@pytest.mark.parametrize(("keys", "expected"), HELD)
def test_the_first_reason_why_not_has_the_expected_and_the_actual_value(keys: dict[str, Any], expected: str) -> None:
    verdict = judge(keys)
    assert not verdict.matched
    assert verdict == Verdict(strategy(**keys), expected)


OTHERS = [
    Alert(content="up", status="recovered", priority="critical", tags={"env": "prod", "team": "sre"}),
    Alert(content="", status="pending"),
]


@pytest.mark.parametrize("alert", [ALERT, *OTHERS])
@pytest.mark.parametrize("keys", [*PASSED, *(keys for keys, _ in HELD)])
def test_the_quick_way_and_the_verdict_with_its_reason_agree(keys: dict[str, Any], alert: Alert) -> None:
    compiled = compile_strategy(strategy(**keys), OFFERED, UTC)
    verdict = compiled.judge(alert, SATURDAY)
    assert compiled.matches(alert, SATURDAY) is verdict.matched
    assert verdict.reason != ""


@pytest.mark.parametrize(
    ("at", "zone", "expected"),
    [
        (SATURDAY, "Europe/Berlin", "Sat 03:12 Europe/Berlin is outside mon–fri 09:00–17:00"),
        (SATURDAY, "America/New_York", "Fri 21:12 America/New_York is outside mon–fri 09:00–17:00"),
        (SATURDAY, "UTC", "Sat 02:12 UTC is outside mon–fri 09:00–17:00"),
        (SATURDAY.replace(day=30, hour=7), "Europe/Berlin", "Mon 08:12 Europe/Berlin is outside mon–fri 09:00–17:00"),
        (SATURDAY.replace(day=30, hour=8), "Europe/Berlin", None),
    ],
)
def test_a_schedule_that_is_closed_says_the_time_on_the_wall(at: datetime, zone: str, expected: str | None) -> None:
    office = {"days": ["mon", "tue", "wed", "thu", "fri"], "period": "09:00-17:00"}
    assert judge(office, at=at, timezone=ZoneInfo(zone)).reason == expected
    assert judge(office | {"timezone": zone}, at=at, timezone=ZoneInfo("Asia/Tokyo")).reason == expected


@pytest.mark.parametrize(
    ("keys", "schedule"),
    [
        ({"days": ["sat"], "period": "22:00-06:00"}, "sat 22:00–06:00; it belongs to the night of fri"),
        ({"days": ["sun"], "period": "22:00-02:11"}, "sun 22:00–02:11"),
        ({"period": "22:00-02:11"}, "22:00–02:11"),
        ({"days": ["mon"], "period": "02:00-06:00"}, "mon 02:00–06:00"),
    ],
)
def test_an_hour_of_the_night_before_is_said_to_be_one(keys: dict[str, Any], schedule: str) -> None:
    assert judge(keys).reason == f"Sat 02:12 UTC is outside {schedule}"


@pytest.fixture
def machine_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_tokyo")
def test_without_a_zone_the_machines_own_counts() -> None:
    assert judge({"period": "11:12-11:13"}, timezone=None).reason is None
    assert judge({"period": "02:12-02:13"}, timezone=None).reason == "Sat 11:12 JST is outside 02:12–02:13"


@pytest.mark.parametrize("status", ["firing", "pending", "recovered", "processed"])
@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ({}, {"firing", "recovered"}),
        ({"match_all": True}, {"firing", "pending", "recovered", "processed"}),
        ({"statuses": []}, {"firing", "pending", "recovered", "processed"}),
        ({"statuses": ["pending"]}, {"pending"}),
    ],
)
def test_pending_and_processed_alerts_pass_only_if_asked_for(
    keys: dict[str, Any], allowed: set[str], status: str
) -> None:
    assert judge(keys, alert=Alert(content="a", status=status)).matched is (status in allowed)


def test_conditions_that_are_cheap_come_first_and_filters_are_asked_last() -> None:
    asked: list[Alert] = []

    def ask(alert: Alert) -> bool:
        asked.append(alert)
        return True

    assert judge({"tags": {"env": "prod"}, "filters": ["ask"]}, filters={"ask": ask}).reason is not None
    assert asked == []
    assert judge({"tags": {"env": "dev"}, "filters": ["ask"]}, filters={"ask": ask}).reason is None
    assert asked == [ALERT]


def fails(_: Alert) -> bool:
    message = "no calendar"
    raise LookupError(message)


def exits(_: Alert) -> bool:
    sys.exit(3)


class Unclear:
    def __bool__(self) -> bool:
        message = "ambiguous"
        raise ValueError(message)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (fails, "LookupError: no calendar"),
        (exits, "SystemExit: 3"),
        (lambda _: Unclear(), "ValueError: ambiguous"),
        (lambda _: None, "TypeError: it returned nothing, neither true nor false"),  # somebody forgot to return
    ],
)
@pytest.mark.parametrize(("other", "reason"), [("yes", None), ("no", "the filter no said no")])
def test_a_filter_that_fails_counts_as_matched_and_is_told_by_a_verdict(
    ask: Callable[[Alert], Any], error: str, other: str, reason: str | None
) -> None:
    asking = strategy(filters=["hours", other])
    compiled = compile_strategy(asking, OFFERED | {"hours": predicate(ask)}, UTC)
    said = f"the filter hours failed and counts as matched: {error}"
    assert compiled.judge(ALERT, SATURDAY) == Verdict(asking, reason, (said,))
    assert compiled.matches(ALERT, SATURDAY) is (reason is None)


def test_who_interrupts_a_filter_is_heard() -> None:
    def interrupted(_: Alert) -> bool:
        raise KeyboardInterrupt

    compiled = compile_strategy(strategy(filters=["slow"]), {"slow": interrupted}, UTC)
    for ask in (compiled.judge, compiled.matches):
        with pytest.raises(KeyboardInterrupt):
            ask(ALERT, SATURDAY)
