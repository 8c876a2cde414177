"""The bodies that we bring: valid for any alert, of their template's shape, and within the limits of who gets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import nodes
from storing import ALERTS

from hookplugin.bodies.compiled import is_template
from hookplugin.bodies.parsing import parse
from hookplugin.bodies.preset import PRESETS, load_preset, speaks_of_vars
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.bodies.scope import TooLargeError
from hookplugin.document import load
from hookplugin.sources import read_alerts
from hookspecs import Alert, Context, Delivery, Registry

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
BODIES = Bodies()
ENORMOUS = "".join(map(chr, range(1_000))) * 10_000  # ten of them, with every kind of escape


def template(name: str) -> Any:
    written = load(files("hookplugin.bodies").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(written, dict)
    return written["json"]


TEMPLATES = {name: template(name) for name in sorted(PRESETS)}


def rendered(name: str, *alerts: Alert) -> bytes:
    """Render a body for alerts as one request; the first alone, if it speaks of one."""
    if load_preset(name).speaks_of_one:
        alerts = alerts[:1]
    given_to = [
        Delivery(id=f"d{number}", alert=alert, receiver="ops", body=name) for number, alert in enumerate(alerts)
    ]
    return BODIES.render(Request("d0", given_to, NOW, many=len(alerts) > 1)).content


def strictly(content: bytes) -> Any:
    """Read a body as RFC 8259 has it; a secret is whatever its receiver gives."""
    return orjson.loads(content.replace(b"\xffrouting_key\xff", b"k" * 32))


@cache
def is_only_expression(source: object) -> bool:
    if not is_template(source):
        return False
    body = parse(str(source)).body
    output = body[0] if len(body) == 1 else None
    return (
        isinstance(output, nodes.Output)
        and len(output.nodes) == 1
        and not isinstance(output.nodes[0], nodes.TemplateData)
    )


def is_loop(item: object) -> bool:
    return isinstance(item, Mapping) and len(item) == 1 and next(iter(item)).startswith("for ")


def conforms(value: Any, written: Any) -> bool:
    """Say whether a value has the keys and types of its template, and its constants."""
    if isinstance(written, Mapping):
        return (
            isinstance(value, dict)
            and list(value) == [key for key in written if key in value]
            and all(
                conforms(value[key], part) if key in value else isinstance(part, str) and is_only_expression(part)
                for key, part in written.items()
            )
        )
    if isinstance(written, list):
        items = [next(iter(item.values())) if is_loop(item) else item for item in written]
        return isinstance(value, list) and all(any(conforms(one, item) for item in items) for one in value)
    if isinstance(written, str) and is_only_expression(written):
        return value is not None
    if is_template(written):
        return isinstance(value, str)
    return type(value) is type(written) and bool(value == written)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [one for part in value.values() for one in texts(part)]
    if isinstance(value, list):
        return [one for part in value for one in texts(part)]
    return [value] if isinstance(value, str) else []


def slack(body: Any) -> None:
    blocks = [*body["blocks"], *(block for one in body["attachments"] for block in one["blocks"])]
    assert len(blocks) <= 50
    assert len(body["attachments"]) <= 20
    for block in blocks:
        parts = block.get("elements", [block.get("text")])
        assert 1 <= len(parts) <= 10
        for part in parts:
            assert 1 <= len(part["text"]) <= (150 if block["type"] == "header" else 3000)
            assert part["type"] == "plain_text" or part["text"].startswith("<http")
    assert 1 <= len(body["text"]) <= 4000
    assert "<" not in body["text"]


def discord(body: Any) -> None:
    assert body["allowed_mentions"] == {"parse": []}
    assert 1 <= len(body["content"]) <= 2000
    assert len(body["embeds"]) <= 10
    total = 0
    for embed in body["embeds"]:
        assert 1 <= len(embed["author"]["name"]) <= 256
        assert 1 <= len(embed["description"]) <= 4096
        footer = embed.get("footer", {"text": ""})["text"]
        assert len(footer) <= 2048
        total += len(embed["author"]["name"]) + len(embed["description"]) + len(footer)
        assert 0 <= embed["color"] <= 0xFFFFFF
    assert total <= 6000


def pagerduty(body: Any) -> None:
    assert body["event_action"] in {"trigger", "acknowledge", "resolve"}
    assert 1 <= len(body["dedup_key"]) <= 255
    assert 1 <= len(body["payload"]["summary"]) <= 1024
    assert body["payload"]["source"]
    assert body["payload"]["severity"] in {"critical", "error", "warning", "info"}


def cloudevents(body: Any) -> None:
    assert body["specversion"] == "1.0"
    assert all(isinstance(body[name], str) and body[name] for name in ("id", "source", "type"))
    assert body.get("subject") != ""
    datetime.fromisoformat(body["time"])


def alertmanager(body: Any) -> None:
    assert body["version"] == "4"
    assert body["status"] in {"firing", "resolved"}
    for labels in (body["groupLabels"], body["commonLabels"], body["commonAnnotations"]):
        assert all(isinstance(value, str) for value in labels.values())
    assert type(body["truncatedAlerts"]) is int
    for alert in body["alerts"]:
        assert all(isinstance(value, str) for value in (alert["labels"] | alert["annotations"]).values())


def wecom(body: Any) -> None:
    assert 1 <= len(body["text"]["content"].encode()) <= 2048
    assert "<@" not in body["text"]["content"]


BYTES = {
    "slack": 40_000, "teams": 28 * 1024, "discord": 8_000_000, "dingtalk": 20_000, "feishu": 20 * 1024, "wecom": 4096,
    "pagerduty": 512 * 1024, "cloudevents": 64 * 1024,
}  # fmt: skip
LIMITS: dict[str, Callable[[Any], None]] = {
    "slack": slack,
    "discord": discord,
    "pagerduty": pagerduty,
    "cloudevents": cloudevents,
    "alertmanager": alertmanager,
    "wecom": wecom,
}


def check(name: str, *alerts: Alert) -> Any:
    """Render a body, and hold it against everything that must hold for any alert."""
    content = rendered(name, *alerts)
    assert len(content) <= BYTES.get(name, 1024 * 1024)
    body = strictly(content)
    listed = name == "hertzbeat" and len(alerts) > 1
    for one in body if listed else [body]:
        assert conforms(one, TEMPLATES[name])
        LIMITS.get(name, lambda _: None)(one)
    return body


def check_halves(name: str, alerts: Sequence[Alert]) -> None:
    """Check as the dispatcher sends: what does not fit goes as halves, and what is alone has to fit."""
    try:
        check(name, *alerts)
    except TooLargeError:
        assert len(alerts) > 1
        middle = len(alerts) // 2
        check_halves(name, alerts[:middle])
        check_halves(name, alerts[middle:])


DEEP: Any = "core"
for level in range(50):
    DEEP = {"level": DEEP} if level % 2 else [DEEP]
LONG = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=40), st.sampled_from([1, 100, 10_000]))
WORSE = st.builds(
    lambda content, target, tags, link, **more: Alert(
        content=content, target=target, tags=tags, link=link, annotations=tags, source=target, **more
    ),
    LONG,
    LONG,
    st.dictionaries(LONG, LONG | st.floats(), max_size=30),
    LONG.map(lambda text: f"https://x.example/{text}"),
    priority=st.integers(0, 2),
    status=st.integers(0, 3),
    first_trigger_time=st.none() | st.integers(-(2**63), 2**63 - 1),
    raw=st.just(DEEP),
    group=st.just({"groupLabels": {"a": 1}, "deep": DEEP, "externalURL": 7, "truncatedAlerts": "x"}),
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.lists(ALERTS, min_size=1, max_size=12))
def test_any_alerts_give_every_body_its_shape_within_its_limits(alerts: list[Alert]) -> None:
    for name in TEMPLATES:
        check_halves(name, alerts)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.lists(WORSE, min_size=1, max_size=15))
def test_long_deep_and_many_fields_are_cut_or_sent_as_halves(alerts: list[Alert]) -> None:
    for name in TEMPLATES:
        check_halves(name, alerts)


@pytest.fixture(scope="module")
def enormous() -> Alert:
    alert = Alert(
        content=ENORMOUS, target=ENORMOUS, tags={ENORMOUS: ENORMOUS, "a": ENORMOUS}, link=ENORMOUS, raw={"x": DEEP}
    )
    assert len(alert.content) == 10_000_000
    return alert


@pytest.mark.parametrize("name", TEMPLATES)
def test_ten_million_characters_are_cut_with_a_mark(name: str, enormous: Alert) -> None:
    assert any("…" in text for text in texts(check(name, enormous)))
    assert any("…" in text for text in texts(check(name, *[enormous] * 3)))


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "text",
    [".nan", "no", "0x1F", "{a: b}", "1e3", "null", "2026-01-01", "#x", "{{7*7}}", "{%", "${}", "%s", '"', "\\u0000"],
)
def test_text_of_an_alert_arrives_verbatim(name: str, text: str) -> None:
    body = check(name, Alert(content=text, target=text, tags={"a": text}))
    assert any(text in one for one in texts(body))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_preset_is_rendered_with_nothing_but_a_content_and_that_may_be_empty(name: str) -> None:
    check(name, Alert(content=""))


@pytest.mark.parametrize("file", ["alertmanager_v4_single", "alertmanager_v4_firing_and_resolved"])
def test_a_payload_of_alertmanager_goes_through_and_comes_out_as_it_was(
    file: str, payload: Callable[[str], bytes]
) -> None:
    sent = json.loads(payload(file))
    registry = Registry()
    from hookplugin.sources import SOURCES

    for name, parse_payload in SOURCES.items():
        registry.source(name, parse_payload)
    body = check("alertmanager", *read_alerts("alertmanager", payload(file), Context(registry=registry)).alerts)
    assert list(body) == list(sent)
    for one in (sent, body):
        del one["receiver"], one["groupKey"]
        for alert in one["alerts"]:
            for time in ("startsAt", "endsAt"):
                alert[time] = datetime.fromisoformat(alert[time])  # to the microsecond
    assert body == sent


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_what_a_preset_needs_is_known_before_it_is_compiled(name: str) -> None:
    assert speaks_of_vars(name) == bool(load_preset(name).vars)
