"""Ten thousand attempts that fail leave nothing behind: no open file, no thread, no memory."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NoReturn

import faults
import pytest
from faults import Peer, Script, receiving

from hookplugin.delivery.guard import ANYWHERE, Guard, Lookup, Network
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookspecs import Body, Reason

BODY = Body(content=b"{}")
WARM_UP = 1_000
TIMES = 10_000
EACH = 500
PRIVATE = Network(private="deny")
REFUSAL = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"


@contextmanager
def listening(script: Script) -> Iterator[int]:
    """Run the script for one connection after another, and remember only the last; yield the port."""
    over = threading.Event()
    last: list[socket.socket] = []

    def listen() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                last[:] = [connection]
                with connection, suppress(OSError):
                    script(Peer(connection, over))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        for one in (listener, *last):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        thread.join()


def sender(url: str, network: Network = ANYWHERE, look_up: Lookup | None = None) -> Sender:
    receiver = Receiver.model_validate({"name": "r", "url": url, "timeout": {"total": "5s"}})
    guard = Guard(network, look_up) if look_up else Guard(network)
    return Sender(receiver, Sessions(guard, receiver.tls if receiver.may_need_tls else None))


def nobody(*_: Any) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def failing() -> Iterator[list[tuple[Sender, Reason]]]:
    """Hold a sender for each fault, and the reason that it has."""
    answers = {
        "reset": (faults.resets, "http", Reason.connection),
        "closed": (lambda _: None, "http", Reason.connection),
        "garbage": (faults.NOT_HTTP["garbage"], "http", Reason.invalid_answer),
        "refused": (faults.answers(REFUSAL), "http", Reason.server_error),
        "refused on one connection": (faults.keeps_answering(REFUSAL), "http", Reason.server_error),
        "half the headers": (faults.BROKEN["half the headers"], "http", Reason.connection),
        "more than is read": (faults.answers(REFUSAL + b"x" * 50_000), "http", Reason.server_error),
        "bad location": (faults.ODD_REDIRECTS["bad location"], "http", Reason.redirect),
        "no handshake": (faults.NO_HANDSHAKES["garbage"], "https", Reason.tls),
        "handshake broken off": (faults.BROKEN_HANDSHAKES["closed after the greeting"], "https", Reason.connection),
    }
    with ExitStack() as stack:
        found = [
            (sender(f"{scheme}://127.0.0.1:{stack.enter_context(listening(script))}/"), reason)
            for script, scheme, reason in answers.values()
        ]
        yield [
            *found,
            (sender(f"http://127.0.0.1:{closed_port()}/"), Reason.connection),
            (sender("http://127.0.0.1:9/", PRIVATE), Reason.blocked),
            (sender("http://hooks.example.com/", PRIVATE, lambda *_: [(socket.AF_INET, ("10.0.0.1", 80))]),
             Reason.blocked),
            (sender("http://nobody.example.com/", ANYWHERE, nobody), Reason.connection),
        ]  # fmt: skip


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def running() -> int:
    """Count threads; those that look a name up end by themselves."""
    for thread in threading.enumerate():
        if thread.name.startswith("hookplugin-name"):
            thread.join()
    return threading.active_count()


def test_attempts_that_fail_leave_nothing_behind(failing: list[tuple[Sender, Reason]]) -> None:
    turns = cycle(failing)

    def fail(times: int) -> None:
        for to, reason in islice(turns, times):
            assert to.send("id", BODY, {}).outcome.reason is reason

    fail(WARM_UP)
    gc.collect()
    files, threads = open_files(), running()
    with faults.little_memory():
        for _ in range((TIMES - WARM_UP) // EACH):
            fail(EACH)
            assert open_files() <= files + len(failing)  # a receiver may not have closed its end yet
            assert running() == threads


def test_a_thread_that_ends_leaves_no_connection_open() -> None:
    with receiving(faults.keeps_answering(faults.OK)) as receiver:
        to = sender(f"http://127.0.0.1:{receiver.port}/")
        for _ in range(50):
            thread = threading.Thread(target=to.send, args=("id", BODY, {}))
            thread.start()
            thread.join()
            assert receiver.peers[-1].gone.wait(5)
        assert len(receiver.peers) == 50
