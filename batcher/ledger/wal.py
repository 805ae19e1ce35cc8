"""Whether a WAL that a killed run left behind was damaged since: SQLite takes everything after a damaged frame for never written, and says nothing.

A power cut can only tear the last transaction, because each is synced before the next begins. A frame that cannot be believed with more than one
transaction behind it was damaged later, and those transactions may hold what was paid for. Format: https://sqlite.org/fileformat2.html#walformat.

The file is read before SQLite sees it: a connection that is closed takes what it believes into the ledger and removes the rest. Nor is the index
beside it looked at, which SQLite has open: on POSIX, closing a file ends all locks that the process has on it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from batcher.errors import LedgerError
from batcher.ledger.faults import SALVAGE_REMEDY

HEADER = struct.Struct(">8I")
FRAME = struct.Struct(">6I")
BYTE_ORDERS = {0x377F0682: "<", 0x377F0683: ">"}
"""Of the words that are summed, by what the file begins with."""
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
    """What is wrong with the WAL of a ledger that nobody writes; empty where nothing is. Blocks, about 0.1 ms a frame of 4 KB."""
    try:
        with ledger.with_name(f"{ledger.name}-wal").open("rb") as file:
            head = file.read(HEADER.size)
            if not head or not (any(head) or _has_bytes(file)):  # a power cut may leave a length whose bytes never came
                return ""
            order = BYTE_ORDERS.get(int.from_bytes(head[:4], "big"))
            if len(head) < HEADER.size or order is None or _sums(head[:24], order, (0, 0)) != struct.unpack(">2I", head[24:]):
                return "the header of its WAL is damaged"
            return _damage_of_frames(file, head, order)
    except OSError:
        return ""


def _damage_of_frames(file: BinaryIO, head: bytes, order: str) -> str:
    _, _, page_size, _, *salts, one, two = HEADER.unpack(head)
    sums: tuple[int, int] | None = (one, two)
    """Of all that came so far, as long as it is what was written."""
    number = believed = commits_after = 0
    while len(frame := file.read(FRAME.size)) == FRAME.size:
        number += 1
        _, size_after_commit, *frame_salts, one, two = FRAME.unpack(frame)
        if frame_salts != salts:  # of an earlier use of the file, or damaged itself
            sums = None
            file.seek(page_size, os.SEEK_CUR)
            continue
        if sums is not None and (sums := _sums(frame[:8] + file.read(page_size), order, sums)) == (one, two):
            believed = number if size_after_commit else believed
            continue
        if sums is None:
            file.seek(page_size, os.SEEK_CUR)
        sums = None
        if commits_after:
            return f"its WAL is damaged after {believed} of its records, and more follow"
        commits_after += size_after_commit > 0 and not _is_cut(HEADER.size + (number - 1) * (FRAME.size + page_size))
    return ""


def _is_cut(frame_at: int) -> bool:
    """Whether a sector ends before the salts of the frame there: torn, its salts are new and its mark of a commit of an earlier use of the file."""
    return (frame_at + SALTS_AT) % SECTOR_BYTES == 0


def _has_bytes(file: BinaryIO) -> bool:
    """Whether anything but zeros follows; reads to the end, or to the first of it."""
    return any(any(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))


def _sums(data: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    """The checksum of a WAL, which goes on from that of what comes before."""
    one, two = before
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data[: len(data) // 4 * 4]))
    for first, second in zip(words, words, strict=False):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
