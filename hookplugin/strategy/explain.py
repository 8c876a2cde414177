"""Explanations: why an alert goes to whom, and why not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hookplugin.problems import nearest
from hookplugin.strategy.matchers import Matcher, Subject
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.notify import Decision, Known, choose, decide, follows_firing
from hookplugin.strategy.selection import CompiledStrategy, Verdict
from hookspecs import Alert, Priority, Status
from hookspecs.frozen import Frozen

_FIELDS: Final[Mapping[str, str]] = {
    "severity": "alert.priority",
    "priority": "alert.priority",
    "status": "alert.status",
    "target": "alert.target",
    "alertname": "alert.target",
    "content": "alert.content",
    "source": "alert.source",
}
"""Tags that people look for where a source has none, and the field that says it instead."""


@dataclass(frozen=True, slots=True)
class TagsSeen:
    """Hold what tags the recent alerts of one source had."""

    alerts: int = 0
    """How many there were."""
    names: frozenset[str] = frozenset()


class StrategyExplanation(Frozen):
    """Say what one strategy makes of an alert."""

    strategy: str
    matched: bool
    reason: str | None = None
    """The first reason why not, with the expected and the actual value; of a recovery also why it matches."""
    failures: tuple[str, ...] = ()
    """The filters that raised, and counted as matched."""
    impossible: tuple[str, ...] = ()
    """What it asks for that no such alert can have."""


class ReceiverExplanation(Frozen):
    """Say what one receiver would get of an alert."""

    receiver: str
    body: str | None = None
    """The name of the body that it would get; none if it would get nothing."""
    strategies: tuple[str, ...] = ()
    """The strategies that choose it."""
    reason: str | None = None
    """Why it would get nothing."""


class Explanation(Frozen):
    """Say who would hear of an alert, who would not, and why."""

    alert: Alert
    at: datetime
    """The time that was asked about."""
    strategies: tuple[StrategyExplanation, ...] = ()
    """Every strategy, in the order of the configuration."""
    receivers: tuple[ReceiverExplanation, ...] = ()
    """Every receiver, in the order of the configuration; one that would get two bodies stands twice."""
    unassociated: tuple[str, ...] = ()
    """The receivers that no enabled strategy names: they hear of nothing."""
    notes: tuple[str, ...] = ()
    """What else may explain it."""


def explain(  # noqa: PLR0913, PLR0917 - each is another piece of evidence
    alert: Alert,
    at: datetime,
    strategies: Sequence[CompiledStrategy],
    bodies: Mapping[str, str],
    known: Known,
    seen: TagsSeen,
    *,
    resends: bool = False,
) -> Explanation:
    """Ask every strategy about an alert.

    Args:
        alert: what fired or recovered, or would.
        at: when, with a zone.
        strategies: all of the configuration.
        bodies: each receiver's own body.
        known: of the alert's fingerprint.
        seen: of the tags of recent alerts of this source.
        resends: whether the alert's source sends it again while it lasts.

    """
    verdicts = [strategy.judge(alert, at) for strategy in strategies]
    choices = choose((verdict.strategy for verdict in verdicts if verdict.matched), bodies, resends=resends)
    decision = decide(alert, choices, known, bodies, at.timestamp())
    named = named_receivers(compiled.strategy for compiled in strategies)
    follows = follows_firing(alert, known)
    heard = {name for one in known.notified if one.firing for name in one.recovery} if follows else None
    otherwise = "its firing did not go there" if follows else "no strategy that matches names it"
    reasons = {receiver: otherwise if receiver in named else "no enabled strategy names it" for receiver in bodies}
    return Explanation(
        alert=alert,
        at=at,
        strategies=tuple(_strategy(verdict, alert, heard, seen) for verdict in verdicts),
        receivers=tuple(
            one
            for receiver, reason in reasons.items()
            for one in _receiver(receiver, bodies[receiver], decision, reason)
        ),
        unassociated=tuple(receiver for receiver in bodies if receiver not in named),
        notes=tuple(_renamed(known, {compiled.strategy.name for compiled in strategies})) if follows else (),
    )


def named_receivers(strategies: Iterable[Strategy]) -> set[str]:
    """Return the receivers that enabled strategies name; no other hears of anything."""
    return {receiver for strategy in strategies if strategy.enabled for receiver in strategy.receivers}


def contradictions(strategy: Strategy) -> Iterator[str]:
    """Yield what of a strategy no alert can have, whatever its source."""
    needed: dict[Subject, tuple[str, str]] = {}
    if strategy.tags_mode == "all":
        needed = {("tag", name): (value, f'the tag {name}: "{value}"') for name, value in strategy.tags.items()}
    for matcher in strategy.matchers:
        if matcher.operator == "=":
            needed.setdefault(matcher.subject, (matcher.value, str(matcher)))
    priorities = strategy.priorities or tuple(Priority)
    possible: dict[Subject, list[str]] = {
        ("field", "priority"): [priority.name for priority in priorities],
        ("field", "status"): [status.name for status in filter(strategy.asks_for, Status)],
    }
    for matcher in strategy.matchers:
        if matcher.subject in needed and not matcher.test(needed[matcher.subject][0]):
            yield f"{matcher} can never match beside {needed[matcher.subject][1]}"
        if matcher.subject in possible and not any(map(matcher.test, possible[matcher.subject])):
            yield f"{matcher} can never match: {matcher.subject[1]} is one of {', '.join(possible[matcher.subject])}"


def _strategy(verdict: Verdict, alert: Alert, heard: Collection[str] | None, seen: TagsSeen) -> StrategyExplanation:
    """Explain a verdict; of a recovery that follows its firing, by the strategies that heard of that."""
    strategy, matched, reason = verdict.strategy, verdict.matched, verdict.reason
    if heard is not None and strategy.asks_for(Status.firing):
        matched = strategy.name in heard
        if matched:
            though = "" if strategy.enabled else ", though it is disabled"
            reason = f"it let the firing pass, and its recovery follows{though}"
        elif strategy.enabled and strategy.asks_for(Status.recovered):
            reason = "its firing was filtered out"
    impossible: tuple[str, ...] = ()
    if strategy.enabled and not matched:
        impossible = (*contradictions(strategy), *_never_tagged(strategy, alert, seen))
    return StrategyExplanation(
        strategy=strategy.name, matched=matched, reason=reason, failures=verdict.failures, impossible=impossible
    )


def _receiver(receiver: str, body: str, decision: Decision, otherwise: str) -> Iterator[ReceiverExplanation]:
    accepted = [choice for choice in decision.accepted if choice.receiver == receiver]
    for choice in accepted:
        yield ReceiverExplanation(receiver=receiver, body=choice.body or body, strategies=choice.strategies)
    held = [one.reason for one in decision.held if one.receiver == receiver]
    for reason in held or ([] if accepted else [otherwise]):
        yield ReceiverExplanation(receiver=receiver, reason=reason)


def _renamed(known: Known, names: Collection[str]) -> Iterator[str]:
    """Yield where a recovery goes because of strategies that are configured no more, at least under their names."""
    for one in known.notified:
        gone = [name for name in one.recovery if name not in names]
        if one.firing and gone:
            them = ", ".join(map(repr, gone))
            yield f"{one.copy[0]!r} heard of the firing by {them}, configured no more; its recovery follows"


def _never_tagged(strategy: Strategy, alert: Alert, seen: TagsSeen) -> Iterator[str]:
    """Yield what asks for a tag that alerts of this source do not have, as far as is known."""
    asked = [(name, f'the tag {name}: "{value}"') for name, value in strategy.tags.items() if value]
    asked += [(matcher.subject[1], str(matcher)) for matcher in strategy.matchers if _needs_tag(matcher)]
    source = f"from {alert.source!r}" if alert.source else "without a source"
    for name, written in asked:
        if name in alert.tags or name in seen.names:
            continue
        if name in _FIELDS:
            yield f"{written} can never match: alerts {source} have no such tag; did you mean {_FIELDS[name]}?"
        elif seen.alerts:
            others = {*alert.tags, *seen.names}
            hint = nearest(name, others) if others else ""
            yield f"{written}: no alert {source} has that tag, of {seen.alerts} seen{hint}"


def _needs_tag(matcher: Matcher) -> bool:
    return matcher.subject[0] == "tag" and not matcher.test("")
