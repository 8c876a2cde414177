"""The wheel, installed for real in a virtual environment of its own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from installing import EXAMPLES, make_environment, pip, run
from pytest_httpserver import HTTPServer

from hookplugin.bodies.preset import PRESETS


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel and nothing else; return the folder of the environment's commands."""
    return make_environment(tmp_path_factory.mktemp("installed"), wheel)


def test_the_wheel_holds_the_two_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"hookplugin", "hookspecs"}
    assert {
        "hookplugin/py.typed",
        "hookspecs/py.typed",
        "hookplugin/cli/data/hookplugin.yaml",
        *(
            f"hookplugin/cli/data/plugin/{name}.txt"
            for name in ("pyproject.toml", "README.md", "plugin.py", "test_plugin.py")
        ),
        "hookplugin/server/data/alerts.yaml",
        "hookplugin/server/data/dashboard.json",
        *(f"hookplugin/bodies/presets/{name}.yaml" for name in PRESETS),
    } <= set(names)


def test_the_base_install_is_small_and_its_demo_runs(installed: Path, tmp_path: Path) -> None:
    distributions = json.loads(pip(installed, "list", "--format", "json", cwd=tmp_path))
    assert len(distributions) <= 25
    assert "delivered, 204" in run(installed / "hookplugin", "demo", cwd=tmp_path)


def test_the_example_host_delivers(installed: Path, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ops").respond_with_data(status=200)
    printed = run(installed / "python", EXAMPLES / "host.py", httpserver.url_for("/ops"), cwd=tmp_path)
    ((request, _),) = httpserver.log
    assert printed == f"{request.headers['webhook-id']} delivered\n"


def test_the_example_host_with_its_own_manager_delivers(
    installed: Path, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data(status=200)
    config = {
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config))
    script = EXAMPLES / "host_with_own_manager.py"
    printed = run(installed / "python", script, tmp_path / "hookplugin.yaml", cwd=tmp_path)
    ((request, _),) = httpserver.log
    assert request.get_json()["content"] == "order 7 failed"  # what its own plugin said, by its own hook
    assert printed == f"{request.headers['webhook-id']} ops ('all',)\n"
