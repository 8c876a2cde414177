"""Kill whoever accepts and delivers, at random moments, again and again: `python tests/crash.py [CYCLES]`.

Each cycle is a process on the same outbox, forked from one that has imported everything. It says what it has accepted
once `fire_all` has returned; all of that must arrive.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

from counting import Counting, Heard, counting

from hookplugin import Alert, Host

Config: TypeAlias = dict[str, Any]

LONGEST: Final = 0.15  # seconds that a process lives; it opens the outbox in about a tenth of that
SLOWEST: Final = 0.02  # seconds until the receiver answers
FAILS: Final = 0.03  # of the requests, which are answered with 503
CHECK_EVERY: Final = 50  # cycles
DRAIN: Final = 60.0  # seconds for what is left at the end


@dataclass
class Report:
    """What became of everything; all but the first part must be 0."""

    cycles: int = 0
    accepted: int = 0
    delivered: int = 0
    never_said: int = 0
    """Deliveries that were stored, and whose process was killed before it could say so."""
    sent_again: int = 0
    """Requests whose 2xx the outbox never heard of: they came again, under the same id."""
    checks: int = 0
    seconds: float = 0.0

    lost: int = 0
    under_two_ids: int = 0
    changed: int = 0
    """Requests that came again with another body."""
    out_of_order: int = 0
    dead: int = 0
    pending: int = 0
    miscounted: int = 0
    """By how many the outbox's own count of what is pending is wrong."""
    damages: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What the processes themselves found wrong."""

    @property
    def wrong(self) -> dict[str, object]:
        """Return what must not be."""
        names = [one.name for one in fields(self)]
        return {name: value for name in names[names.index("lost") :] if (value := getattr(self, name))}


def crash(cycles: int, folder: Path) -> Report:
    """Let so many processes accept and deliver on one outbox, and kill each."""
    report, outbox, said = Report(cycles), folder / "outbox.db", list[str]()
    began = time.monotonic()
    over = threading.Event()
    with counting(partial(_answer, over)) as receiver:
        config = configuration(outbox, receiver)
        with _nursery(config, folder / "errors.txt") as nursery:
            for cycle in range(1, cycles + 1):
                said += _live_and_die(nursery, cycle)
                if cycle % CHECK_EVERY == 0:
                    _check(outbox, report)
            said += nursery.communicate()[0].splitlines()
        over.set()
        with Host(config) as host:
            deadline = time.monotonic() + DRAIN
            while _count(outbox, "state <= 3") and time.monotonic() < deadline:
                time.sleep(0.05)
            report.complaints += [] if host.durable else ["the host that drains is not durable"]
    _check(outbox, report)
    report.pending, report.dead = _count(outbox, "state <= 3"), _count(outbox, "state = 5")
    report.miscounted = abs(_ask(outbox, "select pending from tally") - report.pending)
    report.complaints += (folder / "errors.txt").read_text("utf-8").splitlines()
    _compare(said, receiver.heard, report)
    report.seconds = time.monotonic() - began
    return report


def configuration(outbox: Path, receiver: Counting) -> Config:
    """Return two receivers that hear of everything: one in single requests, one in batches."""
    receivers: list[Config] = [
        {"name": "single", "url": f"{receiver.url}/single", "max_in_flight": 8},
        {"name": "batched", "url": f"{receiver.url}/batched", "batch": {"wait": "20ms", "max": 8}},
    ]
    strategy = {"name": "all", "match_all": True, "receivers": ["single", "batched"]}
    return {"outbox": f"sqlite:///{outbox}", "receivers": receivers, "strategies": [strategy]}


def _answer(over: threading.Event, _: Heard) -> int:
    """Fail now and then until it is over."""
    time.sleep(random.uniform(0, SLOWEST))
    return 503 if random.random() < FAILS and not over.is_set() else 204


# The processes


@contextmanager
def _nursery(config: Config, errors: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the process that forks the others: one for each line that it reads."""
    command = [sys.executable, __file__, "nursery", json.dumps(config)]
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _live_and_die(nursery: subprocess.Popen[str], cycle: int) -> list[str]:
    """Let one process live for a moment; return what the one before has said."""
    assert nursery.stdin
    assert nursery.stdout
    nursery.stdin.write(f"{cycle}\n")
    nursery.stdin.flush()
    said = []
    while not (line := nursery.stdout.readline()).startswith("born "):
        assert line, "the nursery has ended"
        said.append(line.rstrip())
    time.sleep(random.uniform(0, LONGEST))
    os.kill(int(line.split()[1]), signal.SIGKILL)
    return said


