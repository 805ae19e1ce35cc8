"""Ledgers of every release are opened, brought up to date and keep what they say."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from batcher.errors import LedgerError
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.ledger import sqlite as sqlite_module
from batcher.ledger.statements import migrations
from batcher.model import State

pytestmark = pytest.mark.fault("A13")

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.sql"))
ONE_MORE = "ALTER TABLE jobs ADD COLUMN colour TEXT; UPDATE meta SET value = value"
BROKEN = "ALTER TABLE jobs ADD COLUMN colour TEXT; SELECT nonsense"


def restore(dump: Path, folder: Path) -> Path:
    path = folder / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(dump.read_text("utf-8"))
    connection.close()
    return path


@pytest.mark.parametrize("dump", GOLDEN, ids=lambda path: path.stem)
async def test_a_ledger_of_an_earlier_release_is_read_and_gone_on_with(dump: Path, tmp_path: Path) -> None:
    path = restore(dump, tmp_path)
    ledger = SqliteLedger(path)
    try:
        assert not ledger.lost_wal
        with LedgerReader(path) as reader:
            assert reader.contradictions() == []
            jobs = list(reader.jobs())
            assert {job.row_id for job in jobs} == {f"r{n}" for n in range(1, 7)}
            assert reader.counts() == {**dict.fromkeys(State, 0), State.DONE: 4, State.FAILED: 1, State.IN_DOUBT: 1}
            assert all(job.artifacts and job.request_id for job in jobs if job.state is State.DONE)
            assert reader.runs()[0].exit_reason == "completed"
            assert reader.meta()["service"] == "simulator"
            assert [name for _, name, _ in reader.events(jobs[-1].seq)][:2] == ["Claimed", "Accepted"]
    finally:
        await ledger.aclose()


@pytest.mark.parametrize("dump", GOLDEN, ids=lambda path: path.stem)
def test_a_migration_keeps_every_row_and_an_older_batcher_refuses_what_it_made(dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = restore(dump, tmp_path)
    with monkeypatch.context() as newer:
        newer.setattr(sqlite_module, "migrations", lambda: (*migrations(), ONE_MORE))
        ledger = SqliteLedger(path, threaded=False)
        assert ledger.counts()[State.DONE] == 4
    for opener in (SqliteLedger, LedgerReader):
        with pytest.raises(LedgerError, match=f"schema {len(migrations()) + 1}") as caught:
            opener(path)
        assert "Upgrade batcher" in caught.value.remedy


@pytest.mark.parametrize("dump", GOLDEN, ids=lambda path: path.stem)
def test_a_migration_that_fails_changes_nothing(dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = restore(dump, tmp_path)
    with monkeypatch.context() as newer:
        newer.setattr(sqlite_module, "migrations", lambda: (*migrations(), BROKEN))
        with pytest.raises(LedgerError, match="nonsense"):
            SqliteLedger(path)
    assert SqliteLedger(path, threaded=False).counts()[State.DONE] == 4
