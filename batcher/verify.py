"""Looking at a batch again: whether every file is still what was saved, whether the ledger agrees with itself, and mending what can be mended.

Nothing is submitted and nothing is paid: a lost file is fetched from the request that made it, where the service still has the result.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from batcher import lifecycle
from batcher.events import Event, Found, Missing, Retry
from batcher.folder import LEDGER
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.model import Failure, FailureKind, Job, State
from batcher.ports import Clock
from batcher.report import FILES, write_report
from batcher.settings import RunSettings
from batcher.storage import Condition, LocalStorage

HASHERS = min(8, (os.cpu_count() or 1) + 1)
AHEAD = 64
"""Files that are handed to the hashers before the first of them is asked for: bounds the memory that they take."""

EXAMPLES = 100
"""Files of no row that are named; of the others only their number is told."""

MOVES_AT_ONCE = 256

MENDABLE = frozenset({State.DONE, State.SUBMITTED, State.PRODUCED})


@dataclass(frozen=True, slots=True)
class Finding:
    """A file of a row that is not as it was saved. `outcome` is what came of it: empty, `fetched`, `expired` or `failed`, with the reason."""

    seq: int
    row_id: str
    path: str
    problem: Condition
    can_be_fetched: bool
    outcome: str = ""
    reason: str = ""


@dataclass(slots=True)
class Check:
    """What was found in a folder. `back` are the rows that had lost files, all of which are there again."""

    rows: int = 0
    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unknown_files: int = 0
    contradictions: list[str] = field(default_factory=list)
    is_report_stale: bool = False
    """Whether the report is missing or says something else than the ledger: a kill just before a run begins, or after it has ended, leaves it so."""

    @property
    def can_be_mended(self) -> bool:
        """Whether there is anything to fetch or to record."""
        return bool(self.back) or any(finding.can_be_fetched for finding in self.findings)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong, or nothing is wrong any more."""
        return not self.contradictions and not self.is_report_stale and all(finding.outcome == "fetched" for finding in self.findings)

    def count(self, problem: Condition) -> int:
        """How many files have that problem."""
        return sum(finding.problem is problem for finding in self.findings)


def check_folder(out: Path) -> Check:
    """Read every file of every row that has any, and the whole ledger; change nothing.

    Raises `InputError` where there is no batch, `LedgerError` where its ledger cannot be read.
    """
    check = Check()
    storage = LocalStorage(out)
    with LedgerReader(out / LEDGER) as reader:
        check.contradictions = reader.contradictions()
        check.is_report_stale = _is_report_stale(out, reader)
        for job, conditions in _conditions(storage, (job for job in reader.jobs() if job.artifacts)):
            _note(check, job, conditions)
        _find_unknown(check, storage, reader)
    return check


async def mend(check: Check, ledger: SqliteLedger, reader: LedgerReader, clock: Clock, settings: RunSettings) -> int:
    """Open the rows again whose files are lost, close those whose files are back, and say how many. What changed since is left alone."""
    wanted = {finding.seq: finding for finding in check.findings if finding.can_be_fetched}
    back = set(check.back)
    moves: list[tuple[Job, Event]] = []
    moved = 0
    for job in reader.jobs():
        event = Found() if job.seq in back and job.state is State.FAILED else _reopening(job, wanted.get(job.seq))
        if event is not None:
            moves.append((job, event))
        if len(moves) == MOVES_AT_ONCE:
            moved += await _record(moves, ledger, clock, settings)
            moves = []
    return moved + await _record(moves, ledger, clock, settings)


def write_stale_report(check: Check, out: Path) -> None:
    """Write the report again from the ledger, if it is stale. Raises `OutputError` where it cannot be written."""
    if check.is_report_stale:
        with LedgerReader(out / LEDGER) as reader:
            write_report(out, reader, time.time())
        check.is_report_stale = False


def settle(check: Check, out: Path) -> None:
    """Note what came of each finding, once the batch was run."""
    wanted = {finding.seq for finding in check.findings}
    ends: dict[int, tuple[str, str]] = {}
    with LedgerReader(out / LEDGER) as reader:
        for job in reader.jobs():
            if job.seq in wanted:
                ends[job.seq] = _end_of(job)
    check.findings = [replace(each, outcome=ends[each.seq][0], reason=ends[each.seq][1]) if each.seq in ends else each for each in check.findings]


