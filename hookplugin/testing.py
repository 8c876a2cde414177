"""Fixtures for tests of plugins: real hosts, a real receiver, and a clock that stands still.

A test module asks for them, or the `conftest.py` at the top of a project does; they need `hookplugin[testing]`:

    pytest_plugins = ["hookplugin.testing"]

A test of the filter `often` that a package of yours offers:

    def test_what_happens_once_is_not_told(make_host, make_alert, receiver):
        host = make_host(
            {
                "receivers": [{"name": "ops", "url": receiver.url}],
                "strategies": [{"name": "often", "receivers": ["ops"], "filters": ["often"]}],
            },
            installed=["often"],
        )
        host.fire(make_alert(content="once"))
        host.fire(make_alert(content="again", times=3))
        assert [request.json["content"] for request in receiver.wait(1)] == ["again"]

PYTEST_DONT_REWRITE: a test module that asks for the fixtures may import from here first.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Any, Final, Protocol
from uuid import uuid4

import pytest
from pytest_httpserver import HTTPServer
from requests.structures import CaseInsensitiveDict
from werkzeug import Request, Response

from hookplugin.config import OUR_PLUGIN
from hookplugin.host import Host
from hookplugin.problems import nearest
from hookplugin.webhook import webhook_of
from hookspecs import PROJECT, Alert

__all__ = ["Clock", "MakeAlert", "MakeHost", "Received", "Receiver", "clock", "make_alert", "make_host", "receiver"]

_START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
_PATIENCE: Final = 10.0  # seconds, until a test that waits has failed
_LOOK: Final = 0.002  # seconds


class Clock:
    """Be the time of the hosts of a test; it stands still until the test moves it on.

    It begins on Monday, 2026-01-05, at 12:00 UTC. Timeouts of requests are real time.
    """

    def __init__(self) -> None:
        """Begin, without hosts."""
        self._now = _START.timestamp()
        self.hosts: Final[list[Host]] = []
        """Those that follow it: all that `make_host` has made."""

    def __call__(self) -> float:
        """Return the time, in seconds since 1970-01-01 UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time on, and let the hosts do what is due then; when it returns, that is done.

        What is due now is done before: first a delivery fails, then the time comes for its retry. The first retry is
        due after about a second, the next after about two more, then four; `clock.advance(2)` is enough for the first.
        """
        self._settle()
        self._now += seconds
        for host in self.hosts:
            host.resume()
        self._settle()

    def _settle(self) -> None:
        for host in self.hosts:
            _settle(host)


@dataclass(frozen=True, slots=True)
class Received:
    """Hold one request, as it came in."""

    headers: Mapping[str, str]
    """Whatever the case of their names."""
    content: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return the content, read as JSON.

        Raises:
            ValueError: it is none.

        """
        return json.loads(self.content)


