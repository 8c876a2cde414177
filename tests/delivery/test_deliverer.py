"""One attempt at a delivery: a body that cannot be made still arrives, as the fallback."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from hookplugin.delivery.deliverer import Deliverer, outcome_text
from hookplugin.delivery.receiver import Receiver
from hookspecs import Alert, Body, Delivery, Outcome, Reason, Renderer

ALERT = Alert(content="disk full", target="db1", priority="critical", tags={"env": "prod"})


def delivery(body: str = "chat", receiver: str = "ops") -> Delivery:
    return Delivery(id="id-1", alert=ALERT, receiver=receiver, body=body)


def deliverer(renderers: Mapping[str, Renderer], url: str = "http://127.0.0.1:1/") -> Deliverer:
    return Deliverer([Receiver.model_validate({"name": "ops", "url": url})], renderers)


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
    assert deliverer({"chat": chat}).render(delivery()) == Body(content=b"disk full", content_type="text/plain")


def test_the_presets_need_no_renderer() -> None:
    body = deliverer({}).render(delivery("hertzbeat"))
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
    body = deliverer(renderers).render(delivery())
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
    outcome = deliverer({"chat": raises}, httpserver.url_for("/hook")).deliver(delivery())
    assert outcome.state == "delivered"
    ((request, _),) = httpserver.log
    assert request.headers["webhook-id"] == "id-1"
    assert "fallback" in json.loads(request.get_data())


def test_a_receiver_that_is_not_there_any_more_is_an_error_of_our_own(caplog: pytest.LogCaptureFixture) -> None:
    outcome = deliverer({"chat": chat}).deliver(delivery(receiver="gone"))
    assert (outcome.state, outcome.reason) == ("dead", Reason.failed)
    assert "delivery id-1 to 'gone' failed by an error of our own" in caplog.text


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
