"""Real runs of a DAG of Airflow: one that fails twice, and two that succeed, of which the first is told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from commands import PATIENCE, working
from pytest_httpserver import HTTPServer

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

DAG = """
import os
from datetime import datetime, timedelta
from airflow.sdk import dag, task

@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def nightly():
    @task(retries=int(os.environ.get("RETRIES", "0")), retry_delay=timedelta(0))
    def load():
        if mistake := os.environ.get("MISTAKE"):
            raise ValueError(mistake)

    load()

nightly()
"""


@pytest.fixture(scope="module")
def home(foreign_python: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database and a folder with one DAG, once: it takes seconds."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags/nightly.py").write_text(DAG, encoding="utf-8")
    _airflow(foreign_python, home, "db", "migrate").check_returncode()
    return home


def _airflow(
    foreign_python: Callable[[str], Path], home: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "HOOKPLUGIN_CONFIG"}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags")}
    environment |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", **variables}
    return subprocess.run(
        [foreign_python("airflow").with_name("airflow"), *arguments],
        cwd=home, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def nightly(foreign_python: Callable[[str], Path], home: Path) -> Run:
    """Run the DAG for a day; the variables are those of its process."""
    return lambda day, **variables: _airflow(foreign_python, home, "dags", "test", "nightly", day, **variables)


@pytest.fixture
def folder(httpserver: HTTPServer, tmp_path: Path) -> Path:
    """Tell one receiver of everything; a worker delivers, since processes of Airflow end before they could."""
    httpserver.expect_request("/ops").respond_with_data()
    names = ("target", "content", "source", "tags", "annotations", "link", "id")
    body = {name: f"{{{{ alert.{name} }}}}" for name in names}
    config = {
        "outbox": "sqlite:///outbox.db",
        "dispatch": False,
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops"), "body": "all"}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
        "bodies": [
            {
                "name": "all",
                "json": body | {name: f"{{{{ alert.{name}.name }}}}" for name in ("status", "priority")},
            }
        ],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def delivered(folder: Path, server: HTTPServer, count: int) -> list[dict[str, Any]]:
    """Let a worker deliver until so many requests have arrived; return their bodies."""
    deadline = time.monotonic() + PATIENCE
    with working(folder):
        while len(server.log) < count and time.monotonic() < deadline:
            time.sleep(0.05)
    return [json.loads(request.get_data()) for request, _ in server.log]


def test_each_failure_is_told_and_so_is_the_first_run_that_succeeds_again(
    nightly: Run, folder: Path, httpserver: HTTPServer
) -> None:
    config = {"HOOKPLUGIN_CONFIG": str(folder / "hookplugin.yaml")}
    failed = nightly("2026-01-02", MISTAKE="no such column", RETRIES="1", **config)
    again = [nightly(day, **config) for day in ("2026-01-03", "2026-01-04")]
    assert [run.returncode for run in (failed, *again)] == [1, 0, 0]
    bodies = delivered(folder, httpserver, 5)
    told = {(body["target"], body["status"]): body for body in bodies}
    assert len(bodies) == len(told) == 5
    task, run = told["nightly.load", "firing"], told["nightly", "firing"]
    assert task.pop("link").startswith("http")
    assert task["annotations"]["run_id"].startswith("manual__")
    identities = {"nightly.load": task.pop("id"), "nightly": run.pop("id")}
    assert task == {
        "target": "nightly.load",
        "content": "nightly.load failed: no such column",
        "source": "airflow",
        "status": "firing",
        "priority": "critical",
        "tags": {"dag": "nightly", "task": "load"},
        "annotations": run["annotations"],
    }
    assert run == task | {
        "target": "nightly",
        "content": "nightly failed: task_failure",
        "tags": {"dag": "nightly"},
    }
    pending = told["nightly.load", "pending"]
    assert (pending["content"], pending["priority"]) == (task["content"], "warning")
    for target, tags in (("nightly.load", task["tags"]), ("nightly", run["tags"])):
        recovery = told[target, "recovered"]
        assert recovery["content"] == f"{target} succeeded"
        assert (recovery["id"], recovery["tags"]) == (identities[target], tags)
        assert recovery["annotations"] != task["annotations"]


def test_without_a_configuration_nothing_is_done(nightly: Run, home: Path) -> None:
    assert nightly("2026-03-02", MISTAKE="no such column").returncode == 1
    assert not list(home.rglob("outbox.db"))
