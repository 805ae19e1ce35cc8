"""A run as it looks from outside, at each point of its life."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from batcher.concurrency import CONCURRENCY, Change
from batcher.errors import InputError, LedgerError
from batcher.exits import exit_code
from batcher.ledger import LEDGER, Owner, is_at_work
from batcher.ledger import owner as owner_module
from batcher.model import ExitReason, Failure, FailureKind, State
from batcher.polling import LEARNED
from batcher.service_times import ServiceTimes
from batcher.settings import RunSettings
from batcher.watch import QUIET_S, START_S, UNREADABLE_S, Look, Phase, Watch
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, TO_STATE, Book
from tests.support.snapshots import counts

MODEL = make_spec("a").model


class Desk:
    """A folder with a batch of which somebody else is the owner, and whoever watches it."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.folder = folder
        self.pid = pid
        self.now = NOW
        self.book = Book(folder / LEDGER)
        self.watch = Watch(folder, lambda: self.now)

    def own(self, **changes: object) -> None:
        facts = {"pid": self.pid, "host": socket.gethostname(), "since": "today", **changes}
        (self.folder / Owner.FILE).write_text(json.dumps(facts), "utf-8")

    async def move(self, row: str, state: State) -> None:
        await self.book.move(row, TO_STATE[state], self.now)

    def look(self, after_s: float = 0.0) -> Look:
        self.now += after_s
        look = self.watch.look()
        assert look is not None
        return look


@pytest.fixture(scope="module")
def somebody() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process


@pytest.fixture
def desk(tmp_path: Path, somebody: subprocess.Popen[bytes]) -> Desk:
    return Desk(tmp_path, somebody.pid)


# ── whose folder it is ────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_is_at_work_is_read_and_the_lock_is_left_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "_lock", pytest.fail)
    assert not is_at_work(desk.folder)
    desk.own()
    assert is_at_work(desk.folder)
    desk.own(closed=True)
    assert not is_at_work(desk.folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"pid": "1"}', '{"pid": 0}', '{"pid": -1}'])
def test_what_says_nothing_is_nobody(desk: Desk, text: str) -> None:
    (desk.folder / Owner.FILE).write_text(text.replace("{", f'{{"host": "{socket.gethostname()}", ' if ":" in text else "{"), "utf-8")
    assert not is_at_work(desk.folder)


