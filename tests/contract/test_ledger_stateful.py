"""Lifecycle, the ledger in memory, the ledger on disk and a plain model of both, driven together through whatever can happen to a batch.

The search is the same in every run. A longer one, that looks elsewhere each time:
`python -c "from tests.contract.test_ledger_stateful import search; search(examples=2000)"`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from batcher import decisions, events, lifecycle
from batcher.app import Decide
from batcher.errors import BatcherError, LedgerError, ManifestError, Problem, UsageError
from batcher.events import Event
from batcher.ledger import LedgerReader, SqliteLedger, sqlite
from batcher.ledger.statements import statements
from batcher.ledger.writer import InlineWriter, _Transactions
from batcher.model import Artifact, CancelWish, Failure, FailureKind, Job, JobSpec, Lane, Mode, State, Where
from tests.support.engine_world import make_spec
from tests.support.ledger_model import UNDER_WAY, LedgerModel
from tests.support.ledgers import FILE, NOW, SETTINGS, TO_STATE, Book, anonymous

pytestmark = [pytest.mark.no_cover, pytest.mark.fault("X7")]
T = TypeVar("T")

NAMES = "abcd"
STEMS = ["a", "A", "b", "x"]
PERMITS = {"Died", "Cancelled", "Retry", "Redo", "Resubmit"}
"""Events after which a row that had a request may be submitted once more."""

# ── what is drawn ─────────────────────────────────────────────────────────────────────────────────────────────────────

SECONDS = st.sampled_from([0.0, 0.25, 3.0, 60.0, 5000.0, 8000.0])
JITTER = st.floats(0, 1, exclude_max=True)
WAITS = st.sampled_from([None, 0.0, 0.1, 20.0, 4000.0])
COSTS = st.sampled_from([None, None, 0.0, 0.04, 0.08]) | st.floats(0, 10)
FAILURES = st.builds(
    Failure, st.sampled_from(FailureKind), st.sampled_from(["no", "l1\nzw\u00f6lf", "half \ud83d"]), st.sampled_from(["", "do this"])
)
FILES = st.sampled_from([(FILE,), (FILE, Artifact("results/b-\u00fc.mp4", "0" * 64, 2**33, "video/mp4")), (replace(FILE, sha256="cd" * 32),)])
EVENTS: dict[type, st.SearchStrategy[Any]] = {
    events.Refused: st.builds(events.Refused, FAILURES, st.sampled_from([True, True, False]), WAITS),
    events.Running: st.builds(events.Running, st.sampled_from([None, True, False]), st.none() | st.integers(0, 9)),
    events.Unread: st.builds(events.Unread, FAILURES, WAITS, st.booleans()),
    events.Produced: st.builds(events.Produced, st.sampled_from([("https://x/a.png",), ("https://x/a", "https://x/\ud83d")]), COSTS),
    events.Died: st.builds(events.Died, FAILURES, st.booleans(), COSTS),
    events.CancelAsked: st.builds(events.CancelAsked, st.sampled_from(CancelWish)),
    events.NotCancellable: st.builds(events.NotCancellable, st.booleans()),
    events.Saved: st.builds(events.Saved, FILES, st.floats(0, 900)),
    events.Broken: st.builds(events.Broken, FAILURES, st.sampled_from([True, True, False]), WAITS),
    events.Retry: st.builds(events.Retry, st.booleans()),
    events.Redo: st.builds(events.Redo, st.none() | st.just({"prompt": "another"}), st.none() | st.just(True)),
    **{kind: st.builds(kind, FAILURES) for kind in (events.Lost, events.Contested, events.Expired, events.Missing)},
    **{kind: st.just(kind()) for kind in (events.Claimed, events.Cancelled, events.Found, events.Resubmit, events.Abandon)},
}
SIZES = st.sampled_from([{}, {}, {"size": 2}])
NAMED = st.builds(lambda name, size: make_spec(name, **size), st.sampled_from(NAMES), SIZES)
NEW = st.one_of(NAMED, NAMED, st.builds(anonymous, st.sampled_from(["twin", "other"])))
ODD = st.one_of(
    st.builds(lambda spec, stem: replace(spec, stem=stem), NAMED, st.sampled_from(STEMS)),
    st.builds(lambda line: Problem(Where("rows.csv", line), "no such file"), st.integers(2, 4)),
    NEW,
)
FATES = st.sampled_from(["same", "same", "changed", "described", "drawn again", "dropped"])


NO = Failure(FailureKind.OUTCOME_UNKNOWN, "no")
WAYS: list[tuple[Event, ...]] = [
    *(way for way in TO_STATE.values() if way),
    (*TO_STATE[State.SUBMITTED], events.Died(NO, cost_usd=0.04)),
    (*TO_STATE[State.SUBMITTED], events.Died(NO, transient=True, cost_usd=0.04)),
    (*TO_STATE[State.SUBMITTED], events.Cancelled()),
    (*TO_STATE[State.IN_DOUBT], events.Abandon()),
    (*TO_STATE[State.PRODUCED], events.Broken(NO, transient=True, retry_after_s=20.0)),
    (events.Claimed(), events.Refused(NO, transient=True, retry_after_s=20.0)),
]
"""What a new row may have behind it."""


class ViewOf(LedgerReader):
    """A reader's view of a ledger in memory, which no other connection can see."""

    def __init__(self, book: Book) -> None:
        self._sql = statements()
        self._connection = book.ledger._writer._transactions.connection  # type: ignore[attr-defined]

    def close(self) -> None:
        """It is the ledger's own."""


