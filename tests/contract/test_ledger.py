from __future__ import annotations

import errno
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest

from batcher.errors import InputError, LedgerError, ManifestError, Problem, UsageError
from batcher.events import (
    Abandon,
    Accepted,
    Adopt,
    Broken,
    CancelAsked,
    Cancelled,
    Claimed,
    Contested,
    Died,
    Event,
    Expired,
    Found,
    Lost,
    Missing,
    NotCancellable,
    Produced,
    Refused,
    Resubmit,
    Retry,
    Running,
    Saved,
    Unread,
)
from batcher.ledger import LedgerReader
from batcher.lifecycle import advance, moves
from batcher.model import Artifact, CancelWish, Failure, FailureKind, InputFile, Job, JobSpec, Lane, Mode, SameFiles, State, Where
from batcher.polling import LEARNED
from batcher.ports import PlanSummary
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE, NO, NOW, SETTINGS, TO_STATE, Book, anonymous

UNDER_WAY = (State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED, State.PRODUCED)


@pytest.fixture(params=["file", "memory"])
async def book(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Book]:
    book = Book(tmp_path / "ledger.db" if request.param == "file" else None)
    yield book
    await book.ledger.aclose()


async def problems_of(book: Book, *items: JobSpec | Problem) -> list[Problem]:
    before = await book.rows()
    with pytest.raises(ManifestError) as caught:
        await book.plan(*items)
    assert await book.rows() == before, "all or nothing"
    await book.tallies_match_the_rows()
    return list(caught.value.problems)


# ── planning ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("X1")
async def test_what_the_batch_is_is_kept_in_the_moment_in_which_its_rows_are(book: Book) -> None:
    seen: list[Mapping[State, int]] = []

    def facts(counts: Mapping[State, int]) -> Mapping[str, object]:
        seen.append(counts)
        return {"name": "shop", "service": "simulator"}

    def refuse(counts: Mapping[State, int]) -> Mapping[str, object]:
        raise UsageError("another service")

    with pytest.raises(UsageError):
        await book.ledger.plan([make_spec("a")], facts=refuse)
    assert await book.rows() == [], "neither rows nor facts"
    await book.ledger.plan([make_spec("a"), make_spec("b")], facts=facts)
    assert seen[0][State.PLANNED] == 2
    if book.path is not None:
        with LedgerReader(book.path) as reader:
            assert reader.meta() == {"name": "shop", "service": "simulator"}


async def test_a_new_plan_makes_every_row_planned_in_its_order(book: Book) -> None:
    specs = [make_spec("b"), make_spec("a"), make_spec("c")]
    assert await book.plan(*specs) == PlanSummary(total=3, new=3)
    assert [job.spec for job in await book.rows()] == specs
    assert book.ledger.counts() == {state: 3 if state is State.PLANNED else 0 for state in State}
    await book.tallies_match_the_rows()


async def test_an_empty_ledger_has_a_count_of_zero_for_every_state(book: Book) -> None:
    assert book.ledger.counts() == dict.fromkeys(State, 0)
    assert book.ledger.spent_usd == 0.0
    assert await book.plan() == PlanSummary()


@pytest.mark.fault("F8")
async def test_the_same_rows_again_keep_their_history_in_any_order(book: Book) -> None:
    await book.plan(make_spec("a"), make_spec("b"), make_spec("c"))
    done = await book.move("b", TO_STATE[State.DONE])
    assert await book.plan(make_spec("c"), make_spec("b"), make_spec("a")) == PlanSummary(total=3, reused=3)
    rows = await book.rows()
    assert [job.row_id for job in rows] == ["c", "b", "a"]
    assert rows[1] == done


async def test_what_describes_a_row_may_change_without_another_request(book: Book) -> None:
    await book.plan(make_spec("a"))
    done = await book.move("a", TO_STATE[State.DONE])
    file = InputFile("/moved/a.png", "cd" * 32, 5, "image/png")
    described = replace(make_spec("a"), fields={"scene": "x"}, axes={"n": "1"}, where="other.csv:9", inputs=(file,))
    assert await book.plan(described) == PlanSummary(total=1, reused=1)
    job = await book.row("a")
    assert job == replace(done, spec=described)


@pytest.mark.fault("F8")
@pytest.mark.parametrize("state", [State.PLANNED, State.DONE, State.FAILED, State.CANCELLED])
async def test_a_row_that_changed_is_planned_again_and_remembers_what_it_cost(book: Book, state: State) -> None:
    events = {
        State.FAILED: (Claimed(), Accepted("r"), Died(NO, cost_usd=0.08)),
        State.CANCELLED: (Claimed(), Accepted("r"), Cancelled()),
    } | TO_STATE
    await book.plan(make_spec("a"), make_spec("b"))
    before = await book.move("a", events[state])
    assert before.state is state
    changed = make_spec("a", size=2)
    assert await book.plan(changed, make_spec("b")) == PlanSummary(total=2, changed=1, reused=1)
    earlier = 0.08 if state in (State.DONE, State.FAILED) else 0.0
    assert await book.row("a") == Job(before.seq, changed, earlier_cost_usd=earlier, unpriced=state is State.CANCELLED, position=1)
    await book.tallies_match_the_rows()


