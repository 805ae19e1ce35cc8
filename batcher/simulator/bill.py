"""The independent account of what happened: what was accepted and charged, and which calls were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from batcher.simulator.faults import Call
from batcher.simulator.records import Submission
from batcher.simulator.service import Service


@dataclass(frozen=True, slots=True)
class Duplicate:
    """One body that was accepted more than once for one model."""

    model_id: str
    body_sha256: str
    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bill:
    """What a test needs to know to prove that nothing was paid for twice.

    Submissions, cancellations and charges outlive a restart with the same state; the tallies of calls begin anew. `calls`, `peak_in_flight` and
    `faults` (rules that struck, as `call:fault`) are by kind of call; a call counts when it arrives, answered or not.
    """

    accepted: int
    distinct_bodies: int
    duplicates: tuple[Duplicate, ...]
    charged_usd: float
    cancelled: int
    calls: Mapping[str, int]
    peak_in_flight: Mapping[str, int]
    faults: Mapping[str, int]
    downloads_with_credentials: int


@dataclass(slots=True)
class Traffic:
    """The tallies of calls, kept as they come."""

    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    peak_in_flight: dict[str, int] = field(default_factory=dict)
    downloads_with_credentials: int = 0

    @contextmanager
    def counted(self, call: Call) -> Iterator[None]:
        """Count one call for as long as it lasts."""
        self.calls[call] += 1
        self.in_flight[call] += 1
        self.peak_in_flight[call] = max(self.peak_in_flight.get(call, 0), self.in_flight[call])
        try:
            yield
        finally:
            self.in_flight[call] -= 1


def bill_of(service: Service, traffic: Traffic) -> Bill:
    """The account as it stands."""
    by_body: dict[tuple[str, str], list[Submission]] = {}
    for submission in service.submissions:
        by_body.setdefault((submission.model_id, submission.body_sha256), []).append(submission)
    return Bill(
        accepted=sum(len(same) for same in by_body.values()),
        distinct_bodies=len(by_body),
        duplicates=tuple(Duplicate(*key, tuple(one.request_id for one in same)) for key, same in by_body.items() if len(same) > 1),
        charged_usd=round(service.charged_usd, 6),
        cancelled=service.cancelled,
        calls=dict(traffic.calls),
        peak_in_flight=dict(traffic.peak_in_flight),
        faults=dict(traffic.faults),
        downloads_with_credentials=traffic.downloads_with_credentials,
    )


def request_records(service: Service, after: int = 0) -> list[dict[str, Any]]:
    """Every accepted submission but the first `after`, with its state and its times, oldest first; times are seconds since the epoch."""
    return [_record(service, submission) for submission in islice(service.submissions, after, None)]


def _record(service: Service, submission: Submission) -> dict[str, Any]:
    progress = service.progress(submission)
    return {
        "ordinal": submission.ordinal,
        "request_id": submission.request_id,
        "model_id": submission.model_id,
        "body_sha256": submission.body_sha256,
        "state": progress.phase.value,
        "queue_position": progress.queue_position,
        "accepted_at": submission.accepted_at,
        "started_at": progress.started_at,
        "ended_at": progress.ended_at,
        "cost_usd": service.cost_usd(submission, progress),
    }
