"""HertzBeat's webhook in every form it has had: documented, entity, templates, groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources.hertzbeat import parse_hertzbeat

SHANGHAI = Context(timezone=ZoneInfo("Asia/Shanghai"))


def read(payload: object, context: Context = SHANGHAI) -> list[Alert]:
    return list(parse_hertzbeat(payload, context))


def one(payload: object) -> dict[str, Any]:
    """Return what the source gave for a single alert, without what it always gives."""
    (alert,) = read(payload)
    given = alert.given()
    assert given.pop("source") == "hertzbeat"
    given.pop("raw")
    return given


def milliseconds(*moment: int) -> int:
    """Return the wall time of Shanghai."""
    return int(datetime(*moment, tzinfo=SHANGHAI.timezone).timestamp() * 1000)  # type: ignore[arg-type, misc]  # of seven ints


def test_the_documented_body(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("hertzbeat_documented"))
    assert one(body) == {
        "id": 76456,
        "target": "available",
        "alert_define_id": 232,
        "priority": Priority.emergency,
        "content": "监控紧急可用性告警: UN_CONNECTABLE",
        "tags": {"monitorId": 3543534545, "monitorName": "API_poetry.didi.top"},
        "status": Status.firing,
        "times": 1,
        "gmt_create": datetime(2022, 2, 25, 13, 32, 13),  # noqa: DTZ001 - none came in
        "gmt_update": datetime(2022, 2, 25, 13, 32, 13),  # noqa: DTZ001 - none came in
    }
    (alert,) = read(body)
    assert alert.raw == body


ENTITY: dict[str, Any] = {
    "id": 290008237707264,
    "target": "linux.cpu.usage",
    "alertDefineId": 7,
    "priority": 1,
    "content": "cpu\nhigh",
    "status": 0,
    "times": 3,
    "firstTriggerTime": 1667106433123,
    "lastTriggerTime": 1667106493123,
    "nextEvalInterval": 600000,
    "tags": {"app": "linux", "monitorId": "290008237707264", "monitorName": "LINUX_1"},
    "creator": None,
    "modifier": None,
    "gmtCreate": [2022, 10, 30, 21, 7, 13, 123456000],
    "gmtUpdate": [2022, 10, 30, 21, 7],
}


def test_the_entity_of_1_2_with_its_dates_as_arrays() -> None:
    assert one(ENTITY) == {
        "id": 290008237707264,
        "target": "linux.cpu.usage",
        "alert_define_id": 7,
        "priority": Priority.critical,
        "content": "cpu\nhigh",
        "status": Status.firing,
        "times": 3,
        "first_trigger_time": 1667106433123,
        "last_trigger_time": 1667106493123,
        "next_eval_interval": 600000,
        "tags": ENTITY["tags"],
        "gmt_create": datetime(2022, 10, 30, 21, 7, 13, 123456),  # noqa: DTZ001 - none came in
        "gmt_update": datetime(2022, 10, 30, 21, 7),  # noqa: DTZ001 - none came in
    }


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([2022, 10, 30, 21, 7], datetime(2022, 10, 30, 21, 7)),  # noqa: DTZ001 - none came in
        ([2022, 10, 30, 21, 7, 13], datetime(2022, 10, 30, 21, 7, 13)),  # noqa: DTZ001 - none came in
        ([2022, 10, 30, 21, 7, 13, 999], datetime(2022, 10, 30, 21, 7, 13)),  # noqa: DTZ001 - none came in
    ],
)
def test_an_array_leaves_out_seconds_and_nanoseconds_that_are_zero(array: list[int], expected: datetime) -> None:
    assert one({**ENTITY, "gmtCreate": array})["gmt_create"] == expected


def test_the_test_message_of_1_2_is_mostly_nulls() -> None:
    body = dict.fromkeys(ENTITY) | {
        "target": "Test Target",
        "priority": 1,
        "content": "test send msg! \n This is the test data...",
        "status": 0,
        "times": 1,
        "firstTriggerTime": 1667106433123,
        "lastTriggerTime": 1667106433123,
    }
    assert one(body) == {
        "target": "Test Target",
        "priority": Priority.critical,
        "content": "test send msg! \n This is the test data...",
        "status": Status.firing,
        "times": 1,
        "first_trigger_time": 1667106433123,
        "last_trigger_time": 1667106433123,
        "tags": {},
    }


def test_the_recovery_of_1_2_is_the_same_alert_at_another_time() -> None:
    (firing,) = read({**ENTITY, "id": 1, "priority": 0})
    (recovery,) = read({**ENTITY, "id": None, "priority": 2, "status": 2, "firstTriggerTime": 1667106593123})
    assert (firing.status, recovery.status) == (Status.firing, Status.recovered)
    assert firing.fingerprint == recovery.fingerprint


def test_the_names_of_1_3_2_to_1_4_1() -> None:
    body = {key: value for key, value in ENTITY.items() if "Trigger" not in key and key != "nextEvalInterval"}
    body |= {"firstAlarmTime": 1693299174841, "lastAlarmTime": 1693299174842, "triggerTimes": 9}
    given = one(body)
    assert (given["first_trigger_time"], given["last_trigger_time"]) == (1693299174841, 1693299174842)
    assert given["times"] == 3
    assert "next_eval_interval" not in given


def test_the_template_of_1_4_2() -> None:
    body = {
        "alarmId": 76456,
        "target": "available",
        "thresholdId": 232,
        "priority": 0,
        "content": "unreachable",
        "status": 0,
        "times": 1,
        "triggerTime": "2023-11-06 12:00:00",
        "tags": {"monitorId": "1"},
    }
    assert one(body) == {
        "id": 76456,
        "target": "available",
        "alert_define_id": 232,
        "priority": Priority.emergency,
        "content": "unreachable",
        "status": Status.firing,
        "times": 1,
        "first_trigger_time": milliseconds(2023, 11, 6, 12),
        "tags": {"monitorId": "1"},
    }


def test_the_template_of_1_6_with_a_recovery_and_ids_as_text() -> None:
    body = {
        "target": "available",
        "alarmId": 76456,
        "thresholdId": "232",
        "priority": 2,
        "content": "back",
        "status": 2,
        "times": 1,
        "triggerTime": "2023-11-06 12:00:00",
        "restoreTime": "2023-11-06 12:10:00",
        "tags": {"monitorId": "1"},
    }
    given = one(body)
    assert (given["id"], given["alert_define_id"], given["status"]) == (76456, 232, Status.recovered)
    assert given["first_trigger_time"] == milliseconds(2023, 11, 6, 12)
    assert given["last_trigger_time"] == milliseconds(2023, 11, 6, 12, 10)


def test_the_template_of_1_6_may_leave_out_nearly_everything() -> None:
    given = one({"target": "available", "content": "x", "triggerTime": "2023-11-06 12:00:00"})
    assert set(given) == {"target", "content", "first_trigger_time", "tags"}


def test_the_beta_had_the_monitor_beside_the_alert_and_no_tags() -> None:
    body = {
        "id": 1,
        "target": "available",
        "monitorId": 3543534545,
        "monitorName": "API_1",
        "alertDefineId": 232,
        "priority": 0,
        "content": "x",
        "status": 2,
        "times": 10,
        "gmtCreate": [2022, 2, 25, 13, 32],
    }
    assert one(body)["tags"] == {"monitorId": 3543534545, "monitorName": "API_1"}
    assert one({**body, "tags": {"monitorId": "own"}})["tags"] == {"monitorId": "own", "monitorName": "API_1"}


def test_a_group_of_1_7_as_its_template_sends_it() -> None:
    body = {
        "title": "🔔 HertzBeat Alert Notification",
        "status": "firing",
        "commonLabels": {"severity": "❤️ Critical", "alertName": "CPU Usage Alert"},
        "alerts": [
            {
                "index": 1,
                "labels": {"alertname": "CPU Usage Alert", "severity": "critical", "instance": "a"},
                "content": "cpu of a is high",
                "triggerTimes": 2,
                "startAt": "2025-03-01 08:00:00",
                "activeAt": "2025-03-01 08:05:00",
                "endAt": "2025-03-01 08:10:00",
                "annotations": {"summary": "cpu"},
            },
            {"index": 2, "labels": {"alertname": "CPU Usage Alert", "severity": "info"}, "triggerTimes": 4},
        ],
        "commonAnnotations": {},
    }
    first, second = read(body)
    assert first.given() == {
        "source": "hertzbeat",
        "target": "CPU Usage Alert",
        "content": "cpu of a is high",
        "status": Status.firing,
        "priority": Priority.critical,
        "tags": {"alertname": "CPU Usage Alert", "severity": "critical", "instance": "a"},
        "annotations": {"summary": "cpu"},
        "times": 2,
        "first_trigger_time": milliseconds(2025, 3, 1, 8),
        "last_trigger_time": milliseconds(2025, 3, 1, 8, 5),
        "raw": first.raw,
        "group": {name: body[name] for name in ("title", "status", "commonLabels", "commonAnnotations")},
    }
    assert (second.content, second.priority, second.times) == ("CPU Usage Alert", Priority.warning, 4)
    (recovery,) = read({**body, "status": "resolved", "alerts": body["alerts"][:1]})  # type: ignore[index]  # it is a list
    assert recovery.status is Status.recovered
    assert (recovery.fingerprint, recovery.id) == (first.fingerprint, first.id)


def test_a_full_group_alert_has_a_status_for_each() -> None:
    body = {
        "id": 5,
        "groupKey": "alertname:Down",
        "status": "firing",
        "groupLabels": {"alertname": "Down"},
        "commonLabels": {"alertname": "Down"},
        "commonAnnotations": {},
        "alertFingerprints": ["f1", "f2"],
        "creator": None,
        "gmtCreate": "2025-03-01 08:00:00",
        "alerts": [
            {
                "id": 11,
                "fingerprint": "f1",
                "labels": {"alertname": "Down", "severity": "emergency"},
                "annotations": None,
                "content": None,
                "status": "resolved",
                "triggerTimes": 1,
                "startAt": 1740787200000,
                "activeAt": 1740787260000,
                "endAt": 1740787320000,
                "creator": None,
                "gmtCreate": "2025-03-01 08:00:00",
                "gmtUpdate": "2025-03-01 08:01:00",
            },
            {"id": 12, "labels": {"alertname": "Down"}, "annotations": {"description": "d"}, "startAt": 0},
        ],
    }
    first, second = read(body)
    assert (first.id, first.fingerprint, first.group_key) == (11, "f1", "alertname:Down")
    assert (first.status, first.priority, first.content) == (Status.recovered, Priority.emergency, "Down")
    assert (first.first_trigger_time, first.last_trigger_time) == (1740787200000, 1740787260000)
    assert first.gmt_create == datetime(2025, 3, 1, 8)  # noqa: DTZ001 - none came in
    assert (second.status, second.content, second.first_trigger_time) == (Status.firing, "d", None)


def test_a_time_without_a_zone_is_the_machines_if_the_configuration_names_none() -> None:
    (alert,) = read({"content": "x", "triggerTime": "2023-11-06 12:00:00"}, Context())
    local = datetime(2023, 11, 6, 12).astimezone(UTC)
    assert alert.first_trigger_time == local.timestamp() * 1000


def test_a_group_may_be_empty() -> None:
    assert read({"alerts": []}) == []


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        (None, "the payload should be an object"),
        ([ENTITY], "the payload should be an object"),
        ({}, "neither content nor target"),
        ({"labels": {"a": "b"}}, "neither content nor target"),
        ({"alerts": None}, "alerts should be a list"),
        ({"alerts": [5]}, r"alerts\[0\] should be an object"),
        ({"alerts": [{"content": "x"}]}, r"alerts\[0\]\.labels should be an object"),
        ({"alerts": [{"labels": {}, "annotations": [1]}]}, r"alerts\[0\]\.annotations should be an object"),
        ({**ENTITY, "tags": ["x"]}, "tags should be an object"),
        ({**ENTITY, "tags": {"a": ["x"]}}, "the value of 'a' should be text"),
        ({**ENTITY, "priority": 3}, "not a priority"),
        ({**ENTITY, "status": 4}, "not a status"),
        ({**ENTITY, "content": 5}, "content"),
        ({**ENTITY, "id": "x"}, "id"),
        ({**ENTITY, "times": -1}, "times"),
        ({**ENTITY, "gmtCreate": [2022, 13, 1]}, "not a time"),
        ({**ENTITY, "gmtCreate": [2022]}, "not a time"),
        ({**ENTITY, "firstTriggerTime": "soon"}, "not a time"),
    ],
)
def test_wrong_types_are_refused_with_the_place(body: object, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        read(body)


def test_tags_under_both_names_are_one_map() -> None:
    assert one({"content": "x", "tags": {}, "tag": {"monitorId": 1}})["tags"] == {"monitorId": 1}


def test_a_time_that_cannot_be_read_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"alerts\[1\]\.startAt: not a time"):
        read({"alerts": [{"labels": {}}, {"labels": {}, "startAt": "soon"}]})


def test_a_group_of_alertmanager_is_told_apart(payload: Callable[[str], bytes]) -> None:
    with pytest.raises(ValueError, match="is a group of Alertmanager or Grafana"):
        read(json.loads(payload("alertmanager_v4_single")))
