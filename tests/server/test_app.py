"""What is answered to senders: 200 once all is stored, 4xx for what is wrong, 503 for what cannot be stored now."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from serving import JSON, Served, serving
from werkzeug import Request, Response

from hookplugin import Host
from hookplugin.sources import SOURCES

Serve = Callable[..., Served]

PROMETHEUS = {"labels": {"alertname": "DiskFull", "severity": "critical"}, "startsAt": "2026-11-28T10:00:00Z"}


def test_what_is_answered_with_200_is_stored_and_arrives(serve: Serve, httpserver: HTTPServer) -> None:
    served = serve()
    answer = served.post("/api/v1/alerts/json", json=[{"content": "one"}, {"content": "two", "tags": {"env": "dev"}}])
    assert answer.status_code == 200
    found = answer.json()
    (delivery,) = found["accepted"]["ids"]
    assert found == {
        "accepted": {"count": 1, "ids": [delivery]},
        "suppressed": {"count": 1, "reasons": ["no strategy matched"]},
        "refused": {"count": 0, "reasons": []},
    }
    store = served.host.context.state["hookplugin.webhook"].store
    assert [alert.alert.content for alert in store.recent(0)] == ["one", "two"]
    assert served.host.close() == 0
    ((request, _),) = httpserver.log
    assert (request.headers["webhook-id"], json.loads(request.get_data())["content"]) == (delivery, "one")


def test_alertmanager_posts_to_its_source(serve: Serve, payload: Callable[[str], bytes]) -> None:
    answer = serve().post("/api/v1/alerts/alertmanager", data=payload("alertmanager_v4_single"), headers=JSON)
    assert (answer.status_code, answer.json()["accepted"]["count"]) == (200, 1)


def test_prometheus_posts_as_to_an_alertmanager(serve: Serve) -> None:
    served = serve()
    first = served.post("/api/v2/alerts", json=[PROMETHEUS])
    again = served.post("/api/v2/alerts", json=[PROMETHEUS])
    assert (first.status_code, first.json()["accepted"]["count"]) == (200, 1)
    assert (again.status_code, again.json()["accepted"]["count"]) == (200, 0)
    assert again.json()["suppressed"]["count"] == 1
    assert served.post("/api/v2/alerts", json=[]).status_code == 200


def test_of_an_array_that_is_partly_wrong_the_rest_counts(serve: Serve) -> None:
    served = serve()
    answer = served.post("/api/v2/alerts", json=[{"labels": {}}, PROMETHEUS, {"labels": {"a": 1}}])
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("2 cannot be read, the others count: the source 'prometheus' cannot read")
    store = served.host.context.state["hookplugin.webhook"].store
    assert [one.alert.target for one in store.recent(0)] == ["DiskFull"]


def test_an_answer_stays_small_however_many_alerts_there_were(serve: Serve) -> None:
    served = serve()
    many = [{"content": "x" * 50, "tags": {"number": number, "env": "e"}} for number in range(10_000)]
    answer = served.post("/api/v1/alerts/json", json=many)
    assert answer.status_code == 200
    assert answer.json()["accepted"]["count"] == 10_000
    assert len(answer.content) < 5_000
    wrong = served.post("/api/v2/alerts", json=[{"labels": {f"l{number}": 1}} for number in range(10_000)])
    assert wrong.status_code == 400
    assert wrong.json()["error"].startswith("10000 cannot be read")
    assert len(wrong.content) < 10_000
    served.host.close(0)


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the payload is empty"),
    "no JSON": (b'{"content":\n  nope}', "the payload is not JSON: line 2, column 3: Expecting value"),
    "half of it": (b'{"content": "x"', "the payload is not JSON: line 1, column 16: Expecting ',' delimiter"),
    "not UTF-8": (b'{"content": "\xff\xfe"}', "the payload is not JSON: it is not UTF-8, or holds a number"),
    "NaN": (b'{"content": "x", "tags": {"a": NaN}}', "the payload is not JSON: it holds NaN or Infinity"),
    "minus infinity": (b"[-Infinity]", "the payload is not JSON: it holds NaN or Infinity"),
    "a number without end": (b'{"content": "x", "times": ' + b"9" * 5000 + b"}", "the payload is not JSON: it is not"),
    "a number too large": (b'{"content": "x", "times": ' + b"9" * 400 + b"}", "the source 'json' cannot read"),
    "nesting without end": (b"[" * 100_000, "the payload is nested too deeply"),
    "deep nesting": (b'{"content": "x", "raw": ' + b"[" * 500 + b"]" * 500 + b"}", "the source 'json' cannot read"),
    "a surrogate as a key": (b'{"content": "x", "\\ud800": 1}', "the source 'json' cannot read the payload"),
    "a wrong type": (b"1", "the source 'json' cannot read the payload: the payload should be an object"),
    "JSON within JSON": (b'"{}"', "the source 'json' cannot read the payload: the payload should be an object"),
}


@pytest.mark.parametrize(("body", "error"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_a_400_that_says_why(serve: Serve, body: bytes, error: str) -> None:
    answer = serve().post("/api/v1/alerts/json", data=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(error)


def test_half_a_character_is_replaced_as_everywhere(serve: Serve, httpserver: HTTPServer) -> None:
    served = serve()
    answer = served.post("/api/v1/alerts/json", data=b'{"content": "cut \\ud83d"}', headers=JSON)
    assert answer.status_code == 200
    served.host.close()
    assert json.loads(httpserver.log[0][0].get_data())["content"] == "cut \ufffd"


def test_a_source_that_is_not_there_is_named_with_the_nearest(serve: Serve) -> None:
    served = serve()
    answer = served.post("/api/v1/alerts/alertmanger", data=b"no JSON", headers=JSON)
    error = "unknown source 'alertmanger'; did you mean 'alertmanager'?"
    assert (answer.status_code, answer.json()) == (404, {"error": error})
    odd = served.post("/api/v1/alerts/%ed%a0%80%00%0a", json={})
    assert (odd.status_code, odd.json()["error"].isprintable()) == (404, True)


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1/alerts", "/api/v1/alerts/", "/api/v1/alerts/a/b", "/docs"])
def test_what_is_not_there_is_a_404_in_the_shape_of_all_errors(serve: Serve, path: str) -> None:
    answer = serve().post(path, json={})
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "no such path; alerts go to POST /api/v1/alerts/SOURCE"},
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/api/v2/alerts", "POST"), ("DELETE", "/api/v1/alerts/json", "POST"), ("POST", "/metrics", "GET")],
)
def test_another_method_is_a_405_that_names_the_right_one(serve: Serve, method: str, path: str, allowed: str) -> None:
    served = serve()
    answer = served.session.request(method, served.url(path), timeout=30)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.json() == {"error": "no such method here; alerts are sent by POST"}


def test_a_full_outbox_is_a_503_until_there_is_room(serve: Serve, httpserver: HTTPServer) -> None:
    served = serve({"max_pending": 1, "dispatch": False})
    assert served.post("/api/v1/alerts/json", json={"content": "one"}).status_code == 200
    answer = served.post("/api/v1/alerts/json", json={"content": "two"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"].endswith("is full: 1 deliveries wait, and max_pending is 1")
    unheard = served.post("/api/v1/alerts/json", json={"content": "three", "tags": {"env": "dev"}})
    assert unheard.status_code == 200
    assert httpserver.log == []


def test_while_the_file_fails_nothing_is_accepted_and_then_again(
    serve: Serve, tmp_path: Path, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    assert served.post("/api/v1/alerts/json", json={"content": "before"}).status_code == 200
    away = tmp_path / "away"
    away.mkdir()
    files = list(tmp_path.glob("outbox.db*"))
    for file in files:
        file.rename(away / file.name)
    (tmp_path / "outbox.db").mkdir()  # what is there now is no file
    for _ in range(3):
        answer = served.post("/api/v1/alerts/json", json={"content": "meanwhile"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert served.get("/readyz").status_code == 503
    refusals = [record for record in caplog.records if record.message.startswith("alerts are refused with 503: ")]
    assert 1 <= len(refusals) <= 2  # it was replaced, and cannot be opened
    (tmp_path / "outbox.db").rmdir()
    for file in files:
        (away / file.name).rename(file)
    deadline = time.monotonic() + 30
    while served.post("/api/v1/alerts/json", json={"content": "after"}).status_code != 200:
        assert time.monotonic() < deadline
    assert served.host.close() == 0
    arrived = {json.loads(request.get_data())["content"] for request, _ in httpserver.log}
    assert arrived == {"before", "after"}


def test_after_the_host_was_closed_nothing_is_accepted(serve: Serve) -> None:
    served = serve()
    served.host.close()
    assert served.post("/api/v1/alerts/json", json={"content": "late"}).status_code == 503
    assert served.get("/readyz").status_code == 503
    assert served.get("/healthz").json() == {"status": "alive"}


def test_a_plugin_that_fails_is_told_and_no_reason_to_send_it_again(install: Callable[..., None], serve: Serve) -> None:
    install(
        "breaking",
        """
        from hookplugin import hookimpl

        @hookimpl
        def alert_fired(alert):
            raise RuntimeError("out of order")
        """,
    )
    answer = serve().post("/api/v1/alerts/json", json={"content": "x"})
    assert (answer.status_code, answer.json()["accepted"]["count"]) == (200, 1)
    reason = "the plugin 'breaking' failed: RuntimeError: out of order"
    assert answer.json()["refused"] == {"count": 1, "reasons": [reason]}


def test_a_source_that_fails_is_a_503(install: Callable[..., None], serve: Serve) -> None:
    install(
        "odd",
        """
        from hookplugin import hookimpl

        @hookimpl
        def alert_register(registry):
            registry.source("odd", lambda payload, context: [1 / 0])
        """,
    )
    answer = serve().post("/api/v1/alerts/odd", json={})
    error = "the source 'odd' failed: ZeroDivisionError: division by zero"
    assert (answer.status_code, answer.json()) == (503, {"error": error})


def test_an_error_of_ours_is_a_500_that_is_logged_and_costs_nobody_else(
    install: Callable[..., None], serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    install(
        "odd",
        """
        from hookplugin import Delivery, hookimpl

        @hookimpl
        def alert_fired(alert):
            if alert.content == "odd":
                return [Delivery.model_construct()]  # without an id
        """,
    )
    served = serve()
    answer = served.post("/api/v1/alerts/json", json={"content": "odd"})
    assert (answer.status_code, answer.json()) == (500, {"error": "an error of ours; the log has it"})
    assert served.post("/api/v1/alerts/json", json={"content": "x"}).status_code == 200
    deadline = time.monotonic() + 30
    while "AttributeError: 'Delivery' object has no attribute 'id'" not in caplog.text:
        assert time.monotonic() < deadline  # it is logged after the answer


def test_metrics_are_what_prometheus_reads(serve: Serve) -> None:
    served = serve()
    served.post("/api/v1/alerts/json", json={"content": "x"})
    answer = served.get("/metrics")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "hookplugin_" in answer.text


def test_all_is_well_in_silence(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    served = serve()
    served.post("/api/v1/alerts/json", json={"content": "x", "priority": "critical"})
    served.get("/readyz")
    served.host.close()
    assert [record.message for record in caplog.records if record.name != "werkzeug"] == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Serve one host for many examples; nobody hears of what comes in."""
    folder = tmp_path_factory.mktemp("shared")
    with serving(Host({"outbox": f"sqlite:///{folder}/outbox.db", "durability": "normal"})) as served:
        yield served


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800")
KEYS = st.sampled_from(["labels", "alerts", "content", "status", "startsAt", "endsAt", "annotations", "event", "type"])
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner), max_leaves=8
)


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=50)
@given(body=ANY.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20))
def test_whatever_comes_in_is_taken_or_a_400(source: str, shared: Served, body: bytes) -> None:
    answer = shared.post(f"/api/v1/alerts/{source}", data=body, headers=JSON)
    assert answer.status_code in {200, 400}
    assert (answer.status_code == 400) == (list(answer.json()) == ["error"])


