"""What SQLite's errors mean for a person: what happened, and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from batcher.errors import LedgerError

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What `sqlite3` raises: the second where the text of an error quotes a damaged schema."""

SALVAGE_REMEDY = (
    "Nothing more is submitted. Keep the file, it holds the ids of what was paid for: `batcher verify DIR --salvage FILE` reads out what can be "
    "read. If you have a copy of the folder from after its last run, go on from that."
)

FULL_REMEDY = "Free some space there, then `batcher resume DIR`: what is paid for is collected."

_WORDS = {
    sqlite3.SQLITE_FULL: ("the disk is full", FULL_REMEDY),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", SALVAGE_REMEDY),
    sqlite3.SQLITE_NOTADB: ("it is damaged, or not a ledger", SALVAGE_REMEDY),
    sqlite3.SQLITE_CANTOPEN: (
        "it is not there, or its folder may not be written",
        "Check that the folder exists, that the disk is mounted for writing and that you have permission. Keep it: it knows what was paid.",
    ),
    sqlite3.SQLITE_READONLY: (
        "it, its folder or its disk may only be read",
        "Give yourself permission to write the folder and what is in it, or mount the disk for writing; then run the same command again.",
    ),
    sqlite3.SQLITE_PERM: ("you may not write it", "Give yourself permission to write the folder and what is in it."),
    sqlite3.SQLITE_IOERR: (
        "the disk reports a fault, or a quota or limit (ulimit -f) is used up",
        "Nothing more is submitted. Check the disk, then `batcher resume DIR`: what is paid for is collected.",
    ),
    sqlite3.SQLITE_BUSY: ("another program holds it", "Close what has it open, then run the same command again."),
    sqlite3.SQLITE_LOCKED: ("another program holds it", "Close what has it open, then run the same command again."),
}
KEEP_REMEDY = "Nothing more is submitted. If the disk is full, make room and resume; keep the ledger, it holds the ids of what was paid for."


def ledger_error(error: BaseException, what: str, path: Path | None = None) -> LedgerError:
    """The error of ours for one of SQLite, or for anything else that went wrong while it was at work. `what` could not be done."""
    words, remedy = _WORDS.get(_primary_code(error), ("", KEEP_REMEDY))
    place = f"{path}: " if path is not None else ""
    return LedgerError(f"{place}the ledger cannot be {what}: {f'{words} ({error})' if words else error}", remedy)


def may_be_full(error: BaseException) -> bool:
    """Whether the disk has no room left, or a quota on it may be used up: of that SQLite says no more than that a write failed."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


def _primary_code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else -1
