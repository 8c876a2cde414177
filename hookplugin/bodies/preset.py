"""The bodies that we bring, as data files, and the one for when another fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from hookplugin.bodies.tree import Tree, compile_tree, encode
from hookspecs import Alert, Body, Delivery, Renderer
from hookspecs.frozen import text

PRESETS: Final = frozenset({"hertzbeat"})
"""The names of the bodies that we bring."""


@cache
def _tree(name: str) -> Tree:
    text = files("hookplugin.bodies").joinpath("presets", f"{name}.json").read_text(encoding="utf-8")
    return compile_tree(json.loads(text))


def render_preset(name: str, deliveries: Sequence[Delivery], *, many: bool = False) -> Body:
    """Render one of our bodies for an alert, or a list of them for many."""
    tree = _tree(name)
    values = [tree({"alert": delivery.alert}) for delivery in deliveries]
    return Body(content=encode(values if many else values[0]))


def render_body(
    name: str, deliveries: Sequence[Delivery], renderers: Mapping[str, Renderer], *, many: bool = False
) -> Body:
    """Render a body by its name: one of ours, or a plugin's.

    Args:
        name: of the body.
        deliveries: of one request.
        renderers: what plugins offer.
        many: whether the receiver takes batches, also of one.

    Raises:
        Exception: whatever the plugin raises; KeyError for an unknown name, TypeError for what is no `Body`.

    """
    if name in PRESETS:
        return render_preset(name, deliveries, many=many)
    body = renderers[name](deliveries)
    if not isinstance(body, Body):
        message = f"it returned {type(body).__name__}, not Body"
        raise TypeError(message)
    return body


def render_fallback(deliveries: Sequence[Delivery], reason: str, *, many: bool = False) -> Body:
    """Render what every receiver needs to know, marked, when its own body cannot be made.

    Args:
        deliveries: of one request.
        reason: what went wrong; it is sent, so it holds no secret.
        many: whether the receiver takes batches, also of one.

    """
    values = [_fallback(delivery.alert, text(reason)) for delivery in deliveries]
    return Body(content=encode(values if many else values[0]))


def _fallback(alert: Alert, reason: str) -> dict[str, object]:
    body = {
        "id": alert.id,
        "target": alert.target,
        "priority": alert.priority.value,
        "status": alert.status.value,
        "content": alert.content,
        "fallback": reason,
    }
    return {key: value for key, value in body.items() if value is not None}
