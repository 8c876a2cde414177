"""ElastAlert's matches: as our alerter writes them, as its `command` pipes them, as its `post` sends one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources import read_alerts
from hookplugin.sources.elastalert import LONGEST_TAG, MOST_TAGS, parse_elastalert

MATCH: dict[str, Any] = {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "_id": "Xq1",
    "_index": "shop-2026.01.02",
    "_type": "_doc",
    "message": "no such column",
    "service": "orders",
    "status": 500,
    "host": {"name": "db1", "os": {"family": "debian"}},
    "num_hits": 3,
    "num_matches": 1,
    "top_events_service": {"orders": 3},
    "kibana_discover_url": "https://kibana.example.com/d/1",
}
RULE = {"name": "errors of the shop", "query_key": "service", "timestamp_field": "@timestamp", "priority": 1}
SAID = {"title": "orders fails", "text": "orders fails\n\nno such column"}


def read(payload: object, context: Context | None = None) -> list[Alert | ValueError]:
    return list(parse_elastalert(payload, context or Context()))


def one(payload: object, context: Context | None = None) -> Alert:
    (alert,) = read(payload, context)
    assert isinstance(alert, Alert), alert
    return alert


def firing(rule: dict[str, Any] | None = None, /, **changes: object) -> Alert:
    """Read what our alerter writes of one match, with some of its keys changed."""
    return one({"rule": RULE if rule is None else rule, "alerts": [{**SAID, "match": {**MATCH, **changes}}]})


def test_what_our_alerter_writes() -> None:
    payload = {"rule": RULE, "alerts": [{**SAID, "match": MATCH}]}
    alert = one(payload, Context(severities={"1": Priority.emergency}))
    given = alert.given()
    assert given.pop("fingerprint")
    assert given == {
        "source": "elastalert",
        "target": "errors of the shop",
        "content": "orders fails",
        "priority": Priority.emergency,
        "tags": {
            "message": "no such column",
            "service": "orders",
            "status": 500,
            "host.name": "db1",
            "host.os.family": "debian",
        },
        "annotations": {"description": "orders fails\n\nno such column"},
        "first_trigger_time": int(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC).timestamp() * 1000),
        "link": "https://kibana.example.com/d/1",
        "event_id": "shop-2026.01.02/Xq1",
        "raw": MATCH,
        "group": {"rule": RULE},
    }
    assert alert.status is Status.firing


def test_what_its_command_pipes() -> None:
    first, second = read([MATCH, {"@timestamp": "2026-01-02T03:04:06Z", "key": "carts", "count": 0}])
    assert isinstance(first, Alert)
    assert isinstance(second, Alert)
    assert (first.target, first.content, first.tags["service"]) == (None, "no such column", "orders")
    assert (first.event_id, first.group) == ("shop-2026.01.02/Xq1", None)
    assert (second.content, second.tags) == ("ElastAlert found a match", {"key": "carts", "count": 0})
    assert second.event_id is None


def test_what_its_post_sends() -> None:
    assert one(MATCH) == one([MATCH])


def test_a_message_that_is_no_text_is_no_reason_to_lose_the_match() -> None:
    assert one({**MATCH, "message": ["several", "lines"]}).content == "ElastAlert found a match"
    assert one({"rule": {"name": 7}, "alerts": [{"match": {"message": {"en": "x"}}}]}).content == "7"


def test_the_same_value_of_the_query_key_is_the_same_alert() -> None:
    first = firing()
    assert firing(_id="other", message="other", status=404, num_hits=9).fingerprint == first.fingerprint
    assert firing(service="carts").fingerprint != first.fingerprint
    assert firing({**RULE, "name": "other"}).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("query_key", "same", "other"),
    [
        ("host.name", {"host": {"name": "db1"}}, {"host": {"name": "db2"}}),
        ("host.name", {"host.name": "db9", "host": {"name": "db1"}}, {"host.name": "db8"}),
        ("service,status", {"service,status": "orders, 500"}, {"service,status": "orders, 404"}),
        ("missing", {"key": "carts"}, {"key": "orders"}),
        (None, {"key": "carts"}, {"key": "orders"}),
    ],
    ids=["a path", "a name with a dot", "several", "an event that is missing", "no query key"],
)
def test_the_query_key_is_found_wherever_a_rule_puts_it(
    query_key: str | None, same: dict[str, Any], other: dict[str, Any]
) -> None:
    rule = {**RULE, "query_key": query_key}
    assert firing(rule, **same).fingerprint == firing(rule, **same, _id="other").fingerprint
    assert firing(rule, **same).fingerprint != firing(rule, **other).fingerprint


def test_a_rule_without_a_query_key_is_one_alert() -> None:
    rule = {"name": "errors"}
    assert firing(rule).fingerprint == firing(rule, service="carts").fingerprint


@pytest.mark.parametrize(
    ("rule", "match", "priority"),
    [
        ({"priority": 1}, {}, Priority.emergency),
        ({"priority": "2"}, {}, Priority.critical),
        ({"priority": 5}, {}, Priority.warning),
        ({"priority": 5, "severity": "critical"}, {}, Priority.critical),
        ({"severity": "warning"}, {"severity": "critical"}, Priority.critical),
        ({"severity": "critical"}, {"severity": ["no", "text"]}, Priority.warning),
        ({}, {}, Priority.warning),
    ],
)
def test_the_severity_is_the_documents_or_the_rules_or_its_priority(
    rule: dict[str, Any], match: dict[str, Any], priority: Priority
) -> None:
    context = Context(severities={"1": Priority.emergency, "2": Priority.critical})
    payload = {"rule": {"name": "errors", **rule}, "alerts": [{"match": {**MATCH, **match}}]}
    assert one(payload, context).priority is priority


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-01-02T03:04:05+01:00", int(datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC).timestamp() * 1000)),
        (1767323045678, 1767323045678),
        ("yesterday", None),
        ({"not": "a time"}, None),
        (None, None),
        ("9999-12-31T23:59:59-12:00", None),
    ],
)
def test_a_time_in_a_format_of_the_rules_own_costs_only_the_time(timestamp: object, expected: int | None) -> None:
    assert firing(**{"@timestamp": timestamp}).first_trigger_time == expected


def test_the_time_may_stand_in_another_field() -> None:
    alert = firing({**RULE, "timestamp_field": "event.created"}, event={"created": "2026-01-02T00:00:00Z"})
    assert alert.first_trigger_time == int(datetime(2026, 1, 2, tzinfo=UTC).timestamp() * 1000)
    assert "event.created" not in alert.tags


def test_tags_are_short_and_not_too_many_and_the_whole_match_is_kept() -> None:
    long = {"text": "x" * (LONGEST_TAG + 1), "n" * (LONGEST_TAG + 1): "x", "big": 2**64, "list": [1], "nothing": None}
    many = {f"field{number}": number for number in range(2 * MOST_TAGS)}
    assert firing(**long).tags == firing().tags
    alert = firing(**many)
    assert len(alert.tags) == MOST_TAGS
    assert "host.name" not in alert.tags  # names without dots come first
    assert alert.raw["field199"] == 199
    assert firing(yes=True, part=0.5).tags == {**firing().tags, "yes": True, "part": 0.5}


@pytest.mark.parametrize(
    ("payload", "mistake"),
    [
        (None, "the payload should be an object"),
        ("x", "the payload should be an object"),
        ({}, "holds nothing"),
        ({"alerts": []}, "another system has sent it; name its source instead"),
        ({"rule": [], "alerts": []}, "rule should be an object"),
        ({"rule": {}, "alerts": {}}, "alerts should be a list"),
        ({"deep": json.loads("[" * 200 + "]" * 200)}, "nested more than 100 levels deep"),
    ],
)
def test_what_holds_no_matches_is_refused(payload: object, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        read(payload)


def test_a_match_that_is_wrong_costs_only_itself() -> None:
    unreadable = "the source 'elastalert' cannot read the payload:"
    reading = read_alerts("elastalert", [MATCH, 5, MATCH], _context())
    assert [alert.content for alert in reading.alerts] == ["no such column"] * 2
    assert reading.problems == [f"{unreadable} matches[1] should be an object"]
    reading = read_alerts("elastalert", {"rule": RULE, "alerts": [{"match": 1}, {"match": MATCH}]}, _context())
    assert len(reading.alerts) == 1
    assert reading.problems == [f"{unreadable} alerts[0].match should be an object"]


def _context() -> Context:
    context = Context()
    context.registry.source("elastalert", parse_elastalert)
    return context


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["@timestamp", "_id", "_index", "severity", "message", "key", "kibana_discover_url", "a.b"])
MATCHES = st.dictionaries(NAMES | st.text(max_size=3), VALUES, max_size=6)


@given(match=MATCHES, rule=st.dictionaries(st.sampled_from([*RULE, "severity"]), VALUES, max_size=5), said=MATCHES)
def test_any_document_of_any_rule_is_an_alert_or_a_value_error(
    match: dict[str, Any], rule: dict[str, Any], said: dict[str, Any]
) -> None:
    (found,) = read({"rule": rule, "alerts": [{**said, "match": match}]})
    assert isinstance(found, (Alert, ValueError))
    if isinstance(found, Alert):
        assert json.loads(json.dumps(found.raw)) is not None
