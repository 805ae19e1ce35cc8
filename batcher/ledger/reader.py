"""Reading a ledger beside whoever writes it: reports, `status`, and the choice of rows for a person's commands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batcher.errors import InputError, LedgerError
from batcher.ledger.codec import job_from
from batcher.ledger.faults import SALVAGE_REMEDY, SQLITE_ERRORS, ledger_error
from batcher.ledger.statements import APPLICATION_ID, migrations, statements
from batcher.ledger.wal import has_wal, refuse_lone_wal
from batcher.model import Job, Run, SameFiles, State

PAGE = 500

LATEST_OF = 100
"""So many rows at the end of the manifest are looked through for the latest failures."""


class LedgerReader:
    """See the port `LedgerView`. Opens `path` read-only.

    Raises `InputError` if there is no ledger, `LedgerError` if it cannot be read. A context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sql = statements()
        refuse_lone_wal(path)
        if not path.is_file():
            raise InputError(f"{path.parent}: no batch was run here (there is no {path.name})", "Name the folder that was given as --out.")
        self._connection = self._connect("mode=ro")
        try:
            if not has_wal(path) and not self._can_be_read():  # on a disk that is mounted read-only SQLite cannot make what it shares with writers
                self._connection.close()
                self._connection = self._connect("mode=ro&immutable=1")
            self._check_ours()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self, how: str) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA busy_timeout = 10000")
        except SQLITE_ERRORS as error:
            raise ledger_error(error, "read", self.path) from error
        return connection

    def _can_be_read(self) -> bool:
        try:
            self._connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            return getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CANTOPEN
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, however long it takes. Not so on a network disk, where it would keep the writer waiting."""
        if self._execute("PRAGMA journal_mode", ())[0][0] != "wal":
            yield
            return
        self._execute("BEGIN", ())
        try:
            yield
        finally:
            self._execute("COMMIT", ())

    def counts(self) -> dict[State, int]:
        """How many rows are in each state."""
        with self._decoding():
            return {State(state): rows for state, rows, _ in self._all("select_tallies")}

    def spent_usd(self) -> float:
        """What the rows cost so far, as far as known."""
        return float(sum(cost for _, _, cost in self._all("select_tallies")))

    def requests(self) -> dict[str, int]:
        """Calls made to the service, by kind."""
        return dict(self._all("select_requests"))

    def runs(self) -> list[Run]:
        """Each time that the batch was run, in order."""
        return [Run(*values) for _, *values in self._all("select_runs")]

    def meta(self) -> Mapping[str, Any]:
        """What the batch is: facts by name."""
        with self._decoding():
            return {key: json.loads(value) for key, value in self._all("select_meta")}

    def jobs(self, states: Collection[State] | None = None) -> Iterator[Job]:
        """The rows of the batch in manifest order, a page at a time; only those in `states` if given."""
        if states is None:
            yield from self._pages("where_page", {})
        else:
            yield from merge(*(self._pages("where_page_of_state", {"state": state}) for state in states), key=lambda job: job.position)

    def fact(self, name: str) -> Any:
        """What is kept under `name`, also where it is no fact about the batch; None where nothing is, or nothing that can be read."""
        found = self._execute(self._sql["select_fact"], (name,))
        try:
            return json.loads(found[0][0]) if found else None
        except (ValueError, TypeError, RecursionError):
            return None

    def at_service(self, limit: int) -> list[tuple[str, str, bool | None, float]]:
        """The requests at the service, those that were submitted first: row, model, whether it waits there as far as it was told, submitted when."""
        rows = self._execute(self._sql["select_at_service"], (limit,))
        return [(row_id, model, None if queued is None else bool(queued), submitted_at or 0.0) for row_id, model, queued, submitted_at in rows]

    def last_event_at(self) -> float | None:
        """When anything happened to a row last."""
        found = self._execute(self._sql["select_last_event"], ())
        return float(found[0][0]) if found else None

    def latest_failures(self, limit: int) -> list[Job]:
        """Rows that failed or are in doubt, the latest first. Of many, only the `LATEST_OF` last of the manifest are looked at."""
        found: list[Job] = []
        for state in (State.FAILED, State.IN_DOUBT):
            sql = f"{self._sql['select_jobs']} {self._sql['where_last_of_state']}"
            found += map(job_from, self._execute(sql, {"state": state, "limit": LATEST_OF}))
        return sorted(found, key=lambda job: job.ended_at or 0.0, reverse=True)[:limit]

    def _pages(self, where: str, values: Mapping[str, object]) -> Iterator[Job]:
        sql = f"{self._sql['select_jobs']} {self._sql[where]}"
        after = 0
        while page := self._execute(sql, {**values, "after": after, "limit": PAGE}):
            after = page[-1]["position"]
            yield from map(job_from, page)

    def jobs_after(self, position: int, limit: int) -> list[Job]:
        """At most `limit` rows of the batch, in manifest order, from behind that position on."""
        sql = f"{self._sql['select_jobs']} {self._sql['where_page']}"
        return [job_from(row) for row in self._execute(sql, {"after": position, "limit": limit})]

    def last_event(self) -> int:
        """The number of what was recorded last, in the order of time; 0 where nothing was."""
        return int(self._all("select_last_event")[0][0])

    def jobs_changed(self, event: int, limit: int) -> tuple[int, list[Job]]:
        """The rows to which something happened after that event, as they are now, and the last event that was looked at: of `limit` at most."""
        found = self._execute(self._sql["select_events_after"], (event, limit))
        seqs = json.dumps(sorted({seq for _, seq in found}))
        rows = self._execute(f"{self._sql['select_jobs']} {self._sql['where_among']}", {"seqs": seqs}) if found else []
        return (found[-1][0] if found else event), [job_from(row) for row in rows]

    def jobs_by_key(self) -> Iterator[Job]:
        """The rows of the batch in the order of their keys, a page at a time."""
        sql = f"{self._sql['select_jobs']} {self._sql['where_page_of_key']}"
        after = ""
        while page := self._execute(sql, {"after": after, "limit": PAGE}):
            after = page[-1]["key"]
            yield from map(job_from, page)

    def row(self, row_id: str) -> Job | None:
        """The row of that name, if the batch has one."""
        try:
            row_id.encode()
        except UnicodeEncodeError:  # half a character, as a terminal may send it: nothing in a ledger has it
            return None
        found = self._execute(f"{self._sql['select_jobs']} {self._sql['where_row']}", {"row_id": row_id})
        return job_from(found[0]) if found else None

    def row_of_request(self, request_id: str) -> str | None:
        """The row whose request that is, if it is one of the batch's. Looks at every row."""
        found = self._execute(self._sql["select_row_of_request"], (request_id,))
        return str(found[0][0]) if found else None

    def same_files(self, limit: int, examples: int) -> list[SameFiles]:
        """See the port."""
        groups: dict[str, tuple[int, list[str]]] = {}
        for sha256, rows, row_id in self._execute(self._sql["select_same_files"], {"limit": limit, "examples": examples}):
            groups.setdefault(sha256, (rows, []))[1].append(row_id)
        return [SameFiles(sha256, rows, tuple(names)) for sha256, (rows, names) in groups.items()]

    def saved_paths(self) -> Iterator[str]:
        """Where the files of all rows are, or were, those of dropped rows too."""
        after = 0
        while page := self._execute(self._sql["select_saved"], (after, PAGE)):
            after = page[-1]["seq"]
            with self._decoding():
                paths = [str(file["path"]) for row in page for file in json.loads(row["artifacts"])]
            yield from paths

    def contradictions(self) -> list[str]:
        """What the ledger says that cannot all be true; none in a ledger that is whole. Reads all of it."""
        found = [f"SQLite finds damage: {text}" for text, *_ in self._execute("PRAGMA integrity_check(20)", ()) if text != "ok"]
        tallied = {state: (rows, round(cost, 6)) for state, rows, cost in self._all("select_tallies") if rows}
        counted = {state: (rows, round(cost, 6)) for state, rows, cost in self._all("select_row_tallies")}
        if tallied != counted:
            found.append(f"the tallies do not add up: they say {tallied}, the rows {counted}")
        found += [f"row {row_id}: its request or its files are not recorded" for (row_id,) in self._all("select_bare")]
        found += [f"row {row_id}: its request is not the one that it was given" for (row_id,) in self._all("select_unexplained")]
        return found

    def events(self, seq: int) -> list[tuple[float, str, Mapping[str, Any]]]:
        """Everything that happened to a row: time, name of the event, its details."""
        rows = self._execute(self._sql["select_events"], (seq,))
        with self._decoding():
            return [(at, name, json.loads(detail) if detail else {}) for at, name, detail in rows]

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError) as error:
            raise LedgerError(f"{self.path}: the ledger is damaged: {error}", SALVAGE_REMEDY) from error

    def _check_ours(self) -> None:
        application_id = self._execute("PRAGMA application_id", ())[0][0]
        version = self._execute("PRAGMA user_version", ())[0][0]
        if application_id != APPLICATION_ID:
            raise LedgerError(f"{self.path} is a SQLite file of some other program", "Name the folder that was given as --out.")
        if version != len(migrations()):
            remedy = (
                "Upgrade batcher." if version > len(migrations()) else "Resume the batch with this version once: that brings its ledger up to date."
            )
            raise LedgerError(f"{self.path} was written by another version of batcher (schema {version}, not {len(migrations())})", remedy)

    def _all(self, statement: str) -> list[Any]:
        return self._execute(self._sql[statement], ())

    def _execute(self, sql: str, values: Mapping[str, object] | tuple[object, ...]) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except SQLITE_ERRORS as error:
            raise ledger_error(error, "read", self.path) from error
