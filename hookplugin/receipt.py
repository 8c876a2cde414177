"""The receipt: what became of alerts when they were fired."""

from __future__ import annotations

from hookspecs import Alert, Delivery
from hookspecs.frozen import Frozen


class Unsent(Frozen):
    """Say why nobody, or one receiver, hears of an alert."""

    alert: Alert | None
    reason: str
    receiver: str | None = None
    """Who does not hear of it; nobody does if none."""


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

    @property
    def accepted(self) -> tuple[str, ...]:
        """Return the ids of the deliveries."""
        return tuple(delivery.id for delivery in self.deliveries)
