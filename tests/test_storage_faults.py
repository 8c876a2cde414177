"""Storage that fails: the host goes on from memory, says so, and goes back to the file when that works again."""

from __future__ import annotations

import json
import logging
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from counting import Counting, Heard, counting
from storing import Clock, Turns, accept, processes_in_turn

from hookplugin import Alert, Host
from hookplugin.outbox.opening import PATIENCE
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Store
from hookspecs import Delivery, Outcome, Reason

Config: TypeAlias = dict[str, Any]
Fault: TypeAlias = Callable[[Path], AbstractContextManager[object]]

AT_ONCE = 1.0  # seconds; noise of the machine, and no more
PATIENT = {"read": "30s", "total": "30s"}

HOLDS = """
import sqlite3, sys
print("ready", flush=True)
connection = sqlite3.connect(sys.stdin.readline().rstrip(), isolation_level=None)
connection.execute("begin exclusive")
print("held", flush=True)
sys.stdin.read()
"""

# In another process: closing the file here would drop the locks of the host.
CORRUPTS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("update tally set refused = refused")  # so that nobody has read it yet
connection.execute("pragma wal_checkpoint(truncate)")
with open(sys.argv[1], "r+b") as stream:
    first, last = int(sys.argv[2]), int(sys.argv[3]) or stream.seek(0, 2)
    stream.seek(first)
    stream.write(bytes([0xA5]) * (last - first))
