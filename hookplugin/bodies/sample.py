"""Alerts to try bodies with."""

from __future__ import annotations

from typing import Final

from hookspecs import Alert

_HOSTILE: Final = '"quotes" \\ {{ 7*7 }} {% x %} ${y} %s \u0000\u001f \u2028 <b>&amp;</b> \U0001f525 no .nan 0x1F'

SAMPLES: Final = (
    Alert(
        content="disk 95% full",
        target="linux.disk.usage",
        priority="critical",
        tags={"env": "prod", "instance": "db1:9100"},
        annotations={"summary": "disk 95% full"},
        first_trigger_time=1_767_323_045_678,
        gmt_create="2026-01-02T03:04:05",
    ),
    Alert(content="disk 40% full", status="recovered", tags={"env": "prod", "instance": "db1:9100"}),
    Alert(content="nothing but text"),
    Alert(content=_HOSTILE, target=_HOSTILE, tags={_HOSTILE: _HOSTILE, "number": 1e308, "none": None}),
)
"""Firing, recovered, with nothing but its content, and with hostile text."""
