"""The dispatcher: takes what is due out of the outbox and has it delivered, in threads of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, NamedTuple

from hookplugin.outbox.store import OutboxError, Store
from hookspecs import Delivery, Outcome

_log = logging.getLogger("hookplugin")
_ELSEWHERE: Final = 0.5  # seconds until a waiter looks what another process has settled
_STORAGE_PAUSE: Final = 1.0  # seconds until a storage that failed is asked again


@dataclass(frozen=True, slots=True)
class Work:
    """Hold what a configuration says of delivering."""

    limits: Mapping[str, int]
    """How many requests each receiver takes at once; others' deliveries are left alone."""
    deliver: Callable[[Delivery], Outcome]
    """Makes one attempt; must not raise."""


class Dispatcher:
    """Deliver what an outbox holds for some receivers.

    Threads start at the first alert, in the process that fires it: one that was started before a fork never runs.
    """

    def __init__(
        self,
        store: Store,
        work: Work,
        settled: Callable[[Delivery, Outcome], None],
    ) -> None:
        """Start nothing yet.

        Args:
            store: where deliveries wait.
            work: may be replaced while deliveries are made: what is claimed goes on as it was begun.
            settled: hears of each final outcome; must not raise.

        """
        self.store: Final = store
        self.work = work
        self.settled: Final = settled
        self._crews: Final[dict[int, _Crew]] = {}

    def wake(self) -> None:
        """Look for work, now."""
        self._crew.wake()

    def wait(self, ids: Sequence[str], seconds: float) -> dict[str, Outcome | None]:
        """Wait until all these deliveries are settled, or the time is over; return their outcomes.

        What is not in the outbox is left out, and not waited for.

        Raises:
            OutboxError: the storage does not answer.

        """
        return self._crew.wait(ids, seconds)

    def close(self, seconds: float) -> int:
        """Deliver what there is for at most this time, then stop; return how many deliveries are left."""
        return self._crew.close(seconds)

    @property
    def _crew(self) -> _Crew:
        pid = os.getpid()
        return self._crews.get(pid) or self._crews.setdefault(pid, _Crew(self))


class _Job(NamedTuple):
    """Hold a delivery that was claimed, and how it was to be made then."""

    delivery: Delivery
    deliver: Callable[[Delivery], Outcome]


class _Crew:
    """Be the threads of one process: one that claims, and those that deliver."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher: Final = dispatcher
        self._changed: Final = threading.Condition()
        self._jobs: Final[SimpleQueue[_Job | None]] = SimpleQueue()
        self._in_flight: Final[Counter[str]] = Counter()
        self._threads = 0
        self._running = False
        self._due = False
        self._stopping = False

    def wake(self) -> None:
        with self._changed:
            self._due = True
            if not self._running and not self._stopping:
                self._running = self._start()
            self._changed.notify_all()

    def wait(self, ids: Sequence[str], seconds: float) -> dict[str, Outcome | None]:
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                outcomes = self._dispatcher.store.outcomes(ids)
                left = deadline - time.monotonic()
                if left <= 0 or all(outcomes.values()):
                    return outcomes
                self._changed.wait(min(left, _ELSEWHERE))

    def close(self, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        with self._changed:
            left = self._unsettled()
            while left and self._running and (remaining := deadline - time.monotonic()) > 0:
                self._changed.wait(min(remaining, _ELSEWHERE))
                left = self._unsettled()
            self._stopping = True
            self._changed.notify_all()
            for _ in range(self._threads):
                self._jobs.put(None)
        return left

    def _unsettled(self) -> int:
        limits = self._dispatcher.work.limits
        busy = sum(self._in_flight[name] for name in limits)  # also what is stored as settled, but not yet announced
        gone = sum(self._in_flight.values()) - busy  # under way to receivers that are configured no more
        try:
            return gone + max(busy, self._dispatcher.store.unsettled(limits))
        except OutboxError:
            return gone + busy

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._dispatch, name="hookplugin-dispatcher", daemon=True).start()
        except RuntimeError as error:  # of the system, or the interpreter is shutting down
            _log.error("%s: what is accepted waits in the outbox", error)
            return False
        return True

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                while not self._due and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                self._due = False
                work = self._dispatcher.work
                room = {
                    name: free for name, limit in work.limits.items() if (free := limit - self._in_flight[name]) > 0
                }
            try:
                claimed = self._dispatcher.store.claim(room) if room else []
            except OutboxError as error:
                _log.error("%s; asking again in %g s", error, _STORAGE_PAUSE)
                with self._changed:
                    self._due = True
                    self._changed.wait_for(lambda: self._stopping, _STORAGE_PAUSE)
                continue
            for delivery in claimed:
                self._hand_out(_Job(delivery, work.deliver))

    def _hand_out(self, job: _Job) -> None:
        with self._changed:
            if self._stopping:  # closing gives back what is claimed
                return
            self._in_flight[job.delivery.receiver] += 1
            if self._threads < sum(self._in_flight.values()):
                try:
                    threading.Thread(target=self._serve, name="hookplugin-sender", daemon=True).start()
                    self._threads += 1
                except RuntimeError:  # the interpreter is shutting down: there will be no more threads
                    _log.debug("no thread for delivery %s", job.delivery.id)
            served = self._threads > 0
        if served:
            self._jobs.put(job)
        else:
            self._run(job)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(job)

    def _run(self, job: _Job) -> None:
        delivery = job.delivery
        try:
            outcome = job.deliver(delivery)
            self._settle(delivery, outcome)
            self._dispatcher.settled(delivery, outcome)
        finally:
            with self._changed:
                self._in_flight[delivery.receiver] -= 1
                self._due = True
                self._changed.notify_all()

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Store an outcome; a storage that fails is asked again, or the delivery would be made twice."""
        while True:
            try:
                self._dispatcher.store.settle(delivery, outcome)
            except OutboxError as error:
                _log.error("%s; the outcome of delivery %s is not stored", error, delivery.id)
            else:
                return
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, _STORAGE_PAUSE):
                    return
