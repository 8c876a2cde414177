"""Rounds: what the dispatcher remembers between the transactions of the outbox; no thread is started here."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from hookplugin.delivery.health import read_health, write_health
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.round import Finished, Round, Work
from hookplugin.outbox import lanes
from hookplugin.outbox.lanes import LEASE, Pair
from hookplugin.outbox.opening import OutboxError
from hookplugin.outbox.owner import has_ended
from hookplugin.outbox.rows import Claimed, Taken
from hookplugin.outbox.storage import AGAIN
from hookplugin.outbox.store import Store
from hookplugin.outbox.writer import Done

LOOK: Final = 0.25
"""Seconds until it is seen that another process has written, or ended."""

_QUICK: Final = 0.003  # seconds
_FEW: Final = 2  # requests on the wire at once are enough for a receiver that answers so soon
_FADES: Final = 1.05  # of the quickest attempt, with each later one
_TIDY_EVERY: Final = 60.0  # seconds until what is old is forgotten
_IN_MEMORY: Final = 10_000  # settled deliveries at least that an outbox in memory remembers
_log = logging.getLogger("hookplugin")


@dataclass(slots=True)
class Job:
    """Hold a request that was claimed, and how it was to be made then."""

    taken: Taken
    deliver: Callable[[Claimed], Attempt]
    in_file: bool
    """Whether it was claimed there: others may take it when the lease is over."""
    _claimed: Claimed | None = None

    @property
    def claimed(self) -> Claimed:
        """Return what is to be sent; it is read here, in the thread that sends it.

        Raises:
            ValueError: it cannot be read any more.

        """
        self._claimed = self._claimed or self.taken.read()
        return self._claimed


@dataclass(slots=True)
class _Done:
    """Hold what counts once a round is committed."""

    round: Round
    calls: int
    finished: int
    broken: int
    later: list[Finished]
    """What cannot be settled now: it was claimed from a file that fails."""
    released: list[Job]
    in_file: bool
    """Whether it was done there."""
    sure: bool = False
    """Whether nothing is claimed but what is known."""
    others: Mapping[str, float] | None = None
    lease_ends: float = 0.0
    expires: float = inf
    forgotten: int | None = None


class Rounds:
    """Be the routine of the writer: settle, give back and claim, for the threads of one process."""

    def __init__(self, store: Store, work: Work, after: Callable[[Sequence[Pair]], None]) -> None:
        """Begin with nothing claimed.

        Args:
            store: where deliveries wait.
            work: may be replaced at any time.
            after: is called when a round is committed, with the final outcomes that it stored; must not raise.

        """
        self.work = work
        self.lock: Final = threading.RLock()
        """Of what threads share."""
        self.flush = False
        """Whether batches wait no longer: the process is about to end."""
        self.stopped = False
        """Whether nothing more is claimed, or begun."""
        self.wake_at = inf
        """When the next round may be due, on the monotonic clock."""
        self._store: Final = store
        self._after: Final = after
        self._ready: Final[dict[str, deque[Job]]] = {}
        self._releasing: frozenset[str] = frozenset()
        self._shut: frozenset[str] = frozenset()
        self._in_flight: Final[Counter[str]] = Counter()
        self._busy: Counter[str] = Counter()
        self._quickest: Final[dict[str, float]] = {}
        """Seconds of the quickest of the last attempts, by receiver."""
        self._finished: Final[deque[Finished]] = deque()
        self._broken: list[Taken] = []
        self._look_at: dict[str, float] = {}
        self._joined: Final[Counter[str]] = Counter()
        """How many wait for a batch, about, by receiver: nobody reads them before it is full or has waited."""
        self._calls = 1  # to look around
        self._looked = 0  # after how many of them
        self._others: Mapping[str, float] = {}
        self._now = 0.0
        self._lease_ends = 0.0
        self._expires = inf
        self._round_at = 0.0
        self._tick_at = 0.0
        self._tidy_at = 0.0
        self._version = (0, -1)
        self._unsure = False
        """Whether more may be claimed than is known: a commit may only have seemed to fail."""
        self._said = ""
        """Why the last round failed."""
        self._done: _Done | None = None

    # For threads

    @property
    def in_flight(self) -> int:
        """Return how many requests are on the wire."""
        with self.lock:
            return self._in_flight.total()

    @property
    def in_flight_elsewhere(self) -> int:
        """Return how many requests are on the wire to receivers that are configured no more."""
        with self.lock:
            return sum(count for name, count in self._in_flight.items() if name not in self.work.receivers)

    @property
    def is_quiet(self) -> bool:
        """Say whether nothing is claimed, and nothing is due."""
        with self.lock:
            due = self._calls > self._looked or self._round_at <= time.monotonic()
            return not (self._busy.total() or self._finished or self._broken or (due and self._dispatches))

    def waiting(self) -> list[str]:
        """Return the receivers with jobs that wait for a free place."""
        with self.lock:
            return [receiver for receiver, ready in self._ready.items() if ready]

    def begin(self, receiver: str) -> Job | None:
        """Take a job for which the receiver has a free place."""
        with self.lock:
            ready = self._ready.get(receiver)
            configured = self.work.receivers.get(receiver)
            limit = configured.max_in_flight if configured else 1
            # then it is Python that is slow, and slower with each thread
            if self._quickest.get(receiver, inf) < _QUICK:
                limit = min(limit, _FEW)
            if (
                not ready
                or receiver in self._releasing | self._shut
                or self.stopped
                or self._in_flight[receiver] >= limit
            ):
                return None
            holds = self._holds(self._store.now())
            for job in ready:
                # else the next round gives it back
                if job.deliver is self.work.deliver and (holds or not job.in_file):
                    ready.remove(job)
                    self._in_flight[receiver] += 1
                    return job
            return None

    def finish(self, claimed: Claimed, attempt: Attempt, seconds: float = inf) -> None:
        """Take what came of a job, and how long it took; the next round settles it."""
        with self.lock:
            name = claimed.receiver
            took = seconds if attempt.outcome.state == "delivered" else inf
            self._quickest[name] = min(took, self._quickest.get(name, inf) * _FADES)
            self._in_flight[name] -= 1
            self._finished.append((claimed, attempt))

    def discard(self, job: Job) -> None:
        """Give up a job that cannot be read any more."""
        with self.lock:
            self._in_flight[job.taken.receiver] -= 1
            self._broken.append(job.taken)

    def look_around(self) -> None:
        """Look for what others have left and said, in the next round."""
        with self.lock:
            self._calls += 1

    # For the writer

    def expect(self, counts: Mapping[str, int], expires: float) -> None:
        """Look for work of these receivers in the next round, or when a batch is full or has waited long enough."""
        for name, count in counts.items():
            configured = self.work.receivers.get(name)
            self._joined[name] += count
            if configured and (batch := configured.batch) and self._joined[name] < batch.max:
                self._look_at[name] = min(self._look_at.get(name, inf), self._store.now() + batch.wait)
            else:
                self._look_at[name] = self._joined[name] = 0
        self._expires = min(self._expires, expires)
        self._round_at = 0.0

    def is_due(self) -> bool:
        """Say whether there is anything to do; look now and then for what others do."""
        if not self._dispatches:
            self.wake_at = inf
            return bool(self._finished or self._broken) or self._calls > self._looked
        now = time.monotonic()
        if self._store.durable and now >= self._tick_at:
            self._tick_at = now + LOOK
            if self._is_changed():
                self.look_around()
        self._plan()
        return bool(self._finished or self._broken) or self._calls > self._looked or now >= self._round_at

    def run(self, connection: sqlite3.Connection) -> None:
        """Do one round."""
        now, owner, dispatches = self._store.now(), self._store.owner, self._dispatches
        with self.lock:
            self._unsure = self._unsure or self._done is not None
            calls, around = self._calls, self._calls > self._looked or now < self._now  # the clock was set back
            work, finished, busy, broken = self.work, list(self._finished), self._busy.copy(), list(self._broken)
        look_at = dict.fromkeys(work.receivers, 0.0) if around else dict(self._look_at)
        one = Round(connection, owner, now, work, read_health(connection), busy, look_at)
        busy.subtract(claimed.receiver for claimed, _ in finished)
        busy.subtract(taken.receiver for taken in broken)
        one.bury([row[0] for taken in broken for row in taken.rows])
        strange = one.settle(finished)
        missing = self._store.path is not None and not self._store.durable
        done = self._done = _Done(
            one, calls, len(finished), len(broken), strange if missing else [], self._release(one), self._store.durable
        )
        busy.update(claimed.receiver for claimed, _ in done.later)
        waits = {id(attempt) for _, attempt in done.later}  # what cannot be settled now comes again in the next round
        one.count([pair for pair in finished if id(pair[1]) not in waits])
        if dispatches:
            if self._unsure and done.in_file and not busy.total():
                lanes.regain(connection, owner)
                done.sure = True
            if around:
                done.others = lanes.take_back(connection, owner, now)
            if around or now >= self._expires:
                one.give_up_expired()
            one.give_up_for_the_gone()
            if not self.stopped:
                one.claim(flush=self.flush)
            due = not (self._holds(now) and now + 2 * LEASE / 3 < self._lease_ends)
            if one.busy.total() and due and done.in_file:  # in memory, there is nobody else
                lanes.hold(connection, owner, now)
                done.lease_ends = now + LEASE
            stale = around or now >= self._expires or one.more_wait
            done.expires = lanes.next_expiry(connection) if stale else self._expires
            if time.monotonic() >= self._tidy_at:
                done.forgotten = self._forget(connection, work, now)
        write_health(connection, one.changed, now)

    def end(self, result: Done) -> None:
        """Make what a round did count, or try again later."""
        done, self._done = self._done, None
        monotonic = time.monotonic()
        if result.error or done is None:
            if repr(result.error) != self._said:
                ours = None if isinstance(result.error, OutboxError) else result.error
                _log.error("what waits cannot be delivered now, and is tried again: %s", result.error, exc_info=ours)
            self._said = repr(result.error)
            self._unsure = True
            self._calls += 1
            self._releasing = frozenset()
            self._round_at = monotonic + AGAIN
            self._plan()
            return
        one, self._said = done.round, ""
        self._unsure = self._unsure and not done.sure
        for receiver, note in one.notes:
            _log.warning("%s", note, extra={"receiver": receiver})
        with self.lock:
            for _ in range(done.finished):
                self._finished.popleft()
            self._finished.extendleft(reversed(done.later))
            del self._broken[: done.broken]
            released = set(map(id, done.released))
            for receiver in self._releasing:
                self._ready[receiver] = deque(job for job in self._ready[receiver] if id(job) not in released)
            self._releasing = frozenset()
            for taken in one.claimed:
                self._ready.setdefault(taken.receiver, deque()).append(Job(taken, one.work.deliver, done.in_file))
                self._joined.pop(taken.receiver, None)
            self._busy, self._look_at, self._expires = +one.busy, one.look_at, done.expires
            self._looked, self._now = done.calls, one.now
            self._others = self._others if done.others is None else done.others
            self._lease_ends = done.lease_ends or self._lease_ends
            if done.forgotten is not None:
                self._tidy_at = monotonic + (0.0 if done.forgotten else _TIDY_EVERY)
            times = [] if self.stopped else [one.next_at(), done.expires]
            times += [self._lease_ends - LEASE / 2] if self._busy and done.in_file else []
            times += [one.now] if done.forgotten else []
            times += [one.now + AGAIN] if done.later or not self._is_where_it_should_be else []
            self._round_at = monotonic + min(times, default=inf) - one.now
            self._after(one.settled)  # before anybody else can see that all is quiet: it may have to be told
        self._plan()

    @property
    def _dispatches(self) -> bool:
        return self.work.dispatch or not self._store.durable

    @property
    def _is_where_it_should_be(self) -> bool:
        return self._store.path is None or self._store.durable

    def _holds(self, now: float) -> bool:
        """Say whether what is claimed in the file is ours still; a process may have been away for long."""
        return now < self._lease_ends <= now + 2 * LEASE

    def _plan(self) -> None:
        """Say when the next round may be due."""
        looks = self._dispatches and self._store.durable
        self.wake_at = min(self._round_at, self._tick_at if looks else inf)

    def _is_changed(self) -> bool:
        """Say whether another process has written, has ended, or is silent."""
        try:
            version = self._store.changed_elsewhere()
        except OutboxError:
            return True
        changed, self._version = version != self._version, version
        now = self._store.now()
        return changed or any(lease <= now or has_ended(owner) for owner, lease in self._others.items())

    def _release(self, one: Round) -> list[Job]:
        """Give back what is not begun: what shall not be sent now, or as it was configured, or may be another's."""
        holds = self._holds(one.now)
        with self.lock:
            self._shut = frozenset(receiver for receiver in self._ready if one.is_shut(receiver))
            jobs = [
                job
                for receiver, ready in self._ready.items()
                for job in ready
                if job.deliver is not one.work.deliver or receiver in self._shut or (job.in_file and not holds)
            ]
            if not self._is_where_it_should_be:  # the file that they were claimed from cannot be told
                jobs = [job for job in jobs if not job.in_file]
            self._releasing = frozenset(job.taken.receiver for job in jobs)
        if jobs:
            lanes.release(one.connection, one.owner, [job.taken for job in jobs])
            one.busy.subtract(job.taken.receiver for job in jobs)
            one.more_wait = True
            one.look_at.update(dict.fromkeys(self._releasing, 0.0))
        return jobs

    def _forget(self, connection: sqlite3.Connection, work: Work, now: float) -> int:
        if not self._store.durable:
            return lanes.forget_in_memory(connection, _IN_MEMORY)
        return lanes.forget(connection, {state: now - seconds for state, seconds in work.keep.items()}, now)
