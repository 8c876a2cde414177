"""One attempt at a request: render its body, or take what was sent before, and send it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from hookplugin.bodies.compiled import Template
from hookplugin.bodies.rendering import Bodies, Request, render_fallback
from hookplugin.bodies.scope import RenderError, TooLargeError
from hookplugin.bodies.secret import fill, fill_text
from hookplugin.delivery.channel import Channel
from hookplugin.delivery.guard import ANYWHERE, Guard, Network
from hookplugin.delivery.headers import is_header
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.tls import Tls
from hookplugin.isolation import OfferError
from hookplugin.outbox.rows import Claimed
from hookspecs import Body, Outcome, Reason, Registry

if TYPE_CHECKING:
    from hookplugin.delivery.receiver import Receiver
    from hookplugin.delivery.sender import Sender

_log = logging.getLogger("hookplugin")


class Deliverer:
    """Deliver to the receivers of one configuration, from any thread."""

    def __init__(
        self,
        receivers: Iterable[Receiver],
        bodies: Bodies,
        network: Network = ANYWHERE,
        offers: Registry | None = None,
        *,
        later: bool = False,
    ) -> None:
        """Open no connection yet.

        Args:
            receivers: of the configuration.
            bodies: what they may be sent.
            network: which addresses may be reached.
            offers: signers and senders of plugins.
            later: make ready only when there is something to deliver: a process that only stores is started often.

        """
        receivers = tuple(receivers)
        self._receivers: Final = {receiver.name: receiver for receiver in receivers}
        self._bodies: Final = bodies
        self._network: Final = network
        offers = offers or Registry()
        self._signers: Final = offers.signers
        self._channels: Final = {
            receiver.name: Channel(receiver, offers.senders[receiver.type])
            for receiver in receivers
            if not receiver.is_webhook
        }
        self._lock: Final = threading.Lock()
        self._senders: Mapping[str, Sender] = {}
        # Otherwise now: a lock that another thread holds during an import, or while a TLS context is made, would stay
        # locked in a forked child.
        if not later and len(self._channels) < len(self._receivers):
            self._senders = self._make_senders()

    def _make_senders(self) -> Mapping[str, Sender]:
        # Not above: only who delivers needs `requests`.
        from hookplugin.delivery.sender import Sender  # noqa: PLC0415 - `import hookplugin` does without it
        from hookplugin.delivery.session import Sessions  # noqa: PLC0415 - as above

        senders: dict[str, Sender] = {}
        guard = Guard(self._network)
        shared: dict[tuple[Tls | None, SecretStr | None], Sessions] = {}
        for name, receiver in self._receivers.items():
            if not receiver.is_webhook:
                continue
            ways = receiver.tls if receiver.may_need_tls else None, receiver.proxy
            sessions = shared.get(ways) or shared.setdefault(ways, Sessions(guard, *ways))
            senders[name] = Sender(receiver, sessions, self._signers)
        return senders

    def _sender(self, receiver: Receiver) -> Sender:
        if not self._senders:
            with self._lock:
                self._senders = self._senders or self._make_senders()
        return self._senders[receiver.name]

    def deliver(self, claimed: Claimed) -> Attempt:
        """Make one attempt; never raises."""
        try:
            return self._deliver(claimed)
        except BaseException as error:  # noqa: BLE001 - nobody but us would catch it in a sender thread
            told = {"delivery": claimed.id, "receiver": claimed.receiver}
            _log.exception("the request %s to %r failed by an error of our own", *told.values(), extra=told)
            return Attempt(Outcome(state="dead", reason=Reason.failed, detail=type(error).__name__))

    def _deliver(self, claimed: Claimed) -> Attempt:
        receiver = self._receivers[claimed.receiver]
        request = Request(claimed.id, claimed.deliveries, datetime.now(UTC), receiver.batch is not None)
        try:
            body, notes = (claimed.content, []) if claimed.content else render(self._bodies, request)
        except TooLargeError as error:
            return Attempt(
                Outcome(state="dead", reason=Reason.failed, detail=f"{error}; halves of it are"), too_large=True
            )
        sent = body
        if self._bodies.holds_secrets(request.body):
            try:
                sent = fill(body, receiver.vars)
            except KeyError as error:
                detail = f"the receiver has no vars.{error.args[0]} any more, which the body needs"
                return Attempt(Outcome(state="dead", reason=Reason.failed, detail=detail), body)
        dropped: list[str] = []
        if channel := self._channels.get(receiver.name):
            attempt = channel.send(claimed, sent)
        else:
            headers, dropped = render_headers(receiver, request)
            attempt = self._sender(receiver).send(claimed.id, sent, headers)
        told = {"delivery": claimed.id, "receiver": receiver.name}
        for note in dropped:
            _log.warning("delivery %s to %r: %s", *told.values(), note, extra=told)
        detail = "; ".join(part for part in (*notes, *dropped, attempt.outcome.detail) if part)
        outcome = attempt.outcome.model_copy(update={"detail": detail})
        return replace(attempt, body=body, outcome=outcome, fallback=bool(notes))


def render(bodies: Bodies, request: Request) -> tuple[Body, list[str]]:
    """Render the body of a request, or the fallback if that fails, and say why.

    Raises:
        TooLargeError: a batch does not fit; halves of it may.

    """
    try:
        return bodies.render(request), []
    except RenderError as error:
        if isinstance(error, TooLargeError) and len(request.deliveries) > 1:
            raise
        reason = f"body {request.body!r} failed: {error}"
        _log.warning("the fallback is sent for delivery %s: %s", request.id, reason, extra={"delivery": request.id})
    except OfferError as error:
        reason = f"body {request.body!r} failed: {str(error).partition(':')[0]}"
    note = f"the fallback was sent, {reason}"
    return render_fallback(request.deliveries, reason, many=request.many), [note]


def render_headers(receiver: Receiver, request: Request) -> tuple[dict[str, str], list[str]]:
    """Render the headers that are templates; one that is no header then is left out, and told."""
    headers: dict[str, str] = {}
    notes: list[str] = []
    for name, value in receiver.headers.items():
        if not isinstance(value, Template):
            continue
        try:
            headers[name] = fill_text(value.render(request.scope()), receiver.vars)
        except (RenderError, KeyError) as error:
            notes.append(f"the header {name!r} was left out: {type(error).__name__}")
            continue
        if not is_header(headers[name]):
            del headers[name]
            notes.append(f"the header {name!r} was left out: its value is not printable ASCII, or is too long")
    return headers, notes


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome in one line: `dead, client_error, 404: no such hook`."""
    words = [outcome.state, outcome.reason, outcome.status]
    line = ", ".join(str(word) for word in words if word is not None)
    return f"{line}: {outcome.detail}" if outcome.detail else line