def test_the_dead_are_not_at_work_and_neither_is_who_asks(desk: Desk) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    desk.own(pid=gone.pid)
    assert not is_at_work(desk.folder)
    desk.own(pid=os.getpid())
    assert not is_at_work(desk.folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_who_was_killed_and_is_waited_for_by_nobody_is_not_at_work(desk: Desk) -> None:
    killed = subprocess.Popen(["sleep", "60"])
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    desk.own(pid=killed.pid)
    assert not is_at_work(desk.folder)
    killed.wait()


def test_who_is_on_another_machine_is_believed(desk: Desk) -> None:
    desk.own(host="elsewhere", pid=1)
    assert is_at_work(desk.folder)


# ── the life of a run ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_from_before_a_run_to_after_it(desk: Desk) -> None:
    await desk.book.plan(*(make_spec(name) for name in "abc"))
    assert desk.look().phase is Phase.NEVER
    desk.own()
    look = desk.look()
    assert (look.phase, look.snapshot.elapsed_s) == (Phase.STARTING, 0.0)
    assert "being prepared" in look.snapshot.about.hint
    run = await desk.book.ledger.begin_run(desk.now, desk.pid, "host")
    await desk.move("a", State.DONE)
    await desk.move("b", State.SUBMITTED)
    look = desk.look(10.0)
    assert (look.phase, look.snapshot.elapsed_s, look.snapshot.spent_usd) == (Phase.RUNNING, 10.0, 0.08)
    assert look.snapshot.counts == counts(planned=1, submitted=1, done=1)
    assert look.snapshot.about.resume == f"batcher resume {desk.folder}"
    assert look.snapshot.about.hint == "Ctrl-C ends the watching only; to go on after the run:"
    await desk.book.ledger.end_run(run, desk.now, ExitReason.INTERRUPTED)
    assert desk.look().phase is Phase.RUNNING, "its report is still written"
    desk.own(closed=True)
    look = desk.look(500.0)
    assert (look.phase, look.reason, look.snapshot.elapsed_s) == (Phase.ENDED, ExitReason.INTERRUPTED, 10.0)
    await desk.book.ledger.aclose()


async def test_a_run_that_was_killed(desk: Desk) -> None:
    await desk.book.plan(make_spec("a"))
    await desk.book.ledger.begin_run(desk.now, desk.pid, "host")
    look = desk.look()
    assert (look.phase, look.reason) == (Phase.KILLED, None)
    await desk.book.ledger.aclose()


async def test_of_a_second_run_the_first_is_not_told(desk: Desk) -> None:
    await desk.book.plan(*(make_spec(name) for name in "ab"))
    desk.own()
    run = await desk.book.ledger.begin_run(desk.now, desk.pid, "host")
    await desk.book.ledger.put_meta({CONCURRENCY: {"changes": [asdict(Change(desk.now + 1, 3, "of the first"))]}})
    assert desk.look(5.0).snapshot.under_way.limit == 3
    await desk.book.ledger.end_run(run, desk.now, ExitReason.INTERRUPTED)
    desk.now += 100.0
    await desk.book.ledger.begin_run(desk.now, desk.pid, "host")
    look = desk.look(5.0)
    assert (look.snapshot.elapsed_s, look.snapshot.under_way.limit, look.snapshot.under_way.change) == (5.0, 64, None)
    await desk.book.ledger.aclose()


async def test_what_goes_on_as_far_as_the_ledger_knows(desk: Desk) -> None:
    await desk.book.plan(*(make_spec(name) for name in "abcd"))
    desk.own()
    await desk.book.ledger.begin_run(desk.now, desk.pid, "host")
    change = Change(desk.now + 2, 7, "it took 6, and refused 9")
    facts = {"run": RunSettings(concurrency=9).model_dump(), "service": "simulator", "name": "shop", CONCURRENCY: {"changes": [asdict(change)]}}
    await desk.book.ledger.put_meta(facts)
    await desk.move("a", State.SUBMITTED)
    await desk.move("b", State.IN_DOUBT)
    look = desk.look(10.0)
    way = look.snapshot.under_way
    assert (look.name, look.snapshot.about.is_simulated) == ("shop", True)
    assert (way.limit, way.most, way.change) == (7, 9, change)
    assert [(flight.row_id, flight.queued, flight.place) for flight in way.oldest] == [("a", None, None)]
    assert [job.row_id for job in look.snapshot.failures] == ["b"]
    assert look.snapshot.left is None, "nobody has written yet how long the model takes"
    times = ServiceTimes()
    for _ in range(30):
        times.saw_finished(8.0, 9.0)
    await desk.book.ledger.put_meta({LEARNED: {MODEL: times.keep()}})
    left = desk.look(10.0).snapshot.left
    assert left is not None
    assert 0 < left.low_s <= left.expected_s <= left.high_s < 120
    await desk.book.ledger.aclose()


async def test_a_run_of_which_nothing_is_heard(desk: Desk) -> None:
    await desk.book.plan(make_spec("a"))
    desk.own(host="elsewhere")
    await desk.book.ledger.begin_run(desk.now, 1, "elsewhere")
    assert desk.look(QUIET_S - 1).snapshot.about.hint.startswith("Ctrl-C")
    assert desk.look(121).snapshot.about.hint.startswith("Nothing new for 3 min; Ctrl-C ends the watching only")
    await desk.book.ledger.aclose()


async def test_facts_that_make_no_sense_are_no_reason_to_fail(desk: Desk) -> None:
    await desk.book.plan(make_spec("a"))
    desk.own()
    await desk.book.ledger.begin_run(desk.now, desk.pid, "host")
    await desk.move("a", State.SUBMITTED)
    await desk.book.ledger.put_meta({"run": {"concurrency": "many"}, CONCURRENCY: 7, LEARNED: [1]})
    assert desk.look(1.0).snapshot.under_way.limit == RunSettings().concurrency
    await desk.book.ledger.aclose()


async def test_whoever_watches_does_not_hold_the_ledger_open(desk: Desk) -> None:
    await desk.book.plan(make_spec("a"))
    desk.look()
    await desk.book.ledger.aclose()
    assert not (desk.folder / f"{LEDGER}-wal").exists(), "it was tidied up by who closed it last"


# ── what is not there, or cannot be read ──────────────────────────────────────────────────────────────────────────────


def test_a_batch_that_is_not_there_is_waited_for_a_little(tmp_path: Path) -> None:
    now = [NOW]
    watch = Watch(tmp_path / "out", lambda: now[0])
    assert watch.look() is None
    now[0] += START_S + 0.1
    with pytest.raises(InputError, match="no batch was run here"):
        watch.look()


def test_a_ledger_in_the_making_is_waited_for_as_long_as_somebody_is_at_work(tmp_path: Path, somebody: subprocess.Popen[bytes]) -> None:
    now = [NOW]
    watch = Watch(tmp_path, lambda: now[0])
    (tmp_path / LEDGER).write_bytes(b"")
    (tmp_path / Owner.FILE).write_text(json.dumps({"pid": somebody.pid, "host": socket.gethostname()}), "utf-8")
    now[0] += START_S + 1
    assert watch.look() is None
    now[0] += UNREADABLE_S
    with pytest.raises(LedgerError):
        watch.look()


# ── the latest failures ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_latest_failures_come_first_whatever_their_place_in_the_manifest(desk: Desk) -> None:
    names = [f"r{n}" for n in range(6)]
    await desk.book.plan(*map(make_spec, names))
    for n, name in enumerate(["r3", "r0", "r5"]):
        (job,) = [job for job in await desk.book.rows() if job.row_id == name]
        failed = replace(job, state=State.FAILED, ended_at=NOW + n, failure=Failure(FailureKind.REJECTED, name))
        await desk.book.ledger.record(failed, TO_STATE[State.IN_DOUBT][1], NOW)
    assert [job.row_id for job in desk.look().snapshot.failures] == ["r5", "r0", "r3"]
    await desk.book.ledger.aclose()


# ── exit codes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "of", "code"),
    [
        (ExitReason.COMPLETED, counts(done=3), 0),
        (ExitReason.COMPLETED, counts(done=3, failed=1), 1),
        (ExitReason.COMPLETED, counts(in_doubt=1), 1),
        (ExitReason.COMPLETED, counts(cancelled=1), 1),
        (ExitReason.INTERRUPTED, counts(done=1, planned=1), 130),
        (ExitReason.TERMINATED, counts(planned=1), 143),
        (ExitReason.NO_BALANCE, counts(planned=1), 75),
        (None, counts(planned=1, failed=1), 75),
        (None, counts(done=1), 0),
        (None, counts(), 0),
    ],
)
def test_the_code_of_a_run(reason: ExitReason | None, of: dict[State, int], code: int) -> None:
    assert exit_code(reason, of) == code


def test_a_file_that_is_missing_is_no_success() -> None:
    assert exit_code(ExitReason.COMPLETED, counts(done=3), files_missing=1) == 1
