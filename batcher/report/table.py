"""The rows of a batch as a table for spreadsheets: CSV, a row at a time, with nothing in it that a spreadsheet would calculate.

A cell that begins with `=`, `+`, `-`, `@`, a tab or the end of a line can be a formula to a spreadsheet, and prompts and answers come from anywhere.
Such a text gets an apostrophe before it, which spreadsheets take for "this is text". So does what follows a semicolon, a tab or the end of a line
inside of a cell, since where the separator is the semicolon a cell begins there. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from batcher.errors import OutputError
from batcher.report.models import FILES

MOST_COLUMNS: Final = 1000
"""Of inputs and axes: rows of a hostile manifest may each have a field of their own, and spreadsheets have an end."""

_FORMULA: Final = re.compile(r"(^|[;\t\r\n])(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])")

_DEFUSED: Final = re.compile(r"(^|[;\t\r\n])'(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])")

_FIXED: Final = (
    *("id", "row", "state", "job", "model", "request_id", "attempts", "cost_usd", "submitted_at", "queued_s", "running_s", "download_s"),
    *("failure_kind", "failure_message", "failure_remedy", "review", "review_note", "reviewed_at"),
    *("files", "file", "sha256", "size_bytes", "media_type", "width", "height", "source"),
)


def write_table(folder: Path, file: IO[str]) -> None:
    """Write the rows of `results.jsonl` in `folder` into `file`, each with a column for every input and axis of any row.

    `file` is a text file that translates no line ends. Raises `OSError`.
    """
    names: dict[tuple[str, str], None] = {}
    for row in _rows(folder):
        for group in ("axes", "inputs"):
            names.update(dict.fromkeys((group, name) for name in row[group]) if len(names) < MOST_COLUMNS else ())
    columns = sorted(names)[:MOST_COLUMNS]
    writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
    writer.writerow([*_FIXED, *(defused(f"{'axis' if group == 'axes' else 'input'}.{name}") for group, name in columns)])
    for row in _rows(folder):
        fixed = _fixed(row)
        writer.writerow([*(_cell(fixed.get(name)) for name in _FIXED), *(_cell(row[group].get(name)) for group, name in columns)])


def save_table(folder: Path, path: Path) -> None:
    """As `write_table`, into a file that takes the place of `path` when it is whole. Raises `OutputError`.

    It begins with a byte order mark: without one the spreadsheets that people have read every umlaut wrong, and programs that read CSV skip it.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)  # prompts and ids stand in it
        with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:
            write_table(folder, file)
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}", "Choose another place for the table.") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def defused(text: str) -> str:
    """A text that no spreadsheet takes for a formula, wherever it takes a cell to begin."""
    return _FORMULA.sub(r"\1'", text.replace("\0", ""))


def undefused(text: str) -> str:
    """The text that `defused` made safe."""
    return _DEFUSED.sub(r"\1", text)


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / FILES["results"]).open(encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


def _fixed(row: Mapping[str, Any]) -> dict[str, Any]:
    first = row["files"][0] if row["files"] else {}
    failure = {f"failure_{name}": value for name, value in (row["failure"] or {}).items()}
    mark = row.get("review") or {}
    review = {"review": mark.get("verdict"), "review_note": mark.get("note"), "reviewed_at": mark.get("at")}
    return {**row, **row["timings"], **failure, **review, **first, "files": len(row["files"]), "file": first.get("path")}


def _cell(value: object) -> object:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return defused(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