class Now:
    """A clock, for decisions."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return self._seconds

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        raise AssertionError("nobody waits to decide")


# ── what is done ──────────────────────────────────────────────────────────────────────────────────────────────────────


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="batcher-stateful-"))
        self.lives = 0
        """Processes that had the ledger on disk."""
        self.model = LedgerModel()
        self.twin, self.disk = Book(None), Book(self._place())
        self.now = NOW
        self.number = 0
        self.is_running = False
        """Whether a run was begun by the process that has the ledger on disk."""
        self.checked = 0
        """How many events were looked at."""
        self.outstanding: set[int] = set()
        """Rows with a request that may have been charged, and that nothing has ended."""
        self.seen: dict[int, Job] = {}
        self.replanned: frozenset[int] = frozenset()

    def teardown(self) -> None:
        for book in (self.twin, self.disk):
            self.loop.run_until_complete(book.ledger.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    def _place(self) -> Path:
        self.lives += 1
        folder = self.folder / str(self.lives)
        folder.mkdir()
        return folder / "ledger.db"

    def _copy(self, *, wal: bool = True) -> Path:
        """The files as a kill would leave them now; the page cache outlives the process."""
        place = self._place()
        assert self.disk.path is not None
        for ending in ["", "-wal"] if wal else [""]:
            shutil.copy(f"{self.disk.path}{ending}", f"{place}{ending}")
        return place

    def _both(self, ask: Callable[[Book], Awaitable[T]]) -> T:
        """What both ledgers answer; they may not differ, not in their errors either."""
        answers = [self.loop.run_until_complete(_outcome(ask, book)) for book in (self.twin, self.disk)]
        assert answers[0] == answers[1], "the ledger in memory and the one on disk differ"
        result, error = answers[1]
        if error is not None:
            raise error[2]
        return result  # type: ignore[return-value]

    def _request_id(self, data: st.DataObject) -> str:
        known = sorted({row.kept.request_id for row in self.model.rows.values() if row.kept.request_id})
        if known and data.draw(st.sampled_from([False] * 9 + [True]), label="an id that is known"):
            return data.draw(st.sampled_from(known))
        self.number += 1
        return f"req-{self.number}"

    def _event(self, data: st.DataObject, job: Job) -> Event | None:
        kinds = lifecycle.moves(job.state) - (set() if job.artifacts else {events.Found})
        if not kinds:
            return None
        kind = data.draw(st.sampled_from(sorted(kinds, key=lambda kind: kind.__name__)), label=f"what happens to {job.row_id}")
        event: Event = kind(self._request_id(data)) if kind in (events.Accepted, events.Adopt) else data.draw(EVENTS[kind])
        return event

    def _record(self, moves: Iterable[tuple[Job, Event]], jitter: float = 0.5) -> None:
        """All at once, as rows are carried side by side: on disk they go into one transaction."""
        written, others = [], []
        for job, event in moves:
            after = lifecycle.advance(job, event, now=self.now, jitter=jitter, settings=SETTINGS)
            if self.model.move(job.seq, after, event, self.now):
                written.append((after, event))
                is_new = isinstance(event, events.Accepted)
                others.append(self.model.names_with_request(after.request_id, job.seq) if is_new else set())

        async def record(book: Book) -> list[str | None]:
            return list(await asyncio.gather(*(book.ledger.record(after, event, self.now) for after, event in written)))

        for told, names in zip(self._both(record), others, strict=True):
            assert told in names if names else told is None, "two rows with one request"

    # ── the batch ──

    @initialize(data=st.data())
    def first_plan(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(2, 5))
        self._plan([*(make_spec(name) for name in NAMES), anonymous("twin")][:size], dry_run=False)
        for seq in list(self.model.rows):
            self._take_far(data, seq, data.draw(st.sampled_from([(), *WAYS])))

    @rule(data=st.data(), dry_run=st.sampled_from([False, False, True]), odd=st.sampled_from([False, False, True]))
    def plan(self, data: st.DataObject, dry_run: bool, odd: bool) -> None:
        items: list[JobSpec | Problem] = []
        for job in self.model.jobs():
            fate = data.draw(FATES, label=f"what becomes of {job.row_id}")
            if fate != "changed" or job.state not in UNDER_WAY or odd:
                items += _as_named(job.spec, fate)
        known = {job.spec.key for job in self.model.jobs()}
        new = data.draw(st.lists(NEW, max_size=2))
        items += [spec for spec in new if odd or spec.key not in known or spec.key == spec.fingerprint]
        if odd:
            items += data.draw(st.lists(ODD, min_size=1, max_size=2))
        self._plan(data.draw(st.permutations(items)), dry_run=dry_run)

    @precondition(lambda self: self.model.jobs())
    @rule(data=st.data(), fate=st.sampled_from(["changed", "dropped"]))
    def one_row_is_edited(self, data: st.DataObject, fate: str) -> None:
        edited = data.draw(st.sampled_from(self.model.jobs()))
        items = [_as_named(job.spec, fate if job is edited else "same") for job in self.model.jobs()]
        self._plan(list(itertools.chain.from_iterable(items)), dry_run=False)

    def _plan(self, items: list[JobSpec | Problem], *, dry_run: bool) -> None:
        self.model.let_go()
        expected = self.model.plan(items)
        if expected.troubles:
            with pytest.raises(ManifestError) as caught:
                self._both(lambda book: book.plan(*items, dry_run=dry_run))
            messages = [problem.message for problem in caught.value.problems]
            assert len(messages) == caught.value.total
            assert {next((each for each in expected.troubles if each in message), message) for message in messages} == expected.troubles
            return
        assert self._both(lambda book: book.plan(*items, dry_run=dry_run)) == expected.summary
        if not dry_run:
            self.model.take(expected)
            self.replanned |= expected.changed

    # ── what happens to its rows ──

    @precondition(lambda self: self.model.held())
    @rule(data=st.data(), jitter=JITTER, times=st.lists(SECONDS, min_size=1, max_size=4))
    def rows_are_carried(self, data: st.DataObject, jitter: float, times: list[float]) -> None:
        chosen = data.draw(st.lists(st.sampled_from([job.seq for job in self.model.held()]), min_size=1, max_size=3, unique=True))
        for seconds in times:
            self.now += seconds
            jobs = [self.model.rows[seq].held for seq in chosen]
            drawn = [(job, self._event(data, job)) for job in jobs]
            self._record([(job, event) for job, event in drawn if event is not None], jitter)

    @precondition(lambda self: self.model.held())
    @rule(data=st.data(), way=st.sampled_from(WAYS))
    def a_row_gets_far(self, data: st.DataObject, way: tuple[Event, ...]) -> None:
        seq = data.draw(st.sampled_from(self.model.held())).seq
        if self.model.rows[seq].held.state is State.PLANNED:
            self._take_far(data, seq, way)

    def _take_far(self, data: st.DataObject, seq: int, way: tuple[Event, ...]) -> None:
        for event in way:
            named = replace(event, request_id=self._request_id(data)) if isinstance(event, events.Accepted) else event
            self._record([(self.model.rows[seq].held, named)])

    @precondition(lambda self: self.model.held())
    @rule(data=st.data(), kind=st.sampled_from(sorted({kind for _, kind in lifecycle.TABLE}, key=lambda kind: kind.__name__)))
    def what_cannot_happen_raises(self, data: st.DataObject, kind: type) -> None:
        job = data.draw(st.sampled_from(self.model.held()))
        cannot = (job.state, kind) not in lifecycle.TABLE or (kind is events.Found and not job.artifacts)
        if cannot:
            event = kind("req-0") if kind in (events.Accepted, events.Adopt) else data.draw(EVENTS[kind])
            with pytest.raises(ValueError, match=f"row {job.row_id}: "):
                lifecycle.advance(job, event, now=self.now, jitter=0.5, settings=SETTINGS)

    @precondition(lambda self: any(job.state is not State.PLANNED for job in self.model.jobs()))
    @rule(data=st.data())
    def a_claim_of_a_row_that_is_not_planned_breaks_the_ledger(self, data: st.DataObject) -> None:
        """Tried on a copy, since nothing can be done with it afterwards."""
        job = data.draw(st.sampled_from([job for job in self.model.jobs() if job.state is not State.PLANNED]))
        other = Book(self._copy())
        claim = replace(job, state=State.SUBMITTING, attempts=job.attempts + 1, request_id=None)

        async def try_it() -> list[Job]:
            for _ in range(2):
                with pytest.raises(LedgerError, match=f"row {job.row_id} was to be submitted, but is {job.state}"):
                    await other.ledger.record(claim, events.Claimed(), self.now)
            await other.reopen()
            rows = await other.rows()
            await other.ledger.aclose()
            return rows

        assert self.loop.run_until_complete(try_it()) == self.model.jobs()

    # ── what a person decides ──

    def _decide(self, decide: Decide, expected: list[tuple[Job, Event]] | None) -> None:
        self.model.let_go()

        async def ask(book: Book) -> int:
            with ViewOf(book) if book.path is None else LedgerReader(book.path) as reader:
                return await decide(book.ledger, reader, Now(self.now), SETTINGS)

        if expected is None:
            with pytest.raises(UsageError):
                self._both(ask)
            return
        assert self._both(ask) == len(expected)
        for job, event in expected:
            self.model.move(job.seq, lifecycle.advance(job, event, now=self.now, jitter=0.0, settings=SETTINGS), event, self.now)

    def _named(self, data: st.DataObject, states: Iterable[State]) -> list[str]:
        names = [job.row_id for job in self.model.jobs() if job.state in states]
        return data.draw(st.lists(st.sampled_from([*names, *names, *names, "nobody", NAMES[0]]), max_size=3), label="rows named")

    @precondition(lambda self: any(job.state.is_terminal for job in self.model.jobs()))
    @rule(data=st.data(), states=st.sampled_from([[State.FAILED], [State.CANCELLED], [State.FAILED, State.CANCELLED]]), regenerate=st.booleans())
    def a_person_retries(self, data: st.DataObject, states: list[State], regenerate: bool) -> None:
        names = self._named(data, states)
        jobs = self.model.eligible(states, names)
        expected: list[tuple[Job, Event]] | None = None if jobs is None else [(job, events.Retry(regenerate)) for job in jobs]
        self._decide(decisions.retry_ended(states, names, regenerate=regenerate), expected)

    @precondition(lambda self: any(job.state is State.IN_DOUBT for job in self.model.jobs()))
    @rule(data=st.data(), resubmit=st.booleans())
    def a_person_settles_a_doubt(self, data: st.DataObject, resubmit: bool) -> None:
        names = self._named(data, [State.IN_DOUBT])
        jobs = self.model.eligible([State.IN_DOUBT], names)
        event: Event = events.Resubmit() if resubmit else events.Abandon()
        self._decide(decisions.resolve_doubt(resubmit=resubmit, row_ids=names), None if jobs is None else [(job, event) for job in jobs])

    @precondition(lambda self: any(job.state is State.IN_DOUBT for job in self.model.jobs()))
    @rule(data=st.data())
    def a_person_adopts(self, data: st.DataObject) -> None:
        requests = {name: self._request_id(data) for name in self._named(data, [State.IN_DOUBT])}
        jobs = self.model.eligible([State.IN_DOUBT], list(requests)) if requests and self.model.can_adopt(requests) else None
        expected: list[tuple[Job, Event]] | None = [(job, events.Adopt(requests[job.row_id])) for job in jobs or []]
        self._decide(decisions.adopt_requests(requests), None if requests and jobs is None else expected)

    # ── processes ──

    @rule(is_told=st.booleans())
    def recover(self, is_told: bool) -> None:
        """Not told: the process ends before the doubt is recorded."""
        self.model.let_go()
        expected = self.model.recover()
        left = self._both(lambda book: book.ledger.recover(self.now))
        assert left == expected
        if is_told:
            self._record([(job, events.Lost(Failure(FailureKind.OUTCOME_UNKNOWN, "killed"))) for job in left])

    @rule(is_killed=st.booleans())
    def the_next_process(self, is_killed: bool) -> None:
        """Opens what was left: of one that closed the ledger, or of one that never got to."""
        self.model.let_go()
        if is_killed:
            killed, self.disk = self.disk, Book(self._copy())
            self.loop.run_until_complete(killed.ledger.aclose())
        else:
            self.loop.run_until_complete(self.disk.reopen())
        assert not self.disk.ledger.lost_wal
        self.is_running = False

    @rule()
    def the_log_of_a_killed_run_is_lost(self) -> None:
        """A copy of the one file: noticed where a run was begun, since it may have written more."""
        without = SqliteLedger(self._copy(wal=False))
        assert without.lost_wal or not self.is_running
        self.loop.run_until_complete(without.aclose())

    @precondition(lambda self: not self.is_running)
    @rule()
    def begin_run(self) -> None:
        self.is_running = True
        self.model.runs.append([self.now, None, None, 41, "here"])
        assert self._both(lambda book: book.ledger.begin_run(self.now, 41, "here")) == len(self.model.runs)

    @precondition(lambda self: self.is_running)
    @rule(reason=st.sampled_from(["completed", "interrupted"]))
    def end_run(self, reason: str) -> None:
        self.model.runs[-1][1:3] = self.now, reason
        self._both(lambda book: book.ledger.end_run(len(self.model.runs), self.now, reason))

    @rule(
        counts=st.dictionaries(st.sampled_from(["submits", "polls"]), st.integers(0, 9)),
        meta=st.dictionaries(st.sampled_from(["name", "run"]), st.none() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)),
    )
    def notes_are_taken(self, counts: dict[str, int], meta: dict[str, object]) -> None:
        self._both(lambda book: book.ledger.add_requests(counts))
        self._both(lambda book: book.ledger.put_meta(meta))
        self.model.requests.update(counts)
        self.model.meta.update(meta)

    @rule(data=st.data(), lane=st.sampled_from(Lane), mode=st.sampled_from(Mode), seconds=SECONDS, limit=st.integers(0, 3))
    def a_lane_asks_for_a_few(self, data: st.DataObject, lane: Lane, mode: Mode, seconds: float, limit: int) -> None:
        held = data.draw(st.sets(st.sampled_from(sorted(self.model.rows)), max_size=2)) if self.model.rows else set()
        expected = [job for job in self.model.claimable(lane, mode, self.now + seconds) if job.seq not in held]
        assert self._both(lambda book: book.ledger.claimable(lane, mode, limit, self.now + seconds, held)) == expected[:limit]

    # ── what always holds ──

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        for listed in (True, False):
            assert self._both(lambda book, listed=listed: book.rows(listed=listed)) == self.model.jobs(listed=listed)
        for book in (self.twin, self.disk):
            assert book.ledger.counts() == self.model.counts()
            assert book.ledger.spent_usd == pytest.approx(self.model.spent_usd(), abs=1e-9)
        assert sum(self.disk.ledger.counts().values()) == len(self.model.jobs())
        for stem in STEMS:
            assert self._both(lambda book, stem=stem: book.ledger.has_stem(stem)) == self.model.has_stem(stem)
        assert self._both(lambda book: book.ledger.shared_requests()) == self.model.shared_requests()

    @invariant()
    def lanes_get_what_the_lifecycle_has_a_command_for(self) -> None:
        async def ask(book: Book) -> list[tuple[list[Job], float | None]]:
            ledger = book.ledger
            return [(await ledger.claimable(*asked, 100, self.now, ()), await ledger.next_due(*asked, self.now)) for asked in every]

        every = list(itertools.product(Lane, Mode))
        for asked, (jobs, due) in zip(every, self._both(ask), strict=True):
            assert jobs == self.model.claimable(*asked, self.now), asked
            assert due == self.model.next_due(*asked, self.now), asked

    @invariant()
    def a_reader_sees_what_was_written(self) -> None:
        assert self.disk.path is not None
        for reader in (ViewOf(self.twin), LedgerReader(self.disk.path)):
            with reader:
                jobs = list(reader.jobs())
                assert jobs == self.model.jobs()
                assert reader.counts() == self.model.counts()
                assert reader.spent_usd() == pytest.approx(self.model.spent_usd(), abs=1e-9)
                assert list(reader.saved_paths()) == self.model.saved_paths()
                assert reader.meta() == self.model.meta
                assert reader.requests() == {kind: n for kind, n in self.model.requests.items() if n}
                assert [[run.started_at, run.ended_at, run.exit_reason, run.pid, run.host] for run in reader.runs()] == self.model.runs
                assert reader.contradictions() == []
                log = [(seq, at, name, json.loads(detail or "{}")) for seq, at, name, detail in reader._execute(LOG, ())]
                assert log == self.model.happened
        self._nothing_is_paid_twice(log, jobs)

    def _nothing_is_paid_twice(self, log: list[tuple[int, float, str, Any]], jobs: list[Job]) -> None:
        """By the records alone, whatever the lifecycle says."""
        self.outstanding -= self.replanned
        permitted = set(self.replanned)
        for seq, _, name, _ in log[self.checked :]:
            assert name != "Claimed" or seq not in self.outstanding, "a row was to be submitted that has a request"
            if name in ("Accepted", "Lost"):
                self.outstanding.add(seq)
            elif name in PERMITS:
                self.outstanding.discard(seq)
                permitted.add(seq)
        for job in jobs:
            before = self.seen.get(job.seq)
            if before is not None and before.request_id is not None and before.state is not State.PLANNED and job.state is State.PLANNED:
                assert job.seq in permitted, f"row {job.row_id} went from {before.state} back to planned"
        self.checked, self.seen, self.replanned = len(log), {job.seq: job for job in jobs}, frozenset()


LOG = "SELECT seq, at, name, detail FROM events ORDER BY id"


async def _outcome(ask: Callable[[Book], Awaitable[T]], book: Book) -> tuple[T | None, Any]:
    """What came of it, in a form that can be compared."""
    try:
        return await ask(book), None
    except BatcherError as error:
        return None, _Raised((type(error), str(error), error))


class _Raised(tuple[type, str, BatcherError]):
    """Equal where the words are."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Raised) and self[:2] == other[:2]

    def __hash__(self) -> int:
        return hash(self[:2])


