"""One seed, one history: the real engine and ledger on virtual time, in a world that is slow, breaks and crashes, until the batch has ended.

scripts/simulate-seeds --seeds 5000 --from 1000        many of them
scripts/simulate-seeds --seed 1234                     one, with its log
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from batcher.clock import LoopClock
from batcher.decisions import _apply
from batcher.definition import output_links
from batcher.engine import Engine
from batcher.errors import LedgerError
from batcher.events import Abandon, Adopt, Event, Resubmit, Retry
from batcher.events import Accepted as AcceptedEvent
from batcher.ledger import SqliteLedger
from batcher.ledger.codec import job_from
from batcher.ledger.statements import statements
from batcher.lifecycle import is_durable
from batcher.model import ExitReason, FailureKind, Job, JobSpec, Mode, State
from batcher.settings import RunSettings
from tests.support.engine_world import EPOCH, make_spec
from tests.support.seeded_disk import Disk
from tests.support.seeded_service import AMBIGUOUS, PRICE_USD, Accepted, SeededFetcher, SeededProvider, Service, Spell, Watch, Weather
from tests.support.virtual_time import HangError, VirtualLoop

STEPS_MAX = 200_000
"""Steps of the loop in one process; more means that it goes on for ever."""

DAYS_MAX = 20.0
"""Virtual days from the beginning of the batch to its end."""

CALM_RUNS = 3
"""How many runs without faults a batch may need to end by itself."""

HOUR_S = 3600.0


class ViolationError(AssertionError):
    """A promise was broken; the message says which, in which seed, and how to see it again."""


class CrashError(BaseException):
    """The process dies here."""


# ── what a seed stands for ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Life:
    """One process: what a person decides before it, and what happens to it. Steps are those of the event loop, times seconds from its start."""

    mode: Mode = Mode.RUN
    decide: str | None = None
    """`retry`, `regenerate`, `resubmit`, `adopt` or `abandon` what there is."""
    crash_at_step: int | None = None
    interrupts_s: tuple[float, ...] = ()
    crash_after_interrupt: int | None = None
    """A crash so many steps after the first interrupt."""
    asleep: tuple[int, float] | None = None
    """At which step the machine falls asleep, and for how long."""
    down_s: float = 0.0
    """How long nothing runs before it."""
    wall_s: float = 0.0
    """By how much somebody turns the wall clock before it."""
    fail_commit: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world and what will happen in it."""

    rows: int
    settings: RunSettings
    weather: Weather
    slots: int
    commit_s: Callable[[random.Random], float]
    publish_s: Callable[[random.Random], float]
    lives: tuple[Life, ...]


def scenario_of(seed: int) -> Scenario:
    rng = random.Random(f"scenario {seed}")

    def maybe(p: float) -> bool:
        return rng.random() < p

    settings = RunSettings(
        concurrency=rng.randint(2, 8),
        posts_in_flight=rng.randint(1, 4),
        downloads=rng.randint(1, 3),
        submits_per_s=rng.choice((None, None, None, 0.5, 1.0, 2.5, 4.0, 10.0)),
        regenerations=rng.choice((0, 0, 0, 1, 2)),
        poll_floor_s=1.0,
        poll_ceiling_s=20.0,
        job_timeout_s=rng.choice((300.0, 7200.0)),
        outage_s=rng.choice((60.0, 7200.0)),
        grace_s=rng.choice((0.0, 5.0, 30.0)),
    )
    disk = rng.choice(("instant", "quick", "slow", "sticky"))
    return Scenario(
        rows=rng.randint(6, 12),
        settings=settings,
        weather=_weather_of(rng, settings.job_timeout_s),
        slots=rng.choice((1, 1, 2, 100)),
        commit_s=_latency(disk),
        publish_s=_latency(rng.choice(("quick", "slow", "sticky"))),
        lives=tuple(_life_of(rng, n) for n in range(rng.choice((1, 2, 4, 6, 8)))) if maybe(0.95) else (),
    )


def _latency(disk: str) -> Callable[[random.Random], float]:
    match disk:
        case "instant":
            return lambda rng: 0.0
        case "quick":
            return lambda rng: rng.uniform(0.0003, 0.005)
        case "slow":
            return lambda rng: rng.lognormvariate(-2.5, 1.0)
        case _:
            return lambda rng: rng.uniform(0.5, 4.0) if rng.random() < 0.2 else rng.uniform(0.001, 0.02)


