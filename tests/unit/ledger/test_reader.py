from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from batcher.errors import InputError, LedgerError
from batcher.events import Event, Saved
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.ledger import reader as reader_module
from batcher.ledger import sqlite as sqlite_module
from batcher.ledger.statements import APPLICATION_ID, migrations
from batcher.model import SameFiles, State
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE, TO_STATE, Book


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    book = Book(tmp_path / "ledger.db")
    await book.plan(*(make_spec(f"row{n}") for n in range(7)))
    yield book
    await book.ledger.aclose()


async def test_rows_come_in_order_page_by_page_and_by_state(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "PAGE", 2)
    await book.move("row3", TO_STATE[State.DONE])
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert list(reader.jobs()) == await book.rows()
        assert [job.row_id for job in reader.jobs([State.DONE])] == ["row3"]
        assert [job.row_id for job in reader.jobs({State.PLANNED})] == ["row0", "row1", "row2", "row4", "row5", "row6"]
        assert list(reader.jobs([])) == []
        assert reader.counts()[State.DONE] == 1
        assert reader.spent_usd() == pytest.approx(0.08)


async def test_a_row_is_found_by_its_name(book: Book) -> None:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert reader.row("row2") == await book.row("row2")
        assert reader.row("nobody") is None


async def test_files_that_are_the_same_are_told_with_their_first_rows_the_most_frequent_first(book: Book) -> None:
    def saved(*contents: str) -> tuple[Event, ...]:
        return (*TO_STATE[State.PRODUCED], Saved(tuple(replace(FILE, sha256=content * 64) for content in contents), 1.0))

    for row, contents in {"row0": "a", "row1": "bc", "row2": "cb", "row3": "ad", "row5": "ccc", "row6": "e"}.items():
        await book.move(row, saved(*contents))
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        a, b, c = (letter * 64 for letter in "abc")
        every = [SameFiles(c, 3, ("row1", "row2", "row5")), SameFiles(a, 2, ("row0", "row3")), SameFiles(b, 2, ("row1", "row2"))]
        assert reader.same_files(9, 9) == every
        assert reader.same_files(2, 1) == [SameFiles(c, 3, ("row1",)), SameFiles(a, 2, ("row0",))]
    await book.plan(*(make_spec(f"row{n}") for n in (2, 0, 4)))
    with LedgerReader(book.path) as reader:
        assert reader.same_files(9, 9) == [], "rows that the batch has no more do not count"


async def test_where_files_are_is_told_of_every_row_also_of_those_that_were_dropped(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "PAGE", 2)
    for n in range(5):
        files = tuple(replace(FILE, path=f"results/{n}-{nth}.png") for nth in range(2))
        await book.move(f"row{n}", (*TO_STATE[State.PRODUCED], Saved(files, 1.0)))
    await book.plan(*(make_spec(f"row{n}") for n in range(1, 7)))
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert list(reader.saved_paths()) == [f"results/{n}-{nth}.png" for n in range(5) for nth in range(2)]


async def test_it_sees_what_is_written_beside_it(book: Book) -> None:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        pages = reader.jobs()
        next(pages)
        await book.move("row0", TO_STATE[State.DONE])
        assert len(list(pages)) == 6
        assert reader.counts()[State.DONE] == 1


async def test_it_sees_what_is_written_beside_it_also_where_nobody_had_the_ledger_open_when_it_came(book: Book) -> None:
    assert book.path is not None
    await book.ledger.aclose()
    assert not book.path.with_name("ledger.db-wal").exists()
    with LedgerReader(book.path) as reader:
        await book.reopen()
        await book.move("row0", TO_STATE[State.DONE])
        assert reader.counts()[State.DONE] == 1


async def test_it_reads_where_it_cannot_make_what_it_shares_with_writers(book: Book) -> None:
    """As on a disk that is mounted read-only."""
    assert book.path is not None
    await book.ledger.aclose()
    book.path.with_name("ledger.db-shm").symlink_to("nowhere/nothing")
    with LedgerReader(book.path) as reader:
        assert reader.counts()[State.PLANNED] == 7


@pytest.mark.parametrize("text", ["[{", "[{}]", "[1]"])
async def test_paths_that_cannot_be_read_are_damage(book: Book, text: str) -> None:
    await book.move("row0", TO_STATE[State.DONE])
    await book.ledger._writer.do(lambda connection: connection.execute("UPDATE jobs SET artifacts = ? WHERE state = 'done'", (text,)).close())
    assert book.path is not None
    with LedgerReader(book.path) as reader, pytest.raises(LedgerError, match="damaged"):
        list(reader.saved_paths())


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE tallies SET rows = rows + 1 WHERE state = 'done'", "the tallies do not add up"),
        ("UPDATE tallies SET cost_usd = cost_usd + 1 WHERE state = 'done'", "the tallies do not add up"),
        ("UPDATE jobs SET artifacts = NULL WHERE state = 'done'", "row row0: its request or its files are not recorded"),
        ("UPDATE jobs SET request_id = NULL WHERE state = 'done'", "row row0: its request or its files are not recorded"),
        ("UPDATE jobs SET request_id = NULL WHERE state = 'produced'", "row row1: its request or its files are not recorded"),
        ("UPDATE jobs SET request_id = NULL WHERE state = 'submitted'", "row row2: its request or its files are not recorded"),
        ("UPDATE jobs SET request_id = 'req-2' WHERE state = 'submitted'", "row row2: its request is not the one that it was given"),
        ("DELETE FROM events WHERE name = 'Accepted' AND seq = 1", "row row0: its request is not the one that it was given"),
    ],
)
async def test_what_cannot_all_be_true_is_told(book: Book, sql: str, found: str) -> None:
    for n, state in enumerate((State.DONE, State.PRODUCED, State.SUBMITTED, State.SUBMITTING, State.IN_DOUBT)):
        await book.move(f"row{n}", TO_STATE[state])
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert reader.contradictions() == []
        await book.ledger._writer.do(lambda connection: connection.execute(sql).close())
        (told,) = reader.contradictions()
        assert told.startswith(found)


