from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.pacing import Breaker, CoolDown, FirstSubmits, Outage, TokenBucket

GO, WAIT, PROBE = Breaker.Verdict.GO, Breaker.Verdict.WAIT, Breaker.Verdict.PROBE
EPOCH = 1_800_000_000.0


# ── rate ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_rate_is_no_limit() -> None:
    bucket = TokenBucket(None)
    for _ in range(1000):
        bucket.take(EPOCH)
    assert bucket.wait_s(EPOCH) == 0.0


def test_a_burst_goes_at_once_and_then_one_at_a_time() -> None:
    bucket = TokenBucket(2.0, burst=3.0)
    for _ in range(3):
        assert bucket.wait_s(0.0) == 0.0
        bucket.take(0.0)
    assert bucket.wait_s(0.0) == pytest.approx(0.5)
    bucket.take(0.5)
    assert bucket.wait_s(0.5) == pytest.approx(0.5)
    assert bucket.wait_s(100.0) == 0.0


def test_idle_time_saves_up_no_more_than_one_burst() -> None:
    bucket = TokenBucket(10.0, burst=2.0)
    bucket.take(0.0)
    taken = 0
    while bucket.wait_s(1000.0) == 0.0:
        bucket.take(1000.0)
        taken += 1
    assert taken == 2


@given(
    rate=st.floats(0.01, 10_000),
    burst=st.floats(1, 50),
    start=st.sampled_from([0.0, 1e-9, EPOCH, EPOCH + 0.123456789]),
    idle_s=st.lists(st.floats(0, 20), min_size=1, max_size=60),
)
def test_the_rate_is_never_exceeded_and_never_stalls(rate: float, burst: float, start: float, idle_s: list[float]) -> None:
    bucket, now, taken = TokenBucket(rate, burst), start, []
    for idle in idle_s:
        now += idle
        looks = 0
        while (wait := bucket.wait_s(now)) > 0:
            assert wait <= 1.0 / rate + 1e-5
            now = max(now + wait, now)
            looks += 1
            assert looks <= 2
        bucket.take(now)
        taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first] + 1e-5) + 1e-6


# ── cool-down ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cool_down_lasts_as_long_as_the_longest_that_was_asked() -> None:
    cool_down = CoolDown()
    assert cool_down.wait_s(5.0) == 0.0
    cool_down.extend(20.0)
    cool_down.extend(10.0)
    assert cool_down.wait_s(5.0) == 15.0
    assert cool_down.wait_s(20.0) == 0.0


# ── breaker ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(threshold=3, base_s=2.0, ceiling_s=10.0)
    for _ in range(3):
        breaker.failed(now)
    return breaker


def test_it_opens_after_failures_in_a_row_and_no_sooner() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        assert breaker.ask(0.0) is GO
        breaker.succeeded()
    assert breaker.opened_at is None
    for _ in range(3):
        breaker.failed(7.0)
    assert breaker.opened_at == 7.0
    assert breaker.ask(7.0) is WAIT
    assert breaker.wait_s(7.0) == 2.0


def test_stragglers_that_fail_do_not_prolong_it() -> None:
    breaker = opened()
    breaker.failed(1.5)
    assert breaker.wait_s(1.5) == 0.5
    assert breaker.opened_at == 0.0


def test_one_probe_then_one_trial_then_it_closes() -> None:
    breaker = opened()
    assert breaker.ask(2.0) is PROBE
    assert breaker.ask(2.0) is WAIT
    assert 0 < breaker.wait_s(2.0) <= 0.1
    breaker.probed(ok=True, now=2.1)
    assert breaker.ask(2.1) is WAIT
    breaker.succeeded()
    assert breaker.ask(2.2) is GO
    assert breaker.opened_at is None


def test_it_stays_open_longer_each_time_up_to_a_ceiling_and_forgets_that_once_closed() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(5):
        waits.append(breaker.wait_s(now))
        now += breaker.wait_s(now)
        assert breaker.ask(now) is PROBE
        breaker.probed(ok=False, now=now)
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0]
    assert breaker.opened_at == 0.0
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(100.0)
    assert breaker.wait_s(100.0) == 2.0


def test_a_trial_that_fails_opens_it_again_at_once() -> None:
    breaker = opened()
    breaker.ask(2.0)
    breaker.probed(ok=True, now=2.0)
    breaker.failed(2.5)
    assert breaker.ask(2.5) is WAIT
    assert breaker.wait_s(2.5) == 4.0
    assert breaker.opened_at == 0.0


