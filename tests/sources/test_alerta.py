"""Alerta's alerts: captured from version 9.1.0 through the life of one, and what others make of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources import RESENDING, SOURCES
from hookplugin.sources.alerta import parse_alerta
from hookspecs.frozen import freeze

ID = "318629ee-1452-494b-9773-dd623d4a05b9"
BODY: dict[str, Any] = {"id": "a", "lastReceiveId": "b", "resource": "web01", "event": "Down", "status": "open"}

Captured = Callable[[str], dict[str, Any]]


@pytest.fixture
def captured(payload: Callable[[str], bytes]) -> Captured:
    """Read a body that Alerta gave."""
    return lambda name: json.loads(payload(f"alerta_9_{name}"))


def read(payload: object, context: Context | None = None) -> list[Alert]:
    return list(parse_alerta(payload, context or Context()))


def one(context: Context | None = None, /, **changes: object) -> Alert:
    (alert,) = read({**BODY, **changes}, context)
    return alert


def milliseconds(*moment: int) -> int:
    """Return a time of the day on which the bodies were captured: hour, minute, second, millisecond."""
    hour, minute, second, fraction = moment
    return int(datetime(2026, 11, 29, hour, minute, second, tzinfo=UTC).timestamp()) * 1000 + fraction


def changes(*statuses: str) -> list[dict[str, str]]:
    """Return a history of these statuses, one in each second, the oldest first."""
    return [
        {"status": status, "type": "status" if second else "new", "updateTime": f"2026-11-29T00:00:{second:02}.000Z"}
        for second, status in enumerate(statuses)
    ]


def test_a_captured_alert(captured: Captured) -> None:
    body = captured("opened")
    (alert,) = read(body)
    assert alert.given() == {
        "source": "alerta",
        "target": "web01",
        "content": "5.2% of requests fail",
        "priority": Priority.warning,
        "status": Status.firing,
        "tags": {
            "environment": "Production",
            "resource": "web01",
            "event": "HttpError",
            "severity": "minor",
            "service": "example.com,shop",
            "group": "Web",
            "origin": "probe/eu1",
            "role": "api,frontend",
            "dc1": "true",
        },
        "annotations": {
            "ip": "127.0.0.1",
            "ports": "[80, 443]",
            "region": "EU",
            "runbook": "https://wiki.example.com/http",
            "value": "5.2%",
        },
        "times": 1,
        "first_trigger_time": milliseconds(11, 24, 15, 930),
        "last_trigger_time": milliseconds(11, 24, 15, 939),
        "link": f"http://127.0.0.1:9912/alert/{ID}",
        "fingerprint": ID,
        "event_id": f"{ID}:{ID}",
        "raw": freeze({name: value for name, value in body.items() if name != "history"}),
    }


LIFE = [
    ("opened", Status.firing, Priority.warning, "5.2% of requests fail"),
    ("more_severe", Status.firing, Priority.critical, "50% of requests fail"),
    ("acknowledged", Status.processed, Priority.critical, "50% of requests fail"),
    ("cleared", Status.recovered, Priority.warning, "all is well"),
    ("opened_again", Status.firing, Priority.warning, "5.2% of requests fail"),
    ("closed", Status.recovered, Priority.warning, "5.2% of requests fail"),
]


@pytest.mark.parametrize(("name", "status", "priority", "content"), LIFE, ids=[name for name, *_ in LIFE])
def test_the_life_of_a_captured_alert(
    captured: Captured, name: str, status: Status, priority: Priority, content: str
) -> None:
    (alert,) = read(captured(name))
    assert (alert.status, alert.priority, alert.content) == (status, priority, content)
    assert alert.fingerprint == ID


def test_an_alert_began_when_it_was_opened_whatever_its_severity_and_until_it_is_over(captured: Captured) -> None:
    began = {name: read(captured(name))[0].first_trigger_time for name, *_ in LIFE}
    first, second = milliseconds(11, 24, 15, 930), milliseconds(11, 24, 16, 10)
    assert began == {
        "opened": first,
        "more_severe": first,
        "acknowledged": first,
        "cleared": first,
        "opened_again": second,
        "closed": second,
    }


@pytest.mark.parametrize("name", ["shelved", "blackout", "isa_shelved"])
def test_what_is_suppressed_is_left_out(captured: Captured, name: str) -> None:
    assert read(captured(name)) == []


@pytest.mark.parametrize("name", ["never_open", "blackout_cleared"])
def test_the_end_of_what_never_was_open_is_left_out(captured: Captured, name: str) -> None:
    assert read(captured(name)) == []


@pytest.mark.parametrize("name", ["deleted", "expired"])
def test_what_was_deleted_or_has_expired_is_over(captured: Captured, name: str) -> None:
    (alert,) = read(captured(name))
    assert alert.status is Status.recovered


@pytest.mark.parametrize(
    ("name", "status", "priority"),
    [
        ("isa_unacknowledged", Status.firing, Priority.critical),
        ("isa_acknowledged", Status.processed, Priority.critical),
        ("isa_normal", Status.recovered, Priority.warning),
        ("isa_returned", Status.recovered, Priority.warning),
    ],
)
def test_the_alarm_model_of_isa_18_2(captured: Captured, name: str, status: Status, priority: Priority) -> None:
    (alert,) = read(captured(name))
    assert (alert.status, alert.priority) == (status, priority)


@pytest.mark.parametrize(
    ("history", "status", "began"),
    [
        (["open", "ack", "open"], "open", 0),
        (["open", "closed", "open"], "open", 2),
        (["open", "closed", "open", "ack", "closed"], "closed", 2),
        (["open", "closed", "expired"], "expired", 0),
        (["blackout", "open"], "open", 1),
        (["open", "shelved", "closed"], "closed", 0),
        (["open", "closed", "shelved", "closed"], "closed", 0),
        (["NORM", "UNACK", "ACKED", "RTNUN"], "RTNUN", 1),
    ],
)
def test_the_history_tells_when_it_was_opened(history: list[str], status: str, began: int) -> None:
    start = one(history=changes(*history), status=status).first_trigger_time
    assert start == milliseconds(0, 0, began, 0)


def test_without_its_first_change_a_history_tells_only_of_what_began_in_it() -> None:
    later = "2026-11-29T00:00:30.000Z"
    ack, closed, opened = changes("open", "ack", "closed", "open")[1:]
    assert one(history=[ack], updateTime=later).first_trigger_time == milliseconds(0, 0, 30, 0)
    assert one(history=[ack, closed], updateTime=later, status="closed").first_trigger_time is None
    assert one(history=[ack, closed, opened], updateTime=later).first_trigger_time == milliseconds(0, 0, 3, 0)
    assert one(history=[closed], status="closed").status is Status.recovered


def test_what_was_closed_and_suppressed_all_the_time_is_no_news_when_it_ends() -> None:
    assert read({**BODY, "history": changes("blackout", "closed", "shelved", "expired"), "status": "expired"}) == []


@pytest.mark.parametrize(
    ("status", "severity", "expected"),
    [
        ("open", "critical", Status.firing),
        ("assign", "critical", Status.firing),
        ("unknown", None, Status.firing),
        ("LATCH", "High", Status.firing),
        (None, "critical", Status.firing),
        ("ack", "critical", Status.processed),
        ("closed", "critical", Status.recovered),
        ("expired", "critical", Status.recovered),
        ("open", "normal", Status.recovered),
        (None, "ok", Status.recovered),
        (None, "cleared", Status.recovered),
        (None, "OK", Status.recovered),
    ],
)
def test_statuses(status: str | None, severity: str | None, expected: Status) -> None:
    assert one(status=status, severity=severity).status is expected


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("security", Priority.emergency),
        ("critical", Priority.critical),
        ("major", Priority.critical),
        ("High", Priority.critical),
        *((name, Priority.warning) for name in ("minor", "warning", "indeterminate", "informational", "debug")),
        *((name, Priority.warning) for name in ("trace", "unknown", "Medium", "Low", "Advisory", "normal", "OK")),
    ],
)
def test_severities_of_alerta_are_known_without_a_word(
    severity: str, expected: Priority, caplog: pytest.LogCaptureFixture
) -> None:
    assert one(severity=severity).priority is expected
    assert caplog.records == []


def test_the_operator_says_first_what_a_severity_means(caplog: pytest.LogCaptureFixture) -> None:
    context = Context(severities={"critical": Priority.emergency, "blue": Priority.critical})
    assert one(context, severity="critical").priority is Priority.emergency
    assert one(context, severity="Blue").priority is Priority.critical
    with caplog.at_level(logging.WARNING, "hookplugin"):
        assert one(context, severity="green").priority is Priority.warning
    assert "the severity 'green' is read as warning" in caplog.text


def test_an_alert_without_words_says_its_event() -> None:
    assert one(text="").content == "Down"
    assert one(text=None).content == "Down"


def test_fields_go_before_tags_of_the_same_name_and_what_is_empty_is_none() -> None:
    given = ["resource=other", "a:b=c=d", "linux", "empty="]
    assert one(tags=given, customer=None, group="", service=[]).tags == {
        "resource": "web01",
        "event": "Down",
        "a:b": "c=d",
        "linux": "true",
        "empty": "true",
    }


def test_attributes_of_any_kind_can_be_read() -> None:
    attributes = {"text": "x", "number": 5, "truth": True, "none": None, "list": ["x"], "large": 2**64}
    assert one(attributes=attributes, value=None).annotations == {
        "text": "x",
        "number": 5,
        "truth": True,
        "list": '["x"]',
        "large": "18446744073709551616",
    }


def test_times_without_a_zone_are_in_utc() -> None:
    assert one(lastReceiveTime="2026-11-29T01:02:03.004").last_trigger_time == milliseconds(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("count", "times"), [(None, 1), (0, 1), (7, 8), (-5, 1), ("many", 1), ([], 1), (10**12, 1), (2**31 - 1, 1)]
)
def test_duplicates_are_counted_and_nothing_else_costs_the_alert(count: object, times: int) -> None:
    assert one(duplicateCount=count).times == times


@pytest.mark.parametrize("link", [5, "javascript:alert(1)", "", None, []])
def test_a_link_that_nobody_can_follow_is_left_out(link: object) -> None:
    assert one(href=link).link is None


def test_what_the_forwarder_posts_belongs_to_the_alert_that_alerta_would_find(captured: Captured) -> None:
    body = captured("forwarded")
    (alert,) = read(body)
    assert (alert.status, alert.content, alert.event_id) == (Status.firing, "5.2% of requests fail", body["id"])
    assert (alert.first_trigger_time, alert.last_trigger_time) == (None, milliseconds(11, 24, 15, 941))
    (cleared,) = read(body | {"id": "another", "event": "HttpOK", "severity": "ok"})
    assert (cleared.status, cleared.fingerprint, cleared.id) == (Status.recovered, alert.fingerprint, alert.id)
    others: list[dict[str, Any]] = [
        {"correlate": []},
        {"correlate": [], "event": "HttpOK"},
        {"resource": "web02"},
        {"customer": "x"},
    ]
    assert len({alert.fingerprint, *(read(body | other)[0].fingerprint for other in others)}) == 1 + len(others)


def test_the_source_has_its_name_and_alerta_sends_again() -> None:
    assert "alerta" in RESENDING
    assert read(BODY) == list(SOURCES["alerta"](BODY, Context()))


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        (None, "the payload should be an object"),
        ([BODY], "the payload should be an object"),
        ({}, "resource should be text: it is no alert of Alerta"),
        ({"resource": "x"}, "event should be text"),
        ({"resource": 5, "event": "x"}, "resource should be text"),
        (BODY | {"tags": {"a": "b"}}, "tags should be a list"),
        (BODY | {"attributes": ["x"]}, "attributes should be an object"),
        (BODY | {"history": {"a": "b"}}, "history should be a list"),
        (BODY | {"history": [{}, "x"]}, r"history\[1\] should be an object"),
        (BODY | {"history": [{"updateTime": "yesterday"}]}, r"history\[0\]\.updateTime: not a time"),
        (BODY | {"updateTime": "yesterday"}, "updateTime: not a time"),
        (BODY | {"text": ["x"]}, "content"),
        (BODY | {"id": 5}, "fingerprint"),
    ],
)
def test_what_is_no_alert_of_alerta_is_refused_with_the_place(body: object, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        read(body)
