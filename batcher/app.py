"""Puts the parts together: opens the folder, the ledger, the service and the network, runs, and writes the report in every ending."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shlex
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from batcher.clock import LoopClock
from batcher.config import Environment
from batcher.crashpoints import reach
from batcher.discovery import Definitions
from batcher.downloads import DownloadLimits, HttpFetcher
from batcher.engine import Engine
from batcher.errors import BatcherError, InputError, InterruptedRunError, LedgerError, OutputError, Problem, UsageError
from batcher.exits import REASON_CODES, RESUMABLE_CODE, exit_code
from batcher.folder import LEDGER, SIMULATOR_STATE, check_place, check_room, open_folder, place_facts
from batcher.hosts import TrustedHosts, open_download_session
from batcher.inputs import DataUriBodies
from batcher.ledger import SIMULATOR, LedgerReader, SqliteLedger
from batcher.limits import fit_open_files
from batcher.manifest import Manifest
from batcher.manifest.problems import problems_from
from batcher.model import ExitReason, Job, JobSpec, Mode, State, Where
from batcher.observe import FAILURES_MAX, FLIGHTS_MAX, About, Flight, Observers, Pulse, SilentView, UnderWay, View, ViewObserver
from batcher.plan import Planner
from batcher.ports import Clock, Facts, Observer, PlanSummary
from batcher.providers.http import proxy_for, proxy_hosts
from batcher.providers.runcomfy import checked_base, checked_token, open_runcomfy
from batcher.report import FILES, Report, sweep, write_report
from batcher.settings import RunSettings
from batcher.stopping import Stopper
from batcher.storage import LocalStorage
from batcher.version import VERSION

if TYPE_CHECKING:  # what a real service needs nothing of
    from batcher.simulator import Simulator, SimulatorSettings

GALLERY_PATIENCE_S = 20.0
"""How long a run that has ended makes small pictures for its gallery: some thousands of them. `batcher report` makes the rest."""

SIMULATOR_TOKEN = "simulated-3f0c9a71d2e84b56"  # noqa: S105 - opens nothing; one and the same, because requests belong to a token
"""What a simulated service is given for a token: no word that a message may hold."""

Opener = Callable[[], Manifest]
"""Opens a manifest, and checks its head: `batcher.manifest.open_manifest` or `open_rows` with their arguments filled in."""

Decide = Callable[[SqliteLedger, LedgerReader, Clock, RunSettings], Coroutine[Any, Any, int]]
"""Carries out what a person decided about rows; returns how many rows it moved."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run. `opener` opens the manifest; without it the batch that `out` holds is taken up again. `overrides` are run settings by name."""

    out: Path
    opener: Opener | None = None
    simulate: SimulatorSettings | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    allow_hosts: Sequence[str] = ()
    mode: Mode = Mode.RUN
    decide: Decide | None = None
    take_over: bool = False
    """Whether a person vouches that no other copy of the folder is used."""
    gallery: bool = True
    """Whether `report.html` is written at the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `trouble` is what a whole-batch condition said, if one ended it; `page` is the gallery, if it was written."""

    report: Report
    exit_code: int
    plan: PlanSummary | None = None
    trouble: str = ""
    page: Path | None = None


