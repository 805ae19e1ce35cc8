from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.events import Cancelled, Died, Event, Produced, Running, Unread
from batcher.model import Failure, FailureKind, Job, State
from batcher.polling import EARLY_JOBS, MODELS_MAX, SPREAD, STUCK_SAMPLES, TAKEN_UP_S, Polls
from batcher.settings import RunSettings
from tests.support.engine_world import make_spec

NOW = 1_800_000_000.0
SETTINGS = RunSettings(poll_floor_s=0.1, poll_ceiling_s=10.0)
JOB = Job(1, make_spec("a"), State.SUBMITTED, request_id="r", submitted_at=NOW, looked_at=NOW, polls=1)
MODEL = JOB.spec.model
DONE = Produced(("https://x/a.png",))
FAILURE = Failure(FailureKind.GENERATION_FAILED, "no")


def follow(polls: Polls, service_s: float, draw: Callable[[], float], model: str = MODEL) -> tuple[int, float]:
    """Carry one request as the engine does; how many polls it took, and how late its end was seen."""
    job = replace(JOB, spec=replace(JOB.spec, model=model), polls=0)
    now = NOW
    while True:
        now += polls.wait_s(job, now, draw())
        if now - NOW >= service_s:
            polls.looked(job, now, DONE)
            return job.polls + 1, now - NOW - service_s
        polls.looked(job, now, Running(False))
        job = replace(job, polls=job.polls + 1, looked_at=now)


def learned(jobs: int, median_s: float = 8.0, sigma: float = 0.5, **settings: Any) -> Polls:
    rng = random.Random(5)
    polls = Polls(SETTINGS.model_copy(update=settings))
    for _ in range(jobs):
        follow(polls, median_s * math.exp(sigma * rng.gauss(0, 1)), rng.random)
    return polls


# ── when to look again ────────────────────────────────────────────────────────────────────────────────────────────────


def test_polls_come_when_the_end_is_likely() -> None:
    polls = learned(200)
    assert polls.wait_s(replace(JOB, polls=0), NOW, 0.5) > 3.0, "nothing ends that soon"
    assert polls.wait_s(JOB, NOW + 8.0, 0.5) < 2.0


def test_a_quick_model_is_asked_at_once_and_a_slow_one_is_left_alone() -> None:
    assert learned(100, median_s=0.01).wait_s(replace(JOB, polls=0), NOW, 0.5) <= 0.15
    assert learned(100, median_s=600.0).wait_s(replace(JOB, polls=0), NOW, 0.5) == 10.0


def test_each_model_has_times_of_its_own() -> None:
    polls = learned(50)
    rng = random.Random(1)
    for _ in range(50):
        follow(polls, 300.0 * rng.uniform(0.9, 1.1), rng.random, model="acme/film")
    assert polls.times(MODEL).median_s == pytest.approx(8.0, rel=0.3)
    assert polls.times("acme/film").median_s == pytest.approx(300.0, rel=0.2)


def test_what_was_learned_saves_polls_and_sees_ends_sooner() -> None:
    def cost(polls: Polls) -> float:
        draw = random.Random(2)
        seen = [follow(polls, 8.0 * math.exp(0.5 * draw.gauss(0, 1)), draw.random) for _ in range(300)]
        return sum(n for n, _ in seen) * sum(lag_s for _, lag_s in seen)

    fixed = cost(Polls(RunSettings(poll_floor_s=2.0, poll_ceiling_s=2.0)))
    assert cost(learned(300)) < 0.8 * fixed


def test_as_long_as_a_model_is_not_known_the_first_polls_come_at_any_time() -> None:
    polls, first = Polls(SETTINGS), replace(JOB, polls=0)
    waits = [polls.wait_s(first, NOW, jitter) for jitter in (0.0, 0.25, 0.5, 0.99)]
    assert waits[0] == SETTINGS.poll_floor_s
    assert waits == sorted(waits)
    assert waits[2] / waits[1] == pytest.approx(waits[1] / waits[0]), "rather soon than late"
    assert waits[3] > 2.0


