"""Source `alerta`: an alert as Alerta's API gives it, and as its senders and its forwarder post it.

Source: Alerta's documentation of its API and of its alarm models, and bodies captured from Alerta 9.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Final, NamedTuple

from hookplugin.sources.reading import as_link, as_list, as_milliseconds, as_object
from hookspecs import Alert, Context, Priority, Status
from hookspecs.alert import INT32_MAX, INT64_MAX, INT64_MIN, Scalar

SUPPRESSED: Final = frozenset({"blackout", "shelved", "dsupr", "oosrv", "shlvd"})
"""Statuses of alerts that nobody is to hear of, in both alarm models: Alerta's own, and ISA 18.2."""

_OVER: Final = frozenset({"closed", "expired", "norm", "rtnun"})
_ACKNOWLEDGED: Final = frozenset({"ack", "acked"})
_NORMAL: Final = frozenset({"normal", "ok", "cleared"})  # severities of events that say that all is well

_PRIORITIES: Final[Mapping[str, Priority]] = {
    "security": Priority.emergency,
    **dict.fromkeys(("critical", "major", "high"), Priority.critical),
    **dict.fromkeys(("minor", "warning", "medium", "low", "advisory"), Priority.warning),
    **dict.fromkeys(("indeterminate", "informational", "debug", "trace", "unknown", *_NORMAL), Priority.warning),
}
"""What the severities of both alarm models mean, unless the operator says otherwise."""

_TAGS: Final = ("environment", "resource", "event", "severity", "service", "group", "origin", "customer")
"""What becomes tags, beside what Alerta calls so."""


def parse_alerta(payload: Any, context: Context) -> Iterator[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read one alert; none if it is suppressed, or if it ends what nobody is to have heard of.

    Raises:
        ValueError: it is no such payload.

    """
    body = as_object(payload, "the payload")
    for name in ("resource", "event"):
        if not isinstance(body.get(name), str):
            message = f"{name} should be text: it is no alert of Alerta"
            raise ValueError(message)
    history = [
        _change(item, f"history[{index}]") for index, item in enumerate(as_list(body.get("history") or [], "history"))
    ]
    status, severity = _word(body.get("status")), _word(body.get("severity"))
    over = status in _OVER or severity in _NORMAL
    if status in SUPPRESSED or (over and _never_told(history)):
        return
    yield Alert.model_validate(
        {
            "source": "alerta",
            "target": body["resource"],
            "content": body.get("text") or body["event"],
            "priority": _priority(severity, context),
            "status": _status(status, over=over),
            "tags": _tags(body),
            "annotations": _annotations(body),
            "times": _times(body.get("duplicateCount")),
            "first_trigger_time": _opened_at(history) or (None if over else _time(body, "updateTime")),
            "last_trigger_time": _time(body, "lastReceiveTime") or _time(body, "createTime"),
            "link": as_link(body.get("href")),
            "raw": {name: value for name, value in body.items() if name != "history"},
            **_identity(body),
        }
    )


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _status(status: str, *, over: bool) -> Status:
    if over:
        return Status.recovered
    return Status.processed if status in _ACKNOWLEDGED else Status.firing


def _priority(severity: str, context: Context) -> Priority:
    known = None if severity in context.severities else _PRIORITIES.get(severity)
    return context.priority(severity) if known is None else known


def _times(duplicates: object) -> int:
    """Return how often an alert came in; what is no such number is no reason to lose it."""
    return duplicates + 1 if isinstance(duplicates, int) and 0 <= duplicates < INT32_MAX else 1


class _Change(NamedTuple):
    """Hold what the history of an alert says of one change."""

    status: str
    first: bool
    at: int | None


def _change(item: object, where: str) -> _Change:
    change = as_object(item, where)
    at = as_milliseconds(change.get("updateTime"), f"{where}.updateTime", UTC)
    return _Change(_word(change.get("status")), change.get("type") == "new", at)


def _never_told(history: Sequence[_Change]) -> bool:
    """Say whether an alert was closed or suppressed ever since it is there, so that its end is no news."""
    return any(change.first for change in history) and all(change.status in _OVER | SUPPRESSED for change in history)


def _opened_at(history: Sequence[_Change]) -> int | None:
    """Return when an alert was opened that is open, or was until it ended; none if that is not known.

    `createTime` does not tell, since it changes with the severity, nor does `updateTime`, which changes with the
    status. Of a long history, Alerta forgets the oldest changes.

    Args:
        history: of the alert, the oldest change first.

    """
    opened = None
    for change in reversed(history):
        if change.status in _OVER:
            if opened:
                return opened
        elif change.status not in SUPPRESSED:
            opened = change.at
    return opened if any(change.first for change in history) else None


def _tags(body: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return Alerta's tags, `role=db` or `linux`, and its own fields; what has several values has them in order."""
    found: dict[str, set[str]] = {}
    for tag in as_list(body.get("tags") or [], "tags"):
        name, _, value = str(tag).partition("=")
        found.setdefault(name, set()).add(value or "true")
    found |= {name: {str(one) for one in _listed(body.get(name))} for name in _TAGS}
    return {name: ",".join(sorted(values)) for name, values in found.items() if values}


def _listed(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    return [] if value in (None, "") else [value]


def _annotations(body: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the attributes and the value; what is no text, number or truth value is written as JSON."""
    given = {**as_object(body.get("attributes") or {}, "attributes"), "value": body.get("value")}
    return {name: _scalar(value) for name, value in given.items() if value is not None}


def _scalar(value: object) -> Scalar:
    if isinstance(value, (str, float)) or (isinstance(value, int) and INT64_MIN <= value <= INT64_MAX):
        return value
    return json.dumps(value)


def _time(body: Mapping[str, Any], name: str) -> int | None:
    return as_milliseconds(body.get(name), name, UTC)


def _identity(body: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what is the same for all events of an alert, and what is this event's own.

    Alerta keeps the id of the first event. An event that it has not stored has an id of its own, and belongs to the
    alert that Alerta would find for it.
    """
    if body.get("lastReceiveId"):
        return {"fingerprint": body.get("id"), "event_id": f"{body.get('id')}:{body['lastReceiveId']}"}
    events = sorted(map(str, _listed(body.get("correlate")))) or [body["event"]]
    identity = [body.get("environment"), body["resource"], events, body.get("customer")]
    return {"fingerprint": json.dumps(identity), "event_id": body.get("id")}
