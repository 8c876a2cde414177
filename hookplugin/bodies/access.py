"""Access: how an expression gets from a value to what is in it; no attribute of Python is ever reached."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from hookspecs import Alert

_FIELDS: Final = frozenset(Alert.model_fields)


def member(value: Any, name: object) -> Any:  # noqa: ANN401 - any JSON
    """Return an item of a map or a list, a field of an alert, or the name of a priority; none where there is none."""
    if isinstance(value, dict):
        if isinstance(name, Enum) and name not in value:
            name = name.name
        try:
            return value.get(name)
        except TypeError:  # a list is no key
            return None
    if isinstance(value, Alert):
        return getattr(value, name) if isinstance(name, str) and name in _FIELDS else None
    if isinstance(value, (list, tuple, str)) and isinstance(name, int):
        return value[name] if -len(value) <= name < len(value) else None
    return value.name if isinstance(value, Enum) and name == "name" else None


def follow(value: object, path: Iterable[str]) -> object:
    """Return what several steps lead to."""
    for name in path:
        value = member(value, name)
    return value
