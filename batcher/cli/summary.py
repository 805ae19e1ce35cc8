"""The last words of a run: what came of it, where it is, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from batcher.model import ExitReason
from batcher.report import FILES, Report

SAME_FILES_SHOWN = 3

WHY = {
    ExitReason.INTERRUPTED: "Stopped as asked.",
    ExitReason.TERMINATED: "Stopped as asked.",
    ExitReason.TOKEN_REJECTED: "The service rejects the token: nothing more was submitted.",
    ExitReason.NO_BALANCE: "The account has no balance left: nothing more was submitted.",
    ExitReason.SERVICE_UNAVAILABLE: "The service could not be reached for too long.",
    ExitReason.OUTPUT_UNWRITABLE: "The output folder could not be written: nothing more was submitted.",
    ExitReason.ALL_REFUSED: "The service refused the first rows, every one: nothing more was submitted.",
    ExitReason.STOPPED_EARLY: "Some rows are still open.",
}


def summary_lines(report: Report, out: Path, page: Path | None = None) -> Iterator[str]:
    """Line by line, for a person."""
    if report.exit_reason in WHY:
        yield WHY[report.exit_reason]
    counts = report.counts
    words = {"failed": counts.failed, "cancelled": counts.cancelled, "in doubt": counts.in_doubt, "still open": counts.open}
    told = [f"{counts.done} of {report.rows} rows done", *(f"{n} {word}" for word, n in words.items() if n)]
    unknown = f", the cost of {report.cost_unknown_rows} not known" if report.cost_unknown_rows else ""
    simulated = ", simulated: nothing was spent" if report.service == "simulator" else ""
    yield f"{', '.join(told)}. Cost in all: {report.cost_usd:.2f} USD{unknown}{simulated}."
    for group in report.failures:
        example = group.examples[0]
        yield f"  {group.rows} × {group.kind.replace('_', ' ')}, such as {example.id}: {example.message}"
        if example.remedy:
            yield f"    {example.remedy.replace('DIR', shlex.quote(str(out)))}"
    if report.files_missing:
        missing = "1 file is" if report.files_missing == 1 else f"{report.files_missing} files are"
        yield f"{missing} missing in {out / 'results'}, or not as it was saved: results.jsonl names every file."
    for same in report.same_files[:SAME_FILES_SHOWN]:
        yield f"{same.rows} rows have the very same file, such as {' and '.join(same.examples[:2])}: a placeholder, perhaps. Look at it."
    if counts.done:
        yield f"Pictures: {out / 'results'}"
    if page is not None:
        yield f"Gallery:  {page}"
    yield f"Report:   {out / FILES['report']}, row by row in {out / FILES['results']}"
    if counts.open:
        yield f"Go on with: batcher resume {shlex.quote(str(out))}"


__all__ = ["summary_lines"]