"""


def files_of(outbox: Path) -> list[Path]:
    return sorted(outbox.parent.glob(f"{outbox.name}*"))


@contextmanager
def full(outbox: Path) -> Iterator[None]:
    """Fill the disk."""
    filler = outbox.with_name("filler")
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def over_a_limit(outbox: Path) -> Iterator[None]:
    """Let this process write no file beyond what the log of the outbox has now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = outbox.with_name(f"{outbox.name}-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size if log.exists() else 4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(outbox: Path) -> Iterator[None]:
    """Let nobody write the files, root included."""
    files = [file for file in files_of(outbox) if not file.name.endswith("-shm")]  # is mapped: the kernel would kill us
    subprocess.run(["chattr", "+i", *files], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@contextmanager
def locked(outbox: Path) -> Iterator[None]:
    """Let another process hold the lock."""
    with processes_in_turn(1, HOLDS) as ask:
        assert ask(str(outbox)) == ["held\n"]
        yield


@contextmanager
def corrupt(outbox: Path, first: int = 4096, last: int = 0) -> Iterator[None]:
    """Overwrite some bytes, all but the first page unless told; at the end, do what the log says."""
    subprocess.run([sys.executable, "-c", CORRUPTS, str(outbox), str(first), str(last)], check=True)
    yield
    for file in files_of(outbox):
        file.rename(file.with_name(f"broken-{file.name}"))


@dataclass(frozen=True)
class Case:
    """A fault."""

    fault: Fault
    first: float = AT_ONCE
    """Seconds that it may take to be noticed."""
    keeps: bool = True
    """Whether what was in the file before is there again."""
    advice: str = "move it away, and a new one is made"
    """What the log says that people can do."""


CASES = {
    "full": Case(full, advice="is the disk full"),
    "over a limit": Case(over_a_limit, advice="is the disk full"),
    "read-only": Case(read_only, advice="may this user write it, and the folder that it is in?"),
    "locked": Case(locked, PATIENCE + AT_ONCE, advice="another program holds it"),
    "corrupt": Case(corrupt, keeps=False),
    "corrupt in the header": Case(partial(corrupt, first=0, last=100), keeps=False),
}


@pytest.fixture
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return the path of an outbox on a disk that the fault needs."""
    case = request.getfixturevalue("case") if "case" in request.fixturenames else None
    mount: list[str] = []
    if case and case.fault is full:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    elif case and case.fault is read_only:
        (tmp_path / "try").touch()
        mount = ["chattr", "+i", str(tmp_path / "try")]
    if mount and (not shutil.which(mount[0]) or subprocess.run(mount, capture_output=True, check=False).returncode):
        pytest.skip(f"{mount[0]} needs root")
    yield tmp_path / "outbox.db"
    if mount[:1] == ["mount"]:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    elif mount:
        subprocess.run(["chattr", "-i", str(tmp_path / "try")], check=True)


class Receiver:
    """Answers at once on /ok, when it is let go on /slow, and well on /down only when it is up again."""

    counted: Counting

    def __init__(self) -> None:
        self.go = threading.Event()
        self.is_up = False

    def answer(self, heard: Heard) -> int:
        if heard.path == "/slow":
            self.go.wait(30)
        return 503 if heard.path == "/down" and not self.is_up else 204

    def delivered(self, path: str) -> list[str]:
        return sorted(self.counted.contents(path))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    with counting(found.answer) as found.counted:
        yield found
        found.go.set()


@pytest.fixture
def config(receiver: Receiver, outbox: Path) -> Config:
    names = ("ok", "slow", "down")
    return {
        "outbox": f"sqlite:///{outbox}",
        "receivers": [{"name": name, "url": f"{receiver.counted.url}/{name}", "timeout": PATIENT} for name in names],
        "strategies": [{"name": name, "receivers": [name], "tags": {"to": name}} for name in names],
    }


def alert(to: str, content: str, target: str | None = None) -> Alert:
    return Alert(content=content, target=target or content, tags={"to": to})


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pending(outbox: Path) -> set[str]:
    """Return what waits in the file."""
    with closing(sqlite3.connect(outbox)) as connection:
        rows = connection.execute("select alert from outbox where state <= 3").fetchall()
    return {json.loads(text)["content"] for (text,) in rows}


STARTS = {"while it runs": False, "when it starts": True}


@pytest.mark.parametrize(
    ("case", "starts"),
    [
        pytest.param(case, starts, id=f"{name}, {when}")
        for name, case in CASES.items()
        for when, starts in STARTS.items()
        if not (name == "corrupt in the header" and starts)  # it may be any file then: a mistake, and no fault
    ],
)
def test_while_the_file_fails_alerts_go_out_from_memory_and_what_waits_is_moved_when_it_works_again(
    case: Case, *, starts: bool, config: Config, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Path(config["outbox"].removeprefix("sqlite:///"))
    with ExitStack() as stack:
        before = Host(config)
        assert before.fire_all([alert(to, f"{to} before") for to in ("ok", "slow", "down")]).durable
        until(lambda: len(receiver.counted.heard) >= 3 and receiver.delivered("/ok"))
        if starts:
            receiver.go.set()
            assert before.close() == 1
        caplog.clear()

        with case.fault(outbox):
            began = time.monotonic()
            host = stack.enter_context(Host(config) if starts else before)
            first = host.fire(alert("ok", "ok first"))
            assert time.monotonic() - began < case.first
            began = time.monotonic()
            lane = (alert("down", "down meanwhile"), alert("down", "down next", target="down meanwhile"))
            second = host.fire_all([alert("ok", "ok second"), *lane])
            assert time.monotonic() - began < AT_ONCE
            assert [first.durable, second.durable, host.durable] == [False] * 3
            assert [len(first.accepted), len(second.accepted), first.refused, second.refused] == [1, 3, (), ()]
            assert [one and one.state for one in host.wait(first).values()] == ["delivered"]
            until(lambda: "ok second" in receiver.delivered("/ok"))
            receiver.go.set()
            until(lambda: receiver.delivered("/slow"))

        until(lambda: host.durable)
        third = host.fire(alert("ok", "ok third"))
        assert third.durable
        assert [one and one.state for one in host.wait(third).values()] == ["delivered"]
        kept = {"down meanwhile", "down next"} | ({"down before"} if case.keeps else set())
        until(lambda: pending(outbox) == kept)
        receiver.is_up = True
        until(lambda: not pending(outbox))
        assert host.close() == 0

    assert receiver.delivered("/ok") == ["ok before", "ok first", "ok second", "ok third"]
    assert receiver.delivered("/slow") == ["slow before"]
    assert receiver.delivered("/down") == sorted(kept)
    arrived = [one.contents[0] for one in receiver.counted.heard]
    assert "down meanwhile" not in arrived[arrived.index("down next") :]
    ids = {one.id: one.contents for one in receiver.counted.heard}
    assert len({text for texts in ids.values() for text in texts}) == len(ids)  # nothing is sent under two ids
    said = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "hookplugin"]
    assert [level for level, _ in said] == [logging.ERROR, logging.WARNING], said
    assert said[0][1].startswith(f"the outbox {outbox} failed: ")
    assert said[0][1].endswith("; deliveries are kept in memory until it works again")
    is_open = case.fault is read_only and not starts  # then the system does not say why it cannot be written
    assert ("disk I/O error" if is_open else case.advice) in said[0][1]
    assert said[1][1].startswith(f"the outbox {outbox} works again; deliveries that were moved there from memory: ")


@pytest.mark.parametrize("seconds", [0, 10], ids=["at once", "in time"])
def test_what_waits_in_memory_goes_into_the_file_at_the_latest_when_the_host_is_closed(
    seconds: float, config: Config, outbox: Path
) -> None:
    host = Host(config)
    assert host.fire(alert("down", "down before")).durable
    with over_a_limit(outbox):
        assert not host.fire(alert("down", "down meanwhile")).durable
    host.close(seconds)
    assert pending(outbox) == {"down before", "down meanwhile"}


def test_what_is_accepted_after_the_file_was_deleted_is_in_a_file_or_not_called_durable(
    config: Config, outbox: Path
) -> None:
    with Host(config) as host:
        assert host.fire(alert("down", "down before")).durable
        for file in files_of(outbox):
            file.unlink()
        first = host.fire(alert("down", "down first"))
        assert not first.durable or pending(outbox) == {"down first"}
        until(lambda: host.fire(alert("ok", "ok again")).durable)
        assert host.close() == 1
    assert pending(outbox) == {"down first"}


def test_beyond_max_pending_alerts_are_refused_with_the_reason_until_there_is_room_again(
    config: Config, outbox: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    reason = f"the outbox {outbox} is full: 5 deliveries wait, and max_pending is 5"
    with Host(config | {"max_pending": 5}, dispatch=False) as host:
        accepted = [host.fire(alert("ok", f"ok {number}")) for number in range(5)]
        assert [len(receipt.accepted) for receipt in accepted] == [1] * 5
        for content in ("sixth", "seventh"):
            receipt = host.fire(alert("ok", content))
            assert [(unsent.alert and unsent.alert.content, unsent.reason) for unsent in receipt.refused] == [
                (content, reason)
            ]
            assert (receipt.deliveries, receipt.suppressed) == ((), ())
        nobody = host.fire(alert("nobody", "for nobody"))  # takes no room
        assert (nobody.refused, len(nobody.suppressed)) == ((), 1)
        with Host(config) as other:
            until(lambda: len(receiver.delivered("/ok")) == 5 and not pending(outbox))
            assert other.close() == 0
        assert len(host.fire(alert("ok", "eighth")).accepted) == 1
    with closing(sqlite3.connect(outbox)) as connection:
        assert connection.execute("select pending, refused from tally").fetchall() == [(1, 2)]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [reason]


@pytest.mark.parametrize(
    ("settings", "fail"),
    [
        pytest.param({}, 1, id="a retry"),
        pytest.param({}, 10, id="a breaker"),
        pytest.param({"rate": "1/m"}, 0, id="a rate"),
        pytest.param({"batch": {"wait": "5s", "max": 100}}, 0, id="a batch"),
    ],
)
def test_after_the_clock_was_set_back_an_hour_nothing_waits_for_it_to_catch_up(
    settings: Config, fail: int, outbox: Path
) -> None:
    clock = Clock()
    clock.time = 1e9
    with closing(Store(f"sqlite:///{outbox}", clock)) as store:
        turns = Turns(store, "ops", max_in_flight=10, **settings)
        accept(store, *(_delivery(f"{number}") for number in range(fail or 2)))
        for claimed in turns.claim()[:fail]:
            turns.settle(claimed, Outcome(state="dead", reason=Reason.server_error, status=503))
        clock.time -= 3600
        begun: list[Claimed] = []
        while not begun and clock.time < 1e9 - 3590:
            clock.time += 1
            begun += turns.claim()
        assert begun


def test_after_the_clock_was_set_back_an_hour_a_living_process_keeps_what_it_has_on_the_wire(outbox: Path) -> None:
    clock = Clock()
    clock.time = 1e9
    url = f"sqlite:///{outbox}"
    with closing(Store(url, clock)) as store, closing(Store(url, clock)) as other:
        one, two = Turns(store, "ops"), Turns(other, "ops")
        accept(store, _delivery("only"))
        (claimed,) = one.claim()
        clock.time -= 3600
        one.round()
        assert two.claim() == []
        one.settle(claimed, Outcome(state="delivered", status=204))
        assert [outcome.state for _, outcome in one.settled] == ["delivered"]


def _delivery(name: str) -> Delivery:
    return Delivery(id=name, alert=Alert(content=name, target=name), receiver="ops", body="hertzbeat")


@pytest.mark.parametrize(
    ("command", "code"), [(["alerts", "list"], 1), (["explain"], 0)], ids=["alerts list", "explain"]
)
@pytest.mark.parametrize("first", [0, 4096], ids=["in the header", "behind it"])
def test_commands_say_that_the_outbox_is_corrupt(
    command: list[str], code: int, first: int, config: Config, outbox: Path
) -> None:
    with Host(config, dispatch=False) as host:
        host.fire(alert("ok", "ok before"))
    file = outbox.with_name("hookplugin.yaml")
    file.write_text(json.dumps(config), encoding="utf-8")
    with corrupt(outbox, first):
        done = subprocess.run(
            [Path(sys.executable).with_name("hookplugin"), *command, "--config", file],
            input=alert("ok", "anything").model_dump_json(), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert f"the outbox {outbox} failed: " in " ".join((done.stdout + done.stderr).split())
