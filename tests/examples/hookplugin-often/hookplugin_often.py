"""A filter that lets pass what was triggered often, and a body for people who read one line."""

from collections.abc import Sequence

from hookplugin import Alert, Body, Delivery, Registry, hookimpl


def often(alert: Alert) -> bool:
    return alert.times >= 3


def one_line(deliveries: Sequence[Delivery]) -> Body:
    lines = [f"{delivery.alert.priority.name}: {delivery.alert.content}" for delivery in deliveries]
    return Body(content="\n".join(lines).encode(), content_type="text/plain; charset=utf-8")


@hookimpl
def alert_register(registry: Registry) -> None:
    registry.filter("often", often)
    registry.renderer("one-line", one_line)
