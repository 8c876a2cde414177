"""The writer: one thread in each process that commits what all others hand in, in groups."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeAlias

from hookplugin.outbox.opening import OutboxError

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
"""What is done in a transaction. It may run again, in another one: what it changes elsewhere must not matter then."""

GAP: Final = 0.01
"""Seconds between long runs of the routine: others who use the file get a turn, and there is more to do at once."""

_log = logging.getLogger("hookplugin")


@dataclass(frozen=True, slots=True)
class Done:
    """Hold what came of work: a value, or an error."""

    value: Any = None
    error: BaseException | None = None


_Order: TypeAlias = tuple[Work, SimpleQueue[Done]]
"""Work, and where the answer is waited for."""


class Routine(Protocol):
    """Be what the writer does by itself, in a transaction of its own; none of it may raise."""

    wake_at: float
    """When it may be due next, on the monotonic clock."""

    def expect(self, counts: Mapping[str, int], expires: float) -> None:
        """Hear how many deliveries are being stored, by receiver, and when the first of them expires."""

    def is_due(self) -> bool:
        """Say whether there is anything to do now."""
        ...

    def run(self, connection: sqlite3.Connection) -> Any:  # noqa: ANN401 - what `end` is handed
        """Do it."""

    def end(self, result: Done) -> None:
        """Hear that it is committed, or why it is not."""


class Commit(Protocol):
    """Run work in one transaction."""

    def __call__(self, works: Sequence[Work], *, sync: bool = True) -> list[Done]:
        """Return what came of each; without `sync`, a power cut may undo it."""
        ...


class Writer:
    """Run work in one thread; what comes in meanwhile is one group, and one transaction."""

    def __init__(self, commit: Commit, routine: Routine | None) -> None:
        """Start nothing yet.

        Args:
            commit: runs work in one transaction.
            routine: is done after each group, and when it is due; if a power cut undoes it, it is done again.

        """
        self._commit: Final = commit
        self.routine: Final = routine
        lock = threading.RLock()  # a signal handler may come in between
        self._changed: Final = threading.Condition(lock)
        """What the thread waits for."""
        self._passed: Final = threading.Condition(lock)
        """What others wait for."""
        self._handed_in: deque[_Order] = deque()
        self._is_awaited = False
        self._wake_at = inf
        self._free_at = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def run(self, work: Work) -> Any:  # noqa: ANN401 - what the work returns
        """Run work, and return what it does.

        Raises:
            OutboxError: the writer is stopped, or has died.
            Exception: whatever the work raises.

        """
        # whoever waits for it holds nothing that the thread needs, if a signal handler comes in between
        answer: SimpleQueue[Done] = SimpleQueue()
        with self._changed:
            alone = self._stopping or not self._start()
            if not alone:
                self._handed_in.append((work, answer))
                self._is_awaited = True
                self._changed.notify()
        # alone: the interpreter is shutting down, or the outbox is closed
        done = self._commit([work])[0] if alone else self._wait(answer)
        if done.error:
            raise done.error
        return done.value

    def _wait(self, answer: SimpleQueue[Done]) -> Done:
        while True:
            running = self.is_running
            try:
                return answer.get(timeout=_LOOK if running else 0.0)
            except Empty:
                if not running:  # a signal handler has stopped it under our hands
                    message = "the outbox was closed"
                    raise OutboxError(message) from None

    def wake(self, at: float = 0.0) -> bool:
        """Run the routine at this time on the monotonic clock, at the latest; say whether there is a thread for it."""
        with self._changed:
            if not self._stopping and self._start() and at < self._wake_at:
                self._wake_at = at
                self._changed.notify()
            return self.is_running

    def let_pass(self) -> None:
        """Wait a little while others wait for a commit: it takes long while many threads want the GIL."""
        if self._is_awaited:
            with self._changed:
                self._passed.wait_for(lambda: not self._is_awaited, _PATIENCE)

    @property
    def is_running(self) -> bool:
        """Say whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Commit what was handed in, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
            self._passed.wait_for(lambda: self._thread is None, _LONGEST)

    def _start(self) -> bool:
        if not self.is_running:
            self._thread = threading.Thread(target=self._live, name=_NAME, daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # of the system, or the interpreter is shutting down
                _log.error("%s: there is no thread for the outbox", error)
                self._thread = None
                return False
        return True

    def _live(self) -> None:
        """Run until the end; whoever waits when the thread dies is told, and the next one starts it again."""
        reason: BaseException | None = None
        group: list[_Order] = []
        try:
            while self._next_group(group):
                self._run_group(group)
                self._run_routine()
            self._run_routine()  # what came back since
        except BaseException as error:  # noqa: BLE001 - nobody but those who wait would hear of it
            reason = error
        with self._changed:
            left = [*group, *self._handed_in]
            self._handed_in.clear()
            self._is_awaited, self._thread = False, None
            self._passed.notify_all()
        if reason:
            _log.error("the thread of the outbox died, and is started again: %r", reason)
            for _, answer in left:
                answer.put(Done(error=OutboxError(f"the thread of the outbox died: {reason!r}")))
            self.wake(time.monotonic() + _LOOK)

    def _run_group(self, group: Sequence[_Order]) -> None:
        """Commit what was handed in."""
        done = self._commit([work for work, _ in group]) if group else []
        for (_, answer), one in zip(group, done, strict=True):
            answer.put(one)
        with self._changed:
            self._is_awaited = bool(self._handed_in)
            self._passed.notify_all()
            if group and self.routine:  # there may be something to do for it; first those go on who have waited
                now = time.monotonic()
                if self._wake_at > now:
                    self._wake_at, self._free_at = now, max(self._free_at, now + _TURN)

    def _run_routine(self) -> None:
        """Commit the routine if it is due; nobody waits for it, so it leaves others a gap."""
        with self._changed:
            now = time.monotonic()
            if self.routine is None or (max(self._wake_at, self._free_at) > now and not self._stopping):
                return
            self._wake_at = inf
        if self.routine.is_due():
            (done,) = self._commit([self.routine.run], sync=False)
            self.routine.end(done)
            ended = time.monotonic()
            self._free_at = ended + min(3 * (ended - now), GAP)
        with self._changed:
            self._wake_at = min(self._wake_at, self.routine.wake_at)

    def _next_group(self, group: list[_Order]) -> bool:
        """Wait for what is to be done next; say whether it goes on."""
        group.clear()
        with self._changed:
            while not self._handed_in:
                if self._stopping:
                    return False
                wait = max(self._wake_at, self._free_at) - time.monotonic()
                if wait <= 0:
                    break
                self._changed.wait(min(wait, _LONGEST_WAIT))
            group += self._handed_in
            self._handed_in.clear()
            return True


_NAME: Final = "hookplugin-outbox"
_PATIENCE: Final = 0.02  # seconds
_TURN: Final = 0.00001  # seconds; else who waits would get the GIL only between the steps of the routine
_LONGEST_WAIT: Final = 3600.0  # seconds; Python cannot wait for some centuries
_LOOK: Final = 1.0  # seconds until a waiter looks whether the thread still lives
_LONGEST: Final = 10.0  # seconds for the last group
