"""Values that configuration is written in: durations, rates, zones."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, StringConstraints, ValidationInfo

from hookplugin.problems import nearest

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
"""Printable ASCII without spaces."""

_RATE: Final = re.compile(r"(\d{1,6})\s*/\s*([smh])", re.ASCII)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def parse_duration(value: object) -> float:
    """Read `500ms`, `3s`, `1h30m`, or a number of seconds, as seconds.

    Raises:
        ValueError: it is not a duration, or not more than nothing.

    """
    seconds = 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):  # more than a float holds
            seconds = float(value)
    elif isinstance(value, str) and _DURATION.sub("", value.strip()) == "":
        seconds = sum(float(number) * SECONDS[unit] for number, unit in _DURATION.findall(value))
    if not 0 < seconds < float("inf"):
        message = "not a duration; write one like 500ms, 3s, 5m, 4h, 1d"
        raise ValueError(message)
    return seconds


def parse_rate(value: object) -> float:
    """Read `1/s`, `30/m` or `100/h` as the seconds between two requests.

    Raises:
        ValueError: it is not a rate, or not more than nothing.

    """
    found = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or not int(found[1]):
        message = "not a rate; write one like 1/s, 30/m, 100/h"
        raise ValueError(message)
    return SECONDS[found[2]] / int(found[1])


def duration_text(seconds: float) -> str:
    """Write a duration as people read it, in its two largest units: `1h30m`, `12s`."""
    left = round(seconds)
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(SECONDS[unit]))
        parts.append(f"{count}{unit}" if count else "")
    first = next((index for index, part in enumerate(parts) if part), None)
    return "".join(parts[first : first + 2]) if first is not None else "0s"


def parse_zone(value: object) -> ZoneInfo:
    """Read the name of a time zone.

    Raises:
        ValueError: the machine knows no such zone.

    """
    if isinstance(value, ZoneInfo):
        return value
    try:
        if isinstance(value, str) and value.strip():
            return ZoneInfo(value.strip())
    except (ValueError, OSError, LookupError):  # zoneinfo raises each of them for some malformed name
        known = available_timezones() if "/" in str(value) else ()  # what is near an abbreviation has another offset
        hint = nearest(value, known, "write one like Europe/Berlin or UTC")
        message = f"unknown time zone {value!r}{hint}"
        raise ValueError(message) from None
    message = "should be the name of a time zone, like Europe/Berlin"
    raise ValueError(message)


def one_or_more(value: object) -> object:
    """Let one value stand for a list of it."""
    return value if value is None or isinstance(value, (list, tuple)) else (value,)


def base_directory(info: ValidationInfo) -> Path:
    """Return where relative paths start: the directory of the configuration file, or the working directory."""
    context = info.context or {}
    return Path(context.get("directory", "."))


Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Duration: TypeAlias = Annotated[float, BeforeValidator(parse_duration)]
Rate: TypeAlias = Annotated[float, BeforeValidator(parse_rate)]
"""Seconds between two requests."""
Zone: TypeAlias = Annotated[ZoneInfo, BeforeValidator(parse_zone)]
