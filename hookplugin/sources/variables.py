"""Variables: names and values, as monitoring systems hand them to a command."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hookplugin.sources.reading import as_object

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE: Final = re.compile(rf"({_NAME})=(.*)", re.DOTALL)
_ID_BITS: Final = 53  # the integers that JavaScript holds exactly
_LAST_SECOND: Final = 253402300799  # of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Say which variables a source reads."""

    names: frozenset[str]
    """Without prefix."""
    prefix: str = ""
    """Of their names in the environment; it may stand before any other name, too."""
    tags: re.Pattern[str] = re.compile("(?!)")
    """Names, without prefix, of what its users add."""
    needed: str = ""
    """The one without which there is no alert."""

    def reads(self, name: str) -> bool:
        """Say whether the source reads a variable."""
        name = name.removeprefix(self.prefix)
        return name in self.names or self.tags.match(name) is not None

    def from_environment(self, environment: Mapping[bytes, bytes]) -> dict[str, str] | None:
        """Return what the source reads of an environment; none if it was not made for it."""
        start = self.prefix.encode()
        found = {_text(name): _text(value) for name, value in environment.items() if name.startswith(start)}
        if not self.prefix or self.prefix + self.needed not in found:
            return None
        return {name: value for name, value in found.items() if self.reads(name)}

    def from_lines(self, raw: bytes) -> dict[str, str]:
        """Read lines NAME=VALUE; a line that names nothing the source reads, or a name again, goes on with a value.

        Raises:
            ValueError: the first line is none.

        """
        found: dict[str, list[str]] = {}
        last = ""
        for line in _text(raw).removesuffix("\n").split("\n"):
            named = _VARIABLE.fullmatch(line)
            if named and self._begins(named[1]) and named[1] not in found:
                last, found[named[1]] = named[1], [named[2]]
            elif last:
                found[last].append(line)
            elif line.strip():
                message = "it is neither a JSON object nor lines NAME=VALUE that this source reads"
                raise ValueError(message)
        return {name: "\n".join(lines) for name, lines in found.items() if self.reads(name)}

    def _begins(self, name: str) -> bool:
        return self.reads(name) or (self.prefix != "" and name.startswith(self.prefix))


def are_variables(arguments: Iterable[str]) -> bool:
    """Say whether all arguments have the form NAME=VALUE."""
    return all(_VARIABLE.fullmatch(argument) for argument in arguments)


def from_arguments(arguments: Iterable[bytes]) -> dict[str, str]:
    """Read arguments NAME=VALUE; of a name that is given twice, the first counts."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, _, value = _text(argument).partition("=")
        found.setdefault(name, value)
    return found


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def given(payload: object, prefix: str, unresolved: re.Pattern[str]) -> dict[str, str]:
    """Return the variables of a payload that have a value, without the prefix of their names.

    Args:
        payload: an object of names and values.
        prefix: that a name may have.
        unresolved: what stands in the place of a value, if there is none.

    Raises:
        ValueError: it is no object.

    """
    values = {
        str(name).removeprefix(prefix): value if isinstance(value, str) else json.dumps(value)
        for name, value in as_object(payload, "the payload").items()
        if isinstance(value, (str, int, float))
    }
    return {name: value for name, value in values.items() if value.strip() and not unresolved.fullmatch(value.strip())}


def identity(*parts: str) -> str:
    """Return a fingerprint that is made of these parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def number(*parts: str) -> int:
    """Return an id that is made of these parts."""
    return int(identity(*parts), 16) & ((1 << _ID_BITS) - 1)


def epoch(seconds: str | None) -> int | None:
    """Return seconds since 1970 as milliseconds; zero and what is no time are none: no alert is lost for that."""
    try:
        found = float(seconds or 0)
    except ValueError:
        return None
    return round(found * 1000) if 0 < found <= _LAST_SECOND else None
