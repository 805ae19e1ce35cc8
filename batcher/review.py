"""What a person thinks of results: marks, by hand or from the `review.csv` that the gallery saves, kept in the ledger beside the rows."""

from __future__ import annotations

import csv
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from batcher.errors import InputError, Problem, ReviewError, UsageError
from batcher.folder import open_folder
from batcher.ledger import LEDGER, LedgerReader, SqliteLedger
from batcher.manifest import did_you_mean
from batcher.model import Job, Review, State, Verdict, Where
from batcher.report.table import undefused

WORDS: Final = {
    "accept": Verdict.ACCEPTED,
    "accepted": Verdict.ACCEPTED,
    "reject": Verdict.REJECTED,
    "rejected": Verdict.REJECTED,
    "redo": Verdict.REDO,
    "none": None,
}
"""What the column `mark` may say; `none` takes a mark away. An empty cell says nothing."""

COLUMNS: Final = ("id", "mark", "note", "sha256", "request_id", "reviewed_at")
PROBLEMS_SHOWN: Final = 50
CELL_LIMIT: Final = 2**20
NOTE_LIMIT: Final = 10_000
"""The longest note, in characters."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody said of a row. `sha256` and `request_id` name the result that was looked at; empty means the one that there is now.

    `at` is None where nobody says when; it is now, then.
    """

    row_id: str
    verdict: Verdict | None
    where: Where
    note: str = ""
    sha256: str = ""
    request_id: str = ""
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What came of marks, in rows: those that are marked anew, those whose mark was taken away, and those that stay as they were and why."""

    marked: Counter[Verdict]
    cleared: int = 0
    unchanged: int = 0
    of_another_result: int = 0
    """The row has another result by now, or none."""
    older: int = 0
    """The ledger has a newer mark."""

    @property
    def changes_something(self) -> bool:
        """Whether the ledger says something else than before."""
        return bool(self.cleared or self.marked.total())


async def review(folder: Path, marks: Sequence[Mark]) -> Reviewed:
    """Keep marks of the rows in `folder`: all of them, or none where one names no row, or where a row is marked twice.

    Raises `ReviewError` for these, and for a row that is marked by hand and has no result.
    """
    async with open_folder(folder, create=False) as ledger:
        with LedgerReader(folder / LEDGER) as reader:
            return await review_beside(ledger, reader, marks)


async def review_beside(ledger: SqliteLedger, reader: LedgerReader, marks: Sequence[Mark]) -> Reviewed:
    """As `review`, where the ledger is open already: a batch may be running."""
    reviews, reviewed = _judge(reader, marks, time.time())
    if reviews:
        await ledger.review(reviews)
    return reviewed


def tally(reader: LedgerReader) -> Counter[Verdict | None]:
    """How many of the rows that are done have which mark."""
    return Counter(job.mark.verdict if job.mark else None for job in reader.jobs([State.DONE]))


def read_marks(file: IO[str], name: str) -> list[Mark]:
    """The marks of a `review.csv`, or of any CSV with the columns `id` and `mark`. `file` translates no line ends.

    Raises `ReviewError` with every fault that it has.
    """
    problems: list[Problem] = []
    marks: list[Mark] = []
    try:
        for where, cells in _records(file, name):
            try:
                mark = _mark(where, cells)
            except _CellError as error:
                problems.append(Problem(where, error.message, field=error.column, hint=error.hint))
            else:
                marks += [mark] if mark else []
    except csv.Error as error:
        problems.append(Problem(Where(name), f"is not CSV: {error}", hint="save it from the gallery again"))
    except UnicodeDecodeError:
        problems.append(Problem(Where(name), "is not text in UTF-8", hint="save it as CSV UTF-8"))
    if problems:
        raise ReviewError(problems[:PROBLEMS_SHOWN], len(problems))
    return marks


def open_marks(path: Path) -> list[Mark]:
    """As `read_marks`, of a file. Raises `InputError` for one that cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read_marks(file, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", "Name the review.csv that the gallery saved.") from error


def marks_by_hand(given: Mapping[Verdict | None, Sequence[str]], note: str) -> list[Mark]:
    """The marks of a command: the ids by verdict, one note for all. Raises `UsageError` for a note that cannot be."""
    if len(note) > NOTE_LIMIT:
        raise UsageError(f"the note is longer than {NOTE_LIMIT:,} characters", "Say what should be different, in a sentence.")
    try:
        note.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the note is not text in UTF-8", "Write it anew, or set the locale of the terminal.") from error
    return [Mark(row_id, verdict, Where("command line"), note) for verdict, row_ids in given.items() for row_id in row_ids]


def _judge(reader: LedgerReader, marks: Sequence[Mark], now: float) -> tuple[dict[int, Review | None], Reviewed]:
    reviews: dict[int, Review | None] = {}
    problems: list[Problem] = []
    seen: dict[str, Where] = {}
    marked: Counter[Verdict] = Counter()
    done = Reviewed(marked)
    for mark in marks:
        job = reader.row(mark.row_id)
        first = seen.setdefault(mark.row_id, mark.where)
        if job is None:
            hint = _guess(reader, mark.row_id) if len(problems) < PROBLEMS_SHOWN else ""
            problems.append(Problem(mark.where, f"the batch has no row {mark.row_id!r}", hint=hint))
        elif first is not mark.where:
            problems.append(Problem(mark.where, f"row {mark.row_id!r} is marked already at {first}", hint="keep one of the two"))
        elif job.state is not State.DONE and not (mark.sha256 or mark.request_id):
            problems.append(Problem(mark.where, f"row {mark.row_id!r} is {job.state}: it has no result", hint="leave it out"))
        else:
            done = _settle(job, mark, now, done, reviews)
    if problems:
        raise ReviewError(problems[:PROBLEMS_SHOWN], len(problems))
    return reviews, done


def _settle(job: Job, mark: Mark, now: float, done: Reviewed, reviews: dict[int, Review | None]) -> Reviewed:
    """Note in `reviews` what is to be kept of a mark, and count what comes of it."""
    at = now if mark.at is None else min(mark.at, now)
    result = (job.request_id or "", job.artifacts[0].sha256 if job.artifacts else "")
    if job.state is not State.DONE or (mark.request_id or result[0], mark.sha256 or result[1]) != result:
        return replace(done, of_another_result=done.of_another_result + 1)
    kept = job.mark
    if (kept.verdict if kept else None) == mark.verdict and (kept is None or kept.note == mark.note):
        return replace(done, unchanged=done.unchanged + 1)
    if kept is not None and mark.at is not None and at < kept.at:
        return replace(done, older=done.older + 1)
    if mark.verdict is None:
        reviews[job.seq] = None
        return replace(done, cleared=done.cleared + 1)
    reviews[job.seq] = Review(mark.verdict, mark.note, at, *result)
    done.marked[mark.verdict] += 1
    return done


def _guess(reader: LedgerReader, row_id: str) -> str:
    names = [job.row_id for job, _ in zip(reader.jobs(), range(10_000), strict=False)]
    return did_you_mean(row_id, names) or "the ids are in results.jsonl"


class _CellError(Exception):
    def __init__(self, column: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message
        self.hint = hint


def _records(file: IO[str], name: str) -> Iterator[tuple[Where, dict[str, str]]]:
    """Every line that says something, by the names of its columns, as they were before the gallery made them safe for spreadsheets."""
    head = file.readline(CELL_LIMIT).removeprefix("\ufeff")
    delimiter = max(",;\t", key=head.count)
    columns = [cell.strip().lower() for cell in next(csv.reader([head], delimiter=delimiter, strict=True), [])]
    missing = [column for column in ("id", "mark") if column not in columns]
    if missing:
        raise ReviewError(
            [
                Problem(
                    Where(name, 1), f"there is no column {' and no column '.join(missing)}", hint="the gallery's review.csv has " + ", ".join(COLUMNS)
                )
            ]
        )
    if csv.field_size_limit() < CELL_LIMIT:
        csv.field_size_limit(CELL_LIMIT)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        where = Where(name, reader.line_num + 2)
        try:
            cells = next(reader)
        except StopIteration:
            return
        if any(cell.strip() for cell in cells):
            yield where, {column: undefused(cell) for column, cell in zip(columns, cells, strict=False)}


def _mark(where: Where, cells: Mapping[str, str]) -> Mark | None:
    """What a line says; None where its mark is empty."""
    word = cells.get("mark", "").strip().lower()
    if not word:
        return None
    if word not in WORDS:
        raise _CellError("mark", f"{word[:40]!r} is no mark", f"write one of {', '.join(WORDS)}")
    if not cells["id"]:
        raise _CellError("id", "is empty", "write the id of a row, as in results.jsonl")
    note = cells.get("note", "").strip()
    if len(note) > NOTE_LIMIT:
        raise _CellError("note", f"is longer than {NOTE_LIMIT:,} characters", "shorten it")
    sha256, request_id = cells.get("sha256", "").strip().lower(), cells.get("request_id", "").strip()
    return Mark(cells["id"], WORDS[word], where, note, sha256, request_id, _time(cells.get("reviewed_at", "").strip()))


def _time(text: str) -> float | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _CellError("reviewed_at", f"{text[:40]!r} is not a time", "write it as 2026-11-23T09:30:00Z, or leave it empty") from error
    return seconds if math.isfinite(seconds) else None
