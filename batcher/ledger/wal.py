"""Whether a WAL that a killed run left behind was damaged since: SQLite takes everything after a damaged frame for never written, and says nothing.

A power cut can only tear the last transaction, because each is synced before the next begins. A frame that cannot be believed with more than one
transaction behind it was damaged later, and those transactions may hold what was paid for. Format: https://sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from batcher.errors import LedgerError
from batcher.ledger.faults import SALVAGE_REMEDY

HEADER = struct.Struct(">8I")
FRAME = struct.Struct(">6I")
MAGIC = frozenset({0x377F0682, 0x377F0683})
MAX_FRAME_AT = 16
"""Where the index beside the WAL has the number of the last frame that SQLite believes. https://sqlite.org/walformat.html"""
SECTOR_BYTES = 512
"""The least that a disk writes at once."""
SALTS_AT = 8
"""Where the salts are in the header of a frame, behind the number of its page and the mark of a commit."""


def has_wal(ledger: Path) -> bool:
    """Whether there is a WAL with anything in it beside `ledger`."""
    try:
        return ledger.with_name(f"{ledger.name}-wal").stat().st_size > 0
    except OSError:
        return False


def refuse_lone_wal(ledger: Path) -> None:
    """Raises `LedgerError` where there is a WAL and the ledger that it belongs to is empty or gone: SQLite would remove it."""
    if has_wal(ledger) and not (ledger.is_file() and ledger.stat().st_size):
        raise LedgerError(f"{ledger} is empty or gone, but {ledger.name}-wal beside it is not: what was paid for is in that", SALVAGE_REMEDY)


def refuse_damaged_wal(ledger: Path) -> None:
    """Raises `LedgerError` where `wal_damage` finds any."""
    if damage := wal_damage(ledger):
        raise LedgerError(f"{ledger}: the ledger is damaged: {damage}", SALVAGE_REMEDY)


def wal_damage(ledger: Path) -> str:
    """What is wrong with the WAL of a ledger that was opened just now and not written to; empty where nothing is."""
    try:
        with ledger.with_name(f"{ledger.name}-wal").open("rb") as file:
            head = file.read(HEADER.size)
            believed = _believed(ledger.with_name(f"{ledger.name}-shm"))
            if not head or believed is None or not (any(head) or _has_bytes(file)):  # a power cut may leave a length whose bytes never came
                return ""
            if len(head) < HEADER.size or not _is_sound(head):
                return "the header of its WAL is damaged"
            _, _, page_size, _, *salts, _, _ = HEADER.unpack(head)
            commits_after, follows_a_commit, number = 0, False, 0
            while len(frame := file.read(FRAME.size)) == FRAME.size:
                number += 1
                _, size_after_commit, *frame_salts, _, _ = FRAME.unpack(frame)
                if number > believed and frame_salts == salts:  # others are of an earlier use of the file, or damaged themselves
                    follows_a_commit = commits_after > 0
                    commits_after += size_after_commit > 0 and not _is_cut(file.tell() - FRAME.size)
                if follows_a_commit:
                    return f"its WAL is damaged after {believed} of its records, and more follow"
                file.seek(page_size, 1)
    except OSError:
        return ""
    return ""


def _believed(index: Path) -> int | None:
    try:
        data = index.read_bytes()[: MAX_FRAME_AT + 4]
    except OSError:
        return None
    return int(struct.unpack_from("=I", data, MAX_FRAME_AT)[0]) if len(data) == MAX_FRAME_AT + 4 else None


def _is_cut(frame_at: int) -> bool:
    """Whether a sector ends before the salts of the frame there: torn, its salts are new and its mark of a commit of an earlier use of the file."""
    return (frame_at + SALTS_AT) % SECTOR_BYTES == 0


def _has_bytes(file: BinaryIO) -> bool:
    """Whether anything but zeros follows; reads to the end, or to the first of it."""
    return any(any(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))


def _is_sound(head: bytes) -> bool:
    magic = int.from_bytes(head[:4], "big")
    if magic not in MAGIC:
        return False
    words = struct.unpack(f"{'>' if magic & 1 else '<'}6I", head[:24])
    one = two = 0
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return (one, two) == struct.unpack(">2I", head[24:32])