async def test_a_row_that_changed_keeps_nothing_of_its_request_but_what_it_cost(book: Book) -> None:
    spec = largest_job(0).spec
    await book.plan(make_spec("first"), spec)
    before = replace(largest_job((await book.row(spec.row_id)).seq), state=State.FAILED)
    await book.ledger.record(before, Died(NO), NOW)
    changed = replace(
        make_spec("other"), key=spec.key, row_id=spec.row_id, fingerprint="e" * 32, model="acme/new", fields={"n": 1}, axes={"n": "1"},
        inputs=(InputFile("/new.png", "ef" * 32, 9, "image/png"),), where="new.csv:3",
    )  # fmt: skip
    assert await book.plan(changed) == PlanSummary(total=1, changed=1, dropped=1)
    cost_usd = before.earlier_cost_usd + (before.cost_usd or 0.0)
    assert await book.rows() == [Job(before.seq, changed, earlier_cost_usd=cost_usd, unpriced=2, position=1)]
    await book.tallies_match_the_rows()


async def test_files_that_are_there_keep_their_name_when_the_pattern_changes(book: Book) -> None:
    await book.plan(make_spec("a"))
    await book.move("a", TO_STATE[State.DONE])
    await book.plan(replace(make_spec("a"), stem="x"), replace(make_spec("b"), stem="y"))
    assert (await book.row("a")).spec.stem == "a"
    await book.plan(replace(make_spec("a"), stem="x"), replace(make_spec("b"), stem="z"))
    assert (await book.row("b")).spec.stem == "z", "it has no files yet"
    (problem,) = await problems_of(book, replace(make_spec("a"), stem="x"), replace(make_spec("c"), stem="A"))
    assert "would write the same file" in problem.message


@pytest.mark.fault("F8")
@pytest.mark.parametrize("state", UNDER_WAY)
async def test_a_row_may_not_change_while_its_request_is_under_way(book: Book, state: State) -> None:
    await book.plan(make_spec("a"))
    await book.move("a", TO_STATE[state])
    (problem,) = await problems_of(book, make_spec("a", size=2))
    request = " (request req-1)" if state in (State.SUBMITTED, State.PRODUCED) else ""
    assert problem.message == f"row 'a' was changed while it is {state}{request}"
    assert problem.where == Where("rows.csv", 2)
    assert "batcher resume" in problem.hint


async def test_what_is_no_longer_named_is_dropped_where_nothing_was_paid_for(book: Book) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    assert await book.plan(make_spec("b")) == PlanSummary(total=1, reused=1, dropped=1)
    assert [job.row_id for job in await book.rows()] == ["b"]
    assert await book.rows(listed=False) == []
    await book.tallies_match_the_rows()


@pytest.mark.parametrize("paid_for", ["an attempt that died", "what it was before", "nobody knows how much"])
async def test_what_is_no_longer_named_and_was_once_paid_for_is_put_away_with_its_history(book: Book, paid_for: str) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    if paid_for == "an attempt that died":
        await book.move("a", (Claimed(), Accepted("r"), Died(NO, transient=True)))
    else:
        await book.move("a", TO_STATE[State.DONE] if paid_for == "what it was before" else (Claimed(), Lost(NO), Abandon()))
        await book.plan(make_spec("a", size=2), make_spec("b"))
    before = await book.row("a")
    assert before.state is State.PLANNED
    assert (await book.plan(make_spec("b"))).dropped == 1
    assert await book.rows(listed=False) == [before]
    assert (await book.plan(make_spec("b"))).dropped == 0, "it was dropped before"
    claimable = await book.ledger.claimable(Lane.REMOTE, Mode.RUN, 9, NOW + 1e6, ())
    assert [job.row_id for job in claimable] == ["b"]
    assert await book.ledger.next_due(Lane.REMOTE, Mode.RUN, NOW - 1) is None
    if book.path is not None:
        with LedgerReader(book.path) as reader:
            assert reader.row("a") is None
            assert [job.row_id for job in reader.jobs()] == ["b"]
    await book.tallies_match_the_rows()


@pytest.mark.fault("F8")
@pytest.mark.parametrize("state", UNDER_WAY)
async def test_what_is_no_longer_named_is_kept_at_the_end_while_its_request_may_bring_something(book: Book, state: State) -> None:
    await book.plan(make_spec("x"), make_spec("old"), make_spec("a"), make_spec("b"))
    await book.move("old", TO_STATE[state])
    assert await book.plan(make_spec("a"), make_spec("b"), make_spec("c")) == PlanSummary(total=4, reused=2, new=1, dropped=1, kept=1)
    assert [job.row_id for job in await book.rows()] == ["a", "b", "c", "old"]
    await book.tallies_match_the_rows()


