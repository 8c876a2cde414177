"""One attempt at a request: a body that cannot be made still arrives, as the fallback."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from html import unescape
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offering import renderer
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from storing import Clock, Turns, accept
from werkzeug import Request as WsgiRequest
from werkzeug import Response

from hookplugin.bodies.model import BodyTemplate
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.bodies.secret import fill
from hookplugin.delivery.deliverer import Deliverer, outcome_text, render, render_headers
from hookplugin.delivery.receiver import Receiver
from hookplugin.outbox.rows import Claimed
from hookplugin.outbox.store import Store
from hookspecs import Alert, Body, Delivery, Outcome, Reason, Renderer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALERT = Alert(content="disk full", target="db1", priority="critical", tags={"env": "prod"})


def claimed(*contents: str, receiver: str = "ops", content: Body | None = None) -> Claimed:
    """Return a request of one delivery, or a batch of one for each content."""
    deliveries = tuple(
        Delivery(id=f"id-{number}", alert=Alert(content=text), receiver=receiver, body="chat")
        for number, text in enumerate(contents, 1)
    )
    return Claimed("id-1" if len(contents) == 1 else "batch-1", deliveries, inf, content)


def delivery(body: str = "chat") -> Delivery:
    return Delivery(id="id-1", alert=ALERT, receiver="ops", body=body)


def request() -> Request:
    return Request("id-1", [delivery()], NOW)


def own(**keys: Any) -> Bodies:
    """Return a configuration's own body, `chat`."""
    return Bodies([BodyTemplate.model_validate({"name": "chat", **keys})])


def to_ops(bodies: Bodies, url: str, **settings: Any) -> Deliverer:
    return Deliverer([Receiver.model_validate({"name": "ops", "url": url, **settings})], bodies)


def deliverer(renderers: Mapping[str, Renderer], url: str = "http://127.0.0.1:1/", **settings: Any) -> Deliverer:
    guarded = {name: renderer(render) for name, render in renderers.items()}
    return to_ops(Bodies(renderers=guarded), url, **settings)


def chat(deliveries: Sequence[Delivery]) -> Body:
    return Body(content=deliveries[0].alert.content.encode(), content_type="text/plain")


def raises(_: Sequence[Delivery]) -> Body:
    message = "no\nsuch field"
    raise LookupError(message)


def exits(_: Sequence[Delivery]) -> Body:
    sys.exit("enough")


def recurses(deliveries: Sequence[Delivery]) -> Body:
    return recurses(deliveries)


def returns_text(_: Sequence[Delivery]) -> Any:
    return "text"


def returns_nothing(_: Sequence[Delivery]) -> Any:
    return None


