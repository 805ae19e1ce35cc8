"""The ledger's SQL, read from the `.sql` files beside it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

APPLICATION_ID = 0x62746368
"""Marks a SQLite file as ours ("btch")."""


@functools.cache
def statements() -> Mapping[str, str]:
    """Every named statement of `queries.sql`."""
    text = _read("queries.sql")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return MappingProxyType({name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)})


@functools.cache
def migrations() -> tuple[str, ...]:
    """The scripts that bring an empty file to the newest schema, in order; the number of the last is the schema's version."""
    folder = resources.files(__package__) / "sql"
    names = sorted(entry.name for entry in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    return tuple(_read(name) for name in names)


def _read(name: str) -> str:
    return (resources.files(__package__) / "sql" / name).read_text(encoding="utf-8")