async def run_batch(
    options: RunOptions,
    environment: Environment,
    *,
    view: View,
    observers: Sequence[Observer] = (),
    stopper: Stopper | None = None,
    on_plan: Callable[[PlanSummary], None] = lambda summary: None,
    on_ledger: Callable[[SqliteLedger, LedgerReader], None] = lambda ledger, reader: None,
) -> Outcome:
    """Plan if there is a manifest, run what is open, and report. Raises `BatcherError` for what keeps the batch from being run at all.

    `on_ledger` is given the ledger once the batch is in it, to keep in it what a person says of rows meanwhile.
    """
    stopper = stopper or Stopper()
    async with AsyncExitStack() as stack:
        manifest = _open_manifest(options.opener, stopper) if options.opener is not None else None
        ledger = await stack.enter_async_context(open_folder(options.out, create=manifest is not None, take_over=options.take_over))
        clock = LoopClock()
        reader = stack.enter_context(LedgerReader(options.out / LEDGER))
        meta = reader.meta()
        notices = [check_place(options.out, reader, meta, take_over=options.take_over)]
        if manifest is not None:
            _refuse_another_batch(manifest, options.out, meta)
        elif not meta and not any(reader.counts().values()):
            raise InputError(f"{options.out}: no batch was planned here: its first run ended too early", "Run the manifest again.")
        settings = choose_settings(manifest.head.run if manifest is not None else meta.get("run", {}), options.overrides)
        name = manifest.name if manifest is not None else meta.get("name", options.out.name)

        def facts(counts: Mapping[State, int]) -> Mapping[str, object]:
            return {"name": name, "run": settings.model_dump(), **_choose_service(options, environment, meta, counts).facts()}

        plan = await _plan(ledger, manifest, stopper, facts) if manifest is not None else None
        if plan is not None:
            on_plan(plan)
        else:
            await ledger.put_meta(facts(reader.counts()))
        on_ledger(ledger, reader)
        service = _choose_service(options, environment, meta, reader.counts())
        if options.decide is not None:  # it may plan rows again
            await options.decide(ledger, reader, clock, settings)
        fitted = fit_open_files(settings, simulated=service.simulator is not None)
        notices.append(fitted.message)
        if options.mode is Mode.RUN:
            notices.append(check_room(options.out, reader))
        for notice in filter(None, notices):
            view.say(notice)
        await ledger.put_meta(place_facts(options.out))
        batch = _OpenBatch(options, fitted.settings, service, ledger, reader, clock)
        report, trouble = await batch.run(view, observers, stopper)
        code = exit_code(report.exit_reason, ledger.counts(), files_missing=report.files_missing)
    # From here on the folder may be somebody else's: that does no harm.
    page = _show_gallery(options.out, report, view, stopper) if options.gallery else None
    return Outcome(report, code, plan, trouble, page)


@dataclass(frozen=True, slots=True)
class _Service:
    """What is asked to make things: its name in the ledger, the token for it, and its settings where it is simulated."""

    name: str
    token: str = field(repr=False)
    simulator: SimulatorSettings | None = None

    def facts(self) -> dict[str, object]:
        """What the ledger keeps, so that a batch can be taken up again."""
        return {"service": self.name, "simulator": self.simulator.model_dump(mode="json", exclude={"faults"}) if self.simulator is not None else None}


