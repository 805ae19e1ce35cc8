"""The `Ledger` port on SQLite: WAL with `synchronous=FULL`, one writing thread.

With `synchronous=NORMAL` a power cut can leave a POST without its intent, so FULL it is; group commit makes it cheap. See https://sqlite.org/wal.html.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batcher.crashpoints import reach
from batcher.errors import LedgerError, OutputError, Problem, UsageError
from batcher.events import Accepted, Claimed, Event, Redo
from batcher.ledger.codec import event_values, job_from, job_values, review_values, spec_values
from batcher.ledger.faults import FULL_REMEDY, SALVAGE_REMEDY, SQLITE_ERRORS, ledger_error
from batcher.ledger.filesystem import is_network
from batcher.ledger.planning import PlanWriter
from batcher.ledger.reserve import Reserve
from batcher.ledger.soundness import CheckBeside, check_sound
from batcher.ledger.statements import APPLICATION_ID, migrations, statements
from batcher.ledger.wal import has_wal, refuse_damaged_wal, refuse_lone_wal
from batcher.ledger.writer import InlineWriter, ThreadWriter, Writer
from batcher.model import Job, JobSpec, Lane, Mode, Review, State
from batcher.ports import Facts, PlanSummary
from batcher.storage import sync_folder

WAL_NEEDED = "wal_needed"
"""A fact that is in the ledger's own file while a run may have written more to the WAL beside it: one without the other is not to be believed."""


class _DryRunDoneError(LedgerError):
    """Raised to undo the transaction of a dry run; carries its outcome."""

    def __init__(self, summary: PlanSummary) -> None:
        super().__init__("dry run")
        self.summary = summary


