from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batcher.cli.summary import WHY, summary_lines
from batcher.model import ExitReason, FailureKind
from batcher.report import Report
from batcher.report.models import Counts, FailureExample, FailureGroup, Requests, Throughput

OUT = Path("out") / "shop"


def report(*, done: int = 0, failed: int = 0, cancelled: int = 0, in_doubt: int = 0, still_open: int = 0, **changes: Any) -> Report:
    counts = Counts(done=done, failed=failed, cancelled=cancelled, in_doubt=in_doubt, open=still_open)
    facts: dict[str, Any] = {
        "name": "shop", "service": "https://model-api.example/v1", "rows": done + failed + cancelled + in_doubt + still_open, "counts": counts,
        "started_at": "2027-01-15T08:00:00Z", "finished_at": "2027-01-15T08:00:20Z", "runs": 1, "cost_usd": 0.96, "cost_unknown_rows": 0,
        "throughput": Throughput(rows_per_s=1.0, run_s=20.0), "files_missing": 0, "same_files": [],
        "timings": {}, "failures": [], "requests": Requests(), "concurrency": [],
        "exit_reason": ExitReason.COMPLETED,
    }  # fmt: skip
    return Report(**facts | changes)


def test_a_batch_that_went_well() -> None:
    assert list(summary_lines(report(done=12), OUT)) == [
        "12 of 12 rows done. Cost in all: 0.96 USD.",
        f"Pictures: {OUT / 'results'}",
        f"Report:   {OUT / 'report.json'}, row by row in {OUT / 'results.jsonl'}",
    ]


def test_everything_that_is_not_done_is_told() -> None:
    first, *_ = summary_lines(report(done=1, failed=2, cancelled=3, in_doubt=4, still_open=5, cost_unknown_rows=6), OUT)
    assert first == "1 of 15 rows done, 2 failed, 3 cancelled, 4 in doubt, 5 still open. Cost in all: 0.96 USD, the cost of 6 not known."
    first, *_ = summary_lines(report(done=1, service="simulator"), OUT)
    assert first == "1 of 1 rows done. Cost in all: 0.96 USD, simulated: nothing was spent."


def test_each_kind_of_failure_comes_with_an_example_and_what_to_do_about_it() -> None:
    examples = [
        FailureExample(id="mug", message="boom", remedy="`batcher retry DIR --failed` pays again."),
        FailureExample(id="b", message="x", remedy=""),
    ]
    groups = [
        FailureGroup(kind=FailureKind.GENERATION_FAILED, rows=2, examples=examples),
        FailureGroup(kind=FailureKind.REJECTED, rows=1, examples=[FailureExample(id="cup", message="no such field", remedy="")]),
    ]
    lines = list(summary_lines(report(failed=3, failures=groups), OUT))
    assert lines[1:4] == [
        "  2 × generation failed, such as mug: boom",
        f"    `batcher retry {OUT} --failed` pays again.",
        "  1 × rejected, such as cup: no such field",
    ]
    assert not any(line.startswith("Pictures") for line in lines)


def test_a_batch_that_can_go_on_says_how() -> None:
    lines = list(summary_lines(report(done=1, still_open=2, exit_reason=ExitReason.INTERRUPTED), OUT))
    assert lines[0] == "Stopped as asked."
    assert lines[-1] == f"Go on with: batcher resume {OUT}"


@pytest.mark.parametrize("reason", ExitReason)
def test_every_reason_but_completion_has_words(reason: ExitReason) -> None:
    first, *_ = summary_lines(report(still_open=1, exit_reason=reason), OUT)
    assert (first == WHY.get(reason)) == (reason is not ExitReason.COMPLETED)


def test_a_batch_that_was_killed_has_no_reason() -> None:
    first, *_ = summary_lines(report(still_open=1, exit_reason=None), OUT)
    assert first.startswith("0 of 1 rows done")


@pytest.mark.parametrize(("missing", "words"), [(1, "1 file is missing"), (3, "3 files are missing")])
def test_files_that_are_not_there_any_more_are_told(missing: int, words: str) -> None:
    lines = list(summary_lines(report(done=4, files_missing=missing), OUT))
    assert lines[1].startswith(words)
