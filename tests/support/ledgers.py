"""A ledger with ways to look into it and to move its rows, the same for every kind of ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from batcher.errors import Problem
from batcher.events import Accepted, Claimed, Event, Lost, Produced, Saved
from batcher.ledger import SqliteLedger
from batcher.ledger.codec import job_from
from batcher.ledger.statements import statements
from batcher.lifecycle import advance
from batcher.model import Artifact, Failure, FailureKind, Job, JobSpec, State
from batcher.ports import PlanSummary
from batcher.settings import RunSettings
from tests.support.engine_world import make_spec

NOW = 1_800_000_000.0
SETTINGS = RunSettings(regenerations=1)
NO = Failure(FailureKind.UNREACHABLE, "no")
FILE = Artifact("results/a.png", "ab" * 32, 1000, "image/png", 64, 48)
TO_STATE: dict[State, tuple[Event, ...]] = {
    State.PLANNED: (),
    State.SUBMITTING: (Claimed(),),
    State.IN_DOUBT: (Claimed(), Lost(NO)),
    State.SUBMITTED: (Claimed(), Accepted("req-1")),
    State.PRODUCED: (Claimed(), Accepted("req-1"), Produced(("https://x/a.png",), 0.08)),
    State.DONE: (Claimed(), Accepted("req-1"), Produced(("https://x/a.png",), 0.08), Saved((FILE,), 1.5)),
}
"""How a new row gets into a state."""


def anonymous(text: str, **changes: object) -> JobSpec:
    """A row without an id: its fingerprint is its key."""
    spec = make_spec(text)
    return replace(spec, key=spec.fingerprint, row_id=spec.fingerprint[:12], stem=spec.fingerprint[:12], **changes)  # type: ignore[arg-type]


class Book:
    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.ledger = self._open()

    def _open(self) -> SqliteLedger:
        return SqliteLedger(self.path, threaded=self.path is not None)

    async def reopen(self) -> None:
        """As a new process would; one in memory has nothing to come back to."""
        if self.path is not None:
            await self.ledger.aclose()
            self.ledger = self._open()

    async def plan(self, *items: JobSpec | Problem, dry_run: bool = False) -> PlanSummary:
        return await self.ledger.plan(items, dry_run=dry_run)

    async def rows(self, *, listed: bool = True) -> list[Job]:
        """Every row, in the order of the manifest."""
        where = "WHERE j.listed = 1 ORDER BY j.position" if listed else "WHERE j.listed = 0 ORDER BY j.seq"
        sql = f"{statements()['select_jobs']} {where}"
        return [job_from(row) for row in await self.ledger._writer.do(lambda connection: connection.execute(sql).fetchall())]

    async def row(self, row_id: str) -> Job:
        return next(job for job in await self.rows() if job.row_id == row_id)

    async def move(self, row_id: str, events: Iterable[Event], now: float = NOW, jitter: float = 0.5) -> Job:
        job = await self.row(row_id)
        for event in events:
            job = advance(job, event, now=now, jitter=jitter, settings=SETTINGS)
            await self.ledger.record(job, event, now)
        return job

    async def tallies_match_the_rows(self) -> None:
        """What the ledger says at once is what counting would say."""
        jobs = await self.rows()
        counted = Counter(job.state for job in jobs)
        assert self.ledger.counts() == {state: counted[state] for state in State}
        assert abs(self.ledger.spent_usd - sum(job.total_cost_usd or 0.0 for job in jobs)) < 1e-6