def _as_named(spec: JobSpec, fate: str) -> list[JobSpec | Problem]:
    """What the manifest says of a row that is there already."""
    if fate == "dropped":
        return []
    if fate == "described":
        return [replace(spec, fields={**spec.fields, "scene": "x"}, axes={"n": "1"}, where="other.csv:9")]
    if fate == "drawn again":
        return [replace(spec, body={**spec.body, "seed": 7})]
    if fate == "changed" and spec.key != spec.fingerprint and "#" not in spec.key:
        return [make_spec(spec.row_id) if "size" in spec.body else make_spec(spec.row_id, size=2)]
    return [replace(spec)]


# ── the search ────────────────────────────────────────────────────────────────────────────────────────────────────────

SEARCH = settings(
    derandomize=True, database=None, max_examples=30, stateful_step_count=25, suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False, print_blob=False,
)  # fmt: skip


def search(examples: int, steps: int = 60) -> None:
    """A longer one, from a new beginning each time."""
    run_state_machine_as_test(LedgerMachine, settings=settings(SEARCH, derandomize=False, max_examples=examples, stateful_step_count=steps))


def test_lifecycle_ledgers_and_model_agree_whatever_happens() -> None:
    run_state_machine_as_test(LedgerMachine, settings=SEARCH)


# ── that it can fail ──────────────────────────────────────────────────────────────────────────────────────────────────


