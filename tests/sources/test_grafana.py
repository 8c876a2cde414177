"""Grafana's webhook: the documented body and a test notification, field by field, and what other versions send."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources.grafana import parse_grafana

ITEM: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "Down"},
    "annotations": {},
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "57c6d9296de2ad39",
    "values": None,
}


def read(payload: object, context: Context | None = None) -> list[Alert | ValueError]:
    return list(parse_grafana(payload, context or Context()))


def alerts_of(payload: object) -> list[Alert]:
    found = read(payload)
    alerts = [one for one in found if isinstance(one, Alert)]
    assert len(alerts) == len(found), found
    return alerts


def item(**changes: object) -> Alert:
    (alert,) = alerts_of({"version": "1", "alerts": [{**ITEM, **changes}]})
    return alert


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]  # of seven ints


def test_the_documented_group_of_one_firing_and_one_resolved_alert(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("grafana_v1_documented"))
    firing, resolved = alerts_of(body)
    assert firing.given() == {
        "source": "grafana",
        "target": "High memory usage",
        "content": "Memory is short in us-1",
        "status": Status.firing,
        "priority": Priority.warning,
        "tags": {"alertname": "High memory usage", "grafana_folder": "storage", "team": "blue", "zone": "us-1"},
        "annotations": body["alerts"][0]["annotations"],
        "first_trigger_time": milliseconds(2021, 10, 12, 7, 51, 3) + 157,
        "link": "https://grafana.example.org/d/mem?orgId=1&viewPanel=4",
        "fingerprint": "c6eadffa33fcdf37",
        "group_key": '{}/{team="blue"}:{alertname="High memory usage"}',
        "raw": body["alerts"][0],
        "group": {name: value for name, value in body.items() if name != "alerts"},
    }
    assert (resolved.status, resolved.content) == (Status.recovered, "Memory is short in eu-1")
    assert resolved.first_trigger_time == milliseconds(2021, 10, 12, 7, 56, 3) + 157
    assert resolved.link == "https://grafana.example.org/alerting/grafana/1afz29v7z/view?orgId=1"
    assert (resolved.group["title"], resolved.group["state"], resolved.group["orgId"]) == (
        "[FIRING:1, RESOLVED:1] High memory usage storage (blue)",
        "alerting",
        1,
    )
    assert resolved.raw["values"] is None
    assert firing.raw["values"] == {"B": 44.23943737541908, "C": 1}


def test_a_test_notification(payload: Callable[[str], bytes]) -> None:
    (alert,) = alerts_of(json.loads(payload("grafana_v1_test_notification")))
    assert (alert.target, alert.content, alert.status) == ("TestAlert", "Notification test", Status.firing)
    assert (alert.fingerprint, alert.group_key) == ("57c6d9296de2ad39", "test-57c6d9296de2ad39-1709979016")
    assert alert.first_trigger_time == milliseconds(2024, 3, 9, 10, 10, 16) + 318
    assert alert.link is None


@pytest.mark.parametrize("name", ["DatasourceNoData", "DatasourceError"])
def test_missing_data_and_errors_are_alerts_of_their_own_name(name: str) -> None:
    labels = {"alertname": name, "datasource_uid": "P1809", "ref_id": "A", "rulename": "Memory"}
    alert = item(labels=labels, annotations={"Error": "connection refused"})
    assert (alert.target, alert.content, alert.tags) == (name, name, labels)


@pytest.mark.parametrize(
    ("urls", "link"),
    [
        ({"panelURL": "http://p", "dashboardURL": "http://d", "generatorURL": "http://g"}, "http://p"),
        ({"panelURL": "", "dashboardURL": "https://d", "generatorURL": "http://g"}, "https://d"),
        ({"panelURL": None, "generatorURL": "http://g"}, "http://g"),
        ({"generatorURL": "?orgId=1"}, None),
        ({"generatorURL": 5, "panelURL": ["http://p"]}, None),
        ({}, None),
    ],
)
def test_the_link_is_the_panel_or_the_dashboard_or_the_rule(urls: dict[str, Any], link: str | None) -> None:
    assert item(**urls).link == link


def test_an_alert_keeps_its_identity_from_firing_to_recovery() -> None:
    firing, again, recovery = item(), item(values={"B": 2}), item(status="resolved", endsAt="2026-01-02T04:00:00Z")
    assert firing.id == again.id == recovery.id
    assert firing.fingerprint == recovery.fingerprint
    assert item(startsAt="2026-01-02T03:04:06Z").id != firing.id


def test_an_alert_without_a_fingerprint_is_known_by_its_labels() -> None:
    firing, recovery = item(fingerprint=None), item(fingerprint="", status="resolved")
    assert firing.fingerprint == recovery.fingerprint != item(fingerprint=None, labels={"alertname": "Up"}).fingerprint


def test_what_grafana_keeps_for_itself_is_left_out() -> None:
    alert = item(
        labels={"alertname": "Down", "__alert_rule_uid__": "x", "__a": "b"},
        annotations={"summary": "s", "__orgId__": "1"},
    )
    assert (alert.tags, alert.annotations) == ({"alertname": "Down", "__a": "b"}, {"summary": "s"})


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "", None])
def test_a_start_of_zero_is_none(zero: object) -> None:
    assert item(startsAt=zero).first_trigger_time is None


def test_an_alert_without_a_status_has_the_groups() -> None:
    (alert,) = alerts_of({"status": "resolved", "alerts": [{"labels": {"alertname": "Down"}}]})
    assert alert.status is Status.recovered


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (3, ["Grafana left out 3 alerts of a group; raise `Max Alerts` of its contact point"]),
        (0, []),
        (-1, []),
        ("x" * 9, []),
        (None, []),
    ],
)
def test_a_group_that_was_cut_is_said(cut: object, said: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hookplugin"):
        assert read({"alerts": [], "truncatedAlerts": cut}) == []
    assert caplog.messages == said


def test_a_wrong_alert_costs_only_itself() -> None:
    items = [
        ITEM,
        5,
        {**ITEM, "labels": None},
        {**ITEM, "labels": {"a": 1}},
        {**ITEM, "annotations": {"a": []}},
        {**ITEM, "startsAt": "soon"},
        {**ITEM, "status": "suppressed"},
        {**ITEM, "fingerprint": 7},
        {**ITEM, "labels": {"alertname": "Up"}},
    ]
    found = read({"version": "1", "alerts": items})
    assert [one.target for one in found if isinstance(one, Alert)] == ["Down", "Up"]
    assert [str(one).partition(";")[0] for one in found if isinstance(one, ValueError)] == [
        "alerts[1] should be an object",
        "alerts[2].labels should be an object",
        "alerts[3].labels.a should be text",
        "alerts[4].annotations.a should be text",
        "alerts[5].startsAt: not a time",
        "alerts[6]: status: not a status",
        "alerts[7]: fingerprint: should be text",
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, "the payload should be an object"),
        ([ITEM], "the payload should be an object"),
        ({}, "alerts should be a list"),
        ({"version": "1", "alerts": {}}, "alerts should be a list"),
        (
            {"version": "4", "alerts": []},
            "version should be 1; that is Alertmanager's webhook: name the source alertman",
        ),
        ({"version": 4, "alerts": []}, "name the source alertmanager"),
        ({"version": "2", "alerts": []}, "version should be 1$"),
        ({"version": None, "alerts": []}, "version should be 1$"),
        ({"title": "[Alerting] Test", "ruleName": "Test", "state": "alerting", "evalMatches": []}, "legacy alerting"),
    ],
)
def test_what_is_no_such_group_is_refused(body: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read(body)


@pytest.mark.parametrize("version", ["1", 1])
def test_version_one_may_be_a_number(version: object) -> None:
    assert read({"version": version, "alerts": []}) == []


def test_a_group_of_alertmanager_is_told_apart(payload: Callable[[str], bytes]) -> None:
    with pytest.raises(ValueError, match="name the source alertmanager"):
        read(json.loads(payload("alertmanager_v4_single")))
