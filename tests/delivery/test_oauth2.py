"""Tokens: one is asked for, kept, replaced before its end, and asked for again when it is taken back."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import faults
import pytest
from faults import receiving
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from hookplugin.delivery.auth import OAuth2
from hookplugin.delivery.exchange import Answer, ExchangeError
from hookplugin.delivery.guard import ANYWHERE, Guard, Network
from hookplugin.delivery.oauth2 import Tokens
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt, is_retried
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookspecs import Body, Reason, WireRequest

BODY = Body(content=b"{}")
CLIENT = {"client_id": "hook plugin", "client_secret": "S3CR3T/+:%word"}


@dataclass
class Endpoint:
    """An authorization server and a receiver that takes its tokens."""

    server: HTTPServer
    lasts: int | None = 3600
    asked: list[Request] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    taken_back: set[str] = field(default_factory=set)
    answer: Response | None = None
    """What everybody is told who asks for a token."""

    def token(self, request: Request) -> Response:
        self.asked.append(request)
        if self.answer:
            return self.answer
        lasts = {} if self.lasts is None else {"expires_in": self.lasts}
        said = {"access_token": f"T0KEN-{len(self.asked)}", "token_type": "Bearer", **lasts}
        return Response(json.dumps(said), content_type="application/json")

    def hook(self, request: Request) -> Response:
        self.shown.append(request.headers["Authorization"].removeprefix("Bearer "))
        return Response("no", 401) if self.shown[-1] in self.taken_back else Response("fine")

    def sender(self, network: Network = ANYWHERE, **settings: Any) -> Sender:
        oauth2 = {**CLIENT, "token_url": self.server.url_for("/token"), **settings.pop("oauth2", {})}
        said = {"name": "r", "url": self.server.url_for("/hook"), "auth": {"oauth2": oauth2}, **settings}
        return Sender(Receiver.model_validate(said), Sessions(Guard(network)))


@pytest.fixture
def endpoint(httpserver: HTTPServer) -> Endpoint:
    found = Endpoint(httpserver)
    httpserver.expect_request("/token").respond_with_handler(found.token)
    httpserver.expect_request("/hook").respond_with_handler(found.hook)
    return found


def send(sender: Sender) -> Attempt:
    return sender.send("id-1", BODY, {})


def test_a_token_is_asked_for_by_the_client_credentials_grant(endpoint: Endpoint) -> None:
    sender = endpoint.sender(oauth2={"scopes": ["hooks", "alerts"], "params": {"audience": "https://api/?x&y"}})
    assert send(sender).outcome.state == "delivered"
    (request,) = endpoint.asked
    kind, _, pair = request.headers["Authorization"].partition(" ")
    user, _, word = base64.b64decode(pair).decode().partition(":")
    assert (kind, unquote_plus(user), unquote_plus(word)) == ("Basic", CLIENT["client_id"], CLIENT["client_secret"])
    assert request.method == "POST"
    assert parse_qs(request.get_data(as_text=True)) == {
        "grant_type": ["client_credentials"],
        "scope": ["hooks alerts"],
        "audience": ["https://api/?x&y"],
    }
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert endpoint.shown == ["T0KEN-1"]


@pytest.mark.parametrize("lasts", [3600, None])
def test_a_token_is_kept_for_as_long_as_it_lasts(endpoint: Endpoint, lasts: int | None) -> None:
    endpoint.lasts = lasts
    sender = endpoint.sender()
    assert [send(sender).outcome.state for _ in range(3)] == ["delivered"] * 3
    assert endpoint.shown == ["T0KEN-1"] * 3


def test_a_token_that_ends_at_once_is_used_once(endpoint: Endpoint) -> None:
    endpoint.lasts = -1
    sender = endpoint.sender()
    assert [send(sender).outcome.state for _ in range(2)] == ["delivered"] * 2
    assert endpoint.shown == ["T0KEN-1", "T0KEN-2"]


def test_a_token_that_was_taken_back_is_replaced_within_the_same_attempt(endpoint: Endpoint) -> None:
    sender = endpoint.sender()
    send(sender)
    endpoint.taken_back = {"T0KEN-1"}
    assert send(sender).outcome.state == "delivered"
    assert endpoint.shown == ["T0KEN-1", "T0KEN-1", "T0KEN-2"]


def test_who_refuses_a_new_token_refuses_us(endpoint: Endpoint) -> None:
    endpoint.taken_back = {f"T0KEN-{number}" for number in range(9)}
    outcome = send(endpoint.sender()).outcome
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", Reason.client_error, 401)
    assert endpoint.shown == ["T0KEN-1"]


def test_many_threads_ask_for_one_token(endpoint: Endpoint) -> None:
    sender = endpoint.sender()
    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(lambda _: send(sender).outcome.state, range(24)))
    assert states == ["delivered"] * 24
    assert len(endpoint.asked) == 1


def tokens(clock: Callable[[], float], answers: list[Answer | ExchangeError]) -> Callable[[], str]:
    """Return what gets a token of an endpoint that gives these answers, one after the other."""
    known = Tokens(OAuth2.model_validate({**CLIENT, "token_url": "https://h/token"}), clock)

    def post(_: WireRequest) -> Answer:
        answer = answers.pop(0)
        if isinstance(answer, ExchangeError):
            raise answer
        return answer

    return lambda: known.get(post, 1.0)[0].text


def gives(text: str, lasts: object = 100) -> Answer:
    return Answer(200, {}, json.dumps({"access_token": text, "token_type": "bearer", "expires_in": lasts}))


@pytest.mark.parametrize(
    ("lasts", "at", "expected"), [(100, 69, "a"), (100, 71, "b"), (20, 9, "a"), (20, 11, "b"), (3600, 3569, "a")]
)
def test_a_token_is_replaced_before_its_end(lasts: int, at: float, expected: str) -> None:
    now = [1000.0]
    get = tokens(lambda: now[0], [gives("a", lasts), gives("b", lasts)])
    assert get() == "a"
    now[0] += at
    assert get() == expected


def test_while_nobody_gives_another_one_the_former_is_used_to_its_end() -> None:
    now = [1000.0]
    down = ExchangeError(Reason.connection, "Connection refused")
    get = tokens(lambda: now[0], [gives("a"), down, down, down])
    assert get() == "a"
    now[0] += 75
    assert get() == "a"
    now[0] += 24
    assert get() == "a"
    now[0] += 2
    with pytest.raises(ExchangeError, match="Connection refused"):
        get()


@pytest.mark.parametrize(
    ("status", "text", "reason", "retried"),
    [
        (400, '{"error": "invalid_scope"}', Reason.client_error, False),
        (401, '{"error": "invalid_client"}', Reason.client_error, False),
        (410, "gone", Reason.client_error, False),
        (302, "", Reason.redirect, False),
        (429, "", Reason.rate_limited, True),
        (500, "", Reason.server_error, True),
        (503, "", Reason.server_error, True),
        *((200, text, Reason.invalid_answer, True) for text in (
            "", "nope", "[]", "null", "{}", '{"access_token": null, "token_type": "bearer"}', '"T0KEN"',
            '{"access_token": 5, "token_type": "bearer"}', '{"access_token": "a b", "token_type": "bearer"}',
            '{"access_token": "a\\r\\nX-Evil: 1", "token_type": "bearer"}', '{"access_token": ""}',
            '{"access_token": "T0KEN", "token_type": "mac"}', '{"access_token": "T0KEN", "token_type": 7}',
            '{"access_token": "T0KEN", "token_type": "bearer", "expires_in": "soon"}',
            '{"access_token": "T0KEN", "token_type": "bearer", "expires_in": 1' + "0" * 400 + "}",
            '{"error": "invalid_client"}', "<html>", '{"access_token": "T0K', "[" * 9000,
        )),
    ],
)  # fmt: skip
def test_without_a_token_nothing_is_sent_and_the_reason_is_the_endpoints(
    status: int, text: str, reason: Reason, *, retried: bool, endpoint: Endpoint
) -> None:
    endpoint.answer = Response(text, status)
    attempt = send(endpoint.sender())
    outcome = attempt.outcome
    assert endpoint.shown == []
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", reason, None)
    assert outcome.detail.startswith("the token's endpoint ")
    assert is_retried(outcome) is retried
    assert attempt.mark is None  # the receiver is not gone


def test_a_token_s_endpoint_may_ask_for_time(endpoint: Endpoint) -> None:
    endpoint.answer = Response("", 503, {"Retry-After": "77"})
    assert send(endpoint.sender()).retry_after == 77


def test_what_the_endpoint_quotes_is_kept_without_secrets(endpoint: Endpoint) -> None:
    endpoint.answer = Response(f"{CLIENT['client_id']} {CLIENT['client_secret']} is wrong", 401)
    assert send(endpoint.sender()).outcome.detail == "the token's endpoint answered 401: *** *** is wrong"


def quotes(peer: faults.Peer) -> None:
    """Answer as an authorization server, and else with what stands in `Authorization`."""
    while head := peer.read().head:
        status, text = b"500 No", next(line for line in head.splitlines() if line.startswith(b"Authorization"))
        if head.startswith(b"POST /token"):
            status, text = b"200 OK", json.dumps({"access_token": "T0KEN-1", "token_type": "bearer"}).encode()
        peer.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text))


def test_an_answer_that_quotes_a_token_is_kept_without_it() -> None:
    with receiving(quotes) as receiver:
        address = f"http://127.0.0.1:{receiver.port}"
        auth = {"oauth2": {**CLIENT, "token_url": f"{address}/token"}}
        said = {"name": "r", "url": f"{address}/hook", "auth": auth}
        outcome = send(Sender(Receiver.model_validate(said), Sessions(Guard(ANYWHERE)))).outcome
    assert (outcome.status, outcome.detail) == (500, "Authorization: Bearer ***")


def test_the_time_of_an_attempt_is_for_the_token_too() -> None:
    with receiving(faults.silent) as receiver, receiving(faults.answers(faults.OK)) as hook:
        auth = {"oauth2": {**CLIENT, "token_url": f"http://127.0.0.1:{receiver.port}/token"}}
        url = f"http://127.0.0.1:{hook.port}/"
        said = {"name": "r", "url": url, "auth": auth, "timeout": {"read": "5s", "total": "300ms"}}
        sender = Sender(Receiver.model_validate(said), Sessions(Guard(ANYWHERE)))
        with ThreadPoolExecutor(2) as threads:  # one asks, the other waits for it
            outcomes = [attempt.outcome for attempt in threads.map(lambda _: send(sender), range(2))]
    assert [outcome.reason for outcome in outcomes] == [Reason.timeout] * 2
    assert max(outcome.milliseconds for outcome in outcomes) < 1200
    assert hook.peers == []


def test_the_endpoint_of_tokens_is_guarded_too(endpoint: Endpoint) -> None:
    outcome = send(endpoint.sender(Network(private="deny"))).outcome
    assert (outcome.reason, endpoint.asked) == (Reason.blocked, [])


def test_a_token_is_signed_for_with_the_rest(endpoint: Endpoint) -> None:
    sender = endpoint.sender(secret="s", signer="github")
    assert send(sender).outcome.state == "delivered"
    hooks = [request for request, _ in endpoint.server.log if request.path == "/hook"]
    assert hooks[0].headers["X-Hub-Signature-256"].startswith("sha256=")
    assert "X-Hub-Signature-256" not in endpoint.asked[0].headers


@pytest.mark.parametrize(
    ("oauth2", "words"),
    [
        ({"token_url": "ftp://h/"}, "should be an address that begins with http:// or https://"),
        ({"token_url": "https://S3CR3T:x@h/"}, "should not hold a user or a password"),
        ({"client_secret": None}, "valid string"),
        ({"scopes": "hooks"}, "valid tuple"),
        *(({"params": {name: "x"}}, "is said by the other keys; remove it here") for name in ("scope", "grant_type")),
        ({"params": {"a": ["S3CR3T"]}}, "valid string"),
    ],
)
def test_a_mistake_is_refused_in_words_that_hold_no_secret(oauth2: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OAuth2.model_validate({**CLIENT, "token_url": "https://h/", **oauth2})
    assert words in str(caught.value)
    assert "S3CR3T" not in str(caught.value)


FORKED = """
import os, threading
from hookplugin.delivery.auth import OAuth2
from hookplugin.delivery.exchange import Answer
from hookplugin.delivery.oauth2 import Tokens

answer = Answer(200, {}, '{"access_token": "a", "token_type": "bearer"}')
tokens = Tokens(OAuth2(token_url="https://h/", client_id="i", client_secret="s"))
begun, over = threading.Event(), threading.Event()
asking = threading.Thread(target=tokens.get, args=(lambda _: begun.set() or over.wait() and answer, 9.0))
asking.start()
begun.wait()
if child := os.fork():
    over.set()
    asking.join()
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0 if tokens.get(lambda _: answer, 0.0)[1] else 1)
"""


def test_a_child_does_not_wait_for_who_was_asking_when_it_was_forked() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], check=False, timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_without_its_package_it_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oauthlib", None)
    with pytest.raises(ValidationError, match=re.escape("pip install 'hookplugin[oauth2]'")):
        OAuth2.model_validate({**CLIENT, "token_url": "https://h/"})
