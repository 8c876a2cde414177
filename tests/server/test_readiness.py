"""`/readyz`: 200 while alerts can be stored and delivered, else 503 with reasons that give nothing away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from serving import Served, serving
from storing import processes_in_turn
from test_storage_faults import HOLDS

from hookplugin import Host

Serve = Callable[..., Served]


def wait_for(served: Served, wanted: int) -> dict[str, str]:
    """Ask until it answers so; what was seen a moment ago counts."""
    deadline = time.monotonic() + 30
    while (answer := served.get("/readyz")).status_code != wanted:
        assert time.monotonic() < deadline
    found: dict[str, str] = answer.json()
    return found


def test_a_host_that_works_is_ready(serve: Serve) -> None:
    served = serve()
    answer = served.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_one_that_only_stores_is_ready_too(serve: Serve) -> None:
    assert serve({"dispatch": False}).get("/readyz").status_code == 200


def test_a_file_that_cannot_be_written_is_told_without_its_name(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    with processes_in_turn(1, HOLDS) as ask:
        assert ask(str(tmp_path / "outbox.db")) == ["held\n"]
        found = wait_for(served, 503)
        assert found["error"] in {
            "not ready: the storage does not answer",
            "not ready: the storage cannot be written",
        }
        assert served.get("/healthz").status_code == 200
    assert wait_for(served, 200) == {"status": "ready"}


def test_it_is_not_looked_more_often_than_once_a_second(serve: Serve, tmp_path: Path) -> None:
    served = serve({"dispatch": False})
    log = tmp_path / "outbox.db-wal"
    assert served.get("/readyz").status_code == 200
    size, began, answers = log.stat().st_size, time.monotonic(), 0
    while time.monotonic() - began < 0.5:
        assert served.get("/readyz").status_code == 200
        answers += 1
    assert answers > 3
    assert log.stat().st_size <= size + 5000  # a page, and what stands before it, at most once more


def test_an_outbox_in_memory_is_not_ready() -> None:
    with serving(Host({})) as served:
        answer = served.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"error": "not ready: the storage cannot be written"})


def test_without_the_plugin_that_delivers_nothing_is_ready() -> None:
    with serving(Host({"plugins": {"disabled": ["webhook"]}})) as served:
        answer = served.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"error": "not ready: the plugin that delivers is off"})


def test_a_plugin_that_failed_and_is_not_required_costs_only_itself(install: Callable[..., None], serve: Serve) -> None:
    install(
        "weak",
        """
        from hookplugin import hookimpl

        @hookimpl
        def alert_register(registry):
            raise RuntimeError("no")
        """,
    )
    served = serve()
    assert [status.state for status in served.host.plugins if status.name == "weak"] == ["failed"]
    assert served.get("/readyz").status_code == 200
