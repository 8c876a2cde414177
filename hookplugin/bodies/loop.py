"""Loops of templates, bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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

    def turns(self, scope: Scope) -> Iterator[Scope]:
        """Yield the scope as it is in each turn; afterwards it is as before.

        Raises:
            TooMuchError: loops turned too often in all.

        """
        names = (*self.targets, "loop")
        before = {name: scope[name] for name in names if name in scope}
        values = self.values(scope)
        items = values if isinstance(values, (list, tuple, dict)) else ()
        wanted = self._wanted(scope, islice(items, MOST_TURNS))
        for _ in self._numbered(scope, list(wanted)) if self.numbered else wanted:
            yield scope
        for name in names:
            scope.pop(name, None)
        scope.update(before)

    def _wanted(self, scope: Scope, items: Iterable[Any]) -> Iterator[Any]:
        """Yield what the condition wants; the scope has its names meanwhile."""
        condition, parts = self.condition, self.parts
        for item in items:
            scope.spend(parts)
            self._assign(scope, item)
            if condition is None or condition(scope):
                yield item

    def _numbered(self, scope: Scope, items: Sequence[Any]) -> Iterator[Any]:
        """Yield the same with `loop` in the scope, which has to know how many there are."""
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
        targets = self.targets
        values = (item,) if len(targets) == 1 else _values(item, len(targets))
        for name, value in zip(targets, values, strict=True):
            scope[name] = cut(value, scope.longest) if type(value) is str else value


def _values(item: object, count: int) -> Sequence[object]:
    """Return what an item gives to so many names; none for what it does not have."""
    if isinstance(item, tuple) and len(item) == count:
        return item
    given = item if isinstance(item, (list, tuple)) else ()
    return [*given[:count], *[None] * (count - len(given))]
