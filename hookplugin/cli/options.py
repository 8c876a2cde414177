"""What the commands are told: options and payloads."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from hookplugin.logs import LogFormat
from hookplugin.problems import nearest
from hookplugin.values import parse_duration
from hookspecs import Context
from hookspecs.alert import moment

if TYPE_CHECKING:  # these take long to import, and not every command needs them
    from hookplugin.config import Config
    from hookplugin.delivery.receiver import Receiver
    from hookplugin.sources import Reading
    from hookplugin.sources.variables import Variables

_log = logging.getLogger("hookplugin")

ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration; else HOOKPLUGIN_CONFIG, else hookplugin.yaml.", metavar="FILE"),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]
SourceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--source",
        help="Who wrote the payload: json (our own), alertmanager, nagios, …; README names all; or a plugin's.",
    ),
]
LogFormatOption: TypeAlias = Annotated[
    LogFormat, typer.Option("--log-format", help="How lines of the log are written: for people, or as keys and values.")
]
PayloadArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PAYLOAD]...",
        help="A FILE, or - for standard input. For nagios, icinga and zabbix also NAME=VALUE ...; "
        "without any, nagios and icinga read the environment.",
    ),
]


class CommandError(Exception):
    """End a command: it cannot do what it was told, for a reason that the message says."""

    def __init__(self, message: str, code: int = 2) -> None:
        """Hold the message, and the exit code: 2 if the command was called wrongly."""
        super().__init__(message)
        self.code: Final = code


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in words why something new could not be written.

    Raises:
        CommandError: it is there already, or the system refuses.

    """
    try:
        yield
    except FileExistsError:
        message = f"{path}: exists already; nothing was written"
        raise CommandError(message, 1) from None
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise CommandError(message) from None


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


def read_payload_alerts(arguments: Sequence[str] | None, source: str, context: Context, code: int) -> Reading:
    """Return the alerts of a payload, and what could not be read of it.

    Args:
        arguments: a file, where - is standard input; or variables, NAME=VALUE, for a source that reads such. Without
            any, what such a source finds in the environment, or else standard input.
        source: that reads it.
        context: with the sources in its registry.
        code: the exit code for what it cannot read.

    Raises:
        CommandError: it cannot be read.

    """
    from hookplugin.isolation import OfferError  # noqa: PLC0415 - as above
    from hookplugin.sources import (  # noqa: PLC0415 - as above
        PayloadError,
        UnknownSourceError,
        read_alerts,
        variables_of,
    )

    known = source in context.registry.sources
    where, payload = _payload(arguments or (), variables_of(source), code) if known else ("", None)
    try:
        return read_alerts(source, payload, context)
    except UnknownSourceError as error:
        raise CommandError(str(error)) from None
    except (PayloadError, OfferError) as error:
        message = f"{where}: {error}"
        raise CommandError(message, code) from None


def _payload(arguments: Sequence[str], variables: Variables | None, code: int) -> tuple[str, object]:
    """Return where a payload is, in words, and the payload.

    What a check puts out may be an argument, so that no argument NAME=VALUE is ever taken for the name of a file.
    """
    from hookplugin.sources.variables import are_variables, from_arguments  # noqa: PLC0415 - as above

    if variables and arguments and are_variables(arguments):
        for name in (argument.partition("=")[0] for argument in arguments):
            if not (variables.reads(name) or name.removeprefix(variables.prefix).startswith("_")):
                _log.warning("%s is not read%s", name, nearest(name, variables.names, ""))
        return "the arguments", from_arguments(map(os.fsencode, arguments))
    if len(arguments) > 1:
        takes = "one FILE, or NAME=VALUE ..." if variables else "one FILE"
        message = f"name {takes}; {arguments[1]!r} is more than that"
        raise CommandError(message)
    if variables and not arguments and (found := variables.from_environment(os.environb)):
        return "the environment", found
    name = arguments[0] if arguments else "-"
    where, raw = "standard input" if name == "-" else name, read_payload(name)
    if variables is None or raw.lstrip()[:1] in {b"{", b"["}:
        return where, raw
    try:
        return where, variables.from_lines(raw)
    except ValueError as error:
        message = f"{where}: {error}"
        raise CommandError(message, code) from None
