from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Job, State
from batcher.polling import AGE_SHARE, SPREAD, wait_s
from batcher.settings import RunSettings
from tests.support.engine_world import make_spec

NOW = 1_800_000_000.0
SETTINGS = RunSettings(poll_floor_s=0.5, poll_ceiling_s=10.0)
JOB = Job(1, make_spec("a"), State.SUBMITTED, request_id="r", submitted_at=NOW, polls=1)


@pytest.mark.parametrize(("age_s", "expected"), [(0.0, 0.5), (4.0, 0.5), (50.0, 6.0), (60.0, 7.2), (100.0, 10.0), (1e6, 10.0)])
def test_the_wait_grows_with_the_age_of_the_request_between_floor_and_ceiling(age_s: float, expected: float) -> None:
    assert wait_s(JOB, NOW + age_s, 0.5, SETTINGS) == pytest.approx(expected)


def test_jitter_spreads_to_either_side() -> None:
    assert wait_s(JOB, NOW + 50, 0.0, SETTINGS) == pytest.approx(6.0 * (1 - SPREAD))
    assert wait_s(JOB, NOW + 50, 0.9999999, SETTINGS) == pytest.approx(6.0 * (1 + SPREAD))


def test_failed_polls_back_off_and_never_hurry() -> None:
    waits = [wait_s(replace(JOB, poll_failures=n), NOW + 5, 0.9999999, SETTINGS) for n in (1, 2, 3, 4, 20)]
    assert waits == pytest.approx([0.5, 1.0, 2.0, 4.0, 60.0], rel=1e-6)
    assert wait_s(replace(JOB, poll_failures=20), NOW + 5, 0.0, SETTINGS) == 0.5


def test_a_request_taken_up_again_is_looked_at_soon_but_not_all_at_once() -> None:
    taken_up = replace(JOB, polls=0)
    assert wait_s(taken_up, NOW + 3600, 0.0, SETTINGS) == 0.0
    assert wait_s(taken_up, NOW + 3600, 0.5, SETTINGS) == 0.25
    assert wait_s(taken_up, NOW, 0.5, SETTINGS) == 0.5


def test_a_request_without_a_time_counts_as_new() -> None:
    assert wait_s(replace(JOB, submitted_at=None), NOW, 0.5, SETTINGS) == 0.5


@given(
    age_s=st.floats(-1e6, 1e9), jitter=st.floats(0, 1, exclude_max=True), polls=st.integers(0, 5), failures=st.integers(0, 10_000),
    floor=st.floats(0.001, 100), ceiling=st.floats(0.001, 100),
)  # fmt: skip
def test_a_wait_is_always_sane(age_s: float, jitter: float, polls: int, failures: int, floor: float, ceiling: float) -> None:
    settings = RunSettings(poll_floor_s=floor, poll_ceiling_s=ceiling)
    wait = wait_s(replace(JOB, polls=polls, poll_failures=failures), NOW + age_s, jitter, settings)
    assert 0.0 <= wait <= max(settings.backoff_ceiling_s, floor, ceiling * (1 + SPREAD))
    if polls and not failures:
        assert wait >= min(floor, ceiling) * (1 - SPREAD) - 1e-12


def test_an_answer_is_seen_at_most_about_an_eighth_late() -> None:
    settings = RunSettings(poll_floor_s=0.1, poll_ceiling_s=1e9)
    for age_s in (10.0, 100.0, 1000.0):
        assert wait_s(JOB, NOW + age_s, 0.5, settings) / age_s == pytest.approx(AGE_SHARE)