def test_what_receivers_answer_does_not_matter_to_the_sender(serve: Serve, httpserver: HTTPServer) -> None:
    def fail(_: Request) -> Response:
        return Response(status=500)

    httpserver.expect_request("/down").respond_with_handler(fail)
    served = serve({"receivers": [{"name": "ops", "url": httpserver.url_for("/down")}]})
    assert served.post("/api/v1/alerts/json", json={"content": "x"}).status_code == 200


def test_what_is_refused_is_counted_and_said_once_a_minute_for_each_status(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    for _ in range(3):
        assert served.post("/api/v1/alerts/grafana", json={}).status_code == 400
        assert served.post("/api/v1/alerts/odd%0Aname", json={}).status_code == 404
    assert served.post("/api/v1/alerts/json", json={"content": "x"}).status_code == 200
    text = served.get("/metrics").text
    assert 'hookplugin_requests_total{code="400",source="grafana"} 3.0' in text
    assert 'hookplugin_requests_total{code="404",source=""} 3.0' in text
    assert 'hookplugin_requests_total{code="200",source="json"} 1.0' in text
    first, second = [message for message in caplog.messages if "was answered" in message]
    assert first.startswith("127.0.0.1 was answered 400 to POST '/api/v1/alerts/grafana': the source 'grafana' cannot")
    assert second.startswith("127.0.0.1 was answered 404 to POST '/api/v1/alerts/oddname': unknown source")


def test_a_full_outbox_is_not_ready_and_what_can_be_taken_again_is_said(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve({"max_pending": 1, "dispatch": False})
    assert served.get("/readyz").status_code == 200
    alerts = [{"content": "one"}, {"content": "two"}]
    assert served.post("/api/v1/alerts/json", json=alerts).status_code == 503
    ready = served.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"error": "not ready: alerts could not be stored a moment ago"})
    served.host.reload()
    assert served.post("/api/v1/alerts/json", json={"content": "x", "tags": {"env": "dev"}}).status_code == 200
    assert served.get("/readyz").status_code == 200
    assert caplog.messages.count("alerts are taken again") == 1