GETS = ("status", "result", "cancel", "probe")


def _weather_of(rng: random.Random, job_timeout_s: float) -> Weather:
    level = rng.choice((0.0, 0.3, 1.0, 3.0))

    def chances(**each: float) -> dict[str, float]:
        return {name: level * p for name, p in each.items()}

    reading = chances(refused=0.02, reset=0.02, **{"503": 0.02, "429": 0.01, "429_later": 0.01})
    stuck = 0.02 if job_timeout_s < HOUR_S or rng.random() < 0.1 else 0.0
    median_s, wire_s = rng.choice((0.5, 3.0, 10.0)), rng.choice((0.02, 0.2, 1.0))
    return Weather(
        wire_s=lambda draw: draw.uniform(0.1 * wire_s, 2.0 * wire_s),
        service_s=lambda draw: median_s * draw.lognormvariate(0.0, 0.7),
        link_life_s=rng.choice((5.0, HOUR_S, 10 * HOUR_S)),
        faults={
            "submit": chances(
                refused=0.02, reset=0.01, reset_after=0.01, silent=0.005, garbled=0.01,
                **{"500": 0.01, "503_later": 0.01, "429": 0.02, "429_later": 0.02, "422": 0.01},
            ),
            "status": reading | chances(word=0.03, backwards=0.03, gone=0.01),
            "result": reading | chances(late=0.1, costless=0.1),
            "cancel": reading,
            "probe": reading,
            "fetch": chances(cut=0.08, page=0.01, **{"403": 0.05}),
        },
        outcomes=chances(two=0.1, failed=0.05, empty=0.02, lost=0.02, dropped=0.02) | {"stuck": stuck},
        spells=tuple(_spell_of(rng) for _ in range(rng.choice((0, 0, 1, 2)))),
        capacity=rng.choice((None, None, None, 1, 3)),
    )  # fmt: skip


def _spell_of(rng: random.Random) -> Spell:
    begins = rng.uniform(0.0, 60.0)
    everything = frozenset({"submit", *GETS})
    kinds, faults = rng.choice(
        (
            (frozenset({"submit"}), ("500", "503", "503_later", "429", "429_later")),
            (everything, ("refused", "503", "reset", "429_later")),
            (everything, ("token",)),
            (frozenset({"submit"}), ("balance",)),
            (frozenset({"fetch"}), ("disk_full", "403", "cut")),
        )
    )
    return Spell(begins, begins + rng.choice((2.0, 20.0, 60.0, 600.0)), kinds, rng.choice(faults), rng.choice((0.3, 0.7, 1.0)))


def _life_of(rng: random.Random, number: int) -> Life:
    def maybe(p: float) -> bool:
        return rng.random() < p

    interrupts: tuple[float, ...] = ()
    if maybe(0.4):
        first = rng.uniform(0.0, 20.0)
        interrupts = (first, first + rng.choice((0.0, 0.05, 1.0, 10.0))) if maybe(0.4) else (first,)
    return Life(
        mode=Mode.CANCEL if number and maybe(0.07) else Mode.RUN,
        decide=rng.choice(("retry", "regenerate", "resubmit", "adopt", "abandon")) if number and maybe(0.3) else None,
        crash_at_step=round(10 ** rng.uniform(0.5, 2.9)) if maybe(0.6) else None,
        interrupts_s=interrupts,
        crash_after_interrupt=round(10 ** rng.uniform(0.5, 1.7)) if interrupts and maybe(0.6) else None,
        asleep=(round(10 ** rng.uniform(0.5, 2.7)), rng.choice((60.0, HOUR_S))) if maybe(0.1) else None,
        down_s=rng.choice((0.0, 0.1, 5.0, HOUR_S)) if number else 0.0,
        wall_s=rng.choice((-24 * HOUR_S, -HOUR_S, HOUR_S, 24 * HOUR_S, -EPOCH - 24 * HOUR_S)) if maybe(0.15) else 0.0,
        fail_commit=round(10 ** rng.uniform(0.3, 2.0)) if maybe(0.07) else None,
    )


