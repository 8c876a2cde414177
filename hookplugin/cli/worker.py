"""`hookplugin worker`."""

from __future__ import annotations

import sys

from hookplugin.cli.options import CommandError, ConfigOption, JsonOption, LogFormatOption
from hookplugin.cli.output import print_json
from hookplugin.cli.running import catch_signals, run_on
from hookplugin.config import OUR_PLUGIN, find_file
from hookplugin.host import Host
from hookplugin.logs import set_up
from hookplugin.outbox.opening import MEMORY
from hookplugin.webhook import webhook_of


def worker(
    config: ConfigOption = None,
    log_format: LogFormatOption = "plain",
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Deliver what waits in the outbox, until SIGTERM; SIGHUP reloads the configuration."""
    set_up(log_format)
    catch_signals()
    file = find_file(config)
    with Host.from_file(file, dispatch=True) as host:
        if host.config.outbox == MEMORY or webhook_of(host.context) is None:
            message = f"the outbox is in memory, or the plugin {OUR_PLUGIN!r} is off: nothing waits there for a worker"
            raise CommandError(message)
        if not as_json:
            sys.stdout.write(f"{file}: delivering what waits; SIGHUP reloads, SIGTERM ends\n")
            sys.stdout.flush()
        left = run_on(host)
    if as_json:
        print_json({"left": left})
    elif left:
        sys.stdout.write(f"{left} deliveries wait for the next start\n")
