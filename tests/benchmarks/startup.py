"""What a start costs, as ratios to `import requests, pydantic` in the same run: python tests/benchmarks/startup.py."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 11
REFERENCE = "import requests, pydantic"
LOAD = """
from hookplugin.assembly import assemble
from hookplugin.config import open_document
assemble(open_document({path!r}))
"""
QUEUE = """
outbox: sqlite:///outbox.db
receivers: [{name: ops, url: 'http://127.0.0.1:9/'}]
strategies: [{name: all, receivers: [ops], match_all: true}]
"""
FIRE = [str(Path(sys.executable).with_name("hookplugin")), "fire", "--queue", "--config", "queue.yaml", "-"]
INSIDE = """
import time
from hookplugin.assembly import assemble
from hookplugin.config import open_document
started = time.perf_counter()
assemble(open_document({path!r}))
print(time.perf_counter() - started)
"""


def strategies(count: int) -> str:
    """Return a configuration of so many strategies, each with every kind of filter."""
    head = "receivers:\n  - {name: ops, url: 'http://127.0.0.1/'}\nstrategies:\n"
    return head + "".join(
        f"  - name: strategy {index}\n"
        "    receivers: [ops]\n"
        "    priorities: [emergency, critical]\n"
        f"    tags: {{env: prod-{index}, team: sre}}\n"
        f"    match: ['service=~\"api-{index}.*\"']\n"
        "    days: [mon, tue]\n"
        '    period: "22:00-06:00"\n'
        "    timezone: Europe/Berlin\n"
        for index in range(count)
    )


# As where it is installed: what is compiled is kept.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(code: str) -> tuple[float, str]:
    """Run Python code in a new process; return seconds, and what it printed."""
    return timed([sys.executable, "-c", code])


def timed(command: Sequence[str], stdin: str = "", cwd: str | None = None) -> tuple[float, str]:
    """Run a command; return seconds, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=stdin, cwd=cwd, env=ENVIRONMENT)
    return time.perf_counter() - started, done.stdout


def main() -> None:
    """Measure in turn, so that noise meets all alike, and print medians."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hookplugin.yaml"
        path.write_text(strategies(1000), encoding="utf-8")
        Path(folder, "queue.yaml").write_text(QUEUE, encoding="utf-8")
        nothing, reference, imported, whole, inside, queued = [], [], [], [], [], []
        for _ in range(ROUNDS):
            nothing.append(run("pass")[0])
            reference.append(run(REFERENCE)[0])
            imported.append(run("import hookplugin")[0])
            whole.append(run(LOAD.format(path=str(path)))[0])
            inside.append(float(run(INSIDE.format(path=str(path)))[1]))
            queued.append(timed(FIRE, '{"content": "x"}', folder)[0])
    base = statistics.median(reference)
    print(f"python -c pass                          {statistics.median(nothing) * 1000:6.0f} ms")
    print(f"{REFERENCE:<39} {base * 1000:6.0f} ms  1.00")
    for name, times in (
        ("import hookplugin", imported),
        ("load 1,000 strategies", inside),
        ("process that imports and loads 1,000", whole),
        ("hookplugin fire --queue", queued),
    ):
        print(f"{name:<39} {statistics.median(times) * 1000:6.0f} ms  {statistics.median(times) / base:.2f}")


if __name__ == "__main__":
    main()