async def test_a_snapshot_holds_still_while_somebody_writes(book: Book) -> None:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        with reader.snapshot():
            before = reader.counts()
            await book.move("row0", TO_STATE[State.DONE])
            await book.plan(make_spec("row0"))
            assert reader.counts() == before
            assert len(list(reader.jobs())) == 7
        assert reader.counts()[State.DONE] == 1
        assert len(list(reader.jobs())) == 1
        with pytest.raises(ZeroDivisionError), reader.snapshot():
            raise ZeroDivisionError
        with reader.snapshot():
            assert reader.meta() == {}


@pytest.mark.fault("B7")
async def test_on_a_network_disk_a_reader_never_keeps_the_writer_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "is_network", lambda path: True)
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("row0"))
    assert not (tmp_path / "ledger.db-wal").exists()
    with LedgerReader(tmp_path / "ledger.db") as reader, reader.snapshot():
        assert len(list(reader.jobs())) == 1
        await book.move("row0", TO_STATE[State.DONE])
        assert reader.counts()[State.DONE] == 1
    await book.ledger.aclose()


async def test_it_waits_for_a_writer_and_cannot_write(book: Book) -> None:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert reader._execute("PRAGMA busy_timeout", ())[0][0] == 10_000
    with LedgerReader(book.path) as reader, pytest.raises(LedgerError, match="readonly"):
        reader._execute("DELETE FROM jobs", ())


def test_a_folder_without_a_batch(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no batch was run here \(there is no ledger\.db\)"):
        LedgerReader(tmp_path / "ledger.db")
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(InputError):
        LedgerReader(tmp_path / "ledger.db")


def make_file(path: Path, application_id: int, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (x)")
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at " * 40, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_not_a_database_is_refused_by_both(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be read: "):
        LedgerReader(path)
    with pytest.raises(LedgerError, match="cannot be opened: ") as caught:
        SqliteLedger(path)
    assert "--salvage" in caught.value.remedy
    assert path.read_bytes() == content


def test_a_database_of_some_other_program_is_refused_by_both_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    make_file(path, 0, 1)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="some other program"):
        LedgerReader(path)
    with pytest.raises(LedgerError, match="some other program"):
        SqliteLedger(path)
    assert path.read_bytes() == before


@pytest.mark.fault("A13")
def test_a_ledger_of_a_newer_version_is_refused_by_both(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    make_file(path, APPLICATION_ID, len(migrations()) + 1)
    for open_it in (LedgerReader, SqliteLedger):
        with pytest.raises(LedgerError, match=f"schema {len(migrations()) + 1}") as caught:
            open_it(path)
        assert "Upgrade batcher" in caught.value.remedy


def test_a_ledger_of_an_older_version_is_read_after_it_was_resumed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    make_file(path, APPLICATION_ID, len(migrations()) - 1)
    with pytest.raises(LedgerError, match="another version") as caught:
        LedgerReader(path)
    assert "Resume the batch" in caught.value.remedy


async def test_a_ledger_that_was_cut_off_at_its_creation_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"")
    ledger = SqliteLedger(path)
    assert (await ledger.plan([make_spec("a")])).new == 1
    await ledger.aclose()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_ledger_in_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened: "):
        SqliteLedger(tmp_path / "missing" / "ledger.db")


async def test_a_path_with_signs_that_mean_something_in_an_address(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=rw#b %41 ü"
    folder.mkdir()
    ledger = SqliteLedger(folder / "ledger.db")
    await ledger.plan([make_spec("a")])
    await ledger.aclose()
    with LedgerReader(folder / "ledger.db") as reader:
        assert reader.counts()[State.PLANNED] == 1


async def test_a_ledger_that_cannot_even_be_opened_cannot_be_read(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    assert book.path is not None
    with monkeypatch.context() as broken:
        broken.setattr(sqlite3, "connect", MagicMock(side_effect=sqlite3.OperationalError("unable to open database file")))
        with pytest.raises(LedgerError, match=r"ledger\.db: the ledger cannot be read: unable to open"):
            LedgerReader(book.path)


async def test_a_reader_that_was_closed_says_so(book: Book) -> None:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert reader.counts()
    with pytest.raises(LedgerError, match="cannot be read: "):
        reader.counts()
