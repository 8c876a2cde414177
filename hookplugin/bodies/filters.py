"""Filters and tests of templates: none of them calls back, and none grows what it is given beyond its bounds.

A filter is made once, at load, from its arguments, which are literals; what it then gets is what an expression gave,
and the characters that a text may have. None stays none, so that `default` can follow.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from html import escape as html_escape
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from hookplugin.bodies.access import follow
from hookplugin.bodies.plain import MARK, as_text, cut, encode, is_of_texts, iso, plain
from hookplugin.values import duration_text, parse_zone
from hookspecs.alert import moment

Apply: TypeAlias = Callable[[Any, int], Any]
"""What a filter does with a value, given how long a text may be."""

_LONGEST_ARGUMENT: Final = 200  # characters
_SEVERAL: Final = (str, list, tuple, dict)
_FORMAT: Final = re.compile(r"(?:[^%]|%[aAbBdefHIjmMpSTuUVwWyYzZ%-])*")  # no widths: `%99999999Y` fills the memory
_WRITTEN: Final = "%Y-%m-%d %H:%M:%S %Z"


def _of_text(change: Callable[[str], str]) -> Callable[[], Apply]:
    def apply(value: Any, longest: int) -> Any:  # noqa: ANN401 - any JSON
        if value is None:
            return None
        return change(value if type(value) is str else as_text(value, longest))

    return lambda: apply


def _literal(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_ARGUMENT:
        message = f"{name} should be text of at most {_LONGEST_ARGUMENT} characters"
        raise ValueError(message)
    return value


def _whole(value: object, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        message = f"{name} should be a whole number from {least} to {most}"
        raise ValueError(message)
    return value


def _truncate(length: object = 255, killwords: object = False, end: object = MARK) -> Apply:  # noqa: FBT002 - as in Jinja
    end = _literal(end, "end")
    length = _whole(length, "length", len(end), 1_000_000)

    def apply(value: Any, longest: int) -> Any:  # noqa: ANN401 - any JSON
        if value is None:
            return None
        text: str = value if type(value) is str else as_text(value, longest)
        if len(text) <= length:
            return text
        kept = text[: length - len(end)]
        if killwords:
            return kept + end
        whole = text[len(kept)].isspace() or kept[-1:].isspace()
        if not whole and len(kept.split(None, 1)) > 1:
            kept = kept.rsplit(None, 1)[0]
        return kept.rstrip() + end

    return apply


def _replace(old: object, new: object) -> Apply:
    old, new = _literal(old, "old"), _literal(new, "new")
    if not old:
        message = "old should not be empty"
        raise ValueError(message)
    return _of_text(lambda text: text.replace(old, new))()


def _length() -> Apply:
    return lambda value, _: len(value) if isinstance(value, _SEVERAL) else 0


def _items_of(value: object) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    return list(value) if isinstance(value, dict) else ()


def _first() -> Apply:
    return lambda value, _: next(iter(value), None) if isinstance(value, _SEVERAL) else None


def _last() -> Apply:
    return lambda value, _: next(reversed(value), None) if isinstance(value, _SEVERAL) else None


def _attribute(attribute: object) -> Callable[[Any], Any]:
    path = _literal(attribute, "attribute").split(".")
    return lambda value: follow(value, path)


def _join(separator: object = "", attribute: object = None) -> Apply:
    separator = _literal(separator, "separator")
    of = _attribute(attribute) if attribute is not None else None

    def apply(value: Any, longest: int) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, str) or value is None:
            return value
        parts: list[str] = []
        left = longest
        for item in _items_of(value):
            parts.append(as_text(of(item) if of else item, longest))
            left -= len(parts[-1]) + len(separator)
            if left < 0:  # whatever follows would be cut
                break
        return separator.join(parts)

    return apply


def _map(name: object = None, *, attribute: object = None) -> Apply:
    if name is not None or attribute is None:
        message = 'write map(attribute="content"): it takes the same field of each'
        raise ValueError(message)
    of = _attribute(attribute)
    return lambda value, _: [of(item) for item in _items_of(value)]


def _items() -> Apply:
    return lambda value, _: list(value.items()) if isinstance(value, dict) else []


def _number(value: object) -> float | int | None:
    """Return a number, also of a text; none for what is none, and for one beyond what a float can hold."""
    if isinstance(value, str):
        with suppress(ValueError):
            return _number(int(value))
        with suppress(ValueError):
            return float(value)
        return None
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return None
    return value if isinstance(value, (int, float)) else None


def _int(default: object = 0) -> Apply:
    def apply(value: Any, _: int) -> Any:  # noqa: ANN401 - any JSON
        found = _number(value)
        return int(found) if found is not None and math.isfinite(found) else default

    return apply


def _float(default: object = 0.0) -> Apply:
    def apply(value: Any, _: int) -> Any:  # noqa: ANN401 - any JSON
        found = _number(value)
        return float(found) if found is not None else default

    return apply


def _round(digits: object = 0) -> Apply:
    digits = _whole(digits, "digits", 0, 15)

    def apply(value: Any, _: int) -> Any:  # noqa: ANN401 - any JSON
        found = _number(value)
        if found is None or not math.isfinite(found):
            return None
        return round(found, digits) if digits else round(found)

    return apply


def _string() -> Apply:
    def apply(value: Any, longest: int) -> Any:  # noqa: ANN401 - any JSON
        if is_of_texts(value, longest):
            return value
        if isinstance(value, dict):
            return {key: as_text(item, longest) for key, item in plain(value, longest).items()}
        if isinstance(value, (list, tuple)):
            return [as_text(item, longest) for item in plain(value, longest)]
        return as_text(value, longest)

    return apply


def as_moment(value: object) -> datetime | None:
    """Return a time: a datetime, milliseconds, ISO 8601; none for what is none, or beyond the calendar."""
    try:
        return moment(value)
    except ValueError:
        return None


def _iso() -> Apply:
    def apply(value: Any, _: int) -> Any:  # noqa: ANN401 - any JSON
        found = as_moment(value)
        return None if found is None else iso(found)

    return apply


def _local(zone: object = None, format: object = _WRITTEN) -> Apply:  # noqa: A002 - strftime's word
    pattern = _literal(format, "format")
    if not _FORMAT.fullmatch(pattern):
        message = "format knows %Y %m %d %H %M %S %Z %z %a %A %b %B %j %I %p %y %f, without widths"
        raise ValueError(message)
    found = None if zone is None else parse_zone(zone)

    def apply(value: Any, _: int) -> Any:  # noqa: ANN401 - any JSON
        at = as_moment(value)
        if at is None:
            return None
        with suppress(OverflowError, ValueError, OSError):  # at the ends of the calendar
            return at.astimezone(found).strftime(pattern)
        return iso(at)

    return apply


_ADDRESS: Final = re.compile(r"https?://[^/]", re.IGNORECASE)
_LONGEST_ADDRESS: Final = 1000  # characters
_KEPT: Final = "!#$%&*+,-./:;=?@[]_~"  # quotes, round and angle brackets and bars would end a link where it is put


def _url() -> Apply:
    def apply(value: Any, longest: int) -> Any:  # noqa: ANN401 - any JSON
        text = as_text(value, longest).strip()
        found = quote(text, safe=_KEPT) if _ADDRESS.match(text) and not text.endswith(MARK) else ""
        return found if 0 < len(found) <= min(_LONGEST_ADDRESS, longest) else None

    return apply


def duration(milliseconds: object) -> str | None:
    """Return milliseconds as `1h30m`; none for what is no number."""
    found = _number(milliseconds)
    if found is None or not math.isfinite(found) or abs(found) > _LONGEST_DURATION:
        return None
    return duration_text(max(float(found) / 1000, 0.0))


def lasting(begin: object, end: object) -> str | None:
    """Return how long it is from one time until another, as `1h30m`; none if one of them is none."""
    first, last = as_moment(begin), as_moment(end)
    if first is None or last is None:
        return None
    return duration_text(max((_aware(last) - _aware(first)) / timedelta(seconds=1), 0.0))


_LONGEST_DURATION: Final = 10**18  # milliseconds


def _aware(at: datetime) -> datetime:
    """Return the time in UTC; a naive one is the machine's."""
    try:
        return at.astimezone(UTC)
    except (OverflowError, ValueError, OSError):  # at the ends of the calendar
        return at.replace(tzinfo=UTC)


