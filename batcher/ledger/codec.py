"""Records to columns and back."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from typing import Any

from batcher.compact import compact_encoder
from batcher.errors import LedgerError
from batcher.events import Event
from batcher.ledger.faults import SALVAGE_REMEDY
from batcher.model import Artifact, CancelWish, Failure, FailureKind, InputFile, Job, JobSpec, Review, State, Verdict

Value = str | int | float | None

_FIELD_NAMES: dict[type, tuple[str, ...]] = {}


def to_json(value: object) -> str:
    """Compact JSON with sorted keys, so that equal values are equal texts."""
    return _dumps(value, sort_keys=True)


def spec_values(spec: JobSpec) -> tuple[Value, ...]:
    """The columns of `specs` after `seq`, in their order."""
    return (
        spec.key, spec.row_id, spec.fingerprint, spec.job, spec.model, _dumps(spec.body, sort_keys=False), spec.stem,
        to_json(spec.fields), to_json(spec.axes) if spec.axes else "{}", to_json(spec.inputs) if spec.inputs else "[]", spec.where,
    )  # fmt: skip


def job_values(job: Job) -> tuple[Value, ...]:
    """The columns of `jobs` that a transition may change, in the order of the statement `update_job`, `seq` last."""
    return (
        job.state, job.attempts, job.refusals, job.fetches, job.request_id, job.queued, job.queue_position, job.not_before, job.submitted_at,
        job.started_at, job.produced_at, job.ended_at, job.download_s, to_json(job.outputs) if job.outputs else None,
        to_json(job.artifacts) if job.artifacts else None, job.cost_usd, job.earlier_cost_usd, job.unpriced,
        to_json(job.failure) if job.failure else None,
        job.cancel, job.cancel_refused, job.polls, job.poll_failures, job.seq,
    )  # fmt: skip


def job_from(row: sqlite3.Row | tuple[Any, ...]) -> Job:
    """A job from the columns of the statement `select_jobs`. Raises `LedgerError` where they cannot have been written so."""
    try:
        return _job_from(row)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LedgerError(f"the ledger is damaged: the row at {row[0]} cannot be read: {error}", SALVAGE_REMEDY) from error


def _job_from(row: sqlite3.Row | tuple[Any, ...]) -> Job:
    (
        position, seq, key, row_id, fingerprint, job, model, body, stem, fields, axes, inputs, source,
        state, attempts, refusals, fetches, request_id, queued, queue_position, not_before, submitted_at, started_at, produced_at, ended_at,
        download_s, outputs, artifacts, cost_usd, earlier_cost_usd, unpriced, failure, cancel, cancel_refused, polls, poll_failures, review,
    ) = row  # fmt: skip
    spec = JobSpec(
        key=key, row_id=row_id, fingerprint=fingerprint, job=job, model=model, body=json.loads(body), stem=stem, fields=json.loads(fields),
        axes={} if axes == "{}" else json.loads(axes), inputs=() if inputs == "[]" else tuple(InputFile(**item) for item in json.loads(inputs)),
        where=source,
    )  # fmt: skip
    return Job(
        seq=seq, spec=spec, state=State(state), attempts=attempts, refusals=refusals, fetches=fetches, request_id=request_id,
        queued=None if queued is None else bool(queued), queue_position=queue_position, not_before=not_before, submitted_at=submitted_at,
        started_at=started_at, produced_at=produced_at, ended_at=ended_at, download_s=download_s,
        outputs=tuple(json.loads(outputs)) if outputs else (),
        artifacts=tuple(Artifact(**item) for item in json.loads(artifacts)) if artifacts else (),
        cost_usd=cost_usd, earlier_cost_usd=earlier_cost_usd, unpriced=unpriced, failure=_failure(failure),
        cancel=CancelWish(cancel) if cancel else None,
        cancel_refused=bool(cancel_refused), polls=polls, poll_failures=poll_failures, position=position,
        review=None if review is None else _review(review),
    )  # fmt: skip


def event_values(event: Event) -> tuple[str, str | None]:
    """An event's name and, where it says more, its fields as JSON."""
    detail = {name: value for name in _field_names(type(event)) if (value := getattr(event, name)) not in (None, ())}
    return type(event).__name__, to_json(detail) if detail else None


def _field_names(record: type) -> tuple[str, ...]:
    if record not in _FIELD_NAMES:
        _FIELD_NAMES[record] = tuple(field.name for field in dataclasses.fields(record))
    return _FIELD_NAMES[record]


def _plain(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in _field_names(type(record))}


_ENCODERS = {
    sort_keys: [compact_encoder(sort_keys=sort_keys, ensure_ascii=ascii_only, default=_plain) for ascii_only in (False, True)]
    for sort_keys in (False, True)
}


def _dumps(value: object, *, sort_keys: bool) -> str:
    encode, encode_as_ascii = _ENCODERS[sort_keys]
    text = encode(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, as a server may send it in a link: SQLite takes it only when it is written out
        return encode_as_ascii(value)
    return text


def review_values(seq: int, review: Review) -> tuple[Value, ...]:
    """The columns of `reviews`."""
    return (seq, review.verdict, review.note, review.at, review.request_id, review.sha256)


def _review(text: str) -> Review:
    fields = json.loads(text)
    return Review(**{**fields, "verdict": Verdict(fields["verdict"])})


def _failure(text: str | None) -> Failure | None:
    if not text:
        return None
    fields = json.loads(text)
    return Failure(FailureKind(fields["kind"]), fields["message"], fields.get("remedy", ""))
