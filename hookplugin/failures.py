"""Failures of plugins: each is counted, known by its plugin and place, and said without filling the log."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from traceback import format_exception
from typing import Final

from pydantic import SecretStr

from hookplugin.delivery.lock import ProcessLock
from hookplugin.delivery.redaction import redact, spellings, starred
from hookplugin.isolation import describe, hidden, place_of
from hookplugin.references import secrets_within
from hookspecs.frozen import Frozen

TRACE: Final = "HOOKPLUGIN_TRACE"
"""The environment variable that shows each call of a plugin."""
SLOW: Final = 1.0
"""Seconds from which on a call in the host's thread is said to be slow."""

_QUIET: Final = 60.0  # seconds for which the same is not said again
_log = logging.getLogger("hookplugin")


class Failure(Frozen):
    """Say how often a plugin failed at one place since the host began."""

    where: str
    """A hook, or what it offers: `alert_fired`, `filter often`."""
    times: int
    last: str
    """What it failed of the last time."""


@dataclass(slots=True)
class _Said:
    """Hold when something was said last, and how often it was not said since."""

    at: float
    unsaid: int = 0


class Failures:
    """Note what plugins fail at, from any thread."""

    def __init__(self, *, strict: bool = False, timer: Callable[[], float] = time.monotonic) -> None:
        """Begin with none.

        Args:
            strict: errors are kept until somebody takes and raises them.
            timer: seconds, from any moment on.

        """
        self.timer: Final = timer
        self._strict: Final = strict
        self._traces: Final = os.environ.get(TRACE, "0") not in {"", "0"}
        self._lock: Final = ProcessLock()
        self._failures: dict[tuple[str, str], Failure] = {}
        self._said: dict[tuple[str, str, str], _Said] = {}
        self._settings: dict[str, object] = {}
        self._errors: list[BaseException] = []
        self._uncounted: Counter[tuple[str, str]] = Counter()
        self._count: Callable[[str, str], object] | None = None

    def hide(self, plugin: str, settings: object, secrets: Iterable[str] = ()) -> None:
        """Never show the secrets in a plugin's settings, nor what was read for these."""
        self._settings[plugin] = [settings, *map(SecretStr, secrets)]

    def describe(self, plugin: str, error: BaseException) -> str:
        """Write an error of a plugin in one line, without secrets."""
        return redact(self.redacted(plugin, describe(error)), ())

    def redacted(self, plugin: str, text: str) -> str:
        """Return a text of a plugin without secrets: its own, and those that it was handed."""
        secrets = [*hidden(), *(one.get_secret_value() for one in secrets_within(self._settings.get(plugin)))]
        return starred(text, spellings(secrets)) if secrets else text

    def note(self, plugin: str, where: str, error: BaseException, consequence: str = "") -> str:
        """Note a failure, and say it if it was not said just now; return its description."""
        described, place = self.describe(plugin, error), place_of(error)
        text = f"{described} ({place})" if place else described
        self._trace_error(plugin, error)
        with self._lock.here:
            if self._strict:
                with suppress(BaseException):  # whatever the error is
                    error.add_note(f"raised by the plugin {plugin!r} in {where}")
                self._errors.append(error)
        self._say(plugin, where, text.partition(":")[0], f"{text}; {consequence}" if consequence else text)
        self._remember(plugin, where, text)
        return described

    def note_slow(self, plugin: str, where: str, seconds: float, waiting: str) -> None:
        """Note that somebody had to wait for a plugin, and who."""
        text = f"took {seconds:.1f} s, {waiting}"
        self._say(plugin, where, "slow", text)
        self._remember(plugin, where, text)

    def note_off(self, plugin: str, where: str, reason: str) -> None:
        """Note that a plugin is off, for a reason that is free of secrets."""
        _log.warning("the plugin %r is off: %s", plugin, reason, extra={"plugin": plugin})
        self._count_one(plugin, where)  # its status has the reason; and another plugin of its name may run

    def count_in(self, count: Callable[[str, str], object]) -> None:
        """Count failures by plugin and place, also those of before."""
        with self._lock.here:
            self._count, uncounted = count, self._uncounted
            self._uncounted = Counter()
        for plugin, where in uncounted.elements():
            count(plugin, where)

    def of(self, plugin: str) -> tuple[Failure, ...]:
        """Return the failures of a plugin."""
        with self._lock.here:
            return tuple(failure for (name, _), failure in self._failures.items() if name == plugin)

    def take_errors(self) -> list[BaseException]:
        """Return the errors that nobody has taken yet."""
        with self._lock.here:
            taken, self._errors = self._errors, []
        return taken

    def trace(self, plugin: str, where: str, seconds: float, *, failed: bool = False) -> None:
        """Show a call, if that is asked for."""
        if self._traces and sys.stderr:
            with suppress(OSError, ValueError):  # nobody reads it any more
                sys.stderr.write(f"trace: {where} {plugin} {seconds * 1000:.2f} ms{', failed' if failed else ''}\n")

    def _trace_error(self, plugin: str, error: BaseException) -> None:
        if self._traces and sys.stderr:
            with suppress(BaseException):  # of the error, or of who reads this
                sys.stderr.write(self.redacted(plugin, "".join(format_exception(error))))

    def _remember(self, plugin: str, where: str, text: str) -> None:
        with self._lock.here:
            before = self._failures.get((plugin, where))
            times = before.times + 1 if before else 1
            self._failures[plugin, where] = Failure(where=where, times=times, last=text)
        self._count_one(plugin, where)

    def _count_one(self, plugin: str, where: str) -> None:
        with self._lock.here:
            count = self._count
            if count is None:
                self._uncounted[plugin, where] += 1
        if count:
            count(plugin, where)

    def _say(self, plugin: str, where: str, kind: str, text: str) -> None:
        now = self.timer()
        with self._lock.here:
            said = self._said.get((plugin, where, kind))
            if said and now - said.at < _QUIET:
                said.unsaid += 1
                return
            self._said[plugin, where, kind] = _Said(now)
        more = f" (and {said.unsaid} times since it was said)" if said and said.unsaid else ""
        words = "is slow" if kind == "slow" else "failed"
        _log.warning("the plugin %r %s in %s: %s%s", plugin, words, where, text, more, extra={"plugin": plugin})
