"""`hookplugin serve`."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from hookplugin.cli.options import CommandError, ConfigOption, JsonOption, LogFormatOption
from hookplugin.cli.output import print_json
from hookplugin.cli.running import catch_signals, run_on
from hookplugin.config import OUR_PLUGIN, Serve, find_file
from hookplugin.host import Host
from hookplugin.logs import set_up
from hookplugin.outbox.opening import MEMORY, OutboxError
from hookplugin.outbox.store import Store
from hookplugin.webhook import webhook_of

PORT: Final = 4665
"""HOOK on the keys of a telephone."""

_NEEDED: Final = ("fastapi", "prometheus_client", "uvicorn")
_BACKLOG: Final = 256
_log = logging.getLogger("hookplugin")


def serve(  # noqa: PLR0913, PLR0917 - options of the command line
    address: Annotated[str, typer.Option("--host", help="The address to listen at.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes any that is free.", min=0, max=65535)] = PORT,
    insecure: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--insecure", help="Let anybody send alerts, also from other machines.")
    ] = False,
    config: ConfigOption = None,
    log_format: LogFormatOption = "plain",
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Take alerts by HTTP and deliver them, until SIGTERM; SIGHUP reloads the configuration."""
    set_up(log_format)
    if any(find_spec(name) is None for name in _NEEDED):
        message = "serve needs packages that are not installed: pip install 'hookplugin[serve]'"
        raise CommandError(message)
    from hookplugin.server.app import create_app  # noqa: PLC0415 - the other commands start without it
    from hookplugin.server.listening import Listening  # noqa: PLC0415 - as above

    catch_signals()
    file = find_file(config)
    host = Host.from_file(file)
    with ExitStack() as cleanup:
        cleanup.callback(host.close, 0)
        _require_durable(file, host.config.outbox)
        listener = cleanup.enter_context(_listen(address, port))
        anonymous = insecure or ipaddress.ip_address(listener.getsockname()[0]).is_loopback
        _require_access(host.config.serve, address, anonymous=anonymous)
        _require_plugin(host)
        url = _url(listener)
        host.resume()
        listening = Listening(create_app(host, anonymous=anonymous), listener, _end)
        if not as_json:
            who = "" if host.config.dispatch else " (`hookplugin worker` delivers: dispatch is false)"
            sys.stdout.write(f"{file}: taking alerts at {url}{who}; SIGHUP reloads, SIGTERM ends\n")
            sys.stdout.flush()
        left = run_on(host, stop=listening.stop, reloaded=lambda: _warn(host.config.serve, anonymous=anonymous))
    if listening.failed:
        message = "the server has died; the log says why"
        raise CommandError(message, 1)
    if as_json:
        print_json({"url": url, "left": left})
    elif left:
        sys.stdout.write(f"{left} deliveries wait for the next start\n")


def _require_durable(file: Path, outbox: str) -> None:
    """See that what is accepted outlives the process: a sender that is answered 200 sends no alert again."""
    if outbox == MEMORY:
        message = f"{file}: serve answers once alerts are stored in a file; write outbox: sqlite:///outbox.db"
        raise CommandError(message)
    try:
        Store(outbox, memory_meanwhile=False).close()
    except OutboxError as error:
        message = f"{file}: {error}"
        raise CommandError(message) from None


def _require_plugin(host: Host) -> None:
    webhook = webhook_of(host.context)
    if webhook is None:
        message = f"the plugin {OUR_PLUGIN!r} is off: nothing would be stored"
        raise CommandError(message)
    webhook.store.stay_durable()


def _listen(address: str, port: int) -> socket.socket:
    try:
        (family, _, _, _, where), *_ = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return socket.create_server(where[:2], family=family, backlog=_BACKLOG)
    except UnicodeError:
        reason = "it is no address"
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error.strerror)  # those of names are negative
    message = f"cannot listen at {address}, port {port}: {reason}; --host and --port name another place"
    raise CommandError(message)


def _require_access(access: Serve, address: str, *, anonymous: bool) -> None:
    if not (anonymous or access.passwords):
        message = f"other machines reach {address}: name credentials under serve:, or let anybody in by --insecure"
        raise CommandError(message)


def _warn(access: Serve, *, anonymous: bool) -> None:
    if not (anonymous or access.passwords):
        _log.error("the configuration names no credentials any more: everybody is refused until it does")


def _url(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _end() -> None:
    """Wake who waits for signals."""
    os.kill(os.getpid(), signal.SIGTERM)
