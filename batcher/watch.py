"""A run as it looks from outside: what its ledger says, read beside it. Nothing is written, and no lock is touched."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from batcher.concurrency import CONCURRENCY, changes_of
from batcher.errors import InputError, LedgerError
from batcher.ledger import LEDGER, SIMULATOR, LedgerReader, is_at_work
from batcher.model import ExitReason, Job, Run, State
from batcher.observe import FAILURES_MAX, FLIGHTS_MAX, About, Flight, Pulse, Snapshot, UnderWay, duration
from batcher.outlook import Pace, TimeLeft, time_left_of_run
from batcher.polling import LEARNED, Polls
from batcher.service_times import ServiceTimes
from batcher.settings import RunSettings

AT_SERVICE_MAX = 10_000
"""More requests than this are not at the service at once."""

START_S = 10.0
"""How long a batch that is not there yet is waited for."""

UNREADABLE_S = 30.0
"""How long a ledger that cannot be read is tried again while somebody is at work on it."""

AtService: TypeAlias = tuple[str, str, bool | None, float]
"""A row, its model, whether it waits in the queue of the service as far as that was told, and when it was submitted."""

QUIET_S = 60.0
"""From when on it is said that nothing new was recorded."""


class Phase(StrEnum):
    """How a run is, seen from outside."""

    NEVER = "never run"
    STARTING = "being prepared"
    RUNNING = "under way"
    ENDED = "ended"
    KILLED = "killed"
    """It did not end in order, and nobody is at work."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for."""
        return self not in (Phase.STARTING, Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Look:
    """A batch at one moment; `reason` says why its last run ended, if it did."""

    name: str
    phase: Phase
    snapshot: Snapshot
    reason: ExitReason | None = None


class Watch:
    """Looks at the batch in `folder`, again and again. The ledger is open only while it is looked at: whoever closes it last tidies it up.

    What only the process of the run knows is not told: the places in the queue of the service, and whether a stop was asked for.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._readable_at = now()
        self._pulse: Pulse | None = None
        self._runs = 0
        self._saw_a_run = False
        self._time_left: Callable[[Pace | None], TimeLeft | None] = lambda pace: None
        self._failures: list[Job] = []
        self._failed = -1

    def look(self) -> Look | None:
        """How the batch is now; None where there is none yet, or it cannot be read now. Raises `BatcherError` where that lasts."""
        try:
            with LedgerReader(self._folder / LEDGER) as reader, reader.snapshot():
                look = self._read(reader)
        except (InputError, LedgerError):
            patience_s = UNREADABLE_S if is_at_work(self._folder) else START_S
            if self._now() - self._readable_at > patience_s:
                raise
            return None
        self._readable_at = self._now()
        return look

    def _read(self, reader: LedgerReader) -> Look:
        runs, meta, counts, now = reader.runs(), reader.meta(), reader.counts(), self._now()
        last = runs[-1] if runs else None
        phase = self._phase(last)
        started, until = (now, now) if last is None or phase is Phase.STARTING else (last.started_at, last.ended_at or now)
        if self._pulse is None or len(runs) != self._runs:
            self._runs, self._pulse = len(runs), Pulse(started, counts, until, lambda pace: self._time_left(pace))
        if (failed := counts[State.FAILED] + counts[State.IN_DOUBT]) != self._failed:
            self._failed, self._failures = failed, reader.latest_failures(FAILURES_MAX)
        settings = _settings(meta)
        at_service = reader.at_service(AT_SERVICE_MAX)
        under_way = _under_way(at_service, meta, settings, started)
        ages_s = _ages_s(at_service, settings, reader.fact(LEARNED), now) if phase is Phase.RUNNING else None
        self._time_left = lambda pace: (
            time_left_of_run(counts, ages_s, settings, concurrency=under_way.limit, pace=pace) if ages_s is not None else None
        )
        about = self._about(phase, is_simulated=meta.get("service") == SIMULATOR, quiet_s=now - max(started, reader.last_event_at() or 0.0))
        snapshot = self._pulse.take(about, counts, reader.spent_usd(), until, under_way, self._failures)
        return Look(str(meta.get("name", self._folder.name)), phase, snapshot, _reason(last))

    def _phase(self, last: Run | None) -> Phase:
        is_open = last is not None and last.ended_at is None
        if is_at_work(self._folder):
            self._saw_a_run = self._saw_a_run or is_open
            return Phase.RUNNING if self._saw_a_run else Phase.STARTING  # one that ended is still writing its report
        if last is None:
            return Phase.NEVER
        return Phase.KILLED if is_open else Phase.ENDED

    def _about(self, phase: Phase, *, is_simulated: bool, quiet_s: float) -> About:
        words = "The run is being prepared" if phase is Phase.STARTING else "Ctrl-C ends the watching only"
        if phase is Phase.RUNNING and quiet_s >= QUIET_S:
            words = f"Nothing new for {duration(quiet_s)}; Ctrl-C ends the watching only"
        return About(f"batcher resume {shlex.quote(str(self._folder))}", f"{words}; to go on after the run:", is_simulated)


def _settings(meta: Mapping[str, Any]) -> RunSettings:
    try:
        return RunSettings.model_validate(meta.get("run", {}))
    except ValidationError:
        return RunSettings()


def _under_way(at_service: Sequence[AtService], meta: Mapping[str, Any], settings: RunSettings, started: float) -> UnderWay:
    changes = [change for change in changes_of(meta.get(CONCURRENCY)) if change.at >= started]
    change = changes[-1] if changes else None
    queued = Counter(queued for _, _, queued, _ in at_service)
    oldest = [Flight(row_id, submitted_at, queued) for row_id, _, queued, submitted_at in at_service[:FLIGHTS_MAX]]
    most = settings.concurrency
    return UnderWay(change.limit if change is not None else most, most, change, queued[True], queued[False], oldest)


def _ages_s(at_service: Sequence[AtService], settings: RunSettings, learned: object, now: float) -> dict[ServiceTimes, list[float]] | None:
    """The ages of the requests at the service, by what the run has learned of their model; None while it has not, of one of them."""
    polls = Polls(settings)
    polls.recall(learned)
    ages: dict[ServiceTimes, list[float]] = {}
    for _, model, _, submitted_at in at_service:
        ages.setdefault(polls.times(model), []).append(max(0.0, now - submitted_at))
    return ages if all(times.jobs >= 1 for times in ages) else None


def _reason(last: Run | None) -> ExitReason | None:
    try:
        return None if last is None or last.exit_reason is None else ExitReason(last.exit_reason)
    except ValueError:
        return None
