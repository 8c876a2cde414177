"""What the outbox costs: python tests/benchmarks/outbox.py [PART …], each beside a reference of the same run."""

from __future__ import annotations

import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import IO, Any

import requests

from hookplugin import Alert, Host
from hookplugin.bodies.rendering import Bodies
from hookplugin.delivery.deliverer import Deliverer
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Work
from hookplugin.delivery.rounds import Rounds
from hookplugin.outbox import statements
from hookplugin.outbox.rows import Claimed, Waiting, alert_text, delivery_row
from hookplugin.outbox.store import Entry, Store
from hookplugin.strategy.notify import Known
from hookspecs import Delivery, Outcome

HERE = Path(__file__).parent
DRAIN = """
import json, sys
from hookplugin import Host
host = Host(json.load(sys.stdin))
host.resume()
print(flush=True)
host.close(600)
"""
DELIVERED = Attempt(Outcome(state="delivered", status=204))


def alert(number: int, **tags: str) -> Alert:
    return Alert(
        content="disk 95% full", target=f"linux.disk.{number}", priority="critical",
        tags={"env": "prod", "service": "api-7", **tags},
    )  # fmt: skip


def at(values: Sequence[float], part: float) -> float:
    """Return a percentile in milliseconds."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] * 1000


@contextmanager
def sink() -> Iterator[str]:
    """Run the receiver; yield its address."""
    with subprocess.Popen([sys.executable, str(HERE / "sink.py")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="outbox-", dir=os.environ.get("OUTBOX_DIR")) as name:
        yield Path(name)


def config(path: Path, receivers: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Send an alert to the receiver that its tag `to` names, or to all if it has none."""
    strategies = [
        {"name": one["name"], "receivers": [one["name"]], "match": [f'to=~"|{one["name"]}"']} for one in receivers
    ]
    return {"outbox": f"sqlite:///{path}", "receivers": receivers, "strategies": strategies, **more}


def to(address: str) -> dict[str, Any]:
    return {"name": "sink", "url": f"{address}/0"}


# Deliveries a second


def without_outbox(receiver: dict[str, Any], alerts: Sequence[Alert], threads: int) -> float:
    """Deliver with the same threads and the same sender, out of a queue in memory; return deliveries a second."""
    deliverer = Deliverer([Receiver.model_validate(receiver)], Bodies())
    jobs: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    for one in alerts:
        jobs.put(one)

    def serve() -> None:
        while True:
            try:
                one = jobs.get_nowait()
            except queue.Empty:
                return
            delivery = Delivery(id=f"{one.id:x}", alert=one, receiver="sink", body="hertzbeat")
            outcome = deliverer.deliver(Claimed(delivery.id, (delivery,), inf)).outcome
            assert outcome.state == "delivered", outcome

    crew = [threading.Thread(target=serve) for _ in range(threads)]
    started = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return len(alerts) / (time.perf_counter() - started)


def with_outbox(receiver: dict[str, Any], alerts: Sequence[Alert]) -> float:
    """Deliver what waits in an outbox file; return deliveries a second."""
    with folder() as place:
        told = config(place / "outbox.db", [receiver])
        host = Host(told, dispatch=False)
        for start in range(0, len(alerts), 500):
            host.fire_all(alerts[start : start + 500])
        host.close()
        host = Host(told)
        started = time.perf_counter()
        host.resume()
        left = host.close(600)
        assert left == 0, left
        return len(alerts) / (time.perf_counter() - started)


def throughput(threads: int, delay: float, count: int, passes: int) -> None:
    alerts = [alert(number) for number in range(count)]
    ratios, limits, rates = [], [], []
    with sink() as address:
        receiver = {"name": "sink", "url": f"{address}/{delay}", "max_in_flight": threads}
        for _ in range(passes):
            limits.append(without_outbox(receiver, alerts, threads))
            rates.append(with_outbox(receiver, alerts))
            limits.append(without_outbox(receiver, alerts, threads))
            ratios.append(rates[-1] / statistics.mean(limits[-2:]))
    print(
        f"{delay * 1000:g} ms receiver, {threads} threads: {statistics.median(rates):.0f} deliveries/s"
        f" ({min(rates):.0f}–{max(rates):.0f}), without outbox {statistics.median(limits):.0f};"
        f" {statistics.median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})"
    )


