from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.events import (
    Abandon,
    Accepted,
    Adopt,
    Broken,
    CancelAsked,
    Cancelled,
    Claimed,
    Contested,
    Died,
    Event,
    Expired,
    Found,
    Lost,
    Missing,
    NotCancellable,
    Produced,
    Redo,
    Refused,
    Resubmit,
    Retry,
    Running,
    Saved,
    Unread,
)
from batcher.lifecycle import TABLE, UNREADS, Command, advance, is_durable, lane_of, moves, next_command
from batcher.model import Artifact, CancelWish, Failure, FailureKind, Job, Lane, Mode, State
from batcher.settings import RunSettings
from tests.support.engine_world import make_spec

NOW = 1_000_000.0
DAY_S = 86_400.0
SETTINGS = RunSettings()
PLANNED, SUBMITTING, IN_DOUBT, SUBMITTED = State.PLANNED, State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED
PRODUCED, DONE, FAILED, CANCELLED = State.PRODUCED, State.DONE, State.FAILED, State.CANCELLED
REASON = Failure(FailureKind.UNREACHABLE, "no")
FILE = Artifact("results/a.png", "00" * 32, 10, "image/png", 4, 4)

JOBS = {
    PLANNED: Job(1, make_spec("a")),
    SUBMITTING: Job(1, make_spec("a"), SUBMITTING, attempts=1),
    IN_DOUBT: Job(1, make_spec("a"), IN_DOUBT, attempts=1, failure=REASON, ended_at=NOW - 9),
    SUBMITTED: Job(1, make_spec("a"), SUBMITTED, attempts=1, request_id="r1", submitted_at=NOW - 10, watched_since=NOW - 10),
    PRODUCED: Job(1, make_spec("a"), PRODUCED, attempts=1, request_id="r1", submitted_at=NOW - 10, produced_at=NOW - 1, outputs=("https://x/a",)),
    DONE: Job(1, make_spec("a"), DONE, attempts=1, request_id="r1", artifacts=(FILE,), ended_at=NOW - 1),
    FAILED: Job(1, make_spec("a"), FAILED, attempts=1, request_id="r1", artifacts=(FILE,), failure=REASON, ended_at=NOW - 1),
    CANCELLED: Job(1, make_spec("a"), CANCELLED, attempts=1, request_id="r1", failure=REASON, ended_at=NOW - 1),
}

EVERY_MOVE: list[tuple[State, Event, State]] = [
    (PLANNED, Claimed(), SUBMITTING),
    (PLANNED, Refused(REASON, transient=False), FAILED),
    (SUBMITTING, Accepted("r2"), SUBMITTED),
    (SUBMITTING, Refused(REASON, transient=True), PLANNED),
    (SUBMITTING, Refused(REASON, transient=False), FAILED),
    (SUBMITTING, Lost(REASON), IN_DOUBT),
    (IN_DOUBT, Resubmit(), PLANNED),
    (IN_DOUBT, Adopt("r3"), SUBMITTED),
    (IN_DOUBT, Abandon(), FAILED),
    (SUBMITTED, Contested(REASON), IN_DOUBT),
    (PRODUCED, Contested(REASON), IN_DOUBT),
    (SUBMITTED, Running(True, 3), SUBMITTED),
    (SUBMITTED, Running(False), SUBMITTED),
    (SUBMITTED, Running(None), SUBMITTED),
    (SUBMITTED, Unread(REASON), SUBMITTED),
    (SUBMITTED, Produced(("https://x/a",)), PRODUCED),
    (SUBMITTED, Died(REASON), FAILED),
    (SUBMITTED, Died(REASON, transient=True), FAILED),  # another attempt costs money: a policy, never a default
    (SUBMITTED, CancelAsked(CancelWish.CANCEL), SUBMITTED),
    (SUBMITTED, CancelAsked(CancelWish.WITHDRAW), SUBMITTED),
    (SUBMITTED, Cancelled(), CANCELLED),
    (SUBMITTED, NotCancellable(), SUBMITTED),
    (SUBMITTED, NotCancellable(certain=False), SUBMITTED),
    (PRODUCED, Saved((FILE,), 1.0), DONE),
    (PRODUCED, Broken(REASON, transient=True), PRODUCED),
    (PRODUCED, Broken(REASON, transient=False), FAILED),
    (PRODUCED, Expired(REASON), SUBMITTED),
    (DONE, Missing(REASON), SUBMITTED),
    (DONE, Redo(), PLANNED),
    (DONE, Redo({"prompt": "another"}, revised=True), PLANNED),
    (FAILED, Found(), DONE),
    (FAILED, Retry(), PLANNED),
    (FAILED, Retry(regenerate=True), PLANNED),
    (CANCELLED, Retry(), PLANNED),
    (CANCELLED, Retry(regenerate=True), PLANNED),
]
SAMPLES: dict[type, list[Event]] = {}
for _, sample, _ in EVERY_MOVE:
    SAMPLES.setdefault(type(sample), [])
    if sample not in SAMPLES[type(sample)]:
        SAMPLES[type(sample)].append(sample)


