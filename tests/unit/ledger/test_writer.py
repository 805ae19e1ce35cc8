from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from batcher.errors import InputError, LedgerError
from batcher.ledger.writer import BATCH_MAX, InlineWriter, ThreadWriter, Writer

Maker = Callable[[], Writer]


class Notes:
    """A table to write into, and the transactions that were committed."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.connection.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY)")
        self.commits: list[int] = []
        self.statements: list[str] = []
        self.connection.set_trace_callback(self.statements.append)

    def committed(self, connection: sqlite3.Connection) -> None:
        self.commits.append(connection.execute("SELECT count(*) FROM notes").fetchone()[0])


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(params=[ThreadWriter, InlineWriter])
def writer(request: pytest.FixtureRequest, notes: Notes) -> Writer:
    made: Writer = request.param(notes.connection, notes.committed)
    return made


def add(n: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO notes VALUES (?)", (n,))
        return n * n

    return work


def count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM notes").fetchone()[0]
    return found


async def test_work_is_done_and_its_result_comes_back(writer: Writer, notes: Notes) -> None:
    assert await writer.do(add(3)) == 9
    assert await writer.do(count) == 1
    assert notes.commits[-1] == 1, "told after the commit"
    await writer.aclose()


async def test_after_an_error_of_the_database_everything_fails_and_says_why(writer: Writer) -> None:
    await writer.do(add(1))
    with pytest.raises(LedgerError, match="cannot be written: UNIQUE constraint failed") as caught:
        await writer.do(add(1))
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert "If the disk is full" in caught.value.remedy
    for work in (add(2), count):
        with pytest.raises(LedgerError, match="UNIQUE constraint failed"):
            await writer.do(work)
    await writer.aclose()


async def test_a_fault_of_ours_in_the_work_stops_it_too(writer: Writer) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        raise TypeError("a fault of ours")

    with pytest.raises(LedgerError, match="a fault of ours"):
        await writer.do(broken)
    with pytest.raises(LedgerError):
        await writer.do(count)
    await writer.aclose()


async def test_work_of_its_own_that_fails_with_an_error_of_ours_is_undone_and_nothing_else(writer: Writer) -> None:
    def refused(connection: sqlite3.Connection) -> None:
        add(8)(connection)
        raise InputError("not like this")

    await writer.do(add(1))
    with pytest.raises(InputError, match="not like this"):
        await writer.do(refused, alone=True)
    assert await writer.do(count) == 1
    with pytest.raises(LedgerError, match="not like this"):
        await writer.do(refused)
    await writer.aclose()


async def test_work_of_its_own_that_meets_an_error_of_the_database_breaks_it(writer: Writer) -> None:
    with pytest.raises(LedgerError, match="no such table"):
        await writer.do(lambda connection: connection.execute("SELECT * FROM nowhere"), alone=True)
    with pytest.raises(LedgerError):
        await writer.do(count)
    await writer.aclose()


async def test_what_cannot_be_undone_breaks_it_even_where_the_work_stood_alone(writer: Writer) -> None:
    def refused(connection: sqlite3.Connection) -> None:
        connection.set_authorizer(lambda action, *rest: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK)
        raise InputError("not like this")

    with pytest.raises(LedgerError):
        await writer.do(refused, alone=True)
    with pytest.raises(LedgerError):
        await writer.do(count)
    await writer.aclose()


async def test_a_closed_writer_says_so(writer: Writer) -> None:
    await writer.aclose()
    with pytest.raises(LedgerError, match="closed"):
        await writer.do(count)
    await writer.aclose()


# ── the thread ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Hold:
    """Work that keeps the thread busy until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.begun.set()
        self.let_go.wait(10)


async def held(writer: Writer) -> tuple[Hold, asyncio.Task[Any]]:
    hold = Hold()
    task = asyncio.create_task(writer.do(hold))
    await asyncio.sleep(0)
    await asyncio.to_thread(hold.begun.wait, 10)
    return hold, task


