"""One attempt at a delivery: render its body and send it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from hookplugin.bodies.preset import render_body, render_fallback
from hookplugin.isolation import FAILURES, describe
from hookspecs import Body, Delivery, Outcome, Reason, Renderer

if TYPE_CHECKING:
    from hookplugin.delivery.receiver import Receiver
    from hookplugin.delivery.sender import Sender

_log = logging.getLogger("hookplugin")


class Deliverer:
    """Deliver to the receivers of one configuration, from any thread."""

    def __init__(self, receivers: Iterable[Receiver], renderers: Mapping[str, Renderer]) -> None:
        """Open no connection yet.

        Args:
            receivers: of the configuration.
            renderers: what plugins offer.

        """
        self._receivers: Final = {receiver.name: receiver for receiver in receivers}
        self._renderers: Final = renderers
        self._senders: Final[dict[str, Sender]] = {}

    def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt; never raises."""
        try:
            outcome = self._sender(delivery.receiver).send(delivery.id, self.render(delivery))
        except BaseException as error:  # noqa: BLE001 - nobody but us would catch it in a sender thread
            _log.exception("delivery %s to %r failed by an error of our own", delivery.id, delivery.receiver)
            outcome = Outcome(state="dead", reason=Reason.failed, detail=type(error).__name__)
        return outcome

    def render(self, delivery: Delivery) -> Body:
        """Render the delivery's body, or the fallback if that fails."""
        deliveries = (delivery,)
        try:
            return render_body(delivery.body, deliveries, self._renderers)
        except FAILURES as error:
            _log.warning(
                "the body %r of delivery %s failed, the fallback is sent: %s",
                delivery.body, delivery.id, describe(error),
            )  # fmt: skip
            return render_fallback(deliveries, f"body {delivery.body!r} failed: {type(error).__name__}")

    def _sender(self, name: str) -> Sender:
        from hookplugin.delivery.sender import Sender  # noqa: PLC0415 - only who sends needs `requests`, 0.1 s

        found = self._senders.get(name)
        return found or self._senders.setdefault(name, Sender(self._receivers[name], lambda: self._tls))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Be one context for all receivers: each takes 40 ms to make."""
        from hookplugin.delivery.connection import tls_context  # noqa: PLC0415 - as in _sender

        return tls_context()


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome in one line: `dead, client_error, 404: no such hook`."""
    words = [outcome.state, outcome.reason, outcome.status]
    return ", ".join(str(word) for word in words if word is not None) + (
        f": {outcome.detail}" if outcome.detail else ""
    )
