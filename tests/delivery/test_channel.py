"""Senders of plugins: another channel has what webhooks have."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pytest_httpserver import HTTPServer
from storing import Clock

from hookplugin import Alert, ConfigError, Host, Message, Outcome, Reason, Registry, Secret, SendError, hookimpl
from hookplugin.outbox import listing
from hookplugin.webhook import webhook_of

SECRET = "S3CR3T-of-the-box"


class Box(BaseModel):
    """Say which box, and its key."""

    number: int
    key: Secret | None = None


class Post:
    """Offer a channel that puts messages into boxes, or does with them what a test wants."""

    def __init__(self, put: Callable[[Message[Box]], Any] = lambda _: None) -> None:
        self.put = put
        self.seen: list[Message[Box]] = []

    @hookimpl
    def alert_register(self, registry: Registry) -> None:
        registry.sender("box", self.send, Box)
        registry.sender("bell", self.ring)

    def send(self, message: Message[Box]) -> None:
        self.seen.append(message)
        return self.put(message)  # type: ignore[no-any-return]  # some return what they should not

    def ring(self, message: Message[None]) -> None:
        assert message.options is None


OPS = {"name": "ops", "type": "box", "options": {"number": 7}}


def config(**keys: Any) -> dict[str, Any]:
    return {"receivers": [OPS | keys], "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}]}


def outcome_of(post: Post, *contents: str, **keys: Any) -> Outcome | None:
    with Host(config(**keys), plugins={"post": post}) as host:
        (outcome, *_) = host.wait(host.fire_all([Alert(content=content) for content in contents]), 0.5).values()
        host.close(0.0)
    return outcome


def test_a_sender_is_handed_the_deliveries_the_body_and_the_options_of_the_receiver() -> None:
    post = Post()
    options = {"number": "7", "key": SECRET}
    outcome = outcome_of(post, "disk full", options=options, timeout={"total": "4s"})
    assert outcome
    assert (outcome.state, outcome.reason, outcome.status) == ("delivered", None, None)
    (message,) = post.seen
    assert (message.receiver, message.timeout) == ("ops", 4.0)
    assert (message.id, message.deliveries[0].alert.content) == (message.deliveries[0].id, "disk full")
    assert b'"content":"disk full"' in message.body.content
    assert isinstance(message.options, Box)
    assert message.options.number == 7
    assert message.options.key
    assert message.options.key.get_secret_value() == SECRET
    assert SECRET not in repr(message) + repr(outcome)


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (SendError("no such box", retry=False), Reason.client_error, "no such box"),
        (SendError("", retry=False), Reason.client_error, "SendError"),
        (
            "true",
            Reason.failed,
            "AnswerError: it returned str; a sender returns nothing, and raises if it could not send",
        ),
        (
            False,
            Reason.failed,
            "AnswerError: it returned bool; a sender returns nothing, and raises if it could not send",
        ),
    ],
)
def test_what_a_sender_refuses_for_good_and_what_nobody_understands_is_dead_at_once(
    error: object, reason: Reason, detail: str
) -> None:
    def put(_: Message[Box]) -> object:
        if isinstance(error, Exception):
            raise error
        return error

    outcome = outcome_of(Post(put), "x")
    assert outcome
    assert (outcome.state, outcome.reason, outcome.detail) == ("dead", reason, detail)


class Busy(SendError):  # noqa: N818 - it is no error of ours
    def __init__(self, code: int) -> None:
        self.code = code

    def __str__(self) -> str:
        return f"busy, {self.code}"


class Unspeakable(Exception):  # noqa: N818 - it is no error of ours
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (SendError("the box is full"), "server_error", "the box is full"),
        (Busy(7), "server_error", "Busy: busy, 7"),
        (TimeoutError("slow"), "timeout", "TimeoutError: slow"),
        (ConnectionResetError("gone"), "connection", "ConnectionResetError: gone"),
        (ValueError("odd"), "failed", "ValueError: odd"),
        (Unspeakable(), "failed", "Unspeakable"),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (asyncio.CancelledError(), "failed", "CancelledError"),
        (RecursionError("deep"), "failed", "RecursionError: deep"),
    ],
)
def test_all_else_is_tried_again_and_then_arrives(error: object, reason: str, detail: str, tmp_path: Path) -> None:
    clock, failing = Clock(), [error]

    def put(_: Message[Box]) -> object:
        one = failing.pop() if failing else None
        if isinstance(one, BaseException):
            raise one
        return one

    post = Post(put)
    keys = config() | {"outbox": f"sqlite:///{tmp_path}/outbox.db"}
    with closing(Host(keys, plugins={"post": post}, clock=clock)) as host:
        receipt = host.fire(Alert(content="x"))
        assert attempts(host, receipt.accepted[0]) == [(reason, detail)]
        clock.time += 2
        host.resume()
        (outcome,) = host.wait(receipt).values()
        assert outcome
        assert outcome.state == "delivered"
    first, second = post.seen
    assert (first.id, first.body) == (second.id, second.body)
    assert [message.deliveries[0].attempts for message in post.seen] == [1, 2]


def attempts(host: Host, delivery: str) -> list[tuple[str | None, str | None]]:
    """Wait for a failed attempt, and return reason and detail of all."""
    webhook = webhook_of(host.context)
    assert webhook

    def look(connection: sqlite3.Connection) -> tuple[listing.Attempt, ...]:
        seq = listing.find(connection, delivery)
        assert seq is not None
        return listing.show(connection, seq)[1]

    for _ in range(1000):
        if made := webhook.store.read(look):
            return [(one.reason, one.detail) for one in made]
        time.sleep(0.01)
    raise AssertionError


@pytest.mark.parametrize(("after", "waits"), [(30, True), (0, False), (-1, False), (nan, False), ("soon", False)])
def test_what_a_sender_asks_for_keeps_all_of_its_receiver_waiting(
    after: Any,
    waits: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
) -> None:
    clock = Clock()

    def put(_: Message[Box]) -> None:
        if clock.time == Clock.time:
            message = "not now"
            raise SendError(message, after=after)

    post = Post(put)
    keys = config() | {"outbox": f"sqlite:///{tmp_path}/outbox.db"}
    with closing(Host(keys, plugins={"post": post}, clock=clock)) as host:
        receipt = host.fire(Alert(content="x"))
        assert attempts(host, receipt.accepted[0]) == [("server_error", "not now")]
        clock.time += 5
        other = host.fire(Alert(content="other"))
        (outcome,) = host.wait(other, 0.3 if waits else 30).values()
        assert (outcome is None) is waits
        clock.time += 30
        host.resume()
        assert all(host.wait(receipt).values())


def test_an_hour_is_the_longest_that_it_may_ask_for(tmp_path: Path) -> None:
    clock, failing = Clock(), [SendError("never", after=inf)]

    def put(_: Message[Box]) -> None:
        if failing:
            raise failing.pop()

    keys = config() | {"outbox": f"sqlite:///{tmp_path}/outbox.db"}
    with closing(Host(keys, plugins={"post": Post(put)}, clock=clock)) as host:
        receipt = host.fire(Alert(content="x"))
        assert attempts(host, receipt.accepted[0])
        clock.time += 3601
        host.resume()
        (outcome,) = host.wait(receipt).values()
        assert outcome
        assert outcome.state == "delivered"


def test_a_batch_is_one_message() -> None:
    post = Post()
    outcome_of(post, *"abc", batch={"wait": "50ms", "max": 3})
    assert [[one.alert.content for one in message.deliveries] for message in post.seen] == [["a", "b", "c"]]


def test_what_is_dead_is_told_to_the_fallback_and_the_webhook_beside_it_hears_all(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/web").respond_with_data("")

    def put(_: Message[Box]) -> None:
        message = "no such box"
        raise SendError(message, retry=False)

    keys = config(fallback="web")
    keys["receivers"].append({"name": "web", "url": httpserver.url_for("/web")})
    with Host(keys, plugins={"post": Post(put)}) as host:
        assert host.wait(host.fire(Alert(content="x")))
    ((request, _),) = httpserver.log
    assert request.json["content"] == "x"


def test_no_failure_of_a_sender_shows_a_secret_of_its_receiver(caplog: pytest.LogCaptureFixture) -> None:
    def put(message: Message[Box]) -> None:
        assert message.options.key
        text = f"refused {message.options.key.get_secret_value()} in {message.body.content.decode()}"
        raise (SendError(text, retry=False) if message.deliveries[0].alert.content == "refused" else ValueError(text))

    keys = config(options={"number": 1, "key": SECRET}, vars={"word": "H1dden-word"}, body="with a word")
    keys["bodies"] = [{"name": "with a word", "text": "{{ vars.word }}"}]
    with Host(keys, plugins={"post": Post(put)}) as host:
        outcomes = host.wait(host.fire_all([Alert(content="refused"), Alert(content="odd")]), 0.5)
        said = f"{outcomes} {host.plugins} {host.config} {caplog.text}"
        host.close(0.0)
    assert "refused *** in ***" in said
    assert "ValueError: refused *** in ***" in caplog.text
    assert SECRET not in said
    assert "H1dden-word" not in said


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"type": "bx"}, "receivers[0].type: unknown type 'bx'; did you mean 'box'?"),
        ({"options": {"numbr": 7}}, "receivers[0].options.numbr: unknown key; did you mean 'number'?"),
        ({"options": {}}, "receivers[0].options.number: is missing"),
        ({"options": 7}, "receivers[0].options: should be a map of keys and values"),
        ({"options": {"number": "seven"}}, "receivers[0].options.number: should be a whole number"),
        (
            {"options": {"number": 7, "key": {"env": "NO_SUCH_KEY"}}},
            "receivers[0].options.key: the environment variable 'NO_SUCH_KEY' is not set",
        ),
        ({"url": "http://x/"}, "receivers[0].url: is for webhooks, and not for type 'box'; see its options"),
        ({"headers": {}}, "receivers[0].headers: is for webhooks, and not for type 'box'; see its options"),
        (
            {"type": "bell"},
            "receivers[0].options: are not for type 'bell', whose sender has no model of them; remove them",
        ),
        ({"type": "webhook", "url": "http://x/"}, "receivers[0].options: are for a type that a plugin offers"),
    ],
)
def test_a_mistake_is_refused_with_its_place(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Host(config(**keys), plugins={"post": Post()})
    assert f"configuration: {problem}" in caught.value.problems


def test_a_channel_without_options_rings_and_takes_no_http_from_the_defaults() -> None:
    keys = {
        "defaults": {"headers": {"X-Team": "sre"}, "auth": {"bearer": "t0ken"}, "retry": {"max_age": "1m"}},
        "receivers": [{"name": "ops", "type": "bell"}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }
    with Host(keys, plugins={"post": Post()}) as host:
        (receiver,) = host.config.receivers
        assert (receiver.auth, dict(receiver.headers), receiver.retry.max_age) == (None, {}, 60.0)
        (outcome,) = host.wait(host.fire(Alert(content="x"))).values()
        assert outcome
        assert outcome.state == "delivered"


def test_options_follow_a_reload_and_so_does_a_secret_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("first")
    post = Post()
    with Host(config(options={"number": 1, "key": {"file": str(tmp_path / "key")}}), plugins={"post": post}) as host:
        host.wait(host.fire(Alert(content="x")))
        (tmp_path / "key").write_text("the second")
        host.reload(config(options={"number": 2, "key": {"file": str(tmp_path / "key")}}))
        host.wait(host.fire(Alert(content="y")))
    numbers = [(one.options.number, one.options.key and one.options.key.get_secret_value()) for one in post.seen]
    assert numbers == [(1, "the second"), (2, "the second")]


def test_of_a_batch_with_one_that_is_refused_the_others_arrive() -> None:
    def put(message: Message[Box]) -> None:
        if any(one.alert.content == "bad" for one in message.deliveries):
            text = "no such word"
            raise SendError(text, retry=False)

    with Host(config(batch={"wait": "50ms", "max": 4}), plugins={"post": Post(put)}) as host:
        receipt = host.fire_all([Alert(content=content) for content in ("a", "b", "bad", "c")])
        outcomes = host.wait(receipt)
    dead = [one.alert.content for one in receipt.deliveries if outcomes[one.id] and outcomes[one.id].state == "dead"]  # type: ignore[union-attr]  # it is looked at
    assert dead == ["bad"]


def test_a_sender_that_hangs_is_timed_out_and_others_go_on(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/web").respond_with_data("")
    released = threading.Event()
    post = Post(lambda _: released.wait(30) and None)
    keys = config(timeout={"total": "100ms"}, retry={"max_age": "300ms"}, fallback="web", max_in_flight=1)
    keys["receivers"].append({"name": "web", "url": httpserver.url_for("/web")})
    with Host(keys, plugins={"post": post}) as host:
        receipt = host.fire_all([Alert(content=str(number)) for number in range(80)])
        outcomes = host.wait(receipt)
        assert {outcome and (outcome.state, outcome.reason) for outcome in outcomes.values()} <= {
            ("dead", "timeout"),
            ("dead", "expired"),
        }
        assert len(post.seen) == 1  # the others were not even begun, as long as it hangs
        released.set()
    assert sorted(request.json["content"] for request, _ in httpserver.log) == sorted(map(str, range(80)))
