"""What plugins offer, guarded as a host guards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hookplugin.failures import Failures
from hookplugin.offers import guard
from hookspecs import Registry


def registry(failures: Failures | None = None, **offers: tuple[str, Callable[..., Any]]) -> Registry:
    """Return a registry of offers by name, each with its kind."""
    offered = Registry()
    for name, (kind, offer) in offers.items():
        getattr(offered, kind)(name, offer)
    guard("mine", offered, failures or Failures())
    return offered


def renderer(render: Callable[..., Any]) -> Callable[..., Any]:
    return registry(it=("renderer", render)).renderers["it"]


def predicate(ask: Callable[..., Any]) -> Callable[..., Any]:
    return registry(it=("filter", ask)).filters["it"]
