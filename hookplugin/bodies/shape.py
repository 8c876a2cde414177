"""What templates see: the names, and the shape of what stands behind each, so that a typo is found at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hookspecs import Alert, Priority, Status


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """Say what is known of a value before there is one."""

    words: str
    """For people: `text`, `an alert`."""
    fields: Mapping[str, Shape] | None = None
    """What can be in it; anything, if none."""
    item: Shape | None = None
    """What a list consists of; none if it is no list, or nobody knows."""
    level: type[Enum] | None = None
    """What it is one of, if it may be compared with a name."""
    named: type[Enum] | None = None
    """What it is the name of one of."""
    example: str = ""
    """What to write instead, if it cannot be written whole."""

    @property
    def whole(self) -> bool:
        """Say whether it can be written as it is."""
        return not self.example


ANY: Final = Shape("anything")
UNKNOWN: Final = Shape("this", example="one of its fields, like .content")
"""Anything, and perhaps an alert."""
TEXT: Final = Shape("text", {})
NUMBER: Final = Shape("a number", {})
TIME: Final = Shape("a time", {})
MAP: Final = Shape("a map")
LIST: Final = Shape("a list", {}, ANY)
PAIRS: Final = Shape("a list of pairs", {}, Shape("a pair", {}, ANY))
STATUS_NAME: Final = Shape("the name of a status", {}, named=Status)
PRIORITY_NAME: Final = Shape("the name of a priority", {}, named=Priority)
PRIORITY: Final = Shape("a priority", {"name": PRIORITY_NAME}, level=Priority)
STATUS: Final = Shape("a status", {"name": STATUS_NAME}, level=Status)
TEXTS: Final = frozenset({TEXT, STATUS_NAME, PRIORITY_NAME})
LOOP: Final = Shape(
    "a loop",
    {"index": NUMBER, "index0": NUMBER, "length": NUMBER, "first": NUMBER, "last": NUMBER},
    example="loop.index",
)

_TEXTS: Final = {"content", "target", "source", "link", "group_key", "event_id", "fingerprint"}
_OTHERS: Final[Mapping[str, Shape]] = {
    "priority": PRIORITY,
    "status": STATUS,
    "tags": MAP,
    "annotations": MAP,
    "raw": ANY,
    "group": ANY,
    "gmt_create": TIME,
    "gmt_update": TIME,
}
ALERT: Final = Shape(
    "an alert",
    {name: TEXT if name in _TEXTS else _OTHERS.get(name, NUMBER) for name in Alert.model_fields},
    example="one of its fields, like .content",
)
ALERTS: Final = Shape("a list of alerts", {}, ALERT, example="for alert in alerts")

NAMES: Final[Mapping[str, Shape]] = {
    "alert": ALERT,
    "alerts": ALERTS,
    "firing": ALERTS,
    "recovered": ALERTS,
    "ranked": ALERTS,
    "headline": TEXT,
    "status": STATUS_NAME,
    "priority": PRIORITY,
    "common_tags": MAP,
    "common_annotations": MAP,
    "receiver": TEXT,
    "strategy": TEXT,
    "delivery": Shape("a delivery", {"id": TEXT}, example="delivery.id"),
    "now": TIME,
}
"""Every name but `vars`: secrets are no values, they are only put where they stand."""

FILTERED: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(("length", "count", "int", "float", "round"), NUMBER),
    "combine": MAP,
    "items": PAIRS,
    "map": LIST,
}
"""What filters give, where it is not text."""

ELSEWHERE: Final[Mapping[str, str]] = {
    "labels": "tags",
    "tag": "tags",
    "commonLabels": "common_tags",
    "common_labels": "common_tags",
    "severity": "priority.name",
    "level": "priority.name",
    "summary": "annotations.summary",
    "description": "annotations.description",
    "message": "content",
    "name": "target",
    "title": "target",
    "alertname": "target",
    "startsAt": "first_trigger_time",
    "starts_at": "first_trigger_time",
    "generatorURL": "link",
    "url": "link",
    "state": "status.name",
}
"""What other systems call a field of an alert, and how it is called here."""
