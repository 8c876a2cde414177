"""Bodies as they are configured: json, text and form, each escaped for its format, each within its bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookplugin.bodies.model import BodyTemplate
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.bodies.scope import RenderError, TooLargeError
from hookplugin.problems import ProblemsError
from hookspecs import Alert, Body, Delivery

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def render(template: dict[str, Any], *contents: str, many: bool = False) -> Body:
    bodies = Bodies([BodyTemplate.model_validate({"name": "mine", **template})])
    deliveries = [
        Delivery(id=f"d{number}", alert=Alert(content=content), receiver="ops", body="mine")
        for number, content in enumerate(contents)
    ]
    return bodies.render(Request("r", deliveries, NOW, many))


def test_each_kind_has_its_media_type() -> None:
    assert render({"json": {"a": 1}}, "x").content_type == "application/json"
    assert render({"text": "{{ alert.content }}"}, "x").content_type == "text/plain; charset=utf-8"
    assert render({"form": {"a": "1"}}, "x").content_type == "application/x-www-form-urlencoded"
    assert render({"json": {"a": 1}, "content_type": "application/problem+json"}, "x").content_type.endswith("+json")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_form_holds_any_text(content: str) -> None:
    body = render({"form": {"text": "{{ alert.content }}", "a&b=": "x {{ alert.content }}"}}, content)
    pairs = dict(parse_qsl(body.content.decode(), keep_blank_values=True, strict_parsing=True))
    assert pairs == {"text": content, "a&b=": f"x {content}"}


def test_a_field_of_a_form_that_is_none_is_left_out() -> None:
    assert render({"form": {"a": "{{ alert.link }}", "b": "1"}}, "x").content == b"b=1"


@pytest.mark.parametrize("kind", ["text/html", "application/xml", "image/svg+xml"])
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_markup_is_escaped(kind: str, content: str) -> None:
    written = render({"text": "<b>{{ alert.content }}</b>", "content_type": kind}, content).content.decode()
    inside = written.removeprefix("<b>").removesuffix("</b>")
    assert not set(inside) & set("<>\"'")
    assert unescape(inside) == content


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_plain_text_stands_as_it_came(content: str) -> None:
    assert render({"text": "a {{ alert.content }} z"}, content).content.decode() == f"a {content} z"


@pytest.mark.parametrize("kind", [{"json": {"t": "{{ alert.content }}"}}, {"text": "t={{ alert.content }}"},
                                  {"form": {"t": "{{ alert.content }}"}}])  # fmt: skip
def test_a_body_is_cut_to_its_bytes_with_a_mark_and_uses_them(kind: dict[str, Any]) -> None:
    for letter in ("a", "é", '"', "\n"):
        content = render({**kind, "max_bytes": 1000}, letter * 5000).content
        assert 900 <= len(content) <= 1000
        assert b"\xe2\x80\xa6" in content or b"%E2%80%A6" in content


def test_what_does_not_fit_however_it_is_cut_is_said() -> None:
    with pytest.raises(TooLargeError, match="300 bytes"):
        render({"text": "{{ alert.content }}" + "x" * 300, "max_bytes": 300}, "a" * 50)


def test_several_alerts_keep_200_characters_of_each_or_are_halved() -> None:
    loop = {"text": "{% for alert in alerts %}{{ alert.content }}\n{% endfor %}", "max_bytes": 1000}
    lines = render(loop, *["a" * 500] * 4).content.decode().splitlines()
    assert [len(line) for line in lines] == [lines[0].count("a") + 1] * 4
    assert len(lines[0]) >= 200
    with pytest.raises(TooLargeError):
        render(loop, *["a" * 500] * 6)


@pytest.mark.parametrize(
    "kind",
    [
        {"text": "{{ alert.content[:1] }}{% for alert in alerts %}{{ alert.content }}{% endfor %}"},
        {"json": ["{{ alert.content[:1] }}", {"for alert in alerts": "{{ alert.content }}"}]},
        {"json": ["{{ recovered | length }}", {"for recovered in alerts": "{{ recovered.content }}"}]},
    ],
)
def test_a_loop_that_did_not_fit_leaves_no_name_behind(kind: dict[str, Any]) -> None:
    fitting, cut = (render({**kind, "max_bytes": most}, *(letter * 900 for letter in "abc")) for most in (9000, 1000))
    assert len(cut.content) <= 1000 < len(fitting.content)
    assert cut.content[:5] == fitting.content[:5]


def test_batched_is_a_list_of_what_each_alert_gives_also_of_one() -> None:
    batched = {"json": {"text": "{{ alert.content }}", "id": "{{ delivery.id }}"}, "batched": "list"}
    assert json.loads(render(batched, "a").content) == {"text": "a", "id": "r"}
    assert json.loads(render(batched, "a", many=True).content) == [{"text": "a", "id": "d0"}]
    assert json.loads(render(batched, "a", "b", many=True).content) == [
        {"text": "a", "id": "d0"},
        {"text": "b", "id": "d1"},
    ]


def test_a_body_of_nothing_is_no_body() -> None:
    with pytest.raises(RenderError, match="nothing"):
        render({"json": "{{ alert.link }}"}, "x")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({}, "either json, text or form"),
        ({"json": {}, "text": "x"}, "either json, text or form"),
        ({"json": '{"a": "{{ alert.content }}"}'}, "write JSON as YAML"),
        ({"text": "x", "content_type": "application/json"}, "json:"),
        ({"text": "x", "content_type": "application/x-www-form-urlencoded"}, "form:"),
        ({"text": "x", "content_type": "text/html; charset=latin-1"}, "UTF-8"),
        ({"text": 7}, "should be text"),
        ({"json": {}, "content_type": "text/plain"}, "is no JSON"),
        ({"form": {"a": "b"}, "content_type": "text/plain"}, "leave it out"),
        ({"form": {}}, "a map of fields"),
        ({"form": {"a": 1}}, "in quotes"),
        ({"form": {"{{ alert.id }}": "b"}}, "keys are fixed"),
        ({"text": "x", "batched": "list"}, "only json"),
        ({"text": "{{ alert.content | e }}", "content_type": "text/html"}, "escape"),
    ],
)
def test_what_makes_no_body_is_refused_with_what_to_write(template: dict[str, Any], words: str) -> None:
    with pytest.raises((ValidationError, ProblemsError)) as caught:
        BodyTemplate.model_validate({"name": "mine", **template})
    problems = caught.value.problems if isinstance(caught.value, ProblemsError) else [caught.value]
    assert any(words in str(problem) for problem in problems)
