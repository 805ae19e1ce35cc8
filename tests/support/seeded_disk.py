"""A disk that takes its time: a commit or a file is there for good only when its latency has passed, or by a coin if the power goes before that."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from batcher.errors import LedgerError
from batcher.ledger import SqliteLedger
from batcher.ledger.writer import _Transactions

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]


@dataclass
class SlowWriter:
    """See `batcher.ledger.writer.Writer`: what waits goes into one transaction, which is made when the disk has taken its time, and is then answered.

    So the connection holds what is durable and nothing else. Without latency all is done where it is asked for. The `fail_at`-th transaction fails.
    """

    transactions: _Transactions
    latency_s: Callable[[], float]
    fail_at: int | None = None
    commits: int = 0
    is_dead: bool = False
    _waiting: list[tuple[Work, asyncio.Future[Any], bool]] = field(default_factory=list)
    _under_way: list[tuple[Work, asyncio.Future[Any], bool]] = field(default_factory=list)

    async def do(self, work: Callable[[sqlite3.Connection], T], *, name: str = "", alone: bool = False) -> T:
        result: T = await self.post(work, alone=alone)
        return result

    def post(self, work: Work, *, alone: bool = False) -> asyncio.Future[Any]:
        """Ask for it, and do not wait."""
        if self.is_dead:
            raise LedgerError("the process is dead")
        if self.transactions.broken is not None:
            raise self.transactions.broken
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future, alone))
        if not self._under_way:
            self._begin()
        return future

    async def aclose(self) -> None:
        await self.do(lambda connection: None)

    def lose_power(self, coin: Callable[[], bool]) -> None:
        """What waits is gone; what is under way may have reached the disk, though nobody is told."""
        self.is_dead = True
        if self._under_way and coin():
            self._perform(self._under_way)
        self._waiting, self._under_way = [], []

    def _begin(self) -> None:
        self._under_way, self._waiting = self._waiting, []
        if (latency_s := self.latency_s()) > 0:
            asyncio.get_running_loop().call_later(latency_s, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        if self.is_dead:
            return
        answers = self._perform(self._under_way)
        for (_, future, _), answer in zip(self._under_way, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._under_way = []
        if self._waiting:
            self._begin()

    def _perform(self, tasks: list[tuple[Work, asyncio.Future[Any], bool]]) -> list[Any]:
        """What each answered, or the error: work that is alone has a transaction of its own, the rest share one."""
        answers: list[Any] = []
        group: list[Work] = []
        for work, _, alone in tasks:
            if alone:
                answers += self._transact(group, alone=False)
                answers += self._transact([work], alone=True)
                group = []
            else:
                group.append(work)
        return answers + self._transact(group, alone=False)

    def _transact(self, works: list[Work], *, alone: bool) -> list[Any]:
        if not works:
            return []
        self.commits += 1
        try:
            return self.transactions.run([*works, _fail] if self.commits == self.fail_at else works, names=(), alone=alone)
        except Exception as error:
            return [error] * len(works)


def _fail(connection: sqlite3.Connection) -> None:
    raise sqlite3.OperationalError("disk I/O error")


class Disk:
    """What survives a crash: the durable ledger and the durable files."""

    def __init__(self, rng: random.Random, commit_s: Callable[[], float], publish_s: Callable[[], float]) -> None:
        self._rng = rng
        self.commit_s = commit_s
        self.publish_s = publish_s
        self.ledger: sqlite3.Connection | None = None
        """Holds what is durable; to be looked at."""
        self.files: dict[str, set[str]] = {}
        """The contents that were published under each name."""
        self._writer: SlowWriter | None = None
        self._publishing: dict[int, tuple[str, str]] = {}
        self._published = 0

    def open_ledger(self, fail_at: int | None = None) -> SqliteLedger:
        """The ledger as a new process finds it."""
        ledger = SqliteLedger(None, threaded=False)
        transactions: _Transactions = ledger._writer._transactions  # type: ignore[attr-defined]
        if self.ledger is not None:
            self.ledger.backup(transactions.connection)
            self.ledger.close()
            ledger._read_tallies(transactions.connection)
        self.ledger = transactions.connection
        self._writer = SlowWriter(transactions, self.commit_s, fail_at)
        ledger._writer = self._writer
        return ledger

    def publish(self, path: str, content: str) -> asyncio.Future[None]:
        """Begin to make a file durable; once begun it goes on, even if nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._published += 1
        number = self._published
        self._publishing[number] = (path, content)

        def settle() -> None:
            if number in self._publishing:
                self._keep(number)
                if not future.done():
                    future.set_result(None)

        loop.call_later(self.publish_s(), settle)
        return future

    def close(self) -> None:
        """A process that ends by itself waits for the files that it has begun."""
        for number in list(self._publishing):
            self._keep(number)
        if self._writer is not None:
            self._writer.is_dead = True

    def lose_power(self) -> None:
        """Everything under way is lost, or kept by a coin."""
        if self._writer is not None:
            self._writer.lose_power(self._coin)
        for number in list(self._publishing):
            if self._coin():
                self._keep(number)
        self._publishing.clear()

    def _keep(self, number: int) -> None:
        path, content = self._publishing.pop(number)
        self.files.setdefault(path, set()).add(content)

    def _coin(self) -> bool:
        return self._rng.random() < 0.5