# Latency


def sync(file: IO[bytes], pause: float) -> float:
    """Return the seconds that syncing 4 KiB takes."""
    file.write(b"x" * 4096)
    file.flush()
    started = time.perf_counter()
    os.fsync(file.fileno())
    taken = time.perf_counter() - started
    time.sleep(pause)
    return taken


def fire(host: Host, number: int, pause: float) -> tuple[float, float, str]:
    """Fire an alert; return when, how long it took, and the delivery."""
    one = alert(number)
    started = time.perf_counter()
    receipt = host.fire(one)
    taken = time.perf_counter() - started
    assert receipt.durable, receipt
    time.sleep(pause)
    return started, taken, receipt.accepted[0]


def latency() -> None:
    with sink() as address, folder() as place:
        told = config(place / "outbox.db", [{"name": "sink", "url": f"{address}/0"}])
        with Host(told) as host:
            fire(host, -1, 0.5)
            disk, fired = [], []
            with (place / "sync").open("wb") as file:
                for number in range(500):  # in turn: the machine's mood is the same for both
                    fired.append(fire(host, number, 0.005))
                    disk.append(sync(file, 0.005))
        arrived: dict[str, float] = requests.get(address, timeout=30).json()
        taken = [seconds for _, seconds, _ in fired]
        ways = [arrived[delivery] - started for started, _, delivery in fired]
    print(
        f"idle: fire {at(taken, 0.5):.3f} ms p50, {at(taken, 0.99):.3f} p99; fsync {at(disk, 0.5):.3f} p50:"
        f" {at(taken, 0.5) / at(disk, 0.5):.1f} ×; fire to arrival {at(ways, 0.5):.2f} p50, {at(ways, 0.99):.2f} p99"
    )


def draining(*, other_process: bool, threads: int, count: int = 20_000) -> None:
    with sink() as address, folder() as place:
        receiver = {"name": "sink", "url": f"{address}/0", "max_in_flight": threads}
        told = config(place / "outbox.db", [receiver])
        host = Host(told, dispatch=False)
        host.fire_all([alert(number) for number in range(count)])
        host.close()
        command = [sys.executable, "-c", DRAIN]
        process = None
        if other_process:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(told))
            process.stdin.close()
            process.stdout.readline()
        host = Host(told, dispatch=not other_process)
        if not other_process:
            host.resume()
        time.sleep(0.3)
        taken = [fire(host, count + number, 0.005)[1] for number in range(200)]
        assert Store(told["outbox"]).unsettled(["sink"]) > 1000, "it drains no more"
        host.close(600)
        if process:
            process.wait()
    where = "beside another process" if other_process else "in the same process"
    print(
        f"fire {where} that drains with {threads} threads: {at(taken, 0.5):.1f} ms p50,"
        f" {at(taken, 0.99):.1f} p99, {max(taken) * 1000:.1f} at most"
    )


# Many that wait


def million(count: int) -> None:
    """Compare accepting and claiming 16 in an empty file and in one where many wait."""
    found = {}
    for waiting in (0, count):
        with folder() as place:
            store = Store(f"sqlite:///{place}/outbox.db", max_pending=2 * count)
            if waiting:
                fill(store, waiting)
            found[waiting] = sixteens(store)
            store.close()
    for name in found[0]:
        empty, full = at(found[0][name], 0.5), at(found[count][name], 0.5)
        print(f"{name} of 16: empty {empty:.3f} ms p50, beside {count} that wait {full:.3f}; {full / empty:.2f} ×")


def fill(store: Store, count: int) -> None:
    """Let deliveries wait, each of an alert of its own."""

    def work(start: int, connection: Any) -> None:
        rows, known = [], []
        for number in range(start, min(start + 20_000, count)):
            one = alert(number)
            delivery = Delivery(id=f"{number:032x}", alert=one, receiver="sink", body="hertzbeat")
            rows.append(delivery_row(Waiting(delivery, 86400.0), alert_text(one).whole, time.time()))
            known.append((one.fingerprint, 1, time.time(), "[]"))
        connection.executemany(statements.ADD, rows)
        connection.executemany("insert into seen(fingerprint, firing, at, notified) values (?, ?, ?, ?)", known)

    for start in range(0, count, 20_000):
        (done,) = store.commit([partial(work, start)])
        assert done.error is None, done.error


