"""What a ledger should hold, in plain Python: dictionaries that are looked through, where the ledger has SQL, indexes and triggers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from batcher.errors import Problem
from batcher.events import Event
from batcher.lifecycle import is_durable, next_command
from batcher.model import FailureKind, Job, JobSpec, Lane, Mode, State
from batcher.ports import PlanSummary

UNDER_WAY = (State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED, State.PRODUCED)
HOLD_REQUESTS = (State.IN_DOUBT, State.SUBMITTED, State.PRODUCED, State.DONE, State.FAILED)

Happened = tuple[int, float, str, Mapping[str, object]]
"""What is kept of an event: the row's `seq`, the time, the event's name and its fields."""


def as_kept(job: Job) -> Job:
    """Without what is good for one process only."""
    return replace(job, denials=0, watched_since=None)


@dataclass(frozen=True)
class Row:
    """`kept` is what was written down, `held` what the process knows besides: a poll that told nothing new is not written."""

    kept: Job
    held: Job
    is_listed: bool = True

    @property
    def was_paid_for(self) -> bool:
        job = self.kept
        return job.state is not State.PLANNED or job.attempts > 0 or job.unpriced > 0 or bool(job.total_cost_usd)


@dataclass(frozen=True)
class Plan:
    """What planning would come to; `troubles` are the kinds of what stands against it."""

    rows: dict[int, Row]
    last_seq: int
    summary: PlanSummary
    changed: frozenset[int]
    troubles: frozenset[str]


@dataclass
class LedgerModel:
    rows: dict[int, Row] = field(default_factory=dict)
    last_seq: int = 0
    happened: list[Happened] = field(default_factory=list)
    meta: dict[str, object] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    runs: list[list[object]] = field(default_factory=list)

    # ── looking ──

    def jobs(self, *, listed: bool = True) -> list[Job]:
        """As `Book.rows` gives them."""
        jobs = [row.kept for row in self.rows.values() if row.is_listed is listed]
        return sorted(jobs, key=lambda job: job.position if listed else job.seq)

    def held(self) -> list[Job]:
        return sorted((row.held for row in self.rows.values() if row.is_listed), key=lambda job: job.position)

    def counts(self) -> dict[State, int]:
        counted = Counter(job.state for job in self.jobs())
        return {state: counted[state] for state in State}

    def spent_usd(self) -> float:
        return sum(job.total_cost_usd or 0.0 for job in self.jobs())

    def claimable(self, lane: Lane, mode: Mode, now: float) -> list[Job]:
        """What the lifecycle has a command for, but for rows whose submit is under way: those are in somebody's hands. Paid ones first."""
        jobs = [job for job in self.jobs() if job.state is not State.SUBMITTING and next_command(job, lane, mode, now) is not None]
        return sorted(jobs, key=lambda job: job.state is State.PLANNED)

    def next_due(self, lane: Lane, mode: Mode, now: float) -> float | None:
        """The first moment at which the lifecycle has a command where it has none now."""
        waits = [
            job.not_before
            for job in self.jobs()
            if next_command(job, lane, mode, now) is None and next_command(job, lane, mode, job.not_before) is not None
        ]
        return min(waits, default=None)

    def names_with_request(self, request_id: str | None, but: int) -> set[str]:
        return {row.kept.row_id for seq, row in self.rows.items() if seq != but and row.kept.request_id == request_id}

    def shared_requests(self) -> dict[str, list[str]]:
        settled = {(seq, detail.get("request_id")) for seq, _, name, detail in self.happened if name == "Adopt"}
        holders: dict[str, list[str]] = {}
        unsettled: set[str] = set()
        for seq, row in sorted(self.rows.items()):
            if (request_id := row.kept.request_id) is not None and row.kept.state in HOLD_REQUESTS:
                holders.setdefault(request_id, []).append(row.kept.row_id)
                if row.kept.state is not State.IN_DOUBT and (seq, request_id) not in settled:
                    unsettled.add(request_id)
        return {request_id: names for request_id, names in holders.items() if len(names) > 1 and request_id in unsettled}

    def has_stem(self, stem: str) -> bool:
        return any(row.kept.spec.stem.lower() == stem.lower() for row in self.rows.values())

    def saved_paths(self) -> list[str]:
        return [file.path for _, row in sorted(self.rows.items()) for file in row.kept.artifacts]

    def eligible(self, states: Collection[State], row_ids: Sequence[str]) -> list[Job] | None:
        """The rows that a person's decision is about; None where one that was named is not there, or not in such a state."""
        jobs = self.jobs()
        if not row_ids:
            return [job for job in jobs if job.state in states and not (job.failure and job.failure.kind is FailureKind.ABANDONED)]
        named = [next((job for job in jobs if job.row_id == row_id), None) for row_id in dict.fromkeys(row_ids)]
        return None if any(job is None or job.state not in states for job in named) else [job for job in named if job is not None]

    def can_adopt(self, requests: Mapping[str, str]) -> bool:
        owned = {row.kept.request_id for row in self.rows.values() if row.kept.state is not State.IN_DOUBT}
        are_new = len(set(requests.values())) == len(requests) and not owned & set(requests.values())
        return are_new and self.eligible([State.IN_DOUBT], list(requests)) is not None

    # ── changing ──

    def move(self, seq: int, after: Job, event: Event, now: float) -> bool:
        """The row is as in `after`; whether that has to be written down."""
        row = self.rows[seq]
        durable = is_durable(row.held, after)
        self.rows[seq] = replace(row, held=after, kept=as_kept(after) if durable else row.kept)
        if durable:
            details = {name: value for name, value in asdict(event).items() if value not in (None, ())}
            self.happened.append((seq, now, type(event).__name__, json.loads(json.dumps(details))))
        return durable

    def let_go(self) -> None:
        """The process ends, or looks into the ledger again: what was not written is forgotten."""
        self.rows = {seq: replace(row, held=row.kept) for seq, row in self.rows.items()}

    def recover(self) -> list[Job]:
        for seq, row in self.rows.items():
            job = row.kept
            if job.not_before > 0 and job.state in (State.PLANNED, State.SUBMITTED, State.PRODUCED):
                job = replace(job, not_before=0.0, refusals=0)
            if job.state is State.SUBMITTED and job.cancel is not None:
                job = replace(job, cancel_refused=False)
            self.rows[seq] = replace(row, kept=job, held=job)
        return [job for job in self.jobs() if job.state is State.SUBMITTING]

    def take(self, plan: Plan) -> None:
        self.rows, self.last_seq = plan.rows, plan.last_seq

    def plan(self, items: Iterable[JobSpec | Problem]) -> Plan:
        """What would come of `items`; nothing is changed."""
        rows, last_seq = dict(self.rows), self.last_seq
        seq_of = {row.kept.spec.key: seq for seq, row in rows.items()}
        named: dict[int, JobSpec] = {}
        refused: set[int] = set()
        changed: set[int] = set()
        taken: set[str] = set()
        troubles: set[str] = set()
        counts: Counter[str] = Counter()
        repeats: Counter[str] = Counter()
        position = 0
        for item in items:
            if isinstance(item, Problem):
                troubles.add(item.message)
                continue
            position += 1
            spec = item
            if seq_of.get(spec.key) in named and spec.key == spec.fingerprint:
                repeats[spec.key] += 1
                nth = repeats[spec.key] + 1
                spec = replace(spec, key=f"{spec.key}#{nth}", row_id=f"{spec.row_id}-{nth}", stem=f"{spec.stem}-{nth}")
            seq = seq_of.get(spec.key)
            if seq in named:
                counts["duplicates"] += 1
                if named[seq].fingerprint != spec.fingerprint:
                    troubles.add("is used by")
                continue
            if seq is None:
                last_seq += 1
                seq = seq_of[spec.key] = last_seq
                job = Job(seq, spec, position=position)
                counts["new"] += 1
            else:
                known = rows[seq].kept
                if known.spec.fingerprint == spec.fingerprint:
                    spec = replace(spec, stem=known.spec.stem if known.state is State.DONE else spec.stem)
                    job = replace(known, spec=replace(spec, body=known.spec.body), position=position)
                    counts["reused"] += 1
                elif known.state in UNDER_WAY:
                    refused.add(seq)
                    troubles.add("was changed while")
                    continue
                else:
                    job = Job(seq, spec, earlier_cost_usd=known.total_cost_usd or 0.0, unpriced=known.unpriced, position=position)
                    changed.add(seq)
                    counts["changed"] += 1
            rows[seq] = Row(job, job)
            if spec.stem.casefold() in taken:
                refused.add(seq)
                troubles.add("would write the same file")
                continue
            taken.add(spec.stem.casefold())
            named[seq] = spec
        unnamed = [seq for seq in rows if seq not in named and seq not in refused and rows[seq].is_listed]
        _settle_unnamed(rows, unnamed, position, taken, counts, troubles)
        specs = [rows[seq].kept.spec for seq in named]  # of a row that is there already the request is the one that was drawn for it then
        made = Counter((spec.fingerprint, json.dumps(spec.body, sort_keys=True)) for spec in specs)
        counts["repeated"] = sum(made.values()) - len(made)
        counts["total"] = sum(counts[name] for name in ("new", "changed", "reused", "kept"))
        return Plan(rows, last_seq, PlanSummary(**counts), frozenset(changed), frozenset(troubles))


def _settle_unnamed(rows: dict[int, Row], unnamed: list[int], position: int, taken: set[str], counts: Counter[str], troubles: set[str]) -> None:
    for seq in sorted(unnamed, key=lambda seq: rows[seq].kept.position):
        row = rows[seq]
        if row.kept.state in UNDER_WAY:
            position += 1
            counts["kept"] += 1
            job = replace(row.kept, position=position)
            rows[seq] = Row(job, job)
            if job.spec.stem.casefold() in taken:
                troubles.add("would write the same file")
            continue
        counts["dropped"] += 1
        if row.was_paid_for:
            rows[seq] = replace(row, is_listed=False)
        else:
            del rows[seq]
