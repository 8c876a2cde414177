"""Alerts to try bodies with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hookspecs import Alert

_HOSTILE: Final = '"quotes" \\ {{ 7*7 }} {% x %} ${y} %s \u0000\u001f \u2028 <b>&amp;</b> \U0001f525 no .nan 0x1F'

FIRING: Final = Alert(
    content="disk 95% full",
    target="linux.disk.usage",
    priority="critical",
    tags={"env": "prod", "instance": "db1:9100"},
    annotations={"summary": "disk 95% full"},
    first_trigger_time=1_767_323_045_678,
    gmt_create="2026-01-02T03:04:05",
)
_RECOVERED: Final = Alert(
    content="disk 40% full",
    target="linux.disk.usage",
    status="recovered",
    tags={"env": "prod", "instance": "db1:9100"},
    first_trigger_time=1_767_323_045_678,
    last_trigger_time=1_767_326_645_678,
)
_BARE: Final = Alert(content="nothing but text")
_UNFRIENDLY: Final = Alert(content=_HOSTILE, target=_HOSTILE, tags={_HOSTILE: _HOSTILE, "number": 1e308, "none": None})

SAMPLES: Final[Mapping[str, tuple[Alert, ...]]] = {
    "an alert that fires": (FIRING,),
    "a recovery": (_RECOVERED,),
    "an alert with nothing but its content": (_BARE,),
    "an alert with hostile text": (_UNFRIENDLY,),
    "a batch": (FIRING, _RECOVERED, _BARE, _UNFRIENDLY),
}
"""What bodies are tried with, and what to call it."""
