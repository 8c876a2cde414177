"""Values as JSON and text have them, bounded."""

from __future__ import annotations

import json
import math
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import Any, Final

from hookplugin.bodies.scope import LONGEST, RenderError
from hookspecs import Alert
from hookspecs.alert import INT64_MAX, INT64_MIN

MARK: Final = "…"
"""Stands where something was cut."""

_DEEPEST: Final = 32  # levels of a value; deeper ones are cut
_MOST: Final = 1000  # items of a map or a list
_MOST_IN_ALL: Final = 10_000  # items of a value and of all that is in it

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)


def cut(text: str, longest: int) -> str:
    """Return a text of at most this many characters, with a mark if it was longer."""
    return text if len(text) <= longest else text[: longest - 1] + MARK


def plain(value: Any, longest: int = LONGEST) -> Any:  # noqa: ANN401 - JSON has no narrower type, and many cases
    """Return a value as JSON has it, cut to what is allowed.

    No enums, no NaN, times as ISO 8601, no integers beyond 64 bits.

    Args:
        value: what an expression gave.
        longest: characters of a text, and also items of a map or a list.

    Raises:
        RenderError: JSON has no such value.

    """
    kind = type(value)
    if kind is str:
        return value if len(value) <= longest else cut(value, longest)
    if value is None or kind is bool:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else _digits(value, longest)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return iso(value)
    if is_of_texts(value, longest):
        return value
    return _Cutting(longest).container(value, _DEEPEST)


def is_of_texts(value: object, longest: int) -> bool:
    """Say whether a value is a map of texts, as most are, of which nothing needs to be cut."""
    if not isinstance(value, dict) or len(value) > min(_MOST, longest):
        return False
    for name, item in value.items():  # a generator would take twice as long
        if type(item) is not str or len(item) > longest or type(name) is not str or len(name) > longest:
            return False
    return True


class _Cutting:
    """Write a map or a list, and count what is in it."""

    def __init__(self, longest: int) -> None:
        self.longest: Final = longest
        self.left = _MOST_IN_ALL

    def container(self, value: object, depth: int) -> object:
        if isinstance(value, Alert):
            message = "an alert is written field by field"
            raise RenderError(message)
        if not isinstance(value, (dict, list, tuple)):
            message = f"a {type(value).__name__} cannot be written"
            raise RenderError(message)
        if not depth:
            return MARK
        longest, count = self.longest, len(value)
        most = min(count, _MOST, longest, self.left)
        self.left -= most
        if isinstance(value, dict):
            found = {cut(str(key), longest): self._item(item, depth) for key, item in islice(value.items(), most)}
            return found if count == most else {**found, MARK: f"{count - most} more"}
        items = [self._item(item, depth) for item in islice(value, most)]
        return items if count == most else [*items, f"{MARK} {count - most} more"]

    def _item(self, value: object, depth: int) -> object:
        if isinstance(value, (dict, list, tuple)):
            return self.container(value, depth - 1)
        return plain(value, self.longest)


def as_text(value: Any, longest: int) -> str:  # noqa: ANN401 - JSON has no narrower type
    """Return a value as it stands in text: none is empty, maps and lists are JSON."""
    if isinstance(value, str):
        return value if len(value) <= longest else cut(value, longest)
    if value is None:
        return ""
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return str(value)
    found = plain(value, longest)
    if isinstance(found, str):
        return found
    return cut(_ENCODER.encode(found), longest) if found is not None else json.dumps(value)  # NaN, Infinity


def encode(value: object) -> bytes:
    """Write JSON as compact UTF-8 (RFC 8259); places of secrets stay what they are."""
    return _ENCODER.encode(value).encode(errors="surrogateescape")


def iso(value: datetime) -> str:
    """Write a time as ISO 8601, in UTC with a Z; no more digits than it has."""
    written = value.isoformat(timespec="auto" if value.microsecond % 1000 or not value.microsecond else "milliseconds")
    return f"{written.removesuffix('+00:00')}Z" if written.endswith("+00:00") else written


def _digits(value: int, longest: int) -> str:
    try:
        return cut(str(value), longest)
    except ValueError:  # more digits than Python writes
        return MARK
