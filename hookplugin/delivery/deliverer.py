"""One attempt at a delivery: render its body and send it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from hookplugin.bodies.preset import render_body, render_fallback
from hookplugin.isolation import contain, describe
from hookspecs import Body, Delivery, Outcome, Reason, Renderer

if TYPE_CHECKING:
    from hookplugin.delivery.receiver import Receiver

_log = logging.getLogger("hookplugin")


class Deliverer:
    """Deliver to the receivers of one configuration, from any thread."""

    def __init__(self, receivers: Iterable[Receiver], renderers: Mapping[str, Renderer]) -> None:
        """Open no connection yet.

        Args:
            receivers: of the configuration.
            renderers: what plugins offer.

        """
        # Here, and not where it is needed first: only who delivers needs `requests`, and a lock that another thread
        # holds during an import or while a TLS context is made would stay locked in a forked child.
        from hookplugin.delivery.sender import Sender, Sessions  # noqa: PLC0415 - `import hookplugin` does without it

        receivers = tuple(receivers)
        sessions = Sessions(tls=any(receiver.is_https for receiver in receivers))
        self._senders: Final = {receiver.name: Sender(receiver, sessions) for receiver in receivers}
        self._renderers: Final = renderers

    def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt; never raises."""
        try:
            outcome = self._senders[delivery.receiver].send(delivery.id, self.render(delivery))
        except BaseException as error:  # noqa: BLE001 - nobody but us would catch it in a sender thread
            _log.exception("delivery %s to %r failed by an error of our own", delivery.id, delivery.receiver)
            outcome = Outcome(state="dead", reason=Reason.failed, detail=type(error).__name__)
        return outcome

    def render(self, delivery: Delivery) -> Body:
        """Render the delivery's body, or the fallback if that fails."""
        deliveries = (delivery,)
        try:
            return render_body(delivery.body, deliveries, self._renderers)
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
            contain(error)
            _log.warning(
                "the body %r of delivery %s failed, the fallback is sent: %s",
                delivery.body, delivery.id, describe(error),
            )  # fmt: skip
            return render_fallback(deliveries, f"body {delivery.body!r} failed: {type(error).__name__}")


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome in one line: `dead, client_error, 404: no such hook`."""
    words = [outcome.state, outcome.reason, outcome.status]
    line = ", ".join(str(word) for word in words if word is not None)
    return f"{line}: {outcome.detail}" if outcome.detail else line
