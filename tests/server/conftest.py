"""Fixtures of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from serving import Served, serving

from hookplugin import Host

Serve = Callable[..., Served]


@pytest.fixture
def config(tmp_path: Path, httpserver: HTTPServer) -> dict[str, Any]:
    """Return a configuration: one receiver that takes everything of which env is not dev."""
    httpserver.expect_request("/ops").respond_with_data()
    return {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match": ['env!="dev"']}],
    }


@pytest.fixture
def serve(config: dict[str, Any]) -> Iterator[Serve]:
    """Serve a host with this configuration and other keys of it; `limits` and such are those of `serving`."""
    with ExitStack() as stack:

        def start(keys: dict[str, Any] | None = None, **options: Any) -> Served:
            host = Host({**config, **(keys or {})})
            store = host.context.state["hookplugin.webhook"].store
            store.stay_durable()
            return stack.enter_context(serving(host, **options))

        yield start
