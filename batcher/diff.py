"""Two batches compared, row by row in one pass over both ledgers: what failed anew, what is another row or another result, what costs and times did.

Only numbers and the first examples are kept, so that a million rows take little more memory than ten.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from batcher.ledger import LEDGER, LedgerReader
from batcher.model import Job, State

EXAMPLES: Final = 100
"""So many rows of each kind are named."""

FAILURES: Final = (State.FAILED, State.CANCELLED, State.IN_DOUBT)
PERCENTS: Final = (50, 95)


@dataclass(slots=True)
class Found:
    """Rows of one kind: how many, and the first of them, each with what there is to say."""

    rows: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)

    def add(self, job: Job, text: str = "") -> None:
        """One more."""
        self.rows += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((job.row_id, text))


@dataclass(slots=True)
class Side:
    """The results of one model in one of the batches: what the request of each done row cost, in USD, and took from acceptance to result, in s."""

    costs: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    rows: int = 0

    def add(self, job: Job) -> None:
        """One more row that is done."""
        self.rows += 1
        if job.cost_usd is not None:
            self.costs.append(job.cost_usd)
        if job.submitted_at is not None and job.produced_at is not None:
            self.seconds.append(max(0.0, job.produced_at - job.submitted_at))


@dataclass(slots=True)
class Total:
    """One of the batches as a whole. `spent_usd` is over all attempts, as far as known."""

    name: str
    rows: int = 0
    done: int = 0
    failures: int = 0
    spent_usd: float = 0.0

    def add(self, job: Job) -> None:
        """One more row."""
        self.rows += 1
        self.done += job.state is State.DONE
        self.failures += job.state in FAILURES
        self.spent_usd += job.total_cost_usd or 0.0


@dataclass(slots=True)
class Difference:
    """What a later batch, the second of `totals`, has that the earlier one has not, and the other way round."""

    totals: tuple[Total, Total]
    new_failures: Found = field(default_factory=Found)
    """Failed, cancelled or in doubt in the later one, and not in the earlier one."""
    mended: Found = field(default_factory=Found)
    """The other way round: done in the later one."""
    new: Found = field(default_factory=Found)
    gone: Found = field(default_factory=Found)
    changed: Found = field(default_factory=Found)
    """Asked for differently."""
    other_results: Found = field(default_factory=Found)
    """Done in both and asked for alike, with other files."""
    models: dict[str, tuple[Side, Side]] = field(default_factory=dict)


def compare(earlier: Path, later: Path) -> Difference:
    """Compare the batches in two output folders. Reads only. Raises `InputError` where there is none, `LedgerError` where one cannot be read."""
    with LedgerReader(earlier / LEDGER) as first, LedgerReader(later / LEDGER) as second, first.snapshot(), second.snapshot():
        found = Difference((Total(str(first.meta().get("name", ""))), Total(str(second.meta().get("name", "")))))
        for before, after in _pairs(first.jobs_by_key(), second.jobs_by_key()):
            _note(found, before, after)
    return found


def percentiles(values: array[float]) -> list[float] | None:
    """The median and the 95th percentile, by nearest rank; None of nothing."""
    ordered = sorted(values)
    return [ordered[-(-percent * len(ordered) // 100) - 1] for percent in PERCENTS] if ordered else None


def _pairs(first: Iterator[Job], second: Iterator[Job]) -> Iterator[tuple[Job | None, Job | None]]:
    """The rows that have the same key, and those that have none like them, in the order of the keys: that of their UTF-8, as SQLite sorts."""
    before, after = next(first, None), next(second, None)
    while before is not None or after is not None:
        one = None if before is None else before.spec.key.encode()
        other = None if after is None else after.spec.key.encode()
        is_first = one is not None and (other is None or one <= other)
        is_second = other is not None and (one is None or other <= one)
        yield (before if is_first else None), (after if is_second else None)
        before = next(first, None) if is_first else before
        after = next(second, None) if is_second else after


def _note(found: Difference, before: Job | None, after: Job | None) -> None:
    for index, job in enumerate((before, after)):
        if job is not None:
            found.totals[index].add(job)
            if job.state is State.DONE:
                found.models.setdefault(job.spec.model, (Side(), Side()))[index].add(job)
    if after is not None and after.state in FAILURES and (before is None or before.state not in FAILURES):
        found.new_failures.add(after, after.failure.message if after.failure else after.state)
    if before is not None and after is not None:
        _note_both(found, before, after)
    elif after is not None:
        found.new.add(after)
    elif before is not None:
        found.gone.add(before)


def _note_both(found: Difference, before: Job, after: Job) -> None:
    if after.state is State.DONE and before.state in FAILURES:
        found.mended.add(after)
    if before.spec.fingerprint != after.spec.fingerprint:
        found.changed.add(after, _changes(before, after))
    elif before.state is after.state is State.DONE and _hashes(before) != _hashes(after):
        found.other_results.add(after)


def _hashes(job: Job) -> list[str]:
    return [file.sha256 for file in job.artifacts]


def _changes(before: Job, after: Job) -> str:
    """The names of what was asked for differently."""
    one, other = before.spec, after.spec
    names = [name for name in dict.fromkeys([*one.body, *other.body]) if one.body.get(name) != other.body.get(name)]
    names += ["model"] if one.model != other.model else []
    if [file.sha256 for file in one.inputs] != [file.sha256 for file in other.inputs]:
        names += ["the content of its input files"]
    return ", ".join(names)