def after(job: Job, *events: Event, now: float = NOW, jitter: float = 0.5, settings: RunSettings = SETTINGS) -> Job:
    for event in events:
        job = advance(job, event, now=now, jitter=jitter, settings=settings)
    return job


def test_every_event_there_is_has_a_sample() -> None:
    assert set(SAMPLES) == set(Event.__args__)
    assert set(JOBS) == set(State)


@pytest.mark.parametrize(("state", "event", "to"), EVERY_MOVE, ids=lambda value: str(value)[:60])
def test_an_allowed_event_moves_as_the_table_says(state: State, event: Event, to: State) -> None:
    assert after(JOBS[state], event).state is to


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_every_other_event_raises_and_names_the_row(state: State, kind: type) -> None:
    allowed = {(of, type(event)) for of, event, _ in EVERY_MOVE}
    assert ((state, kind) in TABLE) == ((state, kind) in allowed)
    assert (kind in moves(state)) == ((state, kind) in allowed)
    if (state, kind) not in allowed:
        for event in SAMPLES[kind]:
            with pytest.raises(ValueError, match=f"row a: {kind.__name__} cannot happen to a row that is {state}"):
                after(JOBS[state], event)


COMMANDS: dict[tuple[State, Lane, Mode], Command] = {
    (PLANNED, Lane.REMOTE, Mode.RUN): Command.CLAIM,
    (SUBMITTING, Lane.REMOTE, Mode.RUN): Command.SUBMIT,
    (SUBMITTING, Lane.REMOTE, Mode.COLLECT): Command.SUBMIT,  # the intent is written: what follows it is not left out
    (SUBMITTING, Lane.REMOTE, Mode.DRAIN): Command.SUBMIT,
    (SUBMITTING, Lane.REMOTE, Mode.CANCEL): Command.SUBMIT,
    (SUBMITTED, Lane.REMOTE, Mode.RUN): Command.POLL,
    (SUBMITTED, Lane.REMOTE, Mode.COLLECT): Command.POLL,
    (SUBMITTED, Lane.REMOTE, Mode.DRAIN): Command.ASK_CANCEL,
    (SUBMITTED, Lane.REMOTE, Mode.CANCEL): Command.ASK_CANCEL,
    (PRODUCED, Lane.DOWNLOAD, Mode.RUN): Command.FETCH,
    (PRODUCED, Lane.DOWNLOAD, Mode.COLLECT): Command.FETCH,
    (PRODUCED, Lane.DOWNLOAD, Mode.DRAIN): Command.FETCH,
    (PRODUCED, Lane.DOWNLOAD, Mode.CANCEL): Command.FETCH,
}


@pytest.mark.parametrize(("state", "lane", "mode"), list(itertools.product(State, Lane, Mode)))
def test_what_a_lane_does_next(state: State, lane: Lane, mode: Mode) -> None:
    assert next_command(JOBS[state], lane, mode, NOW) is COMMANDS.get((state, lane, mode))


@pytest.mark.parametrize("state", State)
def test_the_lane_of_a_state(state: State) -> None:
    remote, download = {PLANNED, SUBMITTING, SUBMITTED}, {PRODUCED}
    assert lane_of(state) is (Lane.REMOTE if state in remote else Lane.DOWNLOAD if state in download else None)
    assert (lane_of(state) is not None) == state.is_open
    assert state.is_terminal == (state in (DONE, FAILED, CANCELLED))


@pytest.mark.parametrize(("state", "lane"), [(PLANNED, Lane.REMOTE), (PRODUCED, Lane.DOWNLOAD)])
def test_a_row_that_waits_is_let_go_until_its_time(state: State, lane: Lane) -> None:
    waiting = replace(JOBS[state], not_before=NOW + 1)
    assert next_command(waiting, lane, Mode.RUN, NOW) is None
    assert next_command(waiting, lane, Mode.RUN, NOW + 1) is not None


@pytest.mark.parametrize(("mode", "wish"), [(Mode.DRAIN, CancelWish.WITHDRAW), (Mode.CANCEL, CancelWish.CANCEL)])
def test_a_wish_is_recorded_then_carried_out_and_never_confused_with_the_other(mode: Mode, wish: CancelWish) -> None:
    asked = after(JOBS[SUBMITTED], CancelAsked(wish))
    other = next(one for one in CancelWish if one is not wish)
    assert next_command(asked, Lane.REMOTE, mode, NOW) is Command.CANCEL
    assert next_command(replace(asked, cancel=other), Lane.REMOTE, mode, NOW) is Command.ASK_CANCEL


