from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.concurrency import CONCURRENCY, ConcurrencyLimit
from batcher.errors import LedgerError, OutputError
from batcher.events import Accepted, Cancelled, Claimed, Died, Lost, Produced, Refused, Running, Saved
from batcher.ledger import LedgerReader
from batcher.model import Artifact, ExitReason, Failure, FailureKind, InputFile, Job, Review, State, Verdict
from batcher.report import FILES, Report, ResultRow, result_row, sweep, write_report
from batcher.report.rows import iso
from batcher.report.writing import EXAMPLES, spread
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE, NO, NOW, TO_STATE, Book

BOOM = Failure(FailureKind.GENERATION_FAILED, "boom", "pay again")


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    book = Book(tmp_path / "ledger.db")
    yield book
    await book.ledger.aclose()


async def fill(book: Book) -> None:
    """Rows that ended in every way."""
    names = ("done1", "done2", "bad1", "bad2", "bad3", "bad4", "cancelled", "doubt", "open1", "open2", "put-off")
    await book.plan(*(make_spec(name) for name in names))
    for n, name in enumerate(("done1", "done2")):
        await book.move(name, (Claimed(), Accepted(f"r{n}")), now=NOW)
        await book.move(name, [Running(False)], now=NOW + 2 + n)
        await book.move(name, [Produced(("https://x/a.png",), 0.08 if n == 0 else None)], now=NOW + 12 + n)
        await book.move(name, [Saved((replace(FILE, path=f"results/{name}.png"),), 0.5 + n)], now=NOW + 20)
    for n in range(1, 5):
        failure = replace(BOOM, message=f"boom {n}") if n > 1 else Failure(FailureKind.REJECTED, "no such field")
        await book.move(f"bad{n}", (Claimed(), Refused(failure, transient=False)) if n == 1 else (Claimed(), Accepted("r"), Died(failure)))
    await book.move("cancelled", (Claimed(), Accepted("r"), Cancelled()))
    await book.move("doubt", (Claimed(), Lost(Failure(FailureKind.OUTCOME_UNKNOWN, "cut"))))
    await book.move("open2", TO_STATE[State.SUBMITTED])
    await book.move("put-off", (Claimed(), Refused(NO, transient=True)))
    await book.ledger.put_meta({"name": "shop", "service": "https://api.example/v1"})
    run = await book.ledger.begin_run(NOW, 1, "here")
    await book.ledger.end_run(run, NOW + 20, ExitReason.INTERRUPTED)
    await book.ledger.add_requests({"submits": 11, "polls": 7, "downloads": 2})


def written(book: Book, now: float = NOW + 100) -> Report:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        return write_report(book.path.parent, reader, now)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / FILES["results"]).read_text(encoding="utf-8").splitlines()]


async def test_every_row_is_accounted_for(book: Book, tmp_path: Path) -> None:
    await fill(book)
    report = written(book)
    counts = report.counts
    assert (counts.done, counts.failed, counts.cancelled, counts.in_doubt, counts.open) == (2, 4, 1, 1, 3)
    assert report.rows == 11 == counts.done + counts.failed + counts.cancelled + counts.in_doubt + counts.open
    assert (report.name, report.service, report.runs, report.exit_reason) == ("shop", "https://api.example/v1", 1, ExitReason.INTERRUPTED)
    assert (report.started_at, report.finished_at) == ("2027-01-15T08:00:00Z", "2027-01-15T08:01:40Z")
    assert (report.throughput.rows_per_s, report.throughput.run_s) == (0.4, 20.0)
    assert (report.cost_usd, report.cost_unknown_rows) == (0.08, 7)
    assert report.requests.model_dump() == {"submits": 11, "polls": 7, "results": 0, "cancels": 0, "downloads": 2}
    assert report.timings["queued_s"].model_dump() == {"p50": 2.0, "p95": 3.0, "max": 3.0}
    assert report.timings["running_s"].model_dump() == {"p50": 10.0, "p95": 10.0, "max": 10.0}
    assert report.timings["download_s"].model_dump() == {"p50": 0.5, "p95": 1.5, "max": 1.5}
    assert Report.model_validate_json((tmp_path / FILES["report"]).read_bytes()) == report


async def test_files_that_are_not_there_or_not_whole_are_counted(book: Book, tmp_path: Path) -> None:
    await fill(book)
    assert written(book).files_missing == 2
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "done1.png").write_bytes(b"x" * FILE.size_bytes)
    (tmp_path / "results" / "done2.png").write_bytes(b"x")
    assert written(book).files_missing == 1
    (tmp_path / "results" / "done2.png").write_bytes(b"x" * FILE.size_bytes)
    assert written(book).files_missing == 0


