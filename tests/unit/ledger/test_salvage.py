"""What is read without SQLite is what SQLite wrote."""

from __future__ import annotations

import importlib
import json
import shutil
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from batcher.errors import LedgerError
from batcher.events import Accepted, Adopt, Claimed, Lost
from batcher.ledger import salvage
from batcher.model import State
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE, NO, TO_STATE, Book

pytestmark = pytest.mark.fault("B6")

module = importlib.import_module("batcher.ledger.salvage")

VALUES: list[Any] = [
    None, 0, 1, 2, -1, 127, -128, 128, -32_768, 32_768, -(2**23), 2**23, -(2**31), 2**31, -(2**47), 2**47, -(2**63), 2**63 - 1, 0.5, -1e300,
    "", "é", "x" * 57, "x" * 58, "y" * 300, "y" * 20_000, b"", b"\xff\x00", b"z" * 5000,
]  # fmt: skip
"""At least one of every kind that a record can hold, at the edges of their lengths."""


def read(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Any]]:
    """Every record that is found, by its number; of two with one number the later."""
    found: dict[int, list[Any]] = {}
    monkeypatch.setattr(module, "_note", lambda rowid, values, rows: found.update({rowid: values}))
    salvage(path, path.with_name("found.jsonl"))
    return found


@pytest.mark.parametrize("page_bytes", [512, 1024, 2048, 4096, 8192, 16384, 32768])
@pytest.mark.parametrize("place", ["file", "wal"])
def test_every_kind_of_value_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page_bytes: int, place: str) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_bytes}")
    connection.execute(f"PRAGMA journal_mode = {'WAL' if place == 'wal' else 'DELETE'}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE things (one, two, three)")
    for n, value in enumerate(VALUES):
        connection.execute("INSERT INTO things (rowid, one, two, three) VALUES (?, ?, ?, ?)", (1 << 2 * n, value, n, VALUES[-n - 1]))
    connection.execute("COMMIT")
    shutil.copytree(tmp_path, tmp_path / "copy")
    connection.close()
    found = read(tmp_path / "copy" / "ledger.db", monkeypatch)
    for n, value in enumerate(VALUES):
        assert found[1 << 2 * n] == [value, n, VALUES[-n - 1]]


@pytest.mark.parametrize("length", [*range(465, 485), *range(970, 990), *range(1480, 1510)])
def test_wherever_a_record_begins_to_need_more_than_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 512")
    connection.execute("CREATE TABLE things (one)")
    connection.execute("INSERT INTO things VALUES (?)", ("x" * length,))
    connection.commit()
    connection.close()
    assert read(path, monkeypatch)[1] == ["x" * length]


