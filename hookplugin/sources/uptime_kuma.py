"""Source `uptime-kuma`: the webhook notification of Uptime Kuma, with its preset body `application/json`.

Source: its own code, `server/notification-providers/webhook.js` and `server/model/monitor.js`, versions 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, Final

from hookplugin.sources.reading import as_milliseconds, as_object
from hookspecs import Alert, Context, Status

_STATUSES: Final[Mapping[object, Status]] = {
    0: Status.firing,  # down
    1: Status.recovered,  # up
    2: Status.pending,
    3: Status.processed,  # under maintenance
}
_PLACES: Final = ("type", "url", "hostname", "port")
_NO_URL: Final = "https://"  # what a monitor without a URL has


def parse_uptime_kuma(payload: Any, context: Context) -> Iterator[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read what became of a monitor, or a message about none: a test, a certificate that expires.

    A tag `severity` of the monitor is its severity; without it, one that is down is critical, a message a warning.

    Raises:
        ValueError: it is no such notification.

    """
    body = as_object(payload, "the payload")
    if "msg" not in body:
        message = "the payload has no msg: it is no notification of Uptime Kuma"
        raise ValueError(message)
    heartbeat = as_object(body.get("heartbeat") or {}, "heartbeat")
    monitor = as_object(body.get("monitor") or {}, "monitor")
    tags = _tags(monitor)
    fields = {
        "source": "uptime-kuma",
        "target": monitor.get("name"),
        "content": body["msg"],
        "priority": context.priority(tags.get("severity") or ("critical" if heartbeat else "warning")),
        "tags": tags,
        "annotations": {"description": monitor["description"]} if monitor.get("description") else {},
        "link": tags.get("url"),
        "raw": body,
    }
    yield Alert.model_validate(fields | _beat(heartbeat, Alert.model_validate(fields).id) if heartbeat else fields)


def _beat(heartbeat: Mapping[str, Any], monitor: int) -> dict[str, Any]:
    """Return what a heartbeat says; its times are in UTC and name no zone.

    Only 2.1 and later say with a recovery when it all began, and none does with a reminder: the id is the monitor's.
    """
    status = heartbeat.get("status")
    if isinstance(status, bool) or not isinstance(status, int) or status not in _STATUSES:
        message = "heartbeat.status should be 0 (down), 1 (up), 2 (pending) or 3 (maintenance)"
        raise ValueError(message)
    time = as_milliseconds(heartbeat.get("time"), "heartbeat.time", UTC)
    began = as_milliseconds(heartbeat.get("lastDownTime"), "heartbeat.lastDownTime", UTC)
    if _STATUSES[status] is not Status.recovered and heartbeat.get("important"):
        began = time
    return {"id": monitor, "status": _STATUSES[status], "first_trigger_time": began, "last_trigger_time": time}


def _tags(monitor: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is monitored and how, and the tags that people gave the monitor."""
    given = monitor.get("tags")
    pairs = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    return {
        **{name: monitor.get(name) for name in _PLACES if monitor.get(name) not in (None, "", _NO_URL)},
        **{str(one["name"]): one.get("value") for one in pairs if one.get("name")},
    }
