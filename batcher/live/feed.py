"""What the page is told: read from the ledger now and then, in a thread, in small pieces, and the same piece once for all who wait for it.

The ledger numbers what happens to rows. Whoever follows says up to which number everything is known, and is given the rows that changed since, as
they are now; nothing is kept for anybody. So whoever was away misses nothing, and whoever is slow gets a row that changed ten times once.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from batcher.errors import BatcherError, InputError
from batcher.ledger import LEDGER, LedgerReader
from batcher.model import Job, Run
from batcher.report import Report, ResultRow, iso, report_so_far, result_row
from batcher.report.models import Counts, Requests, Throughput

T = TypeVar("T")

TICK_S: Final = 0.2
"""How often the ledger is looked at while somebody follows."""

SHARE: Final = 10
"""Reading takes at most one part in so many of the time of a processor: the run beside it has the rest."""

EVENTS_AT_ONCE: Final = 1000
ROWS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody knows a batch: `plan` names the plan that the rows are of, `event` is the number of the last event that is known."""

    plan: str = ""
    event: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that `str` turned into `text`; the beginning for any other text."""
        plan, _, event = text.rpartition(".")
        return cls(plan, int(event)) if event.isascii() and event.isdigit() and len(event) < 19 else cls()

    def __str__(self) -> str:
        return f"{self.plan}.{self.event}"


@dataclass(frozen=True, slots=True)
class Account:
    """The batch as a whole at one moment. `version` counts the accounts that differ."""

    version: int
    place: Place
    report: Report
    run: dict[str, Any]
    """How the last run is: `state`, one of waiting, running, ended and killed, `started_at`, `ended_at`, and `trouble`, why nothing can be read."""

    def json(self) -> str:
        """As the page reads it."""
        return f'"report":{self.report.model_dump_json()},"run":{json.dumps(self.run)},"now":{time.time():.3f}'

    def is_like(self, other: Account) -> bool:
        """Whether a page would show the same."""
        return (self.place, self.run, _timeless(self.report)) == (other.place, other.run, _timeless(other.report))


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody who follows is told: the kind of the message, its text, and the place where they are then."""

    kind: str
    text: str
    place: Place
    version: int