@pytest.mark.parametrize("change", [{"queued": False}, {"cancel_refused": True}])
def test_what_runs_is_waited_for_by_a_stop_and_left_alone_by_a_cancel(change: dict[str, bool]) -> None:
    running = replace(JOBS[SUBMITTED], **change)
    assert next_command(running, Lane.REMOTE, Mode.DRAIN, NOW) is Command.POLL
    assert next_command(running, Lane.REMOTE, Mode.CANCEL, NOW) is None


# ── submitting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_claiming_counts_an_attempt_and_puts_the_last_request_away() -> None:
    job = after(replace(JOBS[PLANNED], attempts=1, request_id="r0", cost_usd=0.5, earlier_cost_usd=0.25), Claimed())
    assert (job.attempts, job.request_id, job.cost_usd, job.earlier_cost_usd) == (2, None, None, 0.75)


def test_acceptance_begins_the_request_afresh() -> None:
    job = after(replace(JOBS[SUBMITTING], refusals=3, failure=REASON, not_before=5.0, polls=4, poll_failures=2, fetches=1), Accepted("r9"))
    assert (job.request_id, job.submitted_at, job.refusals, job.failure, job.not_before) == ("r9", NOW, 0, None, 0.0)
    assert (job.polls, job.poll_failures, job.fetches, job.queued) == (0, 0, 0, None)


USED: dict[str, Any] = {
    "refusals": 6, "fetches": 2, "queued": True, "queue_position": 7, "not_before": NOW + 99, "submitted_at": NOW - 50, "started_at": NOW - 40,
    "produced_at": NOW - 30, "ended_at": NOW - 20, "outputs": ("https://x/a",), "cost_usd": 0.1, "earlier_cost_usd": 0.2, "unpriced": 3,
    "failure": Failure(FailureKind.STALLED, "too long"), "cancel": CancelWish.WITHDRAW, "cancel_refused": True, "polls": 5, "poll_failures": 4,
    "denials": 3,
}  # fmt: skip
"""Traces that a request leaves."""


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (SUBMITTING, Refused(REASON, transient=True)),
        (IN_DOUBT, Resubmit()),
        (SUBMITTED, Died(REASON, transient=True)),
        (SUBMITTED, Cancelled()),
        (FAILED, Retry(regenerate=True)),
        (CANCELLED, Retry(regenerate=True)),
    ],
)
def test_a_row_that_is_planned_again_keeps_only_the_account_of_its_last_request(state: State, event: Event) -> None:
    job = after(replace(JOBS[state], **USED), event, settings=RunSettings(regenerations=1))
    assert job.total_cost_usd == pytest.approx(0.3)
    account = ("attempts", "refusals", "not_before", "failure", "request_id", "cost_usd", "earlier_cost_usd", "unpriced")
    assert job == Job(1, make_spec("a"), **{name: getattr(job, name) for name in account})


@pytest.mark.parametrize(("state", "event"), [(SUBMITTING, Accepted("r9")), (IN_DOUBT, Adopt("r9")), (FAILED, Retry())])
def test_a_request_that_is_waited_for_begins_afresh(state: State, event: Event) -> None:
    job = after(replace(JOBS[state], **USED), event)
    fresh = {"refusals": 0, "fetches": 0, "queued": None, "not_before": 0.0, "submitted_at": NOW, "ended_at": None, "failure": None, "cancel": None}
    fresh |= {"cancel_refused": False, "polls": 0, "poll_failures": 0, "denials": 0}
    assert {name: getattr(job, name) for name in fresh} == fresh
    assert job.state is SUBMITTED


def test_a_refusal_costs_no_attempt_and_waits_longer_each_time() -> None:
    job, waits = JOBS[PLANNED], []
    for _ in range(12):
        job = after(job, Claimed(), Refused(REASON, transient=True), jitter=1.0)
        waits.append(job.not_before - NOW)
        assert job.attempts == 0
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == SETTINGS.backoff_ceiling_s
    assert (job.refusals, job.failure) == (12, REASON)


def test_the_advice_of_the_service_when_to_come_back_is_the_least_wait() -> None:
    assert after(JOBS[SUBMITTING], Refused(REASON, transient=True, retry_after_s=40.0)).not_before == NOW + 40.0
    assert after(JOBS[SUBMITTING], Refused(REASON, transient=True, retry_after_s=0.0), jitter=0.5).not_before == NOW + 0.25


def test_too_many_refusals_fail_the_row_and_a_retry_forgets_them() -> None:
    settings = RunSettings(refusals=2)
    job = JOBS[PLANNED]
    for _ in range(3):
        job = after(job, Claimed(), Refused(REASON, transient=True), settings=settings)
    assert (job.state, job.refusals, job.attempts, job.ended_at) == (FAILED, 3, 0, NOW)
    again = after(job, Retry(), settings=settings)
    assert (again.state, again.refusals, again.ended_at) == (PLANNED, 0, None)


