"""The words of the engine: frozen records and the states of a row.

Nothing here does anything. Units are in the names; times are seconds since the epoch, as the engine's clock tells them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Any value that JSON can hold."""


class State(StrEnum):
    """Where a row is in its life; `batcher.lifecycle` holds the moves between them."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    SUBMITTED = "submitted"
    PRODUCED = "produced"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether only a person can move the row from here."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def is_open(self) -> bool:
        """Whether a lane still has work to do on the row."""
        return not self.is_terminal and self is not State.IN_DOUBT


class Lane(StrEnum):
    """A set of slots that carries rows through some of their states."""

    REMOTE = "remote"
    DOWNLOAD = "download"


class Mode(StrEnum):
    """What a lane is out to do with the rows that it claims."""

    RUN = "run"
    """Submit, poll, download."""
    COLLECT = "collect"
    """Submit nothing more, but wait for and download what is paid for."""
    DRAIN = "drain"
    """Submit nothing more, take back what is still queued remotely, collect what is running."""
    CANCEL = "cancel"
    """Submit nothing, cancel for good what is still queued remotely, leave the rest as it is."""
    STOP = "stop"
    """Let go of every row where it is."""


class ExitReason(StrEnum):
    """Why a run ended."""

    COMPLETED = "completed"
    """Nothing is left to do: every row is done, failed, cancelled or in doubt."""
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    TOKEN_REJECTED = "token_rejected"  # noqa: S105 - the name of a reason
    NO_BALANCE = "no_balance"
    SERVICE_UNAVAILABLE = "service_unavailable"
    OUTPUT_UNWRITABLE = "output_unwritable"
    ALL_REFUSED = "all_refused"
    """The service refused the first rows of the run, every one of them."""
    STOPPED_EARLY = "stopped_early"
    """Ended as asked with rows still open."""


class CancelWish(StrEnum):
    """Why a remote request was asked to be cancelled, and so where its row goes."""

    WITHDRAW = "withdraw"
    """A stop asked: the row goes back to `planned`, to be submitted by the next run."""
    CANCEL = "cancel"
    """A person asked: the row ends as `cancelled`."""


class FailureKind(StrEnum):
    """Why a row failed, is in doubt, or was last put off."""

    REJECTED = "rejected"
    """The service refused the request: nothing was made."""
    UNREACHABLE = "unreachable"
    """The service could not be reached, or was too busy: nothing was made."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """A request was sent and its answer was lost: it may have been made and charged."""
    INPUT_CHANGED = "input_changed"
    """A local input file is missing, or is not the one that was planned."""
    GENERATION_FAILED = "generation_failed"
    """The service reports that the generation failed."""
    CANCELLED = "cancelled"
    """The request was cancelled."""
    STALLED = "stalled"
    """The request did not end within its time; its id is kept."""
    RESULT_LOST = "result_lost"
    """The service no longer knows the request, or refuses to show it."""
    BAD_RESULT = "bad_result"
    """The service reports success, with no output that could be used."""
    DOWNLOAD_FAILED = "download_failed"
    """An output could not be fetched, or what came is not what was asked for."""
    EXPIRED = "expired"
    """It was done, its files are gone or altered since, and the service no longer has the result."""
    ABANDONED = "abandoned"
    """A person gave up a row that was in doubt."""

    @property
    def is_collectable(self) -> bool:
        """Whether the request may still hold a result, so that a retry reads it again before it pays again."""
        return self in (FailureKind.STALLED, FailureKind.BAD_RESULT, FailureKind.DOWNLOAD_FAILED, FailureKind.EXPIRED)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a row, in words for a person."""

    kind: FailureKind
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a manifest, for messages. Lines and columns count from 1; `line` is None where the place is the whole file."""

    file: str
    line: int | None = None
    column: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that `str` turned into `text`."""
        match = re.fullmatch(r"(.+?):(\d+)(?::(\d+))?", text, re.DOTALL)
        return cls(match[1], int(match[2]), int(match[3]) if match[3] else None) if match else cls(text)

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.file}{line}" if self.column is None else f"{self.file}{line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest, with defaults, matrix values and templates already filled in.

    `fields` holds what the job definition is to see, by name. `id` is the row's own name where the manifest gives one (with the labels of its matrix
    values); `axes` maps each matrix axis to the label of its value; `extras` are values that only templates or the report use.
    """

    fields: Mapping[str, Json]
    where: Where
    id: str | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A local file that goes into a request, as it was when the row was planned."""

    path: str
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One row ready to be submitted: what the ledger keeps of the plan.

    `body` is the request's JSON object in which each local file stands as `{"$input": n}`, an index into `inputs`. `key` is the row's identity in the
    ledger and `fingerprint` the hash of the rendered request, input bytes included. `job` names the definition that made it. `stem` is the name,
    without extension, of the row's result files; it may hold forward slashes. `fields` are the row's fields as the manifest gave them.
    """

    key: str
    row_id: str
    fingerprint: str
    job: str
    model: str
    body: Mapping[str, Json]
    stem: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A result file as it was saved: `path` is relative to the output folder, with forward slashes."""

    path: str
    sha256: str
    size_bytes: int
    media_type: str
    width: int | None = None
    height: int | None = None