async def test_rows_that_are_kept_keep_their_order(book: Book) -> None:
    await book.plan(make_spec("c"), make_spec("a"), make_spec("b"))
    await book.plan(make_spec("b"), make_spec("c"), make_spec("a"))
    for name, state in {"b": State.SUBMITTED, "c": State.IN_DOUBT, "a": State.PRODUCED}.items():
        await book.move(name, TO_STATE[state])
    assert (await book.plan()).kept == 3
    assert [job.row_id for job in await book.rows()] == ["b", "c", "a"]


async def test_rows_never_share_a_position_so_that_none_is_passed_over_in_reading(book: Book) -> None:
    await book.plan(*(make_spec(name) for name in "abcdef"))
    for name in "bdf":
        await book.move(name, TO_STATE[State.SUBMITTED])
    await book.plan(*(make_spec(name) for name in "ghijkl"))
    positions = await book.ledger._writer.do(lambda c: [row[0] for row in c.execute("SELECT position FROM jobs WHERE listed")])
    assert len(set(positions)) == 9


@pytest.mark.fault("F8")
@pytest.mark.parametrize("state", [State.DONE, State.FAILED])
async def test_a_row_that_was_paid_for_and_dropped_comes_back_with_its_history(book: Book, state: State) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    before = await book.move("a", TO_STATE[state] if state is State.DONE else (Claimed(), Accepted("r"), Died(NO, cost_usd=0.5)))
    assert (await book.plan(make_spec("b"))).dropped == 1
    assert [job.row_id for job in await book.rows(listed=False)] == ["a"]
    assert book.ledger.counts()[state] == 0
    assert await book.ledger.claimable(Lane.REMOTE, Mode.RUN, 9, NOW, ()) == [await book.row("b")]
    assert await book.plan(make_spec("b"), make_spec("a")) == PlanSummary(total=2, reused=2)
    assert (await book.rows())[1] == replace(before, position=2)
    await book.tallies_match_the_rows()


async def test_a_dropped_row_comes_back_to_the_place_that_it_had(book: Book) -> None:
    await book.plan(make_spec("a"))
    await book.move("a", TO_STATE[State.DONE])
    await book.plan(make_spec("b"))
    assert (await book.plan(make_spec("a"))).reused == 1
    assert [job.row_id for job in await book.rows()] == ["a"]


async def test_a_dropped_row_comes_back_changed(book: Book) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    await book.move("a", TO_STATE[State.DONE])
    await book.plan(make_spec("b"))
    assert await book.plan(make_spec("b"), make_spec("a", size=2)) == PlanSummary(total=2, reused=1, changed=1)
    assert (await book.row("a")).state is State.PLANNED


async def test_events_of_a_dropped_row_do_not_become_those_of_another(book: Book) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    await book.move("b", (Claimed(), Refused(NO, transient=True)))
    dropped = await book.row("b")
    await book.plan(make_spec("a"))
    await book.plan(make_spec("a"), make_spec("c"))
    assert (await book.row("c")).seq > dropped.seq


async def test_rows_without_id_that_are_alike_are_each_a_row(book: Book) -> None:
    twin = anonymous("twin")
    assert await book.plan(twin, anonymous("other"), twin, twin) == PlanSummary(total=4, new=4, repeated=2)
    rows = await book.rows()
    name = twin.row_id
    assert [job.row_id for job in rows] == [name, anonymous("other").row_id, f"{name}-2", f"{name}-3"]
    assert [job.spec.key for job in rows if job.row_id.startswith(name)] == [twin.key, f"{twin.key}#2", f"{twin.key}#3"]
    assert len({job.spec.stem for job in rows}) == 4
    await book.move(f"{name}-2", TO_STATE[State.DONE])
    assert await book.plan(twin, twin) == PlanSummary(total=2, reused=2, dropped=2, repeated=1)
    assert (await book.row(f"{name}-2")).state is State.DONE


@pytest.mark.fault("F1")
async def test_the_same_row_twice_is_one_row(book: Book) -> None:
    assert await book.plan(make_spec("a"), make_spec("b"), make_spec("a")) == PlanSummary(total=2, new=2, duplicates=1)
    assert await book.plan(make_spec("a"), make_spec("a"), make_spec("b")) == PlanSummary(total=2, reused=2, duplicates=1)


@pytest.mark.fault("F1")
async def test_one_id_for_two_different_rows_is_a_problem_at_the_second(book: Book) -> None:
    first, second = replace(make_spec("a"), where="rows.csv:2"), replace(make_spec("a", size=2), where="rows.csv:7:3")
    (problem,) = await problems_of(book, first, second)
    assert (problem.where, problem.field) == (Where("rows.csv", 7, 3), "id")
    assert problem.message == "the id 'a' is used by rows.csv:2 too, for a different row"
    assert problem.hint == "give each row its own id"


