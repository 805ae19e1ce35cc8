"""Compares ways to poll on the same jobs, in virtual time: polls a job, mean lag between the end of a job and the poll that sees it, and makespan.

python benchmarks/polling.py [--jobs 2000] [--seeds 5] [--json FILE]

The first table is a simulation of events, with the decisions of `batcher.polling` for what is learned; the second is the engine itself, with its
ledger in memory, a service without a queue, and a wire of 5 to 15 ms each way.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from batcher.events import Event, Produced, Running
from batcher.model import Job, JobSpec, State
from batcher.polling import LEARNED, POLL_COST_S, Polls
from batcher.settings import RunSettings
from tests.support.engine_world import World
from tests.support.virtual_time import run_virtual

MEDIAN_S, SIGMA, CONCURRENCY = 8.0, 0.5, 256
GOALS = {"learned, cold": 0.82, "learned, warm": 0.75}
OPTIMUM_GOAL, POLLS_GOAL, MAKESPAN_GOAL = 1.10, 5.0, 1.08
FIXED = "fixed 2 s"

SPEC = JobSpec(key="job", row_id="job", fingerprint="", job="raw", model="acme/paint", body={}, stem="job")


@dataclass(frozen=True)
class Result:
    """Polls a job and mean lag of one way to poll, and their product."""

    name: str
    polls: float
    lag_s: float
    product: float


class Policy(Protocol):
    def wait_s(self, age_s: float, job: Job) -> float: ...
    def saw(self, age_s: float, job: Job, event: Event) -> None: ...


class Fixed:
    def __init__(self, interval_s: float, factor: float = 1.0, ceiling_s: float = math.inf) -> None:
        self.interval_s, self.factor, self.ceiling_s = interval_s, factor, ceiling_s

    def wait_s(self, age_s: float, job: Job) -> float:
        return min(self.ceiling_s, self.interval_s * self.factor**job.polls)

    def saw(self, age_s: float, job: Job, event: Event) -> None: ...


class Learned:
    """What the engine does, cold or with what an earlier run kept."""

    def __init__(self, seed: int, kept: object = None) -> None:
        self.polls = Polls(RunSettings())
        self.polls.recall(kept)
        self.rng = random.Random(seed)

    def wait_s(self, age_s: float, job: Job) -> float:
        return self.polls.wait_s(job, age_s, self.rng.random())

    def saw(self, age_s: float, job: Job, event: Event) -> None:
        self.polls.looked(job, age_s, event)


class Optimum:
    """The schedule that is best where the distribution is known, by dynamic programming over a grid of ages."""

    def __init__(self, step_s: float = 0.02, end_s: float = 60.0, longest_s: float = 12.0) -> None:
        n = int(end_s / step_s)
        alive = [_alive(i * step_s) for i in range(n + 1)]
        area = [0.0] * (n + 1)
        for i in range(n):
            area[i + 1] = area[i] + (alive[i] + alive[i + 1]) / 2 * step_s
        cost, self.choice, self.step_s = [0.0] * (n + 1), [1] * (n + 1), step_s
        for i in range(n - 1, -1, -1):
            best = math.inf
            for j in range(i + 1, min(n, i + int(longest_s / step_s)) + 1):
                lag = (j - i) * step_s * alive[i] - (area[j] - area[i])
                if (total := POLL_COST_S * alive[i] + lag + cost[j]) < best:
                    best, self.choice[i] = total, j - i
            cost[i] = best

    def wait_s(self, age_s: float, job: Job) -> float:
        return self.choice[min(len(self.choice) - 2, round(age_s / self.step_s))] * self.step_s

    def saw(self, age_s: float, job: Job, event: Event) -> None: ...


def _alive(age_s: float) -> float:
    return 0.5 * math.erfc(math.log(age_s / MEDIAN_S) / (SIGMA * math.sqrt(2))) if age_s > 0 else 1.0


def drawn(jobs: int, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [MEDIAN_S * math.exp(SIGMA * rng.gauss(0, 1)) for _ in range(jobs)]


def simulate(name: str, policy: Policy, durations: Sequence[float]) -> Result:
    """Every job is submitted as soon as a slot is free, and frees it with the poll that sees its end."""
    waiting, heap = iter(durations), list[tuple[float, int, float, float, Job]]()
    polls = lag = now = 0.0

    def submit(number: int) -> None:
        if (duration := next(waiting, None)) is not None:
            job = Job(number, SPEC, State.SUBMITTED, request_id=str(number), submitted_at=0.0, looked_at=0.0)  # its clock begins with it
            heapq.heappush(heap, (now + policy.wait_s(0.0, job), number, now, duration, job))

    for number in range(CONCURRENCY):
        submit(number)
    while heap:
        now, number, began, duration, job = heapq.heappop(heap)
        age = now - began
        polls += 1
        if age >= duration:
            policy.saw(age, job, Produced(()))
            lag += age - duration
            submit(number)
        else:
            policy.saw(age, job, Running(False))
            job = replace(job, polls=job.polls + 1, looked_at=age)
            heapq.heappush(heap, (now + policy.wait_s(age, job), number, began, duration, job))
    n = len(durations)
    return Result(name, polls / n, lag / n, polls / n * lag / n)


def compare(jobs: int, seeds: int) -> list[Result]:
    """Each way on the same jobs; medians over the seeds."""
    optimum = Optimum()
    ways: dict[str, Callable[[int, object], Policy]] = {
        "fixed 0.5 s": lambda seed, kept: Fixed(0.5),
        FIXED: lambda seed, kept: Fixed(2.0),
        "exponential 1 to 10 s": lambda seed, kept: Fixed(1.0, 1.5, 10.0),
        "learned, cold": lambda seed, kept: Learned(seed),
        "learned, warm": Learned,
        "offline optimum": lambda seed, kept: optimum,
    }
    found: dict[str, list[Result]] = {name: [] for name in ways}
    for seed in range(seeds):
        earlier = Learned(1000 + seed)
        simulate("", earlier, drawn(jobs, 1000 + seed))
        kept, durations = earlier.polls.keep(), drawn(jobs, seed)
        for name, way in ways.items():
            found[name].append(simulate(name, way(seed, kept), durations))
    return [_median(results) for results in found.values()]


def _median(results: Sequence[Any]) -> Any:
    """The median of each figure."""
    first, *_ = results
    return replace(first, **{name: statistics.median(getattr(each, name) for each in results) for name in asdict(first) if name != "name"})


# ── the engine itself ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Makespan:
    """What a run of the engine took, against N*T/C, and against what it takes where every end is seen at once and the next job begins at once.

    That best makespan is more than N*T/C because at the end slots stand empty, which no way to poll can change. `in_slot` is how long a job holds its
    slot, against its own time: what the makespan comes to where rows are many.
    """

    name: str
    polls: float
    lag_s: float
    in_slot: float
    makespan_s: float
    of_ideal: float
    of_best: float
    best_of_ideal: float


class _Ends:
    """Sees when each end becomes known."""

    def __init__(self) -> None:
        self.seen_at: dict[str | None, float] = {}

    def observe(self, job: Job, event: Event, now: float) -> None:
        if isinstance(event, Produced):
            self.seen_at.setdefault(job.request_id, now)

    def notice(self, message: str, now: float, *, passing: bool = False) -> None: ...


def run_engine(name: str, seed: int, jobs: int, settings: RunSettings, kept: object = None) -> tuple[Makespan, object]:
    """One batch through the engine; also what it kept of what it learned."""

    async def main() -> tuple[Makespan, object]:
        world = World(
            seed, settings=settings, service_s=lambda rng: MEDIAN_S * math.exp(SIGMA * rng.gauss(0, 1)), wire_s=lambda rng: rng.uniform(0.005, 0.015)
        )
        world.fetcher.seconds = 0.1
        world.log = ends = _Ends()  # type: ignore[assignment]
        await world.plan(jobs)
        if isinstance(kept, dict):
            await world.ledger.put_meta({LEARNED: kept})
        began = world.clock.now()
        await world.engine().run()
        accepted = world.provider.accepted
        took = [request.ends_at - request.starts_at for request in accepted.values()]
        lag_s = statistics.fmean(ends.seen_at[request_id] - request.ends_at for request_id, request in accepted.items())
        polls, makespan_s, best_s, ideal_s = world.provider.calls["status"] / jobs, world.clock.now() - began, _best_s(took), sum(took) / CONCURRENCY
        in_slot = 1 + lag_s / statistics.fmean(took)
        makespan = Makespan(name, polls, lag_s, in_slot, makespan_s, makespan_s / ideal_s, makespan_s / best_s, best_s / ideal_s)
        return makespan, await world.ledger.fact(LEARNED)

    return run_virtual(main())


def _best_s(durations: Sequence[float]) -> float:
    free = [0.0] * CONCURRENCY
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def run_engines(jobs: int, seeds: int) -> list[Makespan]:
    fixed, learned = RunSettings(concurrency=CONCURRENCY, poll_floor_s=2.0, poll_ceiling_s=2.0), RunSettings(concurrency=CONCURRENCY)
    found: list[list[Makespan]] = []
    for seed in range(seeds):
        cold, kept = run_engine("learned, cold", 1000 + seed, jobs, learned)
        warm, _ = run_engine("learned, warm", seed, jobs, learned, kept)
        found.append([run_engine(FIXED, seed, jobs, fixed)[0], cold, warm])
    return [_median(results) for results in zip(*found, strict=True)]


# ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares ways to poll, in virtual time.")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = compare(options.jobs, options.seeds)
    product = {result.name: result.product for result in results}
    print(f"{options.jobs} jobs, lognormal, median {MEDIAN_S:g} s, sigma {SIGMA:g}, {CONCURRENCY} at once; medians of {options.seeds} seeds\n")
    print(f"{'':22} {'polls a job':>11} {'lag s':>6} {'polls x lag':>11} {'of fixed 2 s':>12} {'goal':>5} {'of optimum':>10} {'goal':>5}")
    for result in results:
        goal = f"{GOALS[result.name]:5.2f}" if result.name in GOALS else f"{'':5}"
        last = f"{OPTIMUM_GOAL:5.2f}" if result.name == "learned, warm" else ""
        ratios = f"{result.product / product[FIXED]:12.2f} {goal} {result.product / product['offline optimum']:10.2f} {last}"
        print(f"{result.name:22} {result.polls:11.2f} {result.lag_s:6.2f} {result.product:11.2f} {ratios}".rstrip())
    engines = run_engines(options.jobs, options.seeds)
    print(f"\nthe engine; goals: at most {POLLS_GOAL:g} polls a job, makespan at most {MAKESPAN_GOAL} of the ideal N*T/C\n")
    print(f"{'':22} {'polls a job':>11} {'lag s':>6} {'(T+lag)/T':>9} {'makespan s':>10} {'of N*T/C':>8} {'of the best':>11} {'best of N*T/C':>13}")
    for run in engines:
        ratios = f"{run.of_ideal:8.2f} {run.of_best:11.3f} {run.best_of_ideal:13.2f}"
        print(f"{run.name:22} {run.polls:11.2f} {run.lag_s:6.2f} {run.in_slot:9.3f} {run.makespan_s:10.1f} {ratios}")
    if options.json is not None:
        rows = {"policies": [asdict(each) for each in results], "engine": [asdict(each) for each in engines]}
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
