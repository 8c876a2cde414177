"""What Prometheus posts to an Alertmanager: bodies of Prometheus 2.42, field by field, and what else API v2 takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Context, Host, PayloadError, Priority, Status
from hookplugin.sources.alertmanager import parse_alertmanager
from hookplugin.sources.prometheus import fingerprint_of, parse_prometheus

NOW = datetime(2026, 11, 29, 11, 16, 50, tzinfo=UTC)
ITEM: dict[str, Any] = {"labels": {"alertname": "Down"}, "startsAt": "2026-11-29T11:00:00Z"}
MISSING = object()


def read(payload: object, context: Context | None = None, now: datetime = NOW) -> list[Alert | ValueError]:
    return list(parse_prometheus(payload, context or Context(), now=now))


def item(**changes: object) -> Alert:
    """Read an array of one alert, with some keys changed or left out."""
    changed = {key: value for key, value in {**ITEM, **changes}.items() if value is not MISSING}
    (alert,) = read([changed])
    assert isinstance(alert, Alert), alert
    return alert


def mistake(**changes: object) -> str:
    (error,) = read([{**ITEM, **changes}])
    assert isinstance(error, ValueError), error
    return str(error)


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]  # of seven ints


def test_captured_alerts_that_fire(payload: Callable[[str], bytes]) -> None:
    body = json.loads(payload("prometheus_2_42_firing"))
    disk, target = read(body)
    assert isinstance(disk, Alert)
    assert isinstance(target, Alert)
    assert disk.given() == {
        "source": "prometheus",
        "target": "DiskFull",
        "content": "Disk / has 1 <GiB> & less",
        "status": Status.firing,
        "priority": Priority.critical,
        "tags": body[0]["labels"],
        "annotations": {"none": "", "summary": "Disk / has 1 <GiB> & less"},
        "first_trigger_time": milliseconds(2026, 11, 29, 11, 16, 45) + 28,
        "link": "http://vm:19095/graph?g0.expr=disk_free+%3C+5&g0.tab=1",
        "fingerprint": fingerprint_of(body[0]["labels"]),
        "raw": body[0],
    }
    assert (target.target, target.content, target.annotations) == ("TargetDown", "TargetDown", {})


def test_a_captured_recovery_is_the_alert_that_fired(payload: Callable[[str], bytes]) -> None:
    firing = read(json.loads(payload("prometheus_2_42_firing")))[0]
    again = read(json.loads(payload("prometheus_2_42_firing")))[0]
    (recovery,) = read(json.loads(payload("prometheus_2_42_resolved")))
    assert isinstance(firing, Alert)
    assert isinstance(again, Alert)
    assert isinstance(recovery, Alert)
    assert (firing.status, again.status, recovery.status) == (Status.firing, Status.firing, Status.recovered)
    assert firing.id == again.id == recovery.id
    assert firing.fingerprint == again.fingerprint == recovery.fingerprint


@given(
    labels=st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1),
    starts=st.datetimes(datetime(2000, 1, 1), datetime(2026, 11, 1), timezones=st.timezones()),  # noqa: DTZ001 - as hypothesis has it
)
def test_any_alert_that_is_sent_again_or_is_over_has_the_same_id(labels: dict[str, str], starts: datetime) -> None:
    sent = {"labels": labels, "startsAt": starts.isoformat()}
    ends = ["2026-11-29T11:18:00Z", "2026-11-29T11:21:00Z", "2026-11-29T11:16:00Z"]
    alerts = [one for one in read([{**sent, "endsAt": end} for end in ends]) if isinstance(one, Alert)]
    assert [one.status for one in alerts] == [Status.firing, Status.firing, Status.recovered]
    assert len({(one.id, one.fingerprint) for one in alerts}) == 1


@pytest.mark.parametrize("name", ["alertmanager_v4_firing_and_resolved", "alertmanager_v4_single"])
def test_an_alert_is_the_same_whether_it_comes_through_an_alertmanager_or_not(
    name: str, payload: Callable[[str], bytes]
) -> None:
    body = json.loads(payload(name))
    through = list(parse_alertmanager(body, Context()))
    direct = read(body["alerts"])
    assert [one.fingerprint for one in direct if isinstance(one, Alert)] == [one.fingerprint for one in through]
    assert [one.id for one in direct if isinstance(one, Alert)] == [one.id for one in through]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "TestAlert", "instance": "Grafana"}, "57c6d9296de2ad39"),  # Grafana's test notification
        ({"alertname": "ok1"}, "d7252752c04bd3c5"),
        ({}, "cbf29ce484222325"),  # FNV-1a of nothing
    ],
)
def test_fingerprints_are_those_of_alertmanager_in_any_order(labels: dict[str, str], expected: str) -> None:
    assert fingerprint_of(labels) == expected
    assert fingerprint_of(dict(reversed(labels.items()))) == expected


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        (MISSING, Status.firing),
        (None, Status.firing),
        ("", Status.firing),
        ("0001-01-01T00:00:00Z", Status.firing),
        ("0001-01-01T00:00:00-07:00", Status.firing),
        ("2026-11-29T11:20:50.000293448Z", Status.firing),
        ("2026-11-29T11:16:50.001Z", Status.firing),
        ("2026-11-29T11:16:50Z", Status.recovered),
        ("2026-11-29T13:16:49.999999999+02:00", Status.recovered),
        ("2026-11-29T11:00:00Z", Status.recovered),
    ],
)
def test_an_alert_has_recovered_when_its_end_is_over(ends: object, status: Status) -> None:
    assert item(endsAt=ends).status is status


def test_whether_the_end_is_over_is_asked_of_the_present() -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    past = (datetime.now(UTC) - timedelta(minutes=4)).isoformat()
    alerts = list(parse_prometheus([{**ITEM, "startsAt": past, "endsAt": end} for end in (ahead, past)], Context()))
    assert [one.status for one in alerts if isinstance(one, Alert)] == [Status.firing, Status.recovered]


@pytest.mark.parametrize("starts", [MISSING, None, "", "0001-01-01T00:00:00Z"])
@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (MISSING, milliseconds(2026, 11, 29, 11, 16, 50)),
        ("2026-11-29T11:20:00Z", milliseconds(2026, 11, 29, 11, 16, 50)),
        ("2026-11-29T11:10:00Z", milliseconds(2026, 11, 29, 11, 10)),
    ],
)
def test_without_a_start_an_alert_begins_when_it_comes_in_or_at_its_end(
    starts: object, ends: object, expected: int
) -> None:
    assert item(startsAt=starts, endsAt=ends).first_trigger_time == expected


def test_a_time_without_a_zone_is_in_the_configurations() -> None:
    (alert,) = read([{**ITEM, "startsAt": "2026-01-02T09:00:00"}], Context(timezone=ZoneInfo("Asia/Tokyo")))
    assert isinstance(alert, Alert)
    assert alert.first_trigger_time == milliseconds(2026, 1, 2)


def test_empty_labels_are_none_and_change_no_fingerprint() -> None:
    alert = item(labels={"alertname": "Down", "empty": "", "null": None, "env": "prod"})
    assert alert.tags == {"alertname": "Down", "env": "prod"}
    assert alert.fingerprint == fingerprint_of({"alertname": "Down", "env": "prod"})
    assert alert.raw["labels"]["null"] is None


def test_any_name_is_a_label_as_in_prometheus_3() -> None:
    labels = {"alertname": "Down", "http.status": "5xx", "Zone ☂": "a", "__tmp__": "x"}
    assert item(labels=labels).tags == labels


def test_a_lone_surrogate_is_read_as_go_reads_it() -> None:
    alert = item(labels={"alertname": "a\ud800"})
    assert (alert.target, alert.fingerprint) == ("a\ufffd", fingerprint_of({"alertname": "a\ufffd"}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"labels": None}, "[0].labels should be an object"),
        ({"labels": []}, "[0].labels should be an object"),
        ({"labels": {}}, "[0].labels should hold at least one that is not empty"),
        ({"labels": {"a": ""}}, "[0].labels should hold at least one that is not empty"),
        ({"labels": {"": "x"}}, "[0].labels should have a name for each value"),
        ({"labels": {"a": 1}}, "[0].labels.a should be text"),
        ({"labels": {"a": {}}}, "[0].labels.a should be text"),
        ({"annotations": "x"}, "[0].annotations should be an object"),
        ({"annotations": {"summary": 5}}, "[0].annotations.summary should be text"),
        ({"startsAt": "yesterday"}, "[0].startsAt: not a time"),
        ({"endsAt": True}, "[0].endsAt: not a time"),
        ({"endsAt": "9999-12-31T23:59:59-12:00"}, "[0].endsAt: not a time: outside the years 1 to 9999"),
        ({"endsAt": "2026-11-29T10:59:59Z"}, "[0].endsAt should not be before startsAt"),
        ({"generatorURL": 5}, "[0]: link: should be text"),
    ],
)
def test_a_wrong_alert_is_named_with_its_place(changes: dict[str, Any], expected: str) -> None:
    assert mistake(**changes).startswith(expected)


@given(st.lists(st.sampled_from([None, 5, [], {}, {"labels": {"a": 1}}, "good"]), max_size=9), st.data())
def test_a_partly_wrong_array_keeps_what_is_right_in_its_order_and_names_the_rest(
    kinds: list[Any], data: st.DataObject
) -> None:
    body = [
        {**ITEM, "labels": {"alertname": data.draw(st.text(min_size=1)), "n": str(index)}} if kind == "good" else kind
        for index, kind in enumerate(kinds)
    ]
    found = read(body)
    assert [one.tags["n"] for one in found if isinstance(one, Alert)] == [
        str(index) for index, kind in enumerate(kinds) if kind == "good"
    ]
    assert [str(one).partition("]")[0] for one in found if isinstance(one, ValueError)] == [
        f"[{index}" for index, kind in enumerate(kinds) if kind != "good"
    ]


def test_a_host_takes_what_is_right_and_says_what_was_wrong() -> None:
    with Host({}) as host:
        receipt = host.receive("prometheus", [ITEM, {"labels": {}}, {**ITEM, "labels": {"alertname": "Up"}}])
    assert [unsent.alert and unsent.alert.target for unsent in receipt.suppressed] == ["Down", "Up"]
    (refused,) = receipt.refused
    assert refused.alert is None
    assert "[1].labels should hold at least one" in refused.reason


def test_a_receiver_hears_of_an_alert_that_is_sent_again_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data()
    config = {
        "receivers": [{"name": "ops", "url": httpserver.url_for("/")}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
    }
    firing = {
        **ITEM,
        "endsAt": (datetime.now(UTC) + timedelta(minutes=4)).isoformat(),
        "startsAt": "2026-01-02T03:04:05Z",
    }
    with Host(config) as host:
        for one in (firing, firing, {**firing, "endsAt": "2026-01-02T03:14:05Z"}):
            host.wait(host.receive("prometheus", [one]))
    assert [request.get_json()["status"] for request, _ in httpserver.log] == [0, 2]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, "the payload should be a list"),
        ({}, "the payload should be a list"),
        (5, "the payload should be a list"),
        ({"version": "4", "alerts": []}, "name the source that sends it: alertmanager, grafana, hertzbeat"),
    ],
)
def test_what_is_no_array_is_refused(body: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read(body)
    with Host({}) as host, pytest.raises(PayloadError, match=expected):
        host.receive("prometheus", body)


def test_an_array_may_be_empty() -> None:
    assert read([]) == []
