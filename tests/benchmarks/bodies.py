"""What bodies cost, beside `json.dumps` and a text template of the same: python tests/benchmarks/bodies.py."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import ChainableUndefined
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hookplugin.bodies.filters import FILTERS, Apply
from hookplugin.bodies.preset import PRESETS
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.bodies.scope import LONGEST
from hookplugin.document import load
from hookspecs import Alert, Delivery

ROUNDS = 15
TIMES = 300
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ALERT = Alert(
    content="disk 95% full",
    target="linux.disk.usage",
    priority="critical",
    tags={"alertname": "DiskFull", "env": "prod", "instance": "db1:9100", "severity": "critical", "team": "sre"},
    annotations={"summary": "disk 95% full", "runbook": "https://wiki.example.com/disk"},
    first_trigger_time=1_767_323_045_678,
    link="https://prometheus.example.com/graph?g0.expr=x",
    source="alertmanager",
    raw={"startsAt": "2026-01-02T03:04:05.678Z", "endsAt": "0001-01-01T00:00:00Z"},
    group={
        "groupLabels": {"alertname": "DiskFull"},
        "externalURL": "https://alertmanager.example.com",
        "truncatedAlerts": 0,
    },
    gmt_create="2026-01-02T03:04:05",
)


def as_text(tree: Any) -> str:
    """Write a JSON tree as one text template, as people do by hand: expressions between quotes, loops, no escaping."""
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f'"{key}": {as_text(value)}' for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(item_as_text, tree)) + "]"
    return f'"{tree}"' if isinstance(tree, str) else json.dumps(tree)


def item_as_text(item: Any) -> str:
    """Write an item of a list; a loop as Jinja2 has it."""
    head = next(iter(item)) if isinstance(item, Mapping) and len(item) == 1 else ""
    if not head.startswith("for "):
        return as_text(item)
    return f"{{% {head} %}}{as_text(item[head])}{{% if not loop.last %}}, {{% endif %}}{{% endfor %}}"


def text_template(source: str) -> Callable[[Request], str]:
    """Compile a text template; filters that Jinja2 has are its own, and it sees what ours see."""
    environment = ImmutableSandboxedEnvironment(undefined=ChainableUndefined)
    for name, make in FILTERS.items():
        made = lru_cache(make)  # ours are made once, too
        ours = partial(_apply, made)
        if name in {"truncate", "items", "int"} or name not in environment.filters:  # Jinja2's fail for what is none
            environment.filters[name] = ours
    environment.filters["combine"] = lambda one, other: {**one, **other}
    used = find_undeclared_variables(environment.parse(source)) - {"vars"}
    return partial(_render, environment.from_string(source), used)


def _apply(make: Callable[..., Apply], value: Any, *given: Any, **named: Any) -> Any:
    return make(*given, **named)(value, LONGEST)


def _render(template: Any, used: set[str], request: Request) -> str:
    scope = request.scope()
    rendered: str = template.render({name: scope[name] for name in used}, vars={"routing_key": "secret"})
    return rendered


def best(action: Callable[[], object]) -> float:
    """Return the microseconds of one of many in a row."""
    started = time.perf_counter()
    for _ in range(TIMES):
        action()
    return (time.perf_counter() - started) / TIMES * 1e6


def main() -> None:
    """Measure each preset for one alert; the three ways by turns, so that noise hits all of them."""
    bodies = Bodies()
    print(f"{'body':<18}{'ours':>10}{'json.dumps':>12}{'text':>10}{'ours/dumps':>12}{'ours/text':>11}")
    for name in sorted(PRESETS):
        delivery = Delivery(id="sample", alert=ALERT, receiver="ops", body=name, strategies=("urgent",))
        request = Request("sample", [delivery], NOW)
        written = load(files("hookplugin.bodies").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8"))
        assert isinstance(written, dict)
        template = text_template(as_text(written["json"]))
        value = json.loads(bodies.render(request).content.decode(errors="replace"))
        ways: tuple[Callable[[], object], ...] = (
            lambda request=request: bodies.render(request),  # type: ignore[misc]  # bound while the loop goes on
            lambda value=value: json.dumps(value).encode(),  # type: ignore[misc]  # as above
            lambda template=template, request=request: template(request).encode(),  # type: ignore[misc]  # as above
        )
        rounds = [[best(way) for way in ways] for _ in range(ROUNDS)]
        ours, dumps, text = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:<18}{ours:>8.1f}µs{dumps:>10.1f}µs{text:>8.1f}µs{ours / dumps:>11.1f}×{ours / text:>10.2f}×")


if __name__ == "__main__":
    main()
