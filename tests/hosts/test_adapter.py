"""What adapters share: a foreign host never hears of our troubles, and each of its processes has a host of ours."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Host
from hookplugin.hosts.adapter import AGAIN, Adapter

ALERT = Alert(content="disk full")


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    with closing(Adapter("Alerta")) as adapter:
        yield adapter


def test_nothing_is_loaded_before_the_first_alert(adapter: Adapter, config: dict[str, Any], tmp_path: Path) -> None:
    threads = threading.active_count()
    assert list(tmp_path.iterdir()) == []
    receipt = adapter.fire(config, [ALERT])
    assert receipt
    assert (len(receipt.deliveries), receipt.durable) == (1, True)
    assert (tmp_path / "outbox.db").exists()
    assert threading.active_count() > threads


def test_closing_delivers_what_is_left(adapter: Adapter, config: dict[str, Any], httpserver: HTTPServer) -> None:
    adapter.receive(config, "json", b'{"content": "one"}')
    adapter.close()
    ((request, _),) = httpserver.log
    assert json.loads(request.get_data())["content"] == "one"
    late = adapter.fire(config, [ALERT])
    assert late
    assert late.refused


def test_the_file_that_the_environment_names_counts_if_none_is_given(
    adapter: Adapter, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setenv("HOOKPLUGIN_CONFIG", str(tmp_path / "mine.yaml"))
    receipt = adapter.fire(None, [ALERT])
    assert receipt
    assert len(receipt.accepted) == 1


@pytest.mark.parametrize(
    ("source", "payload", "said"),
    [
        ("json", b"{", "PayloadError: the payload is not JSON: line 1, column 2"),
        ("json", {"text": "x"}, "PayloadError: the source 'json' cannot read the payload: content: is missing"),
        ("grafanna", {}, "UnknownSourceError: unknown source 'grafanna'; did you mean 'grafana'?"),
        ("ends", {}, "the source 'ends' failed: SystemExit"),
    ],
)
def test_what_cannot_be_taken_is_logged_and_never_raised(  # noqa: PLR0913, PLR0917 - three of them are fixtures
    adapter: Adapter,
    config: dict[str, Any],
    install: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    source: str,
    payload: object,
    said: str,
) -> None:
    install(
        "ends",
        """
        from hookplugin import hookimpl

        def end(payload, context):
            raise SystemExit

        @hookimpl
        def alert_register(registry):
            registry.source("ends", end)
        """,
    )
    receipt = adapter.receive(config, source, payload)
    assert receipt is None or receipt.refused
    assert said in caplog.text


def test_a_wrong_configuration_is_said_once_and_tried_again(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    file = tmp_path / "hookplugin.yaml"
    file.write_text("recievers: []", encoding="utf-8")
    with closing(Adapter("Alerta", lambda: now)) as adapter:
        assert [adapter.fire(file, [ALERT]) for _ in range(3)] == [None] * 3
        first, *others = [record.getMessage() for record in caplog.records]
        assert "hookplugin.yaml:1: recievers: unknown key; did you mean 'receivers'?" in first
        assert others == ["an alert of Alerta was not taken: the configuration could not be loaded"] * 2
        file.write_text(json.dumps(config), encoding="utf-8")
        assert adapter.fire(file, [ALERT]) is None
        now += AGAIN
        receipt = adapter.fire(file, [ALERT])
        assert receipt
        assert len(receipt.accepted) == 1


def test_what_is_refused_is_logged(adapter: Adapter, config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    receipt = adapter.fire({**config, "max_pending": 1}, [ALERT, ALERT])
    assert receipt
    assert len(receipt.refused) == 1
    assert "an alert of Alerta was refused: the outbox" in caplog.text


@pytest.mark.parametrize("loaded", [False, True])
def test_a_forked_process_has_a_host_of_its_own(
    adapter: Adapter, config: dict[str, Any], httpserver: HTTPServer, *, loaded: bool
) -> None:
    if loaded:
        adapter.fire(config, [Alert(content="parent")])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            receipt = adapter.fire(config, [Alert(content="child")])
            adapter.close()
            code = 0 if receipt and receipt.durable else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    adapter.close()
    told = sorted(json.loads(request.get_data())["content"] for request, _ in httpserver.log)
    assert told == (["child", "parent"] if loaded else ["child"])


def test_many_threads_share_one_host(
    adapter: Adapter, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Barrier(8)

    def fire(number: int) -> None:
        start.wait()
        adapter.fire(config, [Alert(content=str(number))])

    threads = [threading.Thread(target=fire, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    adapter.close()
    with closing(Host(config)) as host:
        recent = host.context.state["hookplugin.webhook"].store.recent(0)
        assert sorted(one.alert.content for one in recent) == [str(number) for number in range(8)]
        assert {delivery.state for one in recent for delivery in one.deliveries} == {"delivered"}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
