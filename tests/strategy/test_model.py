"""A strategy as it is configured."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hookplugin.strategy.matchers import parse_matchers
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.schedule import Period
from hookspecs import Priority, Status


def read(**keys: Any) -> Strategy:
    return Strategy.model_validate({"name": "production", "receivers": ["ops"], **keys})


def refusal(**keys: Any) -> tuple[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as caught:
        read(**keys)
    error, *_ = caught.value.errors()
    return error["loc"], error["msg"].removeprefix("Value error, ")


def test_a_name_and_a_receiver_are_enough_and_restrict_nothing_but_the_status() -> None:
    strategy = read()
    assert strategy.statuses == (Status.firing, Status.recovered)
    given = strategy.model_dump(exclude={"name", "receivers", "statuses", "enabled", "tags_mode"})
    assert [key for key, value in given.items() if value] == []
    assert (strategy.enabled, strategy.tags_mode) == (True, "all")


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        ("name", " production, day and night ", "production, day and night"),
        ("receivers", ["ops", " pager "], ("ops", "pager")),
        ("priorities", ["emergency", 1, "2"], (Priority.emergency, Priority.critical, Priority.warning)),
        ("statuses", ["firing", "resolved", 3], (Status.firing, Status.recovered, Status.processed)),
        ("statuses", [], ()),
        ("tags", {"env": "prod", "code": 5, "up": True, 7: ""}, {"env": "prod", "code": "5", "up": "true", "7": ""}),
        ("tags_mode", "any", "any"),
        ("match", ['a="b",c=d', "e=~f"], (parse_matchers("a=b,c=d"), parse_matchers("e=~f"))),
        ("match", [parse_matchers("a=b")], (parse_matchers("a=b"),)),
        ("filters", ["business-hours"], ("business-hours",)),
        ("days", ["mon", "Tuesday", " SUN "], ("mon", "tue", "sun")),
        ("period", "22:00-06:00", Period(1320, 360)),
        ("period", Period(1320, 360), Period(1320, 360)),
        ("body", "chat", "chat"),
    ],
)
def test_each_key_is_read(key: str, written: object, expected: object) -> None:
    assert getattr(read(**{key: written}), key) == expected


def test_a_zone_is_read_by_its_name() -> None:
    assert str(read(timezone="Europe/Berlin").timezone) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("keys", "where", "message"),
    [
        ({"receivers": []}, ("receivers",), "should have at least 1 item"),
        ({"receivers": "ops"}, ("receivers",), "should be a valid tuple"),
        ({"receivers": [" "]}, ("receivers", 0), "at least 1 character"),
        ({"name": ""}, ("name",), "at least 1 character"),
        ({"severities": []}, ("severities",), "Extra inputs are not permitted"),
        ({"priorities": ["high"]}, ("priorities", 0), "not a priority; write one of emergency (0), critical (1)"),
        ({"statuses": ["open"]}, ("statuses", 0), "not a status; write one of firing (0), pending (1), recovered (2)"),
        ({"tags": ["env"]}, ("tags",), "should be a map of tags and values"),
        ({"tags": {"version": 1.10}}, ("tags",), "the value of 'version' should be text; write it in quotes"),
        ({"tags": {"env": None}}, ("tags",), "the value of 'env' should be text; write it in quotes"),
        ({"tags": {"env": ["prod"]}}, ("tags",), "the value of 'env' should be text; write it in quotes"),
        ({"tags_mode": "none"}, ("tags_mode",), "should be 'all' or 'any'"),
        ({"match": ["severity"]}, ("match", 0), "bad matcher 'severity'"),
        ({"match": [{"severity": "critical"}]}, ("match", 0), 'should be text like severity="critical"'),
        ({"match": ["a=~["]}, ("match", 0), "bad regular expression '['"),
        ({"days": ["thusday"]}, ("days", 0), "not a day; did you mean 'thursday'?"),
        ({"days": [1]}, ("days", 0), "not a day; write mon, tue, wed, thu, fri, sat, sun"),
        ({"days": [["mon"]]}, ("days", 0), "not a day; write"),
        ({"period": 79200}, ("period",), 'not a period; write "HH:MM-HH:MM" in quotes'),
        ({"period": "22-6"}, ("period",), 'not a period; write "HH:MM-HH:MM", from 00:00 to 23:59'),
        ({"timezone": "Europe/Berln"}, ("timezone",), "did you mean 'Europe/Berlin'?"),
    ],
)
def test_a_mistake_is_refused_where_it_stands(keys: dict[str, Any], where: tuple[int | str, ...], message: str) -> None:
    found, said = refusal(**keys)
    assert found == where
    assert message in said


def test_filters_beside_match_all_are_refused_by_name() -> None:
    _, message = refusal(match_all=True, period="22:00-06:00", tags={"env": "prod"})
    assert message == "match_all lets every alert pass; remove it, or remove tags, period"


@pytest.mark.parametrize("key", ["priorities", "statuses", "tags", "match", "filters", "days", "period"])
def test_each_filter_beside_match_all_is_refused(key: str) -> None:
    values = {"priorities": [0], "statuses": ["firing"], "tags": {"env": "prod"}, "match": ["a=b"], "days": ["mon"]}
    value = {**values, "filters": ["noise"], "period": "22:00-06:00"}[key]
    assert refusal(match_all=True, **{key: value})[1].endswith(f"remove {key}")
    assert read(match_all=False, **{key: value}).match_all is False


def test_what_is_no_filter_may_stand_beside_match_all() -> None:
    assert read(match_all=True, enabled=False, tags_mode="any", body="chat", timezone="UTC").match_all


def test_a_strategy_cannot_be_changed() -> None:
    strategy: Any = read(tags={"env": "prod"})
    with pytest.raises(ValidationError):
        strategy.enabled = False
    with pytest.raises(TypeError):
        strategy.tags["env"] = "dev"
    assert (strategy.enabled, strategy.tags) == (True, {"env": "prod"})
