"""A host that is right: what its calls return has the types that their documentation speaks of."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, assert_type

import pluggy
from pydantic import BaseModel

import hookplugin
import hookspecs
from hookplugin import (
    Alert,
    Config,
    Context,
    Delivery,
    Explanation,
    Host,
    Outcome,
    PluginStatus,
    Priority,
    Reason,
    Receipt,
    Registry,
    Status,
    Unsent,
)
from hookspecs import Filter, Renderer, Sender, Signer, Source


def live(alert: Alert, payload: bytes) -> None:
    with Host.from_file(Path("hookplugin.yaml"), strict=True, dispatch=False) as host:
        assert_type(host, Host)
        receipt = host.fire(alert)
        assert_type(receipt, Receipt)
        assert_type(host.fire_all([alert]), Receipt)
        assert_type(host.receive("alertmanager", payload), Receipt)
        assert_type(host.wait(receipt), dict[str, Outcome | None])
        assert_type(host.explain(alert), Explanation)
        assert_type(host.plugins, tuple[PluginStatus, ...])
        assert_type(host.context, Context)
        assert_type(host.config, Config)
        assert_type(host.durable, bool)
        assert_type(host.close(), int)
    for name, outcome in host.wait(receipt, 0.0).items():
        assert_type(name, str)
        if outcome:
            assert_type(outcome.state, Literal["delivered", "dead"])
            assert_type(outcome.reason, Reason | None)
            assert_type(outcome.status, int | None)
            assert_type(outcome.detail, str)
    assert_type(receipt.accepted, tuple[str, ...])
    assert_type(receipt.deliveries, tuple[Delivery, ...])
    assert_type(receipt.suppressed, tuple[Unsent, ...])
    assert_type(receipt.refused[0].alert, Alert | None)


def bring_plugins(plugin: object, config: dict[str, Any]) -> None:
    host = Host(config, plugins={"mine": plugin}, clock=lambda: 1_700_000_000.0)
    (status,) = host.plugins
    assert_type(status.state, Literal["active", "disabled", "failed"])
    assert_type(status.hooks, tuple[str, ...])
    assert_type(status.failures[0].where, str)
    assert_type(status.failures[0].times, int)
    assert_type(status.failures[0].last, str)


def keep_a_manager(alert: Alert) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    context = hookplugin.prepare(manager, "hookplugin.yaml")
    assert_type(context, Context)
    manager.hook.alert_fired(alert=alert, context=context)


def read(alert: Alert, registry: Registry) -> None:
    assert_type(alert.priority, Priority)
    assert_type(alert.status, Status)
    assert_type(alert.times, int)
    assert_type(registry.sources["x"], Source)
    assert_type(registry.filters["x"], Filter)
    assert_type(registry.renderers["x"], Renderer)
    assert_type(registry.signers["x"], Signer)
    assert_type(registry.senders["x"], Sender[Any])
    assert_type(registry.options["x"], type[BaseModel] | None)


def mistakes(host: Host, alert: Alert) -> None:
    host.fire({"content": "disk full"})  # type: ignore[arg-type]
    host.fire_all(alert)  # type: ignore[arg-type]
    host.wait(alert)  # type: ignore[arg-type]
    Host({}, plugins=[host])  # type: ignore[arg-type]
    Host({}, clock="12:00")  # type: ignore[arg-type]
    Alert(contents="disk full")  # type: ignore[call-arg]
    alert.tags["env"] = "prod"  # type: ignore[index]
