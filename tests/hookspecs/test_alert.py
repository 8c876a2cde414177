"""The alert: what is read, what is made, and that nobody can change it."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookspecs import Alert, Moment, Priority, Scalar, Status
from hookspecs.alert import milliseconds, moment, tag_text

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
TAGS = st.dictionaries(st.text(), SCALARS, max_size=5)
NAIVE = datetime(2022, 2, 25, 13, 32, 13)  # noqa: DTZ001 - naive times are a subject here


def read(**fields: Any) -> Alert:
    return Alert.model_validate({"content": "disk full", **fields})


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    return str(caught.value)


def test_the_documented_example_is_read_field_by_field(payload: Callable[[str], bytes]) -> None:
    alert = Alert.model_validate_json(payload("hertzbeat_documented"))
    assert alert.given() == {
        "id": 76456,
        "target": "available",
        "alert_define_id": 232,
        "priority": Priority.emergency,
        "content": "监控紧急可用性告警: UN_CONNECTABLE",
        "tags": {"monitorId": 3543534545, "monitorName": "API_poetry.didi.top"},
        "status": Status.firing,
        "times": 1,
        "gmt_create": NAIVE,
        "gmt_update": NAIVE,
    }


def test_wire_names_and_python_names_mean_the_same() -> None:
    wire = read(alertDefineId=232, firstTriggerTime=1645767133000, nextEvalInterval=600000, gmtCreate="2022-02-25")
    python = read(
        alert_define_id=232, first_trigger_time=1645767133000, next_eval_interval=600000, gmt_create="2022-02-25"
    )
    assert wire == python


def test_only_content_is_needed() -> None:
    alert = Alert(content="disk full")
    assert (alert.priority, alert.status, alert.times) == (Priority.warning, Status.firing, 1)
    assert (dict(alert.tags), dict(alert.annotations), alert.target) == ({}, {}, None)
    with pytest.raises(ValidationError, match="content"):
        Alert.model_validate({"target": "available"})


def test_none_is_the_same_as_not_given() -> None:
    empty = dict.fromkeys(Alert.model_fields, None) | {"content": "disk full", "labels": None, "tag": None}
    assert Alert.model_validate(empty) == Alert(content="disk full")
    assert Alert.model_validate(empty).given() == {"content": "disk full"}


@pytest.mark.parametrize("data", ["s3cret", ["s3cret"], None, 5318008])
def test_what_is_no_object_is_refused_without_its_value(data: object) -> None:
    with pytest.raises(ValidationError, match="Input should be") as caught:
        Alert.model_validate(data)
    assert not any(part in str(caught.value) for part in ("s3cret", "5318008"))


@pytest.mark.parametrize("name", ["tags", "tag", "labels"])
def test_tags_are_read_under_any_of_their_names(name: str) -> None:
    assert read(**{name: {"env": "prod"}}).tags == {"env": "prod"}


def test_tags_under_several_names_are_merged_and_the_documented_name_wins() -> None:
    alert = read(tags={"env": "prod"}, tag={"env": "dev", "team": "sre"}, labels={"team": "db", "app": "api"})
    assert alert.tags == {"env": "prod", "team": "sre", "app": "api"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        *((form, member) for member in Priority for form in (member, member.name, member.value, str(member.value))),
        (" Critical ", Priority.critical),
    ],
)
def test_a_priority_is_read_by_name_or_number(written: object, expected: Priority) -> None:
    assert read(priority=written).priority is expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        *((form, member) for member in Status for form in (member, member.name, member.value, str(member.value))),
        ("resolved", Status.recovered),
        ("RESOLVED", Status.recovered),
    ],
)
def test_a_status_is_read_by_name_or_number_and_resolved_is_recovered(written: object, expected: Status) -> None:
    assert read(status=written).status is expected


@pytest.mark.parametrize("written", ["high", "", "3", "00", 3, -1, True, 1.0, [0], {}, "²"])
def test_what_is_no_priority_is_refused_with_the_allowed_ones(written: object) -> None:
    assert "not a priority; write one of emergency (0), critical (1), warning (2)" in refusal(priority=written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (NAIVE, NAIVE),
        ("2022-02-25T13:32:13", NAIVE),
        (" 2022-02-25 13:32:13 ", NAIVE),
        ("2022-02-25T13:32:13Z", NAIVE.replace(tzinfo=UTC)),
        ("2022-02-25T13:32:13+08:00", NAIVE.replace(tzinfo=timezone(timedelta(hours=8)))),
        (1645795933000, NAIVE.replace(tzinfo=UTC)),
        (1645795933000.0, NAIVE.replace(tzinfo=UTC)),
        ([2022, 2, 25, 13, 32, 13], NAIVE),
        ([2022, 2, 25, 13, 32, 13, 123456789], NAIVE.replace(microsecond=123456)),
        ((2022, 2, 25, 13, 32), NAIVE.replace(second=0)),
        ([2022, 2, 25], NAIVE.replace(hour=0, minute=0, second=0)),
    ],
)
def test_a_time_is_read_in_every_documented_form_and_a_naive_one_stays_naive(
    written: Moment, expected: datetime
) -> None:
    found = read(gmtCreate=written).gmt_create
    assert found == expected
    assert found is not None
    assert found.utcoffset() == expected.utcoffset()


@given(st.datetimes())
def test_hertzbeats_array_is_the_same_moment_as_the_text(when: datetime) -> None:
    array = [when.year, when.month, when.day, when.hour, when.minute, when.second, when.microsecond * 1000]
    assert moment(array) == moment(when.isoformat()) == when


@pytest.mark.parametrize(
    "written",
    [
        *("", "yesterday", "2022-13-01", True, {}, [2022, 2], [2022, 2, 30], [2022, 1, 1, 0, 0, 0, 0, 0]),
        *([2022, 1, "1"], [2022, 1, 1.5], float("nan"), float("inf"), 10**30, [2022, 1, 1, 0, 0, 0, None]),
    ],
)
def test_what_is_no_time_is_refused(written: object) -> None:
    message = refusal(gmtCreate=written)
    assert "not a time; write ISO 8601" in message


@pytest.mark.parametrize(
    "written", [1645795933000, "2022-02-25T13:32:13Z", "2022-02-25T21:32:13+08:00", NAIVE.replace(tzinfo=UTC)]
)
def test_trigger_times_become_epoch_milliseconds(written: Moment) -> None:
    assert read(firstTriggerTime=written).first_trigger_time == 1645795933000


@pytest.mark.parametrize("written", [[1, 1, 1], "9999-12-31T23:59:59-23:59", True, "now", 2**63])
def test_a_trigger_time_outside_of_every_calendar_is_refused(written: object) -> None:
    assert "firstTriggerTime" in refusal(firstTriggerTime=written)


@given(st.integers(-(2**63), 2**63 - 1))
def test_milliseconds_of_any_64_bits_are_kept(value: int) -> None:
    assert milliseconds(value) == value
    assert read(firstTriggerTime=value).first_trigger_time == value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"severity": "high"}, "Extra inputs are not permitted"),
        ({"id": 2**63}, "less than or equal"),
        ({"id": True}, "should be a whole number, not true or false"),
        ({"times": -1}, "greater than or equal"),
        ({"times": 2**31}, "less than or equal"),
        ({"times": False}, "should be a whole number, not true or false"),
        ({"content": 7}, "should be a valid string"),
        ({"tags": ["env"]}, "should be an object of names and values"),
        ({"tags": {"env": ["s3cret"]}}, "the value of 'env' should be text, a number or true/false"),
        ({"tags": {"env": {"s3cret": 1}}}, "the value of 'env' should be text, a number or true/false"),
        ({"annotations": {"n": 2**63}}, "the value of 'n' does not fit into 64 bits; send it as text"),
        ({"tag": "s3cret", "tags": {"env": "prod"}}, "should be an object of names and values"),
    ],
)
def test_a_wrong_field_is_refused_without_its_value(fields: dict[str, Any], message: str) -> None:
    found = refusal(**fields)
    assert message in found
    assert "s3cret" not in found


@given(TAGS)
def test_tags_keep_their_values_and_types(tags: dict[str, Scalar]) -> None:
    found = Alert(content="", tags=tags).tags
    assert list(map(repr, found.items())) == list(map(repr, tags.items()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("prod", "prod"), ("", ""), (None, ""), (True, "true"), (False, "false"), (80, "80"), (1.5, "1.5"), (1.0, "1.0")],
)
def test_tags_compare_as_json_writes_them(value: Scalar, expected: str) -> None:
    assert tag_text(value) == expected


BASE: dict[str, Any] = {"source": "nagios", "target": "disk", "tags": {"env": "prod", "host": "db1"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "recovered"},
        {"id": 7},
        {"priority": "emergency"},
        {"content": "disk is fine again"},
        {"times": 5},
        {"first_trigger_time": 1645795933000},
        {"last_trigger_time": 1645795933000},
        {"annotations": {"summary": "full"}},
        {"tags": {"host": "db1", "env": "prod"}},
        {"raw": {"endsAt": "2026-01-02T04:00:00Z"}, "group": {"status": "resolved"}},
    ],
)
def test_the_fingerprint_is_equal_over_the_life_of_an_alert(fields: dict[str, Any]) -> None:
    assert read(**BASE).fingerprint == read(**(BASE | fields)).fingerprint


@pytest.mark.parametrize(
    "fields",
    [{"source": "icinga"}, {"target": "cpu"}, {"tags": {"env": "prod"}}, {"tags": {"env": "dev", "host": "db1"}}],
)
def test_the_fingerprint_tells_source_target_and_tags_apart(fields: dict[str, Any]) -> None:
    assert read(**BASE).fingerprint != read(**(BASE | fields)).fingerprint


def test_content_counts_only_where_neither_target_nor_tags_are_known() -> None:
    assert Alert(content="a").fingerprint != Alert(content="b").fingerprint
    assert Alert(content="a", target="t").fingerprint == Alert(content="b", target="t").fingerprint
    assert Alert(content="a", tags={"t": 1}).fingerprint == Alert(content="b", tags={"t": 1}).fingerprint


def test_a_tag_sent_as_number_once_and_as_text_later_is_the_same_alert() -> None:
    assert Alert(content="a", tags={"id": 7}).fingerprint == Alert(content="a", tags={"id": "7"}).fingerprint


def test_fingerprint_and_id_never_change_between_releases_as_the_outbox_remembers_them() -> None:
    alert = read(**BASE, first_trigger_time=1645795933000)
    assert (alert.fingerprint, alert.id) == ("5680350b4774566d5207769411faa612", 2217209574411670)


def test_a_given_fingerprint_and_id_are_kept() -> None:
    alert = Alert(content="a", fingerprint="f00", id=-1)
    assert (alert.fingerprint, alert.id) == ("f00", -1)


@given(TAGS, st.none() | st.integers(0, 2**53))
def test_a_made_id_is_exact_in_javascript_and_equal_for_the_recovery(tags: dict[str, Scalar], time: int | None) -> None:
    firing = Alert(content="down", tags=tags, target="t", first_trigger_time=time)
    recovery = Alert(content="up", tags=tags, target="t", first_trigger_time=time, status="recovered")
    assert 0 <= firing.id < 2**53
    assert firing.id == recovery.id


def test_a_new_trigger_time_makes_a_new_id() -> None:
    assert Alert(content="a", first_trigger_time=1).id != Alert(content="a", first_trigger_time=2).id


@given(TAGS)
def test_an_alert_made_again_from_what_was_given_is_equal(tags: dict[str, Scalar]) -> None:
    alert = Alert(content="disk full", tags=tags, priority="critical", gmt_create=NAIVE, raw={"a": [1, {"b": None}]})
    again = Alert.model_validate(alert.given())
    assert again == alert
    assert again.given() == alert.given()
    assert "fingerprint" not in alert.given()


CHANGES: dict[str, Callable[[Any], object]] = {
    "field": lambda alert: setattr(alert, "content", "x"),
    "made field": lambda alert: setattr(alert, "id", 1),
    "new field": lambda alert: setattr(alert, "other", "x"),
    "deleted field": lambda alert: delattr(alert, "content"),
    "tag": lambda alert: alert.tags.__setitem__("env", "dev"),
    "annotation": lambda alert: alert.annotations.update(a="b"),
    "raw": lambda alert: alert.raw["labels"].__setitem__("env", "dev"),
    "raw list": lambda alert: operator.setitem(alert.raw["values"], 0, 2),
    "group": lambda alert: alert.group["groupLabels"].update(env="dev"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_nobody_can_change_an_alert_in_any_depth(change: Callable[[Any], object]) -> None:
    raw = {"labels": {"env": "prod"}, "values": [1]}
    alert = Alert(content="a", tags={"env": "prod"}, raw=raw, group={"groupLabels": {"env": "prod"}})
    before = repr(alert)
    with pytest.raises((TypeError, ValidationError)):
        change(alert)
    assert repr(alert) == before


def test_an_alert_is_cut_off_from_what_it_was_made_of() -> None:
    tags: dict[str, Scalar] = {"env": "prod"}
    raw, group = {"values": [1]}, {"receivers": ["ops"]}
    alert = Alert(content="a", tags=tags, raw=raw, group=group)
    tags["env"] = "dev"
    raw["values"].append(2)
    group["receivers"].append("dev")
    assert alert.tags == {"env": "prod"}
    assert (alert.raw, alert.group) == ({"values": (1,)}, {"receivers": ("ops",)})


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda alert: pickle.loads(pickle.dumps(alert))])
def test_a_copied_alert_is_equal_has_an_equal_hash_and_stays_frozen(duplicate: Callable[[Alert], Alert]) -> None:
    alert = Alert(content="a", tags={"env": "prod"}, raw={"labels": {"x": [1]}}, group={"groupLabels": {"x": [1]}})
    found = duplicate(alert)
    assert found == alert
    assert hash(found) == hash(alert)
    with pytest.raises(TypeError):
        found.tags["env"] = "dev"  # type: ignore[index]  # pyright: ignore[reportIndexIssue] - it must fail at run time too


@pytest.mark.parametrize("field", ["content", "target", "source", "link", "group_key", "event_id", "fingerprint"])
def test_lone_surrogates_in_text_become_the_replacement_character(field: str) -> None:
    assert getattr(read(**{field: "a\ud83d"}), field) == "a\ufffd"


def test_tags_and_raw_can_be_written_as_json() -> None:
    alert = Alert(content="a", tags={"\ud83d": "\ude00"}, raw={"a": ["\ud800", {"b": 1}]})
    assert json.dumps(alert.tags, ensure_ascii=False).encode() == '{"\ufffd": "\ufffd"}'.encode()
    assert json.dumps(alert.raw, ensure_ascii=False).encode() == '{"a": ["\ufffd", {"b": 1}]}'.encode()
