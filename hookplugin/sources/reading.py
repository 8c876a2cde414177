"""What all sources read: objects, lists, foreign times."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from hookspecs import Context
from hookspecs.alert import moment
from hookspecs.frozen import freeze

_log = logging.getLogger("hookplugin")
_MOST_COPIED: Final = 16 * 1024 * 1024  # characters: the outbox writes a group again with each of its alerts


def as_object(value: object, where: str) -> Mapping[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: it is none.

    """
    if not isinstance(value, Mapping):
        message = f"{where} should be an object"
        raise ValueError(message)
    return value


def as_list(value: object, where: str) -> list[Any]:
    """Return a JSON array.

    Raises:
        ValueError: it is none.

    """
    if not isinstance(value, list):
        message = f"{where} should be a list"
        raise ValueError(message)
    return value


def from_labels(item: Mapping[str, Any], where: str, context: Context) -> dict[str, Any]:
    """Read what Alertmanager and its kin say by labels and annotations, as fields of an alert.

    Raises:
        ValueError: these are no objects.

    """
    labels = as_object(item.get("labels"), f"{where}.labels")
    annotations = as_object(item.get("annotations") or {}, f"{where}.annotations")
    name = labels.get("alertname")
    return {
        "target": name,
        "content": annotations.get("summary") or annotations.get("description") or name or "",
        "priority": context.priority(labels.get("severity")),
        "tags": labels,
        "annotations": annotations,
    }


def group_of(payload: Mapping[str, Any], alerts: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return what a payload says of all its alerts, frozen; none if it cannot be kept with each of so many."""
    try:
        group = freeze({name: value for name, value in payload.items() if name != "alerts"})
        if len(json.dumps(group)) * alerts <= _MOST_COPIED:
            return group
        reason = "it is too long for so many alerts"
    except ValueError as error:
        reason = str(error)
    _log.warning("alerts are kept without what their payload says of all of them: %s", reason)
    return None


def as_time(value: object, where: str, timezone: tzinfo | None) -> datetime | int | None:
    """Read a foreign time, in this zone if it names none; empty, zero and year 1 (Go's zero time) are none.

    Raises:
        ValueError: it is no time.

    """
    if value in (None, "", 0):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        found = moment(value)
    except ValueError as error:
        message = f"{where}: {error}"
        raise ValueError(message) from None
    if found.year <= 1:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone)
