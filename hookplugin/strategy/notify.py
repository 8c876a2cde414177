"""Notification: who is to hear of an alert, given who has heard what of it before.

A recovery follows its firing, and what is sent again is not told again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from math import inf
from typing import Final, Literal, TypeAlias

from hookplugin.strategy.model import Strategy
from hookplugin.values import duration_text
from hookspecs import Alert, Priority, Status

_TIMES: Final = 16  # trigger times that are remembered: each of several Prometheus servers gives its own


class Firing(IntEnum):
    """Say what is known of the firing of an alert; the numbers are stored."""

    unknown = 0
    open = 1
    over = 2
    """It has recovered since."""


Copy: TypeAlias = "tuple[str, str | None]"
"""A receiver and a body, of which there is one copy; no body is the receiver's own, whichever that is then."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold one copy of an alert, and what the strategies behind it ask for."""

    copy: Copy
    strategies: tuple[str, ...]
    pause: float
    """Seconds until the same is told again; endless if never."""
    recovery: tuple[str, ...]
    """Those of the strategies that ask for recoveries, too."""
    alone: tuple[str, ...] = ()
    """Those that never ask for a firing: a recovery need not follow one."""

    @property
    def receiver(self) -> str:
        """Return who is to hear."""
        return self.copy[0]

    @property
    def body(self) -> str | None:
        """Return the name of the body; none is the receiver's own."""
        return self.copy[1]


@dataclass(frozen=True, slots=True)
class Notified:
    """Hold what a receiver was told last of one alert."""

    copy: Copy
    status: Status
    priority: Priority
    trigger_times: tuple[int | None, ...]
    """Those it was told with this status, the last at the end; milliseconds since 1970-01-01 UTC."""
    at: float
    """Seconds since 1970-01-01 UTC."""
    pause: float
    """Seconds until its recovery is told again."""
    firing: bool
    """Whether it was told of the last firing."""
    recovery: tuple[str, ...]
    """The strategies that let the firing pass, and ask for its recovery."""
    delivery: str = ""
    """The id of the delivery that told it."""
    lost: bool = False
    """Whether that was given up."""


@dataclass(frozen=True, slots=True)
class Known:
    """Hold what is known of one alert, by its fingerprint."""

    firing: Firing = Firing.unknown
    notified: tuple[Notified, ...] = ()


Kind: TypeAlias = Literal["unmatched", "unheard_firing", "unconfigured", "repeated", "refused"]
"""Of the reasons why nobody hears of an alert: those that are counted. Refused is what could not be stored."""


@dataclass(frozen=True, slots=True)
class Held:
    """Say why nobody, or one receiver, is to hear of an alert."""

    reason: str
    receiver: str | None = None
    kind: Kind = field(default="refused", compare=False)


UNMATCHED: Final = Held("no strategy matched", kind="unmatched")


@dataclass(frozen=True, slots=True)
class Decision:
    """Say who is to hear of an alert, who is not and why, and what is known afterwards."""

    accepted: tuple[Choice, ...]
    held: tuple[Held, ...]
    known: Known


def choose(strategies: Iterable[Strategy], bodies: Mapping[str, str], *, resends: bool = False) -> list[Choice]:
    """Return one copy for each receiver and body, however many of these strategies name them.

    Args:
        strategies: that let an alert pass.
        bodies: each receiver's own body.
        resends: whether its source sends it again while it lasts; what others send twice happened twice.

    """
    chosen: dict[Copy, list[Strategy]] = {}
    for strategy in strategies:
        for receiver in dict.fromkeys(strategy.receivers):
            body = None if strategy.body == bodies[receiver] else strategy.body
            chosen.setdefault((receiver, body), []).append(strategy)
    return [
        Choice(
            copy,
            tuple(strategy.name for strategy in behind),
            _pause(behind, resends=resends),
            tuple(strategy.name for strategy in behind if strategy.asks_for(Status.recovered)),
            tuple(strategy.name for strategy in behind if not strategy.asks_for(Status.firing)),
        )
        for copy, behind in chosen.items()
    ]


