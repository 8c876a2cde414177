"""What finding the strategies of an alert costs, with the index and by a scan: python tests/benchmarks/matching.py."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from hookplugin.strategy.index import Index
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.selection import CompiledStrategy, compile_strategy
from hookspecs import Alert

SIZES = (1, 100, 1_000, 10_000)
ALERTS = 300
PASSES = 5
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)

KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "(a) priority and tags": lambda number: {
        "priorities": ["emergency", "critical"],
        "tags": {"env": ("prod", "staging")[number % 2], "service": f"svc-{number}"},
    },
    "(b) two regular expressions": lambda number: {
        "match": ['env=~"prod|staging"', f'service=~"svc-{number}-.*"'],
    },
    "(c) unanchored, as a warning": lambda number: {"match": [f'service=~".*svc-{number}.*"']},
}


def alerts(size: int, suffix: str) -> list[Alert]:
    """Return different alerts with eight tags; each asks for another of so many strategies."""
    return [
        Alert(
            content=f"disk {number} full",
            priority=("emergency", "critical", "warning")[number % 3],
            source="alertmanager",
            tags={
                "alertname": f"Disk{number}",
                "env": ("prod", "staging", "dev")[number // 3 % 3],
                "service": f"svc-{number * 7919 % size}{suffix.format(number)}",
                "instance": f"10.0.{number // 256}.{number % 256}:9100",
                "job": "node",
                "region": f"eu-{number % 5}",
                "team": f"team-{number % 11}",
                "severity": "critical",
            },
        )
        for number in range(ALERTS)
    ]


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds, and what came out."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def per_alert(find: Callable[[Alert], object], fired: Sequence[Alert]) -> float:
    """Return microseconds."""
    return timed(lambda: [find(alert) for alert in fired])[0] / len(fired) * 1e6


def scan(strategies: Sequence[CompiledStrategy], alert: Alert) -> list[CompiledStrategy]:
    """Ask every strategy."""
    return [one for one in strategies if one.matches(alert, NOW)]


def measure(kind: str, size: int) -> None:
    """Print one line."""
    keys = [{"name": f"s{number}", "receivers": ["ops"], **KINDS[kind](number)} for number in range(size)]
    fired = alerts(size, "" if kind.startswith("(a)") else "-{}")
    parse, strategies = timed(lambda: [Strategy.model_validate(one) for one in keys])
    compile_, (compiled, index) = timed(
        lambda: (every := [compile_strategy(one, {}, UTC) for one in strategies], Index(every))
    )
    first = per_alert(lambda alert: index.matching(alert, NOW), fired)
    later, scanned = [], []
    for _ in range(PASSES):  # in turn, so that noise meets both alike
        later.append(per_alert(lambda alert: index.matching(alert, NOW), fired))
        some = fired if size < 10_000 else fired[:30]
        scanned.append(per_alert(lambda alert: scan(compiled, alert), some))
    found = sum(len(index.matching(alert, NOW)) for alert in fired) / len(fired)
    wrong = any(index.matching(alert, NOW) != scan(compiled, alert) for alert in fired[:30])
    indexed, naive = statistics.median(later), statistics.median(scanned)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{size:>10,} {parse * 1000:>8.0f} {compile_ * 1000:>10.0f} {first:>12.1f} {indexed:>12.1f} {naive:>12.1f}"
        f" {naive / indexed:>8.1f} {found:>8.2f} {memory:>8}{'  WRONG' if wrong else ''}"
    )


def main() -> None:
    """Print a table for each kind of strategies."""
    for kind in KINDS:
        print(f"\n{kind}: times of parsing and compiling in ms, of an alert in microseconds, peak memory in MiB")
        print("strategies    parse    compile   index cold   index warm         scan    ratio    found   memory")
        for size in SIZES:
            measure(kind, size)


if __name__ == "__main__":
    main()