def test_a_record_that_begins_in_the_wal_and_ends_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size = 512")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE things (one)")
    connection.execute("INSERT INTO things VALUES (?)", ("x" * 3000,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO things VALUES ('y')")
    shutil.copytree(tmp_path, tmp_path / "copy")
    connection.close()
    copy = tmp_path / "copy" / "ledger.db"
    content = copy.read_bytes()
    assert content[512:513] == module.TABLE_LEAF
    copy.write_bytes(content[:512] + bytes(512) + content[1024:])
    assert read(copy, monkeypatch) == {1: ["x" * 3000], 2: ["y"]}


def test_a_page_that_is_not_of_a_table_is_not_read_as_if_it_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE things (one)")
        connection.execute("INSERT INTO things VALUES ('x')")
    connection.close()
    assert read(path, monkeypatch) == {1: ["x"]}
    (tmp_path / "found.jsonl").unlink()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x0a" + content[4097:])
    assert read(path, monkeypatch) == {}


def test_a_value_that_was_damaged_into_another_kind_keeps_nothing_else_from_being_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    spec = {module.ROW_ID: b"a", module.MODEL: b"acme"}
    job = {module.STATE: b"submitted", module.REQUEST_ID: "req-1", module.ARTIFACTS: 7, module.COST: "dear"}
    with sqlite3.connect(path) as connection:
        for columns, values in ((module.SPEC_COLUMNS, spec), (module.JOB_COLUMNS, job)):
            connection.execute(f"CREATE TABLE of_{columns} ({', '.join(f'c{n}' for n in range(columns))})")
            connection.execute(f"INSERT INTO of_{columns} VALUES ({', '.join('?' * columns)})", [values.get(n) for n in range(columns)])
    connection.close()
    assert salvage(path, tmp_path / "found.jsonl").request_ids == 1
    (line,) = lines_of(tmp_path / "found.jsonl")
    assert (line["row"], line["request_ids"], line["model"], line["state"]) == ("b'a'", ["req-1"], "b'acme'", "b'submitted'")
    assert (line["files"], line["cost_usd"]) == ([], "dear")


async def make(folder: Path) -> Path:
    book = Book(folder / "ledger.db")
    await book.plan(make_spec("a", scene="x" * 9000), make_spec("b"), make_spec("c"), make_spec("d"))
    await book.move("a", TO_STATE[State.DONE])
    await book.move("b", [Claimed(), Lost(NO), Adopt("req-2")])
    await book.move("c", [Claimed(), Accepted("req-3")])
    await book.ledger.aclose()
    return folder / "ledger.db"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def without(tmp_path: Path, table: str) -> list[dict[str, Any]]:
    """What is found in a ledger that has lost one of its tables with all its pages."""
    path = await make(tmp_path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"DROP TABLE {table}")
    connection.execute("VACUUM")
    connection.close()
    salvage(path, tmp_path / "found.jsonl")
    return lines_of(tmp_path / "found.jsonl")


async def test_everything_that_is_known_of_a_row_is_told(tmp_path: Path) -> None:
    path = await make(tmp_path)
    found = salvage(path, tmp_path / "found.jsonl")
    a, b, c, d = lines_of(tmp_path / "found.jsonl")
    assert a == {
        "row": "a", "seq": 1, "state": "done", "request_ids": ["req-1"], "model": "acme/paint", "stem": "a", "source": "rows.csv:2",
        "files": [asdict(FILE)], "cost_usd": 0.08,
    }  # fmt: skip
    assert (b["state"], b["request_ids"], c["state"], c["request_ids"]) == ("submitted", ["req-2"], "submitted", ["req-3"])
    assert (d["row"], d["state"], d["request_ids"], d["files"], d["cost_usd"]) == ("d", "planned", [], [], None)
    assert (found.rows, found.request_ids, found.without_row) == (4, 3, 0)


async def test_request_ids_are_found_without_the_events(tmp_path: Path) -> None:
    assert [line["request_ids"] for line in await without(tmp_path, "events")] == [["req-1"], ["req-2"], ["req-3"], []]


async def test_request_ids_are_found_without_the_rows_that_they_are_of(tmp_path: Path) -> None:
    lines = await without(tmp_path, "jobs")
    assert [(line["row"], line["request_ids"]) for line in lines] == [("a", ["req-1"]), ("b", ["req-2"]), ("c", ["req-3"]), ("d", [])]
    assert all((line["state"], line["files"], line["cost_usd"]) == (None, [], None) for line in lines)


async def test_request_ids_are_found_where_nothing_says_what_was_asked_for(tmp_path: Path) -> None:
    lines = await without(tmp_path, "specs")
    assert [(line["seq"], line["request_ids"]) for line in lines] == [(1, ["req-1"]), (2, ["req-2"]), (3, ["req-3"]), (4, [])]
    assert all((line["row"], line["model"], line["stem"], line["source"]) == (None,) * 4 for line in lines)


async def test_a_cell_that_leads_nowhere_costs_only_its_own_row(tmp_path: Path) -> None:
    path = await make(tmp_path)
    whole = path.read_bytes()
    page = whole.index(b"rows.csv:2") // 4096 * 4096
    assert whole[page] == 0x0D
    for n in range(2):
        for place in (b"\xff\xff", b"\x0f\xff", b"\x00\x00"):
            path.write_bytes(whole[: page + 8 + 2 * n] + place + whole[page + 10 + 2 * n :])
            (tmp_path / "found.jsonl").unlink(missing_ok=True)
            assert salvage(path, tmp_path / "found.jsonl").request_ids == 3
            assert sum(line["row"] is None for line in lines_of(tmp_path / "found.jsonl")) == 1


@pytest.mark.parametrize("page_bytes", [0, 1, 256, 4097, 0xFFFF])
async def test_a_header_that_tells_a_size_that_no_page_has_is_not_believed(tmp_path: Path, page_bytes: int) -> None:
    path = await make(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:16] + page_bytes.to_bytes(2, "big") + content[18:])
    assert salvage(path, tmp_path / "found.jsonl").request_ids == 3
    assert [line["row"] for line in lines_of(tmp_path / "found.jsonl")] == ["a", "b", "c", "d"]


def test_a_file_that_is_far_too_large_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with path.open("wb") as file:
        file.truncate(module.MAX_BYTES + 1)
    with pytest.raises(LedgerError, match="that is no ledger"):
        salvage(path, tmp_path / "found.jsonl")
    assert not (tmp_path / "found.jsonl").exists()


def test_pages_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    loop = (2).to_bytes(4, "big") + bytes(508)
    assert module._overflow(2, 10_000, lambda number: loop) == bytes(508)
    assert module._overflow(2, 10_000, lambda number: b"") == b""
