"""The registry: what plugins offer, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from hookspecs.alert import Alert
from hookspecs.delivery import Body, Delivery, WireRequest

if TYPE_CHECKING:
    from hookspecs.context import Context

Source: TypeAlias = "Callable[[Any, Context], Iterable[Alert | ValueError]]"
"""Reads a foreign payload, as parsed JSON, into alerts.

It raises ValueError for a payload that it cannot read, and gives one in the place of an alert for a part of it.
"""

Filter: TypeAlias = Callable[[Alert], bool]
"""Says whether a strategy that names it applies to the alert."""

Renderer: TypeAlias = Callable[[Sequence[Delivery]], Body]
"""Makes the body of one request from one delivery, or from several of one receiver and body."""

Signer: TypeAlias = Callable[[WireRequest], WireRequest]
"""Signs one attempt at a request, for a receiver that names it; if it raises, nothing is sent."""


class Registry:
    """Collect the sources, filters, renderers and signers that plugins offer.

    A plugin only offers; the configuration picks by name, so that installing a package never changes what is sent.
    """

    def __init__(self) -> None:
        """Start with nothing on offer."""
        self._offers: dict[tuple[str, str], Callable[..., Any]] = {}
        self._resending: set[str] = set()

    def source(self, name: str, parse: Source, *, resends: bool = False) -> None:
        """Offer a parser of a foreign payload, for `host.receive(name, payload)`.

        Args:
            name: to be called by.
            parse: reads the payload.
            resends: whether that system sends an alert again while it lasts; receivers then hear of it once for each
                status and trigger time, and again after `repeat`.

        Raises:
            ValueError: this registry has a source of that name already.
            TypeError: `parse` cannot be called, or is async.

        """
        self._offer("source", name, parse)
        if resends:
            self._resending.add(name)

    def filter(self, name: str, predicate: Filter) -> None:
        """Offer a predicate, for `filters: [name]` of a strategy.

        Raises:
            ValueError: this registry has a filter of that name already.
            TypeError: `predicate` cannot be called, or is async.

        """
        self._offer("filter", name, predicate)

    def renderer(self, name: str, render: Renderer) -> None:
        """Offer a maker of bodies, for `body: name` of a receiver or a strategy.

        Raises:
            ValueError: this registry has a renderer of that name already.
            TypeError: `render` cannot be called, or is async.

        """
        self._offer("renderer", name, render)

    def signer(self, name: str, sign: Signer) -> None:
        """Offer a maker of signatures, for `signer: name` of a receiver.

        Raises:
            ValueError: this registry has a signer of that name already.
            TypeError: `sign` cannot be called, or is async.

        """
        self._offer("signer", name, sign)

    @property
    def sources(self) -> Mapping[str, Source]:
        """Return the sources by name."""
        return self._of("source")

    @property
    def resending(self) -> frozenset[str]:
        """Return the names of the sources that send an alert again while it lasts."""
        return frozenset(self._resending)

    @property
    def filters(self) -> Mapping[str, Filter]:
        """Return the filters by name."""
        return self._of("filter")

    @property
    def renderers(self) -> Mapping[str, Renderer]:
        """Return the renderers by name."""
        return self._of("renderer")

    @property
    def signers(self) -> Mapping[str, Signer]:
        """Return the signers by name."""
        return self._of("signer")

    @property
    def offers(self) -> tuple[tuple[str, str], ...]:
        """Return (kind, name) of everything on offer, sorted."""
        return tuple(sorted(self._offers))

    def merge(self, other: Registry) -> None:
        """Take over everything of another registry, or nothing.

        Raises:
            ValueError: both have something of the same kind and name.

        """
        for kind, name in other.offers:
            if (kind, name) in self._offers:
                message = f"the {kind} {name!r} is taken"
                raise ValueError(message)
        self._offers.update(other._offers)
        self._resending |= other._resending

    def withdraw(self, other: Registry) -> None:
        """Give up everything that another registry holds."""
        for offer in other.offers:
            self._offers.pop(offer, None)
        self._resending -= other._resending

    def _of(self, wanted: str) -> Mapping[str, Callable[..., Any]]:
        return MappingProxyType({name: offer for (kind, name), offer in self._offers.items() if kind == wanted})

    def _offer(self, kind: str, name: object, offer: object) -> None:
        if not isinstance(name, str) or not name or name != name.strip():
            message = f"a {kind} needs a name, without spaces around it"
            raise ValueError(message)
        if not callable(offer):
            message = f"the {kind} {name!r} should be a function, not {type(offer).__name__}"
            raise TypeError(message)
        if _is_async(offer) or _is_async(type(offer).__call__):
            message = f"the {kind} {name!r} is async; nobody would await it, offer a plain function"
            raise TypeError(message)
        if (kind, name) in self._offers:
            message = f"the {kind} {name!r} is offered twice"
            raise ValueError(message)
        self._offers[kind, name] = offer


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
