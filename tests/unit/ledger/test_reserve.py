from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from batcher.errors import LedgerError, OutputError
from batcher.events import Accepted, Claimed
from batcher.ledger import LedgerReader, Reserve
from batcher.ledger.reserve import RESERVE_BYTES
from batcher.ledger.writer import InlineWriter
from batcher.model import State
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, Book

pytestmark = pytest.mark.fault("B2", "X24")


def failing(words: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


def full() -> sqlite3.OperationalError:
    return failing("database or disk is full", sqlite3.SQLITE_FULL)


class Disk:
    """Work that the disk has no room for, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, connection: sqlite3.Connection) -> str:
        if self.times:
            self.times -= 1
            raise full()
        return "written"


async def test_a_full_disk_is_tried_once_more_where_room_was_kept() -> None:
    room = [True, False]
    writer = InlineWriter(sqlite3.connect(":memory:", isolation_level=None), lambda connection: None, lambda: room.pop(0))
    assert await writer.do(Disk(1)) == "written"
    with pytest.raises(LedgerError, match="the disk is full"):
        await writer.do(Disk(1))
    with pytest.raises(LedgerError, match="the disk is full"):
        await writer.do(Disk(0))


@pytest.mark.fault("B11")
async def test_a_write_that_a_quota_forbids_is_tried_once_more_where_room_was_kept(tmp_path: Path) -> None:
    """A limit on the size of files stands for the quota: of neither SQLite says that the disk is full."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE notes (text)")
    tries = []

    def make_room() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return True

    def work(connection: sqlite3.Connection) -> None:
        tries.append(1)
        connection.execute("INSERT INTO notes VALUES ('the id of something that was paid for')")

    writer = InlineWriter(connection, lambda connection: None, make_room)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "ledger.db-wal").stat().st_size, limits[1]))
    try:
        await writer.do(work)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(tries) == 2
    assert connection.execute("SELECT count(*) FROM notes").fetchone() == (1,)
    await writer.aclose()


@pytest.mark.fault("B3")
@pytest.mark.parametrize("error", [failing("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC), OSError("no"), full()])
async def test_nothing_else_is_tried_again_nor_what_stands_alone(error: Exception) -> None:
    writer = InlineWriter(sqlite3.connect(":memory:", isolation_level=None), lambda connection: None, lambda: True)
    calls = []

    def work(connection: sqlite3.Connection) -> None:
        calls.append(1)
        raise error

    with pytest.raises(LedgerError):
        await writer.do(work, alone=isinstance(error, sqlite3.OperationalError) and "full" in str(error))
    assert len(calls) == 1


async def test_room_is_kept_while_a_run_lasts_and_given_back(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    assert not (tmp_path / Reserve.FILE).exists()
    await book.ledger.begin_run(NOW, 1, "here")
    assert (tmp_path / "ledger.reserve").stat().st_size == RESERVE_BYTES == 1_048_576
    await book.ledger.aclose()
    assert not (tmp_path / Reserve.FILE).exists()


def test_the_room_is_given_away_once_and_only_where_there_is_any(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path)
    assert not reserve.use(), "none was taken"
    assert not reserve.is_used
    reserve.hold()
    inode, content = (tmp_path / Reserve.FILE).stat().st_ino, (tmp_path / Reserve.FILE).read_bytes()
    assert (tmp_path / Reserve.FILE).stat().st_mode & 0o777 == 0o600
    reserve.hold()
    assert ((tmp_path / Reserve.FILE).stat().st_ino, (tmp_path / Reserve.FILE).read_bytes()) == (inode, content), "what is held is not taken anew"
    assert reserve.use()
    assert reserve.is_used
    assert not (tmp_path / Reserve.FILE).exists()
    reserve.hold()
    assert not reserve.use(), "what was given away once is not there, whatever the folder says"
    reserve.let_go()
    assert not (tmp_path / Reserve.FILE).exists()


def test_room_that_an_earlier_run_left_in_part_is_taken_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / Reserve.FILE).write_bytes(b"x" * 10)
    Reserve(tmp_path).hold()
    assert (tmp_path / Reserve.FILE).stat().st_size == RESERVE_BYTES


def test_room_that_there_is_only_a_part_of_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batcher.ledger.reserve.os.urandom", MagicMock(side_effect=OSError(errno.ENOSPC, "no room")))
    with pytest.raises(OutputError, match="cannot be put by for the ledger: no room"):
        Reserve(tmp_path).hold()
    assert not (tmp_path / Reserve.FILE).exists()


async def test_on_a_full_disk_no_submit_is_begun_and_what_was_answered_is_still_recorded(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"), make_spec("b"))
    await book.ledger.begin_run(NOW, 1, "here")
    await book.move("a", [Claimed()])
    assert await book.ledger._writer.do(Disk(1)) == "written"
    assert not (tmp_path / Reserve.FILE).exists()
    with pytest.raises(OutputError, match="the disk is full") as caught:
        await book.move("b", [Claimed()])
    assert not isinstance(caught.value, LedgerError)
    assert (await book.move("a", [Accepted("r1")])).request_id == "r1"
    await book.ledger.aclose()
    with LedgerReader(tmp_path / "ledger.db") as reader:
        counts = reader.counts()
        assert (counts[State.SUBMITTED], counts[State.PLANNED]) == (1, 1)


@pytest.mark.parametrize("obstacle", [lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/full"), lambda path: path.symlink_to("precious")])
async def test_where_no_room_can_be_kept_nothing_is_begun(tmp_path: Path, obstacle: Callable[[Path], object]) -> None:
    book = Book(tmp_path / "ledger.db")
    obstacle(tmp_path / Reserve.FILE)
    with pytest.raises(OutputError, match=r"cannot be put by for the ledger"):
        await book.ledger.begin_run(NOW, 1, "here")
    await book.ledger.aclose()
    assert not (tmp_path / "precious").exists()
