"""One attempt over real HTTP: what is sent, to the byte, and what is made of the answer."""

from __future__ import annotations

import base64
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import faults
import pytest
from faults import receiving
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request

from hookplugin.delivery.exchange import MAX_ANSWER
from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookplugin.version import __version__
from hookspecs import Body, Outcome, Reason

BODY = Body(content='{"text": "größer 🔥"}'.encode())


PATH = "/hooks/S3CR3T-HOOK?key=S3CR3T%20KEY&v=1"
BEARER = {"auth": {"bearer": "S3CR3T-TOKEN"}}
BASIC = {"auth": {"basic": {"username": "S3CR3T-USER", "password": "S3CR3T word"}}}
HEADERS = {"headers": {"Authorization": "Token S3CR3T-TOKEN", "X-Key": "S3CR3T-KEY"}}
ENCODED = base64.b64encode(b"S3CR3T-USER:S3CR3T word").decode()


def sender(url: str, **settings: Any) -> Sender:
    return Sender(Receiver.model_validate({"name": "r", "url": url, **settings}), Sessions(Guard(ANYWHERE)))


def sent(server: HTTPServer) -> list[Request]:
    return [request for request, _ in server.log]


def post(server: HTTPServer, body: Body = BODY, **settings: Any) -> Request:
    """Send to a receiver that is content, and return what it got."""
    server.expect_request("/hook").respond_with_data("fine")
    outcome = sender(server.url_for("/hook"), **settings).send("id-1", body, {}).outcome
    assert (outcome.state, outcome.status, outcome.detail) == ("delivered", 200, "fine")
    return sent(server)[-1]


def test_every_request_carries_its_id_the_time_and_who_we_are(httpserver: HTTPServer) -> None:
    before = int(time.time())
    request = post(httpserver)
    assert request.method == "POST"
    assert request.headers["webhook-id"] == "id-1"
    assert before <= int(request.headers["webhook-timestamp"]) <= time.time()
    assert request.headers["User-Agent"] == f"hookplugin/{__version__}"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Content-Type"] == "application/json"
    assert "Authorization" not in request.headers
    assert "Cookie" not in request.headers


@pytest.mark.parametrize("content", [BODY.content, b"", b"\0\xff\r\n\r\n0\r\n"])
def test_the_body_is_sent_as_it_is_with_its_own_type(httpserver: HTTPServer, content: bytes) -> None:
    request = post(httpserver, Body(content=content, content_type="text/plain; charset=utf-8"))
    assert request.get_data() == content
    assert request.headers["Content-Length"] == str(len(content))
    assert request.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"bearer": "s3cret-token"}, "Bearer s3cret-token"),
        (
            {"basic": {"username": "ops", "password": "pä:ss"}},
            f"Basic {base64.b64encode('ops:pä:ss'.encode()).decode()}",
        ),
    ],
)
def test_auth_becomes_one_header(httpserver: HTTPServer, auth: dict[str, Any], expected: str) -> None:
    assert post(httpserver, auth=auth).headers.getlist("Authorization") == [expected]


def test_own_headers_are_sent(httpserver: HTTPServer) -> None:
    headers = post(httpserver, headers={"X-Team": "sre west", "X-Empty": ""}).headers
    assert headers["X-Team"] == "sre west"
    assert headers["X-Empty"] == ""


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        *((same, same) for same in (
            "/", "/a/../b", "/a/./b/", "//", "//other.example/x", "/{x}/[y]|^`", "/%7B%7b%2F%2f", "/%zz%",
            "/a;b=c,d:e@f","/hook?", "/?q=a+b", "/?q={x}&q=%20&r=a/../b?c", "/http://elsewhere/", "/?u=http://e/\"'<>",
        )),
        ("/hook#part", "/hook"),
        ("/hook?a=b#part?c/d", "/hook?a=b"),
        ("#part", "/"),
    ],
)  # fmt: skip
def test_the_target_is_sent_as_it_was_written(written: str, target: str) -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        outcome = sender(f"http://127.0.0.1:{receiver.port}{written}").send("id-1", BODY, {}).outcome
    lines = receiver.peers[0].head.decode().split("\r\n")
    assert outcome.state == "delivered"
    assert lines[0] == f"POST {target} HTTP/1.1"
    assert f"Host: 127.0.0.1:{receiver.port}" in lines


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, None), (201, None), (202, None), (204, None), (299, None),
        (101, Reason.invalid_answer), (300, Reason.redirect), (304, Reason.redirect), (308, Reason.redirect),
        (400, Reason.client_error), (401, Reason.client_error), (404, Reason.client_error), (408, Reason.client_error),
        (410, Reason.gone), (429, Reason.rate_limited), (499, Reason.client_error),
        (500, Reason.server_error), (503, Reason.server_error), (599, Reason.server_error),
        (600, Reason.invalid_answer), (999, Reason.invalid_answer),
    ],
)  # fmt: skip
def test_only_2xx_is_delivered_and_every_other_status_has_its_reason(status: int, reason: Reason | None) -> None:
    with receiving(faults.answers(b"HTTP/1.1 %d Well\r\nContent-Length: 0\r\n\r\n" % status)) as receiver:
        outcome = sender(f"http://127.0.0.1:{receiver.port}").send("id-1", BODY, {}).outcome
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.state == ("dead" if reason else "delivered")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(faults.answers(faults.OK), id="delivered"),
        pytest.param(faults.answers(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), id="refused"),
        pytest.param(faults.resets, id="broken off"),
    ],
)
def test_an_attempt_holds_what_was_sent(script: faults.Script) -> None:
    with receiving(script) as receiver:
        attempt = sender(f"http://127.0.0.1:{receiver.port}").send("id-1", BODY, {})
    assert attempt.body == BODY
    assert attempt.retry_after is None


