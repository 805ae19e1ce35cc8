"""What a person decides about rows that ended badly: retry, resubmit, adopt, abandon. Recorded like everything else that happens."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from batcher import lifecycle
from batcher.app import Decide
from batcher.errors import UsageError
from batcher.events import Abandon, Adopt, Event, Resubmit, Retry
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.model import FailureKind, Job, State
from batcher.ports import Clock
from batcher.settings import RunSettings

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
