"""The command line."""

from __future__ import annotations

import io
import logging
import os
import sys

import typer

from hookplugin.cli import (
    alerts,
    check,
    deliveries,
    demo,
    explain,
    fire,
    init,
    plugins,
    receiver,
    render,
    strategy,
    test_receiver,
    verify,
    worker,
)
from hookplugin.cli.options import CommandError
from hookplugin.cli.output import print_json
from hookplugin.document import ConfigError

app = typer.Typer(
    help="Alert webhooks that arrive: strategies choose, the outbox keeps, receivers hear.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in (
    ("demo", demo.demo),
    ("init", init.init),
    ("check", check.check),
    ("fire", fire.fire),
    ("explain", explain.explain),
    ("render", render.render),
    ("test", test_receiver.send_test),
    ("verify", verify.verify),
    ("plugins", plugins.plugins),
    ("worker", worker.worker),
):
    app.command(name)(command)
for name, commands in (
    ("deliveries", deliveries.app),
    ("alerts", alerts.app),
    ("receiver", receiver.app),
    ("strategy", strategy.app),
):
    app.add_typer(commands, name=name)


def main() -> None:
    """Run a command; exit with 0 if it is well, 1 if not, 2 for wrong usage or configuration."""
    logging.basicConfig(level=logging.WARNING, format="hookplugin: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an alert may hold what a terminal cannot show
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (CommandError, ConfigError) as error:
        _report(str(error).splitlines())
        sys.exit(error.code if isinstance(error, CommandError) else 2)
    except OSError as error:  # nobody reads our output any more, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"hookplugin: {error.strerror or error}\n")
        sys.exit(1)


def _report(lines: list[str]) -> None:
    if "--json" in sys.argv:
        print_json({"errors": lines})
    else:
        sys.stderr.writelines(f"{line}\n" for line in lines)
