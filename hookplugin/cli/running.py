"""What commands that run on have in common: signals."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from hookplugin.document import ConfigError

if TYPE_CHECKING:
    from hookplugin.host import Host

DRAIN: Final = 5.0
"""Seconds that a command gives to what is not delivered yet, when it is told to end."""

_LOOK: Final = 1.0  # seconds until it looks again for what other processes have accepted
_log = logging.getLogger("hookplugin")


def catch_signals() -> SimpleQueue[int]:
    """Take note of SIGTERM, SIGINT and SIGHUP from now on; of all queues, only this one bears handlers in handlers."""
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.put(number))
    return signals


def run_on(host: Host, signals: SimpleQueue[int]) -> int:
    """Let a host deliver until a signal ends it, and reload on SIGHUP; return how many deliveries are left."""
    while True:
        host.resume()
        with suppress(Empty):
            if signals.get(timeout=_LOOK) != signal.SIGHUP:
                return host.close(DRAIN)
            _reload(host)


def _reload(host: Host) -> None:
    try:
        host.reload()
    except ConfigError as error:
        _log.error("the configuration is wrong, the one before is kept:\n%s", error)
    else:
        _log.warning("the configuration was reloaded")