def asked(retry_after: str, status: int = 503) -> float | None:
    """Return for how many seconds an answer with this `Retry-After` keeps us off."""
    answer = f"HTTP/1.1 {status} Later\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n"
    with receiving(faults.answers(answer.encode("latin-1"))) as receiver:
        return sender(f"http://127.0.0.1:{receiver.port}").send("id-1", BODY, {}).retry_after


@pytest.mark.parametrize("status", [404, 429, 500, 503])
@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0", 0), ("120", 120), (" 7\t", 7), ("003600", 3600), *((text, None) for text in (
        "", "soon", "-5", "+5", "1.5", "1e3", "0x10", "\xb2", "5, 10", "5 s", "None", "Wed, 99 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 99999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999999999999999", ",", "Wed",
    ))],
)  # fmt: skip
def test_a_receiver_asks_for_seconds_or_for_nothing(written: str, seconds: float | None, status: int) -> None:
    assert asked(written, status) == seconds


@pytest.mark.parametrize("digits", [9, 10, 400, 5000])
def test_seconds_that_nobody_can_wait_for_are_very_many_and_no_error(digits: int) -> None:
    seconds = asked("9" * digits)
    assert seconds
    assert seconds > 1e6


# RFC 9110, 5.6.7: all three are to be understood, and all are in UTC
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"])
def test_a_receiver_may_ask_for_a_date_in_each_form_that_http_has(
    form: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        seconds = asked((datetime.now(UTC) + timedelta(seconds=600)).strftime(form))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert seconds is not None
    assert 500 < seconds <= 600


def test_a_date_that_is_over_asks_for_nothing_more() -> None:
    assert asked(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)) == 0


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
def test_whatever_a_receiver_asks_for_is_no_error_and_never_negative(written: str) -> None:
    seconds = asked(written)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request("/hook").respond_with_data(
        "moved", status, {"Location": httpserver.url_for("/elsewhere")}
    )
    outcome = sender(httpserver.url_for("/hook")).send("id-1", BODY, {}).outcome
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", Reason.redirect, status)
    assert [request.path for request in sent(httpserver)] == ["/hook"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="empty"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="no content"),
        pytest.param(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", id="error"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno", id="redirect"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + b"x" * MAX_ANSWER, id="long"),
    ],
)
def test_one_connection_serves_many_requests(answer: bytes) -> None:
    with receiving(faults.keeps_answering(answer)) as receiver:
        repeated = sender(f"http://127.0.0.1:{receiver.port}")
        statuses = [repeated.send(str(number), BODY, {}).outcome.status for number in range(3)]
        assert len(set(statuses)) == 1
        assert len(receiver.peers) == 1


def test_an_answer_that_is_too_long_to_read_costs_only_the_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 16385\r\n\r\n" + b"x" * (MAX_ANSWER + 1)
    with receiving(faults.keeps_answering(answer)) as receiver:
        repeated = sender(f"http://127.0.0.1:{receiver.port}")
        assert [repeated.send(str(number), BODY, {}).outcome.state for number in range(2)] == ["delivered", "delivered"]
        assert len(receiver.peers) == 2


def test_a_connection_that_the_receiver_has_closed_is_opened_again() -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        repeated = sender(f"http://127.0.0.1:{receiver.port}")
        assert repeated.send("1", BODY, {}).outcome.state == "delivered"
        receiver.peers[0].gone.wait(5)
        assert repeated.send("2", BODY, {}).outcome.state == "delivered"


