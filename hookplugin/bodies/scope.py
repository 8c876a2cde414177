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

_TURNS: Final = 100_000  # parts of templates that loops may render for one body: some 50 ms
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


class Scope(dict[str, Any]):
    """Hold the names that a template sees; those that follow from others are made when they are asked for."""

    __slots__ = ("longest", "room", "turns")

    def __init__(self, request_id: str, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Look at the deliveries of one request.

        Args:
            request_id: its `webhook-id`.
            deliveries: at least one.
            now: with a zone.

        """
        first = deliveries[0]
        super().__init__(
            alert=first.alert,
            alerts=[delivery.alert for delivery in deliveries],
            receiver=text(first.receiver),
            strategy=text(first.strategies[0]) if first.strategies else None,
            delivery={"id": request_id},
            now=now,
        )
        self.begin(LONGEST)

    def __missing__(self, name: str) -> object:
        value = self[name] = _DERIVED[name](self["alerts"])
        return value

    def begin(self, longest: int, room: int = LONGEST) -> None:
        """Begin a rendering.

        Args:
            longest: characters of a text that is inserted.
            room: bytes that the whole may have.

        """
        self.longest = longest
        self.room = room
        self.turns = _TURNS

    def spend(self, parts: int) -> None:
        """Count the turn of a loop.

        Raises:
            RenderError: there were too many.

        """
        self.turns -= parts
        if self.turns < 0:
            message = "its loops turn too often"
            raise RenderError(message)


def _most_urgent(alerts: Sequence[Alert]) -> Priority:
    """Return the priority of the most urgent alert that fires; of all, if none does."""
    firing = [alert.priority for alert in alerts if alert.status not in _OVER]
    return min(firing or [alert.priority for alert in alerts])


def _common(maps: Iterable[Mapping[str, object]]) -> dict[str, object]:
    first, *others = maps
    return {name: value for name, value in first.items() if all(_same(one, name, value) for one in others)}


def _same(other: Mapping[str, object], name: str, value: object) -> bool:
    return name in other and other[name] == value and type(other[name]) is type(value)  # True is no 1 here


_DERIVED: Final[Mapping[str, Callable[[Sequence[Alert]], object]]] = {
    "firing": lambda alerts: [alert for alert in alerts if alert.status not in _OVER],
    "recovered": lambda alerts: [alert for alert in alerts if alert.status in _OVER],
    "status": lambda alerts: "recovered" if all(alert.status in _OVER for alert in alerts) else "firing",
    "priority": _most_urgent,
    "common_tags": lambda alerts: _common(alert.tags for alert in alerts),
    "common_annotations": lambda alerts: _common(alert.annotations for alert in alerts),
}
