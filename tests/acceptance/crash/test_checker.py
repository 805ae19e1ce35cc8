"""A checker that cannot fail is worth nothing: each kind of falsified evidence is objected to, and honest evidence is not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from batcher.simulator import plain
from tests.support.evidence import Evidence, Figures, Ledger, LedgerRow, Submission, objections

pytestmark = pytest.mark.fault("X1", "X2")


def artifact(row_id: str, request_id: str) -> dict[str, Any]:
    made = plain.png(f"{request_id}/0")
    return {"path": f"results/{row_id}.png", "sha256": hashlib.sha256(made).hexdigest(), "size_bytes": len(made)}


def done(row_id: str, request_id: str) -> LedgerRow:
    events = (("Claimed", {}), ("Accepted", {"request_id": request_id}), ("Produced", {}), ("Saved", {}))
    return LedgerRow(row_id, "done", request_id, 0.03, 0.0, (artifact(row_id, request_id),), events)


def honest() -> Evidence:
    """Two rows that are done, and one that a kill left in doubt after the service had taken it."""
    rows = {"a": done("a", "req-a"), "b": done("b", "req-b"), "c": LedgerRow("c", "in_doubt", None, None, 0.0, (), (("Claimed", {}), ("Lost", {})))}
    results = [{"id": row.id, "state": row.state, "request_id": row.request_id, "files": row.artifacts} for row in rows.values()]
    return Evidence(
        row_ids=["a", "b", "c"],
        owners={"body-a": "a", "body-b": "b", "body-c": "c"},
        submissions=[Submission(f"req-{name}", f"body-{name}", False, 0.03) for name in "abc"],
        ledger=Ledger(rows, {"done": 2, "in_doubt": 1, "planned": 0}, "ok"),
        results=results,
        report={"rows": 3, "counts": {"done": 2, "failed": 0, "cancelled": 0, "in_doubt": 1, "open": 0}, "cost_usd": 0.06},
        files={file["path"]: file["sha256"] for row in rows.values() for file in row.artifacts},
        exit_code=1,
        posts_in_flight=2,
        held=[{"c"}],
    )


def with_row(evidence: Evidence, row: LedgerRow) -> Evidence:
    return replace(evidence, ledger=replace(evidence.ledger, rows={**evidence.ledger.rows, row.id: row}))


def again(evidence: Evidence, body: str, request_id: str = "req-x") -> Evidence:
    return replace(evidence, submissions=[*evidence.submissions, Submission(request_id, body, False, 0.03)])


def changed(evidence: Evidence, row_id: str, **fields: Any) -> Evidence:
    return with_row(evidence, replace(evidence.ledger.rows[row_id], **fields))


FALSIFIED: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a row paid twice": (lambda e: again(e, "body-a"), "a was paid for 2 times"),
    "an id that was lost": (lambda e: again(e, "body-a"), r"the ids \['req-x'\] of a are lost"),
    "a doubt that hides two payments": (lambda e: again(e, "body-c"), "c was paid for 2 times"),
    "a submission of nobody": (lambda e: again(e, "body-z"), "req-x, which is of no row"),
    "an id that was never given": (lambda e: replace(e, submissions=e.submissions[1:]), "a has the id req-a, which the service did not give"),
    "one id for two rows": (lambda e: with_row(e, done("b", "req-a")), "share the id req-a|which the service did not give for it"),
    "a second intent after a doubt": (
        lambda e: changed(e, "c", events=(("Claimed", {}), ("Lost", {}), ("Claimed", {}), ("Lost", {}))),
        "c was claimed after Lost",
    ),
    "a doubt without a kill": (lambda e: replace(e, held=[]), "c was put in doubt 1 times, and 0 kills"),
    "a kill without its doubt": (lambda e: replace(e, held=[{"c"}, {"a"}]), "a was found between intent and record 1 times"),
    "too many doubts by one kill": (lambda e: replace(e, held=[{"a", "b", "c"}]), "one kill left 3 rows"),
    "an altered file": (lambda e: replace(e, files={**e.files, "results/a.png": "00" * 32}), r"results/a\.png of a is missing, or its bytes"),
    "a file that is gone": (lambda e: replace(e, files={"results/b.png": e.files["results/b.png"]}), r"results/a\.png of a is missing"),
    "the file of another row": (lambda e: changed(e, "a", artifacts=(artifact("a", "req-b"),)), r"results/a\.png is not what was made for a"),
    "done without a file": (lambda e: changed(e, "a", artifacts=()), "a is done and names no file"),
    "a stray file": (lambda e: replace(e, files={**e.files, "results/c.png": "00" * 32}), r"results/c\.png belongs to no row"),
    "a half-written file": (lambda e: replace(e, files={**e.files, ".report.json.00000000.part": "00"}), "belongs to no row"),
    "a file kept as an earlier one": (lambda e: replace(e, files={**e.files, "results/earlier/a.png": "00"}), "belongs to no row"),
    "a row that the ledger does not have": (lambda e: replace(e, row_ids=["a", "b", "c", "d"]), r"other rows than the manifest: \['d'\]"),
    "a row that results.jsonl does not have": (lambda e: replace(e, results=e.results[:2]), "results.jsonl has other rows"),
    "a state that results.jsonl tells otherwise": (
        lambda e: replace(e, results=[*e.results[:2], {**e.results[2], "state": "failed"}]),
        r"c is failed \(None\) in results.jsonl and in_doubt",
    ),
    "files that results.jsonl does not name": (lambda e: replace(e, results=[{**e.results[0], "files": []}, *e.results[1:]]), "a has other files"),
    "tallies that are off": (lambda e: replace(e, ledger=replace(e.ledger, tallies={"done": 3})), "the tallies say"),
    "a report that is off": (lambda e: replace(e, report={**e.report, "rows": 4}), "report.json counts"),
    "a report with another sum": (lambda e: replace(e, report={**e.report, "cost_usd": 0.03}), "report.json says 0.03 USD"),
    "a row with another cost": (lambda e: changed(e, "a", cost_usd=0.05), "a says that it cost 0.05, and was charged 0.03"),
    "a wrong exit code": (lambda e: replace(e, exit_code=0), "the exit code is 0, not 1"),
    "a damaged ledger": (lambda e: replace(e, ledger=replace(e.ledger, integrity="row 7 missing from index")), "the ledger is damaged"),
    "a run that hung": (lambda e: replace(e, hangs=1), "1 runs hung"),
}


def test_honest_evidence_is_accepted() -> None:
    assert objections(honest()) == []


@pytest.mark.parametrize("case", FALSIFIED)
def test_falsified_evidence_is_objected_to(case: str) -> None:
    falsify, words = FALSIFIED[case]
    found = objections(falsify(honest()))
    assert re.search(words, "\n".join(found)), found


def test_what_a_person_asked_for_is_not_paid_twice_by_mistake() -> None:
    events = (
        ("Claimed", {}),
        ("Lost", {}),
        ("Resubmit", {}),
        ("Claimed", {}),
        ("Accepted", {"request_id": "req-x"}),
        ("Produced", {}),
        ("Saved", {}),
    )
    evidence = again(with_row(honest(), replace(done("c", "req-x"), events=events)), "body-c")
    evidence = replace(
        evidence,
        asked_again={"c": 1},
        exit_code=0,
        ledger=replace(evidence.ledger, tallies={"done": 3}),
        files={**evidence.files, "results/c.png": artifact("c", "req-x")["sha256"]},
        results=[*evidence.results[:2], {"id": "c", "state": "done", "request_id": "req-x", "files": [artifact("c", "req-x")]}],
        report={"rows": 3, "counts": {"done": 3, "failed": 0, "cancelled": 0, "in_doubt": 0, "open": 0}, "cost_usd": 0.09},
    )
    assert objections(evidence) == []
    assert objections(replace(evidence, asked_again={})) == ["c was paid for 2 times, and asked for 1 times"]


def test_figures_count_what_was_found() -> None:
    figures = Figures()
    figures.add(honest())
    figures.add(again(replace(honest(), files={}), "body-a"))
    assert (figures.batches, figures.rows, figures.done, figures.accepted) == (2, 6, 4, 7)
    assert (figures.paid_twice, figures.lost, figures.damaged) == (1, 1, 2)
    assert (figures.held, figures.held_accepted, figures.held_by_one_kill_max) == (2, 2, 1)
