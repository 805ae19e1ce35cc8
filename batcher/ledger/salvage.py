"""Reading what can still be read of a damaged ledger, page by page and without SQLite, so that what was paid for can be found.

Only the leaves of tables are looked at (https://sqlite.org/fileformat2.html): each is complete in itself, whatever became of the pages above it, of
the schema, or of the file's header. Pages of the WAL count as well; later ones win. Where even a leaf cannot be read, request ids are looked for in
the plain bytes.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from batcher.errors import InputError, LedgerError, OutputError

PAGE_BYTES = 4096
"""The size of a page where the header does not tell: SQLite's own default, which is never changed here."""

WAL_HEADER_BYTES = 32
WAL_FRAME_BYTES = 24
TABLE_LEAF = b"\x0d"
MAX_BYTES = 4 * 1024**3

SPEC_COLUMNS, JOB_COLUMNS, EVENT_COLUMNS = 12, 26, 5
ROW_ID, MODEL, STEM, SOURCE = 2, 5, 7, 11
STATE, REQUEST_ID, ARTIFACTS, COST = 3, 7, 17, 18
_IDS = re.compile(rb'(?:Accepted|Adopt)\{"request_id":"([A-Za-z0-9_-]{1,128})"\}')


Finder: TypeAlias = Callable[[int], bytes]
"""Gives a page by its number, counted from 1; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How much was found: rows, request ids, and those of them of which nobody knows the row."""

    rows: int
    request_ids: int
    without_row: int


@dataclass(slots=True)
class _Rows:
    specs: dict[int, list[Any]] = field(default_factory=dict)
    jobs: dict[int, list[Any]] = field(default_factory=dict)
    named: dict[int, dict[str, None]] = field(default_factory=dict)


def salvage(ledger: Path, target: Path) -> Salvaged:
    """Write what is found to `target`, one JSON object a row: `row`, `state`, `request_ids`, newest last, `files`, and where it came from.

    The ledger is not changed. Raises `InputError` where there is none, `LedgerError` where it cannot be read at all, `OutputError` for `target`.
    """
    try:
        content, wal = (_read(path) for path in (ledger, ledger.with_name(f"{ledger.name}-wal")))
    except OSError as error:
        raise LedgerError(f"{ledger}: cannot be read: {error.strerror}", "Copy what can be read of it to another disk, and salvage that.") from error
    if not content and not wal:
        raise InputError(f"{ledger} does not exist, or is empty", "Name the folder that was given as --out.")
    rows = _Rows()
    for page, rest in _pages(content, wal):
        _take(page, rest, rows)
    loose = {match[1].decode() for data in (content, wal) for match in _IDS.finditer(data)}
    return _write(rows, loose, target)


def _read(path: Path) -> bytes:
    if not path.is_file():
        return b""
    if path.stat().st_size > MAX_BYTES:
        raise LedgerError(f"{path} is larger than {MAX_BYTES:,} bytes: that is no ledger")
    return path.read_bytes()


def _pages(content: bytes, wal: bytes) -> Iterator[tuple[bytes, Finder]]:
    """Every page with what finds another page of the same file by its number."""
    size = _page_size(content)

    def of_file(number: int) -> bytes:
        return content[(number - 1) * size : number * size]

    for start in range(0, len(content), size):
        yield content[start : start + size], of_file
    frames: dict[int, bytes] = {}
    for start in range(WAL_HEADER_BYTES, len(wal) - WAL_FRAME_BYTES - size + 1, WAL_FRAME_BYTES + size):
        number = int.from_bytes(wal[start : start + 4], "big")
        page = wal[start + WAL_FRAME_BYTES : start + WAL_FRAME_BYTES + size]
        frames[number] = page
        yield page, lambda number: frames.get(number) or of_file(number)


def _page_size(content: bytes) -> int:
    told = int.from_bytes(content[16:18], "big")
    return told if told >= 512 and told.bit_count() == 1 else PAGE_BYTES


