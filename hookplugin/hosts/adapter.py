"""What adapters to foreign hosts share: a host of ours in each of their processes, that never raises."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, TypeVar

from hookplugin.config import ConfigInput, find_file
from hookplugin.host import Host
from hookplugin.isolation import describe
from hookplugin.receipt import Receipt
from hookspecs import Alert

AGAIN: Final = 10.0
"""Seconds until a configuration that could not be loaded is tried again."""

_log = logging.getLogger("hookplugin")

Value = TypeVar("Value")


class Adapter:
    """Fire what a foreign host hands over; whatever goes wrong is logged, and never reaches that host.

    The configuration is loaded at the first alert, in each process: foreign hosts fork after they have loaded us, and
    some build us only to list what they have.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Load nothing yet.

        Args:
            name: of the foreign host, for the log.
            clock: seconds.

        """
        self._name: Final = name
        self._clock: Final = clock
        self._hosts: Final[dict[int, _OneHost]] = {}

    def receive(self, config: ConfigInput | None, source: str, payload: object) -> Receipt | None:
        """Parse a foreign payload, and fire all its alerts.

        Args:
            config: what `Host` takes; HOOKPLUGIN_CONFIG or hookplugin.yaml if none. The first that works counts.
            source: the name of a source.
            payload: as it came, bytes or text, or parsed JSON.

        Returns:
            What became of them; none if not even that could be found out, which was logged.

        """
        return self._call(config, lambda host: host.receive(source, payload))

    def fire(self, config: ConfigInput | None, alerts: Iterable[Alert]) -> Receipt | None:
        """Fire alerts; arguments and result are those of `receive`."""
        return self._call(config, lambda host: host.fire_all(alerts))

    def close(self) -> None:
        """Deliver what is left, for a while; what is lost then is logged."""
        self._quietly(self._here.close)

    def _call(self, config: ConfigInput | None, work: Callable[[Host], Receipt]) -> Receipt | None:
        _log.disabled = False  # whoever sets logging up after us silences the loggers that there are

        def call() -> Receipt | None:
            host = self._here.load(config)
            if host is None:
                _log.error("an alert of %s was not taken: the configuration could not be loaded", self._name)
            return work(host) if host else None

        receipt = self._quietly(call)
        for one in receipt.refused if receipt else ():
            _log.error("an alert of %s was refused: %s", self._name, one.reason)
        return receipt

    def _quietly(self, work: Callable[[], Value]) -> Value | None:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - Alerta calls again after a TypeError, others switch a rule off
            _log.error("an alert of %s was not taken: %s", self._name, describe(error))
            return None

    @property
    def _here(self) -> _OneHost:
        pid = os.getpid()
        return self._hosts.get(pid) or self._hosts.setdefault(pid, _OneHost(self._clock))


class _OneHost:
    """Be the host of one process, once its configuration could be loaded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._host: Host | None = None
        self._closed = False
        self._tried_at = -inf

    def load(self, config: ConfigInput | None) -> Host | None:
        """Return the host; none if it cannot be loaded and that was said a moment ago.

        Raises:
            ConfigError: with every mistake at once.

        """
        if self._host or self._closed:
            return self._host
        if not self._lock.acquire(timeout=AGAIN):  # a plugin that is being loaded may wait for the thread that asks
            return None
        try:
            self._try_to_load(config)
        finally:
            self._lock.release()
        return self._host

    def _try_to_load(self, config: ConfigInput | None) -> None:
        if not self._host and not self._closed and self._clock() - self._tried_at >= AGAIN:
            self._tried_at = self._clock()
            self._host = Host(find_file() if config is None else config)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        if self._host and (left := self._host.close()) and not self._host.durable:
            _log.error("the outbox is in memory; deliveries that are lost with it: %d", left)
