"""The wheel, installed for real in a virtual environment of its own, with the example package beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from hookplugin.bodies.preset import PRESETS

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "tests/examples"


def _run(*command: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("hookplugin", "hookspecs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel and nothing else; return the folder of the environment's commands."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    _pip(folder / "bin", "install", "-q", wheel, cwd=folder)
    return folder / "bin"


def _pip(commands: Path, *arguments: object, cwd: Path) -> str:
    """Run our pip for that environment: to install one of its own takes long."""
    return _run(sys.executable, "-m", "pip", "--python", commands / "python", *arguments, cwd=cwd)


def test_the_wheel_holds_the_two_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"hookplugin", "hookspecs"}
    assert {
        "hookplugin/py.typed",
        "hookspecs/py.typed",
        "hookplugin/cli/data/hookplugin.yaml",
        "hookplugin/server/data/alerts.yaml",
        "hookplugin/server/data/dashboard.json",
        *(f"hookplugin/bodies/presets/{name}.yaml" for name in PRESETS),
    } <= set(names)


def test_the_base_install_is_small_and_its_demo_runs(installed: Path, tmp_path: Path) -> None:
    distributions = json.loads(_pip(installed, "list", "--format", "json", cwd=tmp_path))
    assert len(distributions) <= 25
    assert "delivered, 204" in _run(installed / "hookplugin", "demo", cwd=tmp_path)


def test_the_example_host_delivers(installed: Path, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ops").respond_with_data(status=200)
    printed = _run(installed / "python", EXAMPLES / "host.py", httpserver.url_for("/ops"), cwd=tmp_path)
    ((request, _),) = httpserver.log
    assert printed == f"{request.headers['webhook-id']} delivered\n"


def test_the_example_package_is_found_and_its_filter_and_body_are_used(
    installed: Path, tmp_path: Path, httpserver: HTTPServer
) -> None:
    shutil.copytree(EXAMPLES / "hookplugin-often", tmp_path / "often")
    _pip(installed, "install", "-q", tmp_path / "often", cwd=tmp_path)
    often, webhook = json.loads(_run(installed / "hookplugin", "plugins", "--json", cwd=tmp_path))
    assert (often["name"], often["package"], often["state"]) == ("often", "hookplugin-often", "active")
    assert often["offers"] == ["filter often", "renderer one-line"]
    assert webhook["state"] == "active"

    httpserver.expect_request("/chat").respond_with_data(status=200)
    config = {
        "receivers": [{"name": "chat", "url": httpserver.url_for("/chat"), "body": "one-line"}],
        "strategies": [{"name": "often", "receivers": ["chat"], "filters": ["often"]}],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config))
    (tmp_path / "alerts.json").write_text('[{"content": "rare"}, {"content": "again", "times": 3}]')
    _run(installed / "hookplugin", "fire", "alerts.json", cwd=tmp_path)
    ((request, _),) = httpserver.log
    assert request.get_data() == b"warning: again"
    assert request.headers["Content-Type"] == "text/plain; charset=utf-8"


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
    printed = _run(installed / "python", script, tmp_path / "hookplugin.yaml", cwd=tmp_path)
    ((request, _),) = httpserver.log
    assert printed == f"{request.headers['webhook-id']} ops ('all',)\n"
