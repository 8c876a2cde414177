"""A source for Healthchecks, which says when a cron job did not run: https://healthchecks.io.

Give its webhook this body, for down and for up: {"code": "$CODE", "status": "$STATUS", "now": "$NOW", "check": $JSON}
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from hookplugin import Alert, Context, Registry, hookimpl


class Check(BaseModel):
    name: str
    tags: str
    desc: str


class Notification(BaseModel):
    code: str
    status: Literal["down", "up"]
    now: datetime
    check: Check


def healthchecks(payload: Any, _: Context) -> Iterator[Alert]:
    told = Notification.model_validate(payload)  # what it raises is a ValueError: the payload cannot be read
    yield Alert(
        fingerprint=told.code,  # a check may get another name, or other tags, before it is up again
        target=told.check.name,
        content=f"{told.check.name} is {told.status}",
        status="firing" if told.status == "down" else "recovered",
        priority="critical",
        tags=dict.fromkeys(told.check.tags.split(), True),  # match: ['prod="true"']
        annotations={"description": told.check.desc},
        last_trigger_time=told.now,
    )


@hookimpl
def alert_register(registry: Registry) -> None:
    registry.source("healthchecks", healthchecks)
