"""Schedules: on which days and between which minutes a strategy applies, by the clock on the wall."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

DAY_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAYS: Final = tuple(name[:3] for name in DAY_NAMES)

_PERIOD: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*[-\u2013]\s*([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """Last from the start of one minute of the day to the end of another, over midnight if it is not later."""

    first: int
    """Minute of the day, 0 to 1439."""
    last: int
    """Minute of the day, 0 to 1439."""

    def __str__(self) -> str:
        """Write the period as people read it."""
        return "\u2013".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.first, self.last))


def parse_period(text: str) -> Period:
    """Parse `HH:MM-HH:MM`.

    Raises:
        ValueError: it is not a period.

    """
    found = _PERIOD.fullmatch(text.strip())
    if not found:
        message = 'not a period; write "HH:MM-HH:MM", from 00:00 to 23:59'
        raise ValueError(message)
    from_hour, from_minute, to_hour, to_minute = map(int, found.groups())
    return Period(from_hour * 60 + from_minute, to_hour * 60 + to_minute)


def is_open(days: Collection[str], period: Period | None, local: datetime) -> bool:
    """Say whether a schedule is open at a local time; no days are all days, no period is the whole day.

    A night belongs to the day on which it began.
    """
    weekday = local.weekday()
    today = not days or DAYS[weekday] in days
    if period is None:
        return today
    minute = local.hour * 60 + local.minute
    if period.first < period.last:
        return today and period.first <= minute <= period.last
    yesterday = not days or DAYS[weekday - 1] in days
    last = period.last - 1 if period.first == period.last else period.last  # 24 h, not a minute more
    return (today and minute >= period.first) or (yesterday and minute <= last)


def is_night(period: Period, local: datetime) -> bool:
    """Say whether a local time is in the part of a period that began the day before."""
    return period.first > period.last and local.hour * 60 + local.minute <= period.last


def schedule_text(days: Collection[str], period: Period | None) -> str:
    """Write a schedule as people read it: `mon–fri 09:00–17:00`."""
    runs: list[list[str]] = []
    for index, day in enumerate(DAYS):
        if day in days:
            if runs and runs[-1][-1] == DAYS[index - 1]:
                runs[-1].append(day)
            else:
                runs.append([day])
    written = ", ".join(run[0] if len(run) == 1 else f"{run[0]}\u2013{run[-1]}" for run in runs)
    return " ".join(part for part in (written, str(period) if period else "") if part)