def test_a_row_in_doubt_may_have_been_charged() -> None:
    job = after(JOBS[SUBMITTING], Lost(REASON))
    assert (job.attempts, job.failure, job.ended_at) == (1, REASON, NOW)
    assert not job.state.is_open
    assert not job.state.is_terminal


@pytest.mark.parametrize("state", [SUBMITTED, PRODUCED])
def test_a_row_whose_request_is_contested_waits_for_a_person_with_its_id_and_its_account(state: State) -> None:
    used = replace(JOBS[state], **USED)
    assert after(used, Contested(REASON)) == replace(
        used, state=IN_DOUBT, failure=REASON, ended_at=NOW, outputs=(), cancel=None, not_before=0.0
    )  # fmt: skip


def test_a_contested_request_is_nobodys_once_its_row_is_settled_without_it() -> None:
    contested = replace(JOBS[IN_DOUBT], request_id="r1")
    assert after(contested, Resubmit()).request_id is None
    assert after(contested, Abandon()).request_id is None


def test_files_that_a_row_had_are_given_up_with_it() -> None:
    """A row whose lost files were asked for again, and whose request then turned out to be that of another row."""
    contested = after(JOBS[DONE], Missing(REASON), Produced(("https://x/a",)), Contested(REASON))
    given_up = after(contested, Abandon())
    assert (given_up.request_id, given_up.artifacts) == (None, ())
    with pytest.raises(ValueError, match="never had a file"):
        after(given_up, Found())


def test_a_person_settles_a_doubt() -> None:
    assert after(JOBS[IN_DOUBT], Resubmit(), Claimed()).attempts == 2
    adopted = after(JOBS[IN_DOUBT], Adopt("r7"))
    assert (adopted.request_id, adopted.attempts, adopted.submitted_at, adopted.ended_at) == ("r7", 1, NOW, None)
    given_up = after(JOBS[IN_DOUBT], Abandon())
    assert given_up.failure is not None
    assert given_up.failure.kind is FailureKind.ABANDONED


# ── waiting for the service ───────────────────────────────────────────────────────────────────────────────────────────


def test_polls_and_their_failures_are_counted() -> None:
    job = after(JOBS[SUBMITTED], Unread(REASON), Unread(REASON), Running(True, 7))
    assert (job.polls, job.poll_failures, job.queued, job.queue_position, job.started_at) == (3, 0, True, 7, None)
    assert after(JOBS[SUBMITTED], Unread(REASON), Unread(REASON)).poll_failures == 2


def test_a_poll_is_not_repeated_before_the_service_wants_to_be_asked() -> None:
    job = after(JOBS[SUBMITTED], Unread(REASON, retry_after_s=30.0))
    assert job.not_before == NOW + 30.0
    assert after(job, Unread(REASON, retry_after_s=1.0)).not_before == NOW + 30.0
    assert after(job, Unread(REASON)).not_before == NOW + 30.0


def test_the_first_sight_of_it_running_is_when_it_started() -> None:
    job = after(after(JOBS[SUBMITTED], Running(False), now=NOW - 5), Running(False), Running(None), now=NOW)
    assert (job.started_at, job.queued) == (NOW - 5, False)


def test_a_request_that_takes_too_long_stalls_with_its_id_kept() -> None:
    settings = RunSettings(job_timeout_s=10.0)
    assert after(JOBS[SUBMITTED], Running(False), now=NOW, settings=settings).state is SUBMITTED
    late = after(JOBS[SUBMITTED], Running(False), now=NOW + 0.1, settings=settings)
    assert late.state is FAILED
    assert late.failure is not None
    assert late.failure.kind is FailureKind.STALLED
    assert late.request_id == "r1"


def test_a_request_that_can_never_be_read_stalls_too_at_the_twentieth_try_after_its_time() -> None:
    job = after(JOBS[SUBMITTED], *[Unread(REASON)] * 100)
    assert job.state is SUBMITTED, "its time is not over"
    job = after(job, Running(None), *[Unread(REASON)] * 19, now=NOW + SETTINGS.job_timeout_s - 10)
    late = NOW + SETTINGS.job_timeout_s
    assert after(job, Unread(REASON), now=late - 10).state is SUBMITTED
    stalled = after(job, Unread(REASON), now=late)
    assert stalled.state is FAILED
    assert stalled.failure is not None
    assert (stalled.failure.kind, stalled.failure.message) == (FailureKind.STALLED, REASON.message)
    assert "retry" in stalled.failure.remedy
    assert after(job, Running(None), *[Unread(REASON)] * 19, now=late - 10).state is SUBMITTED


def test_only_denials_in_a_row_are_counted() -> None:
    job = after(JOBS[SUBMITTED], Unread(REASON, denied=True), Unread(REASON), Unread(REASON, denied=True))
    assert job.denials == 2
    assert after(job, Running(None)).denials == 0
    assert after(job, Produced(("u",))).denials == 0


