"""What calling five plugins one by one costs, beside pluggy's bare call: python tests/benchmarks/isolation.py."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

import pluggy

import hookspecs
from hookplugin.config import open_document
from hookplugin.discovery import take_over
from hookplugin.plugins import Plugins
from hookplugin.resolution import resolve
from hookspecs import PROJECT, Alert, Context, hookimpl

COUNT = 5
ALERTS = 2_000
ROUNDS = 21
LIMIT = 50.0
"""Microseconds that isolation may cost for each alert."""
ALERT = Alert(content="disk full", priority="critical", tags={"env": "prod"})


class Good:
    """Do nothing, like a plugin that none of this concerns."""

    @hookimpl
    def alert_fired(self, alert: Alert, context: Context) -> None:
        """Take an alert."""


class Bad:
    """Fail at each alert."""

    @hookimpl
    def alert_fired(self, alert: Alert, context: Context) -> None:
        """Fail at an alert."""
        raise ValueError(context.timezone, alert.content)


def manager(failing: int) -> pluggy.PluginManager:
    """Return a manager with so many plugins, of which some fail."""
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(hookspecs)
    for number in range(COUNT):
        made.register(Bad() if number < failing else Good(), name=f"plugin-{number}")
    return made


def isolated(failing: int) -> Callable[[], object]:
    """Return what fires an alert as a host does."""
    ours, document = manager(failing), open_document({})
    plugins = Plugins(ours, take_over(ours))
    plugins.register(document)
    plugins.configure(resolve(document, plugins.offered))
    return lambda: plugins.fired(ALERT)


def bare(failing: int) -> Callable[[], object]:
    """Return what fires an alert as pluggy does, which goes no further than the first failure."""
    hook, context = manager(failing).hook.alert_fired, Context()

    def fire() -> object:
        try:
            return hook(alert=ALERT, context=context)
        except ValueError as error:
            return error

    return fire


def per_alert(fire: Callable[[], object]) -> float:
    """Return microseconds."""
    started = time.perf_counter()
    for _ in range(ALERTS):
        fire()
    return (time.perf_counter() - started) / ALERTS * 1e6


def measure(failing: int) -> None:
    """Print one line."""
    both = bare(failing), isolated(failing)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):  # in turn, so that noise meets both alike
        for fire, found in zip(both, times, strict=True):
            found.append(per_alert(fire))
    pluggys, ours = map(statistics.median, times)
    costs = ours - pluggys
    print(
        f"{failing:>7} {pluggys:>9.1f} {ours:>9.1f} {costs:>9.1f} {ours / pluggys:>7.1f}"
        f"{'' if costs <= LIMIT else f'  MORE THAN {LIMIT:.0f}'}"
    )


def main() -> None:
    """Print a table."""
    logging.disable()
    print(f"one alert for {COUNT} plugins: medians of {ROUNDS} rounds, in microseconds")
    print("failing     bare  isolated     costs   ratio")
    for failing in (0, 2):
        measure(failing)


if __name__ == "__main__":
    main()
