"""A manifest, open: its head checked, its rows ready to be read as often as is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from batcher.errors import Problem
from batcher.manifest.expand import Expansion, Scope
from batcher.manifest.head import Axis, Head
from batcher.manifest.problems import Loc
from batcher.manifest.record import ReadRow, Record, Source
from batcher.manifest.sources import glob_rows
from batcher.model import Json, Row, Where
from batcher.template import names_in


@dataclass(frozen=True, slots=True)
class Origin:
    """What a manifest is made of, beside its head.

    `where` tells the place of a path into the head; `settings` win over the file; `rows` is where records come from, or the pattern of the files that
    are the rows; `input_folder` is the folder in which every file that the manifest names has to be, None if it may be anywhere.
    """

    where: Callable[[Loc], Where]
    settings: Mapping[str, Json]
    axes: tuple[Axis, ...]
    rows: Source | str
    input_folder: Path | None


class Manifest:
    """A batch as it was asked for. `source` names its file in messages; relative paths in it start from `base_dir`."""

    def __init__(self, head: Head, *, name: str, source: str, base_dir: Path, origin: Origin) -> None:
        self.head = head
        self.name = name
        self.source = source
        self.base_dir = base_dir
        self.input_folder = origin.input_folder
        self._origin = origin

    def rows(self, known_fields: frozenset[str] | None, media_field: str | None) -> Iterator[Row | Problem]:
        """Read the rows as a stream, from the first one at every call, with problems where they are met.

        `known_fields` are the names that the job's definition has; None where they are not known, so that every name counts as a field unless only
        templates use it. `media_field` takes the path where rows are a pattern of files. A row with a fault in one field comes too, after its
        problem, so that all of its faults are found in one go: rows are worth running only if there was no problem at all.
        """
        source = self._source(media_field)
        if isinstance(source, Problem):
            yield source
            return
        expansion = Expansion(self._scope, known_fields)
        yield from expansion.problems
        is_empty, is_whole = True, not expansion.problems
        for record in source():
            is_empty = False
            for each in (record,) if isinstance(record, Problem) else expansion.rows(record):
                is_whole = is_whole and not isinstance(each, Problem)
                yield each
        if is_empty:
            yield Problem(self.where("rows"), "there are no rows", hint="give at least one")
        elif is_whole:  # what could not be read may have used any name
            yield from expansion.idle_axes()

    def where(self, *loc: int | str) -> Where:
        """The place of a key of the head, or of the nearest thing above it that there is."""
        return self._origin.where(loc)

    def locate(self, row: Row, name: str) -> Where:
        """Where a field of a row was given: by a flag, in the row itself, in the matrix or in the defaults; where the row begins if by none."""
        if name in self._origin.settings:
            return self.where("defaults", name)
        if isinstance(row, ReadRow) and row.record is not None and name in row.record.fields:
            return row.record.value_place(name)
        if name in row.axes:
            return self.where("matrix", name)
        return self.where("defaults", name) if name in self.head.defaults else row.where

    def _source(self, media_field: str | None) -> Source | Problem:
        rows = self._origin.rows
        if not isinstance(rows, str):
            return rows
        image_fields = self.head.image_fields
        name = media_field or (image_fields[0] if len(image_fields) == 1 else None)
        if name is None:
            message = "this job has no one field that takes a file, so that rows cannot be a folder or a pattern of files"
            return Problem(self.where("rows"), message, field="rows", hint="list the rows, or name the field under image_fields")
        return glob_rows(rows, self.base_dir, name, self.where("rows"))

    @cached_property
    def _scope(self) -> Scope:
        return Scope(
            defaults=self.head.defaults,
            settings=self._origin.settings,
            axes=self._origin.axes,
            extra_fields=frozenset(self.head.extra_fields),
            output_name=self.head.output.name,
            where=self._origin.where,
            row_references=lambda: self._row_references,
        )

    @cached_property
    def _row_references(self) -> frozenset[str]:
        """The names to which templates in the rows refer."""
        if isinstance(self._origin.rows, str):
            return frozenset()
        found: set[str] = set()
        for record in self._origin.rows():
            if isinstance(record, Record):
                for value in record.fields.values():
                    if "{" in value if isinstance(value, str) else isinstance(value, (list, dict)):
                        found |= names_in(value)
        return frozenset(found)
