"""`batcher review` and `batcher export`: what a person thinks of results, and what is taken of them."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from batcher.app import Decide
from batcher.cli.options import pairs
from batcher.cli.running import wait_for
from batcher.cli.speaking import console_for, count_rows, say
from batcher.decisions import RedoPlan, plan_redo, redo
from batcher.discovery import Definitions
from batcher.errors import OutputError, UsageError
from batcher.export import export
from batcher.ledger import LEDGER, LedgerReader
from batcher.manifest import cell
from batcher.model import Verdict
from batcher.review import Mark, Reviewed, marks_by_hand, open_marks, read_marks, review, tally
from batcher.revising import Reviser
from batcher.storage import LocalStorage

STANDARD_INPUT = "-"
WORDS = {Verdict.ACCEPTED: "accepted", Verdict.REJECTED: "rejected", Verdict.REDO: "to redo", None: "without a mark"}


def review_and_report(folder: Path, table: str | None, by_hand: Mapping[Verdict | None, Sequence[str]], note: str) -> None:
    """Keep marks, from `table` and by hand, write the report and the gallery with them, and say how far the review is."""
    console = console_for()
    marks = [] if table is None else _read_table(table)
    marks += marks_by_hand(by_hand, note)
    if table is not None or marks:
        reviewed = wait_for(review(folder, marks))
        for line in _outcome(reviewed):
            say(console, line)
        if reviewed.changes_something:
            _write_reports(folder)
    with LedgerReader(folder / LEDGER) as reader:
        counts = tally(reader)
    say(console, f"{count_rows(counts.total())} done: " + ", ".join(f"{counts[verdict]} {words}" for verdict, words in WORDS.items()) + ".")
    if counts[Verdict.REJECTED] or counts[Verdict.REDO]:
        flags = [flag for flag, verdict in (("--rejected", Verdict.REJECTED), ("--redo", Verdict.REDO)) if counts[verdict]]
        say(console, f"  make them again with: batcher retry {folder} {' '.join(flags)}")
    if counts[Verdict.ACCEPTED]:
        say(console, f"  take what is accepted with: batcher export {folder} DEST --accepted")


def decide_redo(
    folder: Path, verdicts: Sequence[Verdict], row_ids: Sequence[str] | None, changes: Sequence[str], *, reseed: bool, is_silent: bool
) -> Decide:
    """Choose the rows that are to be made again, say what that comes to, and return the decision. Nothing is changed yet."""
    if not verdicts:
        raise UsageError("--reseed and --set change rows that are made again for their results", "Add --rejected or --redo.")
    reviser = None
    if changes or reseed:
        values = {name: cell(text) for name, text in pairs(changes, "KEY=VALUE").items()}
        reviser = Reviser(Definitions(), values, reseed=reseed, rng=random.SystemRandom(), folder=Path.cwd())
    with LedgerReader(folder / LEDGER) as reader:
        plan = plan_redo(reader, verdicts, row_ids, reviser)
    if not is_silent:
        for line in _intent(plan):
            say(console_for(stderr=True), line)
    return redo(plan, LocalStorage(folder))


def _intent(plan: RedoPlan) -> Iterator[str]:
    jobs = [job for job, _ in plan.rows]
    costs = [job.cost_usd for job in jobs if job.cost_usd is not None]
    marks = ", ".join(f"{n} {WORDS[verdict]}" for verdict, n in plan.verdicts.items())
    cost = f"{sum(costs):.2f} USD" if costs else "not known"
    unknown = f", as far as it is known (not of {len(jobs) - len(costs)})" if costs and len(costs) < len(jobs) else ""
    yield f"Making {count_rows(len(jobs))} again ({marks}). Paid for before: {cost}{unknown}. The earlier files go to results/earlier."
    if plan.same:
        yield f"  {count_rows(plan.same)} with the very request that was sent before, seed and all: --reseed draws another, --set changes a field."


def _read_table(table: str) -> list[Mark]:
    if table != STANDARD_INPUT:
        return open_marks(Path(table))
    return read_marks(io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline=""), "standard input")


def _outcome(reviewed: Reviewed) -> Iterator[str]:
    said = [f"{n} {WORDS[verdict]}" for verdict, n in reviewed.marked.items()]
    said += [f"{reviewed.cleared} without a mark again"] if reviewed.cleared else []
    yield f"Marked: {', '.join(said)}." if said else "No mark was changed."
    if reviewed.unchanged:
        yield f"  {count_rows(reviewed.unchanged)} had that mark already."
    if reviewed.of_another_result:
        yield f"  {count_rows(reviewed.of_another_result)} left out: what was looked at is not the row's result now."
    if reviewed.older:
        yield f"  {count_rows(reviewed.older)} left out: the ledger has a newer mark."


def _write_reports(folder: Path) -> None:
    """The marks are kept already: what cannot be written now, `batcher report` writes."""
    import time

    from batcher.report import write_report
    from batcher.report.gallery import write_gallery

    try:
        with LedgerReader(folder / LEDGER) as reader:
            report = write_report(folder, reader, time.time())
        write_gallery(folder, report)
    except OutputError as error:
        say(console_for(stderr=True), f"batcher: {error.message} The marks are kept.")


def export_and_report(folder: Path, target: Path, *, only_accepted: bool, by_link: bool) -> None:
    """Export results, and say what is in the new folder."""
    exported = export(folder, target, only_accepted=only_accepted, by_link=by_link)
    files = "1 file" if exported.files == 1 else f"{exported.files} files"
    how = "is there already, whole" if exported.was_there else "is written"
    say(console_for(), f"{target} {how}: {files} of {count_rows(exported.rows)}, with manifest.csv and manifest.jsonl.")
