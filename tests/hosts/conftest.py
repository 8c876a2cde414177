"""Fixtures of hosts that load us in their own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer


@pytest.fixture
def config(tmp_path: Path, httpserver: HTTPServer) -> dict[str, Any]:
    """Return a configuration that tells one receiver everything, and keeps it in a file."""
    httpserver.expect_request("/ops").respond_with_data()
    return {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
    }