@pytest.mark.fault("F7")
@pytest.mark.parametrize(("one", "other"), [("Photo", "photo"), ("caf\u00e9", "CAFE\u0301"), ("a/b", "A/B")])
async def test_two_rows_may_not_write_one_file_on_a_disk_that_ignores_case(book: Book, one: str, other: str) -> None:
    items = replace(make_spec("a"), stem=one), replace(make_spec("b"), stem=other, where="rows.csv:3")
    (problem,) = await problems_of(book, *items)
    assert problem.message == f"row 'b' would write the same file, {other!r}, as row 'a' of rows.csv:2"
    assert problem.where == Where("rows.csv", 3)
    assert problem.hint == "see output: name"


async def test_the_file_of_a_row_still_under_way_is_not_given_to_another(book: Book) -> None:
    await book.plan(replace(make_spec("a"), stem="name"))
    await book.move("a", TO_STATE[State.SUBMITTED])
    (problem,) = await problems_of(book, replace(make_spec("b"), stem="NAME", where="rows.csv:5"))
    assert problem.where == Where("rows.csv", 5)
    assert "row 'a', which is not in the manifest any more but still under way" in problem.message
    assert "batcher resume" in problem.hint


async def test_a_row_under_way_that_is_named_is_not_said_to_be_missing(book: Book) -> None:
    await book.plan(replace(make_spec("a"), stem="one"))
    await book.move("a", TO_STATE[State.SUBMITTED])
    problems = await problems_of(book, replace(make_spec("b"), stem="one"), replace(make_spec("a"), stem="one"))
    assert [problem.message for problem in problems] == ["row 'a' would write the same file, 'one', as row 'b' of rows.csv:2"]


async def test_a_row_under_way_that_was_changed_is_not_said_to_be_missing_either(book: Book) -> None:
    await book.plan(replace(make_spec("a"), stem="one"))
    await book.move("a", TO_STATE[State.SUBMITTED])
    problems = await problems_of(book, replace(make_spec("b"), stem="one"), replace(make_spec("a", size=2), stem="one"))
    assert [problem.message for problem in problems] == ["row 'a' was changed while it is submitted (request req-1)"]


async def test_all_problems_come_in_one_go_and_after_fifty_only_a_count(book: Book) -> None:
    faults = [Problem(Where("rows.csv", n), f"fault {n}") for n in range(60)]
    with pytest.raises(ManifestError) as caught:
        await book.plan(make_spec("a"), *faults, make_spec("a", size=2))
    assert caught.value.problems == tuple(faults[:50])
    assert caught.value.total == 61
    assert "fault 49\n… and 11 more" in str(caught.value)
    assert await book.rows() == []
    assert await book.plan(make_spec("a")) == PlanSummary(total=1, new=1), "a plan that failed leaves the ledger as good as before"


async def test_a_fault_that_many_rows_share_is_told_once(book: Book) -> None:
    faults = [Problem(Where("batch.yaml", 3), "is gone", field="image")] * 5000
    with pytest.raises(ManifestError) as caught:
        await book.plan(*faults, Problem(Where("batch.yaml", 9), "odd"), Problem(Where("batch.yaml", 9), "odd"))
    assert caught.value.total == 2
    assert caught.value.message == "batch.yaml:3: image: is gone; the same in 4999 more rows\nbatch.yaml:9: odd; the same in 1 more row"


async def test_rows_that_make_the_same_request_are_counted_unless_a_seed_parts_them(book: Book) -> None:
    alike = [replace(make_spec(name), fingerprint="f", body={"prompt": "p"}) for name in "abc"]
    drawn = [replace(make_spec(name), fingerprint="g", body={"prompt": "p", "seed": n}) for n, name in enumerate("de")]
    other_file = replace(make_spec("f"), fingerprint="h", body={"prompt": "p"})
    assert await book.plan(*alike, *drawn, other_file) == PlanSummary(total=6, new=6, repeated=2)
    assert await book.plan(alike[0], *drawn) == PlanSummary(total=3, reused=3, dropped=3)


async def test_an_error_of_ours_while_rows_are_read_undoes_the_plan_and_nothing_else(book: Book) -> None:
    def items() -> Iterator[JobSpec]:
        yield make_spec("a")
        raise InputError("rows.csv cannot be read")

    with pytest.raises(InputError, match="cannot be read"):
        await book.ledger.plan(items())
    assert await book.rows() == []
    assert (await book.plan(make_spec("a"))).new == 1


async def test_a_dry_run_says_what_would_change_and_changes_nothing(book: Book) -> None:
    await book.plan(make_spec("a"), make_spec("b"), make_spec("c"))
    await book.move("c", TO_STATE[State.SUBMITTED])
    before = await book.rows()
    summary = await book.plan(make_spec("a", size=2), make_spec("d"), dry_run=True)
    assert summary == PlanSummary(total=3, changed=1, new=1, dropped=1, kept=1)
    assert await book.rows() == before
    assert await book.plan(make_spec("a", size=2), make_spec("d")) == summary
    with pytest.raises(ManifestError):
        await book.plan(Problem(Where("x"), "fault"), dry_run=True)


