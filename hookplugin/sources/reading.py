"""What all sources read: objects, lists, foreign times."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from pydantic import ValidationError

from hookplugin.problems import problems_of, shown
from hookspecs import Alert, Context
from hookspecs.alert import milliseconds, moment
from hookspecs.frozen import freeze, text

_ALERT_KEYS: Final = frozenset(str(field.alias) for field in Alert.model_fields.values())
_MOST_PROBLEMS: Final = 3  # of an alert that are told; one of the wrong kind has dozens
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


def as_texts(value: object, where: str) -> dict[str, str]:
    """Return a JSON object of texts; none is empty, as Go reads it.

    Raises:
        ValueError: it is none, or has no name for a text.

    """
    found = {}
    for name, item in as_object(value, where).items():
        if not name:
            message = f"{where} should have a name for each value"
            raise ValueError(message)
        if item is not None and not isinstance(item, str):
            message = f"{where}.{shown(str(name))} should be text"
            raise ValueError(message)
        found[text(str(name))] = text(item or "")
    return found


def read_each(
    items: Iterable[object], where: str, read: Callable[[Mapping[str, Any], str], Alert]
) -> Iterator[Alert | ValueError]:
    """Read objects one by one; one that is wrong gives a ValueError that names it, and the others count.

    Args:
        items: as they came.
        where: what people call their list.
        read: makes an alert of an item, given its place, too.

    """
    for index, item in enumerate(items):
        place = f"{where}[{index}]"
        try:
            yield read(as_object(item, place), place)
        except ValueError as error:
            yield placed(error, place)


def placed(error: ValueError, where: str) -> ValueError:
    """Return an error that says where it is; pydantic's only name fields of the alert."""
    return ValueError(f"{where}: {said(error)}") if isinstance(error, ValidationError) else error


def said(error: ValidationError) -> str:
    """Say what is wrong with an alert, in one line."""
    found = "; ".join(map(str, problems_of(error, lambda _: _ALERT_KEYS, most=_MOST_PROBLEMS)))
    more = error.error_count() - _MOST_PROBLEMS
    return found if more <= 0 else f"{found}; and {more} more"


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


def key_of(payload: Mapping[str, Any], alerts: int) -> object:
    """Return the name of a group; none if it is too long to be kept with each of so many alerts."""
    key = payload.get("groupKey")
    return None if isinstance(key, str) and len(key) * alerts > _MOST_COPIED else key


def as_link(*candidates: object) -> str | None:
    """Return the first that people can follow: an address of the web."""
    return next((one for one in candidates if isinstance(one, str) and one.startswith(("https://", "http://"))), None)


def as_time(value: object, where: str, timezone: tzinfo | None) -> datetime | int | None:
    """Read a foreign time, in this zone if it names none; empty, zero and year 1 (Go's zero time) are none.

    Raises:
        ValueError: it is no time.

    """
    if value in (None, "") or (value == 0 and not isinstance(value, bool)):
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


def as_milliseconds(value: object, where: str, timezone: tzinfo | None) -> int | None:
    """Read a foreign time as `as_time` does, in milliseconds since 1970-01-01 UTC.

    Raises:
        ValueError: it is no time.

    """
    found = as_time(value, where, timezone)
    try:
        return None if found is None else milliseconds(found)
    except ValueError as error:
        message = f"{where}: {error}"
        raise ValueError(message) from None
