"""The shapes of `results.jsonl` and `report.json`; their JSON Schemas in `docs/reference` are generated from these."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from batcher.model import ExitReason, FailureKind, State, Verdict

SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ResultFile(_Record):
    """One result file."""

    path: str = Field(description="Relative to the output folder, with forward slashes.")
    sha256: str
    size_bytes: int
    media_type: str
    width: int | None = Field(description="In pixels; null where it is not known.")
    height: int | None = Field(description="In pixels; null where it is not known.")


class ResultFailure(_Record):
    """Why a row failed, was cancelled, is in doubt, or was last put off."""

    kind: FailureKind
    message: str
    remedy: str = Field(description="What to do about it; may be empty.")


class ResultTimings(_Record):
    """How long the parts took, in seconds; null where a part did not happen or was not seen."""

    queued_s: float | None = Field(description="From acceptance until it was first seen running.")
    running_s: float | None = Field(description="From then until its result was seen.")
    download_s: float | None = Field(description="Download, checks and writing of all its files.")


class ResultReview(_Record):
    """What a person thinks of the result that the row has now."""

    verdict: Verdict
    note: str = Field(description="What should be different; may be empty.")
    at: str = Field(description="When it was looked at: ISO 8601, UTC.")


class ResultRow(_Record):
    """One line of `results.jsonl`: everything about one row."""

    id: str
    row: int = Field(description="The row's number in the batch, from 1.")
    source: str = Field(description="Where the manifest holds it, as file:line or file:line:column.")
    state: State
    job: str
    model: str
    request_id: str | None
    inputs: dict[str, Any] = Field(description="The row's fields as the manifest gave them.")
    body: dict[str, Any] = Field(description='The request as it is sent; a local file stands as {"$input": n}, an index into input_files.')
    input_files: list[dict[str, Any]] = Field(description="The local files that were sent: path, sha256, size_bytes, media_type.")
    axes: dict[str, str] = Field(description="The label of each matrix value.")
    files: list[ResultFile]
    attempts: int = Field(description="Submissions that may have been charged.")
    submitted_at: str | None = Field(description="When the service accepted the last of them: ISO 8601, UTC.")
    cost_usd: float | None = Field(description="Of all attempts, as far as known; null where nothing is known.")
    failure: ResultFailure | None
    review: ResultReview | None
    timings: ResultTimings


class Counts(_Record):
    """The rows of a batch by how they ended: together they are all its rows."""

    done: int
    failed: int
    cancelled: int
    in_doubt: int
    open: int


class Spread(_Record):
    """How a duration spreads over rows, in seconds."""

    p50: float
    p95: float
    max: float


class Throughput(_Record):
    """How fast the batch went."""

    rows_per_s: float | None = Field(description="Rows ended per second while the batch was being run; null before the first.")
    run_s: float = Field(description="How long the batch was being run, over all its runs, in seconds.")


class FailureExample(_Record):
    """One row that met a kind of failure."""

    id: str
    message: str
    remedy: str


class FailureGroup(_Record):
    """All rows that ended with one kind of failure."""

    kind: FailureKind
    rows: int
    examples: list[FailureExample]


class SameFilesGroup(_Record):
    """Rows that are done with the same file, byte for byte."""

    sha256: str
    rows: int
    examples: list[str] = Field(description="The ids of the first of them.")


class Requests(_Record):
    """Calls made to the service and to the hosts of its files, over all runs of the batch."""

    submits: int = 0
    polls: int = 0
    results: int = 0
    cancels: int = 0
    downloads: int = 0


class ConcurrencyChange(_Record):
    """Another number of requests that were allowed at the service at once."""

    at: str = Field(description="ISO 8601, UTC.")
    limit: int
    reason: str


class Report(_Record):
    """`report.json`: the account of a batch. `rows` is the sum of `counts`."""

    schema_version: int = SCHEMA_VERSION
    name: str
    service: str
    rows: int
    counts: Counts
    started_at: str = Field(description="When the batch was first run: ISO 8601, UTC.")
    finished_at: str = Field(description="When this report was written: ISO 8601, UTC.")
    runs: int = Field(description="How often the batch was run or resumed.")
    cost_usd: float = Field(description="Of all rows, as far as known.")
    cost_unknown_rows: int = Field(description="Rows with a request, lost ones included, of which nobody knows what it cost.")
    throughput: Throughput
    files_missing: int = Field(description="Files of rows that are done that are not in the output folder, or not of their size.")
    same_files: list[SameFilesGroup] = Field(
        description="Rows that are done with the same file as another row, most rows first: perhaps a placeholder of the service."
    )
    timings: dict[str, Spread] = Field(description="queued_s, running_s and download_s over the rows that are done.")
    failures: list[FailureGroup] = Field(description="Of failed, cancelled and doubtful rows; most frequent first.")
    requests: Requests
    concurrency: list[ConcurrencyChange] = Field(
        description="How many requests were allowed at the service at once, each time that it changed because of what the service said: the last 100."
    )
    exit_reason: ExitReason | None = Field(description="Why the last run ended; null while it runs, or where it was killed.")


FILES = MappingProxyType({"report": "report.json", "results": "results.jsonl", "page": "report.html"})

GALLERY = "report"
"""The folder, in the output folder, that holds what `report.html` shows beside the results."""
