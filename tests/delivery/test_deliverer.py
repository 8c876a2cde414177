"""One attempt at a request: a body that cannot be made still arrives, as the fallback."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from hookplugin.delivery.deliverer import Deliverer, outcome_text
from hookplugin.delivery.receiver import Receiver
from hookplugin.outbox.rows import Claimed
from hookspecs import Alert, Body, Delivery, Outcome, Reason, Renderer

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


def deliverer(renderers: Mapping[str, Renderer], url: str = "http://127.0.0.1:1/", **settings: Any) -> Deliverer:
    return Deliverer([Receiver.model_validate({"name": "ops", "url": url, **settings})], renderers)


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


def test_a_renderer_makes_the_body() -> None:
    assert deliverer({"chat": chat}).render([delivery()]) == Body(content=b"disk full", content_type="text/plain")


def test_the_presets_need_no_renderer() -> None:
    body = deliverer({}).render([delivery("hertzbeat")])
    assert json.loads(body.content)["content"] == "disk full"
    assert b"fallback" not in body.content


@pytest.mark.parametrize(
    ("renderers", "error"),
    [
        ({"chat": raises}, "LookupError"),
        ({"chat": exits}, "SystemExit"),
        ({"chat": recurses}, "RecursionError"),
        ({"chat": returns_text}, "TypeError"),
        ({"chat": returns_nothing}, "TypeError"),
        ({}, "KeyError"),
    ],
)
def test_a_body_that_cannot_be_made_is_the_fallback_marked_and_logged(
    renderers: Mapping[str, Renderer], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = deliverer(renderers).render([delivery()])
    assert body.content_type == "application/json"
    assert json.loads(body.content) == {
        "id": ALERT.id,
        "target": "db1",
        "priority": 1,
        "status": 0,
        "content": "disk full",
        "fallback": f"body 'chat' failed: {error}",
    }
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hookplugin", "WARNING")
    assert f"the body 'chat' of delivery id-1 failed, the fallback is sent: {error}" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_the_fallback_is_sent_and_counts_as_delivered(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    attempt = deliverer({"chat": raises}, httpserver.url_for("/hook")).deliver(claimed("disk full"))
    assert attempt.outcome.state == "delivered"
    ((request, _),) = httpserver.log
    assert request.headers["webhook-id"] == "id-1"
    assert "fallback" in json.loads(request.get_data())


def test_a_batch_is_one_request_with_its_own_id_and_one_body_for_all(httpserver: HTTPServer) -> None:
    def joined(deliveries: Sequence[Delivery]) -> Body:
        return Body(content="+".join(one.alert.content for one in deliveries).encode())

    httpserver.expect_request("/hook").respond_with_data("")
    to = deliverer({"chat": joined}, httpserver.url_for("/hook"), batch={"wait": "1s", "max": 9})
    attempt = to.deliver(claimed("a", "b", "c"))
    ((request, _),) = httpserver.log
    assert (request.headers["webhook-id"], request.get_data()) == ("batch-1", b"a+b+c")
    assert (attempt.outcome.state, attempt.body) == ("delivered", Body(content=b"a+b+c"))


@pytest.mark.parametrize("status", [200, 503])
def test_what_was_sent_before_is_sent_again_and_rendered_no_more(httpserver: HTTPServer, status: int) -> None:
    kept = Body(content=b"as it was \0\xff", content_type="text/plain")
    httpserver.expect_request("/hook").respond_with_data("", status)
    attempt = deliverer({"chat": raises}, httpserver.url_for("/hook")).deliver(claimed("new", content=kept))
    ((request, _),) = httpserver.log
    assert (request.get_data(), request.headers["Content-Type"]) == (kept.content, "text/plain")
    assert (attempt.outcome.status, attempt.body) == (status, kept)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("body", ["hertzbeat", "chat"])
def test_who_takes_batches_gets_a_list_also_of_one_also_of_fallbacks(body: str, count: int) -> None:
    to = deliverer({"chat": raises}, batch={"wait": "1s", "max": 9})
    found = json.loads(to.render([delivery(body)] * count).content)
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
