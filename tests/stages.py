"""A world for one bad plugin, `mmm`: two good ones beside it, receivers that listen, a clock, and where it may fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Host, PluginStatus, Receipt
from hookplugin.server.metrics import exposition
from hookplugin.testing import Clock

ALERTS: Final = (
    Alert(content="disk full", priority="critical", tags={"host": "a"}),
    Alert(content="swap used", tags={"host": "b"}),
    Alert(content="disk fine", status="recovered", tags={"host": "a"}),
)
CONTENTS: Final = tuple(alert.content for alert in ALERTS)
FALLBACK: Final = "the fallback"

HEAD: Final = """
import asyncio
from hookplugin import Alert, Body, Delivery, Secret, SendError, hookimpl
from pydantic import BaseModel, field_validator, model_validator

"""
GOOD: Final = """
from hookplugin import Body, Delivery, hookimpl

@hookimpl
def alert_register(registry):
    registry.filter("NAME", lambda alert: True)
    registry.renderer("NAME", lambda deliveries: Body(content=deliveries[0].alert.content.encode()))

@hookimpl
def alert_configure(context):
    context.state["NAME"] = ["configured"]

@hookimpl
def alert_fired(alert, context):
    context.state["NAME"].append("fired " + alert.content)
    return [Delivery(id="NAME", alert=alert, receiver="r", body="b")]

@hookimpl
def alert_delivered(delivery, outcome, context):
    context.state["NAME"].append(f"{outcome.state} {delivery.receiver} {delivery.alert.content}")

@hookimpl
def alert_shutdown(context):
    context.state["NAME"].append("shut down")
"""


def function(name: str, arguments: str, body: str) -> str:
    return f"def {name}({arguments}):\n    {body}\n"


def hook(name: str, arguments: str = "", body: str = "pass") -> str:
    return f"@hookimpl\n{function(name, arguments, body)}"


def offer(kind: str, what: str = "fail") -> str:
    return hook("alert_register", "registry", f"registry.{kind}('mine', {what})")


@dataclass(frozen=True)
class Stage:
    """Say where a plugin fails that calls `fail()`, and what there is to see then."""

    code: str
    where: str
    times: int = 3
    refused: int = 0
    """Failures of which receipts tell."""
    mine: Mapping[str, Any] | None = None
    """Keys of a receiver that hears of everything, too."""
    filters: tuple[str, ...] = ()
    """Of the strategy that tells it."""
    heard: tuple[str, ...] = ()
    """What arrives there."""
    outcome: str = "delivered"
    """Of what it is sent."""
    other: tuple[str, ...] = ()
    """Faults that are none here, or another one."""

    @property
    def is_off(self) -> bool:
        """Say whether the plugin is off then."""
        return self.where in {"load", "settings", "alert_register", "alert_configure"}

    def reason(self, told: str) -> str:
        """Return how the status begins to tell of a fault."""
        if self.where == "load":
            return f"it cannot be loaded: {told}"
        return f"{self.where} failed: {told}" if self.is_off else told


STAGES: Final = {
    "import": Stage(hook("alert_fired") + "fail()\n", "load", times=1),
    "register": Stage(
        hook("alert_fired") + hook("alert_register", "registry", "registry.filter('mine', bool); fail()"),
        "alert_register",
        times=1,
    ),
    "configure": Stage(
        offer("filter", "bool") + hook("alert_fired") + hook("alert_configure", "context", "fail()"),
        "alert_configure",
        times=1,
    ),
    "fired": Stage(hook("alert_fired", "alert, context", "fail()"), "alert_fired", refused=3),
    "fired, half way": Stage(
        hook(
            "alert_fired",
            "alert",
            "return (Delivery(id='mmm', alert=alert, receiver='r', body='b') if n else fail() for n in (1, 0))",
        ),
        "alert_fired",
        refused=3,
        other=("ends an iteration",),
    ),
    "filter": Stage(offer("filter"), "filter mine", mine={}, filters=("mine",), heard=CONTENTS),
    "renderer": Stage(offer("renderer"), "renderer mine", mine={"body": "mine"}, heard=(FALLBACK,) * 3),
    "signer": Stage(offer("signer"), "signer mine", mine={"signer": "mine"}, outcome="dead"),
    "sender": Stage(
        function("send", "message", "told.append(message.id)\n    if told.count(message.id) == 1:\n        fail()")
        + "told = []\n"
        + offer("sender", "send"),
        "sender mine",
        mine={"type": "mine"},
    ),
    "source": Stage(offer("source"), "source mine", times=1, refused=1, other=("calls itself",)),
    "source, half way": Stage(
        offer("source", "lambda *_: (Alert(content='x') if n else fail() for n in (1, 0))"),
        "source mine",
        times=1,
        refused=1,
        other=("calls itself", "ends an iteration"),
    ),
    "delivered": Stage(hook("alert_delivered", "delivery, outcome, context", "fail()"), "alert_delivered"),
    "shutdown": Stage(hook("alert_shutdown", "context", "fail()"), "alert_shutdown", times=1),
}


@dataclass
class World:
    """Hold all that is there beside the bad plugin."""

    install: Callable[..., None]
    server: HTTPServer
    clock: Clock = field(default_factory=Clock)
    receipts: list[Receipt] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Install the good plugins."""
        for good in ("aaa", "zzz"):
            self.install(good, GOOD.replace("NAME", good))
        for path in ("/ops", "/mine"):
            self.server.expect_request(path).respond_with_data()

    def host(self, stage: Stage, code: str, **keys: Any) -> Host:
        """Return a host that tells `ops` in the body of one good plugin what pleases the filters of both."""
        self.install("mmm", HEAD + code + stage.code)
        receivers: list[dict[str, Any]] = [{"name": "ops", "url": self.server.url_for("/ops"), "body": "zzz"}]
        strategies: list[dict[str, Any]] = [{"name": "all", "receivers": ["ops"], "filters": ["aaa", "zzz"]}]
        if stage.mine is not None:
            url = {} if "type" in stage.mine else {"url": self.server.url_for("/mine")}
            receivers.append({"name": "mine", "body": "zzz", **url, **stage.mine})
            strategies.append({"name": "mine", "receivers": ["mine"], "filters": [*stage.filters]})
        host = Host({"receivers": receivers, "strategies": strategies, **keys}, clock=self.clock)
        self.clock.hosts.append(host)
        return host

    def live(self, host: Host, stage: Stage) -> None:
        """Fire all alerts, hand over a payload if that is what fails, and wait for all retries."""
        self.receipts += [host.fire(alert) for alert in ALERTS]
        if stage.where.startswith("source"):
            self.receipts.append(host.receive("mine", {}))
        for _ in ALERTS:
            self.clock.advance(5)

    def heard(self, path: str) -> list[str]:
        """Return what was sent to a path."""
        found = [request.get_data(as_text=True) for request, _ in self.server.log if request.path == path]
        return [FALLBACK if "fallback" in text else text for text in found]


def status_of(host: Host, name: str = "mmm") -> PluginStatus:
    return next(status for status in host.plugins if status.name == name)


def metric(host: Host, name: str, **labels: str) -> list[float]:
    """Return the values of all samples with these labels; there should be one."""
    return [
        sample.value
        for family in text_string_to_metric_families(exposition(host).decode())
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
