"""The scope: what one rendering sees, and what it may spend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from hookplugin.problems import Path, path_text
from hookspecs import Alert, Delivery, Priority, Status
from hookspecs.frozen import text

LONGEST: Final = 64 * 1024
"""Characters of a text that is inserted, unless less fits."""
_PER_ITEM: Final = 8  # parts that are rendered in the time that an item takes
PER_PART: Final = 32
"""Characters that a filter changes in the time of one part."""

_EFFORT: Final = 500_000  # parts of templates that loops may render for one body: some 250 ms
_OVER: Final = frozenset({Status.recovered, Status.processed})


class RenderError(Exception):
    """Say why a body cannot be made; never with a value of an alert, for it may be sent."""

    def __init__(self, message: str = "it cannot be made") -> None:
        """Hold the message."""
        super().__init__(message)
        self.path: Path = ()
        """Where, as far as those who passed it on have said."""

    def __str__(self) -> str:
        """Write where, and why."""
        message = super().__str__()
        return f"{path_text(self.path)}: {message}" if self.path else message


class TooLargeError(RenderError):
    """Say that a body does not fit, however short its texts are cut."""


class TooMuchError(TooLargeError):
    """Say that a body takes too long to make; half of a batch may not."""

    def __init__(self) -> None:
        """Hold the message."""
        super().__init__("its loops and filters have too much to do")


class Scope(dict[str, Any]):
    """Hold the names that a template sees; those that follow from others are made when they are asked for."""

    __slots__ = ("_given", "effort", "longest", "room")

    def __init__(self, request_id: str, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Look at the deliveries of one request.

        Args:
            request_id: its `webhook-id`.
            deliveries: at least one.
            now: with a zone.

        """
        first = deliveries[0]
        super().__init__()
        self._given: Final[Mapping[str, object]] = {
            "alert": first.alert,
            "alerts": [delivery.alert for delivery in deliveries],
            "receiver": text(first.receiver),
            "strategy": text(first.strategies[0]) if first.strategies else None,
            "delivery": {"id": request_id},
            "now": now,
        }
        self.begin(LONGEST)

    def __missing__(self, name: str) -> object:
        value = self[name] = _DERIVED[name](self["alerts"])
        return value

    def begin(self, longest: int, room: int = LONGEST) -> None:
        """Begin a rendering; what the last one left is forgotten, for it may have ended within a loop.

        Args:
            longest: characters of a text that is inserted.
            room: bytes that the whole may have.

        """
        self.clear()
        self.update(self._given)
        self.longest = longest
        self.room = room
        self.effort = _EFFORT

    def spend(self, parts: int) -> None:
        """Count the parts of a template that a loop renders.

        Raises:
            TooMuchError: there were too many.

        """
        self.effort -= parts
        if self.effort < 0:
            raise TooMuchError

    def handle(self, value: object) -> None:
        """Count what it costs to go through a text, a list or a map.

        Raises:
            TooMuchError: it was too much in all.

        """
        if isinstance(value, str):
            self.spend(len(value) // PER_PART)
        elif isinstance(value, (list, tuple, dict)):
            self.spend(_PER_ITEM * len(value))

    def take(self, length: int) -> None:
        """Take room for a text of so many characters.

        Raises:
            TooLargeError: there is not so much.

        """
        self.room -= length
        if self.room < 0:
            raise TooLargeError


def _most_urgent(alerts: Sequence[Alert]) -> Priority:
    """Return the priority of the most urgent alert that fires; of all, if none does."""
    firing = [alert.priority for alert in alerts if alert.status not in _OVER]
    return min(firing or [alert.priority for alert in alerts])


def _common(maps: Iterable[Mapping[str, object]]) -> dict[str, object]:
    first, *others = maps
    return {name: value for name, value in first.items() if all(_same(one, name, value) for one in others)}


def _same(other: Mapping[str, object], name: str, value: object) -> bool:
    return name in other and other[name] == value and type(other[name]) is type(value)  # True is no 1 here


def _headline(alerts: Sequence[Alert]) -> str:
    over = sum(alert.status in _OVER for alert in alerts)
    counts = {"firing": len(alerts) - over, "recovered": over}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


_DERIVED: Final[Mapping[str, Callable[[Sequence[Alert]], object]]] = {
    "firing": lambda alerts: [alert for alert in alerts if alert.status not in _OVER],
    "recovered": lambda alerts: [alert for alert in alerts if alert.status in _OVER],
    "ranked": lambda alerts: sorted(alerts, key=lambda alert: (alert.status in _OVER, alert.priority)),
    "headline": _headline,
    "status": lambda alerts: "recovered" if all(alert.status in _OVER for alert in alerts) else "firing",
    "priority": _most_urgent,
    "common_tags": lambda alerts: _common(alert.tags for alert in alerts),
    "common_annotations": lambda alerts: _common(alert.annotations for alert in alerts),
}
