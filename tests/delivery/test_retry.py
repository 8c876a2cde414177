"""Which attempts are made again, and when; by tables and for all there can be."""

from __future__ import annotations

import time
from math import inf

import faults
import pytest
from faults import receiving
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.delivery.exchange import Answer
from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.health import Health
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt, backoff, is_retried, judge
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookplugin.outbox.lanes import LONGEST_PAUSE
from hookplugin.outbox.rows import Claimed
from hookspecs import Alert, Body, Delivery, Outcome, Reason

NOW = 1000.0
WELL = Health("ops")
RETRIED = {408, 425, 429, *range(500, 600)}
REASONS = {408: Reason.client_error, 410: Reason.gone, 429: Reason.rate_limited}
HOUR = 3600.0
FUTURE = 4_000_000_000  # 2096-10-02
ASKED = {
    "absent": (None, None),
    "nothing": ("0", 0.0),
    "seconds": ("5", 5.0),
    "seconds below zero": ("-1", None),
    "decades": ("1000000000", 1e9),
    "a date that is over": ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    "a date to come": ("Tue, 02 Oct 2096 07:06:40 GMT", FUTURE - time.time()),
    "garbage": ("soon \xff\0;,", None),
    "many digits": ("9" * 10_000, inf),
    "much garbage": ("Wed, " * 2_000, None),
}
"""What a `Retry-After` may say, and the seconds that it asks for."""
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


@pytest.mark.parametrize("failures", [0, 9, 500])
@pytest.mark.parametrize(("written", "seconds"), ASKED.values(), ids=ASKED)
def test_whatever_status_and_retry_after_come_the_outcome_is_as_designed(
    written: str | None, seconds: float | None, failures: int
) -> None:
    before = Health("ops", failures=failures, pause=300.0 if failures > 10 else 0.0)
    for status in range(100, 600):
        answer = Answer(status, {} if written is None else {"Retry-After": written}, "")
        outcome = answered(status)
        assert answer.reason is outcome.reason
        assert answer.retry_after == pytest.approx(seconds)
        verdict = judge(request(), Attempt(outcome, retry_after=answer.retry_after), before, NOW)
        assert verdict.gone == (status == 410)
        if status not in RETRIED:
            assert verdict.final is outcome
            assert verdict.health == before.after_answer()
            continue
        assert verdict.final is None
        assert NOW + 0.8 <= verdict.due <= NOW + 1.2
        paused, probed = verdict.health.opens_at(NOW) - NOW, 300.0 if failures > 10 else 5.0 * (failures == 9)
        assert paused == pytest.approx(max(min(seconds or 0.0, HOUR), probed))
        assert paused <= HOUR


def sent(script: faults.Script) -> tuple[Attempt, Receiver]:
    with receiving(script) as listening:
        receiver = Receiver.model_validate({"name": "ops", "url": f"http://127.0.0.1:{listening.port}/"})
        return Sender(receiver, Sessions(Guard(ANYWHERE))).send("id", Body(content=b"{}"), {}), receiver


STATUSES = (
    101, 200, 201, 204, 299, 300, 301, 304, 307, 399, 400, 401, 403, 404, 408, 409, 410, 413, 418, 422, 425, 428, 429,
    451, 499, 500, 501, 502, 503, 504, 507, 511, 599,
)  # fmt: skip


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        *((status, list(ASKED)[number % len(ASKED)]) for number, status in enumerate(STATUSES)),
        *((status, asked) for status in (410, 429, 503) for asked in ASKED),
    ],
)
def test_what_is_on_the_wire_ends_as_its_parts_do(status: int, asked: str) -> None:
    written, seconds = ASKED[asked]
    field = "" if written is None else f"Retry-After: {written}\r\n"
    attempt, receiver = sent(
        faults.answers(f"HTTP/1.1 {status} Well\r\n{field}Content-Length: 0\r\n\r\n".encode("latin-1"))
    )
    outcome = answered(status)
    assert (attempt.outcome.state, attempt.outcome.reason) == (outcome.state, outcome.reason)
    assert attempt.outcome.status == status
    assert attempt.retry_after == pytest.approx(None if status // 100 == 2 else seconds)
    assert attempt.mark == (receiver.mark if status == 410 else None)
    verdict = judge(request(), attempt, WELL, NOW)
    assert verdict.final == (None if status in RETRIED else attempt.outcome)
    assert verdict.gone == (status == 410)
    assert NOW <= verdict.health.opens_at(NOW) <= NOW + HOUR


@pytest.mark.parametrize("status", [100, 102, 103, 150, 199])
@pytest.mark.parametrize("asked", ["absent", "decades", "many digits"])
def test_an_informational_status_never_settles_and_asks_for_nothing(status: int, asked: str) -> None:
    written, _ = ASKED[asked]
    field = "" if written is None else f"Retry-After: {written}\r\n"
    head = f"HTTP/1.1 {status} Wait\r\n{field}\r\n".encode()
    attempt, _ = sent(faults.answers(head))
    assert (attempt.outcome.reason, attempt.outcome.status, attempt.retry_after) == (Reason.connection, None, None)
    assert judge(request(), attempt, WELL, NOW).final is None
    attempt, _ = sent(faults.answers(head + b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"))
    assert (attempt.outcome.reason, attempt.outcome.status, attempt.retry_after) == (Reason.server_error, 503, None)
