"""A round: what the dispatcher does in one transaction of the outbox.

Attempts that came back are settled, what nobody shall send now is given back, what is too old is given up, and what is
due is claimed. A round may be rolled back and run again: it changes nothing but the outbox and itself.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, TypeAlias

from hookplugin.delivery.health import Health
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt, Verdict, judge
from hookplugin.outbox import counters, lanes
from hookplugin.outbox.counters import bucket
from hookplugin.outbox.lanes import Pair, Waiters, Wanted
from hookplugin.outbox.rows import Claimed, Taken, Waiting, new_id
from hookspecs import Delivery, Outcome, Reason

Finished: TypeAlias = tuple[Claimed, Attempt]

_AHEAD: Final = 64  # requests that are claimed before there is a place for them, at least
_BURST: Final = 0.1  # seconds; requests that a rate allows in this time may go out together
_UNREADABLE: Final = Outcome(state="dead", reason=Reason.failed, detail="it cannot be read any more")
_log = logging.getLogger("hookplugin")


@dataclass(frozen=True, slots=True)
class Work:
    """Hold what a configuration says of delivering."""

    receivers: Mapping[str, Receiver]
    """Whose deliveries are made; others' are left alone."""
    deliver: Callable[[Claimed], Attempt]
    """Makes one attempt; must not raise."""
    dispatch: bool = True
    """Whether this process delivers what is in the file, or only what has to be kept in memory."""
    keep: Mapping[int, float] = field(default_factory=dict)
    """Seconds for which settled deliveries are remembered, by the number of their state."""


