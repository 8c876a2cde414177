"""Selection: which strategies let an alert pass, and why the others do not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TypeAlias

from hookplugin.isolation import contain, describe
from hookplugin.strategy.matchers import Matcher
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.schedule import DAYS, is_open, schedule_text
from hookspecs import Alert, Filter
from hookspecs.alert import tag_text

_log = logging.getLogger("hookplugin")

Condition: TypeAlias = Callable[[Alert, datetime], str | None]
"""Returns why the alert does not pass, in words; none if it does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what one strategy makes of one alert."""

    strategy: Strategy
    reason: str | None
    """The first reason why it does not apply; none if it does."""

    @property
    def matched(self) -> bool:
        """Say whether the strategy applies."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class CompiledStrategy:
    """Hold a strategy with its conditions, the cheapest first."""

    strategy: Strategy
    conditions: tuple[Condition, ...]

    def judge(self, alert: Alert, at: datetime) -> Verdict:
        """Ask the conditions in turn, until one does not hold.

        Args:
            alert: what fired or recovered.
            at: when it was accepted, with a zone.

        """
        reasons = (condition(alert, at) for condition in self.conditions)
        return Verdict(self.strategy, next((reason for reason in reasons if reason is not None), None))


def compile_strategy(strategy: Strategy, filters: Mapping[str, Filter], timezone: tzinfo | None) -> CompiledStrategy:
    """Turn a strategy into conditions.

    Args:
        strategy: as configured.
        filters: what plugins offer, with every filter that the strategy names.
        timezone: of its schedule, if it names none; None is the machine's.

    """
    if not strategy.enabled:
        return CompiledStrategy(strategy, (lambda _alert, _at: "disabled",))
    if strategy.match_all:
        return CompiledStrategy(strategy, ())
    conditions: list[Condition] = []
    if strategy.statuses:
        conditions.append(_status(strategy))
    if strategy.priorities:
        conditions.append(_priority(strategy))
    if strategy.tags:
        conditions.append(_tags(strategy))
    conditions += [_matcher(matcher) for matchers in strategy.match for matcher in matchers]
    if strategy.days or strategy.period:
        conditions.append(_schedule(strategy, strategy.timezone or timezone))
    conditions += [_filter(strategy.name, name, filters[name]) for name in strategy.filters]
    return CompiledStrategy(strategy, tuple(conditions))


def receivers_of(verdicts: Iterable[Verdict], bodies: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the strategies that matched by (receiver, body): one copy for each, however many strategies matched.

    Args:
        verdicts: of all strategies.
        bodies: each receiver's own body, for strategies that name none.

    """
    chosen: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        if verdict.matched:
            strategy = verdict.strategy
            for receiver in dict.fromkeys(strategy.receivers):
                chosen.setdefault((receiver, strategy.body or bodies[receiver]), []).append(strategy.name)
    return {key: tuple(names) for key, names in chosen.items()}


def _among(kind: str, actual: str, names: Sequence[str]) -> str:
    return f"{kind} {actual} is not in [{', '.join(names)}]"


def _status(strategy: Strategy) -> Condition:
    allowed, names = frozenset(strategy.statuses), [status.name for status in strategy.statuses]
    return lambda alert, _: None if alert.status in allowed else _among("status", alert.status.name, names)


def _priority(strategy: Strategy) -> Condition:
    allowed, names = frozenset(strategy.priorities), [priority.name for priority in strategy.priorities]
    return lambda alert, _: None if alert.priority in allowed else _among("priority", alert.priority.name, names)


def _tags(strategy: Strategy) -> Condition:
    def condition(alert: Alert, _: datetime) -> str | None:
        wrong = [
            _tag_reason(name, alert, expected)
            for name, expected in strategy.tags.items()
            if tag_text(alert.tags.get(name)) != expected
        ]
        if not wrong or (strategy.tags_mode == "any" and len(wrong) < len(strategy.tags)):
            return None
        return "; ".join(wrong) if strategy.tags_mode == "any" else wrong[0]

    return condition


def _tag_reason(name: str, alert: Alert, expected: str) -> str:
    if name not in alert.tags:
        return f'tag {name} is missing, not "{expected}"'
    return f'tag {name} is "{tag_text(alert.tags[name])}", not "{expected}"'


def _matcher(matcher: Matcher) -> Condition:
    def condition(alert: Alert, _: datetime) -> str | None:
        if matcher.matches(alert):
            return None
        return f'{matcher} does not match "{matcher.read(alert)}"'

    return condition


def _schedule(strategy: Strategy, timezone: tzinfo | None) -> Condition:
    days, period = frozenset(strategy.days), strategy.period

    def condition(_: Alert, at: datetime) -> str | None:
        local = at.astimezone(timezone)
        if is_open(days, period, local):
            return None
        day = DAYS[local.weekday()].capitalize()  # %a would speak the language of the host
        return f"{day} {local:%H:%M} {timezone or local.tzname()} is outside {schedule_text(days, period)}"

    return condition


def _filter(strategy: str, name: str, predicate: Filter) -> Condition:
    def condition(alert: Alert, _: datetime) -> str | None:
        try:
            return None if _truth(predicate(alert)) else f"the filter {name} said no"
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
            contain(error)
            _log.warning(
                "the filter %r of strategy %r failed and counts as matched: %s", name, strategy, describe(error)
            )
            return None

    return condition


def _truth(answer: object) -> bool:
    if answer is None:  # somebody forgot to return
        message = "it returned nothing, neither true nor false"
        raise TypeError(message)
    return bool(answer)
