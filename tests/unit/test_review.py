"""Marks: read back as they were saved, about one result, all or none."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.errors import InputError, ReviewError, UsageError
from batcher.events import Accepted, Claimed, Missing, Produced, Redo, Saved
from batcher.ledger import LedgerReader
from batcher.model import Artifact, Job, State, Verdict, Where
from batcher.report.table import defused, undefused
from batcher.review import Mark, marks_by_hand, open_marks, read_marks, review, tally
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE, NO, NOW, TO_STATE, Book

HEAD = "id,mark,note,sha256,request_id,reviewed_at\r\n"


def saved(request_id: str, sha256: str) -> tuple[object, ...]:
    file = Artifact(f"results/{request_id}.png", sha256, 9, "image/png", 4, 3)
    return (Claimed(), Accepted(request_id), Produced(("https://x/a.png",), 0.08), Saved((file,), 1.5))


async def folder_of(path: Path, *, keep: bool = False) -> Book:
    """Two rows that are done, and one that is in doubt."""
    book = Book(path / "ledger.db")
    await book.plan(*(make_spec(name) for name in "abc"))
    await book.move("a", saved("req-a", "aa" * 32))  # type: ignore[arg-type]
    await book.move("b", saved("req-b", "bb" * 32))  # type: ignore[arg-type]
    await book.move("c", TO_STATE[State.IN_DOUBT])
    if not keep:
        await book.ledger.aclose()
    return book


def rows(folder: Path) -> dict[str, Job]:
    with LedgerReader(folder / "ledger.db") as reader:
        return {job.row_id: job for job in reader.jobs()}


def marks(text: str) -> list[Mark]:
    return read_marks(io.StringIO(text, newline=""), "review.csv")


@pytest.mark.fault("G1")
@settings(deadline=None)
@given(st.text(alphabet="=+-@;\t\r\n \"'a1,＝", max_size=12))
def test_a_text_that_was_made_safe_for_spreadsheets_is_read_as_it_was(text: str) -> None:
    assert undefused(defused(text)) == text
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["id", "mark", "note"], [defused("=1;" + text), "redo", defused("x" + text + "x")]])
    [mark] = marks(written.getvalue())
    assert (mark.row_id, mark.note) == ("=1;" + text, "x" + text + "x")


def test_what_the_gallery_saves_is_read() -> None:
    lines = ["a,accept,,aa,req-a,2026-11-23T01:02:03.500Z", "", 'b,redo,"no people,\nmore sea",bb,req-b,', "c,,,,,", "d,none,,,,", ""]
    found = marks("\ufeff" + HEAD + "\r\n".join(lines))
    assert [(mark.row_id, mark.verdict, mark.note, mark.sha256, mark.request_id) for mark in found] == [
        ("a", Verdict.ACCEPTED, "", "aa", "req-a"),
        ("b", Verdict.REDO, "no people,\nmore sea", "bb", "req-b"),
        ("d", None, "", "", ""),
    ]
    assert found[0].at == 1_795_395_723.5
    assert (found[1].at, str(found[2].where)) == (None, "review.csv:7")


def test_a_spreadsheet_may_have_saved_it_with_semicolons_and_other_words() -> None:
    assert [mark.verdict for mark in marks("Mark;ID\nRejected;a\nACCEPT;b\n")] == [Verdict.REJECTED, Verdict.ACCEPTED]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "review.csv:1: there is no column id and no column mark"),
        ("id,verdict\na,accept\n", "review.csv:1: there is no column mark"),
        ("id,mark\na,good\n", "review.csv:2: mark: 'good' is no mark"),
        ("id,mark\n,accept\n", "review.csv:2: id: is empty"),
        ("id,mark,reviewed_at\na,accept,yesterday\n", "review.csv:2: reviewed_at: 'yesterday' is not a time"),
        ('id,mark\n"a,accept\n', "is not CSV"),
        ("id,mark,note\na,redo," + "x" * 10_001 + "\n", "review.csv:2: note: is longer than 10,000"),
        ("id,mark\na,good\nb,bad\n", "review.csv:3: mark: 'bad' is no mark"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ReviewError) as caught:
        marks(text)
    assert message in str(caught.value)
    assert "Nothing was changed" in caught.value.remedy


def test_bytes_that_are_no_table_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"id,mark\na,\xff\n")
    with pytest.raises(ReviewError, match="not text in UTF-8"):
        open_marks(tmp_path / "x.csv")
    with pytest.raises(InputError, match="cannot be read"):
        open_marks(tmp_path / "y.csv")
    with pytest.raises(UsageError, match="note is longer"):
        marks_by_hand({Verdict.REDO: ["a"]}, "x" * 10_001)
    with pytest.raises(UsageError, match="not text in UTF-8"):
        marks_by_hand({Verdict.REDO: ["a"]}, "half a character: \udcff")


async def test_marks_are_kept_for_the_result_that_was_looked_at(tmp_path: Path) -> None:
    await folder_of(tmp_path)
    done = await review(tmp_path, marks_by_hand({Verdict.ACCEPTED: ["a"], Verdict.REDO: ["b"]}, "more sea"))
    assert dict(done.marked) == {Verdict.ACCEPTED: 1, Verdict.REDO: 1}
    found = rows(tmp_path)["b"]
    assert found.mark is not None
    assert (found.mark.verdict, found.mark.note, found.mark.request_id, found.mark.sha256) == (Verdict.REDO, "more sea", "req-b", "bb" * 32)
    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert dict(tally(reader)) == {Verdict.ACCEPTED: 1, Verdict.REDO: 1}

    again = await review(tmp_path, marks_by_hand({Verdict.REDO: ["b"]}, "more sea"))
    assert (again.unchanged, again.changes_something) == (1, False)
    cleared = await review(tmp_path, marks_by_hand({None: ["b"]}, ""))
    assert (cleared.cleared, rows(tmp_path)["b"].review) == (1, None)


async def test_a_mark_does_not_stick_to_what_is_made_afterwards(tmp_path: Path) -> None:
    book = await folder_of(tmp_path)
    await review(tmp_path, marks_by_hand({Verdict.REJECTED: ["a", "b"]}, ""))
    await book.reopen()
    await book.move("a", [Redo()])
    assert (await book.row("a")).mark is None
    await book.move("a", saved("req-2", "aa" * 32))  # type: ignore[arg-type]
    assert (await book.row("a")).mark is None, "not even where the file is the same, byte for byte"
    await book.move("b", [Missing(NO), Produced(("https://x/b",)), Saved((FILE,), 1.0)])
    assert (await book.row("b")).mark is None, "the service gave another file for the same request"
    await book.ledger.aclose()
    stale = await review(tmp_path, [Mark("a", Verdict.ACCEPTED, Where("r.csv", 2), sha256="aa" * 32, request_id="req-a")])
    assert (stale.of_another_result, stale.changes_something) == (1, False)


async def test_the_newer_mark_holds_and_none_is_of_the_future(tmp_path: Path) -> None:
    await folder_of(tmp_path)
    at = Where("r.csv", 2)
    await review(tmp_path, [Mark("a", Verdict.REJECTED, at, at=NOW - 1e9)])
    older = await review(tmp_path, [Mark("a", Verdict.ACCEPTED, at, at=NOW - 2e9)])
    assert (older.older, older.changes_something) == (1, False)
    newer = await review(tmp_path, [Mark("a", Verdict.ACCEPTED, at, at=9e11)])
    assert dict(newer.marked) == {Verdict.ACCEPTED: 1}
    mark = rows(tmp_path)["a"].mark
    assert mark is not None
    assert mark.at < 9e11


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([Mark("aa", Verdict.ACCEPTED, Where("r.csv", 3))], "r.csv:3: the batch has no row 'aa' (did you mean 'a'?)"),
        ([Mark("\udcff", Verdict.ACCEPTED, Where("r.csv", 3))], "r.csv:3: the batch has no row '\\udcff'"),
        ([Mark("c", Verdict.ACCEPTED, Where("r.csv", 3))], "r.csv:3: row 'c' is in_doubt: it has no result"),
        ([Mark("b", Verdict.REJECTED, Where("r.csv", 3))], "r.csv:3: row 'b' is marked already at r.csv:2"),
    ],
)
async def test_all_marks_are_kept_or_none(tmp_path: Path, wrong: list[Mark], message: str) -> None:
    await folder_of(tmp_path)
    with pytest.raises(ReviewError) as caught:
        await review(tmp_path, [Mark("b", Verdict.ACCEPTED, Where("r.csv", 2)), *wrong])
    assert message in str(caught.value)
    assert rows(tmp_path)["b"].review is None
