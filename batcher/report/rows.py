"""One row of the ledger as one line of `results.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from batcher.model import Artifact, InputFile, Job, State
from batcher.report.models import ResultFailure, ResultFile, ResultReview, ResultRow, ResultTimings

INPUT_FIELDS = tuple(field.name for field in fields(InputFile))
FILE_FIELDS = tuple(field.name for field in fields(Artifact))


def result_row(job: Job) -> ResultRow:
    """Everything about one row."""
    spec, failure, mark = job.spec, job.failure, job.mark
    return ResultRow(
        id=spec.row_id,
        row=job.position,
        source=spec.where,
        state=job.state,
        job=spec.job,
        model=spec.model,
        request_id=job.request_id,
        inputs=dict(spec.fields),
        body=dict(spec.body),
        input_files=[_facts(file, INPUT_FIELDS) for file in spec.inputs],
        axes=dict(spec.axes),
        files=[ResultFile(**_facts(file, FILE_FIELDS)) for file in job.artifacts] if job.state is State.DONE else [],
        attempts=job.attempts,
        submitted_at=None if job.submitted_at is None else iso(job.submitted_at, "milliseconds"),
        cost_usd=job.total_cost_usd,
        failure=ResultFailure(kind=failure.kind, message=failure.message, remedy=failure.remedy) if failure else None,
        review=ResultReview(verdict=mark.verdict, note=mark.note, at=iso(mark.at, "milliseconds")) if mark else None,
        timings=ResultTimings(
            queued_s=_between(job.submitted_at, job.started_at),
            running_s=_between(job.started_at, job.produced_at),
            download_s=_rounded(job.download_s),
        ),
    )


def _facts(file: InputFile | Artifact, names: Sequence[str]) -> dict[str, Any]:
    """A record as a dictionary; `dataclasses.asdict` copies each value besides, and there may be a million of them."""
    return {name: getattr(file, name) for name in names}


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else _rounded(max(0.0, end - start))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def iso(seconds: float, precision: str = "seconds") -> str:
    """A time as it stands in reports: ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
