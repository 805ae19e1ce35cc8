"""How a ledger is opened and closed, and by what name a crash can be set to what it writes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from batcher.crashpoints import TRANSACTIONS
from batcher.errors import LedgerError
from batcher.events import Accepted, Claimed
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.ledger import sqlite as sqlite_module
from batcher.ledger import writer as writer_module
from batcher.ledger.statements import migrations
from batcher.model import Review, State, Verdict
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, TO_STATE, Book


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The crash points that the ledger passes."""
    points: list[str] = []

    def reach(point: str, moment: str = "") -> None:
        points.append(f"{point}.{moment}" if moment else point)

    for module in (sqlite_module, writer_module):
        monkeypatch.setattr(module, "reach", reach)
    return points


@pytest.mark.fault("X1")
async def test_everything_that_is_written_has_a_crash_point_before_and_after_it(tmp_path: Path, reached: list[str]) -> None:
    book = Book(tmp_path / "ledger.db")
    ledger = book.ledger
    assert reached == ["ledger.opened", *["ledger.migrated"] * len(migrations())]
    reached.clear()
    await ledger.plan([make_spec("a")], dry_run=True)
    await book.rows()
    assert set(reached) == {"writer.taken"}, "what only reads has none"
    reached.clear()
    await ledger.plan([make_spec("a")])
    run = await ledger.begin_run(NOW, 7, "here")
    await ledger.put_meta({"name": "x"})
    await book.move("a", [Claimed()])
    await ledger.recover(NOW)
    await ledger.add_requests({"polls": 1})
    await ledger.end_run(run, NOW, "completed")
    await ledger.review({1: Review(Verdict.REDO, "", NOW, "r", "ab")})
    named = [point for point in reached if point != "writer.taken"]
    names = ["plan", "begin_run", "put_meta", "Claimed", "recover", "add_requests", "end_run", "review"]
    assert named == [f"{name}.{moment}" for name in names for moment in ("commit", "committed")]
    assert set(names) <= set(TRANSACTIONS)
    await ledger.aclose()


async def test_a_ledger_that_is_opened_knows_at_once_what_is_in_it(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"), make_spec("b"))
    await book.move("a", TO_STATE[State.DONE])
    await book.reopen()
    assert (book.ledger.counts()[State.DONE], book.ledger.counts()[State.PLANNED]) == (1, 1)
    assert book.ledger.spent_usd == pytest.approx(0.08)
    await book.ledger.aclose()


async def test_the_event_loop_goes_on_while_the_ledger_writes(tmp_path: Path) -> None:
    ledger, went_on = SqliteLedger(tmp_path / "ledger.db"), threading.Event()
    asyncio.get_running_loop().call_soon(went_on.set)
    assert await ledger._writer.do(lambda connection: went_on.wait(1.0))
    await ledger.aclose()


async def test_runs_are_numbered_and_kept_with_how_they_ended(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    assert [await book.ledger.begin_run(NOW + n, 7 + n, f"host{n}") for n in range(2)] == [1, 2]
    await book.ledger.end_run(1, NOW + 9, "interrupted")
    with LedgerReader(tmp_path / "ledger.db") as reader:
        runs = [(run.started_at, run.ended_at, run.exit_reason, run.pid, run.host) for run in reader.runs()]
    assert runs == [(NOW, NOW + 9, "interrupted", 7, "host0"), (NOW + 1, None, None, 8, "host1")]
    await book.ledger.aclose()
    assert await SqliteLedger(None, threaded=False).begin_run(NOW, 7, "in memory") == 1


@pytest.mark.fault("A14")
@pytest.mark.parametrize("network", [False, True])
async def test_that_a_wal_is_needed_is_in_the_file_itself_while_a_run_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool) -> None:
    monkeypatch.setattr(sqlite_module, "is_network", lambda path: network)
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"))

    def says_so() -> bool:
        """Of the ledger's file alone."""
        (tmp_path / "alone.db").write_bytes((tmp_path / "ledger.db").read_bytes())
        alone = sqlite3.connect(f"{(tmp_path / 'alone.db').as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            return alone.execute("SELECT count(*) FROM meta WHERE key = ?", (sqlite_module.WAL_NEEDED,)).fetchone()[0] > 0
        except sqlite3.OperationalError:  # not even a table is in it yet
            return False
        finally:
            alone.close()

    assert not says_so()
    await book.ledger.begin_run(NOW, 1, "here")
    assert says_so() is not network
    await book.move("a", [Claimed(), Accepted("r")])
    await book.ledger.aclose()
    assert not says_so()


def test_a_file_that_is_no_ledger_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = MagicMock()

    class Noted(sqlite3.Connection):
        def close(self) -> None:
            closed()
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Noted))
    path = tmp_path / "ledger.db"
    SqliteLedger(path, threaded=False)._writer._transactions.connection.close()  # type: ignore[attr-defined]
    closed.reset_mock()
    words = {
        "UPDATE tallies SET rows = 7": "its tallies say",
        "DROP TABLE tallies": "the ledger cannot be opened: no such table",
        "PRAGMA application_id = 1": "some other program",
    }
    for sql, said in words.items():
        connection = connect(path, isolation_level=None)
        connection.execute(sql)
        connection.close()
        with pytest.raises(LedgerError, match=said):
            SqliteLedger(path)
        closed.assert_called_once()
        closed.reset_mock()


def test_nobody_else_may_read_it_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[set[int]] = []
    monkeypatch.setattr(sqlite_module, "reach", lambda point: modes.append({path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}))
    Book(tmp_path / "ledger.db")
    assert modes == [{0o600}] * (1 + len(migrations()))
