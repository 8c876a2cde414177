"""Fixtures for tests against programs that nobody here wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def foreign() -> Callable[..., str]:
    """Return the path of a program that a Debian package brings: `foreign("amtool", package="…")`.

    Without it the test skips, or fails if REQUIRE_STACKS is set.
    """

    def find(program: str, *, package: str) -> str:
        path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        return path or _missing(f"{program} is missing: apt-get install {package}")

    return find


@pytest.fixture(scope="session")
def foreign_python() -> Callable[[str], Path]:
    """Return the Python of a virtual environment that `tests/stacks/NAME.txt` describes, with hookplugin in it.

    Without it the test skips, or fails if REQUIRE_STACKS is set.
    """

    def find(name: str) -> Path:
        path = ROOT / ".stacks" / name / "bin" / "python"
        return path if path.exists() else _missing(f"{path} is missing: .ci/stacks {name} makes it")

    return find


def _missing(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_STACKS"):
        pytest.fail(reason)
    pytest.skip(reason)