def _nurse(config: Config) -> None:
    import hookplugin.delivery.deliverer
    import hookplugin.delivery.sender  # noqa: F401 - imported before the fork

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _live(config, int(line))
        os.waitpid(child, 0)


def _live(config: Config, cycle: int) -> None:
    _say("born", os.getpid())
    host = Host(config)
    host.resume()
    threads = [threading.Thread(target=_fire, args=(host, cycle, thread)) for thread in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join()  # for ever


def _fire(host: Host, cycle: int, thread: int) -> None:
    """Fire a few alerts at a time, for twenty lanes; the numbers in what they say rise in each."""
    numbers = count()
    while True:
        some = [
            Alert(content=f"{cycle}.{next(numbers)} {thread}-{lane}", target=f"{thread}-{lane}")
            for lane in random.choices(range(10), k=random.randint(1, 3))
        ]
        receipt = host.fire_all(some)
        if not receipt.durable or receipt.refused or len(receipt.deliveries) != 2 * len(some):
            _say("wrong", receipt)
        for one in receipt.deliveries:
            _say("accepted", one.receiver, one.id, one.alert.content)
        time.sleep(random.uniform(0, 0.006))


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # whole, or not at all


# What became of it


def _compare(said: Iterable[str], heard: Iterable[Heard], report: Report) -> None:
    report.complaints += [line for line in said if not line.startswith("accepted ")]
    accepted: dict[tuple[str, str], str] = {}  # ids, by receiver and what the alert says
    for line in said:
        if line.startswith("accepted "):
            _, receiver, delivery, content = line.split(" ", 3)
            accepted[receiver, content] = delivery
    requests: dict[str, bytes] = {}
    ids: dict[tuple[str, str], set[str]] = {}
    arrived: dict[tuple[str, str], list[tuple[int, int]]] = {}  # in which order, by lane
    answered: Counter[str] = Counter()
    delivered: set[tuple[str, str]] = set()
    for one in heard:
        report.changed += requests.setdefault(one.id, one.body) != one.body
        answered[one.id] += one.status == 204
        for content in one.contents:
            receiver = one.path[1:]
            if (receiver, content) not in ids:
                number, lane = content.split(" ")
                cycle, index = number.split(".")
                arrived.setdefault((receiver, lane), []).append((int(cycle), int(index)))
            ids.setdefault((receiver, content), set()).add(one.id)
            if one.status == 204:
                delivered.add((receiver, content))
    report.accepted, report.delivered = len(accepted), len(delivered)
    report.never_said = len(delivered - accepted.keys())
    report.lost = len(accepted.keys() - delivered)
    report.sent_again = sum(times - 1 for times in answered.values() if times > 1)
    report.under_two_ids = sum(len(found) > 1 for found in ids.values())
    report.under_two_ids += sum(
        ids[key] != {delivery} for key, delivery in accepted.items() if key[0] == "single" and key in ids
    )
    report.out_of_order = sum(sum(before > after for before, after in pairwise(order)) for order in arrived.values())


def _check(outbox: Path, report: Report) -> None:
    report.checks += 1
    found = _ask(outbox, "pragma quick_check")
    report.damages += [] if found == "ok" else [found]


def _count(outbox: Path, where: str) -> int:
    return int(_ask(outbox, f"select count(*) from outbox where {where}"))


def _ask(outbox: Path, question: str) -> Any:
    with closing(sqlite3.connect(outbox, timeout=10, isolation_level=None)) as connection:
        return next(iter(connection.execute(question).fetchall()), (None,))[0]


def main(arguments: list[str]) -> int:
    """Run, and print the report; 1 if anything is wrong."""
    if arguments[:1] == ["nursery"]:
        _nurse(json.loads(arguments[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = crash(int(arguments[0]) if arguments else 1000, Path(folder))
    for one in fields(report):
        print(f"{one.name:>14}  {getattr(report, one.name)}")  # noqa: T201 - it is a command
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
