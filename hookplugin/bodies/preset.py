"""The bodies that we bring, as data files, and the one for when another fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from hookplugin.bodies.tree import Tree, compile_tree, encode
from hookspecs import Body, Delivery, Renderer
from hookspecs.frozen import text

PRESETS: Final = frozenset({"hertzbeat"})
"""The names of the bodies that we bring."""


@cache
def _tree(name: str) -> Tree:
    text = files("hookplugin.bodies").joinpath("presets", f"{name}.json").read_text(encoding="utf-8")
    return compile_tree(json.loads(text))


def render_preset(name: str, deliveries: Sequence[Delivery]) -> Body:
    """Render one of our bodies for the first alert of the request."""
    return Body(content=encode(_tree(name)({"alert": deliveries[0].alert})))


def render_body(name: str, deliveries: Sequence[Delivery], renderers: Mapping[str, Renderer]) -> Body:
    """Render a body by its name: one of ours, or a plugin's.

    Raises:
        Exception: whatever the plugin raises; KeyError for an unknown name, TypeError for what is no `Body`.

    """
    if name in PRESETS:
        return render_preset(name, deliveries)
    body = renderers[name](deliveries)
    if not isinstance(body, Body):
        message = f"it returned {type(body).__name__}, not Body"
        raise TypeError(message)
    return body


def render_fallback(deliveries: Sequence[Delivery], reason: str) -> Body:
    """Render what every receiver needs to know, marked, when its own body cannot be made.

    Args:
        deliveries: of one request.
        reason: what went wrong; it is sent, so it holds no secret.

    """
    alert = deliveries[0].alert
    body = {
        "id": alert.id,
        "target": alert.target,
        "priority": alert.priority.value,
        "status": alert.status.value,
        "content": alert.content,
        "fallback": text(reason),
    }
    return Body(content=encode({key: value for key, value in body.items() if value is not None}))
