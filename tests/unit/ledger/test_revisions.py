"""Rows whose requests a person changed: what the ledger keeps of them, and what a manifest that is read again finds."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from batcher.errors import UsageError
from batcher.events import Accepted, Claimed, Event, Produced, Redo, Saved
from batcher.ledger import LedgerReader
from batcher.lifecycle import advance
from batcher.model import Artifact, Job, JobSpec, Review, State, Verdict
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, SETTINGS, Book

PRICE_USD = 0.08


def asked(name: str, version: int) -> JobSpec:
    return make_spec(name, version=version)


def way(request_id: str) -> list[Event]:
    file = Artifact(f"results/{request_id}.png", f"{len(request_id):064}", 9, "image/png")
    return [Claimed(), Accepted(request_id), Produced(("https://x/a",), PRICE_USD), Saved((file,), 1.0)]


def made_again(job: Job, spec: JobSpec | None = None) -> tuple[Job, Redo]:
    event = Redo() if spec is None else Redo(spec.fields, revised=True)
    return advance(replace(job, spec=spec or job.spec), event, now=NOW, jitter=0.0, settings=SETTINGS), event


def as_version(job: Job, version: int) -> JobSpec | None:
    """The spec with another request; None where it is the one that it has."""
    wanted = asked(job.row_id, version)
    if wanted.fingerprint == job.spec.fingerprint:
        return None
    return replace(job.spec, fingerprint=wanted.fingerprint, body=wanted.body, fields=wanted.fields)


@pytest.fixture
async def book(tmp_path: Path) -> Book:
    book = Book(tmp_path / "ledger.db")
    await book.plan(asked("a", 1), asked("b", 1))
    for name in "ab":
        await book.move(name, way(f"req-{name}"))
    return book


async def test_a_row_that_is_made_again_keeps_what_it_cost_and_its_requests(book: Book) -> None:
    await book.ledger.redo([made_again(await book.row("a"), asked("a", 2))], NOW)
    planned = await book.row("a")
    assert (planned.state, planned.artifacts, planned.cost_usd, planned.spec.body["version"]) == (State.PLANNED, (), PRICE_USD, 2)
    await book.move("a", way("req-2"))
    done = await book.row("a")
    assert (done.total_cost_usd, done.attempts, done.request_id) == (2 * PRICE_USD, 2, "req-2")
    assert book.ledger.spent_usd == pytest.approx(3 * PRICE_USD)
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        told = [(name, detail.get("request_id"), detail.get("fields")) for _, name, detail in reader.events(done.seq)]
        assert [request for name, request, _ in told if name == "Accepted"] == ["req-a", "req-2"]
        assert ("Redo", None, dict(asked("a", 2).fields)) in told
        assert reader.contradictions() == []
    await book.ledger.aclose()


async def test_all_rows_are_made_again_or_none(book: Book) -> None:
    a, b = await book.row("a"), await book.row("b")
    await book.ledger.redo([made_again(b)], NOW)
    await book.move("b", way("req-2"))
    before = await book.rows()
    with pytest.raises(UsageError, match="row 'b' was changed meanwhile"):
        await book.ledger.redo([made_again(a, asked("a", 2)), made_again(b)], NOW)
    assert await book.rows() == before
    await book.ledger.aclose()


async def test_a_dropped_row_takes_its_review_along(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    await book.plan(asked("a", 1), asked("b", 1))
    await book.move("a", way("req-a")[:2])
    await book.ledger.review({1: Review(Verdict.REDO, "x", NOW, "r", "ab"), 2: Review(Verdict.REDO, "", NOW, "r", "ab")})
    await book.plan(asked("a", 1))
    assert [job.review is not None for job in await book.rows()] == [True]
    await book.ledger.aclose()
    assert book.path is not None
    with LedgerReader(book.path) as reader:
        assert reader.contradictions() == []


async def test_files_that_a_revised_row_sends_are_not_those_of_the_manifest(book: Book) -> None:
    changed = replace(asked("a", 2), stem="other", where="elsewhere:1")
    await book.ledger.redo([made_again(await book.row("a"), changed)], NOW)
    await book.plan(replace(asked("a", 1), stem="renamed", where="rows.csv:9", axes={"n": "1"}), asked("b", 1))
    spec = (await book.row("a")).spec
    assert (spec.body, spec.fields, spec.inputs) == (changed.body, changed.fields, changed.inputs)
    assert (spec.stem, spec.where, spec.axes) == ("other", "rows.csv:9", {"n": "1"})
    await book.ledger.aclose()


@pytest.mark.fault("X7")
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_manifests_and_people_say_a_row_is_paid_for_only_when_one_of_them_says_something_new(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    book = Book(tmp_path / "ledger.db")
    names = "abcd"
    planned = dict.fromkeys(names, 1)
    """What the manifest said when it was last obeyed, and what the request of the row is by now."""
    actual = dict(planned)
    await book.plan(*(asked(name, 1) for name in names))
    accepted = 0
    for _ in range(60):
        jobs = {job.row_id: job for job in await book.rows()}
        match rng.choice(["plan", "plan", "redo", "carry", "carry"]):
            case "plan":
                said = {name: rng.choice([planned[name], actual[name], rng.randint(1, 3)]) for name in rng.sample(names, 4)}
                anew = {name for name, version in said.items() if version not in (planned[name], actual[name])}
                summary = await book.plan(*(asked(name, version) for name, version in said.items()))
                assert summary.changed == len(anew)
                obeyed = {name: version for name, version in said.items() if name in anew or version == actual[name]}
                planned |= obeyed
                actual |= obeyed
                after = {job.row_id: job.state for job in await book.rows()}
                assert {name for name in names if jobs[name].state is State.DONE and after[name] is State.PLANNED} <= anew
            case "redo":
                for name in [name for name in names if jobs[name].state is State.DONE and rng.random() < 0.5]:
                    actual[name] = rng.choice([actual[name], rng.randint(1, 4)])
                    await book.ledger.redo([made_again(jobs[name], as_version(jobs[name], actual[name]))], NOW)
            case "carry":
                for name in [name for name in names if jobs[name].state is State.PLANNED]:
                    accepted += 1
                    await book.move(name, way(f"req-{accepted}"))
        assert {job.row_id: job.spec.body["version"] for job in await book.rows()} == actual
        assert book.ledger.spent_usd == pytest.approx(accepted * PRICE_USD)
        await book.tallies_match_the_rows()
    await book.ledger.aclose()
    assert accepted > 8