async def test_failures_are_grouped_most_frequent_first_with_a_few_examples(book: Book) -> None:
    await fill(book)
    await book.plan(*[job.spec for job in await book.rows()], make_spec("bad5"))
    await book.move("bad5", (Claimed(), Accepted("r"), Died(replace(BOOM, message="boom 5"))))
    groups = written(book).failures
    assert [(group.kind, group.rows) for group in groups] == [
        (FailureKind.GENERATION_FAILED, 4),
        (FailureKind.CANCELLED, 1),
        (FailureKind.OUTCOME_UNKNOWN, 1),
        (FailureKind.REJECTED, 1),
    ]
    assert [example.id for example in groups[0].examples] == ["bad2", "bad3", "bad4"]
    assert len(groups[0].examples) == EXAMPLES
    assert (groups[0].examples[0].message, groups[0].examples[0].remedy) == ("boom 2", "pay again")


async def test_both_files_keep_to_the_schemas_that_are_published(book: Book, tmp_path: Path) -> None:
    await fill(book)
    written(book)
    rows = lines(tmp_path)
    jsonschema.validate(json.loads((tmp_path / FILES["report"]).read_text()), Report.model_json_schema())
    for row in rows:
        jsonschema.validate(row, ResultRow.model_json_schema())
    assert [row["id"] for row in rows] == [job.row_id for job in await book.rows()]
    assert [row["row"] for row in rows] == list(range(1, 12))


def test_one_row_says_everything_about_it() -> None:
    file = InputFile("/p/a.png", "ab" * 32, 9, "image/png")
    spec = replace(make_spec("a"), axes={"style": "oil"}, inputs=(file,), where="b.yaml:3:5")
    video = Artifact("results/a-2.mp4", "cd" * 32, 7, "video/mp4")
    job = Job(
        7, spec, State.DONE, attempts=2, request_id="r", submitted_at=NOW, started_at=NOW + 1.23456, produced_at=NOW + 5, download_s=0.98765,
        artifacts=(FILE, video), cost_usd=0.08, earlier_cost_usd=0.04, position=3,
        review=Review(Verdict.REDO, "no people", NOW + 9, "r", FILE.sha256),
    )  # fmt: skip
    assert json.loads(result_row(job).model_dump_json()) == {
        "id": "a",
        "row": 3,
        "source": "b.yaml:3:5",
        "state": "done",
        "job": "raw",
        "model": "acme/paint",
        "request_id": "r",
        "inputs": {"prompt": "picture of a"},
        "body": {"prompt": "picture of a"},
        "input_files": [{"path": "/p/a.png", "sha256": "ab" * 32, "size_bytes": 9, "media_type": "image/png"}],
        "axes": {"style": "oil"},
        "files": [
            {"path": "results/a.png", "sha256": "ab" * 32, "size_bytes": 1000, "media_type": "image/png", "width": 64, "height": 48},
            {"path": "results/a-2.mp4", "sha256": "cd" * 32, "size_bytes": 7, "media_type": "video/mp4", "width": None, "height": None},
        ],
        "attempts": 2,
        "submitted_at": "2027-01-15T08:00:00.000Z",
        "cost_usd": 0.12,
        "failure": None,
        "review": {"verdict": "redo", "note": "no people", "at": "2027-01-15T08:00:09.000Z"},
        "timings": {"queued_s": 1.235, "running_s": 3.765, "download_s": 0.988},
    }


def test_files_of_an_earlier_attempt_are_not_those_of_this_one() -> None:
    row = result_row(Job(1, make_spec("a"), State.PLANNED, artifacts=(FILE,), failure=NO))
    assert row.files == []
    assert row.failure is not None
    assert row.failure.message == "no"
    assert (row.cost_usd, row.timings.queued_s, row.timings.running_s, row.timings.download_s) == (None, None, None, None)


def test_a_clock_that_went_back_between_two_runs_makes_no_negative_times() -> None:
    row = result_row(Job(1, make_spec("a"), State.PRODUCED, submitted_at=NOW, started_at=NOW - 5, produced_at=NOW - 9))
    assert (row.timings.queued_s, row.timings.running_s) == (0.0, 0.0)


@pytest.mark.parametrize(
    "tampered", ["UPDATE tallies SET rows = rows + 1 WHERE state = 'done'", "UPDATE tallies SET rows = 0", "DELETE FROM specs WHERE seq = 1"]
)
async def test_rows_that_do_not_add_up_are_not_reported_and_the_last_report_stays(book: Book, tmp_path: Path, tampered: str) -> None:
    await fill(book)
    written(book)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name in FILES.values()}
    await book.ledger._writer.do(lambda c: c.execute("PRAGMA defer_foreign_keys = 1").close())
    assert book.path is not None
    import sqlite3

    with sqlite3.connect(book.path) as connection:
        connection.execute(tampered)
    connection.close()
    with pytest.raises(LedgerError, match="do not add up"):
        written(book)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name in FILES.values()} == before