async def test_whatever_waits_is_written_in_one_transaction(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    rest = [asyncio.create_task(writer.do(add(n))) for n in range(1000)]
    await asyncio.sleep(0.02)
    hold.let_go.set()
    await first
    assert await asyncio.gather(*rest) == [n * n for n in range(1000)]
    assert notes.commits == [0, 1000]
    assert notes.statements.count("COMMIT") == 2
    await writer.aclose()


async def test_a_transaction_is_bounded(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    rest = [asyncio.create_task(writer.do(add(n))) for n in range(BATCH_MAX + 10)]
    await asyncio.sleep(0.02)
    hold.let_go.set()
    await asyncio.gather(first, *rest)
    assert notes.commits == [0, BATCH_MAX, BATCH_MAX + 10]
    await writer.aclose()


async def test_work_that_stands_alone_shares_no_transaction_and_keeps_its_turn(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    tasks = [asyncio.create_task(writer.do(add(n), alone=n == 2)) for n in range(5)]
    await asyncio.sleep(0.02)
    hold.let_go.set()
    await asyncio.gather(first, *tasks)
    assert notes.commits == [0, 2, 3, 5]
    await writer.aclose()


async def test_everybody_who_waits_hears_of_the_error(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    works = [add(1), add(2), add(2), add(3)]
    tasks = [asyncio.create_task(writer.do(work, alone=n == 3)) for n, work in enumerate(works)]
    await asyncio.sleep(0.02)
    hold.let_go.set()
    await first
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LedgerError] * 4
    assert notes.connection.execute("SELECT count(*) FROM notes").fetchone()[0] == 0, "what was not committed is undone"
    await writer.aclose()


async def test_who_no_longer_waits_is_not_told_and_disturbs_nobody(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    gone, here = asyncio.create_task(writer.do(add(1))), asyncio.create_task(writer.do(add(2)))
    await asyncio.sleep(0.02)
    gone.cancel()
    hold.let_go.set()
    await first
    assert await here == 4
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await writer.do(count) == 2, "what was asked for is written all the same"
    await writer.aclose()


def test_a_loop_that_was_closed_meanwhile_does_not_hurt_another(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold = Hold()

    async def leave() -> None:
        task, other = asyncio.create_task(writer.do(hold)), asyncio.create_task(writer.do(add(1)))
        await asyncio.sleep(0)
        await asyncio.to_thread(hold.begun.wait, 10)
        task.cancel()
        other.cancel()

    asyncio.run(leave())
    hold.let_go.set()
    assert asyncio.run(asyncio.wait_for(writer.do(count), 10)) == 1
    asyncio.run(writer.aclose())


async def test_closing_finishes_what_waits(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    waiting = asyncio.create_task(writer.do(add(1)))
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(writer.aclose())
    await asyncio.sleep(0.02)
    assert not closing.done()
    hold.let_go.set()
    await asyncio.gather(first, closing)
    assert await waiting == 1
    with pytest.raises(sqlite3.ProgrammingError):
        notes.connection.execute("SELECT 1")


async def test_who_comes_while_it_closes_is_told_and_does_not_wait_for_ever(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    closing = asyncio.create_task(writer.aclose())
    await asyncio.sleep(0)
    with pytest.raises(LedgerError, match="closed"):
        await asyncio.wait_for(writer.do(count), 10)
    hold.let_go.set()
    await asyncio.gather(first, closing)


@pytest.mark.fault("A12")
async def test_who_comes_in_the_very_moment_in_which_the_thread_dies_hears_of_it(notes: Notes) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    tasks = writer._tasks

    class NobodyTakesThem:
        def put(self, task: object) -> None:
            writer._death = LedgerError("the ledger's writer died")

    writer._tasks = NobodyTakesThem()  # type: ignore[assignment]
    with pytest.raises(LedgerError, match="the ledger's writer died"):
        await asyncio.wait_for(writer.do(count), 10)
    writer._tasks = tasks
    await writer.aclose()


@pytest.mark.fault("A12")
async def test_everybody_who_waits_for_a_thread_that_dies_hears_of_it(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ThreadWriter(notes.connection, notes.committed)
    hold, first = await held(writer)
    tasks = [asyncio.create_task(writer.do(add(n))) for n in range(3)]
    await asyncio.sleep(0)

    def die(point: str, moment: str = "") -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("batcher.ledger.writer.reach", die)
    hold.let_go.set()
    await first
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [str(outcome).splitlines()[0] for outcome in outcomes] == ["the ledger's writer died: RuntimeError('a bug')"] * 3
    with pytest.raises(LedgerError, match="the ledger's writer died"):
        await writer.do(count)
    await asyncio.wait_for(writer.aclose(), 30)
    assert notes.commits == [0], "nothing was written after the last proper transaction"
