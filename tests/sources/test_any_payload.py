"""Whatever comes in: a source gives alerts, and ValueError for what is none, and a host loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Context, Host, PayloadError, Receipt
from hookplugin.sources import RESENDING, SOURCES

REAL = {
    path.stem: json.loads(path.read_bytes()) for path in sorted((Path(__file__).parents[1] / "payloads").glob("*.json"))
}
"""Payloads of real systems; the name of each begins with its source's."""


def keys_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {*value, *(key for part in value.values() for key in keys_in(part))}
    return {key for part in value for key in keys_in(part)} if isinstance(value, list) else set()


KEYS = sorted(keys_in(list(REAL.values())) | {
    "activeAt", "alarmId", "alertDefineId", "alertname", "alerts", "annotations", "content", "description",
    "endAt", "endsAt", "fingerprint", "firstAlarmTime", "firstTriggerTime", "generatorURL", "gmtCreate",
    "gmtUpdate", "groupKey", "id", "labels", "lastTriggerTime", "link", "monitorId", "monitorName",
    "nextEvalInterval", "priority", "raw", "severity", "source", "startAt", "startsAt", "status", "summary",
    "tag", "tags", "target", "thresholdId", "times", "triggerTime", "triggerTimes", "truncatedAlerts", "version",
    "data_base64", "severitynumber", "severitytext",
})  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.datetimes().map(str),
    st.sampled_from(
        ["1", "4", "1.0", "firing", "resolved", "critical", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"]
    ),
    st.sampled_from([10**14, -(10**18), 2**64, 10**400, "2022-01-01T00:00:00+23:59:59.999", "\ud800", "\x00"]),
    st.lists(st.integers(-1, 10**10), min_size=2, max_size=8),
)
JSON = st.recursive(
    LEAVES,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), children, max_size=6)
    ),
    max_leaves=12,
)
LABELS = st.dictionaries(st.sampled_from(["alertname", "severity", "monitor"]), LEAVES)
ITEM = st.fixed_dictionaries({"labels": LABELS}, optional={key: LEAVES for key in KEYS if key != "labels"})
GROUP = st.fixed_dictionaries({"alerts": st.lists(ITEM | JSON, max_size=3)}, optional={"version": st.just("4")})
SINGLE = st.fixed_dictionaries(
    {"content": st.text(max_size=8)}, optional={key: LEAVES for key in KEYS if key not in {"alerts", "content"}}
)
PAYLOAD = JSON | GROUP | SINGLE | st.lists(ITEM | JSON, max_size=3)

MANY_OR_NONE = {"alerta", "cloudevents"}
"""Sources that may hold back an alert, or find several in one item."""


@st.composite
def mutated(draw: st.DrawFn, payload: Any) -> Any:
    """Return a payload of which some values are others, or missing."""
    changed = deepcopy(payload)
    for _ in range(draw(st.integers(1, 3))):
        parent = changed
        while parent:
            key = draw(st.sampled_from(sorted(parent) if isinstance(parent, dict) else range(len(parent))))
            if isinstance(parent[key], (dict, list)) and draw(st.booleans()):
                parent = parent[key]
            elif draw(st.booleans()):
                parent[key] = draw(JSON)
                break
            else:
                del parent[key]
                break
    return changed


def count(payload: Any) -> int:
    return len(payload) if isinstance(payload, list) else len(payload.get("alerts", [0]))


names = pytest.mark.parametrize("name", SOURCES)


@names
@given(payload=PAYLOAD, zone=st.sampled_from([None, ZoneInfo("Asia/Kolkata")]))
def test_a_source_gives_alerts_and_value_errors_or_raises_one(name: str, payload: Any, zone: ZoneInfo | None) -> None:
    try:
        found = list(SOURCES[name](payload, Context(timezone=zone)))
    except ValueError:
        return
    assert all(isinstance(one, (Alert, ValueError)) for one in found)
    assert name in MANY_OR_NONE or len(found) == count(payload)


@pytest.mark.parametrize(
    ("name", "real"), [(name, real) for real in REAL for name in SOURCES if real.startswith(name.replace("-", "_"))]
)
@given(data=st.data())
def test_a_real_payload_with_something_wrong_in_it_gives_alerts_and_value_errors(
    name: str, real: str, data: st.DataObject
) -> None:
    payload = data.draw(mutated(REAL[real]))
    try:
        found = list(SOURCES[name](payload, Context()))
    except ValueError:
        return
    assert all(isinstance(one, (Alert, ValueError)) for one in found)
    assert name in MANY_OR_NONE or len(found) == count(payload)


@pytest.fixture(scope="module")
def server() -> Iterator[HTTPServer]:
    """Take whatever is delivered."""
    with HTTPServer(threaded=True) as server:
        server.expect_request("/").respond_with_data()
        yield server
        server.check()


@pytest.fixture(scope="module")
def host(server: HTTPServer) -> Iterator[Host]:
    """Take everything, and deliver it."""
    config = {
        "receivers": [{"name": "ops", "url": server.url_for("/")}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
    }
    with Host(config, strict=True) as host:
        yield host


@pytest.fixture(scope="module")
def told() -> set[tuple[object, ...]]:
    """Remember what was accepted: of one that is sent again, nobody has to hear twice."""
    return set()


def identity(alert: Alert | None) -> tuple[object, ...]:
    return (alert.source, alert.fingerprint, alert.status, alert.first_trigger_time) if alert else ()


@names
@given(payload=PAYLOAD)
def test_through_a_host_only_payload_error_comes_out_and_nothing_is_lost(
    name: str, host: Host, server: HTTPServer, told: set[tuple[object, ...]], payload: Any
) -> None:
    server.clear_log()
    text = json.dumps(payload)
    try:
        receipt = host.receive(name, text)
    except PayloadError:
        return
    told |= {identity(delivery.alert) for delivery in receipt.deliveries}
    parts = len(receipt.deliveries) + len(receipt.suppressed) + len(receipt.refused)
    assert name in MANY_OR_NONE or parts == count(payload)
    assert name in RESENDING or not receipt.suppressed
    assert all(unsent.receiver == "ops" and identity(unsent.alert) in told for unsent in receipt.suppressed)
    assert all(unsent.alert is None and "cannot read the payload" in unsent.reason for unsent in receipt.refused)
    assert all(outcome and outcome.state == "delivered" for outcome in host.wait(receipt).values())
    assert sorted(request.headers["webhook-id"] for request, _ in server.log) == sorted(receipt.accepted)


@names
@given(payload=st.binary(max_size=30) | st.text(max_size=30))
def test_what_is_no_json_is_a_payload_error(name: str, host: Host, payload: bytes | str) -> None:
    try:
        receipt = host.receive(name, payload)
    except PayloadError:
        return
    assert json.loads(payload) == []
    assert receipt == Receipt()


@names
@pytest.mark.parametrize("payload", ["[" * 100_000, '{"alerts":' * 50_000, "[" * 100_000 + "]" * 100_000])
def test_nesting_without_end_is_a_payload_error(name: str, host: Host, payload: str) -> None:
    with pytest.raises(PayloadError):
        host.receive(name, payload)


@names
def test_a_payload_that_is_deep_but_parsed_is_refused(name: str, host: Host) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"content": "x", "alerts": [{"labels": {"alertname": "x"}, "more": deep}], "raw": deep}
    try:
        receipt = host.receive(name, deep)
    except PayloadError:
        return
    assert receipt.deliveries == ()
    assert [unsent.reason.partition("nested")[1] for unsent in receipt.refused] == ["nested"]
