"""One attempt at a request: render its body, or take what was sent before, and send it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hookplugin.bodies.preset import render_body, render_fallback
from hookplugin.delivery.retry import Attempt
from hookplugin.isolation import contain, describe
from hookplugin.outbox.rows import Claimed
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
        self._batching: Final = frozenset(receiver.name for receiver in receivers if receiver.batch)
        self._renderers: Final = renderers

    def deliver(self, claimed: Claimed) -> Attempt:
        """Make one attempt; never raises."""
        try:
            return self._senders[claimed.receiver].send(claimed.id, claimed.content or self.render(claimed.deliveries))
        except BaseException as error:  # noqa: BLE001 - nobody but us would catch it in a sender thread
            _log.exception("the request %s to %r failed by an error of our own", claimed.id, claimed.receiver)
            return Attempt(Outcome(state="dead", reason=Reason.failed, detail=type(error).__name__))

    def render(self, deliveries: Sequence[Delivery]) -> Body:
        """Render the body of a request, or the fallback if that fails."""
        name, many = deliveries[0].body, deliveries[0].receiver in self._batching
        try:
            return render_body(name, deliveries, self._renderers, many=many)
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
            contain(error)
            _log.warning(
                "the body %r of delivery %s failed, the fallback is sent: %s",
                name, deliveries[0].id, describe(error),
            )  # fmt: skip
            return render_fallback(deliveries, f"body {name!r} failed: {type(error).__name__}", many=many)


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome in one line: `dead, client_error, 404: no such hook`."""
    words = [outcome.state, outcome.reason, outcome.status]
    line = ", ".join(str(word) for word in words if word is not None)
    return f"{line}: {outcome.detail}" if outcome.detail else line
