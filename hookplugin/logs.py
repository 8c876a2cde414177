"""Logs: one line for each event, in logfmt or JSON, for whoever collects them.

A message may come with `extra`: `delivery`, `receiver` and `plugin` are written as keys of their own.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

LogFormat: TypeAlias = Literal["plain", "logfmt", "json"]
"""How lines are written; plain is for people."""

KEYS: Final = ("delivery", "receiver", "plugin")
"""What a record may hold beside its message, and is written as a key."""

_BARE: Final = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII without space, quote, = and backslash


def set_up(kind: LogFormat) -> None:
    """Write what this process logs to standard error, from warnings on."""
    root = logging.getLogger()
    for other in root.handlers[:]:
        if isinstance(other.formatter, tuple(_FORMATTERS.values())):
            root.removeHandler(other)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[kind]())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)


class Plain(logging.Formatter):
    """Write lines for people who look at a terminal."""

    def __init__(self) -> None:
        """Take no arguments."""
        super().__init__("hookplugin: %(message)s")


class Logfmt(logging.Formatter):
    """Write `time=… level=… msg="…" delivery=…`; whatever a value holds, it stays within its quotes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        return " ".join(f"{key}={_value(value)}" for key, value in _fields(self, record).items())


class Json(logging.Formatter):
    """Write one JSON object for each event, with the keys of `Logfmt`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        return json.dumps(_fields(self, record))


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing meanwhile, for who says it all by themselves."""
    logger = logging.getLogger("hookplugin")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


_FORMATTERS: Final[Mapping[LogFormat, type[logging.Formatter]]] = {"plain": Plain, "logfmt": Logfmt, "json": Json}


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, str]:
    at = datetime.fromtimestamp(record.created, UTC)
    fields = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": record.getMessage(),
    }
    fields |= {key: str(value) for key in KEYS if (value := getattr(record, key, None)) is not None}
    if record.exc_info:
        fields["error"] = formatter.formatException(record.exc_info)
    return fields


def _value(text: str) -> str:
    """Return text as a value of logfmt: bare, or quoted as JSON quotes."""
    return text if _BARE.fullmatch(text) else json.dumps(text)
