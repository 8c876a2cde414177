"""Values that nobody can change: one alert is shared by every plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, NoReturn, Self, TypeVar

from pydantic import BaseModel, ConfigDict

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_DEPTH: Final = 100
"""Levels of nesting that `freeze` follows; deeper values are refused."""

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Frozen(BaseModel):
    """Be the base of every value in the contract: immutable, no unknown fields, no input in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _refuse_change(*_: object, **__: object) -> NoReturn:
    message = "this mapping is shared and cannot be changed; copy it with dict(...) first"
    raise TypeError(message)


_refuse: Any = _refuse_change  # Any: it stands in for methods of eight different types


class FrozenDict(dict[Key, Value], Generic[Key, Value]):
    """Hold a mapping that refuses every change, and is still a dict to `json` and pickle."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a dict is not hashable; this one never changes
        """Hash the keys: equal mappings have equal keys, and values may be unhashable."""
        return hash(frozenset(self))

    def __copy__(self) -> Self:
        """Return the mapping itself: nothing can change it."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        """Return the mapping itself: nothing can change it."""
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[dict[Key, Value]]]:
        """Pickle as a plain dict and freeze again: unpickling must not call `__setitem__`."""
        return type(self), (dict(self),)


def text(value: str) -> str:
    """Return the text with U+FFFD for each lone surrogate, which no UTF-8 document can carry."""
    return value if value.isascii() else _SURROGATES.sub("\ufffd", value)


def freeze(value: object, depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Copy JSON-like data into tuples and frozen mappings; what JSON does not know becomes text.

    Raises:
        ValueError: it is nested deeper than `depth` levels.

    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return text(value)
    if depth == 0:
        message = f"nested more than {MAX_DEPTH} levels deep"
        raise ValueError(message)
    if isinstance(value, Mapping):
        return FrozenDict({text(str(key)): freeze(item, depth - 1) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item, depth - 1) for item in value)
    return text(str(value))
