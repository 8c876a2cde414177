"""The webhook plugin, which our entry point names: strategies choose, the outbox keeps, the dispatcher delivers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, cast

from hookplugin.bodies.rendering import Bodies
from hookplugin.config import OUR_PLUGIN, Config
from hookplugin.delivery.deliverer import Deliverer, outcome_text
from hookplugin.delivery.dispatcher import Dispatcher
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.round import Work
from hookplugin.outbox.opening import OutboxError
from hookplugin.outbox.rows import STATES, new_id
from hookplugin.outbox.store import Entry, Store
from hookplugin.strategy.explain import Explanation, TagsSeen, explain
from hookplugin.strategy.index import Index
from hookplugin.strategy.notify import Choice, Copy, Known, Notified, choose, decide
from hookplugin.strategy.selection import CompiledStrategy, compile_strategy
from hookspecs import PROJECT, Alert, Context, Delivery, Outcome, Status, hookimpl

_log = logging.getLogger("hookplugin")

_STATE: Final = f"{PROJECT}.{OUR_PLUGIN}"  # no name that another plugin would choose

DRAIN: Final = 10.0
"""Seconds that `alert_shutdown` gives to what is not delivered yet."""


@dataclass(slots=True)
class Proposal:
    """Hold an alert that strategies have seen, and what became of it once it is stored."""

    alert: Alert
    choices: list[Choice]
    decide: Callable[[Known, float], Entry]
    entry: Entry | None = None

    @property
    def matters(self) -> bool:
        """Say whether anybody may have to hear of it, as far as can be said before it is stored."""
        return bool(self.choices) or self.alert.status is Status.recovered


@dataclass(frozen=True, slots=True)
class _Rules:
    """Hold what a configuration says of who hears of what."""

    strategies: tuple[CompiledStrategy, ...]
    index: Index
    receivers: Mapping[str, Receiver]
    bodies: Mapping[str, str]
    """Each receiver's own."""
    known_bodies: frozenset[str]
    resending: frozenset[str]
    """Sources that send an alert again while it lasts."""

    def propose(self, alert: Alert, at: datetime) -> Proposal:
        matching = (found.strategy for found in self.index.matching(alert, at))
        choices = choose(matching, self.bodies, resends=alert.source in self.resending)
        return Proposal(alert, choices, partial(self._decide, alert, choices, {}))

    def _decide(self, alert: Alert, choices: Iterable[Choice], ids: dict[Copy, str], known: Known, now: float) -> Entry:
        """Decide, perhaps again after a commit that failed, or only seemed to: ids stay, so that nobody hears twice."""
        decision = decide(alert, choices, self.present(known), self.bodies, now)
        deliveries = {
            choice.copy: Delivery(
                id=ids.setdefault(choice.copy, new_id(now)),
                alert=alert,
                receiver=choice.receiver,
                body=choice.body or self.bodies[choice.receiver],
                strategies=choice.strategies,
            )
            for choice in decision.accepted
        }
        notified = tuple(
            replace(one, delivery=deliveries[one.copy].id) if one.copy in deliveries else one
            for one in decision.known.notified
        )
        waiting = tuple(self.receivers[one.receiver].waiting(one) for one in deliveries.values())
        return Entry(waiting, decision.held, replace(decision.known, notified=notified))

    def present(self, known: Known) -> Known:
        """Return what is known as bodies are now: one that is the receiver's own by now, or gone, is its own."""
        notified: dict[Copy, Notified] = {}
        for one in sorted(known.notified, key=lambda one: one.at):
            receiver, body = one.copy
            own = body == self.bodies.get(receiver) or body not in self.known_bodies
            copy = (receiver, None if own else body)
            before = notified.get(copy)
            notified[copy] = replace(
                one,
                copy=copy,
                firing=one.firing or (before is not None and before.firing),
                recovery=tuple(dict.fromkeys((*(before.recovery if before else ()), *one.recovery))),
            )
        return replace(known, notified=tuple(notified.values()))


