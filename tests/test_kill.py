"""Processes that are killed: what they accepted arrives, under the same id."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from counting import Counting, Heard, counting
from crash import crash

IN_FLIGHT = 4
WITHIN = 2.0  # seconds; the bound

FIRES = """
import json, sys, time
from hookplugin import Alert, Host
host = Host(json.loads(sys.argv[1]))
receipt = host.fire_all([Alert(content=f"alert {number}", target=f"{number}") for number in range(int(sys.argv[2]))])
print(json.dumps([receipt.durable, *receipt.accepted]), flush=True)
time.sleep(60)
"""

DELIVERS = """
import json, sys, time
from hookplugin import Host
print("started", flush=True)
with Host(json.loads(sys.argv[1])):
    print("delivers", flush=True)
    sys.stdin.read()
"""


class Holding:
    """A receiver that answers nothing until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, _: Heard) -> int:
        self.go.wait(30)
        return 204


@pytest.fixture
def holding() -> Iterator[Holding]:
    found = Holding()
    yield found
    found.go.set()


@pytest.fixture
def receiver(holding: Holding) -> Iterator[Counting]:
    with counting(holding) as found:
        yield found
        holding.go.set()


@pytest.fixture(params=["in single requests", "in a batch"])
def config(request: pytest.FixtureRequest, receiver: Counting, tmp_path: Path) -> dict[str, Any]:
    batch = {"batch": {"wait": "10ms", "max": IN_FLIGHT}} if request.param == "in a batch" else {}
    return {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "receivers": [{"name": "ops", "url": receiver.url, "max_in_flight": IN_FLIGHT, **batch}],
        "strategies": [{"name": "all", "match_all": True, "receivers": ["ops"]}],
    }


@contextmanager
def running(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """Start a process, and kill it at the end; yield it, and what reads a line of its output."""
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        stack.callback(process.kill)
        assert process.stdout
        yield process, process.stdout.readline


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def texts(heard: list[Heard]) -> list[str]:
    return sorted(text for one in heard for text in one.contents)


def test_whatever_was_accepted_before_a_kill_arrives_in_order_and_under_one_id(tmp_path: Path) -> None:
    report = crash(25, tmp_path)
    assert report.wrong == {}
    assert report.accepted > 100


def test_after_a_kill_and_a_restart_what_was_on_the_wire_is_sent_again_under_its_id_within_two_seconds(
    config: dict[str, Any], receiver: Counting, holding: Holding
) -> None:
    with running(FIRES, json.dumps(config), str(IN_FLIGHT)) as (process, _):
        until(lambda: len(texts(receiver.heard)) == IN_FLIGHT)
        kill(process)
    first = list(receiver.heard)
    with running(DELIVERS, json.dumps(config)) as (_, said):
        assert said() == "started\n"
        restarted = time.monotonic()
        until(lambda: len(texts(receiver.heard)) == 2 * IN_FLIGHT)
        again = receiver.heard[len(first) :]
        took = max(one.at for one in again) - restarted
        assert took < WITHIN
        assert {one.id: one.body for one in again} == {one.id: one.body for one in first}
        assert len(texts(again)) == len(set(texts(again)))
        holding.go.set()
        until(lambda: all(one.status for one in receiver.heard))
    assert len(receiver.heard) == 2 * len(first)


def test_another_process_that_lives_sends_what_a_killed_one_had_on_the_wire_within_two_seconds(
    config: dict[str, Any], receiver: Counting, holding: Holding
) -> None:
    with ExitStack() as stack:
        process, accepted = stack.enter_context(running(FIRES, json.dumps(config), str(IN_FLIGHT)))
        assert json.loads(accepted())[0] is True
        until(lambda: len(texts(receiver.heard)) == IN_FLIGHT)
        _, said = stack.enter_context(running(DELIVERS, json.dumps(config)))
        assert [said(), said()] == ["started\n", "delivers\n"]
        time.sleep(0.6)  # it looks around meanwhile, and leaves alone what a living process has on the wire
        first = list(receiver.heard)
        assert len(texts(first)) == IN_FLIGHT
        killed = time.monotonic()
        kill(process)
        until(lambda: len(texts(receiver.heard)) == 2 * IN_FLIGHT)
        again = receiver.heard[len(first) :]
        took = max(one.at for one in again) - killed
        assert took < WITHIN
        assert {one.id: one.body for one in again} == {one.id: one.body for one in first}
        holding.go.set()
