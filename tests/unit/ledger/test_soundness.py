"""When a ledger is checked as a whole: before anything is spent on its word, or, where nobody touched it since it was closed properly, beside."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batcher.errors import LedgerError, OutputError
from batcher.events import Accepted, Claimed
from batcher.folder import open_folder
from batcher.ledger import LEDGER, SqliteLedger
from batcher.lifecycle import advance
from batcher.model import Job, Lane, Mode, State
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, SETTINGS

pytestmark = pytest.mark.fault("B6")

ROWS = 200


@pytest.fixture(autouse=True)
def _every_ledger_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batcher.folder.QUICKLY_CHECKED_BYTES", 0)


@pytest.fixture
async def out(tmp_path: Path) -> Path:
    """A folder whose last owner planned some rows, submitted one, and went in order."""
    out = tmp_path / "out"
    async with open_folder(out, create=True) as ledger:
        await ledger.plan(make_spec(f"row{n}", text="x" * 300) for n in range(ROWS))
        [job] = await ledger.claimable(Lane.REMOTE, Mode.RUN, 1, NOW, ())
        await claim(ledger, job)
    return out


async def claim(ledger: SqliteLedger, job: Job) -> None:
    for event in (Claimed(), Accepted("req-1")):
        job = advance(job, event, now=NOW, jitter=0.5, settings=SETTINGS)
        await ledger.record(job, event, NOW)


def damage(ledger: Path) -> None:
    """Zeros over a page in the middle."""
    with ledger.open("r+b") as file:
        file.seek(file.seek(0, os.SEEK_END) // 2 // 4096 * 4096)
        file.write(bytes(4096))


async def test_a_ledger_that_was_closed_properly_is_checked_beside_and_sealed_again(out: Path) -> None:
    for _ in range(2):
        async with open_folder(out, create=False) as ledger:
            assert ledger.is_sealed
        assert ledger.is_sound


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: os.utime(path),
        lambda path: path.write_bytes(path.read_bytes()),
        lambda path: path.rename(path.with_name("copy")).with_name("copy").rename(path),
        lambda path: (path.with_name("owner.lock")).unlink(),
        lambda path: (path.with_name("owner.lock")).write_text('{"closed": true}'),
    ],
)
async def test_one_that_anybody_touched_since_is_checked_before(out: Path, touch: Callable[[Path], object]) -> None:
    touch(out / LEDGER)
    async with open_folder(out, create=False) as ledger:
        assert not ledger.is_sealed


async def test_a_small_one_is_always_checked_before(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    async with open_folder(out, create=False) as ledger:
        assert not ledger.is_sealed


async def test_one_that_was_not_closed_properly_is_checked_before(out: Path) -> None:
    async with open_folder(out, create=False) as ledger:
        ledger._writer._transactions.broken = LedgerError("the disk is gone")  # type: ignore[attr-defined]
    assert not ledger.is_sound
    async with open_folder(out, create=False) as ledger:
        assert not ledger.is_sealed


async def test_damage_is_refused_before_anything_is_spent(out: Path) -> None:
    damage(out / LEDGER)
    for _ in range(2):
        with pytest.raises(LedgerError, match="damaged"):
            async with open_folder(out, create=False):
                pytest.fail("it was opened")


async def test_damage_that_left_no_trace_ends_submitting_as_soon_as_it_is_found(out: Path) -> None:
    """Bits that the disk lost: what is under way is still recorded, nothing more is claimed, and the next run refuses from the start."""
    path = out / LEDGER
    damage(path)
    ledger = SqliteLedger(path, is_sealed=True)
    try:
        with pytest.raises(LedgerError, match="damaged"):
            await ledger.settle()
        [job] = await ledger.claimable(Lane.REMOTE, Mode.RUN, 1, NOW, ())
        assert job.state is State.SUBMITTED
        planned = Job(seq=ROWS, spec=make_spec(f"row{ROWS - 1}"), position=ROWS)
        with pytest.raises(OutputError, match="damaged"):
            await claim(ledger, planned)
    finally:
        await ledger.aclose()
    assert not ledger.is_sound


async def opened_and_left_by_an_error(out: Path, when: asyncio.Event) -> SqliteLedger:
    with contextlib.suppress(ZeroDivisionError):
        async with open_folder(out, create=False) as ledger:
            await when.wait()
            raise ZeroDivisionError
    return ledger


async def test_a_check_that_is_not_waited_for_leaves_no_seal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the run ends by an error."""
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def never_done(connection: object, path: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        connection.execute("WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n")  # type: ignore[attr-defined]

    monkeypatch.setattr("batcher.ledger.soundness.check_sound", never_done)
    ledger = await opened_and_left_by_an_error(out, begun)
    assert not ledger.is_sound
    monkeypatch.undo()
    async with open_folder(out, create=False) as ledger:
        assert not ledger.is_sealed
