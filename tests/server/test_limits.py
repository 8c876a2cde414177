"""What strangers, and broken senders, cannot do: fill memory, hold places for ever, or keep others out."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from faults import little_memory
from serving import JSON, Served, everything, request

from hookplugin.server.intake import Limits
from hookplugin.server.listening import Connection

Serve = Callable[..., Served]

ALERT = b'{"content": "x"}'
CHUNKED = request("/api/v1/alerts/json", b"", "Transfer-Encoding: chunked")


class Hasty(Connection):
    """A connection of short deadlines."""

    idle = 0.5
    longest = 2.0


class Few(Connection):
    """One of few connections."""

    most = 5


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def body(answer: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def chunks(data: bytes, size: int) -> bytes:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def pour(connection: socket.socket, data: bytes, *, pause: float = 0.0) -> int:
    """Send this again and again, until the other side has had enough; return how many bytes it took."""
    sent, over, deadline = 0, threading.Event(), time.monotonic() + 30
    with suppress(ConnectionError):
        while time.monotonic() < deadline:
            connection.sendall(data)
            sent += len(data)
            over.wait(pause)
        pytest.fail("it is never cut off")
    return sent


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_that_is_too_large_is_a_413_that_can_be_read(serve: Serve, *, chunked: bool) -> None:
    served = serve(limits=Limits(size=100_000))
    large = b'{"content": "%b"}' % (b"x" * 3_000_000)
    data = iter([large]) if chunked else large
    with little_memory():
        answer = served.post("/api/v1/alerts/json", data=data, headers=JSON)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the body is larger than 100000 bytes"}
    fits = served.post("/api/v1/alerts/json", data=b'{"content": "%b"}' % (b"x" * 99_000), headers=JSON)
    assert fits.status_code == 200


def test_a_length_that_nobody_would_wait_for_is_refused_at_once(serve: Serve) -> None:
    served = serve()
    answer = served.say(request("/api/v1/alerts/json", b"", "Expect: 100-continue", length=10**15))
    assert (status(answer), b"connection: close" in answer.lower()) == (413, True)


def test_a_stream_without_end_is_cut(serve: Serve) -> None:
    served = serve(limits=Limits(size=100_000))
    with served.connect() as connection, little_memory():
        connection.sendall(CHUNKED)
        answers: list[bytes] = []
        reader = threading.Thread(target=lambda: answers.append(connection.recv(65536)))
        reader.start()
        sent = pour(connection, b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        reader.join()
    assert status(answers[0]) == 413
    assert sent < 64 * 2**20


def test_too_many_alerts_in_one_body_are_a_413(serve: Serve) -> None:
    served = serve(limits=Limits(alerts=2))
    for path, payload in (
        ("/api/v1/alerts/json", [{"content": "x"}] * 3),
        ("/api/v1/alerts/alertmanager", {"version": "4", "alerts": [{"labels": {"a": "b"}}] * 3}),
    ):
        answer = served.post(path, json=payload)
        assert answer.status_code == 413
        assert answer.json() == {"error": "3 alerts are too many for one request; send at most 2"}
    assert served.post("/api/v1/alerts/json", json=[{"content": "x"}] * 2).status_code == 200


def test_a_payload_that_blows_up_when_parsed_stays_within_bounds(serve: Serve) -> None:
    served = serve()
    with little_memory(700):
        answer = served.post("/api/v2/alerts", data=b"[" + b"[]," * 5_000_000 + b"[]]", headers=JSON)
    assert answer.status_code == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "boo"])
def test_a_compressed_body_is_a_415(serve: Serve, encoding: str) -> None:
    headers = {**JSON, "Content-Encoding": encoding}
    answer = serve().post("/api/v1/alerts/json", data=gzip.compress(ALERT), headers=headers)
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/problem+json"])
def test_json_may_be_called_by_any_of_its_names(serve: Serve, kind: str) -> None:
    answer = serve().post("/api/v1/alerts/json", data=ALERT, headers={"Content-Type": kind})
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json", "text/json+x"])
def test_what_does_not_say_that_it_is_json_is_a_415(serve: Serve, kind: str) -> None:
    answer = serve().post("/api/v1/alerts/json", data=ALERT, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["error"].endswith("Content-Type: application/json")


@pytest.mark.parametrize("head", [request(length=100), CHUNKED + b"99\r\n{"], ids=["with its length", "in chunks"])
def test_a_body_that_trickles_in_is_a_408_and_frees_its_place(serve: Serve, head: bytes) -> None:
    served = serve(limits=Limits(seconds=0.5, requests=1))
    with served.connect() as connection:
        connection.sendall(head)
        over = threading.Event()

        def trickle() -> None:
            while not over.wait(0.1):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        answer = everything(connection)
        over.set()
        thread.join()
    assert status(answer) == 408
    assert body(answer) == {"error": "the body took longer than 0.5 s"}
    assert served.post("/api/v1/alerts/json", data=ALERT, headers=JSON).status_code == 200


def test_beyond_the_most_requests_there_is_a_503_and_others_are_answered_still(serve: Serve) -> None:
    served = serve(limits=Limits(requests=3))
    with ExitStack() as stack:
        held = [stack.enter_context(served.connect()) for _ in range(3)]
        for connection in held:
            connection.sendall(request(length=len(ALERT), body=ALERT[:5]))
        deadline = time.monotonic() + 30
        while (answer := served.post("/api/v1/alerts/json", data=ALERT, headers=JSON)).status_code == 200:
            assert time.monotonic() < deadline
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json() == {"error": "3 requests are under way; try again"}
        assert [served.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
        for connection in held:
            connection.sendall(ALERT[5:])
            assert status(connection.recv(65536)) == 200
    assert served.post("/api/v1/alerts/json", data=ALERT, headers=JSON).status_code == 200


def test_all_bodies_together_are_bounded(serve: Serve) -> None:
    served = serve(limits=Limits(held=50_000))
    with served.connect() as connection:
        connection.sendall(request(length=45_000, body=b" " * 40_000))
        deadline = time.monotonic() + 30
        large = b'{"content": "%b"}' % (b"x" * 20_000)
        while (answer := served.post("/api/v1/alerts/json", data=large, headers=JSON)).status_code == 200:
            assert time.monotonic() < deadline
        assert (answer.status_code, answer.json()) == (503, {"error": "too much is under way; try again"})
    deadline = time.monotonic() + 30
    while served.post("/api/v1/alerts/json", data=large, headers=JSON).status_code != 200:  # once it has heard of it
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "parts",
    [b"", b"P", b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nX-A: "],
    ids=["silence", "one byte", "half a head"],
)
def test_a_connection_without_a_request_is_closed(serve: Serve, parts: bytes) -> None:
    served = serve(connection=Hasty)
    assert served.say(parts) == b""


def test_a_trickled_head_is_cut(serve: Serve) -> None:
    served = serve(connection=Hasty)
    with served.connect() as connection:
        assert pour(connection, b"X", pause=0.02) < 1000


def test_a_connection_that_was_used_is_closed_when_nothing_more_comes(serve: Serve) -> None:
    served = serve(connection=Hasty)
    answer = served.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(answer) == 200
    answer = served.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nG")  # one byte of the next is not enough
    assert status(answer) == 200


def test_requests_one_behind_the_other_are_all_answered_in_order(serve: Serve) -> None:
    served = serve(connection=Hasty)
    answer = served.say(
        request() + request("/nope") + request(body=b"[]") + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200, 200]


def test_who_never_reads_answers_is_cut_off(serve: Serve) -> None:
    served = serve(connection=Hasty)
    with served.connect() as connection:
        assert pour(connection, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000) > 0


def test_beyond_the_most_connections_there_is_a_503_until_one_is_closed(serve: Serve) -> None:
    served = serve(connection=Few)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(served.connect())
        deadline = time.monotonic() + 30
        while status(answer := served.say()) != 503:
            assert time.monotonic() < deadline
        assert body(answer) == {"error": "too many connections; try again"}
    deadline = time.monotonic() + 30
    while status(served.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) != 200:
        assert time.monotonic() < deadline


ODD: dict[str, bytes] = {
    "garbage": b"\0\xff\r\n\r\n" * 9,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n[]",
    "a length below zero": b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length of many digits": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "an unknown transfer": b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "no chunk": CHUNKED + b"nothing\r\n",
    "a chunk below zero": CHUNKED + b"-5\r\nabc\r\n",
    "a chunk without its end": CHUNKED + b"2\r\n[]garbage\r\n",
    "a huge chunk": CHUNKED + b"f" * 100 + b"\r\n",
    "endless words beside a chunk": CHUNKED + b"1;" + b"a" * 60_000,
    "a long head": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 100_000,
    "many headers": b"GET / HTTP/1.1\r\n" + b"X-A: a\r\n" * 20_000,
    "a long path": b"GET /" + b"a" * 100_000,
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a header without a name": b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\r\n\tb\0\r\n\r\n",
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_is_no_http_is_a_400_without_a_word_in_the_log(
    serve: Serve, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    served = serve()
    answer = b""
    with served.connect() as connection:
        try:
            connection.sendall(data)
            answer = everything(connection)
        except ConnectionResetError:  # it was closed while we sent on
            pass
    if answer:
        assert 400 <= status(answer) < 500
        assert answer.rpartition(b"\r\n\r\n")[2].startswith(b'{"error":')
    assert served.get("/healthz").status_code == 200
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("data", [request(length=100), CHUNKED + b"5\r\n[", request()], ids=["half", "a chunk", "all"])
def test_a_sender_that_is_gone_leaves_no_trace(serve: Serve, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    served = serve(limits=Limits(requests=1))
    with served.connect() as connection:
        connection.sendall(data)
    deadline = time.monotonic() + 30
    while served.post("/api/v1/alerts/json", data=ALERT, headers=JSON).status_code != 200:
        assert time.monotonic() < deadline
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_body_in_tiny_chunks_is_bounded_too(serve: Serve) -> None:
    served = serve(limits=Limits(size=50_000))
    tiny = CHUNKED + chunks(b" " * 200_000, 1)
    with served.connect() as connection:
        connection.sendall(tiny)
        assert status(connection.recv(65536)) == 413
    assert served.get("/healthz").status_code == 200


def test_an_early_answer_can_be_read_by_who_is_still_writing(serve: Serve) -> None:
    served = serve({"serve": {"bearer": "T"}})
    for _ in range(5):
        answer = served.post("/api/v1/alerts/json", data=b" " * 5_000_000, headers=JSON)
        assert answer.status_code == 401
