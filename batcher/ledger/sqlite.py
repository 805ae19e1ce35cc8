"""The `Ledger` port on SQLite: WAL with `synchronous=FULL`, one writing thread.

With `synchronous=NORMAL` a power cut can leave a POST without its intent, so FULL it is; group commit makes it cheap. See https://sqlite.org/wal.html.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batcher.errors import LedgerError, Problem
from batcher.events import Accepted, Event
from batcher.ledger.codec import event_values, job_from, job_values
from batcher.ledger.filesystem import is_network
from batcher.ledger.planning import PlanWriter
from batcher.ledger.statements import APPLICATION_ID, migrations, statements
from batcher.ledger.writer import InlineWriter, ThreadWriter, Writer
from batcher.model import Job, JobSpec, Lane, Mode, State
from batcher.ports import PlanSummary
from batcher.storage import sync_folder


class _DryRunDoneError(LedgerError):
    """Raised to undo the transaction of a dry run; carries its outcome."""

    def __init__(self, summary: PlanSummary) -> None:
        super().__init__("dry run")
        self.summary = summary


class SqliteLedger:
    """See the port `Ledger`.

    `path` None keeps it in memory, for a plan that is only looked at. With `threaded` False every call is done at once, where it is made: a loop on
    virtual time has no use for a thread that it cannot wait for.
    """

    def __init__(self, path: Path | None, *, threaded: bool = True) -> None:
        self._sql = statements()
        self._unsynced = None if path is None else path.absolute().parent
        self._counts = dict.fromkeys(State, 0)
        self.spent_usd = 0.0
        """What the rows of the batch cost so far, as far as known."""
        try:
            connection = _open(path)
            self._read_tallies(connection)
        except sqlite3.Error as error:
            raise LedgerError(
                f"{path}: the ledger cannot be opened: {error}", "If the file is damaged, keep it: it holds the ids of what was paid for."
            ) from error
        self._writer: Writer = (ThreadWriter if threaded else InlineWriter)(connection, self._after_commit)

    async def plan(self, items: Iterable[JobSpec | Problem], *, dry_run: bool = False) -> PlanSummary:
        """See the port."""

        def work(connection: sqlite3.Connection) -> PlanSummary:
            summary = PlanWriter(connection).plan(items)
            if dry_run:
                raise _DryRunDoneError(summary)
            return summary

        try:
            return await self._writer.do(work, alone=True)
        except _DryRunDoneError as done:
            return done.summary

    def counts(self) -> Mapping[State, int]:
        """See the port."""
        return self._counts

    async def claimable(self, lane: Lane, mode: Mode, limit: int, now: float, exclude: Collection[int]) -> list[Job]:
        """See the port."""
        if mode is Mode.STOP or limit <= 0:
            return []
        bounds = {"limit": limit + len(exclude), "now": now}
        if lane is Lane.DOWNLOAD:
            wanted = [("where_claimable", {**bounds, "state": State.PRODUCED})]
        else:
            wanted = [("where_cancellable" if mode is Mode.CANCEL else "where_submitted", {"limit": bounds["limit"]})]
            if mode is Mode.RUN:
                wanted.append(("where_claimable", {**bounds, "state": State.PLANNED}))

        def work(connection: sqlite3.Connection) -> list[Any]:
            rows: list[Any] = []
            for where, values in wanted:
                found = connection.execute(f"{self._sql['select_jobs']} {self._sql[where]}", values).fetchall()
                rows += [row for row in found if row["seq"] not in exclude][: limit - len(rows)]
            return rows

        return [job_from(row) for row in await self._writer.do(work)]

    async def next_due(self, lane: Lane, mode: Mode, now: float) -> float | None:
        """See the port."""
        if mode is Mode.STOP or (lane is Lane.REMOTE and mode is not Mode.RUN):
            return None
        state = State.PLANNED if lane is Lane.REMOTE else State.PRODUCED
        sql = self._sql["next_due"]
        due: float | None = await self._writer.do(lambda connection: connection.execute(sql, {"state": state, "now": now}).fetchone()[0])
        return due

    async def record(self, job: Job, event: Event, now: float) -> str | None:
        """See the port."""
        return await self._writer.do(functools.partial(self._record, job, event, now))

    def _record(self, job: Job, event: Event, now: float, connection: sqlite3.Connection) -> str | None:
        connection.execute(self._sql["update_job"], job_values(job))
        connection.execute(self._sql["insert_event"], (job.seq, now, *event_values(event)))
        if not isinstance(event, Accepted):
            return None
        other = connection.execute(self._sql["select_other_of_request"], (job.request_id, job.seq)).fetchone()
        return None if other is None else str(other[0])

    async def shared_requests(self) -> Mapping[str, Sequence[str]]:
        """See the port."""
        rows = await self._writer.do(lambda connection: connection.execute(self._sql["select_shared_requests"]).fetchall())
        shared: dict[str, list[str]] = {}
        for request_id, row_id in rows:
            shared.setdefault(request_id, []).append(row_id)
        return shared

    async def has_stem(self, stem: str) -> bool:
        """See the port."""
        sql = self._sql["has_stem"]
        return await self._writer.do(lambda connection: connection.execute(sql, (stem,)).fetchone() is not None)

    async def recover(self, now: float) -> list[Job]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Any]:
            connection.execute(self._sql["end_waits"])
            connection.execute(self._sql["forget_refused_cancels"])
            return connection.execute(f"{self._sql['select_jobs']} {self._sql['where_submitting']}").fetchall()

        return [job_from(row) for row in await self._writer.do(work)]

    async def add_requests(self, counts: Mapping[str, int]) -> None:
        """See the port."""
        rows = [(kind, n) for kind, n in counts.items() if n]
        await self._writer.do(lambda connection: connection.executemany(self._sql["add_requests"], rows).close())

    async def begin_run(self, now: float, pid: int, host: str) -> int:
        """Note that a process begins to run the batch; returns the run's number."""
        run = await self._writer.do(lambda connection: connection.execute(self._sql["begin_run"], (now, pid, host)).lastrowid)
        return run or 0

    async def end_run(self, run: int, now: float, exit_reason: str) -> None:
        """Note how a run ended."""
        await self._writer.do(lambda connection: connection.execute(self._sql["end_run"], (now, exit_reason, run)).close())

    async def put_meta(self, values: Mapping[str, object]) -> None:
        """Keep facts about the batch, each as JSON under its name."""
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()]
        await self._writer.do(lambda connection: connection.executemany(self._sql["put_meta"], rows).close())

    async def aclose(self) -> None:
        """See the port."""
        await self._writer.aclose()

    def _after_commit(self, connection: sqlite3.Connection) -> None:
        """The first commit makes the log beside the ledger. SQLite syncs its name, but does not mind where that fails."""
        if self._unsynced is not None:
            sync_folder(self._unsynced)
            self._unsynced = None
        self._read_tallies(connection)

    def _read_tallies(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(self._sql["select_tallies"]).fetchall()
        self._counts = {State(row[0]): row[1] for row in rows}
        self.spent_usd = sum(row[2] for row in rows)


def _open(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA busy_timeout = 10000")
        _check_ours(connection, path)
        journal = "DELETE" if path is not None and is_network(path) else "WAL"
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = 1")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_ours(connection: sqlite3.Connection, path: Path | None) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not empty and application_id != APPLICATION_ID:
        raise LedgerError(f"{path} is a SQLite file of some other program", "Choose another --out folder.")
    if version > len(migrations()):
        raise LedgerError(f"{path} was written by a newer version of batcher (schema {version})", "Upgrade batcher, or choose another --out folder.")


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(migrations()[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;")
    if path is not None:
        path.chmod(0o600)  # prompts and request ids are the owner's affair
