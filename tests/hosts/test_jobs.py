"""Hosts that run jobs: a success is told if it ends a failure, and to nobody else."""

from __future__ import annotations

import json
import logging
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Receipt
from hookplugin.hosts.jobs import JobAdapter

KEDRO = Path(__file__).parents[1] / "examples/hookplugin-kedro/hookplugin_kedro.py"
Config: TypeAlias = dict[str, Any]


@pytest.fixture
def adapter() -> Iterator[JobAdapter]:
    """Return an adapter that is closed at the end."""
    adapter = JobAdapter("jobs")
    yield adapter
    adapter.close()


def alert(job: str, status: str) -> Alert:
    return Alert(content=f"{job} {status}", target=job, status=status)


def heard(server: HTTPServer) -> list[str]:
    return [json.loads(request.get_data())["content"] for request, _ in server.log]


def test_a_success_is_told_once_after_a_failure_and_never_without(
    config: Config, adapter: JobAdapter, httpserver: HTTPServer
) -> None:
    receipts = [
        adapter.recover(config, [alert("backup", "recovered")]),
        adapter.fire(config, [alert("backup", "firing")]),
        adapter.fire(config, [alert("backup", "firing")]),
        adapter.recover(config, [alert("report", "recovered"), alert("backup", "recovered")]),
        adapter.recover(config, [alert("backup", "recovered")]),
    ]
    adapter.close()
    assert [len(receipt.accepted) for receipt in receipts if receipt] == [0, 1, 1, 1, 0]
    assert receipts[0] == Receipt(durable=True)
    assert heard(httpserver) == ["backup firing", "backup firing", "backup recovered"]


def test_a_failure_of_another_process_is_known_too(config: Config, httpserver: HTTPServer) -> None:
    for status in ("firing", "recovered", "recovered"):
        process = JobAdapter("jobs")
        act = process.fire if status == "firing" else process.recover
        act(config, [alert("backup", status)])
        process.close()
    assert heard(httpserver) == ["backup firing", "backup recovered"]


def test_a_failure_that_may_be_tried_again_is_none_yet(
    config: Config, adapter: JobAdapter, httpserver: HTTPServer
) -> None:
    adapter.fire(config, [alert("backup", "pending")])
    adapter.recover(config, [alert("backup", "recovered")])
    adapter.close()
    assert heard(httpserver) == ["backup pending"]


def test_where_nobody_keeps_what_fires_nothing_is_told(config: Config, adapter: JobAdapter) -> None:
    off = {**config, "plugins": {"disabled": ["webhook"]}}
    receipt = adapter.recover(off, [alert("backup", "recovered")])
    assert receipt is not None
    assert (receipt.deliveries, receipt.suppressed) == ((), ())


def test_whatever_goes_wrong_while_alerts_are_made_is_logged(
    config: Config, adapter: JobAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    def alerts() -> Iterator[Alert]:
        yield alert("backup", "recovered")
        message = "no such job"
        raise TypeError(message)

    with caplog.at_level(logging.ERROR, "hookplugin"):
        assert adapter.recover(config, alerts()) is None
    assert caplog.messages == ["an alert of jobs was not taken: TypeError: no such job"]


class _Unwritable(Exception):  # noqa: N818 - it is what a run raises
    def __str__(self) -> str:
        message = "no text of mine"
        raise RuntimeError(message)


def test_a_hook_of_the_example_for_kedro_never_raises_whatever_a_run_has_raised(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setenv("HOOKPLUGIN_CONFIG", str(path))
    example = runpy.run_path(str(KEDRO))
    run = {"pipeline_names": None, "project_path": "/srv/shop", "env": None, "run_id": "now"}
    with caplog.at_level(logging.ERROR, "hookplugin"):
        example["hooks"].on_pipeline_error(_Unwritable(), run)
    example["adapter"].close()
    assert caplog.messages == ["an alert of Kedro was not taken: RuntimeError: no text of mine"]
