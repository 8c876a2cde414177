"""The documented body: every field under its documented name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.bodies.rendering import Bodies, Request
from hookspecs import Alert, Body, Delivery, Scalar

DOCUMENTED_ORDER = [
    *("id", "target", "alertDefineId", "priority", "content", "tag", "tags", "status", "times"),
    *("firstTriggerTime", "lastTriggerTime", "nextEvalInterval", "gmtCreate", "gmtUpdate"),
]
HOSTILE = [
    *(
        "{{7*7}}",
        "{{ alert.id }}",
        "{% for x in y %}",
        "${jndi:ldap://x}",
        "#{1}",
        "%s %(a)s %n",
        '"',
        '","id":1,"',
        "'",
    ),
    *("\\", "\\u0000", "\x00", "\x1f\x7f", "\u2028\u2029", "</script>", "null", "\r\n", "🔥", "监控", "\ufeff", ""),
]
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | ANY_TEXT
INT64 = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=45))))


ALERTS = st.fixed_dictionaries(
    {"content": ANY_TEXT},
    optional={
        "id": INT64,
        "target": ANY_TEXT,
        "alert_define_id": INT64,
        "priority": st.integers(0, 2),
        "status": st.integers(0, 3),
        "tags": st.dictionaries(ANY_TEXT, SCALARS),
        "times": st.integers(0, 2**31 - 1),
        "first_trigger_time": INT64,
        "last_trigger_time": INT64,
        "next_eval_interval": INT64,
        "gmt_create": MOMENTS,
        "gmt_update": MOMENTS,
        "raw": st.dictionaries(ANY_TEXT, SCALARS),
    },
).map(Alert.model_validate)


def render(*alerts: Alert, many: bool = False) -> Body:
    deliveries = [Delivery(id="1", alert=alert, receiver="ops", body="hertzbeat") for alert in alerts]
    return Bodies().render(Request("1", deliveries, datetime.now(UTC), many))


def refuse(constant: str) -> None:
    message = f"{constant} is not JSON"
    raise ValueError(message)


def strictly(body: Body) -> dict[str, Any]:
    """Read a body as RFC 8259 and nothing else has it."""
    assert body.content_type == "application/json"
    found: dict[str, Any] = json.loads(body.content.decode("utf-8"), parse_constant=refuse)
    return found


def documented(alert: Alert) -> dict[str, Any]:
    return strictly(render(alert))


def test_the_documented_example_comes_out_as_it_came_in_and_has_its_tags_under_both_names(
    payload: Callable[[str], bytes],
) -> None:
    example = json.loads(payload("hertzbeat_documented"))
    found = documented(Alert.model_validate(example))
    assert found == example | {"tags": example["tag"]}
    assert [key for key in found if key != "tags"] == list(example)
    assert found["tag"]["monitorId"] == 3543534545


def test_every_documented_field_is_sent_in_the_documented_order() -> None:
    alert = Alert(
        id=7,
        content="disk full",
        target="available",
        alert_define_id=232,
        priority="emergency",
        status="recovered",
        tags={"env": "prod"},
        times=3,
        first_trigger_time=1645795933000,
        last_trigger_time=1645795934000,
        next_eval_interval=600000,
        gmt_create="2022-02-25T13:32:13",
        gmt_update=[2022, 2, 25, 13, 32, 13, 844342000],
        annotations={"summary": "not in the documented body"},
        raw={"not": "either"},
    )
    found = documented(alert)
    assert list(found) == DOCUMENTED_ORDER
    assert found == {
        "id": 7,
        "target": "available",
        "alertDefineId": 232,
        "priority": 0,
        "content": "disk full",
        "tag": {"env": "prod"},
        "tags": {"env": "prod"},
        "status": 2,
        "times": 3,
        "firstTriggerTime": 1645795933000,
        "lastTriggerTime": 1645795934000,
        "nextEvalInterval": 600000,
        "gmtCreate": "2022-02-25T13:32:13",
        "gmtUpdate": "2022-02-25T13:32:13.844342",
    }


def test_what_is_not_known_is_left_out() -> None:
    found = documented(Alert(content="disk full"))
    assert list(found) == ["id", "priority", "content", "tag", "tags", "status", "times"]
    assert found["tag"] == found["tags"] == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(("7", "7"), (7, 7), (7.5, 7.5), (True, True), (None, None), (2**63 - 1, 2**63 - 1)),
        *((math.nan, None), (math.inf, None), (-math.inf, None), ("a\ud83d", "a\ufffd")),
    ],
)
def test_a_tag_keeps_its_type_and_becomes_null_where_json_has_no_such_number(value: Scalar, expected: Scalar) -> None:
    found = documented(Alert(content="a", tags={"x": value}))
    for tags in (found["tag"], found["tags"]):
        assert tags == {"x": expected}
        assert type(tags["x"]) is type(expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2022-02-25T13:32:13", "2022-02-25T13:32:13"),
        ([2022, 2, 25, 13, 32], "2022-02-25T13:32:00"),
        ("2022-02-25T13:32:13Z", "2022-02-25T13:32:13Z"),
        ("2022-02-25T13:32:13+08:00", "2022-02-25T13:32:13+08:00"),
        (1645795933000, "2022-02-25T13:32:13Z"),
    ],
)
def test_a_naive_time_stays_naive_and_a_zone_is_kept(written: Any, expected: str) -> None:
    assert documented(Alert(content="a", gmt_create=written))["gmtCreate"] == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_an_alert_arrives_verbatim_whatever_it_looks_like(text: str) -> None:
    alert = Alert(content=text, target=text, tags={text: text})
    found = documented(alert)
    assert (found["content"], found["target"], found["tag"], found["tags"]) == (text, text, {text: text}, {text: text})


@given(ALERTS)
def test_any_alert_gives_strict_json_with_its_content_verbatim(alert: Alert) -> None:
    found = documented(alert)
    assert found["content"] == alert.content
    assert found["id"] == alert.id
    assert found["tag"] == found["tags"]
    assert list(found["tags"]) == list(alert.tags)
    assert [key for key in DOCUMENTED_ORDER if key in found] == list(found)


@pytest.mark.parametrize("count", [1, 3])
def test_many_alerts_are_a_list_of_what_each_would_be_alone(count: int) -> None:
    some = [Alert(content=f"alert {number}", id=number) for number in range(count)]
    many = render(*some, many=True)
    assert many.content_type == "application/json"
    assert json.loads(many.content) == [documented(one) for one in some]