def _end_of(job: Job) -> tuple[str, str]:
    if job.state is State.DONE:
        return "fetched", ""
    if job.failure is not None and job.failure.kind is FailureKind.EXPIRED:
        return "expired", job.failure.message
    return ("failed" if job.state is State.FAILED else ""), job.failure.message if job.failure else f"its row is {job.state}"


def _reopening(job: Job, finding: Finding | None) -> Event | None:
    if finding is None:
        return None
    if job.state is State.DONE:
        return Missing(Failure(FailureKind.DOWNLOAD_FAILED, f"{finding.path} is {finding.problem}", "`batcher resume DIR` fetches it again."))
    return Retry() if job.state is State.FAILED and _is_collectable(job) else None


async def _record(moves: list[tuple[Job, Event]], ledger: SqliteLedger, clock: Clock, settings: RunSettings) -> int:
    now = clock.now()
    after = [(lifecycle.advance(job, event, now=now, jitter=0.0, settings=settings), event) for job, event in moves]
    await asyncio.gather(*(ledger.record(job, event, now) for job, event in after))
    return len(after)


def _is_collectable(job: Job) -> bool:
    return job.request_id is not None and job.failure is not None and job.failure.kind.is_collectable


def _conditions(storage: LocalStorage, jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Condition]]]:
    """Each row with the conditions of its files, in order, however long any of them takes to read."""
    waiting: deque[tuple[Job, list[Future[Condition]]]] = deque()
    with ThreadPoolExecutor(HASHERS, "hash") as hashers:
        for job in jobs:
            waiting.append((job, [hashers.submit(storage.condition, file.path, file.sha256, file.size_bytes) for file in job.artifacts]))
            if len(waiting) > AHEAD:
                yield _read(waiting.popleft())
        while waiting:
            yield _read(waiting.popleft())


def _read(asked: tuple[Job, list[Future[Condition]]]) -> tuple[Job, list[Condition]]:
    job, futures = asked
    return job, [future.result() for future in futures]


def _note(check: Check, job: Job, conditions: list[Condition]) -> None:
    check.rows += 1
    check.files += len(conditions)
    wrong = [(file, condition) for file, condition in zip(job.artifacts, conditions, strict=True) if condition is not Condition.WHOLE]
    if job.state is State.FAILED and not wrong:
        check.back.append(job.seq)
    can_be_fetched = job.state in MENDABLE or _is_collectable(job)
    check.findings += [Finding(job.seq, job.row_id, file.path, condition, can_be_fetched) for file, condition in wrong]
    if job.state.is_open and not wrong:  # is being fetched again already: whoever asked for that has seen it wrong
        check.findings.append(Finding(job.seq, job.row_id, job.artifacts[0].path, Condition.ALTERED, can_be_fetched))


def _find_unknown(check: Check, storage: LocalStorage, reader: LedgerReader) -> None:
    known = array("Q", sorted(_key(path) for path in reader.saved_paths()))
    for path in storage.files():
        key = _key(path)
        place = bisect_left(known, key)
        if place == len(known) or known[place] != key:
            check.unknown_files += 1
            if len(check.unknown) < EXAMPLES:
                check.unknown.append(path)


def _key(path: str) -> int:
    """Eight bytes in the place of a path, so that a million of them are no burden."""
    return int.from_bytes(hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def _is_report_stale(out: Path, reader: LedgerReader) -> bool:
    """Where the last run ended by itself, its report says what the ledger says; while one goes, and after a kill, it need not."""
    runs = reader.runs()
    if not runs or runs[-1].ended_at is None:
        return False
    try:
        told = json.loads((out / FILES["report"]).read_text("utf-8"))["counts"]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    counts = reader.counts()
    ended = {state.value: counts[state] for state in (State.DONE, State.FAILED, State.CANCELLED, State.IN_DOUBT)}
    return bool(told != {**ended, "open": sum(n for state, n in counts.items() if state.is_open)})