def _take(page: bytes, find: Finder, rows: _Rows) -> None:
    """Note every row of ours that a page holds, if it is the leaf of a table. None of ours is on the first page, which begins otherwise."""
    if page[:1] != TABLE_LEAF:
        return
    cells = int.from_bytes(page[3:5], "big")
    places = page[8 : 8 + 2 * cells]
    for n in range(0, len(places), 2):
        place = int.from_bytes(places[n : n + 2], "big")
        try:
            rowid, values = _cell(page, place, find)
        except (IndexError, ValueError, OverflowError):
            continue
        _note(rowid, values, rows)


def _note(rowid: int, values: list[Any], rows: _Rows) -> None:
    if len(values) == JOB_COLUMNS:
        rows.jobs[rowid] = values
        if isinstance(values[REQUEST_ID], str):
            rows.named.setdefault(rowid, {})[values[REQUEST_ID]] = None
    elif len(values) == SPEC_COLUMNS:
        rows.specs[rowid] = values
    elif len(values) == EVENT_COLUMNS and isinstance(values[1], int) and (match := _IDS.fullmatch(f"{values[3]}{values[4]}".encode())):
        rows.named.setdefault(values[1], {})[match[1].decode()] = None


def _cell(page: bytes, place: int, find: Finder) -> tuple[int, list[Any]]:
    size, place = _varint(page, place)
    rowid, place = _varint(page, place)
    if size > len(page) * 4096:
        raise ValueError("no row of ours is so large")
    usable = len(page)
    most, least = usable - 35, (usable - 12) * 32 // 255 - 23
    local = size
    if size > most:
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
    beyond = int.from_bytes(page[place + local : place + local + 4], "big")
    return rowid, _record(page[place : place + local] + _overflow(beyond, size - local, find))


def _overflow(number: int, size: int, find: Finder) -> bytes:
    """The rest of a row, `size` bytes of it and what comes after them, or as much as there is; `number` is the first page of it."""
    found = bytearray()
    seen: set[int] = set()
    while len(found) < size and number not in seen:
        seen.add(number)
        page = find(number)
        number = int.from_bytes(page[:4], "big")
        found += page[4:]
    return bytes(found)


def _record(payload: bytes) -> list[Any]:
    header, place = _varint(payload, 0)
    kinds = []
    while place < header:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        length = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 10 else (kind - 12) // 2
        data = payload[place : place + length]
        if len(data) != length:  # as of the kinds 10 and 11, which there are not
            raise ValueError("no such value")
        place += length
        if kind == 0:
            values.append(None)
        elif kind < 7:
            values.append(int.from_bytes(data, "big", signed=True))
        elif kind == 7:
            values.append(struct.unpack(">d", data)[0])
        elif kind < 10:
            values.append(kind - 8)
        else:
            values.append(data.decode("utf-8", "replace") if kind % 2 else data)
    return values


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for end, byte in enumerate(data[place : place + 8], start=place + 1):
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, end
    return value << 8 | data[place + 8], place + 9


def _write(rows: _Rows, loose: set[str], target: Path) -> Salvaged:
    known = sorted(rows.specs.keys() | rows.jobs.keys() | rows.named.keys())
    homeless = sorted(loose - {request for named in rows.named.values() for request in named})
    try:
        with target.open("x", encoding="utf-8", newline="\n") as file:
            target.chmod(0o600)
            for seq in known:
                file.write(json.dumps(_line(seq, rows), default=repr) + "\n")  # bytes, where a text was damaged into them
            for request in homeless:
                file.write(json.dumps({"row": None, "request_ids": [request]}) + "\n")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}", "Name a file that does not exist yet, on a disk with room.") from error
    ids = {request for named in rows.named.values() for request in named}
    return Salvaged(len(known), len(ids | loose), len(homeless))


def _line(seq: int, rows: _Rows) -> dict[str, Any]:
    spec, job = rows.specs.get(seq), rows.jobs.get(seq)
    return {
        "row": spec[ROW_ID] if spec else None,
        "seq": seq,
        "state": job[STATE] if job else None,
        "request_ids": list(rows.named.get(seq, {})),
        "model": spec[MODEL] if spec else None,
        "stem": spec[STEM] if spec else None,
        "source": spec[SOURCE] if spec else None,
        "files": _json(job[ARTIFACTS]) if job else [],
        "cost_usd": job[COST] if job else None,
    }


def _json(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else []
    except ValueError:
        return []
