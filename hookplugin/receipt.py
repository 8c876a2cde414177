"""The receipt: what became of alerts when they were fired."""

from __future__ import annotations

from hookspecs import Alert, Delivery
from hookspecs.frozen import Frozen


class Unsent(Frozen):
    """Say why nobody hears of an alert."""

    alert: Alert | None
    reason: str


class Receipt(Frozen):
    """Say what became of alerts when they were fired."""

    deliveries: tuple[Delivery, ...] = ()
    """What was accepted."""
    durable: bool = False
    """Whether what was accepted outlives the process."""
    suppressed: tuple[Unsent, ...] = ()
    """Alerts that nobody is to hear of."""
    refused: tuple[Unsent, ...] = ()
    """What could not be accepted, by an error."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """Return the ids of the deliveries."""
        return tuple(delivery.id for delivery in self.deliveries)