def test_it_is_told_once_that_a_model_is_known_from_now_on() -> None:
    polls = Polls(SETTINGS)
    told = [polls.looked(JOB, NOW + 3, event) for event in (DONE, Running(False)) for _ in range(EARLY_JOBS)]
    assert told == [False] * (EARLY_JOBS - 1) + [True] + [False] * EARLY_JOBS
    again = Polls(SETTINGS)
    again.recall(learned(50).keep())
    assert not any(again.looked(JOB, NOW + 3, DONE) for _ in range(EARLY_JOBS + 1)), "it was known before"


def test_few_first_polls_of_a_known_model_come_early_and_the_others_are_kept_apart() -> None:
    polls, first = learned(100), replace(JOB, polls=0)
    waits = sorted(polls.wait_s(first, NOW, jitter / 1000) for jitter in range(1000))
    due_s = waits[500]
    early = [wait for wait in waits if wait < (1 - SPREAD) * due_s - 0.01]
    assert 0.02 < len(early) / 1000 <= 0.03
    assert min(early) < 0.1 * due_s
    assert waits[-1] == pytest.approx((1 + SPREAD) * due_s, rel=0.01)


def test_a_model_that_became_quicker_is_found_out() -> None:
    polls, draw = learned(400, median_s=60.0), random.Random(3)
    lags_s = [follow(polls, draw.uniform(1.0, 3.0), draw.random)[1] for _ in range(400)]
    assert sum(lags_s[:20]) / 20 > 5.0
    assert sum(lags_s[-100:]) / 100 < 1.0


def test_failed_polls_back_off_and_never_hurry() -> None:
    polls = Polls(RunSettings(poll_floor_s=0.5))
    waits = [polls.wait_s(replace(JOB, poll_failures=n), NOW + 5, 0.9999999) for n in (1, 2, 3, 4, 20)]
    assert waits == pytest.approx([0.5, 1.0, 2.0, 4.0, 60.0], rel=1e-6)
    assert polls.wait_s(replace(JOB, poll_failures=20), NOW + 5, 0.0) == 0.5


def test_a_request_taken_up_again_is_looked_at_soon_but_not_all_at_once() -> None:
    taken_up = replace(JOB, looked_at=None, polls=7)
    assert [learned(50).wait_s(taken_up, NOW + 3600, jitter) for jitter in (0.0, 0.5)] == [0.0, 0.5 * TAKEN_UP_S]


def test_a_place_in_the_queue_puts_the_poll_off_by_the_pace_of_the_queue() -> None:
    polls = Polls(SETTINGS.model_copy(update={"poll_ceiling_s": 1000.0}))
    queued = replace(JOB, queued=True, queue_position=40)
    before_s = polls.wait_s(queued, NOW, 0.5)
    polls.looked(queued, NOW + 10, Running(True, 30))
    assert polls.wait_s(queued, NOW + 10, 0.5) == pytest.approx(40.0)
    assert polls.wait_s(replace(queued, queue_position=None), NOW + 10, 0.5) < 10.0
    assert before_s < 10.0, "nobody knows yet how fast it moves"


def test_a_queue_that_stands_still_or_goes_back_tells_no_pace() -> None:
    polls = Polls(SETTINGS)
    queued = replace(JOB, queued=True, queue_position=5)
    for position in (5, 9):
        polls.looked(queued, NOW + 10, Running(True, position))
    assert polls.wait_s(queued, NOW + 10, 0.5) == pytest.approx(polls.wait_s(replace(queued, queue_position=None), NOW + 10, 0.5))


@given(
    age_s=st.floats(-1e6, 1e9), jitter=st.floats(0, 1, exclude_max=True), polls=st.integers(0, 5), failures=st.integers(0, 10_000),
    floor=st.floats(0.001, 100), ceiling=st.floats(0.001, 100), position=st.none() | st.integers(0, 10**9), jobs=st.integers(0, 8),
)  # fmt: skip
def test_a_wait_is_always_sane(
    age_s: float, jitter: float, polls: int, failures: int, floor: float, ceiling: float, position: int | None, jobs: int
) -> None:
    settings = RunSettings(poll_floor_s=floor, poll_ceiling_s=ceiling)
    job = replace(JOB, polls=polls, poll_failures=failures, queue_position=position)
    of = Polls(settings)
    for _ in range(jobs):
        of.looked(JOB, NOW + 3, DONE)
        of.looked(replace(JOB, queue_position=3), NOW + 3, Running(True, 2))
    wait = of.wait_s(job, NOW + age_s, jitter)
    assert 0.0 <= wait <= max(settings.backoff_ceiling_s, floor, ceiling * (1 + SPREAD))
    if not failures:
        assert wait >= min(floor, ceiling) * (1 - SPREAD) - 1e-12


