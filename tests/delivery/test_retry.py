"""Which attempts are made again, and when; by tables and for all there can be."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.delivery.health import Health
from hookplugin.delivery.retry import Attempt, backoff, is_retried, judge
from hookplugin.outbox.lanes import LONGEST_PAUSE
from hookplugin.outbox.rows import Claimed
from hookspecs import Alert, Delivery, Outcome, Reason

NOW = 1000.0
WELL = Health("ops")
RETRIED = {408, 425, 429, *range(500, 600)}
REASONS = {408: Reason.client_error, 410: Reason.gone, 429: Reason.rate_limited}
KINDS = {3: Reason.redirect, 4: Reason.client_error, 5: Reason.server_error}


def answered(status: int) -> Outcome:
    """Return what the sender makes of a status."""
    if status // 100 == 2:
        return Outcome(state="delivered", status=status)
    reason = REASONS.get(status) or KINDS.get(status // 100, Reason.invalid_answer)
    return Outcome(state="dead", reason=reason, status=status)


def request(deliveries: int = 1, failed: int = 0, expires: float = inf) -> Claimed:
    """Return a request of which some attempts failed before, and as many more ended unknown: the process was killed."""
    alert = Alert(content="disk full")
    members = (
        Delivery(id=f"d{number}", alert=alert, receiver="ops", body="hertzbeat", attempts=2 * failed + 1)
        for number in range(deliveries)
    )
    return Claimed("request", tuple(members), expires, failed=failed)


@given(failed=st.integers(1, 10**6))
def test_a_pause_doubles_with_each_failure_within_a_fifth_and_is_never_longer_than_five_minutes(failed: int) -> None:
    middle = min(2.0 ** min(failed - 1, 20), LONGEST_PAUSE)
    assert 0.8 * middle <= backoff(failed) <= min(1.2 * middle, 300.0)


def test_pauses_differ_so_that_not_all_come_back_at_once() -> None:
    assert len({backoff(4) for _ in range(20)}) > 10


@pytest.mark.parametrize("deliveries", [1, 2])
@given(status=st.integers(100, 599))
def test_each_status_is_final_retried_or_splits_a_batch(deliveries: int, status: int) -> None:
    outcome = answered(status)
    verdict = judge(request(deliveries), Attempt(outcome), WELL, NOW)
    splits = status in {400, 413, 422} and deliveries > 1
    assert verdict.split == splits
    assert verdict.final == (None if status in RETRIED or splits else outcome)
    assert verdict.gone == (status == 410)
    assert verdict.health.failures == (status in RETRIED)
    assert splits <= (verdict.due == NOW)


@pytest.mark.parametrize(
    ("reason", "retried"),
    [
        (Reason.connection, True),
        (Reason.timeout, True),
        (Reason.tls, True),
        (Reason.invalid_answer, True),
        (Reason.failed, False),
    ],
)
def test_without_an_answer_all_but_an_error_of_our_own_is_retried(reason: Reason, retried: bool) -> None:  # noqa: FBT001
    outcome = Outcome(state="dead", reason=reason)
    verdict = judge(request(), Attempt(outcome), WELL, NOW)
    assert is_retried(outcome) == retried
    assert verdict.final == (None if retried else outcome)
    assert retried <= (NOW + 0.8 <= verdict.due <= NOW + 1.2)


@given(failed=st.integers(0, 30), left=st.floats(0.0, 400.0))
def test_an_attempt_that_would_come_after_max_age_is_not_made_and_the_reason_is_that_of_the_last(
    failed: int, left: float
) -> None:
    outcome = Outcome(state="dead", reason=Reason.server_error, status=503)
    verdict = judge(request(failed=failed, expires=NOW + left), Attempt(outcome), WELL, NOW)
    if verdict.final is None:
        assert NOW < verdict.due < NOW + left
    else:
        assert verdict.final == outcome
        assert left <= 1.2 * 2.0**failed


@given(seconds=st.floats(0.0, 10**9))
def test_retry_after_pauses_the_receiver_and_never_brings_the_attempt_forward(seconds: float) -> None:
    outcome = Outcome(state="dead", reason=Reason.rate_limited, status=429)
    verdict = judge(request(failed=2), Attempt(outcome, retry_after=seconds), WELL, NOW)
    assert verdict.health.opens_at(NOW) == NOW + min(seconds, 3600.0)
    assert NOW + 3.2 <= verdict.due <= NOW + 4.8
