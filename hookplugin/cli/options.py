"""What the commands are told: options and payloads."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from hookplugin.config import Config
from hookplugin.delivery.receiver import Receiver
from hookplugin.problems import nearest
from hookplugin.sources import PayloadError, SourceError, UnknownSourceError, read_alerts
from hookplugin.values import parse_duration
from hookspecs import Alert, Context
from hookspecs.alert import moment

ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration; else HOOKPLUGIN_CONFIG, else hookplugin.yaml.", metavar="FILE"),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]
SourceOption: TypeAlias = Annotated[
    str, typer.Option("--source", help="Who wrote the payload: json (our own), hertzbeat, alertmanager, a plugin's.")
]
PayloadArgument: TypeAlias = Annotated[str, typer.Argument(metavar="FILE", help="The payload; - is standard input.")]


class CommandError(Exception):
    """End a command: it cannot do what it was told, for a reason that the message says."""

    def __init__(self, message: str, code: int = 2) -> None:
        """Hold the message, and the exit code: 2 if the command was called wrongly."""
        super().__init__(message)
        self.code: Final = code


def read_time(text: str, advice: str) -> datetime:
    """Read a time in any form of ISO 8601.

    Raises:
        typer.BadParameter: it is none, or in some zone outside of the calendar.

    """
    with suppress(ValueError):
        found = moment(text)
        if MINYEAR < found.year < MAXYEAR:
            return found
    raise typer.BadParameter(advice)


def read_since(text: str) -> datetime:
    """Read a time, or a duration back from now.

    Raises:
        typer.BadParameter: it is neither.

    """
    with suppress(ValueError, OverflowError):
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    return read_time(text, "neither a duration like 2h, nor a time like 2026-11-28T03:12")


def _seconds(text: str) -> float:
    try:
        return 0.0 if text in {"0", "0s"} else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


WaitOption: TypeAlias = Annotated[
    float,
    typer.Option(
        "--wait", help="How long to wait for outcomes.", parser=_seconds, metavar="DURATION", show_default="30s"
    ),
]


def receiver_named(config: Config, name: str) -> Receiver:
    """Return a receiver of a configuration.

    Raises:
        CommandError: it has none of that name.

    """
    receivers = {one.name: one for one in config.receivers}
    if name not in receivers:
        message = f"unknown receiver {name!r}{nearest(name, receivers)}"
        raise CommandError(message)
    return receivers[name]


def read_payload(name: str) -> bytes:
    """Return what a file, or standard input, holds.

    Raises:
        CommandError: it cannot be read.

    """
    if name == "-":
        if sys.stdin is None:  # it may have been closed
            message = "standard input is closed; name a FILE"
            raise CommandError(message)
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        message = f"{name}: cannot be read: {error.strerror if isinstance(error, OSError) else error}"
        raise CommandError(message) from None


def read_payload_alerts(name: str, source: str, context: Context, code: int) -> list[Alert]:
    """Return the alerts of a file, or of standard input.

    Args:
        name: of the file; - is standard input.
        source: that reads it.
        context: with the sources in its registry.
        code: the exit code for what it cannot read.

    Raises:
        CommandError: it cannot be read.

    """
    try:
        return read_alerts(source, read_payload(name), context)
    except UnknownSourceError as error:
        raise CommandError(str(error)) from None
    except (PayloadError, SourceError) as error:
        message = f"{'standard input' if name == '-' else name}: {error}"
        raise CommandError(message, code) from None