async def test_a_ledger_that_was_closed_takes_nothing_more(book: Book) -> None:
    await book.plan(make_spec("a"))
    await book.ledger.aclose()
    with pytest.raises(LedgerError):
        await book.plan(make_spec("b"))


async def test_a_name_is_known_in_any_case_as_long_as_a_row_has_it(book: Book) -> None:
    await book.plan(replace(make_spec("a"), stem="Mug-2"))
    assert [await book.ledger.has_stem(stem) for stem in ("Mug-2", "mUG-2", "mug", "mug-22")] == [True, True, False, False]


# ── what there is to do ───────────────────────────────────────────────────────────────────────────────────────────────


FILLED = ("planned", "waiting", "done", "doubt", "queued", "running", "refused", "fresh", "asked", "never", "made", "later", "ended")


async def filled(book: Book) -> None:
    """One row in each state, the paid ones last in the manifest."""
    await book.plan(*(make_spec(name) for name in FILLED))
    await book.move("waiting", (Claimed(), Refused(NO, transient=True, retry_after_s=50.0)))
    await book.move("done", TO_STATE[State.DONE])
    await book.move("doubt", TO_STATE[State.IN_DOUBT])
    await book.move("queued", (*TO_STATE[State.SUBMITTED], Running(True, 3)))
    await book.move("running", (*TO_STATE[State.SUBMITTED], Running(False)))
    await book.move("refused", (*TO_STATE[State.SUBMITTED], CancelAsked(CancelWish.CANCEL), NotCancellable(certain=False)))
    await book.move("fresh", TO_STATE[State.SUBMITTED])
    await book.move("asked", (*TO_STATE[State.SUBMITTED], Unread(NO, retry_after_s=30.0)))
    await book.move("never", (*TO_STATE[State.SUBMITTED], CancelAsked(CancelWish.CANCEL), NotCancellable()))
    await book.move("ended", (Claimed(), Refused(NO, transient=True, retry_after_s=50.0), Claimed(), Refused(NO, transient=False)))
    await book.move("made", TO_STATE[State.PRODUCED])
    await book.move("later", (*TO_STATE[State.PRODUCED], Broken(NO, transient=True, retry_after_s=20.0)))


SUBMITTED_ROWS = ["queued", "running", "refused", "fresh", "asked", "never"]
CLAIMABLE = {
    (Lane.REMOTE, Mode.RUN): [*SUBMITTED_ROWS, "planned"],
    (Lane.REMOTE, Mode.COLLECT): SUBMITTED_ROWS,
    (Lane.REMOTE, Mode.DRAIN): SUBMITTED_ROWS,
    (Lane.REMOTE, Mode.CANCEL): ["queued", "fresh", "asked"],
    (Lane.DOWNLOAD, Mode.RUN): ["made"],
    (Lane.DOWNLOAD, Mode.COLLECT): ["made"],
    (Lane.DOWNLOAD, Mode.DRAIN): ["made"],
    (Lane.DOWNLOAD, Mode.CANCEL): ["made"],
}


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("mode", Mode)
async def test_a_lane_is_given_what_its_mode_can_carry_paid_rows_first(book: Book, lane: Lane, mode: Mode) -> None:
    await filled(book)
    names = CLAIMABLE.get((lane, mode), [])
    found = await book.ledger.claimable(lane, mode, 100, NOW, ())
    assert [job.row_id for job in found] == names
    rows = {job.row_id: job for job in await book.rows()}
    assert found == [rows[name] for name in names]
    for limit in range(4):
        assert [job.row_id for job in await book.ledger.claimable(lane, mode, limit, NOW, ())] == names[:limit]
    held = {rows[name].seq for name in names[::2]}
    assert [job.row_id for job in await book.ledger.claimable(lane, mode, 1, NOW, held)] == names[1::2][:1]


async def test_rows_are_claimed_in_the_order_of_the_manifest(book: Book) -> None:
    await book.plan(*(make_spec(f"{n}") for n in (3, 1, 2)))
    await book.plan(*(make_spec(f"{n}") for n in (1, 2, 3)))
    assert [job.row_id for job in await book.ledger.claimable(Lane.REMOTE, Mode.RUN, 9, NOW, ())] == ["1", "2", "3"]


async def test_a_row_that_waits_is_claimed_from_its_time_on(book: Book) -> None:
    await filled(book)
    assert await book.ledger.next_due(Lane.REMOTE, Mode.RUN, NOW) == NOW + 50
    assert await book.ledger.next_due(Lane.DOWNLOAD, Mode.RUN, NOW) == NOW + 20
    assert await book.ledger.next_due(Lane.DOWNLOAD, Mode.DRAIN, NOW) == NOW + 20
    assert [job.row_id for job in await book.ledger.claimable(Lane.DOWNLOAD, Mode.RUN, 9, NOW + 20, ())] == ["made", "later"]
    assert await book.ledger.next_due(Lane.DOWNLOAD, Mode.RUN, NOW + 20) is None
    assert [job.row_id for job in await book.ledger.claimable(Lane.REMOTE, Mode.RUN, 9, NOW + 50, ())][-1] == "waiting"


