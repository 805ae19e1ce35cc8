from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.service_times import MEMORY, PRIOR_MEDIAN_S, ServiceTimes

MEDIAN_S, SIGMA = 8.0, 0.5


def learned(jobs: int, poll_every_s: float = 2.0, median_s: float = MEDIAN_S) -> ServiceTimes:
    rng = random.Random(3)
    times = ServiceTimes()
    for _ in range(jobs):
        end_s, age_s = median_s * math.exp(SIGMA * rng.gauss(0, 1)), poll_every_s * rng.random()
        since_s = 0.0
        while age_s < end_s:
            times.saw_unfinished(since_s, age_s)
            since_s, age_s = age_s, age_s + poll_every_s
        times.saw_finished(since_s, age_s)
    return times


def test_before_anything_is_seen_the_prior_speaks() -> None:
    assert ServiceTimes().quantile_s(0.5) == pytest.approx(PRIOR_MEDIAN_S, rel=0.05)


def test_the_distribution_is_learned_through_polls_two_seconds_apart() -> None:
    times = learned(400)
    for share, z in ((0.1, -1.2816), (0.5, 0.0), (0.9, 1.2816), (0.99, 2.3263)):
        assert times.quantile_s(share) == pytest.approx(MEDIAN_S * math.exp(SIGMA * z), rel=0.15)


def test_a_few_jobs_move_the_median_most_of_the_way() -> None:
    assert learned(5, median_s=60.0).quantile_s(0.5) == pytest.approx(60.0, rel=0.4)


def test_requests_that_do_not_end_are_information() -> None:
    times = learned(50)
    before = times.quantile_s(0.99)
    for _ in range(20):
        times.saw_unfinished(0.0, 100.0)
    assert times.quantile_s(0.99) > 2 * before


def test_a_constant_hazard_gives_the_square_root_rule() -> None:
    times = ServiceTimes({"bins": [(number, 1e9 * width, 1e9 * width / 0.1) for number, width in enumerate([1.0] * 100)]})
    assert times.hazard(3.0) == pytest.approx(0.1, rel=1e-3)
    assert times.next_look_s(3.0, 0.2, 100.0) == pytest.approx(math.sqrt(2 * 0.2 / 0.1), rel=1e-3)


def test_polls_are_closest_where_ends_are_likeliest() -> None:
    times = learned(400)
    assert times.next_look_s(0.0, 0.2, 60.0) > 2 * times.next_look_s(8.0, 0.2, 60.0)
    assert times.next_look_s(200.0, 0.2, 60.0) > 2 * times.next_look_s(8.0, 0.2, 60.0)


def test_what_was_learned_can_be_kept() -> None:
    times = learned(60)
    again = ServiceTimes(json.loads(json.dumps(times.keep())))
    assert again.jobs == pytest.approx(times.jobs, rel=1e-3)
    for age_s in (0.1, 5.0, 12.0, 40.0):
        assert again.next_look_s(age_s, 0.2, 60.0) == pytest.approx(times.next_look_s(age_s, 0.2, 60.0), rel=1e-2)


def test_a_service_that_changes_is_learned_anew() -> None:
    times = learned(int(MEMORY), poll_every_s=4.0)
    for _ in range(int(MEMORY)):
        times.saw_unfinished(0.0, 60.0)
        times.saw_finished(60.0, 62.0)
    assert times.quantile_s(0.5) > 40


@given(age_s=st.floats(0, 1e6), more_s=st.floats(0, 1e6), share=st.floats(0.001, 0.999), cost_s=st.floats(0.001, 10), ceiling_s=st.floats(0.1, 1e4))
def test_answers_are_always_sane(age_s: float, more_s: float, share: float, cost_s: float, ceiling_s: float) -> None:
    times = ServiceTimes()
    times.saw_unfinished(0.0, age_s)
    times.saw_finished(age_s, age_s + more_s)
    assert times.jobs == pytest.approx(1.0)
    assert 0 < times.next_look_s(age_s, cost_s, ceiling_s) <= ceiling_s
    quantile_s = times.quantile_s(share, age_s)
    assert quantile_s >= age_s
    assert times.survival(quantile_s, age_s) == pytest.approx(1 - share, abs=1e-6)
