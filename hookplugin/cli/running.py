"""What commands that run on have in common: signals."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hookplugin.document import ConfigError

if TYPE_CHECKING:
    from hookplugin.host import Host

DRAIN: Final = 5.0
"""Seconds that a command gives to what is not delivered yet, when it is told to end."""

_SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_log = logging.getLogger("hookplugin")


def catch_signals() -> None:
    """Keep SIGTERM, SIGINT and SIGHUP for `run_on`, in this thread and in those that it starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def run_on(host: Host, *, stop: Callable[[], None] = lambda: None, reloaded: Callable[[], None] = lambda: None) -> int:
    """Let a host deliver until a signal ends it, and reload on SIGHUP; return how many deliveries are left.

    Args:
        host: that was made.
        stop: is called before the host is closed, so that it gets nothing more to do.
        reloaded: is called when another configuration was taken.

    """
    while signal.sigwait(_SIGNALS) == signal.SIGHUP:
        if _reload(host):
            reloaded()
    stop()
    return host.close(DRAIN)


def _reload(host: Host) -> bool:
    try:
        host.reload()
    except ConfigError as error:
        _log.error("the configuration is wrong, the one before is kept:\n%s", error)
        return False
    _log.warning("the configuration was reloaded")
    return True
