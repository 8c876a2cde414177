"""Packages, installed for real in virtual environments of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "tests/examples"


def run(*command: object, cwd: Path, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """Run a command, which ends as it should; return what it has printed."""
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Build our wheel from a copy, so that nothing is left in the checkout."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("hookplugin", "hookspecs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def make_environment(folder: Path, *requirements: object) -> Path:
    """Make a virtual environment that holds these and what they need; return the folder of its commands."""
    venv.create(folder)
    commands = folder / "bin"
    pip(commands, "install", "-q", *requirements, cwd=folder)
    return commands


def pip(commands: Path, *arguments: object, cwd: Path) -> str:
    """Run our pip for that environment: to install one of its own takes long."""
    return run(sys.executable, "-m", "pip", "--python", commands / "python", *arguments, cwd=cwd)
