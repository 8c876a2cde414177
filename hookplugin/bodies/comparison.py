"""Comparisons in templates: none is neither more nor less than anything, and a priority may be compared by its name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from hookplugin.bodies.scope import RenderError

_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}
_EXACT: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "in": lambda value, container: value in container,
    "notin": lambda value, container: value not in container,
}
_CONTAINERS: Final = (dict, list, tuple)
_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    dict: "a map",
    list: "a list",
    tuple: "a list",
}


def comparison(name: str, *, exact: bool = False) -> Callable[[Any, Any], bool]:
    """Return what Jinja2 calls `eq`, `ne`, `lt`, `lteq`, `gt`, `gteq`, `in` and `notin`.

    Args:
        name: one of these.
        exact: whether no priority or status can meet its name.

    """
    if exact and name in _EXACT:
        return _EXACT[name]
    if name in {"in", "notin"}:
        wanted = name == "in"
        return lambda value, container: _within(value, container) is wanted
    if name in {"eq", "ne"}:
        wanted = name == "eq"
        return lambda left, right: (_equal(left, right) or _same_name(left, right)) is wanted
    before = _ORDERED[name]

    def ordered(left: Any, right: Any) -> bool:  # noqa: ANN401 - any JSON
        if left is None or right is None:
            return False
        try:
            return before(left, right)
        except TypeError:
            message = f"{_kind(left)} cannot be compared with {_kind(right)}; `| float` reads a number"
            raise RenderError(message) from None

    return ordered


def _equal(left: object, right: object) -> bool:
    if isinstance(left, _CONTAINERS) and isinstance(right, _CONTAINERS) and left and right:  # nobody knows how large
        message = f"{_kind(left)} is not compared with {_kind(right)}; compare what is in them"
        raise RenderError(message)
    return left == right


def _same_name(left: object, right: object) -> bool:
    """Say whether one is a priority or a status, and the other its name."""
    if isinstance(left, Enum):
        return left.name == right
    return isinstance(right, Enum) and right.name == left


def _within(value: object, container: object) -> bool:
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    if not isinstance(container, _CONTAINERS):
        return False
    if isinstance(value, _CONTAINERS):
        message = f"{_kind(value)} is not looked for in {_kind(container)}"
        raise RenderError(message)
    if value in container:
        return True
    return _has_names(value, container) and any(_same_name(value, item) for item in container)


def _has_names(value: object, container: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> bool:
    return isinstance(value, Enum) or isinstance(next(iter(container), None), Enum)


def _kind(value: object) -> str:
    return next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "a time")
