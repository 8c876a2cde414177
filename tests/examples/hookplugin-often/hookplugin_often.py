"""A filter that lets pass what was triggered often."""

from pydantic import BaseModel, PositiveInt

from hookplugin import Alert, Registry, hookimpl


class Settings(BaseModel):
    at_least: PositiveInt = 3


@hookimpl
def alert_register(registry: Registry) -> None:
    settings = registry.settings(Settings)

    def often(alert: Alert) -> bool:
        return alert.times >= settings.at_least

    registry.filter("often", often)
