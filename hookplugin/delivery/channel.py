"""A channel: one attempt to tell a receiver through a plugin's sender."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Final

from hookplugin.delivery.lock import ProcessLock
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.redaction import redact, secrets_of
from hookplugin.delivery.retry import Attempt
from hookplugin.isolation import AnswerError, OfferError, hiding
from hookplugin.outbox.rows import Claimed
from hookspecs import Body, Message, Outcome, Reason, Sender, SendError


class Channel:
    """Tell one receiver, from any thread.

    Each attempt has a thread of its own: nobody can stop a sender that hangs, but others need not wait for it.
    """

    def __init__(self, receiver: Receiver, send: Sender[Any]) -> None:
        """Know whom to tell, and how."""
        self._receiver: Final = receiver
        self._send: Final = send
        self._lock: Final = ProcessLock()
        self._late: list[threading.Thread] = []

    def send(self, claimed: Claimed, body: Body) -> Attempt:
        """Make one attempt; it is done if the sender returns in time, and else made again, unless it says otherwise."""
        receiver, started = self._receiver, time.monotonic()
        message = Message(claimed.id, claimed.deliveries, body, receiver.options, receiver.timeout.total)
        failure = self._call(message)
        reason = _reason(failure.cause) if failure else None
        again = reason is Reason.failed and failure is not None and type(failure.cause) is not AnswerError
        detail = redact(str(failure), ()) if failure else ""
        after = _after(failure.cause) if failure else None
        outcome = Outcome(
            state="dead" if reason else "delivered",
            reason=reason,
            detail=detail,
            milliseconds=round((time.monotonic() - started) * 1000, 1),
        )
        return Attempt(outcome, body, after, again=again)

    def _call(self, message: Message[Any]) -> OfferError | None:
        """Let the sender do its work, for as long as it may; return why it could not."""
        with self._lock.here:
            self._late = [one for one in self._late if one.is_alive()]
            late = len(self._late)
        if late >= self._receiver.max_in_flight:
            return _timed_out(f"{late} earlier attempts have not come back")
        failures: SimpleQueue[OfferError | None] = SimpleQueue()
        thread = threading.Thread(target=self._work, args=(message, failures), name="hookplugin-channel", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # of the system, or the interpreter is shutting down
            self._work(message, failures)
        try:
            return failures.get(timeout=message.timeout)
        except Empty:
            with self._lock.here:
                self._late.append(thread)
            return _timed_out(f"the sender has not come back in {message.timeout:g} s")

    def _work(self, message: Message[Any], failures: SimpleQueue[OfferError | None]) -> None:
        failure: OfferError | None = None
        try:
            with hiding(lambda: secrets_of(self._receiver)):
                self._send(message)
        except OfferError as error:
            failure = error
        failures.put(failure)


def _timed_out(message: str) -> OfferError:
    return OfferError(message, TimeoutError(message))


def _after(error: BaseException) -> float | None:
    """Return the seconds that were asked for, if they are some."""
    after: object = error.after if isinstance(error, SendError) else None
    return after if isinstance(after, (int, float)) and after > 0 else None


def _reason(error: BaseException) -> Reason:
    if isinstance(error, SendError) and type(error) is not AnswerError:
        return Reason.server_error if error.retry else Reason.client_error
    if isinstance(error, TimeoutError):
        return Reason.timeout
    return Reason.connection if isinstance(error, OSError) else Reason.failed
