"""Uptime Kuma's webhook: bodies as its code makes them, `server/notification-providers/webhook.js` of version 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources.uptime_kuma import parse_uptime_kuma

BEAT: dict[str, Any] = {"monitorID": 29, "status": 0, "time": "2024-09-24 23:51:35.527", "important": True}
BODY: dict[str, Any] = {"heartbeat": BEAT, "monitor": {"id": 29, "name": "API", "type": "http"}, "msg": "down"}


def read(payload: object, context: Context | None = None) -> Alert:
    (alert,) = parse_uptime_kuma(payload, context or Context())
    return alert


def beat(**changes: object) -> Alert:
    return read({**BODY, "heartbeat": {**BEAT, **changes}})


def monitor(**changes: object) -> Alert:
    return read({**BODY, "monitor": {**BODY["monitor"], **changes}})


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]  # of seven ints


def test_a_monitor_that_went_down(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("uptime_kuma_down"))
    alert = read(body)
    assert alert.given() == {
        "source": "uptime-kuma",
        "id": alert.id,
        "target": "API",
        "content": "[API] [🔴 Down] connect ECONNREFUSED 10.0.0.7:443",
        "status": Status.firing,
        "priority": Priority.critical,
        "tags": {"type": "http", "url": "https://api.example.com/health", "env": "prod"},
        "annotations": {"description": "the public API"},
        "first_trigger_time": milliseconds(2024, 9, 24, 23, 51, 35) + 527,
        "last_trigger_time": milliseconds(2024, 9, 24, 23, 51, 35) + 527,
        "link": "https://api.example.com/health",
        "raw": alert.raw,
    }
    assert json.loads(json.dumps(alert.raw)) == body


def test_its_recovery_and_its_reminder_are_the_same_alert(payload: Callable[[str], bytes]) -> None:
    down, up = (read(json.loads(payload(f"uptime_kuma_{name}"))) for name in ("down", "up"))
    assert (up.status, up.priority) == (Status.recovered, Priority.critical)
    assert (up.first_trigger_time, up.last_trigger_time) == (
        down.first_trigger_time,
        milliseconds(2024, 9, 24, 23, 58, 35) + 900,
    )
    assert (up.id, up.fingerprint) == (down.id, down.fingerprint)
    reminder = json.loads(payload("uptime_kuma_down"))
    reminder["heartbeat"] |= {"important": False, "time": "2024-09-24 23:56:35.100"}
    again = read(reminder)
    assert (again.status, again.first_trigger_time) == (Status.firing, None)
    assert again.last_trigger_time == milliseconds(2024, 9, 24, 23, 56, 35) + 100
    assert (again.id, again.fingerprint) == (down.id, down.fingerprint)


def test_a_recovery_before_2_1_does_not_say_when_it_began() -> None:
    up = beat(status=1, time="2024-09-24 23:58:35.900")
    assert up.first_trigger_time is None
    assert up.id == beat().id


def test_a_test_is_about_no_monitor(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("uptime_kuma_test"))
    assert read(body).given() == {
        "source": "uptime-kuma",
        "content": "My Webhook Alert (1) Testing",
        "priority": Priority.warning,
        "tags": {},
        "annotations": {},
        "raw": body,
    }


def test_messages_about_different_certificates_are_different_alerts() -> None:
    first, other = (read({"heartbeat": None, "monitor": None, "msg": msg}) for msg in ("[a] expires", "[b] expires"))
    assert first.fingerprint != other.fingerprint
    assert read({"msg": "[a] expires"}).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("status", "expected"), [(0, Status.firing), (1, Status.recovered), (2, Status.pending), (3, Status.processed)]
)
def test_each_status_has_a_meaning(status: int, expected: Status) -> None:
    assert beat(status=status).status is expected


@pytest.mark.parametrize("status", [4, -1, True, None, "0", [0], {}, 2**70])
def test_another_status_is_refused(status: object) -> None:
    with pytest.raises(ValueError, match=r"heartbeat\.status should be 0 \(down\), 1 \(up\), 2 \(pending\) or 3"):
        beat(status=status)


def test_times_are_in_utc_whatever_the_configuration_says() -> None:
    assert beat(time="2024-09-24T23:51:35.527Z").last_trigger_time == beat().last_trigger_time
    assert beat(time=None).last_trigger_time is None
    with pytest.raises(ValueError, match=r"heartbeat\.time: not a time"):
        beat(time="soon")


def test_a_monitor_without_a_url_has_what_it_pings() -> None:
    alert = monitor(type="port", url="https://", hostname="db1", port=5432)
    assert alert.tags == {"type": "port", "hostname": "db1", "port": 5432}
    assert alert.link is None


def test_tags_that_people_gave_the_monitor_are_tags_and_severity_is_the_priority() -> None:
    given = [
        {"name": "severity", "value": "page"},
        {"name": "team", "value": ""},
        {"name": ""},
        None,
        "x",
        {"value": 1},
    ]
    body = {**BODY, "monitor": {**BODY["monitor"], "tags": given}}
    alert = read(body, Context(severities={"page": Priority.emergency}))
    assert alert.tags == {"type": "http", "severity": "page", "team": ""}
    assert alert.priority is Priority.emergency


def test_two_monitors_are_two_alerts() -> None:
    assert monitor(name="Web").fingerprint != monitor().fingerprint
    assert monitor(name="Web").id != monitor().id


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        (None, "the payload should be an object"),
        ([BODY], "the payload should be an object"),
        ({"heartbeat": BEAT}, "the payload has no msg: it is no notification of Uptime Kuma"),
        ({**BODY, "heartbeat": [1]}, "heartbeat should be an object"),
        ({**BODY, "monitor": "x"}, "monitor should be an object"),
        ({**BODY, "msg": 5}, "content"),
        ({**BODY, "monitor": {"name": 5}}, "target"),
        ({**BODY, "monitor": {"name": "x", "url": {}}}, "the value of 'url' should be text, a number or true/false"),
    ],
)
def test_wrong_types_are_refused(body: object, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        read(body)
