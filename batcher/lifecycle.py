"""The life of a row: one table of states and events, and nothing else. Pure.

    planned ──Claimed──▶ submitting ──Accepted──▶ submitted ──Produced──▶ produced ──Saved──▶ done
       ▲                  │  │  └──Refused(permanent)──▶ failed    │ ▲        │  └──Broken(permanent)──▶ failed
       ├──Refused(transient)─┘ └──Lost──▶ in_doubt         Running │ └─Expired┘
       │                                    │ │ │           Unread ┘
       │                                    │ │ │  ▲── Contested ── submitted, produced
       ├──────────Resubmit, by a person─────┘ │ └──Abandon, by a person──▶ failed
       │             Adopt(id), by a person ──┘──▶ submitted
       └──Retry, by a person── failed, cancelled         submitted ──Died──▶ failed ──Cancelled──▶ cancelled

    done ──Redo, by a person──▶ planned
    done ──Missing, by verify──▶ submitted        failed ──Found, by verify──▶ done

`next_command` says what a lane does next with a row; `advance` says where an event takes it; `TABLE` lists every move there is. An event that the
table does not list for a state is a fault of ours and raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

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
from batcher.model import CancelWish, Failure, FailureKind, Job, Lane, Mode, State
from batcher.retry import backoff_s
from batcher.settings import RunSettings


class Command(StrEnum):
    """What a lane does next with a row."""

    CLAIM = "claim"
    """Wait for leave to submit; then the intent is recorded."""
    SUBMIT = "submit"
    POLL = "poll"
    ASK_CANCEL = "ask_cancel"
    """Record that the request is about to be cancelled, and why."""
    CANCEL = "cancel"
    FETCH = "fetch"


UNREADS = 20
"""How many polls in a row bring no answer before a row that is past its time is given up."""

REREAD_EVERY = 2
"""After so many broken downloads in a row the result is read again: its links may have changed, as they do when they expire."""

STALLED_REMEDY = "Its id is kept: `batcher retry DIR --failed` asks for its result again before anything is paid."

WISHES = {Mode.DRAIN: CancelWish.WITHDRAW, Mode.CANCEL: CancelWish.CANCEL}
"""The modes that take back what is queued at the service, and to what end."""


def lane_of(state: State) -> Lane | None:
    """The lane that carries rows in `state`, if one does."""
    match state:
        case State.PLANNED | State.SUBMITTING | State.SUBMITTED:
            return Lane.REMOTE
        case State.PRODUCED:
            return Lane.DOWNLOAD
        case _:
            return None


def next_command(job: Job, lane: Lane, mode: Mode, now: float) -> Command | None:
    """What `lane` does next with `job`; None where it lets go of it."""
    if mode is Mode.STOP or lane_of(job.state) is not lane:
        return None
    if job.state is State.SUBMITTING:
        return Command.SUBMIT
    if job.state is State.SUBMITTED:
        return _next_while_submitted(job, mode)
    if job.not_before > now or (job.state is State.PLANNED and mode is not Mode.RUN):
        return None
    return Command.CLAIM if job.state is State.PLANNED else Command.FETCH


def _next_while_submitted(job: Job, mode: Mode) -> Command | None:
    wish = WISHES.get(mode)
    if wish is not None and job.queued is not False and not job.cancel_refused:
        return Command.CANCEL if job.cancel is wish else Command.ASK_CANCEL
    return None if mode is Mode.CANCEL else Command.POLL


def advance(job: Job, event: Event, *, now: float, jitter: float, settings: RunSettings) -> Job:
    """The row after `event`. `jitter`, in [0, 1), spreads the waits."""
    move = TABLE.get((job.state, type(event)))
    if move is None:
        raise ValueError(f"row {job.row_id}: {type(event).__name__} cannot happen to a row that is {job.state}")
    return move(job, event, now, jitter, settings)


def is_durable(before: Job, after: Job) -> bool:
    """Whether a move has to be written down: a poll that tells nothing new need not be."""
    return (
        before.state is not after.state
        or before.queued is not after.queued
        or before.cancel is not after.cancel
        or before.cancel_refused is not after.cancel_refused
        or before.fetches != after.fetches
    )


def moves(state: State) -> frozenset[type]:
    """The events that can happen to a row in `state`."""
    return frozenset(event for of, event in TABLE if of is state)


# ── the moves ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fail(job: Job, failure: Failure, now: float) -> Job:
    return replace(job, state=State.FAILED, failure=failure, ended_at=now, cancel=None)


def _plan(job: Job, failure: Failure | None = None, not_before: float = 0.0) -> Job:
    """Ready for a submission of its own: whatever belonged to the last request is put away. The request id stays for the record until the next."""
    return replace(
        job, state=State.PLANNED, failure=failure, not_before=not_before, outputs=(), artifacts=(), queued=None, queue_position=None, cancel=None,
        cancel_refused=False, polls=0, poll_failures=0, denials=0, fetches=0, submitted_at=None, started_at=None, produced_at=None, ended_at=None,
        watched_since=None, looked_at=None,
    )  # fmt: skip


def _submitted(job: Job, request_id: str, now: float) -> Job:
    return replace(
        job, state=State.SUBMITTED, request_id=request_id, submitted_at=now, failure=None, refusals=0, not_before=0.0, queued=None, cancel=None,
        cancel_refused=False, polls=0, poll_failures=0, denials=0, fetches=0, ended_at=None, watched_since=now, looked_at=now,
    )  # fmt: skip


def _claimed(job: Job, event: Claimed, now: float, jitter: float, settings: RunSettings) -> Job:
    earlier_cost_usd = job.earlier_cost_usd + (job.cost_usd or 0.0)
    return replace(job, state=State.SUBMITTING, attempts=job.attempts + 1, request_id=None, cost_usd=None, earlier_cost_usd=earlier_cost_usd)


def _priced(job: Job, cost_usd: float | None) -> Job:
    """The row where the service says, or does not say, what its current request cost."""
    if cost_usd is None:
        return job
    return replace(job, cost_usd=cost_usd, unpriced=max(0, job.unpriced - 1) if job.cost_usd is None else job.unpriced)


def _accepted(job: Job, event: Accepted, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(_submitted(job, event.request_id, now), unpriced=job.unpriced + 1)


def _unfit(job: Job, event: Refused, now: float, jitter: float, settings: RunSettings) -> Job:
    """Refused on this side, before anything was sent."""
    return _fail(job, event.failure, now)


def _refused(job: Job, event: Refused, now: float, jitter: float, settings: RunSettings) -> Job:
    refused = replace(job, attempts=job.attempts - 1, refusals=job.refusals + 1)
    if not event.transient or refused.refusals > settings.refusals:
        return _fail(refused, event.failure, now)
    wait = backoff_s(refused.refusals, jitter, settings.backoff_base_s, settings.backoff_ceiling_s)
    return _plan(refused, event.failure, now + max(wait, event.retry_after_s or 0.0))


def _lost(job: Job, event: Lost, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(job, state=State.IN_DOUBT, failure=event.failure, ended_at=now, unpriced=job.unpriced + 1)


def _contested(job: Job, event: Contested, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(job, state=State.IN_DOUBT, failure=event.failure, ended_at=now, outputs=(), cancel=None, not_before=0.0)


def _running(job: Job, event: Running, now: float, jitter: float, settings: RunSettings) -> Job:
    queued = job.queued if event.queued is None else event.queued
    started_at = now if queued is False and job.started_at is None else job.started_at
    seen = replace(
        job, queued=queued, queue_position=event.queue_position, started_at=started_at, polls=job.polls + 1, poll_failures=0, denials=0,
        watched_since=_watched_since(job, now), looked_at=now,
    )  # fmt: skip
    if not _is_out_of_time(job, now, settings):
        return seen
    return _fail(seen, Failure(FailureKind.STALLED, f"not finished after {settings.job_timeout_s:g} s", STALLED_REMEDY), now)


def _watched_since(job: Job, now: float) -> float:
    return now if job.watched_since is None else job.watched_since


def _unread(job: Job, event: Unread, now: float, jitter: float, settings: RunSettings) -> Job:
    not_before = job.not_before if event.retry_after_s is None else max(job.not_before, now + event.retry_after_s)
    failures, denials = job.poll_failures + 1, job.denials + event.denied
    since = _watched_since(job, now)
    unread = replace(job, polls=job.polls + 1, poll_failures=failures, denials=denials, not_before=not_before, watched_since=since)
    if failures < UNREADS or not _is_out_of_time(job, now, settings):
        return unread
    return _fail(unread, Failure(FailureKind.STALLED, event.failure.message, STALLED_REMEDY), now)


def _is_out_of_time(job: Job, now: float, settings: RunSettings) -> bool:
    return settings.on_stuck == "give_up" and now - _watched_since(job, now) > settings.job_timeout_s


def _produced(job: Job, event: Produced, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(
        _priced(job, event.cost_usd), state=State.PRODUCED, outputs=event.outputs, produced_at=job.produced_at or now,
        started_at=job.started_at or now, queued=False, queue_position=None, not_before=0.0, polls=job.polls + 1, poll_failures=0, denials=0,
        cancel=None,
    )  # fmt: skip


def _died(job: Job, event: Died, now: float, jitter: float, settings: RunSettings) -> Job:
    dead = replace(_priced(job, event.cost_usd), polls=job.polls + 1)
    if event.transient and dead.attempts <= settings.regenerations and not job.artifacts:  # what was made once is not paid for again by itself
        wait = backoff_s(dead.attempts, jitter, settings.backoff_base_s, settings.backoff_ceiling_s)
        return _plan(dead, event.failure, now + wait)
    return _fail(dead, event.failure, now)


def _cancel_asked(job: Job, event: CancelAsked, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(job, cancel=event.wish)


def _cancelled(job: Job, event: Cancelled, now: float, jitter: float, settings: RunSettings) -> Job:
    if job.cancel is CancelWish.WITHDRAW:
        return replace(_plan(job), attempts=max(0, job.attempts - 1), unpriced=max(0, job.unpriced - (job.cost_usd is None)))
    failure = Failure(FailureKind.CANCELLED, "the request was cancelled", "`batcher retry DIR --cancelled` submits it again.")
    return replace(job, state=State.CANCELLED, failure=failure, ended_at=now, cancel=None)


def _not_cancellable(job: Job, event: NotCancellable, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(job, cancel=None if event.certain else job.cancel, cancel_refused=True)


def _saved(job: Job, event: Saved, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(job, state=State.DONE, artifacts=event.artifacts, download_s=event.download_s, failure=None, ended_at=now)


def _broken(job: Job, event: Broken, now: float, jitter: float, settings: RunSettings) -> Job:
    broken = replace(job, fetches=job.fetches + 1, failure=event.failure)
    if not event.transient or broken.fetches >= settings.download_attempts:
        return _fail(broken, event.failure, now)
    wait = backoff_s(broken.fetches, jitter, settings.backoff_base_s, settings.backoff_ceiling_s)
    later = replace(broken, not_before=now + max(wait, event.retry_after_s or 0.0))
    return later if broken.fetches % REREAD_EVERY else _reread(later)


def _reread(job: Job) -> Job:
    return replace(job, state=State.SUBMITTED, outputs=(), polls=0, looked_at=None)


def _expired(job: Job, event: Expired, now: float, jitter: float, settings: RunSettings) -> Job:
    expired = replace(job, fetches=job.fetches + 1, failure=event.failure)
    if expired.fetches >= settings.download_attempts:
        return _fail(expired, event.failure, now)
    wait = backoff_s(expired.fetches, jitter, settings.backoff_base_s, settings.backoff_ceiling_s)
    return _reread(replace(expired, not_before=now + wait))


def _missing(job: Job, event: Missing, now: float, jitter: float, settings: RunSettings) -> Job:
    """The finished request is read again. What is known of the lost files stays, so that they are known again should they come back."""
    return replace(
        _reread(job), failure=event.failure, queued=False, not_before=0.0, fetches=0, poll_failures=0, denials=0, cancel=None,
        cancel_refused=False, ended_at=None,
    )  # fmt: skip


def _found(job: Job, event: Found, now: float, jitter: float, settings: RunSettings) -> Job:
    if not job.artifacts:
        raise ValueError(f"row {job.row_id}: it never had a file that could be found")
    return replace(job, state=State.DONE, failure=None, ended_at=now)


def _retry(job: Job, event: Retry, now: float, jitter: float, settings: RunSettings) -> Job:
    may_hold_a_result = job.failure is not None and job.failure.kind.is_collectable and job.request_id is not None
    if may_hold_a_result and not event.regenerate:
        return _submitted(job, job.request_id or "", now)
    return replace(_plan(job), refusals=0)


def _redo(job: Job, event: Redo, now: float, jitter: float, settings: RunSettings) -> Job:
    """What the row had is kept by the ledger's events, and its files beside the new ones; what it cost goes on to count."""
    return replace(_plan(job), refusals=0, download_s=None)


