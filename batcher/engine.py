"""The engine: two lanes of slots that carry rows through the lifecycle until none is left to carry."""

from __future__ import annotations

import asyncio
import functools
import random
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from batcher import lifecycle
from batcher.carry import Carrier, Links
from batcher.concurrency import CONCURRENCY, ConcurrencyLimit
from batcher.course import Course
from batcher.errors import BatcherError, LedgerError, OutputError
from batcher.events import Claimed, Event, Lost, Running
from batcher.gate import SubmitGate
from batcher.lifecycle import Command
from batcher.model import ExitReason, Failure, FailureKind, Job, Lane, Mode, State
from batcher.outlook import Pace, TimeLeft, time_left_of_run
from batcher.pacing import Outage
from batcher.polling import LEARNED, Polls
from batcher.ports import Clock, Fetcher, Ledger, Observer, Provider, RequestBodies
from batcher.retry import DOUBT_REMEDY, contested
from batcher.settings import RunSettings

PREFETCH = 256
"""Rows read from the ledger at once, so that one read serves many."""

BACKLOG = 4
"""Downloads waiting for each slot of the download lane, from which on nothing more is submitted."""

FIRST_PATIENCE_S = 30.0
"""How long a service that never answered yet is waited for."""

FLUSH_S = 5.0
KEEP_S = 15.0
"""How often what was learned is kept, while a run lasts."""

ABORT_S = 0.5
"""How long a second interrupt waits for the answers to POSTs that are in flight."""


@dataclass(slots=True)
class _LaneState:
    limit: int
    ready: deque[Job] = field(default_factory=deque)
    carried: int = 0
    look_at: float = 0.0
    """When the ledger may have more for this lane; infinite where only the other lane can bring more."""
    mode: Mode = Mode.RUN
    """What the lane was out to do when that was last looked up: what waits for a later time may not be wanted any more."""


