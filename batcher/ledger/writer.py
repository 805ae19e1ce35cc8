"""Who writes: one thread, which does whatever waits in one transaction and then answers (group commit, no timer)."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from batcher.crashpoints import reach
from batcher.errors import BatcherError, LedgerError
from batcher.ledger.faults import KEEP_REMEDY, ledger_error, may_be_full

T = TypeVar("T")
AfterCommit = Callable[[sqlite3.Connection], None]
MakeRoom = Callable[[], bool]

BATCH_MAX = 1024
"""The most tasks in one transaction: bounds how long the first of them waits."""


@dataclass(frozen=True, slots=True)
class _Task:
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    name: str
    alone: bool


class Writer(Protocol):
    """Owns the ledger's connection and does everything that is done with it, in transactions."""

    async def do(self, work: Callable[[sqlite3.Connection], T], *, name: str = "", alone: bool = False) -> T:
        """Run `work`, and return its result once it is durable. `name` is what it writes, for the crash points; none where it only reads.

        With `alone` it has a transaction of its own, and an error of ours that it raises undoes that and nothing else.
        """
        ...

    async def aclose(self) -> None:
        """Finish what waits and let go of the file."""
        ...


class _Transactions:
    """A connection. After the first error of the database everything fails: what cannot be written down must not be done.

    Only a disk that is full, or may be, is given another try, once, where `make_room` finds some: what it says may be the id of something that was
    paid for.
    """

    def __init__(self, connection: sqlite3.Connection, after_commit: AfterCommit, make_room: MakeRoom) -> None:
        self.connection = connection
        self._after_commit = after_commit
        self._make_room = make_room
        self.broken: LedgerError | None = None

    def run(self, works: Sequence[Callable[[sqlite3.Connection], Any]], *, names: Sequence[str], alone: bool) -> list[Any]:
        """What each of `works` returned, once all is durable; `names` says what each writes.

        Raises `LedgerError`, and what work that is `alone` raises of ours.
        """
        if self.broken is not None:
            raise self.broken
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            results = [work(self.connection) for work in works]
            _reach(names, "commit")
            self.connection.execute("COMMIT")
            _reach(names, "committed")
            self._after_commit(self.connection)
        except BaseException as error:
            undone = self._roll_back()
            if alone and undone and isinstance(error, BatcherError):
                raise
            if undone and not alone and may_be_full(error) and self._make_room():  # what stands alone may have read what cannot be read again
                return self.run(works, names=names, alone=alone)
            self.broken = error if isinstance(error, LedgerError) else ledger_error(error, "written")
            raise self.broken from error
        return results

    def _roll_back(self) -> bool:
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True


class InlineWriter:
    """Does the work where it is asked for; `after_commit` is called after each transaction."""

    def __init__(self, connection: sqlite3.Connection, after_commit: AfterCommit, make_room: MakeRoom = lambda: False) -> None:
        self._transactions = _Transactions(connection, after_commit, make_room)

    async def do(self, work: Callable[[sqlite3.Connection], T], *, name: str = "", alone: bool = False) -> T:
        """See `Writer`."""
        result: T = self._transactions.run([work], names=[name], alone=alone)[0]
        return result

    async def aclose(self) -> None:
        """See `Writer`."""
        self._transactions.connection.close()


class ThreadWriter:
    """Owns the connection in a thread; `after_commit` is called there after each transaction, before anybody is told of it."""

    def __init__(self, connection: sqlite3.Connection, after_commit: AfterCommit, make_room: MakeRoom = lambda: False) -> None:
        self._transactions = _Transactions(connection, after_commit, make_room)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        self._death: LedgerError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[sqlite3.Connection], T], *, name: str = "", alone: bool = False) -> T:
        """See `Writer`."""
        if self._transactions.broken is not None:
            raise self._transactions.broken
        if self._closed or not self._thread.is_alive():
            raise LedgerError("the ledger is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._tasks.put(_Task(work, loop, future, name, alone))
        if self._death is not None:  # it came after the look above, and the thread may have left without this task
            future.cancel()
            raise self._death
        return await future

    async def aclose(self) -> None:
        """See `Writer`."""
        self._closed = True
        self._tasks.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        batch: list[_Task | None] = [None]
        try:
            while True:
                batch = [self._tasks.get(), *self._waiting(BATCH_MAX - 1)]
                reach("writer.taken")
                self._do_batch([task for task in batch if task is not None])
                if None in batch:
                    return
        except BaseException as error:  # a bug: whoever waits for this thread would wait for ever
            self._death = self._transactions.broken = LedgerError(f"the ledger's writer died: {error!r}", KEEP_REMEDY)
            while left := [task for task in batch if task is not None]:
                _answer(left, error=self._death)
                batch = list(self._waiting(BATCH_MAX))
        finally:
            self._transactions.connection.close()

    def _waiting(self, limit: int) -> Iterator[_Task | None]:
        """What waits in the queue now."""
        with contextlib.suppress(queue.Empty):
            for _ in range(limit):
                yield self._tasks.get_nowait()

    def _do_batch(self, tasks: list[_Task]) -> None:
        group: list[_Task] = []
        for task in tasks:
            if task.alone:
                self._transact(group)
                group = []
                self._transact([task])
            else:
                group.append(task)
        self._transact(group)

    def _transact(self, tasks: list[_Task]) -> None:
        if not tasks:
            return
        try:
            results = self._transactions.run([task.work for task in tasks], names=[task.name for task in tasks], alone=tasks[0].alone)
        except BaseException as error:
            _answer(tasks, error=error)
        else:
            _answer(tasks, results=results)


def _reach(names: Sequence[str], moment: str) -> None:
    for name in names:
        if name:
            reach(name, moment)


def _answer(tasks: list[_Task], results: list[Any] | None = None, error: BaseException | None = None) -> None:
    """Tell the waiting, with one call into each event loop however many they are."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for index, task in enumerate(tasks):
        loops.setdefault(task.loop, []).append((task.future, results[index] if results is not None else None))
    for loop, answers in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, answers, error)
        except RuntimeError:  # the loop was closed: nobody waits any more, and what was written stays written
            continue


def _settle(answers: list[tuple[asyncio.Future[Any], Any]], error: BaseException | None) -> None:
    for future, result in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