@dataclass(frozen=True, slots=True)
class _OpenBatch:
    """A planned batch with everything at hand to run it."""

    options: RunOptions
    settings: RunSettings
    service: _Service
    ledger: SqliteLedger
    reader: LedgerReader
    clock: Clock

    async def run(self, view: View, observers: Sequence[Observer], stopper: Stopper) -> tuple[Report, str]:
        """Carry the rows and write the report, in every ending; also what a whole-batch condition said."""
        run = await self.ledger.begin_run(self.clock.now(), os.getpid(), socket.gethostname())
        seen = ViewObserver(view, self.reader.latest_failures(FAILURES_MAX) if view.interval_s is not None else ())
        try:
            async with self._engine(Observers([seen, *observers])) as engine:
                with stopper.telling(engine.interrupt):
                    reason = await engine.run(beside=lambda: self._show(view, engine, seen.failures))
            await self.ledger.end_run(run, self.clock.now(), reason)
        except BaseException as error:
            if isinstance(error, LedgerError):
                error.exit_code = RESUMABLE_CODE
            with suppress(BatcherError):
                self._report(view)
            raise
        try:
            return self._report(view), engine.trouble
        except OutputError as error:
            error.exit_code = REASON_CODES.get(reason, error.exit_code)
            raise

    async def _show(self, view: View, engine: Engine, failures: Collection[Job]) -> None:
        """Keep the view up to date until cancelled."""
        if view.interval_s is None:
            return
        ledger, now = self.ledger, self.clock.now
        pulse = Pulse(now(), ledger.counts(), now(), engine.time_left)
        never = asyncio.Event()
        while True:
            under_way = _under_way(engine, self.settings.concurrency)
            view.show(pulse.take(self._about(engine), ledger.counts(), ledger.spent_usd, now(), under_way, tuple(failures)))
            reach("view.shown")
            await self.clock.wait(never, view.interval_s)

    def _about(self, engine: Engine) -> About:
        hint = "Ctrl-C stops in order" if engine.course.reason is None else "Nothing more is submitted; Ctrl-C leaves at once"
        resume = f"batcher resume {shlex.quote(str(self.options.out))}"
        return About(resume, f"{hint}; to go on:", is_simulated=self.service.simulator is not None)

    def _report(self, view: View) -> Report:
        view.close()
        if not (self.options.out / LEDGER).exists():
            raise LedgerError(f"{self.options.out / LEDGER} was removed while the batch was run", "What was made may be in your account.")
        return write_report(self.options.out, self.reader, self.clock.now())

    @asynccontextmanager
    async def _engine(self, observer: Observer) -> AsyncIterator[Engine]:
        storage = LocalStorage(self.options.out)
        if not self.ledger.is_sealed:  # else the last process ended in order, and to look through a million files takes its time
            storage.sweep()
        sweep(self.options.out)
        settings = self.settings
        async with AsyncExitStack() as stack:
            base = self.service.name
            if self.service.simulator is not None:
                base = (await stack.enter_async_context(_simulator(self.service.simulator, self.options.out / SIMULATOR_STATE))).base_url
            hosts = TrustedHosts.beside(base, self.options.allow_hosts)
            session = open_download_session(
                hosts,
                user_agent=f"batcher/{VERSION}",
                connect_timeout_s=settings.connect_timeout_s,
                read_timeout_s=settings.read_timeout_s,
                proxy_hosts=proxy_hosts(),
            )
            await stack.enter_async_context(session)
            provider = await stack.enter_async_context(open_runcomfy(base, self.service.token, settings, clock=self.clock, version=VERSION))
            yield Engine(
                ledger=self.ledger,
                provider=provider,
                bodies=DataUriBodies(),
                fetcher=HttpFetcher(
                    session, storage, hosts, DownloadLimits(timeout_s=settings.download_timeout_s), now=self.clock.now, proxy_for=proxy_for
                ),
                links=Definitions().links,
                clock=self.clock,
                rng=random.Random(),
                settings=settings,
                observer=observer,
                mode=self.options.mode,
            )


def _show_gallery(out: Path, report: Report, view: View, stopper: Stopper) -> Path | None:
    """Write the gallery, unless somebody wants to leave; returns the page. Whatever is wrong with it is told, and changes nothing else."""
    from batcher.report.gallery import write_gallery

    wanted, deadline = stopper.steps, time.monotonic() + GALLERY_PATIENCE_S
    if wanted > 1:
        return None
    try:
        gallery = write_gallery(out, report, go_on=lambda: stopper.steps == wanted, has_time=lambda: time.monotonic() < deadline)
    except Exception as error:  # a fault of ours too: the batch is accounted for, whatever becomes of its page
        why = error.message if isinstance(error, BatcherError) else f"{type(error).__name__}: {error}"
        view.say(f"{out / FILES['page']} could not be written: {why} Try again with: batcher report {shlex.quote(str(out))}")
        return None
    if not gallery.is_whole or gallery.thumbnails_left:
        view.say(f"The gallery has not all of its small pictures yet: batcher report {shlex.quote(str(out))} makes them.")
    return gallery.page if gallery.page.is_file() else None