@pytest.mark.parametrize(
    ("bodies", "reason"),
    [
        (Bodies(renderers={"chat": renderer(raises)}), "LookupError"),
        (Bodies(renderers={"chat": renderer(exits)}), "SystemExit"),
        (Bodies(renderers={"chat": renderer(recurses)}), "RecursionError"),
        (Bodies(renderers={"chat": renderer(returns_text)}), "TypeError"),
        (Bodies(renderers={"chat": renderer(returns_nothing)}), "TypeError"),
        (Bodies(), "there is no body of that name any more"),
        (own(json="{{ alert.link }}"), "there is nothing in it"),
        (
            own(json=["{{ alert.content | truncate(200) }}" * 30], max_bytes=256),
            "it does not fit into 256 bytes, however short its texts are cut",
        ),
    ],
)
def test_a_body_that_cannot_be_made_is_the_fallback_marked_and_logged(
    bodies: Bodies, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, notes = render(bodies, request())
    why = f"body 'chat' failed: {reason}"
    assert notes == [f"the fallback was sent, {why}"]
    assert body.content_type == "application/json"
    assert json.loads(body.content) == {
        "id": ALERT.id,
        "target": "db1",
        "priority": 1,
        "status": 0,
        "content": "disk full",
        "fallback": why,
    }
    assert {(record.name, record.levelname) for record in caplog.records} == {("hookplugin", "WARNING")}
    assert len(caplog.records) == 1
    assert not any("\n" in record.getMessage() for record in caplog.records)


def test_what_a_plugin_raised_is_logged_and_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    body, _ = render(Bodies(renderers={"chat": renderer(raises)}), request())
    assert "LookupError: no such field" in caplog.text
    assert b"such field" not in body.content


def test_the_fallback_is_sent_and_counts_as_delivered(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    attempt = deliverer({"chat": raises}, httpserver.url_for("/hook")).deliver(claimed("disk full"))
    assert attempt.outcome.state == "delivered"
    assert attempt.outcome.detail == "the fallback was sent, body 'chat' failed: LookupError"
    ((got, _),) = httpserver.log
    assert got.headers["webhook-id"] == "id-1"
    assert "fallback" in json.loads(got.get_data())


def test_a_batch_is_one_request_with_its_own_id_and_one_body_for_all(httpserver: HTTPServer) -> None:
    def joined(deliveries: Sequence[Delivery]) -> Body:
        return Body(content="+".join(one.alert.content for one in deliveries).encode())

    httpserver.expect_request("/hook").respond_with_data("")
    to = deliverer({"chat": joined}, httpserver.url_for("/hook"), batch={"wait": "1s", "max": 9})
    attempt = to.deliver(claimed("a", "b", "c"))
    ((got, _),) = httpserver.log
    assert (got.headers["webhook-id"], got.get_data()) == ("batch-1", b"a+b+c")
    assert (attempt.outcome.state, attempt.body) == ("delivered", Body(content=b"a+b+c"))


@pytest.mark.parametrize("status", [200, 503])
def test_what_was_sent_before_is_sent_again_and_rendered_no_more(httpserver: HTTPServer, status: int) -> None:
    kept = Body(content=b"as it was \0\xff", content_type="text/plain")
    httpserver.expect_request("/hook").respond_with_data("", status)
    attempt = deliverer({"chat": raises}, httpserver.url_for("/hook")).deliver(claimed("new", content=kept))
    ((got, _),) = httpserver.log
    assert (got.get_data(), got.headers["Content-Type"]) == (kept.content, "text/plain")
    assert (attempt.outcome.status, attempt.body) == (status, kept)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("body", ["hertzbeat", "chat"])
def test_who_takes_batches_gets_a_list_also_of_one_also_of_fallbacks(
    body: str, count: int, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    to = deliverer({"chat": raises}, httpserver.url_for("/hook"), batch={"wait": "1s", "max": 9})
    to.deliver(Claimed("id-1", tuple([delivery(body)] * count), inf))
    ((got, _),) = httpserver.log
    found = json.loads(got.get_data())
    assert [one["content"] for one in found] == ["disk full"] * count
    assert ["fallback" in one for one in found] == [body == "chat"] * count


def test_a_receiver_that_is_not_there_any_more_is_an_error_of_our_own(caplog: pytest.LogCaptureFixture) -> None:
    attempt = deliverer({"chat": chat}).deliver(claimed("x", receiver="gone"))
    assert (attempt.outcome.state, attempt.outcome.reason) == ("dead", Reason.failed)
    assert "the request id-1 to 'gone' failed by an error of our own" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(state="delivered"), "delivered"),
        (Outcome(state="delivered", status=204, milliseconds=3), "delivered, 204"),
        (Outcome(state="delivered", status=200, detail="ok"), "delivered, 200: ok"),
        (Outcome(state="dead", reason=Reason.timeout, detail="no complete answer in time"),
         "dead, timeout: no complete answer in time"),
        (Outcome(state="dead", reason=Reason.client_error, status=404, detail="no such hook"),
         "dead, client_error, 404: no such hook"),
        (Outcome(state="dead"), "dead"),
    ],
)  # fmt: skip
def test_an_outcome_is_one_line(outcome: Outcome, text: str) -> None:
    assert outcome_text(outcome) == text


# Headers that are rendered


def rendered(settings: Mapping[str, Any], **fields: Any) -> tuple[dict[str, str], list[str]]:
    receiver = Receiver.model_validate({"name": "ops", "url": "http://h/", **settings})
    alert = Alert.model_validate({"content": "disk full", **fields})
    one = Delivery(id="id-1", alert=alert, receiver="ops", body="chat", strategies=("all day",))
    return render_headers(receiver, Request("id-1", [one], NOW))