# ── a history ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Figures:
    """What a history, or many, held."""

    seeds: int = 0
    rows: int = 0
    processes: int = 0
    crashes: int = 0
    recoveries_cut: int = 0
    steps: int = 0
    posts: int = 0
    accepted: int = 0
    in_doubt: int = 0
    """Rows put in doubt, for whatever reason."""
    in_doubt_by_crash: int = 0
    truly_accepted: int = 0
    """Those of them that the service had accepted."""
    most_by_one_crash: int = 0
    paid_by_request: int = 0
    """Submissions of a row that was accepted before: asked for by a person, or by `regenerations`."""

    def add(self, other: Figures) -> None:
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, theirs) if name.startswith("most") else mine + theirs)


@dataclass(slots=True)
class _Client:
    """What is known of one process while it lives."""

    provider: SeededProvider
    clock: LoopClock
    job_of: dict[str, Job] = field(default_factory=dict)
    """The rows as the observer was told of them."""
    ambiguous: set[str] = field(default_factory=set)
    cooling_until: float = -math.inf
    is_recovering: bool = True
    ledger_failed: bool = False


class Simulation(Watch):
    """The world of one seed. `run` lets it happen; the log is the same for the same seed.

    Without `looks_inside` it judges by what is seen from outside alone: what the service was sent and billed, the files, and the ledger that is left.
    """

    def __init__(self, scenario: Scenario, seed: int = 0, *, looks_inside: bool = True) -> None:
        self.looks_inside = looks_inside
        self.scenario = scenario
        self.settings = scenario.settings
        self.rng = random.Random(f"world {seed}")
        self.seed = seed
        self.now = 0.0
        self.wall_s = EPOCH
        """The wall clock where virtual time is 0."""
        disk_rng = random.Random(f"disk {seed}")
        self.disk = Disk(disk_rng, lambda: scenario.commit_s(disk_rng), lambda: scenario.publish_s(disk_rng))
        self.service = Service(random.Random(f"service {seed}"), scenario.weather, scenario.slots)
        self.specs = [replace(spec, body={**spec.body, "row": spec.row_id}) for spec in (make_spec(f"row{n}") for n in range(scenario.rows))]
        self.log: list[str] = []
        self.violations: list[str] = []
        self.figures = Figures(seeds=1, rows=scenario.rows)
        self.permissions: Counter[str] = Counter()
        self.regenerated: Counter[str] = Counter()
        self.acknowledged: dict[str, str] = {}
        """Request ids that the observer was told of, with their rows."""
        self.posted_at: list[float] = []
        self.retried: set[str] = set()
        """Rows that a person gave another attempt."""
        self.may_cancel: set[str] = set()
        """Rows that a person let be cancelled."""
        self._client: _Client | None = None
        self._loop: VirtualLoop | None = None
        self._crash_at: int | None = None

    def run(self) -> Figures:
        """Every life, then calm runs until the batch has ended. Raises `ViolationError`."""
        for life in self.scenario.lives:
            self._live(life)
        self.service.is_calm = True
        for _ in range(CALM_RUNS):
            if self._live(Life(down_s=1.0)) is ExitReason.COMPLETED:
                break
        else:
            self.broke("the batch does not end by itself in a calm world")
        self._judge()
        self._judge_the_end()
        self._raise()
        return self.figures

    def digest(self) -> str:
        """What the log hashes to."""
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()

    def broke(self, promise: str) -> None:
        self.violations.append(f"{self.now:.3f} s: {promise}")
        self.said(f"BROKEN: {promise}", self.now)

    # ── one process ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _live(self, life: Life) -> ExitReason | None:
        self.now += life.down_s
        self.wall_s += life.wall_s
        self._crash_at = life.crash_at_step
        self.figures.processes += 1
        self.said(f"─── process {self.figures.processes}: {_told(life)}", self.now)
        self._check_what_is_left()

        def before_step(step: int) -> None:
            if life.asleep is not None and step == life.asleep[0]:
                loop.leap(life.asleep[1])
            if self._crash_at is not None and step >= self._crash_at:
                self._crash_at = None
                raise CrashError

        loop = self._loop = VirtualLoop(self.now, before_step, STEPS_MAX, step_s=1e-6)
        main = loop.create_task(self._process(life))
        reason: ExitReason | None = None
        try:
            reason = loop.run_until_complete(main)
            self.disk.close()
        except CrashError:
            self.figures.crashes += 1
            self.figures.recoveries_cut += self._client is None or self._client.is_recovering
            self._die(loop)
        except HangError as error:
            self.broke(str(error))
            self._die(loop)
        finally:
            self.figures.steps += loop.steps
            self.now = loop.time()
            self._client = None
            _clear_away(loop)
            loop.close()
        self.said(f"ended: {reason or 'dead'}", self.now)
        self._judge()
        self._raise()
        return reason

    def _die(self, loop: VirtualLoop) -> None:
        self.disk.lose_power()
        self._client = None
        loop.forget_the_limit()

    async def _process(self, life: Life) -> ExitReason | None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(self.wall_s + loop.time())
        ledger = self.disk.open_ledger(life.fail_commit)
        provider = SeededProvider(self.service, self)
        client = self._client = _Client(provider, clock)
        try:
            await ledger.plan(self.specs)
            await self._decide(life.decide, ledger, clock)
            engine = self._engine(life.mode, ledger, client)
            for number, after_s in enumerate(life.interrupts_s):
                loop.call_later(after_s, self._interrupt, engine, life.crash_after_interrupt if not number else None)
            run = await ledger.begin_run(clock.now(), 1, "here")
            reason = await engine.run()
            await ledger.end_run(run, clock.now(), reason)
        except LedgerError as error:
            if life.fail_commit is None:
                raise
            self.said(f"the ledger failed: {error.message}", loop.time())
            return None
        return reason

    def _engine(self, mode: Mode, ledger: SqliteLedger, client: _Client) -> Engine:
        if mode is Mode.CANCEL:
            self.may_cancel |= {spec.row_id for spec in self.specs}
        return Engine(
            ledger=ledger, provider=client.provider, bodies=_Bodies(self), fetcher=SeededFetcher(self.service, self.disk, self),
            links=lambda job, output: output_links(output), clock=client.clock, rng=random.Random(self.rng.random()), settings=self.settings,
            observer=_Observer(self, client), mode=mode,
        )  # fmt: skip

    def _interrupt(self, engine: Engine, crash_after: int | None) -> None:
        loop = self._loop
        if self._client is None or loop is None:
            return
        self.said("interrupt", loop.time())
        if crash_after is not None:
            self._crash_at = loop.steps + crash_after
        engine.interrupt(ExitReason.INTERRUPTED)

    async def _decide(self, decision: str | None, ledger: SqliteLedger, clock: LoopClock) -> None:
        for job in self.jobs() if decision is not None else ():
            event: Event | None = None
            if decision in ("retry", "regenerate") and job.state in (State.FAILED, State.CANCELLED):
                event = Retry(decision == "regenerate")
            elif job.state is State.IN_DOUBT:
                event = self._settle(decision or "", job)
            if event is not None:
                self.said(f"a person decides on {job.row_id}: {event}", self.now)
                if not isinstance(event, (Adopt, Abandon)):
                    self.permissions[job.row_id] += 1
                    self.retried.add(job.row_id)
                await _apply(ledger, job, event, clock, self.settings)

    def _settle(self, decision: str, job: Job) -> Event | None:
        if decision == "adopt":
            known = self._recorded()
            found = [request for request in self.service.of_row(job.row_id) if request.request_id not in known and not request.is_cancelled]
            return Adopt(found[-1].request_id) if found else None
        return {"resubmit": Resubmit(), "abandon": Abandon()}.get(decision)

    # ── what is seen while it lives ──────────────────────────────────────────────────────────────────────────────────────────────

    def said(self, what: str, now: float) -> None:
        self.log.append(f"{now:12.4f}  {what}")

    def passed_gate(self, spec: JobSpec) -> None:
        """Called where a row has just been let through by the gate."""
        client, now = self._client, self._time()
        if client is None or not self.looks_inside:
            return
        if now < client.cooling_until - 1e-6:
            self.broke(f"{spec.row_id} passed the gate within a cool-down that lasts until {client.cooling_until:.3f}")
        self._check_row_waited(spec.row_id, "submitted")

    def posting(self, row: str, now: float) -> None:
        self.figures.posts += 1
        self.said(f"POST {row}", now)
        state = self._durable("SELECT state FROM jobs JOIN specs USING (seq) WHERE row_id = ?", row)[0]
        if state != State.SUBMITTING and self.looks_inside:
            self.broke(f"{row} is POSTed without a durable intent: on disk it is {state}")
        if self.settings.submits_per_s is not None:
            rate = self.settings.submits_per_s
            allowed = math.ceil(rate)
            if len(self.posted_at) >= allowed and now - self.posted_at[-allowed] < allowed / rate - 1e-6:
                self.broke(f"{allowed + 1} POSTs within {now - self.posted_at[-allowed]:.3f} s, where {rate:g} a second are allowed")
        self.posted_at.append(now)
        client = self._client
        if client is not None and client.provider.posts_in_flight >= self.settings.posts_in_flight:
            self.broke(f"{client.provider.posts_in_flight + 1} POSTs in flight, where {self.settings.posts_in_flight} are allowed")
        if client is not None and client.ledger_failed:
            self.broke(f"{row} is POSTed after the ledger failed")

    def accepted(self, request: Accepted, now: float) -> None:
        self.said(f"{request.request_id} accepted for {request.row}: {request.outcome}", now)
        self.figures.accepted += 1
        for earlier in self.service.of_row(request.row):
            if earlier is not request and not earlier.is_cancelled and not earlier.is_excused:
                self.figures.paid_by_request += 1
                earlier.is_excused = self._may_pay_again(earlier, now)
                if not earlier.is_excused:
                    self.broke(f"{request.row} is paid for twice: {earlier.request_id} and {request.request_id}")
        known = {str(row[0]) for row in self._look("SELECT request_id FROM jobs WHERE state = 'submitted'")}
        live = sum(request_id in known and other.is_live(now) for request_id, other in self.service.accepted.items())
        if live + 1 > self.settings.concurrency:
            self.broke(f"{live + 1} requests in flight, where {self.settings.concurrency} are allowed")

    def _may_pay_again(self, earlier: Accepted, now: float) -> bool:
        row = earlier.row
        if earlier.outcome == "dropped" and now >= earlier.ends_at and not earlier.is_excused:
            return True
        if earlier.outcome == "failed" and now >= earlier.ends_at and self.regenerated[row] < self.settings.regenerations:
            self.regenerated[row] += 1
            return True
        self.permissions[row] -= 1
        return self.permissions[row] >= 0

    def refused(self, row: str, fault: str, retry_after_s: float | None, now: float) -> None:
        if self._client is None:
            return
        if fault in AMBIGUOUS:
            self._client.ambiguous.add(row)
        if retry_after_s is not None:
            self._client.cooling_until = max(self._client.cooling_until, now + retry_after_s)

    def cancelling(self, request_id: str, now: float) -> None:
        self.said(f"cancel {request_id}", now)
        wishes = self._look("SELECT cancel FROM jobs WHERE request_id = ? AND cancel IS NOT NULL", request_id)
        if not wishes and self.looks_inside:
            self.broke(f"{request_id} is asked to be cancelled before the wish is durable")

    def fetching(self, stem: str, now: float) -> None:
        self.said(f"fetch {stem}", now)
        self._check_row_waited(stem.partition("-")[0], "fetched")

    def observed(self, client: _Client, job: Job, event: Event, now: float) -> None:
        """The engine says that this happened, and that it is durable."""
        told = self._time()
        self.said(f"{job.row_id} {type(event).__name__} → {job.state}", told)
        before = client.job_of.get(job.row_id)
        client.job_of[job.row_id] = job
        if self.looks_inside and before is not None and is_durable(before, job):
            state, request_id, not_before = self._durable("SELECT state, request_id, not_before FROM jobs WHERE seq = ?", job.seq)
            if (state, request_id) != (job.state, job.request_id):
                self.broke(f"{job.row_id} is said to be {job.state}, and is {state} on disk")
            if not_before != job.not_before:
                self.broke(f"{job.row_id} may go on at {job.not_before}, and on disk at {not_before}")
        if isinstance(event, AcceptedEvent):
            self.acknowledged[event.request_id] = job.row_id
        if job.state is State.IN_DOUBT:
            self._count_doubt(client, job)
        if job.failure is not None and job.failure.kind is FailureKind.STALLED:
            age_s = told - max(request.accepted_at for request in self.service.of_row(job.row_id))
            if age_s < self.settings.job_timeout_s:
                self.broke(f"{job.row_id} is given up as stalled {age_s:.0f} s after it was accepted")

    def _count_doubt(self, client: _Client, job: Job) -> None:
        self.figures.in_doubt += 1
        own = {request_id for request_id, row in self.acknowledged.items() if row == job.row_id}
        self.figures.truly_accepted += any(request.request_id not in own for request in self.service.of_row(job.row_id))
        if client.is_recovering:
            self.figures.in_doubt_by_crash += 1
        elif job.row_id not in client.ambiguous:
            self.broke(f"{job.row_id} is in doubt without an ambiguous answer")

    def _check_row_waited(self, row: str, what: str) -> None:
        client = self._client
        job = client.job_of.get(row) if client is not None else None
        if self.looks_inside and client is not None and job is not None and client.clock.now() < job.not_before - 1e-6:
            self.broke(f"{row} is {what} {job.not_before - client.clock.now():.3f} s before it may be")

    # ── what is left on the disk ─────────────────────────────────────────────────────────────────────────────────────────────────

    def jobs(self) -> list[Job]:
        """The rows as they are durable."""
        return [job_from(row) for row in self._look(f"{statements()['select_jobs']} WHERE j.listed = 1 ORDER BY j.position")]

    def _check_what_is_left(self) -> None:
        """Before a process begins: what the one before it left for doubt."""
        submitting = self._look("SELECT count(*) FROM jobs WHERE state = 'submitting'")
        left = submitting[0][0] if submitting else 0
        self.figures.most_by_one_crash = max(self.figures.most_by_one_crash, left)
        if left > self.settings.posts_in_flight:
            self.broke(f"{left} rows are left submitting, where {self.settings.posts_in_flight} POSTs may be in flight")

    def _judge(self) -> None:
        """What must hold after every process, however it ended."""
        if self.now > DAYS_MAX * 24 * HOUR_S:
            self.broke(f"{self.now / 86400:.0f} days have passed")
        jobs = self.jobs()
        if not jobs:
            return
        self._judge_tallies(jobs)
        recorded = self._recorded()
        for request_id, row in self.acknowledged.items():
            if request_id not in recorded:
                self.broke(f"{request_id} of {row} was acknowledged and is lost")
        for job in jobs:
            if job.state is State.DONE:
                self._judge_done(job)
            self._judge_money(job)
            if job.state is State.CANCELLED and job.row_id not in self.may_cancel and not self._was_dropped(job):
                self.broke(f"{job.row_id} is cancelled, and nobody wanted that")

    def _judge_tallies(self, jobs: list[Job]) -> None:
        counted = Counter(job.state for job in jobs)
        for state, rows, cost_usd in self._look("SELECT state, rows, cost_usd FROM tallies"):
            spent = sum(job.total_cost_usd or 0.0 for job in jobs if job.state == state)
            if rows != counted[State(state)] or abs(spent - cost_usd) > 1e-6:
                self.broke(f"the tallies say {rows} rows are {state} and cost {cost_usd}; they are {counted[State(state)]} and cost {spent}")
        if len(jobs) != len(self.specs):
            self.broke(f"{len(jobs)} rows of {len(self.specs)} are there")

    def _recorded(self) -> set[str]:
        """Every request id that is or was that of a row."""
        return {json.loads(str(row[0]))["request_id"] for row in self._look("SELECT detail FROM events WHERE name IN ('Accepted', 'Adopt')")}

    def _judge_done(self, job: Job) -> None:
        for file in job.artifacts:
            if file.sha256 not in self.disk.files.get(file.path, ()):
                self.broke(f"{job.row_id} is done and {file.path} is not on the disk")
            if file.sha256.partition("/")[0] != job.request_id:
                self.broke(f"{job.row_id} is done with a file of {file.sha256}, and its request is {job.request_id}")
        if not job.artifacts:
            self.broke(f"{job.row_id} is done without a file")

    def _judge_money(self, job: Job) -> None:
        """What the ledger says a row cost, and what the service billed for it."""
        known, billed = job.total_cost_usd or 0.0, self.service.billed_usd(job.row_id)
        most = known + PRICE_USD * job.unpriced
        pending = PRICE_USD * (job.state is State.SUBMITTING)
        if not known - 1e-6 <= billed <= most + pending + 1e-6:
            self.broke(f"{job.row_id} cost {known:.2f} and at most {most:.2f} by the ledger, and {billed:.2f} by the bill")

    def _was_dropped(self, job: Job) -> bool:
        return any(request.outcome == "dropped" for request in self.service.of_row(job.row_id))

    def _judge_the_end(self) -> None:
        """What must hold once the batch has ended."""
        for job in self.jobs():
            if job.state.is_open:
                self.broke(f"{job.row_id} is {job.state} after the batch has ended")
            for request in self.service.of_row(job.row_id):
                has_result = request.outcome in ("good", "two") and not request.is_cancelled and not request.is_excused
                is_known = request.request_id in self.acknowledged and job.row_id not in self.retried
                if has_result and is_known and request.request_id != job.request_id:
                    self.broke(f"{request.request_id} of {job.row_id} has a result and is forgotten: the row is {job.state} with {job.request_id}")

    def _raise(self) -> None:
        if self.violations:
            again = f"scripts/simulate-seeds --seed {self.seed}"
            raise ViolationError(f"seed {self.seed}: {self.violations[0]}\nTo see it again: {again}")

    def _time(self) -> float:
        return self._loop.time() if self._loop is not None else self.now

    def _look(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        return self.disk.ledger.execute(sql, values).fetchall() if self.disk.ledger is not None else []

    def _durable(self, sql: str, *values: object) -> tuple[object, ...]:
        return self._look(sql, *values)[0]


class _Bodies:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def encode(self, spec: JobSpec) -> bytes:
        """See the port `RequestBodies`."""
        self._simulation.passed_gate(spec)
        return json.dumps(spec.body).encode()


class _Observer:
    def __init__(self, simulation: Simulation, client: _Client) -> None:
        self._simulation = simulation
        self._client = client

    def observe(self, job: Job, event: Event, now: float) -> None:
        """See the port `Observer`."""
        recovering = job.failure is not None and job.failure.message.startswith("the process ended")
        self._client.is_recovering = self._client.is_recovering and recovering
        self._simulation.observed(self._client, job, event, now)

    def notice(self, message: str, now: float, *, passing: bool = False) -> None:
        """See the port `Observer`."""
        self._simulation.said(message, self._simulation._time())


def _told(life: Life) -> str:
    return ", ".join(f"{name}={getattr(life, name)}" for name in Life.__slots__ if getattr(life, name) not in (None, (), 0.0)) or "calm"


def _clear_away(loop: VirtualLoop) -> None:
    """End what a process that died was at; nothing that it still does counts."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def run_seed(seed: int) -> Simulation:
    """Let a seed happen. Raises `ViolationError`."""
    simulation = Simulation(scenario_of(seed), seed)
    simulation.run()
    return simulation


# ── many seeds ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _try(seed: int) -> Figures | str:
    try:
        return run_seed(seed).figures
    except ViolationError as error:
        return str(error)


def _tell(seed: int) -> int:
    simulation, outcome = Simulation(scenario_of(seed), seed), "every promise was kept"
    try:
        simulation.run()
    except ViolationError as error:
        outcome = str(error)
    print(*simulation.log, outcome, f"log {simulation.digest()}", sep="\n")
    return int(bool(simulation.violations))


def main(arguments: Sequence[str] | None = None) -> int:
    """See the docstring of the module; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/simulate-seeds", description="Runs batches in simulated worlds, one for each seed.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first of them (0)")
    parser.add_argument("--seed", type=int, help="this one only, with its log")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once (as many as there are cores)")
    chosen = parser.parse_args(arguments)
    if chosen.seed is not None:
        return _tell(chosen.seed)
    began, total, broken = time.monotonic(), Figures(), []
    with multiprocessing.get_context("spawn").Pool(chosen.processes) as pool:
        for outcome in pool.imap_unordered(_try, range(chosen.first, chosen.first + chosen.seeds), chunksize=20):
            if isinstance(outcome, str):
                broken.append(outcome)
                print(outcome, flush=True)
            else:
                total.add(outcome)
    for name in Figures.__slots__:
        print(f"{name.replace('_', ' '):24}{getattr(total, name):>14,}")
    print(f"{'broken promises':24}{len(broken):>14,}")
    print(f"{'seconds':24}{time.monotonic() - began:>14,.0f}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