def test_a_row_that_fails_while_a_cancel_is_asked_for_is_past_cancelling() -> None:
    assert after(JOBS[SUBMITTED], CancelAsked(CancelWish.WITHDRAW), Died(REASON)).cancel is None


@pytest.mark.fault("G5")
@pytest.mark.parametrize("event", [Running(False), Unread(REASON)])
def test_time_that_only_a_clock_tells_of_stalls_nothing(event: Event) -> None:
    """What passed between two processes may be a clock that somebody set."""
    job = replace(JOBS[SUBMITTED], submitted_at=NOW - 10 * DAY_S, watched_since=None)
    for n in range(2 * UNREADS):
        job = after(job, event, now=NOW + n)
    assert job.state is SUBMITTED
    assert after(job, event, now=NOW + DAY_S).state is FAILED


def test_a_request_that_can_never_be_read_stalls_too() -> None:
    job = JOBS[SUBMITTED]
    for n in range(1000):
        job = after(job, Unread(REASON), now=NOW + 60.0 * n) if job.state is SUBMITTED else job
    assert job.state is FAILED


def test_a_result_keeps_what_is_known_of_its_cost() -> None:
    assert after(JOBS[SUBMITTED], Produced(("u",), 0.08)).cost_usd == 0.08
    assert after(replace(JOBS[SUBMITTED], cost_usd=0.08), Produced(("u",))).cost_usd == 0.08
    assert after(replace(JOBS[SUBMITTED], cost_usd=0.08), Died(REASON)).cost_usd == 0.08
    job = after(JOBS[SUBMITTED], Produced(("u", "v")))
    assert (job.outputs, job.produced_at, job.started_at, job.queued, job.cost_usd) == (("u", "v"), NOW, NOW, False, None)


def test_a_result_that_is_read_again_keeps_the_times_of_the_first_reading() -> None:
    used = replace(JOBS[SUBMITTED], **USED)
    assert after(used, Produced(("u",), 0.3)) == replace(
        used, state=PRODUCED, outputs=("u",), cost_usd=0.3, queued=False, queue_position=None, not_before=0.0, cancel=None, polls=6, poll_failures=0,
        denials=0,
    )  # fmt: skip


def test_the_poll_that_brings_bad_news_is_counted() -> None:
    assert after(replace(JOBS[SUBMITTED], polls=4), Died(REASON)).polls == 5


def test_costs_of_several_attempts_add_up() -> None:
    settings = RunSettings(regenerations=2)
    job = JOBS[PLANNED]
    for cost in (0.1, None, 0.2):
        job = after(job, Claimed(), Accepted("r"), Died(REASON, transient=True, cost_usd=cost), settings=settings)
    assert job.state is FAILED
    assert (job.attempts, job.cost_usd, job.earlier_cost_usd) == (3, 0.2, 0.1)
    assert job.total_cost_usd == pytest.approx(0.3)
    job = after(job, Retry(), Claimed(), Accepted("r"), Produced(("u",), 0.4), settings=settings)
    assert job.total_cost_usd == pytest.approx(0.7)


def test_requests_whose_cost_nobody_knows_are_counted_once_each() -> None:
    settings = RunSettings(regenerations=9)
    died, refused = Died(REASON, transient=True), Refused(REASON, transient=True)
    job = after(JOBS[PLANNED], Claimed(), refused, Claimed(), Accepted("r1"), settings=settings)
    assert job.unpriced == 1
    job = after(job, replace(died, cost_usd=0.1), Claimed(), refused, Claimed(), refused, Claimed(), settings=settings)
    assert job.unpriced == 0
    job = after(job, Lost(REASON), Resubmit(), Claimed(), refused, Claimed(), Accepted("r3"), settings=settings)
    assert job.unpriced == 2
    job = after(job, died, Claimed(), Accepted("r4"), CancelAsked(CancelWish.WITHDRAW), Cancelled(), settings=settings)
    assert job.unpriced == 2
    job = after(job, Claimed(), Lost(REASON), Adopt("r5"), Produced(("u",), 0.2), Expired(REASON), Produced(("u",), 0.3), settings=settings)
    assert job.unpriced == 2
    assert job.total_cost_usd == pytest.approx(0.4)


def test_nothing_known_of_the_cost_is_not_zero() -> None:
    assert JOBS[PLANNED].total_cost_usd is None
    assert replace(JOBS[PLANNED], cost_usd=0.0).total_cost_usd == 0.0
    assert replace(JOBS[PLANNED], earlier_cost_usd=0.5).total_cost_usd == 0.5


def test_another_attempt_of_a_dead_generation_is_bounded_by_the_policy_and_waits() -> None:
    settings = RunSettings(regenerations=1)
    job = after(JOBS[SUBMITTED], Died(REASON, transient=True), settings=settings)
    assert (job.state, job.attempts, job.not_before, job.failure) == (PLANNED, 1, NOW + 0.25, REASON)
    assert after(job, Claimed(), Accepted("r2"), Died(REASON, transient=True), settings=settings).state is FAILED
    assert after(JOBS[SUBMITTED], Died(REASON), settings=settings).state is FAILED


