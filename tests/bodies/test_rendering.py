"""A body by its name, whoever renders it; and the one for when that fails."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offering import renderer
from storing import ALERTS, TEXT

from hookplugin.bodies.model import BodyTemplate
from hookplugin.bodies.preset import PRESETS
from hookplugin.bodies.rendering import Bodies, Request, render_fallback
from hookplugin.bodies.scope import RenderError
from hookplugin.isolation import OfferError
from hookspecs import Alert, Body, Delivery, Renderer

ALERT = Alert(id=7, content="disk full", target="available", priority="emergency", tags={"env": "prod"})


def deliveries(*alerts: Alert, body: str = "chat") -> list[Delivery]:
    return [Delivery(id=str(index), alert=alert, receiver="ops", body=body) for index, alert in enumerate(alerts)]


def render(bodies: Bodies, *alerts: Alert, body: str = "chat") -> Body:
    return bodies.render(Request("r-1", deliveries(*alerts, body=body), datetime.now(UTC)))


def own(**keys: Any) -> Bodies:
    return Bodies([BodyTemplate.model_validate({"name": "chat", **keys})])


def strictly(body: Body) -> dict[str, Any]:
    assert body.content_type == "application/json"
    found: dict[str, Any] = orjson.loads(body.content)
    return found


def by_plugin(renderer: Renderer) -> Mapping[str, Renderer]:
    return {"chat": renderer, "hertzbeat": renderer}


def test_a_plugins_renderer_makes_the_body_that_bears_its_name_of_all_deliveries() -> None:
    def count(given: Sequence[Delivery]) -> Body:
        return Body(content=str(len(given)).encode(), content_type="text/x-count")

    found = render(Bodies(renderers=by_plugin(count)), ALERT, ALERT)
    assert found == Body(content=b"2", content_type="text/x-count")


def test_a_plugins_renderer_cannot_take_the_place_of_a_body_of_ours() -> None:
    found = render(Bodies(renderers=by_plugin(lambda _: Body(content=b"mine"))), ALERT, body="hertzbeat")
    assert strictly(found)["content"] == "disk full"


def test_a_body_of_the_configuration_is_rendered_by_its_name() -> None:
    found = render(own(json={"text": "{{ alert.content }}", "count": "{{ alerts | length }}"}), ALERT, ALERT)
    assert strictly(found) == {"text": "disk full", "count": 2}


def test_the_names_of_all_bodies_are_known() -> None:
    bodies = Bodies(
        [BodyTemplate.model_validate({"name": "mine", "text": "x"})], {"theirs": lambda _: Body(content=b"")}
    )
    assert bodies.names == PRESETS | {"mine", "theirs"}


def test_a_renderer_that_returns_something_else_is_refused_and_so_is_a_name_that_nobody_knows() -> None:
    returns_bytes: Any = lambda _: b"{}"  # noqa: E731 - it is no Renderer, and that is the point
    with pytest.raises(OfferError, match="TypeError: it returned bytes, not Body"):
        render(Bodies(renderers=by_plugin(renderer(returns_bytes))), ALERT)
    with pytest.raises(RenderError, match="there is no body of that name any more"):
        render(Bodies(), ALERT)


def test_the_fallback_says_what_every_receiver_needs_and_why_it_came() -> None:
    body = render_fallback(deliveries(ALERT), "body 'chat' failed: KeyError")
    assert list(strictly(body).items()) == [
        ("id", 7),
        ("target", "available"),
        ("priority", 0),
        ("status", 0),
        ("content", "disk full"),
        ("fallback", "body 'chat' failed: KeyError"),
    ]


def test_the_fallback_leaves_out_a_target_that_is_not_known() -> None:
    found = strictly(render_fallback(deliveries(Alert(content="a")), "x"))
    assert list(found) == ["id", "priority", "status", "content", "fallback"]


@pytest.mark.parametrize("count", [1, 3])
def test_the_fallback_of_many_is_a_list_of_what_each_would_be_alone(count: int) -> None:
    some = [Alert(content=f"alert {number}", id=number) for number in range(count)]
    many = render_fallback(deliveries(*some), "x", many=True)
    assert json.loads(many.content) == [strictly(render_fallback(deliveries(one), "x")) for one in some]


@given(ALERTS, TEXT | st.just("body \udcffkey\udcff failed"))
def test_the_fallback_can_be_made_of_any_alert_and_for_any_reason(alert: Alert, reason: str) -> None:
    found = strictly(render_fallback(deliveries(alert), reason))
    assert (found["content"], found.get("target")) == (alert.content, alert.target)
    assert (found["id"], found["priority"], found["status"]) == (alert.id, alert.priority, alert.status)
    assert found["fallback"] == re.sub("[\ud800-\udfff]", "\ufffd", reason)


def test_the_fallback_cuts_what_is_too_long_with_a_mark() -> None:
    endless = Alert(content="x" * 10_000_000, target="y" * 10_000_000)
    body = render_fallback(deliveries(endless), "x")
    found = strictly(body)
    assert len(body.content) < 1024 * 1024
    assert found["content"].endswith("x…")
    assert found["target"].endswith("y…")
