"""Rendering: the body of a request by its name, and the one for when that fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hookplugin.bodies.model import BodyTemplate
from hookplugin.bodies.plain import cut, encode
from hookplugin.bodies.preset import PRESETS, load_preset, speaks_of_vars
from hookplugin.bodies.scope import LONGEST, RenderError, Scope
from hookspecs import Alert, Body, Delivery, Renderer
from hookspecs.frozen import text


@dataclass(frozen=True, slots=True)
class Request:
    """Hold what one request is to tell."""

    id: str
    """Its `webhook-id`."""
    deliveries: Sequence[Delivery]
    """At least one; all of one receiver and body."""
    now: datetime
    many: bool = False
    """Whether the receiver takes batches, also of one."""

    @property
    def body(self) -> str:
        """Return the name of the body."""
        return self.deliveries[0].body

    def scope(self) -> Scope:
        """Return what templates see."""
        return Scope(self.id, self.deliveries, self.now)


class Bodies:
    """Render bodies by their names: ours, those of a configuration, and those of plugins."""

    def __init__(self, templates: Iterable[BodyTemplate] = (), renderers: Mapping[str, Renderer] | None = None) -> None:
        """Know them; ours are read when they are needed.

        Args:
            templates: of the configuration.
            renderers: what plugins offer.

        """
        self._templates: Final = {template.name: template for template in templates}
        self._renderers: Final = renderers or {}

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all."""
        return frozenset({*PRESETS, *self._templates, *self._renderers})

    def holds_secrets(self, name: str) -> bool:
        """Say whether a body of that name may have placeholders; what a plugin renders is sent as it is."""
        return self.template(name) is not None or name not in self._renderers

    def may_need_vars(self, name: str) -> bool:
        """Say whether a body may need secrets of its receiver; ours need not be compiled to know that."""
        return speaks_of_vars(name) if name in PRESETS else name in self._templates

    def template(self, name: str) -> BodyTemplate | None:
        """Return the template of a body; none if a plugin renders it, or nobody knows it."""
        return load_preset(name) if name in PRESETS else self._templates.get(name)

    def render(self, request: Request) -> Body:
        """Render the body of a request; secrets are placeholders.

        Raises:
            TooLargeError: it does not fit into its bounds.
            RenderError: it cannot be made, or there is none of that name.
            OfferError: what a plugin offers has failed.

        """
        template = self.template(request.body)
        if template:
            each = request.many and template.batched
            scopes = [Scope(one.id, [one], request.now) for one in request.deliveries] if each else [request.scope()]
            return template.render(scopes, many=request.many)
        if request.body not in self._renderers:
            message = "there is no body of that name any more"
            raise RenderError(message)
        return self._renderers[request.body](request.deliveries)


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
        "target": cut(alert.target, LONGEST) if alert.target else alert.target,
        "priority": alert.priority.value,
        "status": alert.status.value,
        "content": cut(alert.content, LONGEST),
        "fallback": reason,
    }
    return {key: value for key, value in body.items() if value is not None}
