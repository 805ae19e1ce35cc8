from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.pacing import Breaker, CoolDown, FirstSubmits, Outage, SubmitRate

GO, WAIT, PROBE = Breaker.Verdict.GO, Breaker.Verdict.WAIT, Breaker.Verdict.PROBE
EPOCH = 1_800_000_000.0


# ── rate ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_rate_is_no_limit() -> None:
    rate = SubmitRate(None, EPOCH)
    for _ in range(1000):
        assert rate.wait_s(EPOCH) == 0.0
        rate.let_through(EPOCH)
        rate.begun(EPOCH)


def test_the_first_waits_for_what_an_earlier_process_may_have_sent_and_the_rest_are_spread() -> None:
    rate, now, passed = SubmitRate(4.0, 0.0), 0.0, []
    for _ in range(6):
        now += rate.wait_s(now)
        rate.let_through(now)
        rate.begun(now)
        passed.append(now)
    assert passed == [1.0, 1.25, 1.5, 1.75, 2.0, 2.25]


def test_idle_time_saves_nothing_up() -> None:
    rate = SubmitRate(10.0, 0.0)
    rate.let_through(1000.0)
    rate.begun(1000.0)
    assert rate.wait_s(1000.0) == pytest.approx(0.1)


def test_rows_that_have_not_begun_hold_the_next_back() -> None:
    rate = SubmitRate(2.0, -10.0)
    for now in (0.0, 0.5):
        assert rate.wait_s(now) == 0.0
        rate.let_through(now)
    assert rate.wait_s(1.0) == 1.0
    rate.begun(1.4)
    assert rate.wait_s(2.0) == pytest.approx(0.4)
    rate.withdrawn()
    assert rate.wait_s(2.0) == 0.0


@pytest.mark.fault("C17")
@given(
    per_s=st.floats(0.01, 100),
    start=st.sampled_from([0.0, 1e-9, EPOCH, EPOCH + 0.123456789]),
    rows=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 5), st.booleans()), min_size=1, max_size=60),
)
def test_the_rate_is_never_exceeded_however_long_it_takes_from_the_gate_to_the_post(
    per_s: float, start: float, rows: list[tuple[float, float, bool]]
) -> None:
    """Each row comes some time after the one before it, takes some time until its POST begins, and some are withdrawn instead."""
    rate, now, begun = SubmitRate(per_s, start), start, []
    pending: list[tuple[float, bool]] = []

    def begin_until(until: float) -> None:
        for at, is_withdrawn in sorted(pending):
            if at <= until:
                pending.remove((at, is_withdrawn))
                if is_withdrawn:
                    rate.withdrawn()
                else:
                    rate.begun(at)
                    begun.append(at)

    for idle_s, delay_s, is_withdrawn in rows:
        now += idle_s
        begin_until(now)
        looks = 0
        while (wait := rate.wait_s(now)) > 0:
            assert wait <= max(1.0, 1.0 / per_s) + 1.0 / per_s + 1e-5
            now += wait
            begin_until(now)
            looks += 1
            assert looks <= 2 * len(rows) + 5
        rate.let_through(now)
        pending.append((now + delay_s, is_withdrawn))
    begin_until(float("inf"))
    most = max(1, math.ceil(per_s))
    for first, last in zip(begun, begun[most:], strict=False):
        assert last - first >= most / per_s - 1e-5
    assert not begun or begun[0] >= start + 1.0 - 1e-5


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
    breaker = Breaker(threshold=3, base_s=2.0)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.ask(0.0) is GO
    assert breaker.opened_at is None
    breaker.failed(7.0)
    assert breaker.opened_at == 7.0
    assert breaker.ask(7.0) is WAIT
    assert breaker.wait_s(7.0) == 2.0


@pytest.mark.fault("C9")
@pytest.mark.parametrize(("answered", "opens"), [(4, True), (25, False)])
def test_failures_between_answers_open_it_where_they_are_frequent(answered: int, opens: bool) -> None:
    breaker = Breaker()
    for n in range(20):
        breaker.failed(float(n))
        for _ in range(answered):
            breaker.succeeded()
    assert (breaker.opened_at is not None) is opens


def test_each_failure_halves_what_may_be_in_flight_until_it_is_made_good() -> None:
    breaker = Breaker()
    assert breaker.share == 1.0
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.share == 0.25
    for _ in range(50):
        breaker.succeeded()
    assert breaker.share == 1.0


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
    assert breaker.share == 0.25, "closed, but careful: one failure less than opens it"
    while breaker.share < 1.0:
        breaker.succeeded()
    breaker.failed(3.0)
    assert breaker.ask(3.0) is GO, "nobody is on trial any more"


def test_it_stays_open_longer_each_time_up_to_a_ceiling_and_forgets_that_once_closed() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(5):
        waits.append(breaker.wait_s(now))
        now += breaker.wait_s(now)
        assert breaker.ask(now) is PROBE
        breaker.probed(ok=False, now=now)
    assert waits == [2.0, 6.0, 10.0, 10.0, 10.0]
    assert breaker.opened_at == 0.0
    assert breaker.ask(now + 10.0) is PROBE
    breaker.probed(ok=True, now=now + 10.0)
    breaker.succeeded()
    breaker.failed(100.0)
    assert breaker.wait_s(100.0) == 10.0, "one success is not health"
    assert breaker.ask(110.0) is PROBE
    breaker.probed(ok=True, now=110.0)
    for _ in range(100):
        breaker.succeeded()
    for _ in range(3):
        breaker.failed(200.0)
    assert breaker.wait_s(200.0) == 2.0


def test_a_trial_that_fails_opens_it_again_at_once() -> None:
    breaker = opened()
    breaker.ask(2.0)
    breaker.probed(ok=True, now=2.0)
    breaker.failed(2.5)
    assert breaker.ask(2.5) is WAIT
    assert breaker.wait_s(2.5) == 6.0
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


def test_a_straggler_that_succeeds_does_not_close_it() -> None:
    breaker = opened()
    breaker.succeeded()
    assert breaker.ask(1.0) is WAIT
    assert breaker.ask(2.0) is PROBE
    breaker.succeeded()
    assert breaker.ask(2.0) is WAIT
    breaker.probed(ok=True, now=2.1)
    breaker.succeeded()
    assert breaker.ask(2.2) is GO


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
def test_whoever_took_the_place_of_one_that_was_put_off_may_be_put_off_too() -> None:
    first = FirstSubmits(2)
    for _ in range(4):
        first.sent()
    first.undecided(1)
    first.undecided(3)
    assert [first.refused(n) for n in (2, 4)] == [False, True]


@pytest.mark.fault("C13")
@pytest.mark.parametrize("limit", [0, 2])
def test_one_acceptance_settles_it_and_nought_never_stops(limit: int) -> None:
    first = FirstSubmits(limit)
    if limit:
        first.accepted()
    assert not any(first.refused(first.sent()) for _ in range(50))
