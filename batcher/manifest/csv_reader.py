"""Rows from CSV: a header line, then a record a row, read as a stream."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from batcher.errors import ManifestError, Problem
from batcher.manifest.lines import text_lines
from batcher.manifest.problems import shortened
from batcher.manifest.record import Columns, Record
from batcher.manifest.strict_json import JsonError, decode
from batcher.model import Json, Where

CELL_LIMIT = 2**20
"""The longest cell, in characters."""

DELIMITERS = ",;\t"


def read_csv(stream: BinaryIO, file: str) -> Iterator[Record | Problem]:
    """The rows of a CSV file in UTF-8, separated by comma, semicolon or tab as the header line shows. An empty cell is a field that is not given."""
    try:
        yield from _read(text_lines(stream, file), file)
    except ManifestError as error:
        yield from error.problems


def cell(text: str) -> Json:
    """The value of a cell: the list or object that it holds as JSON, else its text."""
    if text[:1] in ("[", "{"):
        try:
            return decode(text)
        except JsonError:
            return text
    return text


def _read(lines: Iterator[str], file: str) -> Iterator[Record | Problem]:
    skipped, first = _first_line(lines)
    if first is None:
        yield Problem(Where(file), "the file is empty", hint="a CSV file begins with a line of column names")
        return
    if csv.field_size_limit() < CELL_LIMIT:  # the limit is the process's own: never lower what somebody else may need
        csv.field_size_limit(CELL_LIMIT)
    records = _records(chain([first], lines), _delimiter(first), file, skipped)
    header = next(records)
    if isinstance(header, Problem):
        yield header
        return
    where, names = header
    columns = [name.strip() for name in names]
    if problems := _column_problems(columns, where):
        yield from problems
        return
    yield from _rows(records, columns, where)


def _first_line(lines: Iterator[str]) -> tuple[int, str | None]:
    for skipped, line in enumerate(lines):
        if line.strip():
            return skipped, line
    return 0, None


def _delimiter(header: str) -> str:
    unquoted = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count)


def _records(lines: Iterator[str], delimiter: str, file: str, skipped: int) -> Iterator[tuple[Where, list[str]] | Problem]:
    """Every record with the place where it starts, or what is wrong with it; empty lines are left out. `skipped` lines were read before."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        where = Where(file, reader.line_num + skipped + 1)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem, is_last = _syntax_problem(str(error), where)
            yield problem
            if is_last:
                return
        else:
            if cells:
                yield where, cells


def _syntax_problem(message: str, where: Where) -> tuple[Problem, bool]:
    """An error of the csv module in plain words, and whether nothing after it can be read."""
    if "field limit" in message:
        text = f"a cell is longer than {CELL_LIMIT:,} characters, or its closing quote is missing; the rest of the file was not read"
        return Problem(where, text, hint="give large inputs as files, not as text"), True
    if "unexpected end" in message:
        return Problem(where, 'a quote (") that opens in this row is never closed', hint='inside quotes, write "" for a quote'), True
    if "new-line character" in message:
        return Problem(where, "the line ends in a lone carriage return", hint="save the file with LF or CRLF line ends"), True
    if "expected after" in message:
        return Problem(where, "text follows a closing quote", hint='inside quotes, write "" for a quote'), False
    return Problem(where, f"not valid CSV: {message}"), False


def _column_problems(columns: Sequence[str], where: Where) -> list[Problem]:
    problems = [Problem(where, f"column {n} has no name", hint="name it or remove it") for n, name in enumerate(columns, 1) if not name]
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    return problems + [Problem(where, "the column name stands twice", field=shortened(name), hint="rename or remove one of them") for name in twice]


def _rows(records: Iterator[tuple[Where, list[str]] | Problem], columns: Sequence[str], header: Where) -> Iterator[Record | Problem]:
    shared = Columns(frozenset(columns), header)
    width = len(columns)
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        where, cells = record
        fields: dict[str, Json] = {
            name: cell(text) if text[0] in "[{" else text for name, text in zip(columns, cells, strict=False) if text and not text.isspace()
        }
        if not fields:
            continue
        if len(cells) != width:
            message = f"expected {width} {'cell' if width == 1 else 'cells'}, as in the header; found {len(cells)}"
            yield Problem(where, message, hint="put quotes round a cell that holds the separator or a line break")
            continue
        yield Record(where, fields, shared)
