"""What is the matter with a receiver: its breaker, and what it asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.delivery.health import Health

NOW = 1_000_000.0
HOUR = 3600.0
WELL = Health("ops")


def failing(health: Health, times: int, now: float = NOW) -> Health:
    for _ in range(times):
        health = health.after_failure(None, now)
    return health


def test_ten_failures_in_a_row_open_the_breaker_for_five_seconds() -> None:
    nine, ten = failing(WELL, 9), failing(WELL, 10)
    assert (nine.is_probed, nine.opens_at(NOW) <= NOW) == (False, True)
    assert (ten.is_probed, ten.opens_at(NOW)) == (True, NOW + 5.0)


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    assert not failing(failing(WELL, 9).after_answer(), 9).is_probed


def test_each_probe_that_fails_doubles_the_time_to_the_next_up_to_five_minutes() -> None:
    health, now, waits = failing(WELL, 10), NOW, []
    for _ in range(9):
        waits.append(health.opens_at(now) - now)
        now = health.opens_at(now)
        health = health.after_failure(None, now)
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


@given(later=st.lists(st.floats(0.0, 4.9), max_size=70).map(sorted))
def test_what_was_on_the_wire_when_the_breaker_opened_does_not_double_the_time(later: list[float]) -> None:
    health = failing(WELL, 10)
    for seconds in later:
        health = health.after_failure(None, NOW + seconds)
    assert health.opens_at(NOW + 4.9) == NOW + 5.0


@given(failures=st.integers(0, 60), answer_after=st.floats(0.0, 400.0))
def test_the_first_answer_closes_the_breaker(failures: int, answer_after: float) -> None:
    now = NOW + answer_after
    closed = failing(WELL, failures).after_answer()
    assert not closed.is_probed
    assert closed.opens_at(now) <= now
    assert closed.is_well(now)
    assert failing(closed, 10, now).opens_at(now) == now + 5.0


@given(asked=st.lists(st.none() | st.floats(0.0, 10**7), min_size=1, max_size=30))
def test_retry_after_counts_up_to_an_hour_and_a_shorter_one_never_shortens_it(asked: list[float | None]) -> None:
    health = WELL
    for seconds in asked:
        before = health.opens_at(NOW)
        health = health.after_failure(seconds, NOW)
        assert before <= health.opens_at(NOW) <= NOW + HOUR
    assert health.opens_at(NOW) >= NOW + max(min(seconds or 0.0, HOUR) for seconds in asked)


@pytest.mark.parametrize("failures_before", [0, 9, 10, 30])
def test_what_a_receiver_asked_for_outlives_answers_to_what_was_on_the_wire(failures_before: int) -> None:
    health = failing(WELL, failures_before).after_failure(600.0, NOW).after_answer()
    assert health.opens_at(NOW + 1.0) == NOW + 600.0


@given(
    failures=st.integers(0, 30),
    asked=st.none() | st.floats(0.0, 2 * HOUR),
    passed=st.floats(0.0, 2 * HOUR),
    moved_by=st.floats(0.0, 2 * HOUR),
)
def test_a_clock_set_back_never_makes_a_receiver_wait_longer_than_it_was_to(
    failures: int, asked: float | None, passed: float, moved_by: float
) -> None:
    health = failing(WELL, failures).after_failure(asked, NOW)
    whole = max(health.opens_at(NOW) - NOW, 0.0)
    now = NOW + passed - moved_by
    assert health.opens_at(now) - now <= whole + 1e-6
    again = health.after_failure(None, now)
    assert again.opens_at(now) - now <= max(whole, 2 * health.pause, 5.0) + 1e-6
