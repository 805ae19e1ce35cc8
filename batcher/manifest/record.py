"""What the readers make of a file: one record a row, before defaults, matrix and templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from batcher.errors import Problem
from batcher.model import Json, Row, Where


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that every record of a source shares, and where they stand."""

    names: frozenset[str]
    where: Where


@dataclass(slots=True)
class Record:
    """One row as its file gives it. `places` tells where each field stands, in formats that know more than the line."""

    where: Where
    fields: dict[str, Json]
    columns: Columns | None = None
    places: Mapping[str, Where] | None = None

    def name_place(self, name: str) -> Where:
        """Where the name of a field stands: in the header line of a file that has one."""
        return self.value_place(name) if self.columns is None else self.columns.where

    def value_place(self, name: str) -> Where:
        """Where the value of a field stands."""
        return self.places.get(name, self.where) if self.places else self.where


@dataclass(frozen=True, slots=True)
class ReadRow(Row):
    """A row that still knows the record it was made of, so that a fault found later gets its exact place."""

    record: Record | None = None


Source: TypeAlias = Callable[[], Iterator[Record | Problem]]
"""Begins to read the rows of a manifest from the first one."""