@pytest.mark.parametrize(("lane", "mode"), [(Lane.REMOTE, mode) for mode in Mode if mode is not Mode.RUN] + [(Lane.DOWNLOAD, Mode.STOP)])
async def test_what_would_not_be_carried_is_not_waited_for(book: Book, lane: Lane, mode: Mode) -> None:
    await filled(book)
    assert await book.ledger.next_due(lane, mode, NOW) is None


async def test_recovery_finds_what_was_being_submitted_and_ends_all_waits(book: Book) -> None:
    await filled(book)
    await book.plan(*(make_spec(name) for name in (*FILLED[1:], "new", "planned")))
    for name in ("planned", "new"):
        await book.move(name, TO_STATE[State.SUBMITTING])
    await book.reopen()
    before = {job.row_id: job for job in await book.rows()}
    assert await book.ledger.recover(NOW + 1) == [before["new"], before["planned"]]
    after = {job.row_id: job for job in await book.rows()}
    assert after.pop("waiting") == replace(before.pop("waiting"), not_before=0.0, refusals=0)
    for name in ("later", "asked"):
        assert after.pop(name) == replace(before.pop(name), not_before=0.0)
    assert after.pop("refused") == replace(before.pop("refused"), cancel_refused=False), "a cancel whose answer was lost may be asked again"
    assert after == before


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def largest_job(seq: int) -> Job:
    """Every field holds something else than its default."""
    spec = JobSpec(
        key="id:\u00fc \U0001f600", row_id="\u00fc \U0001f600", fingerprint="f" * 32, job="image_edit", model="acme/paint/v2",
        body={
            "prompt": 'l1\nl2\t"q" \\ \u2028', "n": 3, "x": 0.1, "on": True, "off": None, "image": {"$input": 0}, "list": [1, [{"z": 1, "a": 2}]],
        },
        stem="a/b-\u00fc", fields={"image": "p.png", "n": 3, "nested": {"k": [None, 1.5]}}, axes={"style": "w"},
        inputs=(InputFile("/p/ü.png", "ab" * 32, 123, "image/png"), InputFile("/q.jpg", "cd" * 32, 2**40, "image/jpeg")), where="batch.yaml:7:3",
    )  # fmt: skip
    return Job(
        seq=seq, spec=spec, state=State.PRODUCED, attempts=4, refusals=5, fetches=6, request_id="req_A-9", queued=False, queue_position=2,
        not_before=NOW + 0.123456, submitted_at=NOW + 1.5, started_at=NOW + 2.25, produced_at=NOW + 3.125, ended_at=NOW + 4, download_s=1.25,
        outputs=("https://x/1?a=b&c=ü", "https://x/\ud83d"), artifacts=(FILE, Artifact("results/b.mp4", "0" * 64, 2**33, "video/mp4")),
        cost_usd=0.1 + 0.2, earlier_cost_usd=1e-9, unpriced=2, failure=Failure(FailureKind.DOWNLOAD_FAILED, "broke\nü", "do this"),
        cancel=CancelWish.WITHDRAW, cancel_refused=True, polls=17, poll_failures=3, position=1,
    )  # fmt: skip


async def test_every_field_of_a_row_survives(book: Book) -> None:
    blank = Job(0, make_spec("a"))
    largest = largest_job(0)
    same = {field.name for field in fields(Job) if getattr(largest, field.name) == getattr(blank, field.name)}
    assert same == {"seq", "denials", "watched_since", "looked_at", "review"}, (
        "all but the last, which no event changes, are good for one process only"
    )
    await book.plan(largest.spec)
    (planned,) = await book.rows()
    assert planned == Job(planned.seq, largest.spec, position=1)
    largest = largest_job(planned.seq)
    await book.ledger.record(largest, Expired(NO), NOW)
    await book.reopen()
    (job,) = await book.rows()
    assert job == largest
    assert list(job.spec.body) == list(largest.spec.body), "the order of a body's fields is kept"
    await book.ledger.record(planned, Resubmit(), NOW)
    assert await book.rows() == [planned]


@pytest.mark.parametrize("queued", [None, True, False])
async def test_not_asked_yet_is_neither_queued_nor_running(book: Book, queued: bool | None) -> None:
    await book.plan(make_spec("a"))
    await book.move("a", (*TO_STATE[State.SUBMITTED], Running(queued)))
    await book.reopen()
    assert (await book.row("a")).queued is queued