class Webhook:
    """Hold what the plugin needs for one host."""

    def __init__(self, config: Config, context: Context) -> None:
        """Open the outbox; threads start with the first alert.

        Raises:
            OutboxError: the outbox cannot be opened.

        """
        self.store: Final = Store(
            config.outbox, context.clock, durability=config.durability, max_pending=config.max_pending
        )
        self._announce: Final = context.announce
        self._rules = _rules(config, context)
        self._dispatcher: Final = Dispatcher(
            self.store, _work(config, context), self._settled, only_dead=context.announce is None
        )
        self._thread: Final = threading.local()
        self._left: int | None = None

    @property
    def is_at_work(self) -> bool:
        """Say whether what is due is delivered here, if it is to be."""
        return not self._dispatcher.work.dispatch or self.store.writer.is_running

    @property
    def is_idle(self) -> bool:
        """Say whether there is nothing to do now: nothing is due or on the wire, and plugins have heard of all."""
        return self._dispatcher.is_idle

    def reload(self, config: Config, context: Context) -> None:
        """Take another configuration, with the same outbox; what is under way goes on as it was begun."""
        rules, work = _rules(config, context), _work(config, context)
        gone = sorted(self._dispatcher.work.receivers.keys() - work.receivers.keys())
        self._rules = rules
        self._dispatcher.take(work)
        with suppress(OutboxError):
            if waiting := self.store.unsettled(gone):
                names = ", ".join(map(repr, gone))
                _log.warning("for %s, configured no more, deliveries wait until max_age: %d", names, waiting)

    def resume(self) -> None:
        """Deliver what other processes have left; this starts threads."""
        self._dispatcher.wake()

    def explain(self, alert: Alert, at: datetime | None = None) -> Explanation:
        """Say who would hear of an alert, who would not, and why.

        Args:
            alert: what fired or recovered, or would.
            at: when, with a zone; now if none.

        """
        rules, known, seen = self._rules, Known(), TagsSeen()
        notes: tuple[str, ...] = ()
        try:
            known, seen = self.store.known(alert)
        except OutboxError as error:
            notes = (f"{error}: what was told before is not known",)
        resends = alert.source in rules.resending
        known = rules.present(known)
        found = explain(alert, at or self._now(), rules.strategies, rules.bodies, known, seen, resends=resends)
        return found.model_copy(update={"notes": (*found.notes, *notes)})

    def fire(self, alert: Alert) -> tuple[Delivery, ...]:
        """Accept an alert for the receivers that strategies choose; when it returns, the deliveries are stored.

        Inside of `together` it returns nothing: who is to hear of it is decided at its end.

        Raises:
            OutboxError: they are not.

        """
        proposal = self._rules.propose(alert, self._now())
        group: list[Proposal] | None = getattr(self._thread, "group", None)
        if group is not None:
            group.append(proposal)
            return ()
        try:
            self._commit([proposal])
        except OutboxError:
            if proposal.matters:
                raise
        return proposal.entry.deliveries if proposal.entry else ()

    @contextmanager
    def together(self) -> Iterator[list[Proposal]]:
        """Store what this thread fires inside at once, at the end; yield the list of it.

        Raises:
            OutboxError: nothing of it is stored.

        """
        outer: list[Proposal] | None = getattr(self._thread, "group", None)
        group: list[Proposal] = []
        self._thread.group = group
        try:
            yield group
        finally:
            self._thread.group = outer
        self._commit(group)

    def wait(self, ids: Sequence[str], seconds: float) -> dict[str, Outcome | None]:
        """Wait for outcomes, for at most this time; none for what has none yet.

        Raises:
            OutboxError: the storage does not answer.

        """
        return self._dispatcher.wait(ids, seconds)

    @property
    def is_stopped(self) -> bool:
        """Say whether nothing is delivered any more."""
        return self._left is not None

    def stop(self, seconds: float) -> int:
        """Deliver for at most this time, stop, and return how many deliveries are left; `close` comes next."""
        if self._left is None:
            self._left = 0  # also for who asks meanwhile
            self._left = self._dispatcher.close(seconds)
        return self._left

    def close(self) -> None:
        """Close the outbox."""
        self.store.close()

    def _commit(self, proposals: Sequence[Proposal]) -> None:
        if not proposals:
            return
        entries = self.store.accept([(proposal.alert, proposal.decide) for proposal in proposals])
        for proposal, entry in zip(proposals, entries, strict=True):
            proposal.entry = entry

    def _settled(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.state == "dead":
            told = {"delivery": delivery.id, "receiver": delivery.receiver}
            _log.warning("delivery %s to %r: %s", delivery.id, delivery.receiver, outcome_text(outcome), extra=told)
        if self._announce:
            self._announce(delivery, outcome)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.store.now(), UTC)