@dataclass
class Feed:
    """What there is to tell of the batch in `folder`. Use it in one event loop; `close` it at the end."""

    folder: Path
    _account: Account | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _deserted: asyncio.Event = field(default_factory=asyncio.Event)
    _followers: int = 0
    _spent_s: float = 0.0
    _pieces: dict[Place, asyncio.Future[tuple[Place, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "live-page")

    def close(self) -> None:
        """Let go; nobody may ask any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def keep_looking(self) -> None:
        """Look at the ledger again and again, as long as anybody follows, until cancelled."""
        while True:
            if self._followers:
                await self.look()
            pause_s, self._spent_s = max(TICK_S, (SHARE - 1) * self._spent_s), 0.0
            await asyncio.sleep(pause_s)

    async def look(self) -> Account:
        """How the batch is now."""
        account = await self._read(self._read_account)
        if self._account is None or not account.is_like(self._account):
            version = 1 if self._account is None else self._account.version + 1
            self._account = Account(version, account.place, account.report, account.run)
            self._pieces.clear()
            self._news.set()
            self._news = asyncio.Event()
        return self._account

    @contextmanager
    def following(self) -> Iterator[None]:
        """While somebody does."""
        self._followers += 1
        self._deserted.clear()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._deserted.set()

    @property
    def followers(self) -> int:
        """How many follow."""
        return self._followers

    async def deserted(self) -> None:
        """Wait until nobody follows."""
        if self._followers:
            await self._deserted.wait()

    async def change(self, place: Place, version: int, patience_s: float) -> Change | None:
        """What is new to whoever is at `place` and has seen the account of `version`; None if that is nothing for so long."""
        try:
            async with asyncio.timeout(patience_s):
                while self._account is None or self._account.version == version:
                    await self._news.wait()
        except TimeoutError:
            return None
        account = self._account
        if place.plan != account.place.plan:
            return Change("reset", f"{{{account.json()}}}", account.place, account.version)
        piece = self._pieces.get(place)
        if piece is None:
            piece = self._pieces[place] = self._read(lambda: self._read_changes(place))
        reached, rows = await asyncio.shield(piece)
        seen = version if reached.event < account.place.event else account.version  # there is more: no need to wait for news
        return Change("change", f'{{"rows":{rows},{account.json()}}}', reached, seen)

    async def rows(self, position: int, limit: int) -> str:
        """The rows behind that position, as JSON, with the place where whoever has them is: never ahead of them."""
        return await self._read(lambda: self._read_rows(position, min(limit, ROWS_AT_ONCE)))

    def _read(self, work: Callable[[], T]) -> asyncio.Future[T]:
        def timed() -> T:
            start = time.thread_time()
            try:
                return work()
            finally:
                self._spent_s += time.thread_time() - start

        return asyncio.get_running_loop().run_in_executor(self._thread, timed)

    # -- in the thread; the ledger is opened each time, so that whoever closes it last is the run

    @contextmanager
    def _ledger(self) -> Iterator[LedgerReader]:
        with LedgerReader(self.folder / LEDGER) as reader, reader.snapshot():
            yield reader

    def _place(self, reader: LedgerReader, rows: int, runs: int) -> Place:
        """Planning again leaves no events: other rows, or another run, are another plan."""
        event = reader.last_event()
        return Place(f"{reader.path.stat().st_ino:x}-{runs}-{rows}", event)

    def _read_account(self) -> Account:
        now, trouble = time.time(), ""
        try:
            with self._ledger() as reader:
                report, runs = report_so_far(reader, now), reader.runs()
                return Account(0, self._place(reader, report.rows, len(runs)), report, _how_it_runs(runs))
        except InputError:
            pass  # there is no ledger yet
        except BatcherError as error:
            trouble = f"{error.message}. {error.remedy}"
        except Exception as error:  # a fault of ours too: the run beside it goes on
            trouble = f"{type(error).__name__}: {error}"
        return Account(0, Place(), _nothing_yet(self.folder, now), {"state": "waiting", "started_at": None, "ended_at": None, "trouble": trouble})

    def _read_changes(self, place: Place) -> tuple[Place, str]:
        try:
            with self._ledger() as reader:
                event, jobs = reader.jobs_changed(place.event, EVENTS_AT_ONCE)
        except (BatcherError, OSError):  # it is told by the account
            return place, "[]"
        return Place(place.plan, event), _as_json(jobs)

    def _read_rows(self, position: int, limit: int) -> str:
        try:
            with self._ledger() as reader:
                place = self._place(reader, sum(reader.counts().values()), len(reader.runs()))
                jobs = reader.jobs_after(position, limit)
        except (BatcherError, OSError):
            return '{"rows":[],"place":".0"}'
        return f'{{"rows":{_as_json(jobs)},"place":{json.dumps(str(place))}}}'

    def row(self, row_id: str) -> ResultRow | None:
        """The row of that name, if there is one. Blocks; from any thread."""
        try:
            with self._ledger() as reader:
                job = reader.row(row_id)
        except (BatcherError, OSError):
            return None
        return None if job is None else result_row(job)


def _as_json(jobs: list[Job]) -> str:
    """Rows as in `results.jsonl`, with what matters while they are under way: when they ended, and their place in the queue."""
    return f"[{','.join(map(_row_as_json, jobs))}]"


def _row_as_json(job: Job) -> str:
    more = {"ended_at": None if job.ended_at is None else iso(job.ended_at, "milliseconds"), "queue_position": job.queue_position}
    return f"{result_row(job).model_dump_json()[:-1]},{json.dumps(more)[1:]}"


def _how_it_runs(runs: list[Run]) -> dict[str, Any]:
    if not runs:
        return {"state": "waiting", "started_at": None, "ended_at": None, "trouble": ""}
    last = runs[-1]
    state = "ended" if last.ended_at is not None else "running" if _may_live(last) else "killed"
    return {"state": state, "started_at": last.started_at, "ended_at": last.ended_at, "trouble": ""}


def _may_live(run: Run) -> bool:
    """Whether the process of a run may be there still. The lock would tell for certain, but to try it might be in the way of who wants it."""
    if run.host != socket.gethostname() or os.name == "nt":
        return True
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _nothing_yet(folder: Path, now: float) -> Report:
    return Report(
        name=folder.absolute().name, service="", rows=0, counts=Counts(done=0, failed=0, cancelled=0, in_doubt=0, open=0),
        started_at=iso(now), finished_at=iso(now), runs=0, cost_usd=0.0, cost_unknown_rows=0, throughput=Throughput(rows_per_s=None, run_s=0.0),
        files_missing=0, same_files=[], timings={}, failures=[], requests=Requests(), concurrency=[], exit_reason=None,
    )  # fmt: skip


def _timeless(report: Report) -> Report:
    return report.model_copy(update={"started_at": "", "finished_at": "", "throughput": None})