async def test_tallies_are_those_of_the_rows_after_any_history(book: Book) -> None:
    rng = random.Random(11)
    names = [f"row{n}" for n in range(12)]
    samples: dict[type, list[Event]] = {
        Accepted: [Accepted("r")], Contested: [Contested(NO)],
        Refused: [Refused(NO, transient=True), Refused(NO, transient=False)], Running: [Running(True), Running(False)],
        Produced: [Produced(("u",), 0.1), Produced(("u",))], Died: [Died(NO, transient=True, cost_usd=0.3), Died(NO)],
        CancelAsked: [CancelAsked(CancelWish.WITHDRAW), CancelAsked(CancelWish.CANCEL)],
        Broken: [Broken(NO, transient=True), Broken(NO, transient=False)], Retry: [Retry(), Retry(regenerate=True)],
    }  # fmt: skip
    await book.plan(*(make_spec(name) for name in names))
    for step in range(400):
        job = rng.choice(await book.rows())
        if possible := sorted(moves(job.state) - (set() if job.artifacts else {Found}), key=lambda kind: kind.__name__):
            kind = rng.choice(possible)
            event = rng.choice(samples[kind]) if kind in samples else sample_of(kind)
            await book.move(job.row_id, [event], now=NOW + step, jitter=rng.random())
        if step % 40 == 39:
            under_way = {row.row_id for row in await book.rows() if row.state in UNDER_WAY}
            chosen = [name for name in rng.sample(names, 9) if name not in under_way]
            changed = [make_spec(name, size=step) if rng.random() < 0.3 else (await spec_of(book, name)) for name in chosen]
            await book.plan(*changed, dry_run=step % 80 == 39)
            await book.reopen()
        await book.tallies_match_the_rows()
    assert book.ledger.spent_usd > 0


def sample_of(kind: type) -> Event:
    from batcher.events import Adopt, Saved

    plain = {
        Lost: Lost(NO),
        Unread: Unread(NO),
        Expired: Expired(NO),
        Missing: Missing(NO),
        Saved: Saved((FILE,), 1.0),
        Adopt: Adopt("r2"),
        Abandon: Abandon(),
    }
    event: Event = plain[kind] if kind in plain else kind()
    return event


async def spec_of(book: Book, name: str) -> JobSpec:
    known = [job.spec for job in [*await book.rows(), *await book.rows(listed=False)] if job.row_id == name]
    return known[0] if known else make_spec(name)


async def test_calls_to_the_service_are_added_up(book: Book) -> None:
    await book.ledger.add_requests({"submits": 2, "polls": 5, "cancels": 0})
    await book.ledger.add_requests({})
    await book.ledger.add_requests({"polls": 1})
    rows = await book.ledger._writer.do(lambda c: {row[0]: row[1] for row in c.execute("SELECT kind, n FROM requests")})
    assert rows == {"submits": 2, "polls": 6}


async def test_facts_are_kept_by_name(book: Book) -> None:
    assert await book.ledger.fact("limits") is None
    await book.ledger.put_meta({"limits": [1], "name": "night"})
    await book.ledger.put_meta({"limits": {"acme/ü": 2.5}})
    await book.reopen()
    assert [await book.ledger.fact(name) for name in ("limits", "name")] == [{"acme/ü": 2.5}, "night"]
    if book.path is not None:
        with LedgerReader(book.path) as reader:
            assert reader.meta() == {"limits": {"acme/ü": 2.5}, "name": "night"}


@pytest.mark.parametrize("value", ["'{\"a\": '", "'[[['", "CAST(x'ff00' AS TEXT)", "''"])
async def test_what_was_learned_and_cannot_be_read_is_nothing_and_no_fact_about_the_batch(book: Book, value: str) -> None:
    await book.ledger._writer.do(lambda c: c.execute(f"INSERT INTO meta VALUES ('{LEARNED}', {value})").close())
    assert await book.ledger.fact(LEARNED) is None
    if book.path is not None:
        with LedgerReader(book.path) as reader:
            assert reader.meta() == {}
    await book.ledger.put_meta({LEARNED: {"acme/paint": {}}})
    assert await book.ledger.fact(LEARNED) == {"acme/paint": {}}


# ── what a reader sees ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_meta_runs_requests_and_events_are_there_for_a_reader(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"))
    await book.ledger.put_meta({"name": "first", "run": {"concurrency": 3}, "simulator": None})
    await book.ledger.put_meta({"name": "zw\u00f6lf"})
    first = await book.ledger.begin_run(NOW, 41, "here")
    await book.ledger.end_run(first, NOW + 9, "completed")
    second = await book.ledger.begin_run(NOW + 20, 42, "there")
    assert second > first
    await book.ledger.add_requests({"submits": 7})
    await book.move("a", (Claimed(), Refused(NO, transient=True, retry_after_s=2.0), Claimed(), Accepted("r1")), now=NOW + 3)
    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert reader.meta() == {"name": "zw\u00f6lf", "run": {"concurrency": 3}, "simulator": None}
        runs = reader.runs()
        assert [(run.started_at, run.ended_at, run.exit_reason, run.pid, run.host) for run in runs] == [
            (NOW, NOW + 9, "completed", 41, "here"),
            (NOW + 20, None, None, 42, "there"),
        ]
        assert reader.requests() == {"submits": 7}
        told = reader.events((await book.row("a")).seq)
    assert [(at, name) for at, name, _ in told] == [(NOW + 3, name) for name in ("Claimed", "Refused", "Claimed", "Accepted")]
    assert told[1][2] == {"failure": {"kind": "unreachable", "message": "no", "remedy": ""}, "transient": True, "retry_after_s": 2.0}
    assert told[0][2] == {}
    await book.ledger.aclose()


