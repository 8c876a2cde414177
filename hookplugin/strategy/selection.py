"""Selection: whether a strategy lets an alert pass, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from hookplugin.isolation import OfferError
from hookplugin.strategy.matchers import Matcher, compile_pattern
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.schedule import DAYS, is_night, is_open, schedule_text
from hookspecs import Alert, Filter
from hookspecs.alert import tag_text


@dataclass(frozen=True, slots=True)
class Condition:
    """Hold one of the things that a strategy asks for."""

    holds: Callable[[Alert, datetime], bool]
    reason: Callable[[Alert, datetime], str]
    """Says why it does not hold, with the expected and the actual value."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what one strategy makes of one alert."""

    strategy: Strategy
    reason: str | None
    """The first reason why it does not apply; none if it does."""
    failures: tuple[str, ...] = ()
    """The filters that raised, and counted as matched."""

    @property
    def matched(self) -> bool:
        """Say whether the strategy applies."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class CompiledStrategy:
    """Hold a strategy with its conditions, the cheapest first, and its filters."""

    strategy: Strategy
    conditions: tuple[Condition, ...]
    filters: tuple[tuple[str, Filter], ...] = ()

    def matches(self, alert: Alert, at: datetime) -> bool:
        """Say whether the strategy applies; a filter that fails counts as matched.

        Args:
            alert: what fired or recovered.
            at: when it was accepted, with a zone.

        """
        for condition in self.conditions:
            if not condition.holds(alert, at):
                return False
        return not self.filters or self._ask(alert)[0] is None

    def judge(self, alert: Alert, at: datetime) -> Verdict:
        """Say whether the strategy applies, and the first reason why not."""
        for condition in self.conditions:
            if not condition.holds(alert, at):
                return Verdict(self.strategy, condition.reason(alert, at))
        return Verdict(self.strategy, *self._ask(alert))

    def _ask(self, alert: Alert) -> tuple[str | None, tuple[str, ...]]:
        """Ask the filters in turn, until one says no; return why, and which of them failed."""
        failures: list[str] = []
        for name, predicate in self.filters:
            try:
                if not predicate(alert):
                    return f"the filter {name} said no", tuple(failures)
            except OfferError as error:
                failures.append(f"the filter {name} failed and counts as matched: {error}")
        return None, tuple(failures)


def compile_strategy(strategy: Strategy, filters: Mapping[str, Filter], timezone: tzinfo | None) -> CompiledStrategy:
    """Turn a strategy into conditions.

    Args:
        strategy: as configured.
        filters: what plugins offer, with every filter that the strategy names.
        timezone: of its schedule, if it names none; None is the machine's.

    """
    if not strategy.enabled:
        return CompiledStrategy(strategy, (Condition(lambda _alert, _at: False, lambda _alert, _at: "disabled"),))
    conditions = () if strategy.match_all else tuple(_conditions(strategy, timezone))
    return CompiledStrategy(strategy, conditions, tuple((name, filters[name]) for name in strategy.filters))


def _conditions(strategy: Strategy, timezone: tzinfo | None) -> Iterable[Condition]:
    if strategy.statuses:
        yield _status(strategy)
    if strategy.priorities:
        yield _priority(strategy)
    tags = [_tag(name, expected) for name, expected in strategy.tags.items()]
    yield from [_any(tags)] if tags and strategy.tags_mode == "any" else tags
    yield from map(_matcher, strategy.matchers)
    if strategy.days or strategy.period:
        yield _schedule(strategy, strategy.timezone or timezone)


def _among(kind: str, actual: str, names: Sequence[str]) -> str:
    return f"{kind} {actual} is not in [{', '.join(names)}]"


def _status(strategy: Strategy) -> Condition:
    allowed, names = frozenset(strategy.statuses), [status.name for status in strategy.statuses]
    return Condition(
        lambda alert, _: alert.status in allowed,
        lambda alert, _: _among("status", alert.status.name, names),
    )


def _priority(strategy: Strategy) -> Condition:
    allowed, names = frozenset(strategy.priorities), [priority.name for priority in strategy.priorities]
    return Condition(
        lambda alert, _: alert.priority in allowed,
        lambda alert, _: _among("priority", alert.priority.name, names),
    )


def _tag(name: str, expected: str) -> Condition:
    return Condition(
        lambda alert, _: tag_text(alert.tags.get(name)) == expected,
        lambda alert, _: _tag_reason(name, alert, expected),
    )


def _any(conditions: Sequence[Condition]) -> Condition:
    return Condition(
        lambda alert, at: any(condition.holds(alert, at) for condition in conditions),
        lambda alert, at: "; ".join(condition.reason(alert, at) for condition in conditions),
    )


def _tag_reason(name: str, alert: Alert, expected: str) -> str:
    if name not in alert.tags:
        return f'tag {name} is missing, not "{expected}"'
    return f'tag {name} is "{tag_text(alert.tags[name])}", not "{expected}"'


def _matcher(matcher: Matcher) -> Condition:
    test, read = matcher.test, matcher.read

    def reason(alert: Alert, _: datetime) -> str:
        text = read(alert)
        if not text:
            return f"{matcher} does not match: missing"
        partly = matcher.operator == "=~" and compile_pattern(matcher.value).search(text)
        return f'{matcher} does not match {"all of " if partly else ""}"{text}"'

    return Condition(lambda alert, _: test(read(alert)), reason)


def _schedule(strategy: Strategy, timezone: tzinfo | None) -> Condition:
    days, period = frozenset(strategy.days), strategy.period

    def reason(_: Alert, at: datetime) -> str:
        local = at.astimezone(timezone)
        day = DAYS[local.weekday()].capitalize()  # %a would speak the language of the host
        written = f"{day} {local:%H:%M} {timezone or local.tzname()} is outside {schedule_text(days, period)}"
        if period and days and is_night(period, local):
            written += f"; it belongs to the night of {DAYS[local.weekday() - 1]}"
        return written

    return Condition(lambda _, at: is_open(days, period, at.astimezone(timezone)), reason)