# ── taking back ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_withdrawn_is_planned_again_and_counts_no_attempt() -> None:
    job = after(JOBS[SUBMITTED], CancelAsked(CancelWish.WITHDRAW), Cancelled())
    assert (job.state, job.attempts, job.cancel, job.failure, job.not_before, job.submitted_at) == (PLANNED, 0, None, None, 0.0, None)
    assert after(replace(JOBS[SUBMITTED], unpriced=1), CancelAsked(CancelWish.WITHDRAW), Cancelled()).unpriced == 0
    later = after(replace(JOBS[SUBMITTED], attempts=3, unpriced=3), CancelAsked(CancelWish.WITHDRAW), Cancelled())
    assert (later.attempts, later.unpriced) == (2, 2), "the earlier ones count"
    priced = after(replace(JOBS[SUBMITTED], unpriced=3, cost_usd=0.1), CancelAsked(CancelWish.WITHDRAW), Cancelled())
    assert (priced.unpriced, priced.cost_usd) == (3, 0.1)


def test_what_a_person_cancelled_stays_cancelled_until_a_person_retries() -> None:
    job = after(JOBS[SUBMITTED], CancelAsked(CancelWish.CANCEL), Cancelled())
    assert (job.state, job.attempts, job.cancel, job.ended_at) == (CANCELLED, 1, None, NOW)
    assert job.failure is not None
    assert job.failure.kind is FailureKind.CANCELLED


def test_what_somebody_else_cancelled_is_cancelled() -> None:
    assert after(JOBS[SUBMITTED], Cancelled()).state is CANCELLED


def test_a_refused_cancel_is_not_asked_again_and_a_lost_one_is_remembered() -> None:
    asked = after(JOBS[SUBMITTED], CancelAsked(CancelWish.WITHDRAW))
    certain = after(asked, NotCancellable())
    assert (certain.cancel, certain.cancel_refused) == (None, True)
    lost = after(asked, NotCancellable(certain=False))
    assert (lost.cancel, lost.cancel_refused) == (CancelWish.WITHDRAW, True)
    assert after(lost, Cancelled()).state is PLANNED
    assert after(lost, Produced(("u",))).cancel is None


# ── downloading and trying again ──────────────────────────────────────────────────────────────────────────────────────


def test_broken_downloads_wait_longer_each_time_and_end_as_failed_never_as_another_generation() -> None:
    job = JOBS[PRODUCED]
    for n in range(1, SETTINGS.download_attempts):
        job = after(job, Broken(REASON, transient=True), jitter=1.0)
        assert (job.fetches, job.attempts, job.request_id, job.not_before) == (n, 1, "r1", NOW + min(60.0, 0.5 * 2 ** (n - 1)))
        if job.state is SUBMITTED:
            job = after(job, Produced(("https://x/new",)))
    job = after(job, Broken(REASON, transient=True))
    assert (job.state, job.fetches, job.attempts, job.request_id) == (FAILED, SETTINGS.download_attempts, 1, "r1")


def test_after_every_second_broken_download_the_result_is_read_again_since_its_links_may_have_changed() -> None:
    once = after(JOBS[PRODUCED], Broken(REASON, transient=True))
    assert (once.state, once.outputs) == (PRODUCED, JOBS[PRODUCED].outputs)
    twice = after(once, Broken(REASON, transient=True, retry_after_s=30.0))
    assert (twice.state, twice.outputs, twice.fetches, twice.not_before) == (SUBMITTED, (), 2, NOW + 30.0)
    assert twice.failure == REASON


def test_the_wait_of_a_download_is_at_least_what_the_host_asks_for() -> None:
    assert after(JOBS[PRODUCED], Broken(REASON, transient=True, retry_after_s=90.0)).not_before == NOW + 90.0
    assert after(JOBS[PRODUCED], Broken(REASON, transient=True), jitter=0.0).not_before == NOW, "jitter goes down to nothing"
    assert after(JOBS[SUBMITTING], Refused(REASON, transient=True), jitter=0.0).not_before == NOW


def test_links_that_keep_expiring_end_too() -> None:
    job = JOBS[PRODUCED]
    for n in range(1, SETTINGS.download_attempts):
        job = after(job, Expired(REASON), jitter=1.0)
        assert (job.state, job.outputs, job.polls, job.fetches) == (SUBMITTED, (), 0, n)
        assert (job.not_before, job.failure) == (NOW + min(60.0, 0.5 * 2 ** (n - 1)), REASON)
        job = after(job, Produced(("u",)))
        assert job.fetches == n
    assert after(job, Expired(REASON)).state is FAILED