def _says_instead(name: str, old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A ledger whose statement `name` has a mistake in it."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        sql = statements()
        assert old in sql[name]
        wrong = {**sql, name: sql[name].replace(old, new)}
        for module in ("sqlite", "planning"):
            patch.setattr(f"batcher.ledger.{module}.statements", lambda: wrong)

    return plant


def _twin_forgets_an_event(patch: pytest.MonkeyPatch) -> None:
    record = SqliteLedger.record

    async def forgetful(self: SqliteLedger, job: Job, event: Event, now: float) -> str | None:
        if isinstance(event, events.Lost) and isinstance(self._writer, InlineWriter):
            return None
        return await record(self, job, event, now)

    patch.setattr(SqliteLedger, "record", forgetful)


def _tallies_drift(patch: pytest.MonkeyPatch) -> None:
    begin = SqliteLedger.__init__

    def without_trigger(self: SqliteLedger, path: Path | None, *, threaded: bool = True) -> None:
        begin(self, path, threaded=threaded)
        connection = self._writer._transactions.connection  # type: ignore[attr-defined]
        connection.execute("DROP TRIGGER IF EXISTS tally_delete")

    patch.setattr(SqliteLedger, "__init__", without_trigger)


def _a_poll_without_answer_plans_again(patch: pytest.MonkeyPatch) -> None:
    def plan_again(job: Job, *_: object) -> Job:
        return replace(job, state=State.PLANNED)

    patch.setitem(lifecycle.TABLE, (State.SUBMITTED, events.Unread), plan_again)


def _what_cannot_happen_is_ignored(patch: pytest.MonkeyPatch) -> None:
    advance = lifecycle.advance

    def lenient(job: Job, event: Event, **given: Any) -> Job:
        return advance(job, event, **given) if (job.state, type(event)) in lifecycle.TABLE else job

    patch.setattr(lifecycle, "advance", lenient)


def _the_last_field_is_not_written(patch: pytest.MonkeyPatch) -> None:
    values = sqlite.job_values
    patch.setattr(sqlite, "job_values", lambda job: values(replace(job, cancel_refused=False)))


def _commits_come_late(patch: pytest.MonkeyPatch) -> None:
    """What is answered is in the database of the one who wrote it, and nowhere else."""
    run = _Transactions.run

    def without_commit(self: _Transactions, works: Any, *, names: Any, alone: bool) -> list[Any]:
        if alone or "Accepted" not in names:
            return run(self, works, names=names, alone=alone)
        self.connection.execute("SAVEPOINT late")
        results = [work(self.connection) for work in works]
        self.connection.execute("ROLLBACK TO late")
        self.connection.execute("RELEASE late")
        return results

    patch.setattr(_Transactions, "run", without_commit)


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the twin forgets an event": _twin_forgets_an_event,
    "tallies drift": _tallies_drift,
    "a poll without answer plans the row again": _a_poll_without_answer_plans_again,
    "what cannot happen is ignored": _what_cannot_happen_is_ignored,
    "a field is not written": _the_last_field_is_not_written,
    "what was answered is not committed": _commits_come_late,
    "a changed row forgets what it cost": _says_instead("replan_job", "earlier_cost_usd + coalesce(cost_usd, 0)", "earlier_cost_usd"),
    "a row that waits is claimed": _says_instead("where_claimable", "AND j.not_before <= :now", ""),
    "a row that was put away is claimed": _says_instead("where_claimable", "AND j.listed", ""),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[bug](monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(LedgerMachine, settings=settings(SEARCH, max_examples=300, phases=[Phase.generate]))
