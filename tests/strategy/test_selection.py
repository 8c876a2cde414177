"""Which strategies let an alert pass, and why the others do not."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hookplugin.strategy.model import Strategy
from hookplugin.strategy.selection import Verdict, compile_strategy, receivers_of
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


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"match_all": True},
        {"priorities": []},
        {"priorities": ["critical", "warning"]},
        {"statuses": ["pending", "firing"]},
        {"tags": {}},
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
    ],
)
def test_an_alert_passes_a_strategy_that_asks_for_what_it_has(keys: dict[str, Any]) -> None:
    verdict = judge(keys)
    assert verdict.matched
    assert verdict == Verdict(strategy(**keys), None)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
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
        ({"match": ['"team"=sre']}, 'team="sre" does not match ""'),
        ({"filters": ["yes", "no"]}, "the filter no said no"),
    ],
)
def test_the_first_reason_why_not_has_the_expected_and_the_actual_value(keys: dict[str, Any], expected: str) -> None:
    verdict = judge(keys)
    assert not verdict.matched
    assert verdict == Verdict(strategy(**keys), expected)


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
    ("predicate", "error"),
    [(fails, "LookupError: no calendar"), (exits, "SystemExit: 3"), (lambda _: Unclear(), "ValueError: ambiguous")],
)
def test_a_filter_that_fails_counts_as_matched_and_is_logged(
    predicate: Callable[[Alert], Any], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert judge({"filters": ["hours", "yes"]}, filters=OFFERED | {"hours": predicate}).matched
    assert judge({"filters": ["hours", "no"]}, filters=OFFERED | {"hours": predicate}).reason == "the filter no said no"
    said = f"the filter 'hours' of strategy 'production' failed and counts as matched: {error}"
    assert caplog.record_tuples == [("hookplugin", logging.WARNING, said)] * 2


def test_who_interrupts_a_filter_is_heard() -> None:
    def interrupted(_: Alert) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge({"filters": ["slow"]}, filters={"slow": interrupted})


BODIES = {"ops": "hertzbeat", "pager": "short"}


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        ([], {}),
        ([{"enabled": False}], {}),
        ([{}], {("ops", "hertzbeat"): ("0",)}),
        ([{"receivers": ["ops", "ops"]}], {("ops", "hertzbeat"): ("0",)}),
        ([{}, {"priorities": ["critical"]}, {}], {("ops", "hertzbeat"): ("0", "2")}),
        ([{"receivers": ["pager", "ops"]}], {("pager", "short"): ("0",), ("ops", "hertzbeat"): ("0",)}),
        ([{"body": "chat"}, {}], {("ops", "chat"): ("0",), ("ops", "hertzbeat"): ("1",)}),
        ([{"body": "hertzbeat"}, {}], {("ops", "hertzbeat"): ("0", "1")}),
        ([{"body": "chat", "receivers": ["ops", "pager"]}], {("ops", "chat"): ("0",), ("pager", "chat"): ("0",)}),
    ],
)
def test_each_receiver_gets_one_copy_in_each_body_however_many_strategies_match(
    strategies: list[dict[str, Any]], expected: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    verdicts = [judge(keys | {"name": str(index)}) for index, keys in enumerate(strategies)]
    assert receivers_of(verdicts, BODIES) == expected


def test_a_filter_that_forgets_to_answer_counts_as_matched_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    strategy = Strategy(name="s", receivers=("ops",), filters=("forgetful",))
    compiled = compile_strategy(strategy, {"forgetful": lambda _: None}, None)  # type: ignore[dict-item,return-value]  # the mistake
    assert compiled.judge(Alert(content="x"), datetime(2026, 1, 1, tzinfo=UTC)).matched
    assert "the filter 'forgetful' of strategy 's' failed and counts as matched" in caplog.text
