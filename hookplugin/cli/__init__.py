"""The command line."""

from __future__ import annotations

import logging
import sys

import typer

from hookplugin.cli import check, demo, fire, init, plugins, probe
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
    ("test", probe.probe),
    ("plugins", plugins.plugins),
):
    app.command(name)(command)


def main() -> None:
    """Run a command; exit with 0 if it is well, 1 if not, 2 for wrong usage or configuration."""
    logging.basicConfig(level=logging.WARNING, format="hookplugin: %(message)s")
    try:
        app()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except BrokenPipeError:  # nobody reads our output any more
        sys.stderr.close()
        sys.exit(1)