FILTERS: Final[Mapping[str, Callable[..., Apply]]] = {
    "capitalize": _of_text(str.capitalize),
    "count": _length,
    "e": _of_text(html_escape),
    "escape": _of_text(html_escape),
    "first": _first,
    "float": _float,
    "int": _int,
    "iso": _iso,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "local": _local,
    "lower": _of_text(str.lower),
    "map": _map,
    "replace": _replace,
    "round": _round,
    "string": _string,
    "title": _of_text(str.title),
    "tojson": lambda: lambda value, longest: encode(plain(value, longest)).decode(),
    "trim": _of_text(str.strip),
    "truncate": _truncate,
    "upper": _of_text(str.upper),
    "url": _url,
    "urlencode": _of_text(lambda text: quote(cut(text, _LONGEST_ADDRESS), safe="")),
}
"""By name: what makes the filter of its literal arguments; raises ValueError for wrong ones."""

AT_ONCE: Final = frozenset({"count", "first", "last", "length"})
"""What takes no longer for a long text or list than for a short one."""

FILTER_NAMES: Final = frozenset({*FILTERS, "combine", "default", "d", "duration"})
"""Of all filters; the arguments of four may be any expressions."""


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


TESTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "boolean": _is(bool),
    "defined": lambda value: value is not None,
    "false": lambda value: value is False,
    "mapping": _is(dict),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "sequence": _is(list, tuple, str),
    "string": _is(str),
    "true": lambda value: value is True,
    "undefined": lambda value: value is None,
}