def test_what_is_saved_is_done() -> None:
    job = after(replace(JOBS[PRODUCED], failure=REASON), Saved((FILE,), 2.5))
    assert (job.artifacts, job.download_s, job.failure, job.ended_at) == ((FILE,), 2.5, None, NOW)


@pytest.mark.fault("B10", "X9")
def test_a_lost_file_is_fetched_from_the_finished_request_and_nothing_is_submitted_or_cancelled_for_it() -> None:
    done = replace(JOBS[DONE], cost_usd=0.1, fetches=3, produced_at=NOW - 5, submitted_at=NOW - 9000, outputs=("https://x/old",))
    job = after(done, Missing(REASON))
    assert (job.state, job.request_id, job.attempts, job.cost_usd, job.outputs, job.fetches) == (SUBMITTED, "r1", 1, 0.1, (), 0)
    assert (job.artifacts, job.failure, job.ended_at) == ((FILE,), REASON, None)
    for mode in (Mode.RUN, Mode.COLLECT, Mode.DRAIN):
        assert next_command(job, Lane.REMOTE, mode, NOW) is Command.POLL
    assert next_command(job, Lane.REMOTE, Mode.CANCEL, NOW) is None
    other = Artifact("results/a.webp", "11" * 32, 20, "image/webp")
    again = after(job, Produced(("https://x/new",), 0.1), Saved((other,), 1.0))
    assert (again.state, again.artifacts, again.total_cost_usd, again.attempts, again.failure) == (DONE, (other,), 0.1, 1, None)


@pytest.mark.fault("B10", "X9")
def test_a_lost_file_is_looked_for_as_if_nothing_had_gone_wrong_before() -> None:
    job = after(replace(JOBS[DONE], **USED), Missing(REASON))
    fresh = {"queued": False, "not_before": 0.0, "fetches": 0, "polls": 0, "poll_failures": 0, "denials": 0, "cancel": None, "cancel_refused": False}
    assert {name: getattr(job, name) for name in fresh} == fresh
    assert (job.outputs, job.ended_at, job.failure, job.artifacts) == ((), None, REASON, (FILE,))
    assert (job.request_id, job.attempts, job.total_cost_usd) == ("r1", 1, pytest.approx(0.3))


@pytest.mark.fault("B10", "X9")
def test_a_lost_file_is_never_generated_again_by_a_policy_only_by_a_person() -> None:
    settings = RunSettings(regenerations=20)
    lost = after(JOBS[DONE], Missing(REASON), Died(REASON, transient=True), settings=settings)
    assert (lost.state, lost.artifacts) == (FAILED, (FILE,))
    expired = after(JOBS[DONE], Missing(REASON), Died(Failure(FailureKind.EXPIRED, "gone")))
    assert after(expired, Retry()).state is SUBMITTED
    paid_again = after(expired, Retry(regenerate=True))
    assert (paid_again.state, paid_again.artifacts) == (PLANNED, ())


@pytest.mark.fault("B10", "X9")
def test_a_file_that_is_back_makes_its_row_done_and_one_that_never_was_cannot_come_back() -> None:
    expired = after(JOBS[DONE], Missing(REASON), Died(Failure(FailureKind.EXPIRED, "gone")))
    back = after(expired, Found())
    assert (back.state, back.artifacts, back.failure, back.ended_at) == (DONE, (FILE,), None, NOW)
    with pytest.raises(ValueError, match="never had a file"):
        after(replace(expired, artifacts=()), Found())


@pytest.mark.parametrize("kind", FailureKind)
def test_a_retry_collects_before_it_pays(kind: FailureKind) -> None:
    collectable = kind in (FailureKind.STALLED, FailureKind.BAD_RESULT, FailureKind.DOWNLOAD_FAILED, FailureKind.EXPIRED)
    failed = replace(JOBS[FAILED], failure=Failure(kind, "x"), cost_usd=0.1, fetches=8)
    job = after(failed, Retry())
    assert job.state is (SUBMITTED if collectable else PLANNED)
    assert (job.fetches, job.failure, job.ended_at, job.cost_usd, job.request_id) == (0, None, None, 0.1, "r1")
    assert job.attempts == 1
    assert after(failed, Retry(regenerate=True)).state is PLANNED
    assert after(replace(failed, request_id=None), Retry()).state is PLANNED


# ── what has to be written down ───────────────────────────────────────────────────────────────────────────────────────


def test_a_poll_that_tells_nothing_new_need_not_be_written() -> None:
    queued = after(JOBS[SUBMITTED], Running(True, 5))
    assert is_durable(JOBS[SUBMITTED], queued)
    assert not is_durable(queued, after(queued, Running(True, 4)))
    assert not is_durable(queued, after(queued, Unread(REASON)))
    assert is_durable(queued, after(queued, Running(False)))