# ── a budget for all of them ──────────────────────────────────────────────────────────────────────────────────────────


def test_polls_wait_for_their_turn_where_there_are_more_than_the_budget_allows() -> None:
    polls = Polls(RunSettings(polls_per_s=4.0))
    assert [polls.turn_s(NOW) for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert polls.turn_s(NOW + 0.5) == 0.5
    assert [polls.turn_s(NOW + 100), polls.turn_s(NOW + 100.25)] == [0.0, 0.0], "what was not used is not saved up"


def test_turns_that_were_not_waited_for_are_free_again() -> None:
    polls = Polls(RunSettings(polls_per_s=4.0))
    waits_s = [polls.turn_s(NOW) for _ in range(100)]
    for _ in filter(None, waits_s):
        polls.turn_unused()
    assert polls.turn_s(NOW) == pytest.approx(waits_s[1])


def test_without_a_budget_nobody_waits() -> None:
    polls = Polls(RunSettings())
    assert {polls.turn_s(NOW) for _ in range(1000)} == {0.0}


# ── what is learned ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("event", "jobs"), [(DONE, 1), (Died(FAILURE), 1), (Running(False), 0), (Unread(FAILURE), 0), (Cancelled(), 0)])
def test_what_a_poll_teaches(event: Event, jobs: int) -> None:
    polls = Polls(SETTINGS)
    before = polls.times(MODEL).hazard(5.0)
    polls.looked(JOB, NOW + 10, event)
    assert polls.times(MODEL).jobs == pytest.approx(jobs)
    assert (polls.times(MODEL).hazard(5.0) == before) is isinstance(event, Unread | Cancelled)


def test_what_an_earlier_run_submitted_tells_nothing_of_how_long_a_request_takes() -> None:
    polls = Polls(SETTINGS)
    for job in (replace(JOB, looked_at=None), replace(JOB, submitted_at=None)):
        polls.looked(job, NOW + 1e6, DONE)
    assert not polls.is_changed
    assert polls.keep() == {}


def test_what_was_learned_is_kept_by_model() -> None:
    polls = learned(60)
    assert polls.is_changed
    kept = json.loads(json.dumps(polls.keep()))
    assert not polls.is_changed
    assert list(kept) == [MODEL]
    again = Polls(SETTINGS)
    again.recall(kept)
    for age_s in (0.0, 6.0, 20.0):
        assert again.wait_s(JOB, NOW + age_s, 0.5) == pytest.approx(polls.wait_s(JOB, NOW + age_s, 0.5), rel=0.01)


def test_of_many_models_those_that_most_is_known_of_are_kept() -> None:
    polls = learned(3)
    for number in range(2 * MODELS_MAX):
        polls.looked(replace(JOB, spec=replace(JOB.spec, model=f"m{number}")), NOW + 1, DONE)
    assert len(polls.keep()) == MODELS_MAX
    assert MODEL in polls.keep()


FOREIGN: list[Any] = [
    None, [], 3, "x", {}, {"m": None}, {MODEL: {"bins": 7}}, {MODEL: {"bins": [1, 2]}}, {MODEL: {"bins": [["a", "b", "c"]]}}, {MODEL: [[0, 1, 1]]},
    {MODEL: {"bins": [[0, -1, 1]]}}, {MODEL: {"bins": [[0, float("nan"), 1]]}}, {MODEL: {"bins": [[0, 1, float("inf")]]}},
    {MODEL: {"bins": [[10**6, 1, 1]]}}, {MODEL: {"bins": [[0.5, 1, 1]]}}, {MODEL: {"bins": [[0, 10**400, 1]]}}, {MODEL: {"bins": {"0": 1}}},
]  # fmt: skip


@pytest.mark.parametrize("kept", FOREIGN, ids=str)
def test_what_is_no_memory_of_ours_is_ignored(kept: object) -> None:
    polls, blank = Polls(SETTINGS), Polls(SETTINGS)
    polls.recall(kept)
    assert polls.wait_s(JOB, NOW + 5, 0.5) == blank.wait_s(JOB, NOW + 5, 0.5)
    polls.looked(JOB, NOW + 5, DONE)
    assert list(polls.keep()) == [MODEL]


# ── requests that are stuck ───────────────────────────────────────────────────────────────────────────────────────────


def polls_after(*durations_s: float, **settings: Any) -> Polls:
    polls = Polls(RunSettings(**settings))
    for duration_s in durations_s:
        polls.looked(replace(JOB, looked_at=NOW + 0.99 * duration_s), NOW + duration_s, DONE)
    return polls


@pytest.mark.fault("D1", "X11")
@pytest.mark.parametrize(
    ("durations_s", "job_timeout_s", "after_s"),
    [
        ([], 7200.0, 1800.0),
        ([10.0] * (STUCK_SAMPLES - 1), 7200.0, 1800.0),
        ([10.0] * STUCK_SAMPLES, 7200.0, 300.0),
        ([60.0, 10.0, 10.0, 10.0, 10.0], 7200.0, 300.0),
        ([200.0, 10.0, 10.0, 10.0, 10.0], 7200.0, 4 * 200.0),
        ([4000.0] * STUCK_SAMPLES, 7200.0, 7200.0),
        ([10.0] * STUCK_SAMPLES, 60.0, 60.0),
        ([], 60.0, 15.0),
    ],
)
def test_from_when_on_a_request_is_called_stuck(durations_s: list[float], job_timeout_s: float, after_s: float) -> None:
    polls = polls_after(*durations_s, job_timeout_s=job_timeout_s)
    found_s = polls.stuck_after_s(MODEL)
    assert after_s <= found_s <= 1.16 * after_s, "to one bin of the distribution"
    assert found_s == after_s or max(durations_s) > 75.0
    assert not polls.stuck_words(JOB, NOW + found_s - 0.1)
    assert polls.stuck_words(JOB, NOW + found_s + 0.1)


@pytest.mark.fault("D1", "X11")
def test_requests_that_never_end_do_not_put_off_when_they_are_called_stuck() -> None:
    polls = polls_after(*[10.0] * 20)
    for age_s in range(10, 7000, 10):
        polls.looked(replace(JOB, looked_at=NOW + age_s - 10), NOW + age_s, Running(False))
    assert polls.stuck_after_s(MODEL) == 300.0


@pytest.mark.fault("X11")
def test_each_model_is_measured_by_its_own() -> None:
    polls = polls_after(*[10.0] * 20)
    film = replace(JOB, spec=replace(JOB.spec, model="acme/film"))
    for _ in range(20):
        polls.looked(replace(film, looked_at=NOW + 590), NOW + 600, DONE)
    assert polls.stuck_words(JOB, NOW + 900)
    assert not polls.stuck_words(film, NOW + 900)


@pytest.mark.fault("X11")
def test_each_request_is_told_of_once() -> None:
    polls = polls_after()
    other = replace(JOB, request_id="r2")
    assert [bool(polls.stuck_words(job, NOW + 1e6)) for job in (JOB, JOB, other)] == [True, False, True]
    assert not polls.stuck_words(replace(JOB, request_id="r3", submitted_at=None), NOW + 1e9)


@pytest.mark.fault("X11")
def test_the_notice_says_which_since_when_and_what_becomes_of_it() -> None:
    job = replace(JOB, queued=True, watched_since=NOW)
    assert polls_after(*[50.0] * 5).stuck_words(job, NOW + 400) == (
        "Row a: its request r is in the queue of the service for 400 s, and hardly any other of its model took longer than 54 s. "
        "The rest goes on; it is given up in 6800 s, its id kept (job_timeout_s)."
    )
    assert polls_after(on_stuck="wait").stuck_words(replace(job, queued=False), NOW + 9000) == (
        "Row a: its request r is running at the service for 9000 s. The rest goes on; it is waited for (on_stuck: wait)."
    )
    assert "at the service for" in polls_after().stuck_words(replace(job, queued=None), NOW + 9000)
    assert "given up in 0 s" in polls_after().stuck_words(job, NOW + 9000)


def test_it_takes_few_jobs_until_a_model_counts_as_known() -> None:
    assert EARLY_JOBS <= STUCK_SAMPLES <= 10
