"""The command line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from hookplugin.cli.options import CommandError
from hookplugin.document import ConfigError
from hookplugin.logs import set_up
from hookplugin.version import __version__

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "demo",
    "init": "init",
    "check": "check",
    "fire": "fire",
    "explain": "explain",
    "render": "render",
    "test": "send_test",
    "verify": "verify",
    "plugins": "plugins",
    "serve": "serve",
    "worker": "worker",
    "deliveries": "deliveries",
    "alerts": "alerts",
    "receiver": "receiver",
    "strategy": "strategy",
}
"""Each command, and the module here that it is in: a function of the command's name, or an `app` with commands."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the commands that arguments may mean: the one that they name, or all.

    Nagios starts us for each notification: what a command does not need is not even imported.
    """
    app = typer.Typer(
        help="Alert webhooks that arrive: strategies choose, the outbox keeps, receivers hear.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)  # else one command alone would be called without its name
    named = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name in [named] if named else COMMANDS:
        module = import_module(f"hookplugin.cli.{COMMANDS[name]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, COMMANDS[name]))
    return app


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if wanted:
        sys.stdout.write(f"hookplugin {__version__}\n")
        raise typer.Exit


def _common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Do what options do that all commands share."""


def main() -> None:
    """Run a command; exit with 0 if it is well, 1 if not, 2 for wrong usage or configuration."""
    for name in ("stdout", "stderr"):  # whoever starts us may have closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end
    set_up("plain")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an alert may hold what a terminal cannot show
    try:
        try:
            app_for(sys.argv[1:])()
        except (CommandError, ConfigError) as error:
            _report(str(error).splitlines())
            sys.exit(error.code if isinstance(error, CommandError) else 2)
        finally:
            sys.stdout.flush()
    except OSError as error:  # nobody reads our output any more, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"hookplugin: {error.strerror or error}\n")
        sys.exit(1)


def _report(lines: list[str]) -> None:
    if "--json" in sys.argv:
        from hookplugin.cli.output import print_json  # noqa: PLC0415 - it needs rich

        print_json({"errors": lines})
    else:
        sys.stderr.writelines(f"{line}\n" for line in lines)
