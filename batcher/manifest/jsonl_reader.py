"""Rows from JSON Lines: an object a line, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from batcher.errors import ManifestError, Problem
from batcher.manifest.lines import text_lines
from batcher.manifest.problems import shown_value
from batcher.manifest.record import Record
from batcher.manifest.strict_json import JsonError, decode
from batcher.model import Where


def read_jsonl(stream: BinaryIO, file: str) -> Iterator[Record | Problem]:
    """The rows of a JSON Lines file in UTF-8; blank lines are left out."""
    try:
        for n, line in enumerate(text_lines(stream, file), 1):
            if text := line.rstrip():
                yield _row(text, file, n)
    except ManifestError as error:
        yield from error.problems


def _row(text: str, file: str, line: int) -> Record | Problem:
    try:
        value = decode(text)
    except JsonError as error:
        hint = "each line is one whole JSON object" if text in ("[", "{") else ""
        return Problem(Where(file, line, error.column), error.message, hint=hint)
    if not isinstance(value, dict):
        return Problem(Where(file, line), f"expected a JSON object; found {shown_value(value)}", hint="each line is one whole JSON object")
    return Record(Where(file, line), value)