@pytest.mark.parametrize("when", ["while probing", "on trial"])
def test_who_withdraws_leaves_the_way_to_the_next(when: str) -> None:
    breaker = opened()
    assert breaker.ask(2.0) is PROBE
    if when == "on trial":
        breaker.probed(ok=True, now=2.0)
    breaker.withdrawn()
    assert breaker.ask(2.0) is PROBE


def test_a_withdrawal_does_not_close_it() -> None:
    breaker = opened()
    breaker.withdrawn()
    assert breaker.ask(1.0) is WAIT
    assert breaker.opened_at == 0.0


def test_a_straggler_that_succeeds_closes_it_even_while_it_is_probed() -> None:
    breaker = opened()
    assert breaker.ask(2.0) is PROBE
    breaker.succeeded()
    assert breaker.ask(2.0) is GO
    breaker.probed(ok=True, now=2.1)
    breaker.failed(2.2)
    assert breaker.ask(2.2) is GO, "nobody is on trial at a closed breaker: one failure does not open it"


@given(steps=st.lists(st.sampled_from(["ask", "probe ok", "probe bad", "ok", "bad", "withdrawn"]), max_size=60), gap=st.floats(0, 50))
def test_it_never_locks_up(steps: list[str], gap: float) -> None:
    breaker, now = Breaker(threshold=2, base_s=1.0, ceiling_s=30.0), 0.0
    asked = False
    for step in steps:
        now += gap
        if step == "ask":
            asked = breaker.ask(now) is PROBE or asked
        elif step.startswith("probe"):
            if asked:
                breaker.probed(ok=step == "probe ok", now=now)
            asked = False
        elif step == "ok":
            breaker.succeeded()
        elif step == "bad":
            breaker.failed(now)
        else:
            breaker.withdrawn()
        assert 0 < breaker.wait_s(now) <= 30.0
    breaker.withdrawn()
    assert breaker.ask(now + 31.0) is not WAIT


# ── outage ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_outage_is_waited_out_for_as_long_as_patience_lasts() -> None:
    outage = Outage(patience_s=100.0, first_patience_s=10.0)
    outage.answered()
    assert not outage.failed(50.0)
    assert not outage.failed(150.0)
    assert outage.failed(150.1)
    outage.answered()
    assert not outage.failed(200.0)


def test_a_service_that_never_answered_is_given_less_time() -> None:
    outage = Outage(patience_s=100.0, first_patience_s=10.0)
    assert not outage.failed(0.0)
    assert not outage.failed(10.0)
    assert outage.failed(10.1)


def test_the_first_patience_is_never_more_than_the_patience() -> None:
    outage = Outage(patience_s=0.0, first_patience_s=10.0)
    assert not outage.failed(0.0)
    assert outage.failed(0.1)


@pytest.mark.fault("C2")
def test_what_is_hopeless_is_given_up_at_once_unless_the_service_was_there_before() -> None:
    outage = Outage(patience_s=600, first_patience_s=30)
    assert outage.failed(EPOCH, hopeless=True)
    outage.answered()
    assert not outage.failed(EPOCH, hopeless=True)
    assert outage.failed(EPOCH + 601, hopeless=True)


# ── the first submits of a run ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("C13")
def test_the_first_submits_that_are_all_refused_are_told_once_they_are_so_many() -> None:
    first = FirstSubmits(3)
    numbers = [first.sent() for _ in range(6)]
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert [first.refused(n) for n in (5, 6, 4, 1, 2)] == [False] * 5, "which are the first is settled when they are sent"
    assert first.refused(3)


@pytest.mark.fault("C13")
def test_whoever_was_put_off_leaves_its_place_to_the_next() -> None:
    first = FirstSubmits(3)
    for _ in range(5):
        first.sent()
    first.undecided(2)
    first.undecided(5)  # is none of the first four, which count now
    assert [first.refused(n) for n in (1, 3, 5, 4)] == [False, False, False, True]


@pytest.mark.fault("C13")
@pytest.mark.parametrize("limit", [0, 2])
def test_one_acceptance_settles_it_and_nought_never_stops(limit: int) -> None:
    first = FirstSubmits(limit)
    if limit:
        first.accepted()
    assert not any(first.refused(first.sent()) for _ in range(50))
