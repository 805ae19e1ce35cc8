"""Writing `results.jsonl` and `report.json`: one pass over the ledger, nothing kept but numbers, each file complete or not there."""

from __future__ import annotations

import os
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from batcher.concurrency import CONCURRENCY, changes_of
from batcher.errors import LedgerError
from batcher.model import ExitReason, Job, Run, SameFiles, State
from batcher.ports import LedgerView
from batcher.report.models import (
    FILES,
    ConcurrencyChange,
    Counts,
    FailureExample,
    FailureGroup,
    Report,
    Requests,
    ResultFile,
    ResultRow,
    SameFilesGroup,
    Spread,
    Throughput,
)
from batcher.report.replacing import replacing
from batcher.report.rows import iso, result_row

EXAMPLES = 3
SAME_FILES = 20
_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
TIMINGS = ("queued_s", "running_s", "download_s")


class _Account:
    """What the report says about all rows together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files_missing = 0
        self.states: Counter[State] = Counter()
        self.cost_usd = 0.0
        self.cost_unknown = 0
        self._durations = {name: array("d") for name in TIMINGS}
        self._failures: dict[str, tuple[list[int], list[FailureExample]]] = {}

    def add(self, job: Job, row: ResultRow) -> None:
        self.states[row.state] += 1
        self.cost_usd += row.cost_usd or 0.0
        self.cost_unknown += job.unpriced > 0
        if row.state is State.DONE:
            self.files_missing += sum(not self._is_there(file) for file in row.files)
            for name, durations in self._durations.items():
                if (duration := getattr(row.timings, name)) is not None:
                    durations.append(duration)
        elif row.failure is not None and not row.state.is_open:
            count, examples = self._failures.setdefault(row.failure.kind, ([0], []))
            count[0] += 1
            if len(examples) < EXAMPLES:
                examples.append(FailureExample(id=row.id, message=row.failure.message, remedy=row.failure.remedy))

    def _is_there(self, file: ResultFile) -> bool:
        try:
            return os.stat(f"{self._folder}/{file.path}").st_size == file.size_bytes  # noqa: PTH116 - of a million files, and a Path is slow to make
        except OSError:
            return False

    def counts(self) -> Counts:
        return Counts(
            done=self.states[State.DONE],
            failed=self.states[State.FAILED],
            cancelled=self.states[State.CANCELLED],
            in_doubt=self.states[State.IN_DOUBT],
            open=sum(n for state, n in self.states.items() if state.is_open),
        )

    def timings(self) -> dict[str, Spread]:
        return {name: spread(durations) for name, durations in self._durations.items() if durations}

    def failures(self) -> list[FailureGroup]:
        groups = [FailureGroup(kind=kind, rows=count[0], examples=examples) for kind, (count, examples) in self._failures.items()]
        return sorted(groups, key=lambda group: (-group.rows, group.kind))


def write_report(folder: Path, reader: LedgerView, now: float) -> Report:
    """Write both files into `folder` and return the report.

    Raises `OutputError` if they cannot be written, and `LedgerError` if the rows do not add up: every row is accounted for, or nothing is said.
    """
    account = _Account(folder)
    with reader.snapshot(), replacing(folder / FILES["results"], "results") as file:
        for job in reader.jobs():
            row = result_row(job)
            account.add(job, row)
            file.write(_visible(row.model_dump_json()))
            file.write("\n")
        report = _report(reader, account, now, reader.same_files(SAME_FILES, EXAMPLES))
    with replacing(folder / FILES["report"], "report") as file:
        file.write(_visible(report.model_dump_json(indent=2)))
        file.write("\n")
    return report


def report_so_far(reader: LedgerView, now: float) -> Report:
    """The account of a batch as far as it can be told without a look at its rows, and so at once: no timings, no failures, no files."""
    account = _Account(Path())
    account.states.update(reader.counts())
    account.cost_usd = reader.spent_usd()
    return _report(reader, account, now, ())


def _visible(text: str) -> str:
    """JSON in which characters that a terminal obeys, or that some readers take for the end of a line, are written as `\\u…`."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def spread(durations: Sequence[float]) -> Spread:
    """Median, 95th percentile (nearest rank) and maximum of at least one duration."""
    ordered = sorted(durations)
    return Spread(p50=_rank(ordered, 50), p95=_rank(ordered, 95), max=ordered[-1])


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[-(-percent * len(ordered) // 100) - 1]


def _report(reader: LedgerView, account: _Account, now: float, same_files: Sequence[SameFiles]) -> Report:
    meta, runs = reader.meta(), reader.runs()
    tallied = {state: n for state, n in reader.counts().items() if n}
    if tallied != {state: n for state, n in account.states.items() if n}:
        raise LedgerError(f"the rows do not add up: the tallies say {tallied}, the rows themselves {dict(account.states)}")
    counts = account.counts()
    ended = counts.done + counts.failed + counts.cancelled + counts.in_doubt
    seconds = _seconds_run(runs, now)
    return Report(
        name=str(meta.get("name", "")),
        service=str(meta.get("service", "")),
        rows=sum(account.states.values()),
        counts=counts,
        started_at=iso(runs[0].started_at if runs else now),
        finished_at=iso(now),
        runs=len(runs),
        cost_usd=round(account.cost_usd, 6),
        cost_unknown_rows=account.cost_unknown,
        throughput=Throughput(rows_per_s=round(ended / seconds, 3) if ended and seconds > 0 else None, run_s=round(seconds, 3)),
        files_missing=account.files_missing,
        same_files=[SameFilesGroup(sha256=same.sha256, rows=same.rows, examples=list(same.row_ids)) for same in same_files],
        timings=account.timings(),
        failures=account.failures(),
        requests=Requests(**reader.requests()),
        concurrency=[ConcurrencyChange(at=iso(change.at), limit=change.limit, reason=change.reason) for change in changes_of(meta.get(CONCURRENCY))],
        exit_reason=ExitReason(runs[-1].exit_reason) if runs and runs[-1].exit_reason else None,
    )


def _seconds_run(runs: Sequence[Run], now: float) -> float:
    """How long the batch was being run. Of a run that was killed, nobody knows its end: it counts for nothing, unless it is the last."""
    ends = [run.ended_at for run in runs]
    if ends and ends[-1] is None:
        ends[-1] = now
    return sum(max(0.0, end - run.started_at) for run, end in zip(runs, ends, strict=True) if end is not None)