def _rules(config: Config, context: Context) -> _Rules:
    filters = context.registry.filters
    strategies = tuple(compile_strategy(strategy, filters, context.timezone) for strategy in config.strategies)
    receivers = {receiver.name: receiver for receiver in config.receivers}
    bodies = {receiver.name: receiver.body for receiver in config.receivers}
    known_bodies, resending = bodies_of(config, context).names, context.registry.resending
    return _Rules(strategies, Index(strategies), receivers, bodies, known_bodies, resending)


def _work(config: Config, context: Context) -> Work:
    receivers = {receiver.name: receiver for receiver in config.receivers}
    keep = {STATES["delivered"]: config.keep.delivered, STATES["dead"]: config.keep.dead}
    deliverer = deliverer_of(config, context, later=not config.dispatch)
    return Work(receivers, deliverer.deliver, config.dispatch, keep)


def deliverer_of(config: Config, context: Context, *, later: bool = False) -> Deliverer:
    """Return who delivers under a configuration; `later` makes it ready only when it is needed."""
    return Deliverer(config.receivers, bodies_of(config, context), config.network, context.registry, later=later)


def bodies_of(config: Config, context: Context) -> Bodies:
    """Return all that can be sent under a configuration."""
    return Bodies(config.bodies, context.registry.renderers)


def webhook_of(context: Context) -> Webhook | None:
    """Return the plugin's state in a host; none where the plugin is off."""
    return cast("Webhook | None", context.state.get(_STATE))


def explain_alert(context: Context, alert: Alert, at: datetime | None) -> Explanation:
    """Explain an alert, also where the plugin is off; a time without a zone is in the configuration's."""
    webhook = webhook_of(context)
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=context.timezone).astimezone()
    if webhook:
        return webhook.explain(alert, at)
    note = f"the plugin {OUR_PLUGIN!r} is off: there are no strategies"
    return Explanation(alert=alert, at=at or datetime.now(UTC), notes=(note,))


@hookimpl
def alert_configure(context: Context) -> None:
    """Take the configuration: for this plugin, the settings are all of it."""
    if isinstance(context.settings, Config):
        context.state[_STATE] = Webhook(context.settings, context)


@hookimpl
def alert_fired(alert: Alert, context: Context) -> Sequence[Delivery] | None:
    """Accept the alert for the receivers that strategies choose."""
    webhook = webhook_of(context)
    try:
        return webhook.fire(alert) if webhook else None
    except OutboxError as error:  # under a pluggy manager, an exception would stop the other plugins
        _log.error("%s; nobody will hear of %r", error, alert.content)
        return None


@hookimpl
def alert_shutdown(context: Context) -> None:
    """Deliver what is left, and close the outbox; a `Host` does both itself, before and after this."""
    webhook = webhook_of(context)
    if webhook and not webhook.is_stopped:
        webhook.stop(DRAIN)
        webhook.close()
