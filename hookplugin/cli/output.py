"""What the commands print."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hookplugin.delivery.deliverer import outcome_text
from hookspecs import Alert, Outcome, Priority, Status
from hookspecs.alert import tag_text

_LONGEST: Final = 160  # characters
_PRIORITY_COLORS: Final = {Priority.emergency: "red", Priority.critical: "dark_orange", Priority.warning: "yellow"}

_STATE_COLORS: Final = {
    "delivered": "green",
    "accepted": "green",
    "pending": "yellow",
    "dead": "red",
    "forgotten": "dim",
}


def console() -> Console:
    """Return the console for standard output as it is now."""
    return Console(highlight=False, emoji=False)


def plain_table(*columns: str) -> Table:
    """Return a table without lines, which still reads well in a log."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def clean(text: str, longest: int = _LONGEST) -> str:
    """Return a text of somebody else's as it may stand on a terminal: one line, not endless, nothing that controls."""
    line = " ".join(text.split())
    line = line if len(line) <= longest else f"{line[:longest]}…"
    line = f"{line} " if line.endswith("\\") else line  # it would escape the markup behind it
    return escape("".join(one if one.isprintable() else "\ufffd" for one in line))


def status_text(status: Status, priority: Priority) -> str:
    """Write how an alert stands."""
    color = "green" if status is Status.recovered else _PRIORITY_COLORS[priority]
    return f"[{color}]● {status.name}, {priority.name}[/]"


def state_text(state: str, outcome: Outcome | None) -> str:
    """Write how a delivery stands: its outcome, or what it is without one."""
    return f"[{_STATE_COLORS[state]}]{clean(outcome_text(outcome)) if outcome else state}[/]"


def attempt_text(reason: str | None, status: int | None, detail: str | None) -> str:
    """Write what came of an attempt in one line; the caller makes it safe for a terminal."""
    line = ", ".join(str(word) for word in (reason, status) if word is not None)
    return f"{line}: {detail}" if detail else line


def alert_text(alert: Alert) -> str:
    """Write what an alert is, and on a line of its own what tells it from others."""
    first = f"{status_text(alert.status, alert.priority)}  {clean(alert.content)}"
    tags = [f"{name}={tag_text(value)}" for name, value in alert.tags.items() if value != alert.target]
    marks = clean(" ".join([alert.target or "", *tags]))
    return f"{first}\n[dim]{marks}[/]" if marks else first


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON has no narrower type
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
