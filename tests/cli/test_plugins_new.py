"""`hookplugin plugins new`: what it writes works as it stands, and is what its author would have checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import RunIn

Run = Callable[..., subprocess.CompletedProcess[str]]

NAMES = ["loud", "two-words", "class", "import", "3d"]
"""Also words that Python keeps for itself, and such that no variable can begin with."""


class Written(NamedTuple):
    """Hold where the packages were written, and what shows them to a process as installed."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on all packages."""
        folders = [f"./hookplugin-{name}" for name in NAMES]
        return _run(*command, *folders, cwd=self.folder, environment=self.environment)


def _run(*command: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def written(run_in: RunIn, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Write a package of each name, and install all of them for real."""
    folder = tmp_path_factory.mktemp("written")
    for name in NAMES:
        assert run_in(folder, ["plugins", "new", name], b"").returncode == 0
    site, tools = str(folder / "site"), str(folder / "tools")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--target")
    done = _run(*pip, tools, "hatchling", cwd=folder, environment={**os.environ})  # once, instead of for each
    assert done.returncode == 0, done.stderr
    building = Written(folder, {**os.environ, "PYTHONPATH": tools})
    done = building.run(*pip, site, "--no-deps", "--no-build-isolation")
    assert done.returncode == 0, done.stderr
    return Written(folder, {**os.environ, "PYTHONPATH": site})


def test_the_tests_of_new_packages_pass(written: Written) -> None:
    done = written.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert f"{3 * len(NAMES)} passed" in done.stdout


def test_new_packages_are_found_beside_each_other(written: Written) -> None:
    command = str(Path(sys.executable).with_name("hookplugin"))
    done = _run(command, "plugins", "--json", cwd=written.folder, environment=written.environment)
    found = {status["name"]: status for status in json.loads(done.stdout)}
    assert found.keys() == {"webhook", *NAMES}
    for name in NAMES:
        assert (found[name]["package"], found[name]["state"]) == (f"hookplugin-{name}", "active")
        assert found[name]["offers"] == [f"filter {name}"]
        assert found[name]["settings"]["properties"]["times"]["default"] == 3


@pytest.mark.parametrize(
    "command",
    [
        ("mypy", "--strict"),
        ("pyright", "--pythonpath", sys.executable),
        ("ruff", "check", "--isolated"),
        ("ruff", "format", "--check", "--isolated"),
    ],
    ids=" ".join,
)
def test_checkers_find_nothing_in_new_packages(written: Written, command: tuple[str, ...]) -> None:
    tool = Path(sys.executable).with_name(command[0])
    if not tool.exists():
        pytest.skip(f"{command[0]} is not installed")
    done = written.run(str(tool), *command[1:])
    assert done.returncode == 0, done.stdout


def test_what_was_written_is_listed_with_what_to_do_next(run: Run, tmp_path: Path) -> None:
    done = run("plugins", "new", "loud")
    *files, _, change, last = done.stdout.splitlines()
    assert done.returncode == 0
    assert sorted(files) == sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("hookplugin-loud/**/*") if path.is_file()
    )
    assert (change, last) == ("  cd hookplugin-loud", "  pip install -e '.[test]' && pytest")


def test_json_lists_the_files(run: Run, tmp_path: Path) -> None:
    files = json.loads(run("plugins", "new", "--json", "loud").stdout)["written"]
    assert len(files) == 4
    assert all((tmp_path / file).read_text(encoding="utf-8") for file in files)


def test_the_name_may_be_that_of_the_package(run: Run, tmp_path: Path) -> None:
    assert run("plugins", "new", "hookplugin-loud").returncode == 0
    assert 'loud = "hookplugin_loud"' in (tmp_path / "hookplugin-loud/pyproject.toml").read_text(encoding="utf-8")


def test_nothing_that_is_there_is_touched(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin-loud").mkdir()
    done = run("plugins", "new", "loud")
    assert done.returncode == 1
    assert done.stderr == "hookplugin-loud: exists already; nothing was written\n"
    assert list((tmp_path / "hookplugin-loud").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Two_Words", "; did you mean 'two-words'?"),
        ("two--words", "; did you mean 'two-words'?"),
        ("-loud", "; did you mean 'loud'?"),
        ("../loud", "; did you mean 'loud'?"),
        ("loud\n", "; did you mean 'loud'?"),
        ("", ""),
        ("übel", "; did you mean 'bel'?"),
        ("ÜÜ", ""),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(
    run: Run, tmp_path: Path, name: str, advice: str
) -> None:
    done = run("plugins", "new", "--", name)
    assert done.returncode == 2
    assert done.stderr.endswith(f"it has lowercase letters, digits, and single dashes inside{advice}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["webhook", "hookplugin-webhook"])
def test_our_own_name_is_taken(run: Run, tmp_path: Path, name: str) -> None:
    done = run("plugins", "new", name)
    assert (done.returncode, done.stderr) == (2, "the name 'webhook' is taken, by our own plugin\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(run: Run) -> None:
    name = "a" * 300
    done = run("plugins", "new", name)
    assert done.returncode == 2
    assert done.stderr == f"hookplugin-{name}: cannot be written: File name too long\n"
