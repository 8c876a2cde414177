"""What the commands print."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Return the console for standard output as it is now."""
    return Console(highlight=False)


def plain_table(*columns: str) -> Table:
    """Return a table without lines, which still reads well in a log."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON has no narrower type
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
