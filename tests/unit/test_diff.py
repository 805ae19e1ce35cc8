"""Two batches compared, row by row."""

from __future__ import annotations

import sqlite3
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.diff import EXAMPLES, Difference, _pairs, compare, percentiles
from batcher.errors import InputError
from batcher.events import Accepted, Cancelled, Claimed, Died, Event, Lost, Produced, Saved
from batcher.model import Artifact, Job
from tests.support.engine_world import make_spec
from tests.support.ledgers import NO, NOW, Book, anonymous

KINDS = ("new_failures", "mended", "new", "gone", "changed", "other_results")


def done(content: str, cost_usd: float | None = 0.08) -> list[Event]:
    return [
        Claimed(),
        Accepted(f"r{content}"),
        Produced(("https://x/a",), cost_usd),
        Saved((Artifact("results/a.png", content, 9, "image/png"),), 1.0),
    ]


FATES: dict[str, list[Event]] = {
    "open": [],
    "done": done("aa"),
    "other": done("bb", 0.10),
    "unpriced": done("aa", None),
    "failed": [Claimed(), Accepted("rf"), Died(NO)],
    "cancelled": [Claimed(), Accepted("rc"), Cancelled()],
    "doubt": [Claimed(), Lost(NO)],
}


async def batch(folder: Path, seconds: float = 2.0, **fates: str) -> Path:
    """Rows by name, each with its fate; a name in capitals asks for something else."""
    folder.mkdir()
    book = Book(folder / "ledger.db")
    names = {name.lower(): fate for name, fate in fates.items()}
    await book.plan(*(make_spec(name.lower(), **({"size": 2} if name.isupper() else {})) for name in fates), anonymous("twin"))
    for name, fate in names.items():
        for n, event in enumerate(FATES[fate]):
            await book.move(name, [event], now=NOW + (seconds if n == 2 else 0))
    await book.ledger.aclose()
    return folder


def told(found: Difference) -> dict[str, dict[str, str]]:
    return {kind: dict(getattr(found, kind).examples) for kind in KINDS if getattr(found, kind).rows}


async def test_what_differs_is_told_by_kind(tmp_path: Path) -> None:
    before = await batch(tmp_path / "a", a="done", b="done", c="failed", d="failed", e="done", f="done", g="open", h="done")
    after = await batch(tmp_path / "b", 3.0, a="done", b="failed", c="done", d="doubt", E="done", f="other", g="cancelled", i="failed")
    found = compare(before, after)
    assert told(found) == {
        "new_failures": {"b": "no", "g": "the request was cancelled", "i": "no"},
        "mended": {"c": ""},
        "new": {"i": ""},
        "gone": {"h": ""},
        "changed": {"e": "size"},
        "other_results": {"f": ""},
    }
    first, second = found.models["acme/paint"]
    assert [percentiles(side.costs) for side in (first, second)] == [[0.08, 0.08], [0.08, 0.1]]
    assert [percentiles(side.seconds) for side in (first, second)] == [[2.0, 2.0], [3.0, 3.0]]
    assert [(total.rows, total.done, total.failures) for total in found.totals] == [(9, 5, 2), (9, 4, 4)]


async def test_a_batch_does_not_differ_from_itself_and_is_not_written_to(tmp_path: Path) -> None:
    folder = await batch(tmp_path / "a", a="done", b="failed", c="unpriced", d="doubt")
    before = (folder / "ledger.db").read_bytes()
    found = compare(folder, folder)
    assert told(found) == {}
    assert (len(found.models["acme/paint"][0].costs), found.models["acme/paint"][0].rows) == (1, 2)
    assert (folder / "ledger.db").read_bytes() == before


async def test_only_the_first_rows_of_a_kind_are_named(tmp_path: Path) -> None:
    empty = await batch(tmp_path / "a")
    many = await batch(tmp_path / "b", **{f"n{n:03}": "open" for n in range(EXAMPLES + 7)})
    found = compare(empty, many)
    assert (found.new.rows, len(found.new.examples)) == (EXAMPLES + 7, EXAMPLES)


async def test_a_folder_without_a_batch(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        compare(await batch(tmp_path / "a"), tmp_path / "b")


@settings(deadline=None)
@given(st.sets(st.text(alphabet="ab:#é\uffee\U0001f600", max_size=4)), st.sets(st.text(alphabet="ab:#é\uffee\U0001f600", max_size=4)))
def test_rows_are_matched_in_the_order_in_which_sqlite_sorts(first: set[str], second: set[str]) -> None:
    connection = sqlite3.connect(":memory:")

    def ordered(keys: set[str]) -> list[Job]:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (key TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"id:{key}",) for key in keys])
        return [Job(1, make_spec(key.removeprefix("id:"))) for (key,) in connection.execute("SELECT key FROM t ORDER BY key")]

    pairs = [(before and before.row_id, after and after.row_id) for before, after in _pairs(iter(ordered(first)), iter(ordered(second)))]
    assert {before for before, _ in pairs if before is not None} == first
    assert {before for before, after in pairs if before == after} == first & second
    assert len(pairs) == len(first | second)


@pytest.mark.parametrize(("values", "found"), [([], None), ([1.0], [1.0, 1.0]), ([float(n) for n in range(1, 101)], [50.0, 95.0])])
def test_percentiles_are_values_that_were_measured(values: list[float], found: list[float] | None) -> None:
    assert percentiles(array("d", values)) == found
