"""The webhook plugin, which our entry point names: strategies choose, the outbox keeps, the dispatcher delivers."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, cast

from hookplugin.config import OUR_PLUGIN, Config
from hookplugin.delivery.deliverer import Deliverer, outcome_text
from hookplugin.delivery.dispatcher import Dispatcher
from hookplugin.outbox.store import OutboxError, Store
from hookplugin.strategy.selection import Verdict, compile_strategy, receivers_of
from hookspecs import Alert, Context, Delivery, Outcome, hookimpl

_log = logging.getLogger("hookplugin")

DRAIN: Final = 10.0
"""Seconds that `alert_shutdown` gives to what is not delivered yet."""


class Webhook:
    """Hold what the plugin needs for one host."""

    def __init__(self, config: Config, context: Context) -> None:
        """Open the outbox; threads start with the first alert.

        Raises:
            OutboxError: the outbox cannot be opened.

        """
        self.store: Final = Store(config.outbox)
        self._strategies: Final = [
            compile_strategy(strategy, context.registry.filters, context.timezone) for strategy in config.strategies
        ]
        self._bodies: Final = {receiver.name: receiver.body for receiver in config.receivers}
        self._announce: Final = context.announce
        limits = {receiver.name: receiver.max_in_flight for receiver in config.receivers}
        deliverer = Deliverer(config.receivers, context.registry.renderers)
        self._dispatcher: Final = Dispatcher(self.store, limits, deliverer.deliver, self._settled)
        self._thread: Final = threading.local()
        self._closed = False

    def resume(self) -> None:
        """Deliver what an earlier process has left; this starts threads."""
        self._dispatcher.wake()

    def verdicts(self, alert: Alert) -> list[Verdict]:
        """Say what each strategy makes of an alert now."""
        at = datetime.fromtimestamp(self.store.now(), UTC)
        return [strategy.judge(alert, at) for strategy in self._strategies]

    def fire(self, alert: Alert) -> list[Delivery]:
        """Accept an alert for the receivers that strategies choose; when it returns, the deliveries are stored.

        Raises:
            OutboxError: they are not.

        """
        chosen = receivers_of(self.verdicts(alert), self._bodies)
        deliveries = [
            Delivery(id=self._new_id(), alert=alert, receiver=receiver, body=body, strategies=strategies)
            for (receiver, body), strategies in chosen.items()
        ]
        group: list[Delivery] | None = getattr(self._thread, "group", None)
        if group is None:
            self._commit(deliveries)
        else:
            group += deliveries
        return deliveries

    @contextmanager
    def together(self) -> Iterator[None]:
        """Store what this thread fires inside at once, at the end.

        Raises:
            OutboxError: nothing of it is stored.

        """
        group: list[Delivery] = []
        self._thread.group = group
        try:
            yield
        finally:
            self._thread.group = None
        self._commit(group)

    def wait(self, ids: Sequence[str], seconds: float) -> dict[str, Outcome | None]:
        """Wait for outcomes, for at most this time; none for what has none yet.

        Raises:
            OutboxError: the storage does not answer.

        """
        return self._dispatcher.wait(ids, seconds)

    def close(self, seconds: float) -> int:
        """Deliver for at most this time, stop, and return how many deliveries are left; once is enough."""
        if self._closed:
            return 0
        self._closed = True
        left = self._dispatcher.close(seconds)
        self.store.close()
        return left

    def _commit(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.store.accept(deliveries)
            self._dispatcher.wake()

    def _settled(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.state == "dead":
            _log.warning("delivery %s to %r: %s", delivery.id, delivery.receiver, outcome_text(outcome))
        self._announce(delivery, outcome)

    def _new_id(self) -> str:
        """Make an id that sorts by time, which keeps inserts at the end of the index."""
        return f"{int(self.store.now() * 1000):012x}{secrets.token_hex(10)}"


def webhook_of(context: Context) -> Webhook | None:
    """Return the plugin's state in a host; none where the plugin is off."""
    return cast("Webhook | None", context.state.get(OUR_PLUGIN))


@hookimpl
def alert_configure(context: Context) -> None:
    """Take the configuration: for this plugin, the settings are all of it."""
    if isinstance(context.settings, Config):
        context.state[OUR_PLUGIN] = Webhook(context.settings, context)


@hookimpl
def alert_fired(alert: Alert, context: Context) -> list[Delivery] | None:
    """Accept the alert for the receivers that strategies choose."""
    webhook = webhook_of(context)
    try:
        return webhook.fire(alert) if webhook else None
    except OutboxError as error:  # under a pluggy manager, an exception would stop the other plugins
        _log.error("%s; nobody will hear of %r", error, alert.content)
        return None


@hookimpl
def alert_shutdown(context: Context) -> None:
    """Deliver what is left, and close the outbox."""
    webhook = webhook_of(context)
    if webhook:
        webhook.close(DRAIN)
