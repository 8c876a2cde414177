"""Alertmanager's webhook: two captured bodies field by field, and what other versions and senders make of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources.alertmanager import parse_alertmanager

Read = Callable[..., list[Alert]]
ITEM: dict[str, Any] = {"status": "firing", "labels": {"alertname": "Down"}, "startsAt": "2026-01-02T03:04:05Z"}
MISSING = object()


def read(payload: object, context: Context | None = None) -> list[Alert]:
    return list(parse_alertmanager(payload, context or Context()))


def item(**changes: object) -> Alert:
    """Read a group of one alert, with some keys changed or left out."""
    changed = {key: value for key, value in {**ITEM, **changes}.items() if value is not MISSING}
    (alert,) = read({"version": "4", "alerts": [changed]})
    return alert


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]  # of seven ints


def test_a_captured_group_of_one_firing_and_one_resolved_alert(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("alertmanager_v4_firing_and_resolved"))
    firing, resolved = read(body)
    assert firing.given() == {
        "source": "alertmanager",
        "target": "DiskFull",
        "content": "Disk 95% full",
        "status": Status.firing,
        "priority": Priority.critical,
        "tags": {
            "alertname": "DiskFull",
            "cluster": "eu1",
            "instance": "db1:9100",
            "severity": "critical",
            "team": "sre",
        },
        "annotations": {"summary": "Disk 95% full"},
        "first_trigger_time": milliseconds(2026, 1, 2, 3, 4, 5) + 678,
        "link": "http://prom/graph?g0.expr=x",
        "fingerprint": "b03adfaefd071ea2",
        "group_key": '{}/{severity=~"critical|page",team="sre"}:{alertname="DiskFull", cluster="eu1"}',
        "raw": body["alerts"][0],
        "group": {name: value for name, value in body.items() if name != "alerts"},
    }
    assert resolved.given() == {
        **{name: value for name, value in firing.given().items() if name != "link"},
        "content": "Disk 96% full",
        "status": Status.recovered,
        "tags": {**firing.tags, "instance": "db2:9100"},
        "annotations": {"summary": "Disk 96% full"},
        "first_trigger_time": milliseconds(2026, 1, 2, 3, 4, 5),
        "fingerprint": "e38e4dd50754fa11",
        "raw": body["alerts"][1],
    }


def test_a_captured_group_without_severity_and_annotations(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("alertmanager_v4_single"))
    (alert,) = read(body)
    assert alert.given() == {
        "source": "alertmanager",
        "target": "ok1",
        "content": "ok1",
        "status": Status.firing,
        "priority": Priority.warning,
        "tags": {"alertname": "ok1"},
        "annotations": {},
        "first_trigger_time": milliseconds(2026, 11, 23, 8, 47, 38) + 1,
        "fingerprint": "d7252752c04bd3c5",
        "group_key": '{}:{alertname="ok1"}',
        "raw": body["alerts"][0],
        "group": {name: value for name, value in body.items() if name != "alerts"},
    }


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ("2026-11-23T08:47:38.000293448Z", milliseconds(2026, 11, 23, 8, 47, 38)),
        ("2026-11-23T08:47:38.999999999Z", milliseconds(2026, 11, 23, 8, 47, 38) + 999),
        ("2026-11-23T08:47:38.5+02:00", milliseconds(2026, 11, 23, 6, 47, 38) + 500),
        ("2026-11-23T08:47:38-05:30", milliseconds(2026, 11, 23, 14, 17, 38)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00-07:00", None),
        ("", None),
        (None, None),
        (MISSING, None),
    ],
)
def test_the_start_is_a_time_with_any_zone_and_fraction_and_gos_zero_time_is_none(
    starts: object, expected: int | None
) -> None:
    assert item(startsAt=starts).first_trigger_time == expected


@pytest.mark.parametrize("ends", ["0001-01-01T00:00:00Z", "2026-01-02T03:14:05Z", "no time at all", MISSING])
def test_the_end_says_nothing_about_the_status(ends: object) -> None:
    assert item(endsAt=ends).status is Status.firing
    assert item(endsAt=ends, status="resolved").status is Status.recovered


def test_a_time_without_a_zone_is_in_the_configurations() -> None:
    context = Context(timezone=ZoneInfo("Asia/Tokyo"))
    (alert,) = read({"alerts": [{**ITEM, "startsAt": "2026-01-02T09:00:00"}]}, context)
    assert alert.first_trigger_time == milliseconds(2026, 1, 2)


def test_an_alert_without_a_status_has_the_groups() -> None:
    (alert,) = read({"status": "resolved", "alerts": [{"labels": {"alertname": "Down"}}]})
    assert alert.status is Status.recovered


@pytest.mark.parametrize(
    ("severity", "priority"),
    [
        ("emergency", Priority.emergency),
        ("critical", Priority.critical),
        (" Critical ", Priority.critical),
        ("warning", Priority.warning),
        ("page", Priority.emergency),
        ("PAGE", Priority.emergency),
        ("info", Priority.warning),
        ("", Priority.warning),
    ],
)
def test_the_severity_is_read_with_the_operators_list(severity: str, priority: Priority) -> None:
    context = Context(severities={"page": Priority.emergency})
    (alert,) = read({"alerts": [{"labels": {"alertname": "Down", "severity": severity}}]}, context)
    assert alert.priority is priority
    assert alert.tags["severity"] == severity


def test_an_unknown_severity_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    context = Context()
    with caplog.at_level(logging.WARNING, "hookplugin"):
        for _ in range(3):
            read({"alerts": [{"labels": {"severity": "info"}}, {"labels": {}}]}, context)
    severity, missing = caplog.messages
    assert severity.startswith("the severity 'info' is read as warning")
    assert missing.startswith("an alert without a severity is read as warning")


@pytest.mark.parametrize(
    ("annotations", "content"),
    [
        ({"summary": "short", "description": "long"}, "short"),
        ({"summary": "", "description": "long"}, "long"),
        ({"runbook": "https://example.com"}, "Down"),
        ({}, "Down"),
        (None, "Down"),
        (MISSING, "Down"),
    ],
)
def test_the_content_is_the_summary_or_the_description_or_the_name(annotations: object, content: str) -> None:
    assert item(annotations=annotations).content == content


def test_an_alert_without_a_name_is_an_alert_too() -> None:
    alert = item(labels={"instance": "db1"})
    assert (alert.target, alert.content, alert.tags) == (None, "", {"instance": "db1"})


def test_keys_that_later_versions_added_are_ignored_and_kept(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("alertmanager_v4_firing_and_resolved"))
    before = read(body)
    new = {"notification_reason": "group_interval", "routeLabels": {"team": "sre"}, "new": (1, {"deep": None})}
    for old, alert in zip(before, read(body | new), strict=True):
        assert alert.group == old.group | new
        assert {**alert.given(), "group": None} == {**old.given(), "group": None}
        assert (alert.id, alert.fingerprint) == (old.id, old.fingerprint)
    assert item(new={"deep": [1]}).raw["new"] == {"deep": (1,)}


def test_what_a_group_says_is_kept_once_for_all_its_alerts_and_cannot_be_changed() -> None:
    first, *others = read({"version": "4", "externalURL": "x" * 30_000, "new": {"a": [1]}, "alerts": [ITEM] * 500})
    assert first.group == {"version": "4", "externalURL": "x" * 30_000, "new": {"a": (1,)}}
    assert all(alert.group is first.group for alert in others)
    with pytest.raises(TypeError):
        first.group["new"]["b"] = 2


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else "x"


@pytest.mark.parametrize(
    ("count", "new", "reason"),
    [
        (500, "x" * 40_000, "it is too long for so many alerts"),
        (1, "x" * 20_000_000, "it is too long for so many alerts"),
        (1, nested(101), "nested more than 100 levels deep"),
        (1, 10**5000, "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
    ids=["many", "long", "deep", "a number without end"],
)
def test_a_group_that_cannot_be_kept_with_each_alert_costs_no_alert(
    count: int, new: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = read({"alerts": [ITEM] * count, "new": new})
    assert [alert.group for alert in alerts] == [None] * count
    assert alerts[0].content == "Down"
    assert f"alerts are kept without what their payload says of all of them: {reason}" in caplog.text


def test_a_group_that_was_cut_is_said(payload: Callable[[str], bytes], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hookplugin"):
        read(json.loads(payload("alertmanager_v4_firing_and_resolved")))
        read({"alerts": [], "truncatedAlerts": 0})
    assert [record.getMessage() for record in caplog.records] == [
        "Alertmanager left out 1 alerts of a group; raise max_alerts of its webhook_config"
    ]


def test_an_alert_keeps_its_identity_from_firing_to_recovery() -> None:
    firing, again, recovery = item(), item(), item(status="resolved", endsAt="2026-01-02T04:00:00Z")
    assert firing.id == again.id == recovery.id
    assert item(startsAt="2026-01-02T03:04:06Z").id != firing.id


@pytest.mark.parametrize("version", ["1", 1, "5", "", True])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="version should be 4"):
        read({"version": version, "alerts": []})


@pytest.mark.parametrize("version", ["4", 4])
def test_version_four_may_be_a_number(version: object) -> None:
    assert read({"version": version, "alerts": []}) == []


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        (None, "the payload should be an object"),
        ([], "the payload should be an object"),
        ("alerts", "the payload should be an object"),
        ({}, "alerts should be a list"),
        ({"alerts": {}}, "alerts should be a list"),
        ({"alerts": ["x"]}, r"alerts\[0\] should be an object"),
        ({"alerts": [ITEM, {}]}, r"alerts\[1\]\.labels should be an object"),
        ({"alerts": [{**ITEM, "labels": ["x"]}]}, r"alerts\[0\]\.labels should be an object"),
        ({"alerts": [{**ITEM, "annotations": "x"}]}, r"alerts\[0\]\.annotations should be an object"),
        ({"alerts": [{**ITEM, "labels": {"a": {"b": 1}}}]}, "the value of 'a' should be text, a number or true/false"),
        ({"alerts": [{**ITEM, "labels": {"alertname": 5}}]}, "target"),
        ({"alerts": [{**ITEM, "startsAt": "yesterday"}]}, "not a time"),
        ({"alerts": [{**ITEM, "startsAt": True}]}, "not a time"),
        ({"alerts": [{**ITEM, "status": "suppressed"}]}, "not a status"),
        ({"alerts": [{**ITEM, "fingerprint": 5}]}, "fingerprint"),
        ({"alerts": [{**ITEM, "generatorURL": ["x"]}]}, "link"),
    ],
)
def test_wrong_types_are_refused_with_the_place(body: object, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        read(body)