class Receiver:
    """Be a receiver at a real URL: answer what it is told, 204 if nothing, and keep what came in."""

    def __init__(self, server: HTTPServer) -> None:
        """Listen, under a path of its own."""
        path = f"/{uuid4().hex}"  # what a host of another test still sends ends nowhere
        self.url: Final = server.url_for(path)
        """For the `url` of a receiver in a configuration."""
        self._answers: deque[int] = deque()
        self._requests: Final[list[Received]] = []
        self._changed: Final = threading.Condition()
        server.expect_request(path).respond_with_handler(self._hear)

    def answer(self, *statuses: int) -> None:
        """Answer the next requests with these statuses, one after the other, and later ones with 204."""
        with self._changed:
            self._answers = deque(statuses)

    @property
    def requests(self) -> list[Received]:
        """Return what has come in until now."""
        with self._changed:
            return list(self._requests)

    def wait(self, count: int, seconds: float = _PATIENCE) -> list[Received]:
        """Return what has come in, once it is so many requests; the test fails if that takes longer."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, seconds):
                came = len(self._requests)
                pytest.fail(f"not {count} requests came in, but {came}; a retry is made when clock.advance() is called")
        return self.requests

    def _hear(self, request: Request) -> Response:
        received = Received(CaseInsensitiveDict(request.headers.items()), request.get_data())
        with self._changed:
            self._requests.append(received)
            self._changed.notify_all()
            return Response(status=self._answers.popleft() if self._answers else 204)


class MakeHost(Protocol):
    """Make a host for a test; the type of the fixture `make_host`."""

    def __call__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        installed: Iterable[str] = (),
        plugins: Mapping[str, object] = ...,
    ) -> Host:
        """Return a host that is ready, without other people's plugins, and strict: what a plugin fails at is raised.

        Args:
            config: as of `Host`; it names the zone UTC if it names none.
            installed: names of plugins that are installed, by their entry points.
            plugins: modules or instances that are plugins, by name; they need not be installed.

        Raises:
            ConfigError: with every mistake at once.
            ExceptionGroup: plugins failed at their settings, or another part of being made ready.
            LookupError: no plugin of such a name is installed.

        """
        ...


class MakeAlert(Protocol):
    """Make an alert for a test; the type of the fixture `make_alert`."""

    def __call__(self, **fields: Any) -> Alert:  # noqa: ANN401 - what `Alert` takes
        """Return an alert with these fields; it is critical and says "disk full" in `env: prod` if they do not."""
        ...


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the hosts that `make_host` makes."""
    return Clock()


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    """Return a receiver that listens."""
    return Receiver(httpserver)


@pytest.fixture
def make_alert() -> MakeAlert:
    """Return what makes alerts."""

    def make(**fields: Any) -> Alert:  # noqa: ANN401 - as above
        usual: dict[str, Any] = {"content": "disk full", "priority": "critical", "tags": {"env": "prod"}}
        return Alert(**usual | fields)

    return make


@pytest.fixture
def make_host(clock: Clock) -> Iterator[MakeHost]:
    """Return what makes hosts; at the end of the test these do what is due, and are closed.

    What a plugin failed at in other threads, such as a body, a sender or `alert_delivered`, is raised then, all
    together, as one ExceptionGroup.
    """

    def make(
        config: Mapping[str, Any] | None = None,
        *,
        installed: Iterable[str] = (),
        plugins: Mapping[str, object] | None = None,
    ) -> Host:
        brought = plugins or {}
        host = Host(_only(config or {}, [*installed], brought), strict=True, plugins=brought, clock=clock)
        clock.hosts.append(host)
        host.resume()
        return host

    yield make
    errors: list[BaseException] = []
    for host in clock.hosts:
        _settle(host)
        try:
            host.close(0.0)  # what waits for another time would wait for ever
        except BaseExceptionGroup as group:
            errors += group.exceptions
    if errors:
        message = "plugins failed"
        raise BaseExceptionGroup(message, errors)


def _only(config: Mapping[str, Any], installed: Iterable[str], brought: Iterable[str]) -> dict[str, Any]:
    """Return a configuration in which the plugins that are installed are off, but for ours and these."""
    found = {entry.name for entry in entry_points(group=PROJECT)}
    for name in installed:
        if name not in found:
            message = f"no plugin {name!r} is installed{nearest(name, found)}"
            raise LookupError(message)
    chosen = dict(config.get("plugins", {}))
    chosen["disabled"] = [*chosen.get("disabled", ()), *sorted(found - {OUR_PLUGIN, *installed, *brought})]
    return {"timezone": "UTC", **config, "plugins": chosen}


def _settle(host: Host) -> None:
    """Wait until a host has nothing to do now: nothing is due or on the wire, and plugins have heard of all outcomes.

    A sender that hangs is waited for only so long.
    """
    webhook = webhook_of(host.context)
    deadline = time.monotonic() + _PATIENCE
    while webhook and not webhook.is_idle and time.monotonic() < deadline:
        time.sleep(_LOOK)