@dataclass(slots=True)
class Round:
    """Hold what one round sees and does."""

    connection: sqlite3.Connection
    owner: str
    now: float
    work: Work
    health: dict[str, Health]
    """What is the matter with receivers; the others are well."""
    busy: Counter[str]
    """Requests that are claimed and not settled, by receiver."""
    look_at: dict[str, float]
    """When there may be work, by receiver."""
    settled: list[Pair] = field(default_factory=list)
    claimed: list[Taken] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    """What is to be said once this is committed, each with the receiver that it is about."""
    more_wait: bool = False
    """Whether deliveries wait now that did not before."""
    _more: bool = False
    _changed: set[str] = field(default_factory=set)
    _full: set[str] = field(default_factory=set)
    _opens_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See to whom nothing is to be sent now."""
        for stored in list(self.health.values()):
            health = stored.as_of(self.now)
            self._change(health)
            configured = self.work.receivers.get(health.name)
            if health.gone is not None and configured and health.gone != configured.mark:  # it has another URL
                health = replace(health, gone=None)
                self._change(health)
            shut = health.gone is not None or health.paused
            self._opens_at[health.name] = inf if shut else health.opens_at(self.now)

    @property
    def changed(self) -> list[Health]:
        """Return what is the matter with receivers since this round."""
        return [self.health[name] for name in self._changed]

    def is_shut(self, receiver: str) -> bool:
        """Say whether nothing is to be sent to a receiver now."""
        return self._opens_at.get(receiver, 0.0) > self.now

    def next_at(self) -> float:
        """Return when there may be something to do next."""
        if self._more:
            return self.now
        times = (max(at, self._opens_at.get(name, 0.0)) for name, at in self.look_at.items() if name not in self._full)
        return min(times, default=inf)

    def settle(self, finished: Iterable[Finished]) -> list[Finished]:
        """Settle what came back; return what is not this owner's, or not here."""
        finished = list(finished)
        deliveries = (one for claimed, _ in finished for one in claimed.deliveries)
        # of two attempts that come back together, only the last may count
        last = {one.id: one for one in sorted(deliveries, key=lambda one: one.attempts)}
        rows = lanes.mine(self.connection, self.owner, list(last.values())) if last else {}
        final: list[Pair] = []
        bodies: list[str] = []
        strange = []
        for claimed, attempt in finished:
            mine = tuple(
                delivery for delivery in claimed.deliveries if delivery.id in rows and last[delivery.id] is delivery
            )
            if not mine:
                strange.append((claimed, attempt))
                continue
            self.look_at[claimed.receiver] = 0.0
            if len(mine) < len(claimed.deliveries):
                claimed = replace(claimed, deliveries=mine)  # noqa: PLW2901 - what is left of it
            health = self._health_of(claimed.receiver)
            verdict = judge(claimed, attempt, health, self.now)
            if verdict.health is not health:
                self._change(verdict.health)
                self._note(health, verdict.health, attempt.outcome)
            if verdict.gone:
                self._disable(verdict.health, attempt.mark)
            if claimed.content and (verdict.final or verdict.split):
                bodies.append(claimed.id)
            if verdict.final:
                final += [(delivery, verdict.final) for delivery in mine]
            else:
                self._retry(rows, claimed, attempt, verdict)
        self._finalize(rows, final)
        if bodies:
            lanes.drop_bodies(self.connection, bodies)
        return strange

    def _note(self, before: Health, after: Health, outcome: Outcome) -> None:
        """Say that a receiver stops to answer, or does again."""
        if after.is_probed and not before.is_probed:
            words = ", ".join(str(word) for word in (outcome.reason, outcome.status, outcome.detail) if word)
            note = f"the receiver {after.name!r} failed {after.failures} times in a row, and is only probed: {words}"
            self.notes.append((after.name, note))
        elif before.is_probed and not after.is_probed:
            self.notes.append((after.name, f"the receiver {after.name!r} answers again"))

    def count(self, finished: Iterable[Finished]) -> None:
        """Count attempts, how long they took, and fallbacks; what was not sent at all is none."""
        counts: dict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
        for claimed, attempt in finished:
            outcome, receiver = attempt.outcome, claimed.receiver
            if attempt.too_large:
                continue
            seconds = outcome.milliseconds / 1000
            counts["attempts", (receiver, outcome.reason or "delivered")] += 1
            counts["attempt", (receiver, bucket(seconds))] += 1
            counts["attempt_sum", (receiver,)] += seconds
            if attempt.fallback:
                counts["fallbacks", (claimed.deliveries[0].body,)] += 1
        if counts:
            counters.add(self.connection, counts)

    def _disable(self, health: Health, mark: str | None) -> None:
        """Remember that a URL wants nothing more; the receiver may have another one by now."""
        configured = self.work.receivers.get(health.name)
        if configured and mark in {None, configured.mark}:
            self._change(replace(health, gone=configured.mark))

    def _retry(self, rows: Mapping[str, int], claimed: Claimed, attempt: Attempt, verdict: Verdict) -> None:
        """Let a request wait for its next attempt, as it was or in two halves."""
        self.more_wait = True
        failed = [(delivery, attempt.outcome) for delivery in claimed.deliveries]
        lanes.retry(self.connection, rows, failed, verdict.due, self.now)
        if verdict.split:
            self._split(rows, claimed.deliveries)
        elif attempt.body and not claimed.content:
            lanes.keep_body(self.connection, claimed.id, attempt.body)

    def give_up_expired(self) -> None:
        """Give up what is too old."""
        waiters = lanes.expired(self.connection, self.now)
        pairs = []
        for delivery in waiters.deliveries:
            known = delivery.receiver in self.work.receivers
            detail = "its max_age is over" if known else f"no receiver {delivery.receiver!r} is configured any more"
            expired = Outcome(state="dead", reason=Reason.expired, detail=detail)
            pairs.append((delivery, waiters.failed.get(delivery.id, expired)))
        self._give_up(waiters, pairs)

    def give_up_for_the_gone(self) -> None:
        """Give up what waits for receivers that want nothing more."""
        for health in list(self.health.values()):
            if health.gone is not None and self.look_at.get(health.name, inf) <= self.now:
                waiters = lanes.waiting_for(self.connection, health.name)
                detail = (
                    f"it answered 410 before, and is disabled; `hookplugin receiver enable {health.name}` ends that"
                )
                outcome = Outcome(state="dead", reason=Reason.gone, detail=detail)
                self._give_up(waiters, [(delivery, outcome) for delivery in waiters.deliveries])
                self.look_at[health.name] = self.now if waiters.rows else inf
                self._more = self._more or bool(waiters.rows)

    def _give_up(self, waiters: Waiters, pairs: Sequence[Pair]) -> None:
        self._finalize(waiters.rows, pairs)
        if waiters.requests:
            lanes.drop_bodies(self.connection, waiters.requests)
        self.bury(waiters.broken)

    def claim(self, *, flush: bool) -> None:
        """Take what is due, for receivers with free places.

        Args:
            flush: whether batches wait no longer.

        """
        for name in [name for name, at in self.look_at.items() if at <= self.now and not self.is_shut(name)]:
            receiver = self.work.receivers.get(name)
            free = self._free(receiver) if receiver else 0
            if receiver is None:
                del self.look_at[name]
            elif free > 0:
                self._claim(receiver, free, flush=flush)
            elif not self.is_shut(name):  # by its rate
                self._full.add(name)

    def _claim(self, receiver: Receiver, free: int, *, flush: bool) -> None:
        name, batch = receiver.name, receiver.batch
        wanted = Wanted(name, free, batch.wait, batch.max, flush) if batch else Wanted(name, free)
        claimed, again_at = lanes.claim(self.connection, wanted, self.owner, self.now)
        self.claimed += claimed
        self.busy[name] += len(claimed)
        if receiver.rate and claimed:
            health = self._health_of(name)
            turn = _turn(health, receiver.rate, self.now) + len(claimed) * receiver.rate
            self._change(replace(health, turn=turn))
        if len(claimed) == free:
            self._full.add(name)  # until something is settled, or its turn comes
            self._free(receiver)
            return
        if again_at == inf:
            del self.look_at[name]
        else:
            self.look_at[name] = again_at

    def _free(self, receiver: Receiver) -> int:
        """Return how many requests may be claimed for a receiver."""
        busy, health = self.busy[receiver.name], self._health_of(receiver.name)
        most = 1 if health.is_probed else receiver.max_in_flight
        if receiver.rate:
            passes, turn = 0, _turn(health, receiver.rate, self.now)
            early = max(0.0, _BURST - receiver.rate)
            while turn <= self.now + early and passes < most:
                passes, turn = passes + 1, turn + receiver.rate
            if not passes:
                self._opens_at[receiver.name] = turn - early
                self._full.discard(receiver.name)
            return min(passes, most - busy)
        if health.is_probed:
            return 1 - busy
        if receiver.batch:
            return 2 * receiver.max_in_flight - busy
        return max(_AHEAD, 4 * receiver.max_in_flight) - busy

    def _finalize(self, rows: Mapping[str, int], final: Sequence[Pair]) -> None:
        """Store final outcomes; who is named as fallback hears of what was given up."""
        if not final:
            return
        lanes.settle(self.connection, rows, final, self.now)
        dead = [delivery for delivery, outcome in final if outcome.state == "dead"]
        fallbacks = [waiting for delivery in dead for waiting in self._fallback(delivery)]
        if fallbacks:
            lanes.add(self.connection, fallbacks, self.now)
            self.more_wait = True
        behind = {delivery.receiver for delivery, _ in final} | {one.delivery.receiver for one in fallbacks}
        self.look_at.update(dict.fromkeys(behind, 0.0))
        self.settled += final

    def _fallback(self, delivery: Delivery) -> Iterator[Waiting]:
        """Yield what tells a fallback of a delivery that was given up; never in a circle."""
        configured = self.work.receivers.get(delivery.receiver)
        other = self.work.receivers.get(configured.fallback or "") if configured else None
        if other and other.name not in {delivery.receiver, *delivery.via}:
            changes = {
                "id": new_id(self.now),
                "receiver": other.name,
                "body": other.body,
                "via": (*delivery.via, delivery.receiver),
                "attempts": 0,
            }
            yield other.waiting(delivery.model_copy(update=changes))

    def _split(self, rows: Mapping[str, int], deliveries: Sequence[Delivery]) -> None:
        """Make two batches of one."""
        middle = len(deliveries) // 2
        for half in (deliveries[:middle], deliveries[middle:]):
            name = new_id(self.now) if len(half) > 1 else half[0].id
            lanes.regroup(self.connection, [rows[one.id] for one in half], name)

    def bury(self, rows: Sequence[int]) -> None:
        """Give up what cannot be read any more: it must not keep others waiting."""
        if rows:
            _log.error("the outbox holds deliveries that cannot be read any more; they are dead: %d", len(rows))
            lanes.bury(self.connection, rows, _UNREADABLE, self.now)
            self.look_at.update(dict.fromkeys(self.work.receivers, 0.0))  # for what waited behind

    def _health_of(self, receiver: str) -> Health:
        return self.health.get(receiver) or Health(receiver)

    def _change(self, health: Health) -> None:
        if self._health_of(health.name) != health:
            self.health[health.name] = health
            self._changed.add(health.name)
            shut = health.gone is not None or health.paused
            self._opens_at[health.name] = inf if shut else health.opens_at(self.now)


def _turn(health: Health, interval: float, now: float) -> float:
    """Return when a rate lets the next request pass; a time that we never set was before the clock was set back."""
    return max(health.turn, now) if health.turn <= now + _BURST + 2 * interval else now