class SqliteLedger:
    """See the port `Ledger`.

    `path` None keeps it in memory, from a few megabytes on in a file without a name: for a plan that is only looked at. With `threaded` False every
    call is done at once, where it is made: a loop on virtual time has no use for a thread that it cannot wait for. With `is_sealed` nobody has
    touched the file since it was closed properly, so that it is checked beside what is done with it and not before.
    """

    def __init__(self, path: Path | None, *, threaded: bool = True, is_sealed: bool = False) -> None:
        self._sql = statements()
        self._unsynced = None if path is None else path.absolute().parent
        self._counts: Mapping[State, int]
        self._reserve = Reserve(path.parent) if path is not None else None
        self._checkpoint_due = False
        self.is_sealed = is_sealed
        self._check: CheckBeside | None = None
        self.is_sound = False
        """Whether all of it was checked, nothing wrong was found, and it was closed properly."""
        self.spent_usd: float
        """What the rows of the batch cost so far, as far as known."""
        self.lost_wal: bool
        """Whether the WAL of a killed run is not here, and with it the newest records."""
        had_wal = path is None or has_wal(path)
        if path is not None:
            refuse_lone_wal(path)
        try:
            connection = _open(path)
        except SQLITE_ERRORS as error:
            raise ledger_error(error, "opened", path) from error
        try:
            self._read_tallies(connection)
            if is_sealed and path is not None:
                self._check = CheckBeside(path)
            else:
                check_sound(connection, path)
            self.lost_wal = not had_wal and self._needs_wal(connection)
        except SQLITE_ERRORS as error:
            connection.close()
            raise ledger_error(error, "opened", path) from error
        except BaseException:
            connection.close()
            raise
        make_room = self._reserve.use if self._reserve is not None else lambda: False
        self._writer: Writer = (ThreadWriter if threaded else InlineWriter)(connection, self._committed, make_room)

    async def plan(self, items: Iterable[JobSpec | Problem], *, facts: Facts | None = None, dry_run: bool = False) -> PlanSummary:
        """See the port."""

        def work(connection: sqlite3.Connection) -> PlanSummary:
            summary = PlanWriter(connection).plan(items)
            if dry_run:
                raise _DryRunDoneError(summary)
            if facts is not None:
                counts = {State(state): rows for state, rows, _ in connection.execute(self._sql["select_tallies"])}
                self._put_meta(facts(counts), connection)
            return summary

        try:
            return await self._writer.do(work, name="" if dry_run else "plan", alone=True)
        except _DryRunDoneError as done:
            return done.summary

    def counts(self) -> Mapping[State, int]:
        """See the port."""
        return self._counts

    async def claimable(self, lane: Lane, mode: Mode, limit: int, now: float, exclude: Collection[int]) -> list[Job]:
        """See the port."""
        if mode is Mode.STOP:
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
        if isinstance(event, Claimed) and self._check is not None and (damage := self._check.damage) is not None:
            raise OutputError(damage.message, damage.remedy) from damage
        written, other = await self._writer.do(functools.partial(self._record, job, event, now), name=type(event).__name__)
        if not written:
            raise OutputError("the disk is full, or a quota used up: what room the ledger has left was kept for what is under way", FULL_REMEDY)
        return other

    def _record(self, job: Job, event: Event, now: float, connection: sqlite3.Connection) -> tuple[bool, str | None]:
        """Whether it was written, since no submit is begun on a disk that is full; and the other row with the request that was accepted."""
        if isinstance(event, Claimed):
            if self._reserve is not None and self._reserve.is_used:
                return False, None
            state = connection.execute(self._sql["select_state"], (job.seq,)).fetchone()
            if state is None or state[0] != State.PLANNED:  # an index that is damaged may bring a row that is not what it seems
                raise LedgerError(f"row {job.row_id} was to be submitted, but is {state[0] if state else 'not there'}", SALVAGE_REMEDY)
        connection.execute(self._sql["update_job"], job_values(job))
        connection.execute(self._sql["insert_event"], (job.seq, now, *event_values(event)))
        if not isinstance(event, Accepted):
            return True, None
        other = connection.execute(self._sql["select_other_of_request"], (job.request_id, job.seq)).fetchone()
        return True, None if other is None else str(other[0])

    async def redo(self, jobs: Sequence[tuple[Job, Redo]], now: float) -> None:
        """Keep rows as they are after `Redo`, with what their specs say by now: all of them, or none where one is not done any more.

        Raises `UsageError` then.
        """

        def work(connection: sqlite3.Connection) -> None:
            for job, event in jobs:
                found = connection.execute(self._sql["select_result"], (job.seq,)).fetchone()
                if found is None or tuple(found) != (State.DONE, job.request_id):
                    raise UsageError(f"row {job.row_id!r} was changed meanwhile", "Nothing was submitted. Look at it, then try again.")
                if event.revised:
                    connection.execute(self._sql["note_revision"], (job.seq,))
                    _, _, *columns = spec_values(job.spec)
                    connection.execute(self._sql["update_spec"], (*columns, job.seq))
                connection.execute(self._sql["update_job"], job_values(job))
                connection.execute(self._sql["insert_event"], (job.seq, now, *event_values(event)))

        await self._writer.do(work, name="Redo", alone=True)

    async def review(self, reviews: Mapping[int, Review | None]) -> None:
        """Keep what a person thinks of results, by the `seq` of their rows; None takes a mark away."""

        def work(connection: sqlite3.Connection) -> None:
            for seq, review in reviews.items():
                if review is None:
                    connection.execute(self._sql["forget_review"], (seq,))
                else:
                    connection.execute(self._sql["put_review"], review_values(seq, review))

        await self._writer.do(work, name="review", alone=True)

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

        return [job_from(row) for row in await self._writer.do(work, name="recover")]

    async def add_requests(self, counts: Mapping[str, int]) -> None:
        """See the port."""
        rows = [(kind, n) for kind, n in counts.items() if n]
        await self._writer.do(lambda connection: connection.executemany(self._sql["add_requests"], rows).close(), name="add_requests")

    async def begin_run(self, now: float, pid: int, host: str) -> int:
        """Note that a process begins to run the batch; returns the run's number. Raises `OutputError` where the disk has no room at all."""
        if self._reserve is not None:
            self._reserve.hold()

        def work(connection: sqlite3.Connection) -> int:
            run = connection.execute(self._sql["begin_run"], (now, pid, host)).lastrowid
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                connection.execute(self._sql["put_meta"], (WAL_NEEDED, "true"))
                self._checkpoint_due = True
            return run or 0

        return await self._writer.do(work, name="begin_run")

    async def end_run(self, run: int, now: float, exit_reason: str) -> None:
        """Note how a run ended."""
        await self._writer.do(lambda connection: connection.execute(self._sql["end_run"], (now, exit_reason, run)).close(), name="end_run")

    async def fact(self, name: str) -> Any:
        """See the port."""
        found = await self._writer.do(lambda connection: connection.execute(self._sql["select_fact"], (name,)).fetchone())
        try:
            return None if found is None else json.loads(found[0])
        except (ValueError, TypeError, RecursionError):
            return None

    async def put_meta(self, values: Mapping[str, object]) -> None:
        """See the port."""
        await self._writer.do(functools.partial(self._put_meta, values), name="put_meta")

    def _put_meta(self, values: Mapping[str, object], connection: sqlite3.Connection) -> None:
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()]
        connection.executemany(self._sql["put_meta"], rows).close()

    async def settle(self) -> None:
        """Wait for the check, where it is made beside. Raises `LedgerError` for a ledger that is damaged."""
        if self._check is not None:
            await self._check.wait()

    async def aclose(self) -> None:
        """See the port."""
        if self._check is not None:  # SQLite puts everything into one file only when it is closed by the last who has it open
            await self._check.abandon()
        with contextlib.suppress(LedgerError):  # it may be closed already, or have failed before: then the lock says that it was closed
            await self._writer.do(lambda connection: connection.execute(self._sql["forget_fact"], (WAL_NEEDED,)).close())
            self.is_sound = self._check is None or self._check.is_passed
        await self._writer.aclose()
        if self._reserve is not None:
            self._reserve.let_go()

    def _committed(self, connection: sqlite3.Connection) -> None:
        if self._unsynced is not None:  # the first commit makes the log beside the ledger: SQLite syncs its name, but does not mind where that fails
            sync_folder(self._unsynced)
            self._unsynced = None
        self._read_tallies(connection)
        if self._checkpoint_due:
            self._checkpoint_due = False
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _needs_wal(self, connection: sqlite3.Connection) -> bool:
        return connection.execute(self._sql["select_fact"], (WAL_NEEDED,)).fetchone() is not None

    def _read_tallies(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(self._sql["select_tallies"]).fetchall()
        try:
            self._counts = {State(row[0]): row[1] for row in rows}
        except ValueError as error:
            raise LedgerError(f"the ledger is damaged: {error}", SALVAGE_REMEDY) from error
        self.spent_usd = sum(row[2] for row in rows)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        with contextlib.suppress(OSError):  # SQLite says it better; what it makes beside the file gets the mode of the file
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        refuse_damaged_wal(path)
    connection = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA busy_timeout = 10000")
        _check_ours(connection, path)
        journal = "DELETE" if path is not None and is_network(path) else "WAL"
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = 1")
        connection.execute("PRAGMA foreign_keys = ON")
        reach("ledger.opened")
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
        reach("ledger.migrated")
    if path is not None:
        path.chmod(0o600)  # prompts and request ids are the owner's affair