async def test_a_report_can_be_written_while_the_batch_runs_on(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.plan(*(make_spec(f"row{n}") for n in range(4)))
    assert book.path is not None

    with LedgerReader(book.path) as reader:
        jobs = reader.jobs

        def jobs_while_others_write() -> object:
            first, *rest = jobs()
            yield first
            import sqlite3

            connection = sqlite3.connect(book.path or "")
            with connection:
                connection.execute("UPDATE jobs SET state = 'done'")
            connection.close()
            yield from rest

        monkeypatch.setattr(reader, "jobs", jobs_while_others_write)
        report = write_report(tmp_path, reader, NOW)
    assert report.counts.open == report.rows == 4


async def test_files_are_replaced_whole_and_nothing_else_is_left(book: Book, tmp_path: Path) -> None:
    for name in FILES.values():
        (tmp_path / name).write_text("old")
    (tmp_path / "linked").hardlink_to(tmp_path / FILES["report"])
    await fill(book)
    written(book)
    assert (tmp_path / "linked").read_text() == "old", "the new file takes the place of the old one, which is not written into"
    assert len(lines(tmp_path)) == 11
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert written(book) == written(book)


async def test_a_folder_that_cannot_be_written(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(book)
    assert book.path is not None
    (tmp_path / "file").write_text("")
    with LedgerReader(book.path) as reader:
        for folder in (tmp_path / "missing", tmp_path / "file"):
            with pytest.raises(OutputError, match=r"results\.jsonl: cannot be written") as caught:
                write_report(folder, reader, NOW)
            assert "batcher report DIR" in caught.value.remedy

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            write_report(tmp_path, reader, NOW)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part") or path.name in FILES.values()]


async def test_an_empty_batch_that_was_never_run(book: Book) -> None:
    report = written(book)
    assert (report.rows, report.runs, report.exit_reason, report.timings, report.failures) == (0, 0, None, {}, [])
    assert (report.throughput.rows_per_s, report.name, report.started_at) == (None, "", report.finished_at)


async def test_time_between_runs_does_not_count_and_a_killed_run_has_no_end(book: Book) -> None:
    await fill(book)
    await book.ledger.begin_run(NOW + 1000, 2, "here")
    last = await book.ledger.begin_run(NOW + 5000, 3, "here")
    report = written(book, NOW + 5020)
    assert (report.runs, report.exit_reason, report.throughput.run_s, report.throughput.rows_per_s) == (3, None, 40.0, 0.2)
    await book.ledger.end_run(last, NOW + 5060, ExitReason.COMPLETED)
    report = written(book, NOW + 9999)
    assert (report.exit_reason, report.throughput.run_s) == (ExitReason.COMPLETED, 80.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_a_spread_is_that_of_nearest_ranks(durations: list[float]) -> None:
    found = spread(durations)
    for value, share in ((found.p50, 0.5), (found.p95, 0.95)):
        assert value in durations
        assert sum(each <= value for each in durations) >= share * len(durations) - 1e-9
        assert sum(each < value for each in durations) < share * len(durations)
    assert found.max == max(durations)


@pytest.mark.parametrize(("n", "p50", "p95"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 2, 4), (20, 10, 19), (21, 11, 20), (100, 50, 95)])
def test_ranks(n: int, p50: int, p95: int) -> None:
    found = spread([float(value) for value in range(n, 0, -1)])
    assert (found.p50, found.p95, found.max) == (p50, p95, n)


@pytest.mark.fault("X1")
def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    left = [tmp_path / ".results.jsonl.0a1b2c3d.part", tmp_path / ".report.json.ffffffff.part", tmp_path / "report" / ".0123456789abcdef.part"]
    kept = [tmp_path / "report.json", tmp_path / ".report.json.mine.part", tmp_path / "notes.part"]
    (tmp_path / "report").mkdir()
    for path in (*left, *kept):
        path.write_text("x")
    sweep(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


async def test_each_change_of_how_many_requests_at_once_is_in_the_report(book: Book) -> None:
    await fill(book)
    assert written(book).concurrency == []
    limit = ConcurrencyLimit(64)
    limit.refused(NOW, NOW, 20)
    limit.review(NOW + 1, 20)
    await book.ledger.put_meta({CONCURRENCY: limit.keep()})
    (change,) = written(book).concurrency
    assert (change.at, change.limit, change.reason) == (iso(NOW + 1), 21, "the service said that it is too many, with 20 there")
