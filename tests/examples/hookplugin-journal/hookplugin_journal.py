"""A journal: a line of JSON for each alert that was fired, and for each that a receiver did not hear of."""

import json
from pathlib import Path

from pydantic import BaseModel

from hookplugin import Alert, Context, Delivery, Outcome, Registry, hookimpl


class Settings(BaseModel):
    file: Path = Path("journal.jsonl")


def write(context: Context, **line: str) -> None:
    with context.state["journal"].open("a", encoding="utf-8") as journal:
        journal.write(json.dumps(line, ensure_ascii=False) + "\n")


@hookimpl
def alert_register(registry: Registry) -> None:
    registry.settings(Settings)


@hookimpl
def alert_configure(context: Context) -> None:
    context.state["journal"] = context.settings.file


@hookimpl
def alert_fired(alert: Alert, context: Context) -> None:
    write(context, status=alert.status.name, priority=alert.priority.name, content=alert.content)


@hookimpl
def alert_delivered(delivery: Delivery, outcome: Outcome, context: Context) -> None:
    if outcome.state == "dead":
        write(context, receiver=delivery.receiver, reason=str(outcome.reason), content=delivery.alert.content)
