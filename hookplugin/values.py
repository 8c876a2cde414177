"""Values that configuration is written in: durations, secrets, zones."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, SecretStr, StringConstraints, ValidationInfo

from hookplugin.problems import nearest
from hookspecs.frozen import text

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_SHELL_VARIABLE: Final = re.compile(r"\$\{?([A-Z_][A-Z0-9_]*)\}?")
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


def base_directory(info: ValidationInfo) -> Path:
    """Return where relative paths start: the directory of the configuration file, or the working directory."""
    context = info.context or {}
    return Path(context.get("directory", "."))


def read_reference(value: object, info: ValidationInfo) -> object:
    """Replace `{env: NAME}` or `{file: PATH}` by what it names; a file's last line end is cut.

    Raises:
        ValueError: it cannot be read, or is empty.

    """
    if isinstance(value, str) and (variable := _SHELL_VARIABLE.fullmatch(value)):
        message = f"would be sent as it stands; write {{env: {variable[1]}}}"
        raise ValueError(message)
    if not isinstance(value, Mapping):
        return value
    if len(value) != 1 or (kind := next(iter(value))) not in {"env", "file"} or not isinstance(value[kind], str):
        message = "should be text, {env: NAME} or {file: PATH}"
        raise ValueError(message)
    found = _read_env(value[kind]) if kind == "env" else _read_file(base_directory(info) / value[kind])
    if not found:
        message = f"{kind} {value[kind]!r} is empty"
        raise ValueError(message)
    return found


def _read_env(name: str) -> str:
    if name not in os.environ:
        # only what looks like the name of a variable is shown: a secret may stand here by mistake
        shown = repr(name) if _VARIABLE.fullmatch(name) else "named here"
        message = f"the environment variable {shown} is not set"
        raise ValueError(message)
    value = os.environ[name]
    if value != text(value):
        message = f"the environment variable {name!r} is not UTF-8 text"
        raise ValueError(message)
    return value


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n")  # "\r\n" is read as "\n"
    except OSError as error:
        message = f"cannot read {str(path)!r}: {error.strerror}"
    except UnicodeDecodeError:
        message = f"cannot read {str(path)!r}: not UTF-8 text"
    except ValueError as error:  # a character that no path has
        message = f"cannot read {str(path)!r}: {error}"
    raise ValueError(message)


Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Duration: TypeAlias = Annotated[float, BeforeValidator(parse_duration)]
Rate: TypeAlias = Annotated[float, BeforeValidator(parse_rate)]
"""Seconds between two requests."""
Zone: TypeAlias = Annotated[ZoneInfo, BeforeValidator(parse_zone)]
Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(read_reference)]
