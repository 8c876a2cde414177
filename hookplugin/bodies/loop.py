"""Loops of templates, bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from hookplugin.bodies.plain import cut
from hookplugin.bodies.scope import Scope

MOST_TURNS: Final = 500
"""Turns of a loop: as many as a batch may hold alerts."""


@dataclass(slots=True)
class Loop:
    """Hold the head of a loop: what it goes through, and how each turn is called."""

    values: Callable[[Scope], Any]
    condition: Callable[[Scope], Any] | None
    targets: tuple[str, ...]
    parts: int
    """Of the template, that each turn renders."""
    numbered: bool = True
    """Whether the template speaks of `loop`."""
    shadowed: tuple[str, ...] = ()
    """Its names that mean something else outside."""

    def turns(self, scope: Scope) -> Iterator[object]:
        """Yield for each turn, while the scope has its names; afterwards those that it shadows are as before.

        Raises:
            TooMuchError: loops turned too often in all.

        """
        turns = self._numbered(scope) if self.numbered else self._wanted(scope)
        return self._restored(scope, turns) if self.shadowed else turns

    def _restored(self, scope: Scope, turns: Iterator[object]) -> Iterator[object]:
        before = {name: scope[name] for name in self.shadowed if name in scope}
        yield from turns
        for name in self.shadowed:
            scope.pop(name, None)
        scope.update(before)

    def _wanted(self, scope: Scope) -> Iterator[object]:
        """Yield what the condition wants; the scope has its names meanwhile."""
        condition, parts = self.condition, self.parts
        values = self.values(scope)
        for item in islice(values, MOST_TURNS) if isinstance(values, (list, tuple, dict)) else ():
            scope.spend(parts)
            self._assign(scope, item)
            if condition is None or condition(scope):
                yield item

    def _numbered(self, scope: Scope) -> Iterator[object]:
        """Yield the same with `loop` in the scope, which has to know how many there are."""
        items = list(self._wanted(scope))
        for index, item in enumerate(items):
            self._assign(scope, item)
            scope["loop"] = {
                "index": index + 1,
                "index0": index,
                "first": index == 0,
                "last": index == len(items) - 1,
                "length": len(items),
            }
            yield item

    def _assign(self, scope: Scope, item: object) -> None:
        targets, longest = self.targets, scope.longest
        values = (item,) if len(targets) == 1 else _values(item, len(targets))
        for name, value in zip(targets, values):  # noqa: B905 - as many; `strict` costs 3 % of a body
            scope[name] = cut(value, longest) if type(value) is str and len(value) > longest else value


def _values(item: object, count: int) -> Sequence[object]:
    """Return what an item gives to so many names; none for what it does not have."""
    if isinstance(item, tuple) and len(item) == count:
        return item
    given = item if isinstance(item, (list, tuple)) else ()
    return [*given[:count], *[None] * (count - len(given))]
