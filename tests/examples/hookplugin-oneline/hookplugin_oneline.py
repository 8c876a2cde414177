"""A body for people who read one line."""

from collections.abc import Sequence

from hookplugin import Body, Delivery, Registry, hookimpl


def one_line(deliveries: Sequence[Delivery]) -> Body:
    lines = [f"{delivery.alert.priority.name}: {delivery.alert.content}" for delivery in deliveries]
    return Body(content="\n".join(lines).encode(), content_type="text/plain; charset=utf-8")


@hookimpl
def alert_register(registry: Registry) -> None:
    registry.renderer("one-line", one_line)
