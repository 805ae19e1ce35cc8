"""Whether a ledger can be believed: what SQLite finds in it, and its tallies against its rows.

Nothing is spent on the word of a ledger that is damaged. The check reads all of it, which takes 6 s for a million rows with their history, and comes
before anything else; save for a file that was closed properly and that nobody has touched since, by the seal that its last owner left. That one is
checked beside the run: submits begin at once, and end with the first damage that is found.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

from batcher.errors import LedgerError
from batcher.ledger.faults import SALVAGE_REMEDY, SQLITE_ERRORS, ledger_error
from batcher.ledger.statements import statements

STEPS = 1_000_000
"""After so many of its own steps SQLite asks whether the check is still wanted: some times a second."""


def seal_of(ledger: Path) -> list[int]:
    """What another content, another file or another time of writing would change: inode, size, and when content and inode were last altered."""
    facts = ledger.stat()
    return [facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def check_sound(connection: sqlite3.Connection, path: Path | None) -> None:
    """Raises `LedgerError` for a ledger that is damaged."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise LedgerError(f"{path}: the ledger is damaged: {'; '.join(found)}", SALVAGE_REMEDY)
    sql = statements()
    tallied = {row[0]: row[1] for row in connection.execute(sql["select_tallies"]) if row[1]}
    counted = {row[0]: row[1] for row in connection.execute(sql["select_row_tallies"])}
    if tallied != counted:
        raise LedgerError(f"{path}: the ledger is damaged: its tallies say {tallied}, its rows {counted}", SALVAGE_REMEDY)


class CheckBeside:
    """Checks a ledger in a thread and on a connection of its own, as it is at one moment, while others read and write it."""

    def __init__(self, path: Path) -> None:
        self.damage: LedgerError | None = None
        """What was found, as soon as it was."""
        self.is_passed = False
        self._path = path
        self._is_wanted = True
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        self._thread = threading.Thread(target=self._run, name="ledger check", daemon=True)
        self._thread.start()

    async def wait(self) -> None:
        """Until it is done. Raises `LedgerError` for a ledger that is damaged."""
        await asyncio.to_thread(self._thread.join)
        if self.damage is not None:
            raise self.damage

    async def abandon(self) -> None:
        """Let go of the file, whatever was found so far."""
        self._is_wanted = False
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            self._connection.set_progress_handler(lambda: not self._is_wanted, STEPS)
            self._connection.execute("BEGIN")
            check_sound(self._connection, self._path)
            self.is_passed = True
        except LedgerError as error:
            self.damage = error
        except SQLITE_ERRORS as error:
            if self._is_wanted:
                self.damage = ledger_error(error, "read", self._path)
        finally:
            self._connection.close()
