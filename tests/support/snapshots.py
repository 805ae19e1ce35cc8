"""Snapshots of runs, for tests of what is shown of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batcher.concurrency import Change
from batcher.model import Failure, FailureKind, Job, State
from batcher.observe import About, Flight, Snapshot, UnderWay
from batcher.outlook import TimeLeft
from tests.support.engine_world import make_spec

NOW = 1_800_000_000.25
LEFT = TimeLeft(25.0, 30.0, 40.0)
ABOUT = About("batcher resume out/shop", "Ctrl-C stops in order; to go on:")
FLIGHTS = [Flight("mug-beach", NOW - 95, False), Flight("mug-kitchen", NOW - 31, True, 3), Flight("b", NOW - 2, None), Flight("c", NOW, True)]
WAY = UnderWay(17, 64, Change(NOW - 5, 17, "it took 16, and refused 21"), queued=6, running=12, oldest=FLIGHTS)


def counts(**of: int) -> dict[State, int]:
    return dict.fromkeys(State, 0) | {State(name): n for name, n in of.items()}


def failed(row_id: str, message: str = "it did not work", state: State = State.FAILED) -> Job:
    return Job(1, replace(make_spec("a"), row_id=row_id), state, failure=Failure(FailureKind.GENERATION_FAILED, message))


def snapshot(**changes: Any) -> Snapshot:
    of = counts(planned=50, submitted=20, produced=5, done=20, failed=3, in_doubt=2)
    plain = {"about": ABOUT, "at": NOW, "counts": of, "spent_usd": 1.6, "elapsed_s": 30.0, "rate_per_s": 2.5, "left": LEFT, "under_way": WAY}
    return Snapshot(**plain | changes)
