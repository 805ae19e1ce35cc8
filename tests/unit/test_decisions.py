from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from batcher.app import Decide
from batcher.clock import LoopClock
from batcher.decisions import RedoPlan, adopt_requests, all_of, plan_redo, redo, resolve_doubt, retry_ended
from batcher.discovery import Definitions
from batcher.errors import ReviewError, UsageError
from batcher.events import Accepted, Cancelled, Claimed, Died, Lost, Produced, Redo, Saved
from batcher.ledger import LedgerReader
from batcher.model import Failure, FailureKind, Review, State, Verdict
from batcher.plan import fingerprint
from batcher.revising import Reviser
from batcher.settings import RunSettings
from batcher.storage import LocalStorage
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE, NO, TO_STATE, Book

STALLED = Failure(FailureKind.STALLED, "too long")
ENDED = (State.FAILED, State.CANCELLED)


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    """Rows that ended in every way."""
    book = Book(tmp_path / "ledger.db")
    await book.plan(*(make_spec(name) for name in ("new", "done", "failed", "stalled", "cancelled", "doubt1", "doubt2")))
    await book.move("done", TO_STATE[State.DONE])
    await book.move("failed", (Claimed(), Accepted("r-failed"), Died(NO, cost_usd=0.08)))
    await book.move("stalled", (Claimed(), Accepted("r-stalled"), Died(STALLED)))
    await book.move("cancelled", (Claimed(), Accepted("r-cancelled"), Cancelled()))
    await book.move("doubt1", (Claimed(), Lost(NO)))
    await book.move("doubt2", (Claimed(), Lost(NO)))
    yield book
    await book.ledger.aclose()


async def carried_out(book: Book, decide: Decide) -> int:
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        return await decide(book.ledger, reader, LoopClock(), RunSettings())


async def states(book: Book) -> dict[str, State]:
    return {job.row_id: job.state for job in await book.rows()}


async def test_all_rows_that_ended_badly_are_tried_again_and_what_may_be_collected_is_collected(book: Book) -> None:
    before = await states(book)
    assert await carried_out(book, retry_ended(ENDED)) == 3
    assert await states(book) == before | {"failed": State.PLANNED, "stalled": State.SUBMITTED, "cancelled": State.PLANNED}
    assert (await book.row("stalled")).request_id == "r-stalled"
    assert await carried_out(book, retry_ended(ENDED)) == 0


async def test_paying_again_can_be_asked_for(book: Book) -> None:
    assert await carried_out(book, retry_ended([State.FAILED], regenerate=True)) == 2
    assert (await states(book))["stalled"] is State.PLANNED
    assert (await states(book))["cancelled"] is State.CANCELLED


async def test_only_the_rows_that_are_named(book: Book) -> None:
    assert await carried_out(book, retry_ended(ENDED, ["cancelled", "cancelled"])) == 1
    assert (await states(book))["failed"] is State.FAILED
    assert (await states(book))["cancelled"] is State.PLANNED


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        (retry_ended(ENDED, ["failed", "done"]), "row 'done' is done, not failed or cancelled"),
        (retry_ended(ENDED, ["failed", "nobody"]), "the batch has no row 'nobody'"),
        (resolve_doubt(resubmit=True, row_ids=["doubt1", "new"]), "row 'new' is planned, not in_doubt"),
        (adopt_requests({"doubt1": "req-9", "failed": "req-8"}), "row 'failed' is failed, not in doubt"),
        (adopt_requests({"doubt1": "req-9", "nobody": "req-8"}), "the batch has no row 'nobody'"),
        (adopt_requests({"doubt1": "req-9", "doubt2": "../etc"}), "'../etc' is not a request id"),
        (adopt_requests({"doubt1": "req-9", "doubt2": ""}), "'' is not a request id"),
        (adopt_requests({"doubt1": "req-9", "doubt2": "a\n"}), "is not a request id"),
        (adopt_requests({"doubt1": "req-9", "doubt2": "req-9"}), "one request is given to two rows"),
        (adopt_requests({"doubt1": "req-9", "doubt2": "r-stalled"}), "the request r-stalled is that of row 'stalled'"),
    ],
)
async def test_a_decision_that_cannot_be_carried_out_whole_changes_nothing(book: Book, decide: Decide, message: str) -> None:
    before = await book.rows()
    with pytest.raises(UsageError) as caught:
        await carried_out(book, decide)
    assert message in caught.value.message
    assert await book.rows() == before


async def test_doubt_is_settled_by_submitting_again(book: Book) -> None:
    assert await carried_out(book, resolve_doubt(resubmit=True)) == 2
    assert {name for name, state in (await states(book)).items() if state is State.PLANNED} == {"new", "doubt1", "doubt2"}


async def test_doubt_is_settled_by_giving_up(book: Book) -> None:
    assert await carried_out(book, resolve_doubt(resubmit=False, row_ids=["doubt2"])) == 1
    job = await book.row("doubt2")
    assert job.state is State.FAILED
    assert job.failure is not None
    assert job.failure.kind is FailureKind.ABANDONED
    assert (await states(book))["doubt1"] is State.IN_DOUBT


async def test_doubt_is_settled_by_taking_the_request_for_the_rows_own(book: Book) -> None:
    assert await carried_out(book, adopt_requests({"doubt1": "req_A-9", "doubt2": "0" * 128})) == 2
    first, second = await book.row("doubt1"), await book.row("doubt2")
    assert (first.state, first.request_id) == (State.SUBMITTED, "req_A-9")
    assert (second.state, second.request_id) == (State.SUBMITTED, "0" * 128)


