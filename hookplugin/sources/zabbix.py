"""Source `zabbix`: an event of Zabbix, as the variables of our media types (README).

Source: Zabbix's documentation, "Macros supported by location", "Webhook" and "Custom alert scripts", 6.0 to 7.4.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hookplugin.sources.reading import as_link
from hookplugin.sources.variables import Variables, epoch, given, identity
from hookspecs import Alert, Context, Priority, Status
from hookspecs.alert import INT64_MAX, milliseconds

_log = logging.getLogger("hookplugin")

_UNRESOLVED: Final = re.compile(r"\*UNKNOWN\*|\{\$?[A-Z][A-Z0-9_.]*\}")
_PRIORITIES: Final[Mapping[str, Priority]] = {
    "not classified": Priority.warning,
    "information": Priority.warning,
    "warning": Priority.warning,
    "average": Priority.warning,
    "high": Priority.critical,
    "disaster": Priority.emergency,
}
"""By the name of a severity; its number is its place."""

VARIABLES: Final = Variables(
    names=frozenset(
        {
            "EVENT_ID", "EVENT_VALUE", "EVENT_UPDATE_STATUS", "EVENT_ACK_STATUS", "EVENT_SEVERITY", "EVENT_NSEVERITY",
            "EVENT_DATE", "EVENT_TIME", "EVENT_TIMESTAMP", "EVENT_RECOVERY_ID", "EVENT_RECOVERY_DATE",
            "EVENT_RECOVERY_TIME", "EVENT_RECOVERY_TIMESTAMP", "EVENT_UPDATE_ACTION", "USER_FULLNAME", "TRIGGER_ID",
            "TRIGGER_URL", "LINK", "HOST_NAME", "HOST_IP", "HOST_GROUPS", "EVENT_TAGSJSON", "EVENT_NAME",
            "EVENT_OPDATA", "EVENT_UPDATE_MESSAGE", "TRIGGER_DESCRIPTION", "ITEM_NAME", "ITEM_VALUE",
        }
    ),
)  # fmt: skip


def parse_zabbix(payload: Any, context: Context) -> list[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read one event, an update of it, or its recovery: an object of our names and their values.

    Raises:
        ValueError: it does not say what happened.

    """
    event = given(payload, "", _UNRESOLVED)
    name, number = event.get("EVENT_NAME"), event.get("EVENT_ID", "").strip()
    if name is None:
        message = "there is no EVENT_NAME: these are not the variables of our media type for Zabbix"
        raise ValueError(message)
    host = event.get("HOST_NAME")
    status = _status(event)
    recovered = status is Status.recovered
    is_number = number.isdecimal() and len(number) < 20 and int(number) <= INT64_MAX
    own = (number or name, event.get("TRIGGER_ID", ""), host or "")
    annotations = {
        "severity": event.get("EVENT_SEVERITY"),
        "address": event.get("HOST_IP"),
        "description": event.get("TRIGGER_DESCRIPTION"),
        "data": event.get("EVENT_OPDATA"),
        "item": event.get("ITEM_NAME"),
        "value": event.get("ITEM_VALUE"),
        **(_update(event) if _is_update(event) else {}),
    }
    tags = {"hostgroups": event.get("HOST_GROUPS"), "host": host}
    at = _time(event, "EVENT_RECOVERY", context) if recovered else None
    return [
        Alert.model_validate(
            {
                "source": "zabbix",
                "target": host,
                "content": _content(name, event),
                "priority": _priority(event, context),
                "status": status,
                "tags": {
                    **_tags(payload.get("EVENT_TAGSJSON")),
                    **{tag: value for tag, value in tags.items() if value},
                },
                "annotations": {key: value for key, value in annotations.items() if value},
                "first_trigger_time": _time(event, "EVENT", context),
                "last_trigger_time": at,
                "link": as_link(event.get("LINK"), event.get("TRIGGER_URL")),
                "event_id": (event.get("EVENT_RECOVERY_ID") if recovered else None) or number or None,
                "fingerprint": identity("zabbix", *own),
                "raw": payload,
                **({"id": int(number)} if is_number else {}),
            }
        )
    ]


def _status(event: Mapping[str, str]) -> Status:
    """Return how a problem stands; an update says so, too."""
    value = event.get("EVENT_VALUE", "").strip()
    if value == "0":
        return Status.recovered
    if value not in {"", "1"}:
        _log.warning("an event of Zabbix is read as a problem: its EVENT_VALUE is neither 1 nor 0")
    acknowledged = event.get("EVENT_ACK_STATUS", "").strip().lower() == "yes"
    return Status.processed if _is_update(event) and acknowledged else Status.firing


def _is_update(event: Mapping[str, str]) -> bool:
    return event.get("EVENT_UPDATE_STATUS", "").strip() == "1"


def _update(event: Mapping[str, str]) -> dict[str, str | None]:
    return {
        "update": event.get("EVENT_UPDATE_ACTION"),
        "author": event.get("USER_FULLNAME"),
        "comment": event.get("EVENT_UPDATE_MESSAGE"),
    }


def _content(name: str, event: Mapping[str, str]) -> str:
    """Return the name of the event; before it what people did, with an update."""
    if not _is_update(event):
        return name
    told = _update(event)
    author = f" by {told['author']}" if told["author"] else ""
    comment = f" ({told['comment']})" if told["comment"] else ""
    return f"{told['update'] or 'updated'}{author}{comment}: {name}"


def _priority(event: Mapping[str, str], context: Context) -> Priority:
    """Return the priority of a severity: the operator's by its name, else by its number: names can be changed."""
    severity = event.get("EVENT_SEVERITY", "").strip().lower()
    if severity in context.severities:
        return context.severities[severity]
    number = event.get("EVENT_NSEVERITY", "").strip()
    if number in {"0", "1", "2", "3", "4", "5"}:
        return list(_PRIORITIES.values())[int(number)]
    return _PRIORITIES[severity] if severity in _PRIORITIES else context.priority(severity)


def _time(event: Mapping[str, str], name: str, context: Context) -> int | None:
    """Return the time of an event; versions before 7.0 say only what the clock of the server showed."""
    found = epoch(event.get(f"{name}_TIMESTAMP"))
    if found is not None:
        return found
    clock = f"{event.get(f'{name}_DATE', '')} {event.get(f'{name}_TIME', '')}".strip()
    try:
        return milliseconds(datetime.strptime(clock, "%Y.%m.%d %H:%M:%S").replace(tzinfo=context.timezone))
    except ValueError:
        return None


def _tags(given_tags: object) -> dict[str, str]:
    """Return tags; what has several values has them all, with commas between them."""
    tags: dict[str, list[str]] = {}
    try:
        found = json.loads(given_tags) if isinstance(given_tags, str) else given_tags
    except (ValueError, RecursionError):
        if given_tags and not _UNRESOLVED.fullmatch(str(given_tags)):
            _log.warning("an event of Zabbix is told without its tags: EVENT_TAGSJSON is no JSON, or was cut")
        return {}
    for one in found if isinstance(found, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("tag"), str):
            tags.setdefault(one["tag"], []).append(str(one.get("value") or ""))
    return {name: ",".join(values) for name, values in tags.items()}