@pytest.mark.parametrize(
    ("state", "event"), [(state, event) for state, event, to in EVERY_MOVE if type(event) not in (Running, Unread)], ids=lambda value: str(value)[:40]
)
def test_everything_else_is_written(state: State, event: Event) -> None:
    assert is_durable(JOBS[state], after(JOBS[state], event))


# ── properties ────────────────────────────────────────────────────────────────────────────────────────────────────────

PERSON = (Retry, Resubmit, Adopt, Abandon)
CHOICES = {state: [event for kind in sorted(moves(state), key=lambda kind: kind.__name__) for event in SAMPLES[kind]] for state in State}
PRICED: list[Event] = [Produced(("u",), 0.08), Died(REASON, transient=True, cost_usd=0.04), Died(REASON, cost_usd=0.02)]


@given(
    choices=st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1, exclude_max=True), st.floats(0, 5000)), max_size=120),
    regenerations=st.integers(0, 3),
)
def test_nothing_is_paid_for_twice_whatever_happens(choices: list[tuple[int, float, float]], regenerations: int) -> None:
    settings = RunSettings(regenerations=regenerations)
    job, now = JOBS[PLANNED], NOW
    costs: list[float | None] = []  # of every request that may have been charged
    withdrawn_usd = 0.0
    accepted_before, may_submit_again = False, False
    for number, jitter, passed in choices:
        now += passed
        events = CHOICES[job.state] + (PRICED if job.state is SUBMITTED else [])
        events = [event for event in events if job.artifacts or not isinstance(event, Found)]
        if not events:
            break
        event = events[number % len(events)]
        before, job = job, after(job, event, now=now, jitter=jitter, settings=settings)
        withdrawn = isinstance(event, Cancelled) and before.cancel is CancelWish.WITHDRAW
        regenerated = isinstance(event, Died) and event.transient and job.state is PLANNED and before.attempts <= regenerations
        may_submit_again = may_submit_again or withdrawn or regenerated or isinstance(event, (*PERSON, Refused))
        if isinstance(event, Accepted):
            assert may_submit_again or not accepted_before
            accepted_before, may_submit_again = True, False
        if isinstance(event, (Accepted, Lost)):
            costs.append(None)
        elif withdrawn:
            withdrawn_usd += costs.pop() or 0.0
        elif isinstance(event, (Produced, Died)) and event.cost_usd is not None:
            costs[-1] = event.cost_usd
        assert (job.total_cost_usd or 0.0) == pytest.approx(withdrawn_usd + sum(cost or 0.0 for cost in costs))
        assert job.unpriced == sum(cost is None for cost in costs)
        assert job.attempts - (job.state is SUBMITTING) == len(costs)
        assert min(job.attempts, job.refusals, job.fetches, job.polls, job.poll_failures) >= 0
        assert job.fetches <= settings.download_attempts
        assert (job.ended_at is not None) == (not job.state.is_open)
        assert job.state is not DONE or job.artifacts


@given(jitter=st.floats(0, 1, exclude_max=True), refusals=st.integers(0, 30), now=st.floats(0, 4e9))
def test_waits_are_bounded(jitter: float, refusals: int, now: float) -> None:
    job = after(replace(JOBS[SUBMITTING], refusals=refusals), Refused(REASON, transient=True), now=now, jitter=jitter)
    assert job.state is FAILED or now <= job.not_before <= now + SETTINGS.backoff_ceiling_s


# ── a request that two rows have ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("C16")
@pytest.mark.parametrize("state", [SUBMITTED, PRODUCED])
def test_a_contested_row_rests_with_its_id_for_the_record(state: State) -> None:
    before = replace(JOBS[state], not_before=NOW + 5, cancel=CancelWish.WITHDRAW, unpriced=1, cost_usd=0.5)
    job = after(before, Contested(REASON))
    assert (job.state, job.failure, job.ended_at, job.request_id) == (IN_DOUBT, REASON, NOW, "r1")
    assert (job.outputs, job.cancel, job.not_before, job.unpriced, job.cost_usd) == ((), None, 0.0, 1, 0.5)


@pytest.mark.fault("C16")
@pytest.mark.parametrize("event", [Resubmit(), Abandon()])
def test_a_row_that_is_settled_without_its_request_leaves_it_to_the_other(event: Event) -> None:
    assert after(JOBS[SUBMITTED], Contested(REASON), event).request_id is None
    assert after(JOBS[SUBMITTED], Contested(REASON), Adopt("r1")).request_id == "r1"


@pytest.mark.fault("D1", "X11")
@pytest.mark.parametrize("event", [Running(True), Unread(REASON)])
def test_a_request_out_of_time_is_waited_for_where_the_policy_says_so(event: Event) -> None:
    old = replace(JOBS[SUBMITTED], submitted_at=NOW - 1e6, watched_since=NOW - 1e6, poll_failures=1000)
    assert after(old, event).state is FAILED
    assert after(old, event, settings=RunSettings(on_stuck="wait")).state is SUBMITTED