async def test_several_decisions_are_carried_out_in_turn(book: Book) -> None:
    decide = all_of([adopt_requests({"doubt1": "req-9"}), resolve_doubt(resubmit=False), retry_ended([State.FAILED])])
    assert await carried_out(book, decide) == 1 + 1 + 2
    assert (await states(book))["doubt1"] is State.SUBMITTED
    assert (await states(book))["doubt2"] is State.FAILED, "what was given up in doubt is paid for again only by name"


async def test_what_a_person_decided_is_written_down_like_everything_else(book: Book) -> None:
    await carried_out(book, retry_ended([State.FAILED], ["failed"], regenerate=True))
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        told = reader.events((await book.row("failed")).seq)
    assert told[-1][1:] == ("Retry", {"regenerate": True})
    assert [name for _, name, _ in told] == ["Claimed", "Accepted", "Died", "Retry"]
    assert (await book.row("failed")).total_cost_usd == 0.08
    job = await book.move("failed", (Claimed(), Accepted("r2"), Produced(("u",), 0.08)))
    assert job.total_cost_usd == 0.16


# ── rows that are made again for their results ──


SHA = FILE.sha256


async def reviewed(book: Book, **verdicts: Verdict) -> None:
    for name in verdicts:
        file = replace(FILE, path=f"results/{name}.png")
        await book.move(name, (Claimed(), Accepted(f"r-{name}"), Produced(("https://x/a",), 0.08), Saved((file,), 1.0)))
    rows = {job.row_id: job.seq for job in await book.rows()}
    await book.ledger.review({rows[name]: Review(verdict, "no people", 0.0, f"r-{name}", SHA) for name, verdict in verdicts.items()})


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Book]:
    book = Book(tmp_path / "ledger.db")
    specs = [make_spec(name) for name in "abcd"]
    await book.plan(*(replace(spec, fingerprint=fingerprint(spec.model, spec.body)) for spec in specs))
    await reviewed(book, a=Verdict.REJECTED, b=Verdict.REDO, c=Verdict.ACCEPTED, d=Verdict.REJECTED)
    yield book
    await book.ledger.aclose()


def chosen(book: Book, *verdicts: Verdict, rows: list[str] | None = None, **changes: str) -> RedoPlan:
    assert book.path is not None
    reviser = Reviser(Definitions(), changes, reseed=False, rng=random.Random(1), folder=book.path.parent) if changes else None
    with LedgerReader(book.path) as reader:
        return plan_redo(reader, verdicts, rows, reviser)


async def test_rows_are_made_again_by_their_marks_and_their_files_put_beside(shop: Book, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name in "abcd":
        (tmp_path / "results" / f"{name}.png").write_bytes(name.encode())
    plan = chosen(shop, Verdict.REJECTED)
    assert ([job.row_id for job, _ in plan.rows], plan.same, dict(plan.verdicts)) == (["a", "d"], 2, {Verdict.REJECTED: 2})
    assert await carried_out(shop, redo(plan, LocalStorage(tmp_path))) == 2
    assert [name for name, state in (await states(shop)).items() if state is State.PLANNED] == ["a", "d"]
    assert sorted(path.name[:2] for path in (tmp_path / "results").rglob("*.png")) == ["a.", "b.", "c.", "d."]
    assert sorted(path.name for path in (tmp_path / "results").glob("*.png")) == ["b.png", "c.png"]
    with pytest.raises(UsageError, match="2 rows of the batch are still to be submitted"):
        chosen(shop, Verdict.REDO)
    with pytest.raises(UsageError, match="was changed meanwhile"):
        await carried_out(shop, redo(plan, LocalStorage(tmp_path)))


async def test_a_change_is_made_to_the_chosen_rows_only(shop: Book, tmp_path: Path) -> None:
    plan = chosen(shop, Verdict.REDO, Verdict.REJECTED, rows=["b", "b"], prompt="{prompt}, {note}")
    assert ([event for _, event in plan.rows], plan.same) == ([Redo({"prompt": "picture of b, no people"}, revised=True)], 0)
    await carried_out(shop, redo(plan, LocalStorage(tmp_path)))
    assert (await shop.row("b")).spec.body == {"prompt": "picture of b, no people"}
    assert (await shop.row("a")).spec.body == {"prompt": "picture of a"}


async def test_rows_that_cannot_be_made_again_so_are_told(shop: Book) -> None:
    for rows, message in [(["c"], "'c' is marked accepted, not rejected"), (["b"], "'b' is marked redo"), (["nobody"], "no row 'nobody'")]:
        with pytest.raises(UsageError, match=message):
            chosen(shop, Verdict.REJECTED, rows=rows)
    with pytest.raises(ReviewError) as caught:
        chosen(shop, Verdict.REJECTED, prompt="{nope}", size="{nope}")
    assert [(problem.field, problem.more_rows) for problem in caught.value.problems] == [("prompt", 1), ("size", 1)]
    assert set((await states(shop)).values()) == {State.DONE}
    await shop.ledger.review(dict.fromkeys(range(1, 5)))
    with pytest.raises(UsageError, match="no row is marked rejected"):
        chosen(shop, Verdict.REJECTED)
