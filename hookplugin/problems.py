"""Mistakes in what people wrote: where, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
import os
import pathlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Path: TypeAlias = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""


_KEY: Final = re.compile(r"[\w. -]{1,64}")
_TOKEN: Final = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}")
"""What is too long, and too mixed, to be a word or a name: it may be a secret."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Hold one mistake; the message never quotes a value that could be a secret."""

    path: Path
    message: str
    offset: int | None = None
    """The character that is wrong, in the text to which the path leads."""
    in_key: bool = False
    """Whether that text is the last key of the path itself."""

    def __str__(self) -> str:
        """Write the problem without a line number."""
        message = _TOKEN.sub("?", self.message)
        return f"{path_text(self.path)}: {message}" if self.path else message


class ProblemsError(ValueError):
    """Hold all that is wrong inside of one value, with paths that begin there."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Hold them."""
        self.problems: Final = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


def path_text(path: Path) -> str:
    """Write a path as people read it: `receivers[0].url`."""
    written = "".join(f"[{key}]" if isinstance(key, int) else f".{shown(key)}" for key in path)
    return written.removeprefix(".")


def shown(key: str) -> str:
    """Return a key as it may be shown: where a space is missing behind a colon, a key has swallowed a secret."""
    return key if _KEY.fullmatch(key) and not _TOKEN.search(key) else "?"


def shown_path(path: pathlib.Path) -> str:
    """Return a path as it may be shown, where it could not be opened: a secret may stand there by mistake."""
    known = path.name.isprintable() and not _TOKEN.search(path.name) and os.path.isdir(path.parent)  # noqa: PTH112 - Path's raises for a long name
    return repr(str(path)) if known else "the file named here"


def nearest(word: object, allowed: Iterable[str], otherwise: str | None = None) -> str:
    """Return the end of an error message: the nearest of the allowed names.

    Args:
        word: what was written.
        allowed: the names that are allowed.
        otherwise: what to say if none is near; all of them if not given.

    """
    names = sorted(allowed)
    close = difflib.get_close_matches(word, names, n=1) if isinstance(word, str) else []
    if close:
        return f"; did you mean {close[0]!r}?"
    if otherwise is not None:
        return f"; {otherwise}"
    return f"; there is {', '.join(names)}" if names else "; there is none"


def problems_of(
    error: ValidationError, keys_at: Callable[[Path], Iterable[str]], most: int | None = None
) -> list[Problem]:
    """Translate pydantic's errors for people.

    Args:
        error: what pydantic raised.
        keys_at: returns the keys that are allowed where a path leads.
        most: how many are translated, for what a stranger has sent; all if none.

    """
    errors = error.errors(include_url=False, include_input=True)[:most]
    around = {details["loc"][:-1] for details in errors}  # of a list that is too short only for its wrong items
    return [
        problem
        for details in errors
        if details["type"] != "too_short" or details["loc"] not in around
        for problem in _inside(details) or [_problem(details, keys_at)]
    ]


def _inside(details: ErrorDetails) -> list[Problem]:
    """Return what a validator found wrong at several places of one value."""
    error = details.get("ctx", {}).get("error")
    found = error.problems if isinstance(error, ProblemsError) else ()
    return [replace(one, path=(*details["loc"], *one.path)) for one in found]


def _problem(details: ErrorDetails, keys_at: Callable[[Path], Iterable[str]]) -> Problem:
    path: Path = tuple(key for key in details["loc"] if key != "[key]")
    kind = details["type"]
    context: dict[str, Any] = details.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key{nearest(path[-1], keys_at(path[:-1]))}")
    if kind == "missing":
        return Problem(path, "is missing")
    if kind == "value_error":
        return Problem(path, str(context["error"]))
    if kind in _PLAIN:
        instead = _instead(details["input"]) if kind.endswith("_type") else ""
        return Problem(path, _PLAIN[kind].format(**context) + instead)
    return Problem(path, details["msg"][:1].lower() + details["msg"][1:])


_PLAIN = {
    "string_type": "should be text",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_parsing_size": "does not fit into 64 bits",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be a map of keys and values",
    "mapping_type": "should be a map of keys and values",
    "model_type": "should be a map of keys and values",
    "model_attributes_type": "should be a map of keys and values",
    "literal_error": "should be {expected}",
    "too_short": "should name at least {min_length}",
    "string_too_short": "should not be empty",
    "greater_than_equal": "should be at least {ge}",
    "greater_than": "should be more than {gt}",
    "less_than_equal": "should be at most {le}",
}


def _instead(value: object) -> str:
    """Name the type of a wrong value, never the value: it may be a secret."""
    if isinstance(value, dict):
        return ", not a map"
    if isinstance(value, (list, tuple)):
        return ", not a list"
    return ", not nothing" if value is None else ""