async def test_nothing_is_recorded_beside_a_log_whose_name_may_not_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("batcher.ledger.sqlite.sync_folder", fail)
    book = Book(tmp_path / "ledger.db")
    for _ in range(2):
        with pytest.raises(LedgerError, match="Input/output error"):
            await book.plan(make_spec("a"))
    await book.ledger.aclose()


# ── one request id for two rows ───────────────────────────────────────────────────────────────────────────────────────


async def record(book: Book, name: str, *events: Event) -> str | None:
    """What the ledger says of the last of `events`."""
    job, said = await book.row(name), None
    for event in events:
        job = advance(job, event, now=NOW, jitter=0.5, settings=SETTINGS)
        said = await book.ledger.record(job, event, NOW)
    return said


@pytest.mark.fault("C16")
async def test_an_acceptance_under_the_id_of_another_row_is_noticed(book: Book) -> None:
    await book.plan(*(make_spec(name) for name in "abcd"))
    assert await record(book, "a", Claimed(), Accepted("r1")) is None
    assert await record(book, "b", Claimed(), Accepted("r2")) is None
    assert await record(book, "b", Running(True)) is None
    assert await record(book, "c", Claimed(), Accepted("r1")) == "a"
    assert await book.ledger.shared_requests() == {"r1": ["a", "c"]}
    await book.reopen()
    assert await book.ledger.shared_requests() == {"r1": ["a", "c"]}
    assert (await book.row("c")).request_id == "r1", "what came is kept, whosever it is"


@pytest.mark.fault("C16")
async def test_a_request_is_shared_until_every_row_is_held_or_was_given_it_by_a_person(book: Book) -> None:
    await book.plan(*(make_spec(name) for name in "abc"))
    for name in "abc":
        await record(book, name, Claimed(), Accepted("r1"))
    for name in "ab":
        await record(book, name, Contested(NO))
    assert await book.ledger.shared_requests() == {"r1": ["a", "b", "c"]}, "a process that died here has not held the third"
    await record(book, "b", Adopt("r1"))
    assert await book.ledger.shared_requests() == {"r1": ["a", "b", "c"]}
    await record(book, "c", Contested(NO))
    assert await book.ledger.shared_requests() == {}, "a person said whose it is"
    assert await record(book, "a", Resubmit(), Claimed(), Accepted("r9")) is None
    assert await book.ledger.shared_requests() == {}


@pytest.mark.fault("C16")
@pytest.mark.parametrize("first", [(Contested(NO),), (), (Produced(("u",)),), (Produced(("u",)), Saved((FILE,), 1.0)), (Died(NO),)])
async def test_a_request_is_shared_whatever_became_of_the_row_that_had_it_first(book: Book, first: tuple[Event, ...]) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    await record(book, "a", Claimed(), Accepted("r1"), *first)
    assert await record(book, "b", Claimed(), Accepted("r1")) == "a"
    assert await book.ledger.shared_requests() == {"r1": ["a", "b"]}


@pytest.mark.fault("C16")
async def test_what_a_person_said_of_another_request_settles_nothing(book: Book) -> None:
    await book.plan(make_spec("a"), make_spec("b"))
    await record(book, "a", Claimed(), Accepted("r1"), Contested(NO))
    await record(book, "b", Claimed(), Lost(NO), Adopt("r0"), Died(NO, transient=True), Claimed(), Accepted("r1"))
    assert await book.ledger.shared_requests() == {"r1": ["a", "b"]}


@pytest.mark.fault("C16")
async def test_a_request_whose_rows_are_all_in_doubt_belongs_to_nobody_yet(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"), make_spec("b"))
    for name in "ab":
        await record(book, name, Claimed(), Accepted("r1"), Contested(NO))
    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert reader.row_of_request("r1") is None
        await record(book, "a", Adopt("r1"))
        assert reader.row_of_request("r1") == "a"
    await book.ledger.aclose()


# ── rows with the same file ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("X16")
async def test_contents_that_several_rows_share_are_found_most_rows_first(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    contents = {"a": "11", "b": "22", "c": "22", "d": "33", "e": "33", "f": "33", "g": "44"}
    await book.plan(*(make_spec(name) for name in [*contents, "open", "gone"]))
    for name, sha256 in {**contents, "gone": "11"}.items():
        file = replace(FILE, sha256=sha256)
        await book.move(name, (Claimed(), Accepted(f"r{name}"), Produced(("u",)), Saved((file, replace(file, path="results/x-2.png")), 1.0)))
    await book.plan(*(make_spec(name) for name in [*contents, "open"]))
    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert reader.same_files(20, 2) == [SameFiles("33", 3, ("d", "e")), SameFiles("22", 2, ("b", "c"))]
        assert reader.same_files(1, 9) == [SameFiles("33", 3, ("d", "e", "f"))]
    await book.ledger.aclose()
