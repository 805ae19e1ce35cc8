"""The output folder: ours alone for as long as it is worked on, with room on its disk, and a ledger that can be believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from batcher.crashpoints import reach
from batcher.errors import LedgerError, OutputError
from batcher.ledger import LEDGER, LedgerReader, Owner, Reserve, SqliteLedger, has_wal, is_another, is_network, place_of, seal_of
from batcher.model import State
from batcher.report import FILES
from batcher.storage import make_folder

SIMULATOR_STATE = ".simulator"
"""Where a simulated service keeps its requests, in the output folder."""

QUICKLY_CHECKED_BYTES = 64 * 1024**2
"""Up to this size, some 50,000 rows that are done, a ledger is checked in a third of a second: that is always done first."""

FLOOR_BYTES = 16 * 1024**2
FLOOR_INODES = 64
"""With less room than this nothing new is begun."""

TYPICAL_BYTES = 2 * 1024**2
"""What a result is taken to need while the batch has none to go by."""


@asynccontextmanager
async def open_folder(out: Path, *, create: bool, take_over: bool = False) -> AsyncIterator[SqliteLedger]:
    """The ledger of an output folder that is ours for as long as this lasts. What was made for a batch that could not be planned goes again."""
    path = out / LEDGER
    is_new, is_new_folder = not path.exists() or not path.stat().st_size, not out.exists()
    if is_new and not create:
        LedgerReader(path).close()  # says that there is none
    _check_folder(out, is_new=is_new)
    try:
        make_folder(out, mode=0o700)  # prompts, ids and pictures are the owner's affair
    except OSError as error:
        raise OutputError(f"{out}: cannot be made: {error.strerror}", "Choose an --out folder that can be written.") from error
    reach("folder.made")
    is_empty = False
    try:
        with Owner(out) as owner:
            reach("folder.owned")
            ledger = SqliteLedger(path, is_sealed=_is_sealed(path, owner))
            try:
                if ledger.lost_wal and not owner.found_closed and not take_over:
                    _refuse_lost_wal(path)
                yield ledger
                await ledger.settle()
            finally:
                is_empty = is_new and not sum(ledger.counts().values())
                await ledger.aclose()
                if not (out / f"{LEDGER}-wal").exists():
                    owner.close(seal_of(path) if ledger.is_sound else None)
    finally:
        if is_empty:
            with suppress(OSError):  # an empty ledger that stays does no harm, and what made the disk fail is said already
                for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal", Owner.FILE, Reserve.FILE):
                    (out / name).unlink(missing_ok=True)
                if is_new_folder:
                    out.rmdir()


def _is_sealed(ledger: Path, owner: Owner) -> bool:
    """Whether a large ledger is, by all that the system tells of files, just as its last owner left it. What a network disk tells may be old."""
    try:
        is_large = ledger.stat().st_size > QUICKLY_CHECKED_BYTES
        return is_large and owner.found_seal == seal_of(ledger) and not has_wal(ledger) and not is_network(ledger)
    except OSError:
        return False


def _check_folder(out: Path, *, is_new: bool) -> None:
    """Raises `OutputError` where a ledger must have been, or where something of ours is a link and would be written elsewhere."""
    for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal", Owner.FILE, Reserve.FILE, SIMULATOR_STATE):
        if (out / name).is_symlink():
            raise OutputError(
                f"{out / name} is a link: it would be written outside of the output folder", "Remove it, or choose another --out folder."
            )
        if (out / name).exists() and not (out / name).is_file() and name != SIMULATOR_STATE:
            raise OutputError(f"{out / name} is not a file", "Remove it, or choose another --out folder.")
    left = [name for name in (*FILES.values(), "results") if (out / name).exists()]
    if is_new and left:
        remedy = f"Without it nobody knows what was paid for. Put {LEDGER} back, or choose another --out folder."
        raise OutputError(f"{out} holds {left[0]} of an earlier batch, but not its ledger", remedy)


def _refuse_lost_wal(path: Path) -> None:
    message = f"{path} was copied without {path.name}-wal, or that was deleted: the newest records of a run that was killed are in it"
    remedy = (
        f"Put {path.name}-wal back beside it: without it rows that were paid for look as if they were not. If it is lost, --take-over goes on all "
        "the same, and what was submitted last is submitted again."
    )
    raise LedgerError(message, remedy)


def place_facts(out: Path) -> dict[str, Any]:
    """What the ledger keeps about where it is."""
    return {"place": place_of(out / LEDGER)}


def check_place(out: Path, reader: LedgerReader, meta: Mapping[str, Any], *, take_over: bool) -> str:
    """A notice where a batch was moved or copied after its last run; empty where it was not.

    Raises `OutputError` for a copy of a batch whose last run did not end: whoever ran it may still be at work, and both would submit the same rows.
    """
    runs = reader.runs()
    if not runs:
        return ""
    then = meta.get("place") or {"host": runs[-1].host}
    if not is_another(then, place_of(out / LEDGER), on_network=is_network(out / LEDGER)):
        return ""
    where = f"{then['path']} on {then['host']}" if "path" in then else then["host"]
    if runs[-1].ended_at is None and not take_over:
        message = f"{out} is a copy of a batch that was being run at {where}, and that run did not end"
        remedy = (
            "If it is still at work there, or will be resumed there, two runs submit the same rows and they are paid for twice: go on there. "
            "If this is the only copy from now on, add --take-over."
        )
        raise OutputError(message, remedy)
    if not any(n for state, n in reader.counts().items() if state.is_open):
        return ""
    return f"This batch was last run at {where}. If it is resumed there as well, what is open in both is paid for twice."


def check_room(out: Path, reader: LedgerReader) -> str:
    """A notice where the disk may become full before the batch is done; empty where it will not, as far as can be told.

    Raises `OutputError` where there is too little room to begin anything.
    """
    rows = reader.counts()[State.PLANNED]
    if not rows:
        return ""
    free, inodes = _free(out)
    if free < FLOOR_BYTES or inodes < FLOOR_INODES:
        what = f"only {_mb(free)} are free" if free < FLOOR_BYTES else f"only {inodes} more files can be made"
        raise OutputError(f"{out}: {what} on its disk", f"Nothing was submitted. Free at least {_mb(FLOOR_BYTES)}, or choose another --out folder.")
    needed = rows * _mean_bytes(reader)
    if needed <= free and rows <= inodes:
        return ""
    room = f"{_mb(free)} are free" if needed > free else f"{inodes} more files can be made"
    return f"The disk may become full: {rows} rows may need {_mb(needed)}, and {room}. Nothing is lost then: free some space and resume."


def _free(out: Path) -> tuple[int, float]:
    """Bytes and files that still fit on the disk of `out`."""
    if not hasattr(os, "statvfs"):
        return shutil.disk_usage(out).free, float("inf")
    facts = os.statvfs(out)
    return facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else float("inf")


def _mean_bytes(reader: LedgerReader) -> int:
    """What a row's results need, going by the first of those that are there."""
    sizes = []
    for job in reader.jobs([State.DONE]):
        sizes.append(sum(file.size_bytes for file in job.artifacts))
        if len(sizes) == 100:
            break
    return max(1, sum(sizes) // len(sizes)) if sizes else TYPICAL_BYTES


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"


__all__ = ["LEDGER", "SIMULATOR_STATE", "check_place", "check_room", "open_folder", "place_facts"]
