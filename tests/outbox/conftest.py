"""Fixtures of an outbox: a file or memory, and a clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from storing import Clock

from hookplugin.outbox.opening import MEMORY
from hookplugin.outbox.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def file(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, file: str, clock: Clock) -> Iterator[Store]:
    with closing(Store(file if request.param == "file" else MEMORY, clock)) as opened:
        yield opened