def decide(alert: Alert, choices: Iterable[Choice], known: Known, receivers: Collection[str], now: float) -> Decision:
    """Decide who is to hear of an alert.

    Args:
        alert: what fired or recovered.
        choices: of the strategies that apply.
        known: of its fingerprint.
        receivers: of the configuration; who was told of the firing may be gone since.
        now: seconds since 1970-01-01 UTC.

    """
    if alert.status is Status.firing and known.firing is Firing.over:
        known = Known()  # it fires anew
    follows = follows_firing(alert, known)
    if follows:
        choices = _following(choices, known)
    told = {one.copy: one for one in known.notified}
    accepted, held = [], []
    for choice in choices:
        last = told.get(choice.copy)
        reason = _gone(choice, receivers) or _again(alert, choice, last, now)
        if reason is None:
            accepted.append(choice)
            told[choice.copy] = _told(alert, choice, last, now)
        else:
            kind: Kind = "repeated" if choice.receiver in receivers else "unconfigured"
            held.append(Held(reason, choice.receiver, kind))
            if last and kind == "repeated":  # a clock that was set back must not make the pause longer
                told[choice.copy] = replace(last, recovery=_recovery(alert, choice, last), at=min(last.at, now))
    if not accepted and not held:
        held.append(Held(_filtered_out(known), kind="unheard_firing") if follows else UNMATCHED)
    return Decision(tuple(accepted), tuple(held), Known(_firing(alert, known), tuple(told.values())))


def _following(choices: Iterable[Choice], known: Known) -> list[Choice]:
    """Return who heard of the firing and asks for its recovery, and who asks for recoveries alone."""
    following = {
        one.copy: Choice(one.copy, one.recovery, one.pause, one.recovery)
        for one in known.notified
        if one.firing and one.recovery
    }
    for choice in choices:
        if choice.alone:
            following.setdefault(choice.copy, replace(choice, strategies=choice.alone))
    return list(following.values())


def _told(alert: Alert, choice: Choice, last: Notified | None, now: float) -> Notified:
    before = last.trigger_times if last and last.status is alert.status and not last.lost else ()
    times = (*(time for time in before if time != alert.first_trigger_time), alert.first_trigger_time)
    firing = alert.status is Status.firing or (last is not None and last.firing)
    return Notified(
        copy=choice.copy,
        status=alert.status,
        priority=alert.priority,
        trigger_times=times[-_TIMES:],
        at=now,
        pause=choice.pause,
        firing=firing,
        recovery=_recovery(alert, choice, last),
    )


def _recovery(alert: Alert, choice: Choice, last: Notified | None) -> tuple[str, ...]:
    """Return the strategies that let the firing pass and ask for its recovery, now and before."""
    before = last.recovery if last and last.firing else ()
    now = choice.recovery if alert.status is Status.firing else ()
    return tuple(dict.fromkeys((*before, *now)))


def follows_firing(alert: Alert, known: Known) -> bool:
    """Say whether an alert is a recovery that goes where its firing went, and nowhere else."""
    return alert.status is Status.recovered and known.firing is not Firing.unknown


def _pause(strategies: Iterable[Strategy], *, resends: bool) -> float:
    repeats = [strategy.repeat for strategy in strategies]
    if resends:
        return min((repeat for repeat in repeats if repeat is not None), default=inf)
    return min(repeat or 0.0 for repeat in repeats)


def _gone(choice: Choice, receivers: Collection[str]) -> str | None:
    return None if choice.receiver in receivers else "it heard of the firing, and is configured no more"


def _again(alert: Alert, choice: Choice, last: Notified | None, now: float) -> str | None:
    """Return why the same is not told again; none if it is not the same, or told long enough ago."""
    if last is None or last.lost or last.status is not alert.status:
        return None
    if alert.first_trigger_time not in last.trigger_times:
        return None
    if alert.priority < last.priority or abs(now - last.at) >= choice.pause:  # the clock may have been set back
        return None
    again = "no strategy repeats it" if choice.pause == inf else f"it is repeated after {duration_text(choice.pause)}"
    return f"it heard of this at {datetime.fromtimestamp(last.at, UTC):%Y-%m-%d %H:%M:%S} UTC, and {again}"


def _filtered_out(known: Known) -> str:
    if any(one.firing for one in known.notified):
        return "the strategies that its firing passed ask for no recoveries"
    return "its firing was filtered out"


def _firing(alert: Alert, known: Known) -> Firing:
    if alert.status is Status.firing:
        return Firing.open
    if alert.status is Status.recovered and known.firing is Firing.open:
        return Firing.over
    return known.firing
