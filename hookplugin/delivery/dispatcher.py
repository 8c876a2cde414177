"""The dispatcher: has what is due delivered, in threads of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from hookplugin.delivery.round import Work
from hookplugin.delivery.rounds import Job, Rounds
from hookplugin.outbox.lanes import Pair
from hookplugin.outbox.opening import OutboxError
from hookplugin.outbox.store import Store
from hookspecs import Delivery, Outcome

_log = logging.getLogger("hookplugin")
_ELSEWHERE: Final = 0.5  # seconds until a waiter looks what another process has settled
_ENDING: Final = 0.2  # seconds that threads have to end: one that still runs may crash an interpreter that ends
_IDLE: Final = 60.0  # seconds until a thread without work ends
_LOOK: Final = 0.05  # seconds until it is seen again whether all is done
_UNTOLD: Final = 10_000  # final outcomes that may wait for slow plugins to hear of them


class Dispatcher:
    """Deliver what an outbox holds for some receivers.

    Threads start at the first alert, in the process that fires it: one that was started before a fork never runs.
    """

    def __init__(
        self, store: Store, work: Work, settled: Callable[[Delivery, Outcome], None], *, only_dead: bool = False
    ) -> None:
        """Start nothing yet.

        Args:
            store: where deliveries wait.
            work: may be replaced by `take`.
            settled: hears of final outcomes, one at a time; must not raise.
            only_dead: whether it hears only of what was given up; the others cost a tenth of the speed.

        """
        self.store: Final = store
        self.settled: Final = settled
        self.only_dead: Final = only_dead
        self._work = work
        self._crews: Final[dict[int, _Crew]] = {}
        store.attach(lambda: self.crew.rounds)

    @property
    def work(self) -> Work:
        """Return what the configuration says of delivering."""
        return self._work

    def take(self, work: Work) -> None:
        """Go on with another configuration; what is on the wire goes on as it was begun."""
        self._work = self.crew.rounds.work = work
        self.wake()

    def wake(self) -> None:
        """Look for work, now; this starts a thread."""
        self.crew.wake()

    @property
    def is_idle(self) -> bool:
        """Say whether there is nothing to do now: nothing is due or on the wire, and everything is told."""
        return not self.store.writer.is_running or self.crew.is_idle

    def wait(self, ids: Sequence[str], seconds: float) -> dict[str, Outcome | None]:
        """Wait until all these deliveries are settled, or the time is over; return their outcomes.

        What is not in the outbox is left out, and not waited for.

        Raises:
            OutboxError: the storage does not answer.

        """
        return self.crew.wait(ids, seconds)

    def close(self, seconds: float) -> int:
        """Deliver for at most this time, then stop; return how many deliveries are left.

        Of a file, what has to wait for another attempt is left there; of memory, nothing is left if there is time.
        """
        return self.crew.close(seconds)

    @property
    def crew(self) -> _Crew:
        """Return the threads of this process, and what they share."""
        pid = os.getpid()
        return self._crews.get(pid) or self._crews.setdefault(pid, _Crew(self))


@dataclass(slots=True)
class _Wait:
    """Hold what one thread waits for."""

    outcomes: dict[str, Outcome | None]
    left: set[str]


class _Crew:
    """Be the threads of one process: those that deliver, and one that tells plugins of final outcomes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._store: Final = dispatcher.store
        self._settled: Final = dispatcher.settled
        self._only_dead: Final = dispatcher.only_dead
        self.rounds: Final = Rounds(dispatcher.store, dispatcher.work, self._after)
        self._changed: Final = threading.Condition(self.rounds.lock)
        self._jobs: Final[SimpleQueue[Job | None]] = SimpleQueue()
        self._threads = 0
        self._waits: Final[list[_Wait]] = []
        self._untold: list[Pair] = []
        self._telling = False
        self._started: set[threading.Thread] = set()

    def wake(self) -> None:
        self.rounds.look_around()
        self._store.writer.wake()

    def wait(self, ids: Sequence[str], seconds: float) -> dict[str, Outcome | None]:
        deadline = time.monotonic() + seconds
        wait = _Wait({}, set(ids))
        with self._changed:
            self._waits.append(wait)
        try:
            self._look(wait)
            while wait.left and (remaining := deadline - time.monotonic()) > 0:
                with self._changed:
                    settled = self._changed.wait_for(lambda: not wait.left, min(remaining, _ELSEWHERE))
                if not settled and self._store.path:
                    self._look(wait)
        finally:
            with self._changed:
                self._waits.remove(wait)
        return {one: wait.outcomes[one] for one in ids if one in wait.outcomes}

    def _look(self, wait: _Wait) -> None:
        """Look what is stored; another process may have settled it."""
        found = self._store.outcomes(list(wait.left))
        with self._changed:
            wait.outcomes = {**found, **{one: outcome for one, outcome in wait.outcomes.items() if outcome}}
            wait.left = {one for one, outcome in wait.outcomes.items() if outcome is None}

    def close(self, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        works = self._store.writer.is_running
        if works:
            self.rounds.flush = True
            self.wake()
        while works and not self._is_drained() and (left := deadline - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait(min(left, _LOOK))
        with self._changed:
            self.rounds.stopped = True
            for _ in range(self._threads):
                self._jobs.put(None)
        ends = max(deadline, time.monotonic() + _ENDING)
        for thread in self._started - {threading.current_thread()}:
            thread.join(max(0.0, ends - time.monotonic()))
        return self._unsettled()

    @property
    def is_idle(self) -> bool:
        with self._changed:
            return self.rounds.is_quiet and not (self._untold or self._telling)

    def _is_drained(self) -> bool:
        """Say whether all is done: of a file, what was due; of memory, everything."""
        return self.is_idle and (self._store.durable or not self._unsettled())

    def _unsettled(self) -> int:
        try:
            gone = self.rounds.in_flight_elsewhere
            return gone + max(self._store.unsettled(self.rounds.work.receivers), self.rounds.in_flight - gone)
        except OutboxError:
            return self.rounds.in_flight

    def _after(self, settled: Sequence[Pair]) -> None:
        """Hand out what was claimed, and say what was settled."""
        with self._changed:
            for wait in self._waits:
                for delivery, outcome in settled:
                    if delivery.id in wait.left:
                        wait.outcomes[delivery.id] = outcome
                        wait.left.remove(delivery.id)
            self._tell_later(settled)
            for receiver in self.rounds.waiting():
                while job := self.rounds.begin(receiver):
                    self._hand_out(job)
            self._changed.notify_all()

    def _hand_out(self, job: Job) -> None:
        if self._threads < self.rounds.in_flight:
            self._threads += self._start(self._serve, "hookplugin-sender")
        if self._threads:
            self._jobs.put(job)
        else:
            self._deliver(job)

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except Empty:
                with self._changed:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            if job is None:
                return
            self._deliver(job)

    def _deliver(self, job: Job) -> None:
        """Make an attempt, and go on with the same receiver: its connection is open."""
        following: Job | None = job
        while following:
            self._store.writer.let_pass()
            try:
                claimed = following.claimed
            except ValueError:
                self.rounds.discard(following)
            else:
                began = time.monotonic()
                attempt = following.deliver(claimed)
                self.rounds.finish(claimed, attempt, time.monotonic() - began)
            self._store.writer.wake()
            following = self.rounds.begin(following.taken.receiver)

    def _tell_later(self, settled: Sequence[Pair]) -> None:
        news = [pair for pair in settled if not self._only_dead or pair[1].state == "dead"]
        room = _UNTOLD - len(self._untold)
        if len(news) > room:
            _log.error("plugins are too slow to hear of outcomes; these were left out: %d", len(news) - room)
        self._untold += news[:room]
        if self._untold and not self._telling:
            self._telling = True
            if not self._start(self._tell, "hookplugin-teller"):
                self._tell()

    def _tell(self) -> None:
        while True:
            with self._changed:
                news, self._untold = self._untold, []
                if not news:
                    self._telling = False
                    self._changed.notify_all()
                    return
            for delivery, outcome in news:
                self._settled(delivery, outcome)

    def _start(self, target: Callable[[], None], name: str) -> bool:
        thread = threading.Thread(target=target, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # of the system, or the interpreter is shutting down
            _log.debug("no thread %s: %s", name, error)
            return False
        self._started = {one for one in self._started if one.is_alive()} | {thread}
        return True
