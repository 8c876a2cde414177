"""The index: an alert meets only the strategies that can match it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hookplugin.strategy.matchers import FIELDS, Matcher, PatternSet, Subject
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.selection import CompiledStrategy
from hookspecs import Alert, Priority, Status
from hookspecs.alert import tag_text

_PATTERN: Final = 8  # strategies that an alert is guessed to meet through one regular expression


@dataclass(frozen=True, slots=True)
class _Key:
    """Hold what an alert must have, or a strategy cannot match it: a text, or one that a pattern matches."""

    subject: Subject
    text: str
    is_pattern: bool = False


@dataclass(slots=True)
class _Asked:
    """Hold who asks for what of one tag, annotation or field, by the positions of strategies."""

    texts: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    patterns: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Index:
    """Find the strategies that apply to an alert, among many.

    Each strategy is filed under the rarest thing that it asks for; an alert meets those that are filed under what it
    has. They still check all they ask for, so that the index can only be slow, never wrong.
    """

    def __init__(self, strategies: Sequence[CompiledStrategy]) -> None:
        """File the strategies; their order is kept."""
        self._strategies: Final = tuple(strategies)
        self._asked: Final = defaultdict[Subject, _Asked](_Asked)
        self._others: Final = defaultdict[tuple[Priority, Status], list[int]](list)
        enabled = {
            position: _ways(compiled.strategy)
            for position, compiled in enumerate(strategies)
            if compiled.strategy.enabled
        }
        counts = Counter(key for ways in enabled.values() for way in ways for key in way)
        for position, ways in enabled.items():
            if ways:
                self._file(position, min(ways, key=lambda way: _cost(way, counts)))
            else:
                self._file_otherwise(position)
        self._patterns: Final = {
            subject: (PatternSet(tuple(asked.patterns)), tuple(asked.patterns.values()))
            for subject, asked in self._asked.items()
            if asked.patterns
        }
        self._kinds: Final = frozenset(kind for kind, _ in self._asked)

    def matching(self, alert: Alert, at: datetime) -> list[CompiledStrategy]:
        """Return the strategies that apply, in their order.

        Args:
            alert: what fired or recovered.
            at: when it was accepted, with a zone.

        """
        met = set(self._others.get((alert.priority, alert.status), ()))
        for subject, text in self._facts(alert):
            asked = self._asked.get(subject)
            if asked is None:
                continue
            met.update(asked.texts.get(text, ()))
            if subject in self._patterns:
                patterns, positions = self._patterns[subject]
                for number in patterns.matching(text):
                    met.update(positions[number])
        return [self._strategies[position] for position in sorted(met) if self._strategies[position].matches(alert, at)]

    def _file(self, position: int, way: Iterable[_Key]) -> None:
        for key in way:
            asked = self._asked[key.subject]
            (asked.patterns if key.is_pattern else asked.texts)[key.text].append(position)

    def _file_otherwise(self, position: int) -> None:
        strategy = self._strategies[position].strategy
        for priority in strategy.priorities or Priority:
            for status in filter(strategy.asks_for, Status):
                self._others[priority, status].append(position)

    def _facts(self, alert: Alert) -> Iterator[tuple[Subject, str]]:
        """Yield what the alert has, of the kinds that strategies ask for; what is empty is asked for by none."""
        if "tag" in self._kinds:
            for name, value in alert.tags.items():
                yield ("tag", name), tag_text(value)
        if "annotation" in self._kinds:
            for name, value in alert.annotations.items():
                yield ("annotation", name), tag_text(value)
        if "field" in self._kinds:
            for name, read in FIELDS.items():
                yield ("field", name), read(alert)


def _ways(strategy: Strategy) -> list[list[_Key]]:
    """Return the ways to find a strategy: of each, an alert has at least one key, or the strategy does not match.

    What is also there when it is missing (`!=`, `=""`, `=~".*"`) is no way to find it.
    """
    tags = [_Key(("tag", name), value) for name, value in strategy.tags.items() if value]
    if strategy.tags_mode == "any":
        ways = [tags] if tags and all(strategy.tags.values()) else []
    else:
        ways = [[key] for key in tags]
    return ways + [[key] for matcher in strategy.matchers if (key := _key(matcher))]


def _key(matcher: Matcher) -> _Key | None:
    if matcher.operator.startswith("!") or matcher.test(""):
        return None
    return _Key(matcher.subject, matcher.value, is_pattern=matcher.operator == "=~")


def _cost(way: Iterable[_Key], counts: Counter[_Key]) -> int:
    """Guess how many strategies are met this way."""
    return sum(max(counts[key], _PATTERN if key.is_pattern else 1) for key in way)
