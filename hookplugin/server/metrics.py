"""Metrics in Prometheus' text format: what all processes that share the outbox have counted, and how it stands.

Naming: Prometheus' "Metric and label naming". Every label has a value of the configuration, a plugin's name, or one of
a fixed set.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hookplugin.delivery.health import Health, read_health
from hookplugin.host import Host
from hookplugin.outbox import counters, listing
from hookplugin.outbox.counters import Counters
from hookplugin.outbox.listing import ReceiverCount
from hookplugin.outbox.opening import OutboxError
from hookplugin.outbox.schema import BUCKETS, bound_text
from hookplugin.outbox.store import Store
from hookplugin.version import __version__
from hookplugin.webhook import webhook_of
from hookspecs import Reason
from hookspecs.frozen import FrozenDict

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

RECEIVER_STATES: Final = ("well", "failing", "probed", "paused", "disabled")
"""Failing: the last attempt failed; probed: the breaker is open; disabled: it answered 410."""

_COUNTERS: Final = (
    ("alerts", "hookplugin_alerts", "Alerts that were stored, by their source.", ["source"]),
    ("suppressed", "hookplugin_suppressed", "Alerts that nobody, or a receiver, was not to hear of.",
     ["reason", "receiver"]),
    ("accepted", "hookplugin_deliveries_accepted", "Deliveries that were accepted.", ["receiver"]),
    ("settled", "hookplugin_deliveries", "Deliveries that ended, and how.", ["receiver", "outcome", "reason"]),
    ("attempts", "hookplugin_attempts", "Requests that were made, by what came of them.", ["receiver", "result"]),
    ("fallbacks", "hookplugin_fallback_bodies", "Bodies that could not be rendered, so that the fallback was sent.",
     ["body"]),
    ("plugin_failures", "hookplugin_plugin_failures", "Calls of plugins that failed.", ["plugin", "hook"]),
    ("reloads", "hookplugin_reloads", "Configurations that were loaded while running.", ["outcome"]),
)  # fmt: skip
_HISTOGRAMS: Final = (
    ("attempt", "hookplugin_attempt_duration_seconds", "How long requests took."),
    ("latency", "hookplugin_delivery_latency_seconds", "From when a delivery was accepted to when it was delivered."),
)
_STATES: Final = {"4": "delivered", "5": "dead"}


class _Seen(NamedTuple):
    """Hold what the outbox says, as of one moment."""

    counted: Counters
    backlog: Sequence[ReceiverCount]
    healths: Mapping[str, Health]
    refused: int


def exposition(host: Host, requests: Mapping[tuple[str, str], int] = FrozenDict()) -> bytes:
    """Return all metrics of the outbox of a host, and those of this process.

    Args:
        host: whose they are.
        requests: that were answered by this process, by source and status.

    """
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Metrics(host, requests))
    return generate_latest(registry)


class _Metrics(Collector):
    """Hand metrics to the library that writes them."""

    def __init__(self, host: Host, requests: Mapping[tuple[str, str], int]) -> None:
        self._host: Final = host
        self._requests: Final = requests

    def describe(self) -> Iterable[Metric]:
        """Describe nothing: that would read the outbox, too."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to say, even if the outbox does not answer."""
        yield InfoMetricFamily("hookplugin_build", "What runs here.", {"version": __version__})
        requests = CounterMetricFamily(
            "hookplugin_requests", "Requests that brought alerts, or were refused.", labels=["source", "code"]
        )
        for labels, value in self._requests.items():
            requests.add_metric(labels, value)
        yield requests
        up = GaugeMetricFamily("hookplugin_plugin_up", "Whether a plugin runs that should.", labels=["plugin"])
        runs: dict[str, bool] = {}
        for status in self._host.plugins:
            if status.state != "disabled":  # two packages may offer one name
                runs[status.name] = status.state == "active" or runs.get(status.name, False)
        for name, is_active in runs.items():
            up.add_metric([name], float(is_active))
        yield up
        webhook = webhook_of(self._host.context)
        seen = _look(webhook.store) if webhook else None
        yield GaugeMetricFamily(
            "hookplugin_outbox_up", "Whether the outbox can be read and written.", value=float(seen is not None)
        )
        if seen:
            receivers = {receiver.name: receiver.mark for receiver in self._host.config.receivers}
            yield from _counted(seen.counted, _begun(self._host), seen.refused)
            yield from _backlog(seen, receivers, time.time())
            yield _receiver_states(seen.healths, receivers)


