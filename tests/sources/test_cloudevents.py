"""CloudEvents: the examples of the specification, what senders make of it, and our own body read back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storing import ALERTS

from hookplugin import Alert, Context, Delivery, Host, Priority, Status
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.sources.cloudevents import parse_cloudevents

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/disks", "type": "com.example.disk.full"}
NOT_SENT = {"raw", "group", "next_eval_interval", "gmt_create", "gmt_update"}
"""The fields of an alert that our body leaves out."""
BODIES = Bodies()


def read(payload: object, context: Context | None = None) -> list[Alert | ValueError]:
    return list(parse_cloudevents(payload, context or Context()))


def alerts_of(payload: object, context: Context | None = None) -> list[Alert]:
    found = read(payload, context)
    alerts = [one for one in found if isinstance(one, Alert)]
    assert len(alerts) == len(found), found
    return alerts


def event(**changes: object) -> Alert:
    (alert,) = alerts_of({**EVENT, **changes})
    return alert


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]  # of seven ints


def sent(*alerts: Alert) -> Any:
    """Return our body `cloudevents` for alerts, as one request."""
    deliveries = [
        Delivery(id=str(number), alert=alert, receiver="ops", body="cloudevents") for number, alert in enumerate(alerts)
    ]
    return json.loads(BODIES.render(Request("d0", deliveries, datetime.now(UTC), many=len(alerts) > 1)).content)


def as_sent(alert: Alert) -> Any:
    """Return what of an alert our body has; JSON has no number without end."""
    written = json.dumps({name: value for name, value in alert.model_dump().items() if name not in NOT_SENT})
    return json.loads(written, parse_constant=lambda _: None)


@given(ALERTS)
def test_our_own_body_comes_back_in_as_the_alert_it_was(alert: Alert) -> None:
    (again,) = alerts_of(sent(alert))
    assert as_sent(again) == as_sent(alert)


@given(st.lists(ALERTS, min_size=2, max_size=4))
def test_our_own_body_of_several_alerts_comes_back_in_as_all_of_them(alerts: list[Alert]) -> None:
    again = alerts_of(sent(*alerts))
    assert [as_sent(one) for one in again] == [as_sent(one) for one in alerts]


def test_our_own_alert_in_full_comes_back_through_a_host() -> None:
    full = Alert(
        content="disk full",
        target="linux.disk.used",
        priority="emergency",
        status="recovered",
        tags={"env": "prod", "monitorId": 3543534545},
        annotations={"runbook": "https://example.com"},
        times=3,
        first_trigger_time=1_700_000_000_123,
        last_trigger_time=1_700_000_001_456,
        alert_define_id=7,
        source="alertmanager",
        link="https://example.com/graph",
        group_key="{}:{}",
        event_id="e-1",
        fingerprint="b03adfaefd071ea2",
    )
    with Host({}) as host:
        (unsent,) = host.receive("cloudevents", sent(full)).suppressed
    assert unsent.alert == full


@pytest.mark.parametrize(
    "data",
    [
        {"content": "disk full", "priority": "critical", "tags": {"env": "prod"}, "first_trigger_time": 1000},
        {"content": "disk full", "priority": 1, "labels": {"env": "prod"}, "firstTriggerTime": 1000},
    ],
)
def test_data_may_be_one_of_our_alerts(data: dict[str, Any]) -> None:
    expected = Alert(content="disk full", priority="critical", tags={"env": "prod"}, first_trigger_time=1000)
    assert event(data=data).given() == expected.given()


@pytest.mark.parametrize(
    "data",
    [
        {"content": "disk full", "colour": "red"},
        {"content": "disk full", "priority": "high"},
        {"content": "disk full", "id": "9e0d"},
        {"content": "disk full", "alerts": []},
    ],
)
def test_data_that_only_looks_like_one_of_our_alerts_is_data(data: dict[str, Any]) -> None:
    alert = event(data=data)
    assert (alert.source, alert.target, alert.content) == ("cloudevents", "/disks", "disk full")
    assert alert.raw["data"].keys() == data.keys()


def test_a_mistake_in_our_own_body_costs_only_its_alert() -> None:
    data = {"alerts": [{"content": "a"}, {"content": "b", "priority": "high"}, 5, {"content": "c"}]}
    found = read([{**EVENT, "type": "hookplugin.alert.firing", "data": data}])
    assert [one.content for one in found if isinstance(one, Alert)] == ["a", "c"]
    assert [str(one).partition(";")[0] for one in found if isinstance(one, ValueError)] == [
        "[0].data.alerts[1]: priority: not a priority",
        "[0].data.alerts[2] should be an object",
    ]


def test_of_many_mistakes_in_one_alert_three_are_named() -> None:
    alert = {"content": "x", **{f"unknown{number}": 1 for number in range(99)}}
    (error,) = read({**EVENT, "type": "hookplugin.alert.firing", "data": {"alerts": [alert]}})
    assert str(error).startswith("data.alerts[0]: unknown0: unknown key")
    assert str(error).endswith("; and 96 more")


def test_the_example_of_the_specification(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("cloudevents_1_0_structured"))
    (alert,) = alerts_of(body)
    assert alert.given() == {
        "source": "cloudevents",
        "target": "123",
        "content": '<much wow="xml"/>',
        "priority": Priority.warning,
        "tags": {
            "source": "https://github.com/cloudevents/spec/pull",
            "type": "com.github.pull_request.opened",
            "subject": "123",
            "comexampleextension1": "value",
            "comexampleothervalue": 5,
        },
        "first_trigger_time": milliseconds(2018, 4, 5, 17, 31),
        "event_id": "A234-1234-1234",
        "fingerprint": alert.fingerprint,
        "raw": body,
    }


def test_the_example_of_a_batch(payload: Callable[[str], bytes]) -> None:
    binary, other = alerts_of(json.loads(payload("cloudevents_1_0_batch")))
    assert (binary.event_id, binary.target, binary.content) == (
        "B234-1234-1234",
        "/mycontext/4",
        "com.example.someevent: /mycontext/4",
    )
    assert (other.event_id, other.content) == ("C234-1234-1234", "com.example.someotherevent: /mycontext/9")
    assert other.raw["data"] == {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True}


@pytest.mark.parametrize(
    ("data", "content"),
    [
        ("it broke", "it broke"),
        ({"summary": " it broke ", "message": "m"}, "it broke"),
        ({"summary": "", "message": "m"}, "m"),
        ({"summary": 5, "title": "t"}, "t"),
        ({"other": "x"}, "com.example.disk.full: sda"),
        (" ", "com.example.disk.full: sda"),
        (5, "com.example.disk.full: sda"),
        (["x"], "com.example.disk.full: sda"),
        (None, "com.example.disk.full: sda"),
    ],
)
def test_the_content_is_what_the_data_says_or_what_the_event_is_about(data: object, content: str) -> None:
    assert event(subject="sda", data=data).content == content


@pytest.mark.parametrize(
    ("media", "data", "content"),
    [
        ("application/json", b'{"message": "m"}', "m"),
        ("application/vnd.x+json; charset=utf-8", b'"m"', "m"),
        (None, b'"m"', "m"),
        ("text/plain", "größer".encode(), "größer"),
        ("application/octet-stream", b"\xff\x00", "com.example.disk.full: /disks"),
    ],
)
def test_binary_data_is_read_if_it_is_json_or_text(media: str | None, data: bytes, content: str) -> None:
    assert event(datacontenttype=media, data_base64=base64.b64encode(data).decode()).content == content


@pytest.mark.parametrize(
    "encoded", ["%%", 5, None, "", base64.b64encode(b"\xff").decode(), base64.b64encode(b"[" * 99_999).decode()]
)
def test_binary_data_that_is_not_what_it_says_is_refused(encoded: object) -> None:
    with pytest.raises(ValueError, match="data_base64 should be application/json in base64"):
        read({**EVENT, "data_base64": encoded})


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("com.example.disk.firing", Status.firing),
        ("com.example.disk.resolved", Status.recovered),
        ("com.example.disk.Recovered", Status.recovered),
        ("com.example.disk.pending", Status.pending),
        ("com.example.disk.processed", Status.processed),
        ("com.example.disk.opened", Status.firing),
        ("resolved", Status.recovered),
    ],
)
def test_the_end_of_the_type_may_say_the_status(kind: str, status: Status) -> None:
    assert event(type=kind).status is status


def test_a_firing_and_its_recovery_have_the_same_fingerprint_and_other_events_another() -> None:
    firing = event(type="com.example.disk.firing", subject="sda", time="2026-01-02T03:04:05Z", severity="critical")
    recovery = event(
        type="com.example.disk.resolved", subject="sda", time="2026-01-02T03:05:05Z", traceparent="x", id="2"
    )
    assert firing.fingerprint == recovery.fingerprint
    assert (firing.first_trigger_time, recovery.first_trigger_time) == (milliseconds(2026, 1, 2, 3, 4, 5), None)
    assert recovery.last_trigger_time == milliseconds(2026, 1, 2, 3, 5, 5)
    others: list[dict[str, Any]] = [
        {"type": "com.example.cpu.firing"},
        {"subject": "sdb"},
        {"subject": None},
        {"source": "/other"},
    ]
    base = {"type": "com.example.disk.firing", "subject": "sda"}
    assert len({firing.fingerprint, *(event(**base | other).fingerprint for other in others)}) == 5


def test_an_event_that_is_sent_again_is_the_same_alert() -> None:
    first, again = (event(time="2026-01-02T03:04:05Z") for _ in range(2))
    assert (first.id, first.fingerprint, first.event_id) == (again.id, again.fingerprint, again.event_id)
    assert event(time="2026-01-02T03:04:06Z", id="2").id != first.id


@pytest.mark.parametrize(
    ("attributes", "priority"),
    [
        ({"severity": "critical"}, Priority.critical),
        ({"severity": "page"}, Priority.emergency),
        ({"severitytext": "ERROR", "severitynumber": 17}, Priority.critical),
        ({"severitytext": "FATAL", "severitynumber": 21}, Priority.emergency),
        ({"severitytext": "INFO", "severitynumber": 9}, Priority.warning),
        ({"severitytext": "PAGE", "severitynumber": 9}, Priority.emergency),
        ({"severitynumber": 18}, Priority.critical),
        ({"severitynumber": "18"}, Priority.warning),
        ({"severity": 5}, Priority.warning),
        ({"data": {"severity": "critical"}}, Priority.critical),
        ({"data": {"severity": ["critical"]}}, Priority.warning),
        ({}, Priority.warning),
    ],
)
def test_the_severity_is_an_extension_or_in_the_data(attributes: dict[str, Any], priority: Priority) -> None:
    (alert,) = alerts_of({**EVENT, **attributes}, Context(severities={"page": Priority.emergency}))
    assert alert.priority is priority


def test_an_extension_that_is_no_scalar_is_no_tag() -> None:
    alert = event(good="x", flag=True, bad={"a": 1}, none=None)
    assert alert.tags == {"source": "/disks", "type": "com.example.disk.full", "good": "x", "flag": True}
    assert alert.raw["bad"] == {"a": 1}


def test_a_wrong_event_costs_only_itself() -> None:
    items = [
        EVENT,
        5,
        {},
        {**EVENT, "specversion": "0.3"},
        {**EVENT, "id": 5},
        {**EVENT, "source": ""},
        {**EVENT, "type": None},
        {**EVENT, "time": "soon"},
        {**EVENT, "subject": 5},
        {**EVENT, "big": 2**64},
        {**EVENT, "type": "hookplugin.alert.firing", "data": {"alerts": 5}},
        {**EVENT, "id": "2"},
    ]
    found = read(items)
    assert [one.event_id for one in found if isinstance(one, Alert)] == ["1", "2"]
    assert [str(one).partition(";")[0] for one in found if isinstance(one, ValueError)] == [
        "[1] should be an object",
        "[2].specversion is missing: it is no CloudEvent with all its attributes in the body",
        "[3].specversion should be 1.0",
        "[4].id should be text, and not empty",
        "[5].source should be text, and not empty",
        "[6].type should be text, and not empty",
        "[7].time: not a time",
        "[8]: target: should be text",
        "[9]: tags: the value of 'big' does not fit into 64 bits",
        "[10].data.alerts should be a list",
    ]


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        (None, "the payload should be an object"),
        ("x", "the payload should be an object"),
        ({}, "^specversion is missing"),
        ({**EVENT, "specversion": 1.0}, "^specversion should be 1.0"),
        ({**EVENT, "time": "soon"}, "^time: not a time"),
    ],
)
def test_what_is_no_event_is_refused(body: object, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        read(body)


def test_a_batch_may_be_empty() -> None:
    assert read([]) == []