def test_headers_that_are_templates_are_rendered_for_each_request_beside_the_others(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook", method="PUT").respond_with_data("")
    headers = {
        "X-Static": "west",
        "X-Priority": "{{ priority.name | upper }}",
        "X-Count": "{{ alerts | length }} of {{ receiver }}",
        "Authorization": "Token {{ vars.token }}",
        "X-None": "{{ alert.link }}",
    }
    settings = {"headers": headers, "vars": {"token": "S3CR3T"}, "method": "PUT"}
    attempt = to_ops(own(text="x"), httpserver.url_for("/hook"), **settings).deliver(claimed("a"))
    ((got, _),) = httpserver.log
    assert (attempt.outcome.state, attempt.outcome.detail) == ("delivered", "")
    assert {name: got.headers[name] for name in headers} == {
        "X-Static": "west",
        "X-Priority": "WARNING",
        "X-Count": "1 of ops",
        "Authorization": "Token S3CR3T",
        "X-None": "",
    }


@pytest.mark.parametrize(
    "content",
    [
        "größe",
        "a\r\nX-Evil: 1",
        "a\nb",
        "a\rb",
        "a\0",
        " a",
        "a ",
        "\t",
        "\x7f",
        "\u2028",
        "x" * 4097,
        "\udcffkey\udcff",
    ],
)
def test_a_value_that_no_header_may_have_is_left_out_and_told_and_the_alert_is_delivered(
    content: str, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    httpserver.expect_request("/hook").respond_with_data("thanks")
    settings = {"headers": {"X-A": "{{ alert.content }}", "X-B": "{{ delivery.id }}"}, "vars": {"key": "S3CR3T"}}
    outcome = (
        to_ops(Bodies(), httpserver.url_for("/hook"), **settings)
        .deliver(Claimed("id-1", (delivery("hertzbeat").model_copy(update={"alert": Alert(content=content)}),), inf))
        .outcome
    )
    ((got, _),) = httpserver.log
    assert ("X-A" in got.headers, "X-Evil" in got.headers, got.headers["X-B"]) == (False, False, "id-1")
    assert got.get_json()["content"] == Alert(content=content).content
    why = "the header 'X-A' was left out: its value is not printable ASCII, or is too long"
    assert (outcome.state, outcome.detail) == ("delivered", f"{why}; thanks")
    assert f"delivery id-1 to 'ops': {why}" in caplog.text


@pytest.mark.parametrize("value", ["", "a", "a b\tc", "x" * 4096, "{{ 7*7 }}", "%FFkey%FF"])
def test_a_value_that_a_header_may_have_is_sent_verbatim(value: str) -> None:
    assert rendered({"headers": {"X-A": "{{ alert.tags.x }}"}, "vars": {"key": "S3CR3T"}}, tags={"x": value}) == (
        {"X-A": value},
        [],
    )


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_an_alert_holds_a_rendered_header_is_one_line_of_printable_ascii(content: str) -> None:
    headers, notes = rendered({"headers": {"X-A": "{{ alert.content }}"}, "vars": {"key": "S3CR3T"}}, content=content)
    assert bool(headers) != bool(notes)
    for value in headers.values():
        assert value == content
        assert value.isascii()
        assert value.replace("\t", " ").isprintable()


def test_a_secret_that_is_no_header_is_left_out_and_not_told() -> None:
    settings = {"headers": {"X-A": "{{ vars.key }}"}, "vars": {"key": "S3CR3T\r\nX-Evil: 1"}}
    headers, notes = rendered(settings)
    assert headers == {}
    assert "'X-A'" in notes[0]
    assert "S3CR3T" not in notes[0]


# Secrets in bodies

KINDS: Mapping[str, dict[str, Any]] = {
    "json": {
        "json": {"key": "{{ vars.key }}", "text": "{{ alert.content }} {{ alert.tags }}", "raw": "{{ alert.tags }}"}
    },
    "text": {"text": "{{ alert.content }} {{ alert.tags }}\n---\n{{ vars.key }}"},
    "html": {"content_type": "text/html", "text": '<p title="{{ vars.key }}">{{ alert.content }} {{ alert.tags }}</p>'},
    "form": {"form": {"key": "{{ vars.key }}", "text": "{{ alert.content }} {{ alert.tags }}"}},
}


def read(kind: str, content: bytes) -> tuple[str, str]:
    """Return the secret, and the rest, as a receiver reads them."""
    text = content.decode()
    if kind == "json":
        found = json.loads(text)
        return found["key"], found["text"]
    if kind == "form":
        fields = dict(parse_qsl(text, strict_parsing=True, keep_blank_values=True))
        return fields["key"], fields["text"]
    if kind == "html":
        ((_, key),), rest = re.findall(r'<p (title)="([^"]*)">', text), text.partition(">")[2].removesuffix("</p>")
        return unescape(key), unescape(rest)
    rest, _, key = text.rpartition("\n---\n")
    return key, rest


def raw(folder: Path) -> bytes:
    """Return every byte of the database, and of what is beside it."""
    files = [file for file in folder.iterdir() if file.name.startswith("outbox.db")]
    assert len(files) > 1, "the -wal is there while it is open"
    return b"".join(file.read_bytes() for file in files)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_body_holds_no_secret_and_the_retry_sends_the_same_body_with_it(
    kind: str, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request("/hook").respond_with_data("busy", 503)
    httpserver.expect_ordered_request("/hook").respond_with_data("")
    clock = Clock()
    to = to_ops(own(**KINDS[kind]), httpserver.url_for("/hook"), vars={"key": "S3CR3T-KEY"})
    with closing(Store(f"sqlite:///{tmp_path}/outbox.db", clock)) as store:
        accept(store, delivery())
        turns = Turns(store, "ops")
        for expected in ("retry", "delivered"):
            (one,) = turns.claim()
            assert (one.content is None) == (expected == "retry")
            turns.rounds.finish(one, to.deliver(one))
            turns.round()
            found = raw(tmp_path)
            assert b"S3CR3T" not in found
            if expected == "retry":
                assert b"FFkey" in found if kind == "form" else b"\xffkey\xff" in found
            clock.time += 60
        assert turns.claim() == []
    (first, _), (second, _) = httpserver.log
    assert first.get_data() == second.get_data()
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "id-1"
    assert read(kind, first.get_data())[0] == "S3CR3T-KEY"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "imitation",
    [
        "\udcffkey\udcff",
        "ÿkeyÿ",
        "%FFkey%FF",
        "%25FFkey%25FF",
        "\\xffkey\\xff",
        "\\udcffkey\\udcff",
        "{{ vars.key }}",
        "&#xff;key",
    ],
)
def test_an_alert_that_imitates_the_place_of_a_secret_does_not_draw_it_in(
    kind: str, imitation: str, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 503)
    alert = Alert(content=imitation, tags={imitation: imitation})
    one = delivery().model_copy(update={"alert": alert})
    to = to_ops(own(**KINDS[kind]), httpserver.url_for("/hook"), vars={"key": "S3CR3T"})
    kept = to.deliver(Claimed("id-1", (one,), inf)).body
    to.deliver(Claimed("id-1", (one,), inf, kept))
    for got, _ in httpserver.log:
        key, rest = read(kind, got.get_data())
        assert (key, got.get_data().count(b"S3CR3T")) == ("S3CR3T", 1)
        tags = json.dumps(dict(alert.tags), ensure_ascii=False, separators=(",", ":"))
        assert rest == f"{alert.content} {tags}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "secret", ['a"b', "a\\b", "a\nb\r\n", "a&b=c+d%26", "<a>&amp;'", "größe\u2028🔥", "{{ 7*7 }}", "\x01"]
)
def test_a_secret_is_escaped_for_the_format_of_its_body(kind: str, secret: str, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    to = to_ops(own(**KINDS[kind]), httpserver.url_for("/hook"), vars={"key": secret})
    assert to.deliver(claimed("a b")).outcome.state == "delivered"
    ((got, _),) = httpserver.log
    expected = secret.replace("\x01", "\ufffd") if kind == "html" else secret  # which HTML cannot hold
    assert read(kind, got.get_data()) == (expected, "a b {}")


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"])), content=st.text(), kind=st.sampled_from(["json", "form"])
)
def test_any_secret_and_any_text_arrive_beside_each_other(secret: str, content: str, kind: str) -> None:
    one = delivery().model_copy(update={"alert": Alert(content=content)})
    body = fill(own(**KINDS[kind]).render(Request("id-1", [one], NOW)), {"key": SecretStr(secret)})
    assert read(kind, body.content) == (secret, f"{content} {{}}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secret", ["S3CR3T-KEY", 'S3CR3T"KEY', "S3CR3T KEY&", "S3CR3T<KEY>"])
def test_a_secret_that_the_receiver_sends_back_is_not_kept(kind: str, secret: str, httpserver: HTTPServer) -> None:
    def echo(request: WsgiRequest) -> Response:
        return Response(request.get_data(), status=400)

    httpserver.expect_request("/hook").respond_with_handler(echo)
    to = to_ops(own(**KINDS[kind]), httpserver.url_for("/hook"), vars={"key": secret})
    outcome = to.deliver(claimed("a")).outcome
    assert (outcome.state, outcome.status) == ("dead", 400)
    assert "***" in outcome.detail
    assert "S3CR3T" not in outcome.detail


@pytest.mark.parametrize("later", [Bodies(), own(text="another body of that name")])
def test_a_kept_body_is_sent_with_its_secret_although_its_template_is_gone(
    later: Bodies, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 503)
    url, settings = httpserver.url_for("/hook"), {"vars": {"key": "S3CR3T"}}
    kept = to_ops(own(**KINDS["json"]), url, **settings).deliver(claimed("a")).body
    to_ops(later, url, **settings).deliver(claimed("a", content=kept))
    (first, _), (second, _) = httpserver.log
    assert first.get_data() == second.get_data()


def test_what_a_plugin_renders_may_look_like_a_secret_and_is_sent_verbatim(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 503)
    theirs = Body(content=b"\xffkey\xff %FFkey%FF", content_type="application/octet-stream")
    to = deliverer({"chat": lambda _: theirs}, httpserver.url_for("/hook"), vars={"key": "S3CR3T"})
    kept = to.deliver(claimed("a")).body
    to.deliver(claimed("a", content=kept))
    assert [got.get_data() for got, _ in httpserver.log] == [theirs.content] * 2


def test_a_body_whose_secret_is_not_there_any_more_is_not_sent(httpserver: HTTPServer) -> None:
    to = to_ops(own(**KINDS["json"]), httpserver.url_for("/hook"), vars={"other": "x"})
    attempt = to.deliver(claimed("a"))
    assert httpserver.log == []
    assert (attempt.outcome.state, attempt.outcome.reason) == ("dead", Reason.failed)
    assert attempt.outcome.detail == "the receiver has no vars.key any more, which the body needs"


def test_no_secret_of_a_body_or_a_header_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {"vars": {"key": "S3CR3T"}, "headers": {"X-Key": "{{ vars.key }}"}}
    for bodies in (
        own(**KINDS["json"]),
        own(json={"a": "{{ vars.key }}", "b": "{{ alert.content }}" * 99}, max_bytes=256),
    ):
        attempt = to_ops(bodies, "http://127.0.0.1:1/", **settings).deliver(claimed("x" * 99))
        assert attempt.outcome.reason is Reason.connection
        assert "S3CR3T" not in f"{attempt!r}"
    assert "the fallback is sent" in caplog.text
    assert "S3CR3T" not in caplog.text


def test_a_batch_that_does_not_fit_is_halved_and_its_halves_are_whole(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    bodies = own(json=[{"for one in alerts": {"text": "{{ one.content }}"}}], max_bytes=256)
    to = to_ops(bodies, httpserver.url_for("/hook"), batch={"wait": "1s"})
    attempt = to.deliver(claimed(*"abcdefghijklmnopqrstuvw"))
    assert (attempt.too_large, attempt.outcome.state, httpserver.log) == (True, "dead", [])
    assert "does not fit into 256 bytes" in attempt.outcome.detail
    to.deliver(claimed(*"abcdefghijk"))
    ((got, _),) = httpserver.log
    assert [one["text"] for one in got.get_json()] == list("abcdefghijk")