def sixteens(store: Store) -> dict[str, list[float]]:
    """Accept 16, and claim 16, again and again; return the seconds of each."""
    receiver = Receiver.model_validate({"name": "sink", "url": "http://127.0.0.1:9", "max_in_flight": 16})
    rounds = Rounds(store, Work({"sink": receiver}, lambda _: DELIVERED), lambda _: None)
    taken: dict[str, list[float]] = {"accept": [], "claim and settle": []}
    for turn in range(300):
        incoming = []
        for number in range(16):
            one = alert(10**9 + turn * 16 + number)
            delivery = Delivery(id=f"b{turn:015x}{number:016x}", alert=one, receiver="sink", body="hertzbeat")
            incoming.append((one, partial(entry, delivery)))
        started = time.perf_counter()
        entries = store.accept(incoming)
        assert all(len(one.waiting) == 1 for one in entries)
        taken["accept"].append(time.perf_counter() - started)
        rounds.look_around()
        started = time.perf_counter()
        (done,) = store.commit([rounds.run])
        assert done.error is None, done.error
        rounds.end(done)
        taken["claim and settle"].append(time.perf_counter() - started)
        for _ in range(16):
            if job := rounds.begin("sink"):
                rounds.finish(job.claimed, DELIVERED)
    return taken


def entry(delivery: Delivery, known: Known, _: float) -> Entry:
    return Entry((Waiting(delivery, 86400.0),), (), known)


# Neighbours


def neighbours(count: int = 10_000, pace: float = 500.0) -> None:
    """Fire at a pace, each alert to one of the receivers in turn; see how long the healthy ones wait for theirs."""
    with sink() as address:
        healthy = [{"name": f"healthy-{number}", "url": f"{address}/0"} for number in range(8)]
        bad = [{"name": "dead", "url": "http://127.0.0.1:9/"}, {"name": "slow", "url": f"{address}/2"}]
        alone = ways(address, healthy, count * 8 // 10, pace * 8 / 10)
        beside = ways(address, [*healthy, *bad], count, pace)
    print(
        f"eight healthy receivers, {count} alerts: fire to arrival {at(alone, 0.5):.1f} ms p50,"
        f" {at(alone, 0.99):.1f} p99;"
        f" beside a dead one and one of 2 s {at(beside, 0.5):.1f}, {at(beside, 0.99):.1f}:"
        f" {at(beside, 0.99) / at(alone, 0.99):.2f} ×"
    )


def ways(address: str, receivers: Sequence[dict[str, Any]], count: int, pace: float) -> list[float]:
    """Return the seconds from `fire` to the arrival at each healthy receiver."""
    started: dict[str, float] = {}
    with folder() as place, Host(config(place / "outbox.db", receivers)) as host:
        begun = time.perf_counter()
        for number in range(count):
            time.sleep(max(0.0, begun + number / pace - time.perf_counter()))
            name = receivers[number % len(receivers)]["name"]
            one = alert(number, to=name)
            now = time.perf_counter()
            receipt = host.fire(one)
            if name.startswith("healthy"):
                started[receipt.accepted[0]] = now
        host.close(5)
    arrived: dict[str, float] = requests.get(address, timeout=30).json()
    return [arrived[delivery] - now for delivery, now in started.items()]


def idle() -> None:
    """Measure what a host costs that has nothing to do."""
    with sink() as address, folder() as place, Host(config(place / "outbox.db", [to(address)])) as host:
        fire(host, 0, 1.0)
        started, spent = time.perf_counter(), time.process_time()
        time.sleep(10)
        share = (time.process_time() - spent) / (time.perf_counter() - started)
    print(f"idle: {share * 100:.2f} % of a core")


PARTS: dict[str, Callable[[], None]] = {
    "throughput": lambda: throughput(16, 0, 4000, 7),
    "few": lambda: throughput(4, 0, 4000, 5),
    "waiting": lambda: throughput(64, 0.05, 4000, 3),
    "latency": latency,
    "draining": lambda: draining(other_process=False, threads=16),
    "draining-few": lambda: draining(other_process=False, threads=4),
    "beside": lambda: draining(other_process=True, threads=16),
    "million": lambda: million(1_000_000),
    "neighbours": neighbours,
    "idle": idle,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
