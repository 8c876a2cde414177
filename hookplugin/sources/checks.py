"""What Nagios and Icinga 2 notify of, in the same words: a host or a service, its state, and why they speak now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hookplugin.sources.reading import as_link
from hookplugin.sources.variables import identity, number
from hookspecs import Alert, Context, Priority, Status

_STATUSES: Final[Mapping[str, Status]] = {
    "PROBLEM": Status.firing,
    "RECOVERY": Status.recovered,
    "ACKNOWLEDGEMENT": Status.processed,
    "DOWNTIMESTART": Status.processed,  # somebody works on it
    "FLAPPINGSTART": Status.firing,
    "CUSTOM": Status.firing,  # somebody wants to be heard
}
"""By the type of the notification; what ends a downtime or flapping says how things stand now, by the state."""

_WELL: Final = frozenset({"OK", "UP"})
_PRIORITIES: Final[Mapping[str, Priority]] = {
    "ok": Priority.warning,
    "up": Priority.warning,
    "pending": Priority.warning,
    "warning": Priority.warning,
    "unknown": Priority.warning,
    "critical": Priority.critical,
    "down": Priority.critical,
    "unreachable": Priority.critical,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Hold what is told of a host, or of a service of it; empty is none."""

    source: str
    type: str
    host: str
    service: str
    state: str
    last_state: str
    output: str
    more_output: str
    author: str
    comment: str
    problem: str = ""
    """The id of the problem, the same until it is over."""
    since: int | None
    """When the problem began, in milliseconds."""
    at: int | None
    """When this is told, in milliseconds."""
    event: str = ""
    """The id of the notification."""
    link: str
    tags: Mapping[str, str]
    annotations: Mapping[str, str]
    raw: object


def alert_of(told: Notification, context: Context) -> Alert:
    """Make an alert of a notification; all of one host, or of one service, have the same fingerprint.

    A custom notification has one of its own: it begins and ends no problem.
    """
    kind, state = told.type.strip().upper(), told.state.strip().upper()
    custom = kind == "CUSTOM"
    who = (told.source, told.host, told.service)
    problem = {"id": number(*who, told.problem)} if told.problem and not custom else {}
    status = _STATUSES.get(kind, Status.recovered if state in _WELL else Status.firing)
    last = told.last_state.strip().upper()
    annotations = {
        "notification": kind,
        "state": state,
        "author": told.author,
        "comment": told.comment,
        "long_output": told.more_output,
        **told.annotations,
    }
    where = {"host": told.host, "service": told.service}
    return Alert.model_validate(
        {
            "source": told.source,
            "target": told.service or told.host,
            "content": _content(told, kind, state),
            "priority": _priority(last if state in _WELL and last and last not in _WELL else state, context),
            "status": status,
            "tags": {**told.tags, **{name: value for name, value in where.items() if value}},
            "annotations": {name: value for name, value in annotations.items() if value},
            "first_trigger_time": told.at if custom else told.since,
            "last_trigger_time": told.at,
            "link": as_link(told.link),
            "event_id": told.event or None,
            "fingerprint": identity(*who, "CUSTOM") if custom else identity(*who),
            "raw": told.raw,
            **problem,
        }
    )


def _content(told: Notification, kind: str, state: str) -> str:
    """Return the output of the check; before it, what people did, where that is what is told."""
    output = told.output
    if not output.strip():
        name = f"{told.host}/{told.service}" if told.service else told.host
        output = f"{name} is {state or 'in an unknown state'}"
    if kind in {"", "PROBLEM", "RECOVERY"}:
        return output
    author = f" by {told.author}" if told.author else ""
    comment = f" ({told.comment})" if told.comment else ""
    return f"{kind}{author}{comment}: {output}"


def _priority(state: str, context: Context) -> Priority:
    """Return the priority of a state: the operator's, else that of its name."""
    known = None if state.lower() in context.severities else _PRIORITIES.get(state.lower())
    return context.priority(state) if known is None else known
