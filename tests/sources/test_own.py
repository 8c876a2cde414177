"""Our own alert as JSON, alone or in a list, and our own default body read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hookplugin import Alert, Context, Delivery, Host, PayloadError, Priority, Status
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.sources.own import parse_own


def read(payload: object) -> list[Alert]:
    return parse_own(payload, Context())


@pytest.mark.parametrize(
    "payload",
    [
        {"content": "disk full", "priority": "critical", "tags": {"env": "prod"}, "first_trigger_time": 1000},
        {"content": "disk full", "priority": 1, "labels": {"env": "prod"}, "firstTriggerTime": "1970-01-01T00:00:01Z"},
        {"content": "disk full", "priority": "1", "tag": {"env": "prod"}, "firstTriggerTime": 1000, "target": None},
    ],
)
def test_an_alert_is_read_however_its_fields_are_written(payload: dict[str, Any]) -> None:
    expected = Alert(content="disk full", priority="critical", tags={"env": "prod"}, first_trigger_time=1000)
    assert [alert.given() for alert in read(payload)] == [expected.given()]


def test_a_list_is_read_in_its_order_and_an_empty_one_is_none() -> None:
    assert [alert.content for alert in read([{"content": "b"}, {"content": "a"}])] == ["b", "a"]
    assert read([]) == []


@pytest.mark.parametrize("payload", [None, 5, "content", True, {}, [5], [[]], [{"content": "x"}, {"contnt": "y"}]])
def test_what_is_no_alert_is_refused(payload: object) -> None:
    with pytest.raises(ValueError, match=r"object|content|Input"):
        read(payload)


FULL = Alert(
    content="disk “full” \n<&>",
    target="linux.disk.used",
    priority="emergency",
    status="recovered",
    tags={"env": "prod", "monitorId": 3543534545, "none": None, "up": False},
    times=3,
    first_trigger_time=1_700_000_000_123,
    last_trigger_time=1_700_000_001_456,
    next_eval_interval=600_000,
    alert_define_id=2**63 - 1,
    gmt_create="2022-02-25T13:32:13",
    gmt_update="2022-02-25T13:32:13.123456+05:30",
    id=-(2**63),
)


@pytest.mark.parametrize("alert", [FULL, Alert(content="")], ids=["full", "least"])
def test_our_default_body_read_back_is_the_same_alert(alert: Alert) -> None:
    delivery = Delivery(id="1", alert=alert, receiver="ops", body="hertzbeat")
    body = json.loads(Bodies().render(Request("1", [delivery], datetime.now(UTC))).content)
    (again,) = read(body)
    assert again.fingerprint == alert.fingerprint
    assert again == alert


def test_a_host_adds_where_an_alert_came_from_and_keeps_what_it_says_itself() -> None:
    with Host({}) as host:
        receipt = host.receive("json", [{"content": "a"}, {"content": "b", "source": "mine"}])
    assert [unsent.alert and unsent.alert.source for unsent in receipt.suppressed] == ["json", "mine"]


@pytest.mark.parametrize(
    ("payload", "mistake"),
    [
        ({"content": "x", "contnt": "y"}, "contnt: unknown key; did you mean 'content'?"),
        ([{"content": "x"}, {"content": "x", "severity": 1}], "[1].severity: unknown key; "),
        ({"target": "x"}, "content: is missing"),
        ({"content": 5}, "content: should be text"),
        ({"content": "x", "priority": "high"}, "priority: not a priority; write one of "),
        ({"content": "x", "status": 9}, "status: not a status; write one of "),
        ({"content": "x", "id": 2**63}, "id: "),
        ({"content": "x", "times": True}, "times: should be a whole number, not true or false"),
        ({"content": "x", "tags": [1]}, "tags: should be an object of names and values"),
        ({"content": "x", "tags": {"a": []}}, "tags: the value of 'a' should be text, a number or true/false"),
        ({"content": "x", "gmtCreate": "soon"}, "gmtCreate: not a time; write ISO 8601"),
        (5, "the payload should be an object"),
        ({"alerts": [{"labels": {}}]}, "it is a group of another system's alerts; name its source, like alertmanager"),
    ],
)
def test_a_mistake_in_an_alert_is_named_with_its_path(payload: object, mistake: str) -> None:
    with Host({}) as host, pytest.raises(PayloadError) as caught:
        host.receive("json", payload)
    assert f"the source 'json' cannot read the payload: {mistake}" in str(caught.value)


def test_every_mistake_of_an_alert_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        read({"priority": "high", "status": "gone"})
    assert {error["loc"] for error in caught.value.errors()} == {("content",), ("priority",), ("status",)}


def test_names_and_numbers_of_priority_and_status_are_the_same() -> None:
    (alert,) = read({"content": "x", "priority": 0, "status": "resolved"})
    assert (alert.priority, alert.status) == (Priority.emergency, Status.recovered)