def _look(store: Store) -> _Seen | None:
    try:
        store.try_to_write()  # with what this process has counted
        return store.read(
            lambda connection: _Seen(
                counters.read(connection),
                listing.backlog(connection),
                read_health(connection),
                listing.refused(connection),
            )
        )
    except OutboxError:
        return None


def _counted(counted: Counters, begun: Counters, refused: int) -> Iterator[Metric]:
    """Yield counters and histograms.

    Args:
        counted: what happened.
        begun: what has not happened yet, and is 0: else its first time would be no increase.
        refused: deliveries.

    """
    for stored, name, text, labels in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=labels)
        for values, value in {**begun.get(stored, {}), **counted.get(stored, {})}.items():
            if len(values) == len(labels):  # a row may be damaged
                counter.add_metric([_STATES.get(one, one) for one in values] if stored == "settled" else values, value)
        yield counter
    yield CounterMetricFamily(
        "hookplugin_deliveries_refused", "Deliveries for which there was no room: max_pending.", value=refused
    )
    for stored, name, text in _HISTOGRAMS:
        yield _histogram(name, text, counted.get(stored, {}), counted.get(f"{stored}_sum", {}))


def _begun(host: Host) -> Counters:
    """Return what may be counted of a configuration, at 0."""
    config = host.config
    receivers = [receiver.name for receiver in config.receivers]
    bodies = {receiver.body for receiver in config.receivers} | {one.body for one in config.strategies if one.body}
    active = [status for status in host.plugins if status.state == "active"]
    places = [(status.name, place) for status in active for place in (*status.hooks, *status.offers)]
    dead = [(receiver, "5", reason.value) for receiver in receivers for reason in Reason]
    return {
        "settled": dict.fromkeys([*dead, *((receiver, "4", "") for receiver in receivers)], 0.0),
        "fallbacks": dict.fromkeys([(body,) for body in sorted(bodies)], 0.0),
        "plugin_failures": dict.fromkeys(places, 0.0),
        "reloads": dict.fromkeys([("success",), ("failure",)], 0.0),
    }


def _histogram(
    name: str, text: str, counts: Mapping[tuple[str, ...], float], sums: Mapping[tuple[str, ...], float]
) -> HistogramMetricFamily:
    """Return a histogram of what was counted by receiver and bucket."""
    found = HistogramMetricFamily(name, text, labels=["receiver"])
    for labels, total in sums.items():
        if len(labels) != 1:  # a row may be damaged
            continue
        (receiver,), below, buckets = labels, 0.0, []
        for bound in (*BUCKETS, inf):
            below += counts.get((receiver, bound_text(bound)), 0.0)
            buckets.append(("+Inf" if bound == inf else str(float(bound)), below))
        found.add_metric([receiver], buckets, total)
    return found


def _backlog(seen: _Seen, receivers: Iterable[str], now: float) -> Iterator[Metric]:
    pending = GaugeMetricFamily("hookplugin_pending_deliveries", "Deliveries that wait.", labels=["receiver"])
    sending = GaugeMetricFamily("hookplugin_sending_deliveries", "Deliveries that are claimed.", labels=["receiver"])
    dead = GaugeMetricFamily("hookplugin_dead_letters", "Deliveries that were given up.", labels=["receiver"])
    oldest = GaugeMetricFamily(
        "hookplugin_oldest_pending_age_seconds", "How long the oldest one has waited; 0 if none.", labels=["receiver"]
    )
    counts = {name: ReceiverCount(receiver=name) for name in receivers}
    for name, one in (counts | {one.receiver: one for one in seen.backlog}).items():
        pending.add_metric([name], one.pending)
        sending.add_metric([name], one.sending)
        dead.add_metric([name], one.dead)
        oldest.add_metric([name], max(0.0, now - one.oldest.timestamp()) if one.oldest else 0.0)
    yield from (pending, sending, dead, oldest)


def _receiver_states(healths: Mapping[str, Health], marks: Mapping[str, str]) -> Metric:
    states = GaugeMetricFamily(
        "hookplugin_receiver_state",
        "1 for the state of a receiver, 0 for the others.",
        labels=["receiver", "state"],
    )
    for name, mark in marks.items():
        current = _state_of(healths.get(name) or Health(name), mark)
        for state in RECEIVER_STATES:
            states.add_metric([name, state], float(state == current))
    return states


def _state_of(health: Health, mark: str) -> str:
    """Return the state of a receiver; a 410 of another URL than it has now does not count."""
    if health.gone == mark:
        return "disabled"
    if health.paused:
        return "paused"
    if health.is_probed:
        return "probed"
    return "failing" if health.failures else "well"
