"""Fixtures for tests against programs that nobody here wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def foreign() -> Callable[..., str]:
    """Return the path of a program that a Debian package brings: `foreign("amtool", package="…")`.

    Without it the test skips, or fails if REQUIRE_STACKS is set.
    """

    def find(program: str, *, package: str) -> str:
        path = shutil.which(program)
        if path is None:
            reason = f"{program} is missing: apt-get install {package}"
            if os.environ.get("REQUIRE_STACKS"):
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find