def _resubmit(job: Job, event: Resubmit, now: float, jitter: float, settings: RunSettings) -> Job:
    return replace(_plan(job), request_id=None)


def _adopt(job: Job, event: Adopt, now: float, jitter: float, settings: RunSettings) -> Job:
    return _submitted(job, event.request_id, now)


def _abandon(job: Job, event: Abandon, now: float, jitter: float, settings: RunSettings) -> Job:
    """What the row had is given up with it: a file that came back would have no request that made it."""
    failure = Failure(FailureKind.ABANDONED, "given up while it was in doubt; it may have been charged")
    return _fail(replace(job, request_id=None, artifacts=()), failure, now)


Move = Callable[[Job, Any, float, float, RunSettings], Job]

TABLE: dict[tuple[State, type], Move] = {
    (State.PLANNED, Claimed): _claimed,
    (State.PLANNED, Refused): _unfit,
    (State.SUBMITTING, Accepted): _accepted,
    (State.SUBMITTING, Refused): _refused,
    (State.SUBMITTING, Lost): _lost,
    (State.IN_DOUBT, Resubmit): _resubmit,
    (State.IN_DOUBT, Adopt): _adopt,
    (State.IN_DOUBT, Abandon): _abandon,
    (State.SUBMITTED, Contested): _contested,
    (State.PRODUCED, Contested): _contested,
    (State.SUBMITTED, Running): _running,
    (State.SUBMITTED, Unread): _unread,
    (State.SUBMITTED, Produced): _produced,
    (State.SUBMITTED, Died): _died,
    (State.SUBMITTED, CancelAsked): _cancel_asked,
    (State.SUBMITTED, Cancelled): _cancelled,
    (State.SUBMITTED, NotCancellable): _not_cancellable,
    (State.PRODUCED, Saved): _saved,
    (State.PRODUCED, Broken): _broken,
    (State.PRODUCED, Expired): _expired,
    (State.DONE, Missing): _missing,
    (State.DONE, Redo): _redo,
    (State.FAILED, Found): _found,
    (State.FAILED, Retry): _retry,
    (State.CANCELLED, Retry): _retry,
}