def choose_settings(stated: RunSettings | Mapping[str, Any], overrides: Mapping[str, Any]) -> RunSettings:
    """The run settings that hold: those stated by the manifest, or kept in the ledger, under those given as flags. Raises `UsageError`."""
    values = stated.model_dump() if isinstance(stated, RunSettings) else dict(stated)
    try:
        return RunSettings.model_validate(values | {name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = problems_from(error, where=lambda loc: Where("command line"), model=RunSettings)
        raise UsageError("\n".join(str(problem) for problem in problems)) from error


async def preview(opener: Opener, out: Path | None) -> tuple[Manifest, PlanSummary]:
    """What running the manifest would do, without doing anything: against the ledger in `out` if there is one, which is not changed."""
    manifest = opener()
    stopper = Stopper()
    if out is not None and (out / LEDGER).is_file():
        async with open_folder(out, create=False) as ledger:
            return manifest, await _plan(ledger, manifest, stopper, dry_run=True)
    ledger = SqliteLedger(None)
    try:
        return manifest, await _plan(ledger, manifest, stopper, dry_run=True)
    finally:
        await ledger.aclose()


def _open_manifest(opener: Opener, stopper: Stopper) -> Manifest:
    with stopper.interruptible():
        return opener()


async def _plan(ledger: SqliteLedger, manifest: Manifest, stopper: Stopper, facts: Facts | None = None, *, dry_run: bool = False) -> PlanSummary:
    planner = Planner(manifest, Definitions(), random.SystemRandom())

    def items() -> Iterator[JobSpec | Problem]:
        for item in planner.items():
            if stopper.reason is not None:
                raise InterruptedRunError(stopper.reason)
            yield item

    try:
        return await ledger.plan(items(), facts=facts, dry_run=dry_run)
    except asyncio.CancelledError:  # the thread that plans hears of it at its next row
        stopper.stop(ExitReason.INTERRUPTED)
        raise


def _refuse_another_batch(manifest: Manifest, out: Path, meta: Mapping[str, Any]) -> None:
    """The rows of another batch would count as dropped, and what was paid for them as forgotten."""
    known = meta.get("name", manifest.name)
    if known != manifest.name:
        hint = f"Choose another --out folder; or, if it is the same batch under another name, state `name: {known}` in the manifest."
        raise OutputError(f"{out} holds the batch {known!r}, not {manifest.name!r}", hint)


def _choose_service(options: RunOptions, environment: Environment, meta: Mapping[str, Any], counts: Mapping[State, int]) -> _Service:
    """The service to use. Raises `UsageError` where the folder belongs to another one, `TokenError` where there is no token for it."""
    known = meta.get("service")
    simulator = options.simulate
    if simulator is None and known == SIMULATOR and options.opener is None:
        from batcher.simulator import SimulatorSettings

        simulator = SimulatorSettings.model_validate(meta.get("simulator") or {})
    wanted = SIMULATOR if simulator is not None else environment.api_base
    paid = any(n for state, n in counts.items() if state is not State.PLANNED)
    if known is not None and known != wanted and paid:
        hint = (
            "Add --simulate, or choose another --out folder."
            if known == SIMULATOR
            else f"Set RUNCOMFY_MODEL_API_BASE={known}, or choose another --out."
        )
        raise UsageError(f"{options.out} holds a batch that was run against {_spoken(known)}, not {_spoken(wanted)}", hint)
    if simulator is not None:
        return _Service(wanted, SIMULATOR_TOKEN, simulator)
    checked_base(wanted)
    return _Service(wanted, checked_token(environment.require_token()))


def _spoken(service: str) -> str:
    return "the simulated service" if service == SIMULATOR else service


@asynccontextmanager
async def _simulator(settings: SimulatorSettings, state_dir: Path) -> AsyncIterator[Simulator]:
    from batcher.simulator import Simulator, SimulatorError

    try:
        async with Simulator(settings, state_dir=state_dir) as simulator:
            yield simulator
    except SimulatorError as error:
        raise BatcherError(f"the simulated service: {error}") from error


def _under_way(engine: Engine, most: int) -> UnderWay:
    """What goes on at the service, for those who look."""
    at_service, limit = engine.at_service, engine.limit
    queued = Counter(job.queued for job in at_service)
    oldest = [
        Flight(job.row_id, job.submitted_at or 0.0, job.queued, job.queue_position if job.queued else None)
        for job in itertools.islice(at_service, FLIGHTS_MAX)
    ]
    change = limit.changes[-1] if limit.changes and limit.changes[-1].limit == limit.limit else None
    return UnderWay(limit.limit, most, change, queued[True], queued[False], oldest)


__all__ = ["Opener", "Outcome", "RunOptions", "SilentView", "preview", "run_batch"]