def test_cookies_are_never_sent_back(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("", headers={"Set-Cookie": "session=1; Path=/"})
    receiver = sender(httpserver.url_for("/hook"))
    outcomes = [receiver.send(str(number), BODY, {}).outcome.state for number in range(2)]
    assert outcomes == ["delivered", "delivered"]
    assert [request.headers.get("Cookie") for request in sent(httpserver)] == [None, None]


def test_proxies_and_netrc_of_the_environment_are_ignored(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login someone password else\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert "Authorization" not in post(httpserver).headers
    assert post(httpserver, auth={"bearer": "mine"}).headers["Authorization"] == "Bearer mine"


def answered(content: bytes, path: str = "/", **settings: Any) -> Outcome:
    """Return what becomes of an answer with this body."""
    answer = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    with receiving(faults.answers(answer)) as receiver:
        return sender(f"http://127.0.0.1:{receiver.port}{path}", **settings).send("id-1", BODY, {}).outcome


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", ""),
        (b"  no\r\n\tsuch   hook \n", "no such hook"),
        ("größer".encode(), "größer"),
        (b"\xff\xfe!", "\ufffd\ufffd!"),
        (b"\x1b[31mred\x1b[0m\0", "\ufffd[31mred\ufffd[0m\ufffd"),
        (b"x" * 9999, "x" * 200),
    ],
)
def test_the_detail_is_the_beginning_of_the_answer_in_one_printable_line(content: bytes, detail: str) -> None:
    assert answered(content).detail == detail


@pytest.mark.parametrize(
    ("settings", "quoted"),
    [
        *(({}, text) for text in (
            PATH, "cannot find /hooks/S3CR3T-HOOK", "bad query key=S3CR3T%20KEY&v=1", "S3CR3T%20KEY: no such key",
            "S3CR3T KEY: no such key", "unknown hook S3CR3T-HOOK", r'{"path": "\/hooks\/S3CR3T-HOOK"}',
        )),
        *((BEARER, text) for text in ("Bearer S3CR3T-TOKEN", "S3CR3T-TOKEN has expired")),
        *((BASIC, text) for text in ("S3CR3T-USER S3CR3T word", f"bad header Basic {ENCODED}")),
        *((HEADERS, text) for text in ("S3CR3T-KEY", "Token S3CR3T-TOKEN", "S3CR3T-TOKEN has expired")),
    ],
)  # fmt: skip
def test_an_answer_that_quotes_a_secret_is_kept_without_it(settings: dict[str, Any], quoted: str) -> None:
    detail = answered(quoted.encode(), PATH, **settings).detail
    assert "***" in detail
    assert "S3CR3T" not in detail
    assert ENCODED not in detail


def test_the_words_of_an_answer_that_are_no_secret_stay() -> None:
    outcome = answered(b"no such hook in v1, ask ops", "/hook/v1?team=ops", headers={"X-Team": "west"})
    assert outcome.detail == "no such hook in v1, ask ops"


@pytest.mark.parametrize(
    "script", [faults.echoes, faults.answers(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"), faults.resets]
)
def test_no_secret_reaches_the_log_of_any_library(script: faults.Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"auth": {"bearer": "S3CR3T-TOKEN"}, "headers": {"X-Key": "S3CR3T-KEY"}}
    with receiving(script) as receiver:
        to = sender(f"http://127.0.0.1:{receiver.port}/S3CR3T?key=S3CR3T", **secrets)
        outcome = to.send("id-1", BODY, {}).outcome
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    assert "S3CR3T" not in caplog.text + outcome.detail


@pytest.mark.parametrize("content_type", ["text/plain\r\nX-Evil: 1", "text/plain\nx"])
def test_a_type_that_would_break_the_head_apart_is_an_error_of_our_own(content_type: str) -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        body = Body(content=b"", content_type=content_type)
        outcome = sender(f"http://127.0.0.1:{receiver.port}").send("id-1", body, {}).outcome
    assert (outcome.state, outcome.reason) == ("dead", Reason.failed)
    assert b"Evil" not in b"".join(peer.head for peer in receiver.peers)


def test_the_time_of_an_attempt_is_told() -> None:
    assert answered(b"").milliseconds > 0


@given(st.binary(max_size=2000))
def test_any_answer_has_an_outcome(data: bytes) -> None:
    with receiving(faults.answers(data)) as receiver:
        outcome = sender(f"http://127.0.0.1:{receiver.port}").send("id-1", BODY, {}).outcome
    assert outcome.state == "dead"
    assert outcome.reason in {Reason.connection, Reason.invalid_answer}


@pytest.mark.parametrize("times", [1, 5])
def test_informational_answers_are_not_the_answer(times: int) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * times
    with receiving(faults.keeps_answering(hints + faults.OK)) as receiver:
        to = sender(f"http://127.0.0.1:{receiver.port}")
        outcomes = [to.send("id-1", BODY, {}).outcome for _ in range(2)]
    assert [(outcome.state, outcome.status) for outcome in outcomes] == [("delivered", 200)] * 2
    assert len(receiver.peers) == 1
