"""Schedules, by the clock on the wall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookplugin.strategy.schedule import DAYS, Period, is_open, parse_period, schedule_text

MINUTE = timedelta(minutes=1)
MINUTES_OF_A_DAY = st.integers(0, 1439)
PERIODS = st.builds(Period, MINUTES_OF_A_DAY, MINUTES_OF_A_DAY)


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    """Read a local time like `fri 22:00`, of the week that begins on 2026-11-23."""
    day, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"2026-11-{23 + DAYS.index(day)}T{clock}").replace(tzinfo=ZoneInfo(zone))


def opened(days: Sequence[str], period: str | None, when: str) -> bool:
    return is_open(days, parse_period(period) if period else None, at(when))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("thu 22:00", False),
        ("fri 03:00", False),
        ("fri 06:00", False),
        ("fri 21:59", False),
        ("fri 22:00", True),
        ("fri 23:59", True),
        ("sat 00:00", True),
        ("sat 06:00:59", True),
        ("sat 06:01", False),
        ("sat 22:00", False),
        ("sun 03:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_began(when: str, *, expected: bool) -> None:
    assert opened(["fri"], "22:00-06:00", when) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [("sun 22:00", True), ("mon 05:00", True), ("mon 22:00", False), ("sun 05:00", False)],
)
def test_the_night_of_the_last_day_of_the_week_ends_on_the_first_of_the_next(when: str, *, expected: bool) -> None:
    assert opened(["sun"], "22:00-06:00", when) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        *(("mon 08:59:59", False), ("mon 09:00", True), ("mon 17:00", True), ("mon 17:00:59.999999", True)),
        *(("mon 17:01", False), ("sat 12:00", False)),
    ],
)
def test_a_period_begins_at_its_first_minute_and_ends_after_its_last(when: str, *, expected: bool) -> None:
    assert opened(["mon", "tue", "wed", "thu", "fri"], "09:00-17:00", when) is expected


@pytest.mark.parametrize("period", ["00:00-23:59", "08:00-08:00", "00:00-00:00", "23:59-23:59", "08:00-07:59", None])
@pytest.mark.parametrize("when", ["mon 00:00", "mon 07:59:59", "mon 08:00", "mon 08:01", "sun 23:59:59.999999"])
def test_these_periods_are_the_whole_day(period: str | None, when: str) -> None:
    assert opened([], period, when)


@pytest.mark.parametrize(
    ("when", "expected"),
    [("mon 07:59", False), ("mon 08:00", True), ("tue 07:59:59", True), ("tue 08:00", False)],
)
def test_a_whole_day_that_begins_in_the_morning_is_a_night_shift_too(when: str, *, expected: bool) -> None:
    assert opened(["mon"], "08:00-08:00", when) is expected


@pytest.mark.parametrize(("when", "expected"), [("mon 00:00", True), ("mon 23:59:59", True), ("tue 00:00", False)])
def test_days_without_a_period_are_whole_days(when: str, *, expected: bool) -> None:
    assert opened(["mon"], None, when) is expected


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-03-28T20:59", False),  # 21:59 on Saturday, winter
        ("2026-03-28T21:00", True),  # 22:00
        ("2026-03-29T00:59", True),  # 01:59
        ("2026-03-29T01:00", True),  # 03:00, summer
        ("2026-03-29T04:00", True),  # 06:00
        ("2026-03-29T04:01", False),  # 06:01
        ("2026-10-24T20:00", True),  # 22:00 on Saturday, summer
        ("2026-10-25T00:30", True),  # 02:30 for the first time
        ("2026-10-25T01:30", True),  # 02:30 for the second time
        ("2026-10-25T05:00", True),  # 06:00, winter
        ("2026-10-25T05:01", False),  # 06:01
    ],
)
def test_a_night_over_a_change_of_daylight_saving_lasts_until_its_end_on_the_wall(
    instant: str, *, expected: bool
) -> None:
    local = datetime.fromisoformat(instant).replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
    assert is_open(["sat"], Period(22 * 60, 6 * 60), local) is expected


def wall_minutes(days: Sequence[str], period: Period | None, first: date, last: date) -> Iterator[datetime]:
    """Walk every opening that begins on these dates, minute by minute."""
    today = datetime.combine(first, datetime.min.time())
    while today.date() <= last:
        if not days or DAYS[today.weekday()] in days:
            now = today + timedelta(minutes=period.first if period else 0)
            yield now
            now += MINUTE
            while now.hour * 60 + now.minute != (period.last if period else 0):
                yield now
                now += MINUTE
            if period and period.first != period.last:  # else the whole day is over
                yield now
        today += timedelta(days=1)


ZONES = sorted(available_timezones())


@cache
def changes(zone: str, year: int) -> list[date]:
    """Return the days on which the clock is changed."""
    begins = [datetime(year, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(days=day) for day in range(366)]
    return [one.date() for one, following in pairwise(begins) if one.utcoffset() != following.utcoffset()]


@st.composite
def starts(draw: st.DrawFn) -> tuple[str, date]:
    """Draw a zone, and the day before one that is out of the ordinary there: the clock is changed, or it is leap."""
    zone, year = draw(st.sampled_from(ZONES)), draw(st.integers(1975, 2036))
    leap = year - year % 4
    days = changes(zone, year) or [date(leap, 2, 29), date(leap, 3, 1), date(year, 12, 31), date(leap, 12, 31)]
    return zone, draw(st.sampled_from(days)) - timedelta(days=1)


@settings(max_examples=100)
@given(starts(), st.lists(st.sampled_from(DAYS), unique=True), st.none() | PERIODS)
@example(("Europe/Berlin", date(2026, 3, 28)), ["sat"], Period(1320, 360))
@example(("Europe/Berlin", date(2026, 10, 24)), ["sat"], Period(150, 149))
@example(("America/New_York", date(2026, 3, 7)), ["sat", "sun"], Period(150, 150))
@example(("America/Sao_Paulo", date(2018, 11, 3)), ["sun"], None)  # midnight does not exist
@example(("America/Sao_Paulo", date(2018, 2, 17)), ["sat"], Period(1380, 30))  # 23:00 comes twice
@example(("Australia/Lord_Howe", date(2026, 4, 4)), ["sat"], Period(1320, 105))  # half an hour
@example(("Pacific/Apia", date(2011, 12, 29)), ["thu", "fri"], Period(1320, 360))  # Friday does not exist
@example(("Asia/Kathmandu", date(2026, 12, 30)), ["thu"], Period(0, 1439))
@example(("UTC", date(2024, 2, 28)), ["thu"], Period(1320, 360))
def test_schedules_agree_with_walking_through_the_days_minute_by_minute(
    start: tuple[str, date], days: list[str], period: Period | None
) -> None:
    zone, first = ZoneInfo(start[0]), start[1]
    expected = set(wall_minutes(days, period, first - timedelta(days=2), first + timedelta(days=5)))
    instant = datetime.combine(first, datetime.min.time(), zone).astimezone(UTC)
    for _ in range(3 * 24 * 60):
        local = instant.astimezone(zone)
        assert is_open(days, period, local) is (local.replace(tzinfo=None) in expected), local
        instant += MINUTE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00-06:00", "22:00–06:00"),
        (" 9:00 - 17:30 ", "09:00–17:30"),
        ("00:00–23:59", "00:00–23:59"),
        ("8:00-8:00", "08:00–08:00"),
    ],
)
def test_a_period_is_read_as_people_write_it(text: str, expected: str) -> None:
    assert str(parse_period(text)) == expected


@given(PERIODS)
def test_a_period_is_read_back_from_its_own_text(period: Period) -> None:
    assert parse_period(str(period)) == period


@pytest.mark.parametrize(
    "text",
    [
        "",
        "09:00",
        "9-17",
        "24:00-06:00",
        "09:60-17:00",
        "09:00-17:00-18:00",
        "-9:00-17:00",
        "\u0660\u0669:\u0660\u0660-17:00",
    ],
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='write "HH:MM-HH:MM", from 00:00 to 23:59'):
        parse_period(text)


@pytest.mark.parametrize(
    ("days", "period", "expected"),
    [
        (DAYS[:5], Period(540, 1020), "mon–fri 09:00–17:00"),
        (["sun", "mon"], None, "mon, sun"),
        (["tue", "mon", "thu", "sat", "sun"], None, "mon–tue, thu, sat–sun"),
        (DAYS, None, "mon–sun"),
        ([], Period(1320, 360), "22:00–06:00"),
    ],
)
def test_a_schedule_is_written_as_people_read_it(days: Sequence[str], period: Period | None, expected: str) -> None:
    assert schedule_text(days, period) == expected
