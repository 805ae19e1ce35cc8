"""What is planned does not depend on how many rows are taken at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.errors import ManifestError, Problem
from batcher.ledger import planning
from batcher.model import Job, JobSpec, State, Where
from batcher.ports import PlanSummary
from tests.support.engine_world import make_spec
from tests.support.ledgers import TO_STATE, Book, anonymous

Item = JobSpec | Problem
Outcome = tuple[PlanSummary | list[Problem], list[Job], list[Job]]

SPECS = st.one_of(
    st.builds(lambda name, size: make_spec(name, size=size), st.sampled_from("abcd"), st.integers(1, 2)),
    st.builds(anonymous, st.sampled_from("xy")),
    st.builds(lambda name, stem: replace(make_spec(name), stem=stem), st.sampled_from("efgh"), st.sampled_from(["one", "ONE", "two"])),
)
ITEMS = st.lists(SPECS | st.builds(Problem, st.just(Where("rows.csv", 7)), st.sampled_from(["odd", "gone"])), max_size=12)


async def outcome(chunk: int, first: list[Item], second: list[Item]) -> Outcome:
    """What comes of planning one manifest, of a submit, and of planning another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "CHUNK", chunk)
        book = Book(None)
        try:
            result = await attempt(book, first)
            before = await book.rows()
            if before:
                await book.move(before[0].row_id, TO_STATE[State.SUBMITTED])
                result = await attempt(book, second)
            await book.tallies_match_the_rows()
            return result, before, await book.rows()
        finally:
            await book.ledger.aclose()


async def attempt(book: Book, items: list[Item]) -> PlanSummary | list[Problem]:
    try:
        return await book.plan(*items)
    except ManifestError as error:
        return list(error.problems)


@settings(max_examples=30)
@given(first=ITEMS, second=ITEMS)
def test_rows_are_planned_alike_one_by_one_and_all_at_once(first: list[Item], second: list[Item]) -> None:
    one_by_one = asyncio.run(outcome(1, first, second))
    for chunk in (3, 100):
        assert asyncio.run(outcome(chunk, first, second)) == one_by_one


async def test_a_first_plan_leaves_every_index_and_trigger_as_it_was() -> None:
    book = Book(None)

    def schema() -> set[tuple[str, str, str]]:
        rows = book.ledger._writer._transactions.connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {tuple(row) for row in rows}

    before = schema()
    await book.plan(*(make_spec(f"r{n}") for n in range(5)))
    assert schema() == before
    await book.tallies_match_the_rows()
    await book.ledger.aclose()
