"""What is left after a batch, held against what the service says: the checker of the crash suite.

It reads the ledger with SQL of its own and believes no code of batcher but the simulator's, which is the witness. `objections` says what is wrong
with an `Evidence`; evidence is plain data, so that a test can falsify it and see the checker object.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batcher.simulator import plain
from batcher.simulator.service import hash_body

OURS = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "owner.lock", "results.jsonl", "report.json", "report.html"}
ENDED = {"done", "failed", "cancelled", "in_doubt"}
MAY_PRECEDE_A_CLAIM = {"Refused", "Resubmit", "Retry", "Cancelled", "Died"}


@dataclass(frozen=True)
class Submission:
    """One that the service accepted."""

    request_id: str
    body_sha256: str
    is_cancelled: bool
    cost_usd: float | None


@dataclass(frozen=True)
class LedgerRow:
    """One row of the ledger; `events` are the names and details of everything that happened to it."""

    id: str
    state: str
    request_id: str | None
    cost_usd: float | None
    earlier_cost_usd: float
    artifacts: tuple[Mapping[str, Any], ...]
    events: tuple[tuple[str, Mapping[str, Any]], ...]

    def count(self, event: str) -> int:
        return sum(name == event for name, _ in self.events)

    @property
    def request_ids(self) -> set[str]:
        """Every id that was ever recorded for the row."""
        told = {detail["request_id"] for name, detail in self.events if name in ("Accepted", "Adopt")}
        return told | ({self.request_id} if self.request_id else set())


@dataclass(frozen=True)
class Ledger:
    rows: Mapping[str, LedgerRow]
    tallies: Mapping[str, int]
    integrity: str


@dataclass(frozen=True)
class Evidence:
    """Everything about one batch after its last run.

    `owners` says whose each body is; `held` which rows each kill left between intent and record; `asked_again` how often a person asked for another
    submission of a row. `files` are the hashes of all files in the folder that are not batcher's own records.
    """

    row_ids: Sequence[str]
    owners: Mapping[str, str]
    submissions: Sequence[Submission]
    ledger: Ledger
    results: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any]
    files: Mapping[str, str]
    exit_code: int
    posts_in_flight: int
    held: Sequence[Collection[str]] = ()
    asked_again: Mapping[str, int] = field(default_factory=dict)
    hangs: int = 0
    may_lose_answers: bool = False
    """Whether the service was told to lose answers to submits: else doubt comes from kills alone."""
    may_keep_earlier: bool = False
    """Whether a row was changed after it was done: else there is no reason for results/earlier."""

    def accepted(self, row_id: str) -> list[Submission]:
        return [one for one in self.submissions if self.owners.get(one.body_sha256) == row_id]

    def unrecorded(self, row_id: str) -> set[str]:
        """Ids that the service gave for a row and that the ledger never learned."""
        return {one.request_id for one in self.accepted(row_id)} - self.ledger.rows[row_id].request_ids


@dataclass
class Figures:
    """Sums over batches."""

    kills: int = 0
    runs: int = 0
    batches: int = 0
    rows: int = 0
    done: int = 0
    accepted: int = 0
    paid_twice: int = 0
    lost: int = 0
    damaged: int = 0
    held: int = 0
    held_accepted: int = 0
    held_by_one_kill_max: int = 0
    hangs: int = 0

    def add(self, evidence: Evidence) -> None:
        rows = evidence.ledger.rows.values()
        self.batches += 1
        self.rows += len(evidence.row_ids)
        self.done += sum(row.state == "done" for row in rows)
        self.accepted += len(evidence.submissions)
        self.paid_twice += len(list(_paid_twice(evidence)))
        self.lost += len(list(_lost(evidence)))
        self.damaged += len(list(_damaged(evidence)))
        self.held += sum(row.count("Lost") for row in rows)
        self.held_accepted += sum(min(len(evidence.unrecorded(row.id)), row.count("Lost")) + row.count("Adopt") for row in rows)
        self.held_by_one_kill_max = max([self.held_by_one_kill_max, *(len(rows) for rows in evidence.held)])
        self.hangs += evidence.hangs


def objections(evidence: Evidence) -> list[str]:
    """What is wrong; nothing if every promise was kept."""
    checks = (_hung, _unaccounted, _paid_twice, _foreign, _illegal, _lost, _invented, _baseless_doubt, _too_much_doubt, _damaged, _stray, _wrong_sums)
    return [objection for check in checks for objection in check(evidence)]


def _hung(evidence: Evidence) -> Iterator[str]:
    if evidence.hangs:
        yield f"{evidence.hangs} runs hung"


def _unaccounted(evidence: Evidence) -> Iterator[str]:
    """Manifest, ledger, tallies, results.jsonl, report.json and exit code say the same."""
    rows = evidence.ledger.rows
    states = Counter(row.state for row in rows.values())
    if evidence.ledger.integrity != "ok":
        yield f"the ledger is damaged: {evidence.ledger.integrity}"
    if sorted(rows) != sorted(evidence.row_ids):
        yield f"the ledger has other rows than the manifest: {sorted(set(rows) ^ set(evidence.row_ids))}"
    if [row["id"] for row in evidence.results] != list(evidence.row_ids):
        yield "results.jsonl has other rows than the manifest, or another order"
    for row in evidence.results:
        known = rows.get(row["id"])
        if known is not None and (row["state"], row["request_id"]) != (known.state, known.request_id):
            yield f"{row['id']} is {row['state']} ({row['request_id']}) in results.jsonl and {known.state} ({known.request_id}) in the ledger"
        if known is not None and [file["sha256"] for file in row["files"]] != [file["sha256"] for file in known.artifacts]:
            yield f"{row['id']} has other files in results.jsonl than in the ledger"
    if {state: n for state, n in evidence.ledger.tallies.items() if n} != dict(states):
        yield f"the tallies say {dict(evidence.ledger.tallies)}, the rows {dict(states)}"
    counts = {state: states[state] for state in sorted(ENDED)} | {"open": sum(n for state, n in states.items() if state not in ENDED)}
    if dict(sorted(evidence.report["counts"].items())) != dict(sorted(counts.items())) or evidence.report["rows"] != len(evidence.row_ids):
        yield f"report.json counts {evidence.report['counts']}, the ledger {counts}"
    code = 75 if counts["open"] else 0 if counts["done"] == len(evidence.row_ids) else 1
    if evidence.exit_code != code:
        yield f"the exit code is {evidence.exit_code}, not {code}"


def _paid_twice(evidence: Evidence) -> Iterator[str]:
    for row_id, row in evidence.ledger.rows.items():
        bodies = Counter(one.body_sha256 for one in evidence.accepted(row_id) if not one.is_cancelled)
        allowed = 1 + min(evidence.asked_again.get(row_id, 0), row.count("Resubmit") + row.count("Retry"))
        for times in bodies.values():
            if times > allowed:
                yield f"{row_id} was paid for {times} times, and asked for {allowed} times"


def _foreign(evidence: Evidence) -> Iterator[str]:
    for one in evidence.submissions:
        if evidence.owners.get(one.body_sha256) not in evidence.ledger.rows:
            yield f"the service accepted {one.request_id}, which is of no row"


def _illegal(evidence: Evidence) -> Iterator[str]:
    """Between two intents something happened that allows the second."""
    for row in evidence.ledger.rows.values():
        before = "Resubmit"
        for name, _ in row.events:
            if name == "Claimed" and before not in MAY_PRECEDE_A_CLAIM and not evidence.may_keep_earlier:
                yield f"{row.id} was claimed after {before}"
            before = name


def _lost(evidence: Evidence) -> Iterator[str]:
    """Every id that the service gave is in the ledger, or its row was put in doubt for it."""
    for row in evidence.ledger.rows.values():
        unrecorded = evidence.unrecorded(row.id)
        if len(unrecorded) > row.count("Lost"):
            yield f"the ids {sorted(unrecorded)} of {row.id} are lost: it was in doubt {row.count('Lost')} times"


def _invented(evidence: Evidence) -> Iterator[str]:
    seen: dict[str, str] = {}
    for row in evidence.ledger.rows.values():
        given = {one.request_id for one in evidence.accepted(row.id)}
        for request_id in row.request_ids:
            if request_id not in given:
                yield f"{row.id} has the id {request_id}, which the service did not give for it"
            if seen.setdefault(request_id, row.id) != row.id:
                yield f"{row.id} and {seen[request_id]} share the id {request_id}"


def _baseless_doubt(evidence: Evidence) -> Iterator[str]:
    """Without a service that loses answers, doubt is where a kill fell between intent and record, and nowhere else."""
    found = Counter(row_id for rows in evidence.held for row_id in rows)
    for row in evidence.ledger.rows.values():
        if row.count("Lost") > found[row.id] and not evidence.may_lose_answers:
            yield f"{row.id} was put in doubt {row.count('Lost')} times, and {found[row.id]} kills fell between its intent and its record"
        if row.count("Lost") < found[row.id]:
            yield f"{row.id} was found between intent and record {found[row.id]} times, and put in doubt {row.count('Lost')} times"


def _too_much_doubt(evidence: Evidence) -> Iterator[str]:
    for rows in evidence.held:
        if len(rows) > evidence.posts_in_flight:
            yield f"one kill left {len(rows)} rows between intent and record, and {evidence.posts_in_flight} submits may be under way"


def _damaged(evidence: Evidence) -> Iterator[str]:
    """What a row that is done names is there, whole, and what the service made for that row."""
    for row in evidence.ledger.rows.values():
        if row.state != "done":
            continue
        if not row.artifacts:
            yield f"{row.id} is done and names no file"
        for number, file in enumerate(row.artifacts):
            made = plain.png(f"{row.request_id}/{number}")
            if evidence.files.get(file["path"]) != file["sha256"]:
                yield f"{file['path']} of {row.id} is missing, or its bytes are not those that were saved"
            if (hashlib.sha256(made).hexdigest(), len(made)) != (file["sha256"], file["size_bytes"]):
                yield f"{file['path']} is not what was made for {row.id}"


def _stray(evidence: Evidence) -> Iterator[str]:
    named = {file["path"] for row in evidence.ledger.rows.values() for file in row.artifacts}
    for path in sorted(evidence.files.keys() - named):
        if not (evidence.may_keep_earlier and path.startswith("results/earlier/")):
            yield f"{path} belongs to no row that is done"


def _wrong_sums(evidence: Evidence) -> Iterator[str]:
    """What the rows say they cost is what the service charged for the ids that they know."""
    charged = {one.request_id: one.cost_usd for one in evidence.submissions}
    for row in evidence.ledger.rows.values():
        if row.state == "done" and abs((row.cost_usd or 0.0) - (charged.get(row.request_id or "") or 0.0)) > 1e-9:
            yield f"{row.id} says that it cost {row.cost_usd}, and was charged {charged.get(row.request_id or '')}"
    told = sum((row.cost_usd or 0.0) + row.earlier_cost_usd for row in evidence.ledger.rows.values())
    if abs(told - evidence.report["cost_usd"]) > 1e-5:
        yield f"report.json says {evidence.report['cost_usd']} USD, the rows {told}"


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_ledger(out: Path) -> Ledger:
    with closing(_open(out)) as connection:
        events: dict[int, list[tuple[str, Mapping[str, Any]]]] = {}
        for seq, name, detail in connection.execute("SELECT seq, name, detail FROM events ORDER BY id"):
            events.setdefault(seq, []).append((name, json.loads(detail or "{}")))
        sql = """SELECT s.row_id, j.seq, j.state, j.request_id, j.cost_usd, j.earlier_cost_usd, j.artifacts
                 FROM jobs AS j JOIN specs AS s USING (seq) WHERE j.listed"""
        rows = {
            row_id: LedgerRow(row_id, state, request_id, cost, earlier, tuple(json.loads(artifacts or "[]")), tuple(events.get(seq, ())))
            for row_id, seq, state, request_id, cost, earlier, artifacts in connection.execute(sql)
        }
        tallies = dict(connection.execute("SELECT state, rows FROM tallies"))
        return Ledger(rows, tallies, connection.execute("PRAGMA integrity_check").fetchone()[0])


def glance(out: Path) -> list[tuple[str, str, str, int]]:
    """Id, state, hash of the body and number of intents of every row, as far as the batch was planned yet."""
    if not (out / "ledger.db").exists():
        return []
    with closing(_open(out)) as connection:
        try:
            sql = """SELECT s.row_id, j.state, s.body, (SELECT count(*) FROM events AS e WHERE e.seq = j.seq AND e.name = 'Claimed')
                     FROM jobs AS j JOIN specs AS s USING (seq) WHERE j.listed"""
            found = connection.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) or "readonly database" in str(error):  # killed while the file was made: a writer has to tidy up first
                return []
            raise
    return [(row_id, state, hash_body(json.loads(body)), claims) for row_id, state, body, claims in found]


def read_files(out: Path) -> dict[str, str]:
    paths = [
        path
        for path in out.rglob("*")
        if not path.is_dir() and path.relative_to(out).as_posix() not in OURS and path.parts[len(out.parts)] != "report"
    ]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def submission_of(record: Mapping[str, Any]) -> Submission:
    """One line of the simulator's `/_simulator/requests`."""
    return Submission(record["request_id"], record["body_sha256"], record["state"] == "cancelled", record["cost_usd"])


def _open(out: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(out / 'ledger.db').absolute().as_uri()}?mode=ro", uri=True)