class Verdict(StrEnum):
    """What a person thinks of a result."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REDO = "redo"
    """To be made again, differently: the note says how."""


@dataclass(frozen=True, slots=True)
class Review:
    """A mark on the result of one request, whose first file has that SHA-256."""

    verdict: Verdict
    note: str
    at: float
    request_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Job:
    """A row on its way: its spec and everything that happened to it so far.

    `attempts` counts submissions that may have been charged, `refusals` submits that were refused since, `fetches` broken downloads of the current
    result. `queued` tells what the last poll said: True in the queue, False running, None not asked yet. `cost_usd` is what the current request cost,
    as far as known, `earlier_cost_usd` what the row's earlier requests did; `unpriced` counts those of all of them, lost ones included, of which
    nobody knows what they cost. `poll_failures` counts polls without an answer since the last one,
    `denials` those of them that denied that there is such a request; both only while the process lives. So is `watched_since`, from when on this
    process knows the request: what passed before it cannot be told from a clock that was set. And so is `looked_at`: when it last knew that a
    request of its own was not finished. `position` is the row's place in the batch,
    from 1. `artifacts` of a row that is not done are files that it had once and that have gone missing. `review` may be about a result that the row
    has no longer: see `mark`.
    """

    seq: int
    spec: JobSpec
    state: State = State.PLANNED
    attempts: int = 0
    refusals: int = 0
    fetches: int = 0
    request_id: str | None = None
    queued: bool | None = None
    queue_position: int | None = None
    not_before: float = 0.0
    submitted_at: float | None = None
    started_at: float | None = None
    produced_at: float | None = None
    ended_at: float | None = None
    download_s: float | None = None
    outputs: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    cost_usd: float | None = None
    earlier_cost_usd: float = 0.0
    unpriced: int = 0
    failure: Failure | None = None
    cancel: CancelWish | None = None
    cancel_refused: bool = False
    polls: int = 0
    poll_failures: int = 0
    denials: int = 0
    watched_since: float | None = field(default=None, compare=False)
    looked_at: float | None = field(default=None, compare=False)
    position: int = 0
    review: Review | None = None

    @property
    def mark(self) -> Review | None:
        """The review of the result that the row has now, if there is one: what was said of another does not count."""
        if self.state is not State.DONE or self.review is None or not self.artifacts:
            return None
        return self.review if (self.review.request_id, self.review.sha256) == (self.request_id, self.artifacts[0].sha256) else None

    @property
    def row_id(self) -> str:
        """The row's name in messages, file names and reports."""
        return self.spec.row_id

    @property
    def total_cost_usd(self) -> float | None:
        """What the row cost so far over all its requests; None where nothing is known."""
        return self.earlier_cost_usd + (self.cost_usd or 0.0) if self.earlier_cost_usd or self.cost_usd is not None else None


class RequestPhase(StrEnum):
    """What the service says of a request, in our words."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    """It ended; only the result says how."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A word that is not known: keep the id, keep asking, never submit again."""


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """An answer to *how far is it*: `queue_position` is given only while the request is queued, if at all; `word` is the service's own."""

    phase: RequestPhase
    queue_position: int | None = None
    word: str = ""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """An answer to *what came of it*.

    `output` is what the service gives, as it gives it: the job definition knows where the links are. `error` is the service's reason, as text;
    `cost_usd` is None until the charge has settled; `excerpt` is how the answer begins, for messages.
    """

    phase: RequestPhase
    output: Json = None
    error: str | None = None
    cost_usd: float | None = None
    word: str = ""
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model of the catalog. `base_price_usd` per `price_unit` is a base and not a quote; None means that the price is not known."""

    model_id: str
    name: str = ""
    description: str = ""
    kind: str = ""
    categories: tuple[str, ...] = ()
    base_price_usd: float | None = None
    price_unit: str | None = None
    pricing_note: str = ""
    input_schema: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account holds; may be negative."""

    balance_usd: float
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What is known of a service, obeyed by the engine: what is not known to be safe is treated as unsafe.

    `refusal_statuses` are the HTTP answers to a submit that prove that nothing was made.
    """

    name: str
    has_idempotency_keys: bool = False
    can_look_up_requests: bool = False
    can_cancel_running: bool = False
    refusal_statuses: frozenset[int] = frozenset(range(400, 500))


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a batch was run; `ended_at` and `exit_reason` are None while it runs, or where it was killed."""

    started_at: float
    ended_at: float | None
    exit_reason: str | None
    pid: int
    host: str


@dataclass(frozen=True, slots=True)
class SameFiles:
    """Several rows whose result files are the same, byte for byte: how many, and the names of the first."""

    sha256: str
    rows: int
    row_ids: tuple[str, ...]
