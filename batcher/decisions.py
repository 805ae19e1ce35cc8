"""What a person decides about rows that have ended: retry, redo, resubmit, adopt, abandon. Recorded like everything else that happens."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from batcher import lifecycle
from batcher.app import Decide
from batcher.errors import OutputError, Problem, ReviewError, UsageError
from batcher.events import Abandon, Adopt, Event, Redo, Resubmit, Retry
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.model import FailureKind, Job, State, Verdict
from batcher.ports import Clock
from batcher.revising import Reviser
from batcher.settings import RunSettings
from batcher.storage import LocalStorage

PROBLEMS_SHOWN = 50
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def retry_ended(states: Collection[State], row_ids: Sequence[str] | None = None, *, regenerate: bool = False) -> Decide:
    """Make a new attempt of rows that failed or were cancelled: those named, or all but those that were given up while they were in doubt."""
    return _decide(states, row_ids, Retry(regenerate))


def resolve_doubt(*, resubmit: bool, row_ids: Sequence[str] | None = None) -> Decide:
    """Submit rows in doubt again, or give them up: all, or those named."""
    return _decide([State.IN_DOUBT], row_ids, Resubmit() if resubmit else Abandon())


def adopt_requests(requests: Mapping[str, str]) -> Decide:
    """Take the requests, given by row, for those that rows in doubt made. Nothing is adopted unless all can be."""

    async def decide(ledger: SqliteLedger, reader: LedgerReader, clock: Clock, settings: RunSettings) -> int:
        if len(set(requests.values())) < len(requests):
            raise UsageError("one request is given to two rows", "Two rows cannot have one request.")
        jobs = []
        for row_id, request_id in requests.items():
            job = _named(reader, row_id)
            if job.state is not State.IN_DOUBT:
                raise UsageError(f"row {row_id!r} is {job.state}, not in doubt", "Only a row in doubt can adopt a request.")
            if REQUEST_ID.fullmatch(request_id) is None:
                raise UsageError(f"{request_id!r} is not a request id", "It is made of letters, digits, - and _.")
            if (owner := reader.row_of_request(request_id)) is not None:
                raise UsageError(f"the request {request_id} is that of row {owner!r}", "Two rows cannot have one request.")
            jobs.append((job, Adopt(request_id)))
        for job, event in jobs:
            await _apply(ledger, job, event, clock, settings)
        return len(jobs)

    return decide


@dataclass(frozen=True, slots=True)
class RedoPlan:
    """The rows that are to be made again: each as it is, but with the spec that it will have, and what happens to it.

    `same` counts those whose request is the very one that was sent before, with the seed that it had.
    """

    rows: Sequence[tuple[Job, Redo]]
    same: int

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many of them have which mark."""
        return Counter(job.mark.verdict for job, _ in self.rows if job.mark is not None)


def plan_redo(reader: LedgerReader, verdicts: Collection[Verdict], row_ids: Sequence[str] | None, reviser: Reviser | None) -> RedoPlan:
    """Choose the rows whose results have one of these marks, all or those named, and change their requests if that is wanted. Changes nothing yet.

    Raises `ReviewError` for every row that cannot be changed so, and `UsageError` where there is no such row, where one that is named has another
    mark, and where other rows would be submitted besides.
    """
    if row_ids:
        jobs = [_named(reader, row_id) for row_id in dict.fromkeys(row_ids)]
        wrong = next((job for job in jobs if job.mark is None or job.mark.verdict not in verdicts), None)
        if wrong is not None:
            is_ = f"marked {wrong.mark.verdict}" if wrong.mark is not None else "not marked"
            raise UsageError(f"the result of row {wrong.row_id!r} is {is_}, not {' or '.join(verdicts)}", "See batcher review.")
    else:
        jobs = [job for job in reader.jobs([State.DONE]) if job.mark is not None and job.mark.verdict in verdicts]
    if not jobs:
        raise UsageError(f"no row is marked {' or '.join(verdicts)}", "Mark results first: batcher review DIR --reject ID, or --from review.csv.")
    if waiting := reader.counts()[State.PLANNED]:
        words = "1 row of the batch is" if waiting == 1 else f"{waiting} rows of the batch are"
        raise UsageError(f"{words} still to be submitted, and would be paid for besides", "End that first: batcher resume DIR.")
    problems: dict[tuple[str | None, str], Problem] = {}
    rows: list[tuple[Job, Redo]] = []
    for job in jobs:
        revised = reviser.revise(job) if reviser is not None else (job.spec, {})
        if isinstance(revised, list):
            for problem in revised:
                first = problems.setdefault((problem.field, problem.message), problem)
                if first is not problem:
                    problems[problem.field, problem.message] = replace(first, more_rows=first.more_rows + 1)
            continue
        spec, changed = revised
        rows.append((replace(job, spec=spec), Redo(changed or None, revised=spec != job.spec or None)))
    if problems:
        raise ReviewError(list(problems.values())[:PROBLEMS_SHOWN], len(problems))
    return RedoPlan(rows, sum(event.revised is None for _, event in rows))


def redo(plan: RedoPlan, storage: LocalStorage) -> Decide:
    """Plan these rows again, all or none, and put the files that they have beside."""

    async def decide(ledger: SqliteLedger, reader: LedgerReader, clock: Clock, settings: RunSettings) -> int:
        now = clock.now()
        await ledger.redo([(lifecycle.advance(job, event, now=now, jitter=0.0, settings=settings), event) for job, event in plan.rows], now)

        def set_aside() -> None:
            for job, _ in plan.rows:
                for file in job.artifacts:
                    with suppress(OutputError):  # where it stays, the next file of its name puts it beside
                        storage.set_aside(file.path)

        await asyncio.to_thread(set_aside)
        return len(plan.rows)

    return decide


def all_of(decisions: Sequence[Decide]) -> Decide:
    """Several decisions, one after the other."""

    async def decide(ledger: SqliteLedger, reader: LedgerReader, clock: Clock, settings: RunSettings) -> int:
        return sum([await each(ledger, reader, clock, settings) for each in decisions])

    return decide


def _decide(states: Collection[State], row_ids: Sequence[str] | None, event: Event) -> Decide:
    async def decide(ledger: SqliteLedger, reader: LedgerReader, clock: Clock, settings: RunSettings) -> int:
        if row_ids:
            chosen = [_named(reader, row_id) for row_id in dict.fromkeys(row_ids)]
            wrong = [job for job in chosen if job.state not in states]
            if wrong:
                raise UsageError(f"row {wrong[0].row_id!r} is {wrong[0].state}, not {' or '.join(states)}")
        else:
            chosen = [job for job in reader.jobs(states) if job.failure is None or job.failure.kind is not FailureKind.ABANDONED]
        for job in chosen:
            await _apply(ledger, job, event, clock, settings)
        return len(chosen)

    return decide


async def _apply(ledger: SqliteLedger, job: Job, event: Event, clock: Clock, settings: RunSettings) -> None:
    now = clock.now()
    await ledger.record(lifecycle.advance(job, event, now=now, jitter=0.0, settings=settings), event, now)


def _named(reader: LedgerReader, row_id: str) -> Job:
    job = reader.row(row_id)
    if job is None:
        raise UsageError(f"the batch has no row {row_id!r}", "The ids are in results.jsonl.")
    return job