class Engine:
    """Runs one batch once. Everything it needs of the world comes through the constructor.

    `run` returns why it ended. `interrupt` climbs the ladder of stopping; safe to call from a signal handler of the event loop.
    Raises `LedgerError` if the ledger fails: then nothing more is spent.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        provider: Provider,
        bodies: RequestBodies,
        fetcher: Fetcher,
        links: Links,
        clock: Clock,
        rng: random.Random,
        settings: RunSettings,
        observer: Observer,
        mode: Mode = Mode.RUN,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._observer = observer
        self.course = Course(clock, mode)
        outage = Outage(settings.outage_s, FIRST_PATIENCE_S)
        self._gate = SubmitGate(settings, clock, self.course, outage, provider.probe, self._is_congested, self._notice, self._passing_notice)
        self._polls = Polls(settings)
        self._carrier = Carrier(
            provider=provider, bodies=bodies, fetcher=fetcher, links=links, has_stem=ledger.has_stem, gate=self._gate, course=self.course,
            outage=outage, clock=clock, polls=self._polls, jitter=rng.random, settings=settings, notice=self._notice,
        )  # fmt: skip
        self._contested: dict[str, Sequence[str]] = {}
        """The rows that have one request id between them, by that id."""
        self._lanes = {Lane.REMOTE: _LaneState(settings.concurrency), Lane.DOWNLOAD: _LaneState(settings.downloads)}
        self._held: set[int] = set()
        self._carries: set[asyncio.Task[Any]] = set()
        self._posting: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        self._limits = self._gate.limit.keep()
        self._interrupts = 0
        self._flushed_at = self._kept_at = clock.now()

    @property
    def trouble(self) -> str:
        """What a whole-batch condition said, if one ended the run."""
        return self.course.trouble

    def time_left(self, pace: Pace | None) -> TimeLeft | None:
        """How long the run still takes, where rows end at this pace, if there is one to be believed; None while nothing can be said."""
        submitting = self.course.mode(Lane.REMOTE) is Mode.RUN
        ages_s = self._polls.ages_s(self._clock.now())
        limit = self._gate.limit.limit
        return time_left_of_run(self._ledger.counts(), ages_s, self._settings, concurrency=limit, pace=pace, submitting=submitting)

    @property
    def limit(self) -> ConcurrencyLimit:
        """How many requests may be at the service at once."""
        return self._gate.limit

    @property
    def at_service(self) -> Collection[Job]:
        """The rows whose request is at the service, as the last poll of each found them, the first that were submitted first."""
        return self._polls.watched

    async def run(self, beside: Callable[[], Coroutine[Any, Any, None]] | None = None) -> ExitReason:
        """Carry rows until there is nothing left that the course allows. `beside` runs meanwhile; if it fails, the run fails."""
        for job in await self._ledger.recover(self._clock.now()):
            failure = Failure(FailureKind.OUTCOME_UNKNOWN, "the process ended before the answer to its submit was recorded", DOUBT_REMEDY)
            await self._record(job, Lost(failure))
        self._polls.recall(await self._ledger.fact(LEARNED))
        self._contested.update(await self._ledger.shared_requests())
        self._gate.tell(self._gate.limit.recall(await self._ledger.fact(CONCURRENCY), self._clock.now()))
        try:
            async with asyncio.TaskGroup() as tasks:
                companion = tasks.create_task(beside()) if beside is not None else None
                await self._dispatch(tasks)
                if companion is not None:
                    companion.cancel()
        except BaseExceptionGroup as group:
            ours = group.subgroup(BatcherError)
            if ours is None:
                raise
            raise _first(ours) from group
        self._kept_at = float("-inf")
        await self._flush()
        return self._reason()

    def interrupt(self, reason: ExitReason) -> None:
        """First: submit nothing more, take back what is queued, wait for what runs, up to the grace time. Second: leave now, ids kept."""
        self._interrupts += 1
        loop = asyncio.get_running_loop()
        if self._interrupts == 1:
            grace = f"what runs is waited for, at most {self._settings.grace_s:g} s"
            self._notice(f"Stopping: nothing more is submitted, what is queued is taken back, {grace}. Once more to leave at once.")
            self.course.change(reason, remote=Mode.DRAIN)
            self._wake.set()
            loop.call_later(self._settings.grace_s, self._let_go, reason)
        else:
            self._let_go(reason)
            loop.call_later(ABORT_S, self._abandon_posts)

    def _let_go(self, reason: ExitReason) -> None:
        """Leave every row where it is. A POST that is in flight is waited for: its answer is worth money."""
        self.course.change(reason, remote=Mode.STOP, download=Mode.STOP)
        for task in self._carries - self._posting:
            task.cancel()
        self._wake.set()

    def _abandon_posts(self) -> None:
        for task in self._carries:
            task.cancel()

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            now = self._clock.now()
            for lane in Lane:
                await self._fill(lane, now, tasks)
            if not self._held and all(state.look_at == float("inf") for state in self._lanes.values()):
                return
            look_at = min((state.look_at for lane, state in self._lanes.items() if state.carried < state.limit), default=float("inf"))
            await self._clock.wait(self._wake, None if look_at == float("inf") else max(0.0, look_at - self._clock.now()))
            if self._clock.now() - self._flushed_at > FLUSH_S:
                await self._flush()

    async def _fill(self, lane: Lane, now: float, tasks: asyncio.TaskGroup) -> None:
        """Give every free slot of `lane` a row, if there are any."""
        state, mode = self._lanes[lane], self.course.mode(lane)
        if mode is not state.mode:
            state.mode, state.look_at = mode, now
        if state.carried < state.limit and not state.ready and state.look_at <= now:
            rows = await self._ledger.claimable(lane, mode, PREFETCH, now, self._held)
            state.ready.extend(rows)
            self._held.update(job.seq for job in rows)
            if len(rows) < PREFETCH:
                due = await self._ledger.next_due(lane, mode, now)
                state.look_at = float("inf") if due is None else due
        while state.ready and (state.carried < state.limit or self._may_exceed(state)):
            job = state.ready.popleft()
            state.carried += 1
            if job.state is State.SUBMITTED:
                self._gate.arrive(job.seq)
            task = tasks.create_task(self._carry(job, lane))
            self._carries.add(task)
            # Not in the task itself: one that is cancelled before it began would never get there.
            task.add_done_callback(functools.partial(self._carried, job, lane))

    def _may_exceed(self, state: _LaneState) -> bool:
        """Whether the next row has a slot even where rows that wait at the gate hold all of them: what is paid for waits for no other row's leave."""
        return state.ready[0].state is State.SUBMITTED and self._gate.there < state.limit

    def _carried(self, job: Job, lane: Lane, task: asyncio.Task[Job]) -> None:
        """A slot is free again; the row that was in it goes to the other lane, or waits for its time, if it is not at its end."""
        self._carries.discard(task)
        self._carrier.release(job)
        self._polls.forget(job)
        self._lanes[lane].carried -= 1
        self._held.discard(job.seq)
        self._wake.set()
        if task.cancelled() or task.exception() is not None:
            return
        job = task.result()
        to = lifecycle.lane_of(job.state)
        if to is None:
            return
        if to is not lane:
            self._held.add(job.seq)
            if to is Lane.REMOTE:
                self._lanes[to].ready.appendleft(job)  # as in the ledger's order: what is paid for goes first
            else:
                self._lanes[to].ready.append(job)
        elif lifecycle.next_command(job, lane, self.course.mode(lane), float("inf")) is not None:
            self._lanes[lane].look_at = min(self._lanes[lane].look_at, job.not_before)

    async def _carry(self, job: Job, lane: Lane) -> Job:
        """Take one row as far as its lane goes."""
        while command := lifecycle.next_command(job, lane, self.course.mode(lane), self._clock.now()):
            event = await self._carrier.perform(command, job)
            if event is not None and job.state in (State.SUBMITTED, State.PRODUCED) and job.request_id in self._contested:
                event = contested(job.request_id, self._contested[job.request_id])
            if isinstance(event, Claimed):
                job = await self._submit(job, event)
            elif event is not None:
                job = await self._record(job, event)
        return job

    async def _submit(self, job: Job, claimed: Claimed) -> Job:
        """The intent, the POST and the record of its answer: a stop does not come between them, so that only a kill or a lost answer leaves doubt."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a row is carried by a task")
        self._posting.add(task)
        try:
            try:
                job = await self._record(job, claimed)
            except LedgerError:
                raise
            except OutputError as error:
                self._carrier.leave_disk(error)
                return job
            event = await self._carrier.perform(Command.SUBMIT, job)
            return job if event is None else await self._record(job, event)
        finally:
            self._posting.discard(task)

    async def _record(self, job: Job, event: Event) -> Job:
        now = self._clock.now()
        after = lifecycle.advance(job, event, now=now, jitter=self._rng.random(), settings=self._settings)
        if lifecycle.is_durable(job, after) and (other := await self._ledger.record(after, event, now)) is not None:
            self._contest(after, other)
        if after.state is State.SUBMITTED:
            self._gate.arrive(after.seq)
        elif after.state is not State.SUBMITTING:
            self._carrier.release(after)
        self._observer.observe(after, event, now)
        if isinstance(event, Running) and after.state is State.SUBMITTED and (words := self._polls.stuck_words(after, now)):
            self._notice(words)
        return after

    def _contest(self, job: Job, other: str) -> None:
        """`job` was accepted under the id of another row's request: neither is carried on, since what it brings may be of either."""
        request_id = job.request_id or ""
        self._contested[request_id] = [*self._contested.get(request_id, [other]), job.row_id]
        self._notice(f"{contested(request_id, self._contested[request_id]).failure.message}. Both are held, as far as they are not done.")

    def _is_congested(self) -> bool:
        download = self._lanes[Lane.DOWNLOAD]
        return len(download.ready) >= BACKLOG * download.limit

    def _notice(self, message: str) -> None:
        self._observer.notice(message, self._clock.now())

    def _passing_notice(self, message: str) -> None:
        self._observer.notice(message, self._clock.now(), passing=True)

    async def _flush(self) -> None:
        counts = dict(self._carrier.requests)
        self._carrier.requests.clear()
        self._flushed_at = now = self._clock.now()
        await self._ledger.add_requests(counts)
        facts: dict[str, object] = {}
        if (limits := self._gate.limit.keep()) != self._limits:
            self._limits = facts[CONCURRENCY] = limits
        if self._polls.is_changed and now - self._kept_at > KEEP_S:
            self._kept_at, facts[LEARNED] = now, self._polls.keep()
        if facts:
            await self._ledger.put_meta(facts)

    def _reason(self) -> ExitReason:
        open_rows = sum(n for state, n in self._ledger.counts().items() if state.is_open)
        if not open_rows:
            return ExitReason.COMPLETED
        return self.course.reason or ExitReason.STOPPED_EARLY


def _first(group: BaseExceptionGroup[BatcherError]) -> BatcherError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, BatcherError):
        raise TypeError(f"not an error of ours: {error!r}")
    return error
