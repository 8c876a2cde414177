"""What all sources read: objects, lists, foreign times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from hookspecs import Context
from hookspecs.alert import moment


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
