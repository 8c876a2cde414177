"""The receipt: what became of alerts when they were fired."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from hookspecs import Alert, Delivery
from hookspecs.frozen import Frozen


class Unsent(Frozen):
    """Say why nobody, or one receiver, hears of an alert."""

    alert: Alert | None
    reason: str
    receiver: str | None = None
    """Who does not hear of it; nobody does if none."""
    retry: bool = False
    """Whether it may be accepted when it is fired again: it was not stored, for no fault of its own."""


class Receipt(Frozen):
    """Say what became of alerts when they were fired."""

    deliveries: tuple[Delivery, ...] = ()
    """What was accepted."""
    durable: bool = False
    """Whether what was accepted outlives the process."""
    suppressed: tuple[Unsent, ...] = ()
    """Alerts that nobody, or a receiver, is not to hear of."""
    refused: tuple[Unsent, ...] = ()
    """What could not be accepted, by an error."""

    def refusing(self, reasons: Iterable[str]) -> Self:
        """Return the receipt with what was refused before there was an alert."""
        unread = tuple(Unsent(alert=None, reason=reason) for reason in reasons)
        return self.model_copy(update={"refused": (*self.refused, *unread)}) if unread else self

    @property
    def accepted(self) -> tuple[str, ...]:
        """Return the ids of the deliveries."""
        return tuple(delivery.id for delivery in self.deliveries)
