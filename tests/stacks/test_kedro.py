"""Real runs of Kedro: two that fail, and two that succeed, of which the first is told."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pytest_httpserver import HTTPServer

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

FILES = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "shop"\nproject_name = "shop"\nkedro_init_version = "1.7.0"\n',
    "conf/base/catalog.yml": "{}\n",
    "conf/local/.gitkeep": "",
    "src/shop/__init__.py": "",
    "src/shop/settings.py": "",
    "src/shop/pipeline_registry.py": """
import os
from kedro.pipeline import node, pipeline

def load():
    if mistake := os.environ.get("MISTAKE"):
        raise ValueError(mistake)
    return 1

def register_pipelines():
    orders = pipeline([node(load, None, "orders", name="load-orders")])
    return {"__default__": orders, "orders": orders}
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the smallest project that there is."""
    folder = tmp_path / "shop"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def kedro(foreign_python: Callable[[str], Path], project: Path, tmp_path: Path) -> Run:
    """Run it, with hookplugin configured unless a test says otherwise."""
    command = foreign_python("kedro").with_name("kedro")

    def run(
        mistake: str = "", *options: str, config: Path | None = tmp_path / "hookplugin.yaml"
    ) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "HOOKPLUGIN_CONFIG"}
        environment |= {"DO_NOT_TRACK": "1", "MISTAKE": mistake, "COLUMNS": "200"}
        environment |= {"HOOKPLUGIN_CONFIG": str(config)} if config else {}
        return subprocess.run(
            [command, "run", *options],
            cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def configured(httpserver: HTTPServer, tmp_path: Path) -> Path:
    """Tell one receiver, and keep in a file what was told."""
    httpserver.expect_request("/ops").respond_with_data()
    body = {name: f"{{{{ alert.{name} }}}}" for name in ("target", "content", "source", "tags", "annotations", "id")}
    names = {name: f"{{{{ alert.{name}.name }}}}" for name in ("status", "priority")}
    config = {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops"), "body": "all"}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
        "bodies": [{"name": "all", "json": body | names}],
    }
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def heard(server: HTTPServer) -> list[dict[str, Any]]:
    return [json.loads(request.get_data()) for request, _ in server.log]


@pytest.mark.usefixtures("configured")
def test_a_pipeline_that_fails_is_told_each_time_and_its_recovery_once(kedro: Run, httpserver: HTTPServer) -> None:
    runs = [kedro(), kedro("no such column"), kedro("no such column"), kedro(), kedro()]
    assert [run.returncode for run in runs] == [0, 1, 1, 0, 0]
    assert all("ValueError: no such column" in run.stdout + run.stderr for run in runs[1:3])  # the run's own error
    first, second, recovery = heard(httpserver)
    assert isinstance(first.pop("id"), int)
    run_id = first["annotations"].pop("run_id")
    assert first == {
        "target": "__default__",
        "content": "pipeline __default__ failed: no such column",
        "source": "kedro",
        "status": "firing",
        "priority": "critical",
        "tags": {"project": "shop", "env": "local"},
        "annotations": {"node": "load-orders"},
    }
    assert second["annotations"]["run_id"] != run_id
    assert (second["content"], second["status"]) == (first["content"], "firing")
    assert (recovery["content"], recovery["status"]) == ("pipeline __default__ succeeded", "recovered")
    assert (recovery["id"], recovery["tags"], recovery["target"]) == (second["id"], first["tags"], "__default__")


@pytest.mark.usefixtures("configured")
def test_a_pipeline_of_its_own_name_is_an_alert_of_its_own(kedro: Run, httpserver: HTTPServer) -> None:
    assert kedro("no such column", "--pipelines", "orders").returncode == 1
    assert kedro().returncode == 0
    assert [(body["target"], body["status"]) for body in heard(httpserver)] == [("orders", "firing")]


def test_without_a_configuration_nothing_is_done(kedro: Run, tmp_path: Path) -> None:
    done = kedro("no such column", config=None)
    assert "ValueError: no such column" in done.stdout + done.stderr
    assert "hookplugin" not in done.stdout + done.stderr
    assert not (tmp_path / "outbox.db").exists()


def test_a_configuration_that_is_missing_costs_the_alert_and_nothing_else(kedro: Run, tmp_path: Path) -> None:
    done = kedro("no such column", config=tmp_path / "missing.yaml")
    assert "ValueError: no such column" in done.stdout + done.stderr
    assert kedro(config=tmp_path / "missing.yaml").returncode == 0
