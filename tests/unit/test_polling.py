from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Job, State
from batcher.polling import AGE_SHARE, SPREAD, STUCK_SAMPLES, StuckWatch, stuck_words, wait_s
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


# ── requests that are stuck ───────────────────────────────────────────────────────────────────────────────────────────


def watch_of(*durations_s: float, **settings: Any) -> StuckWatch:
    watch = StuckWatch(RunSettings(**settings), NOW)
    for seq, duration_s in enumerate(durations_s, start=100):
        watch.ended(replace(JOB, seq=seq, submitted_at=NOW), NOW + duration_s)
    return watch


@pytest.mark.fault("D1", "X11")
@pytest.mark.parametrize(
    ("durations_s", "job_timeout_s", "after_s"),
    [
        ([], 7200.0, 1800.0),
        ([10.0] * (STUCK_SAMPLES - 1), 7200.0, 1800.0),
        ([10.0] * STUCK_SAMPLES, 7200.0, 300.0),
        ([75.0, 10.0, 10.0, 10.0, 10.0], 7200.0, 300.0),
        ([80.0, 10.0, 10.0, 10.0, 10.0], 7200.0, 320.0),
        ([4000.0] * STUCK_SAMPLES, 7200.0, 7200.0),
        ([10.0] * STUCK_SAMPLES, 60.0, 60.0),
        ([], 60.0, 15.0),
    ],
)
def test_from_when_on_a_request_is_called_stuck(durations_s: list[float], job_timeout_s: float, after_s: float) -> None:
    watch = watch_of(*durations_s, job_timeout_s=job_timeout_s)
    assert watch.after_s == pytest.approx(after_s)
    assert not watch.running(JOB, NOW + after_s - 0.1)
    assert watch.running(JOB, NOW + after_s + 0.1)


@pytest.mark.fault("X11")
def test_each_request_is_told_of_once() -> None:
    watch = watch_of()
    other = replace(JOB, seq=2)
    assert [watch.running(JOB, NOW + 1e6), watch.running(JOB, NOW + 2e6), watch.running(other, NOW + 2e6)] == [True, False, True]
    watch.ended(JOB, NOW + 3e6)
    assert watch.running(replace(JOB, submitted_at=NOW + 3e6), NOW + 1e8), "another request of the same row"


def test_what_an_earlier_run_submitted_tells_nothing_of_how_long_a_request_takes() -> None:
    watch = watch_of()
    for _ in range(STUCK_SAMPLES):
        watch.ended(replace(JOB, submitted_at=NOW - 0.1), NOW + 1e6)
        watch.ended(replace(JOB, submitted_at=None), NOW + 1e6)
    assert (watch.longest_s, watch.after_s) == (0.0, 1800.0)
    assert not watch.running(replace(JOB, submitted_at=None), NOW + 1e9)


@pytest.mark.fault("X11")
def test_the_notice_says_which_since_when_and_what_becomes_of_it() -> None:
    job = replace(JOB, queued=True, watched_since=NOW)
    assert stuck_words(job, NOW + 400, watch_of(*[50.0] * 5)) == (
        "Row a: its request r is in the queue of the service for 400 s, and no other of this run took longer than 50 s. "
        "The rest goes on; it is given up in 6800 s, its id kept (job_timeout_s)."
    )
    assert stuck_words(replace(job, queued=False), NOW + 9000, watch_of(on_stuck="wait")) == (
        "Row a: its request r is running at the service for 9000 s. The rest goes on; it is waited for (on_stuck: wait)."
    )
    assert "at the service for" in stuck_words(replace(job, queued=None), NOW + 9000, watch_of())
    assert "given up in 0 s" in stuck_words(job, NOW + 9000, watch_of())
