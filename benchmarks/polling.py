"""Compares ways to poll on the same jobs, in a simulation of events: polls a job, mean lag between the end of a job and the poll that sees it.

python benchmarks/polling.py --jobs 2000
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from batcher.service_times import ServiceTimes

MEDIAN_S, SIGMA, CONCURRENCY = 8.0, 0.5, 256
POLL_COST_S = 0.2


@dataclass
class Result:
    name: str
    polls: float
    lag_s: float
    makespan: float

    @property
    def product(self) -> float:
        return self.polls * self.lag_s


class Fixed:
    def __init__(self, interval_s: float, factor: float = 1.0, ceiling_s: float = math.inf) -> None:
        self.interval_s, self.factor, self.ceiling_s = interval_s, factor, ceiling_s

    def wait_s(self, age_s: float, polls: int) -> float:
        return min(self.ceiling_s, self.interval_s * self.factor**polls)

    def saw(self, since_s: float, age_s: float, finished: bool) -> None:
        pass


class Learned:
    def __init__(self, times: ServiceTimes | None = None, rng: random.Random | None = None) -> None:
        self.times = times or ServiceTimes()
        self.rng = rng or random.Random(5)

    def wait_s(self, age_s: float, polls: int) -> float:
        return max(0.2, self.times.next_look_s(age_s, POLL_COST_S, 60.0))

    def saw(self, since_s: float, age_s: float, finished: bool) -> None:
        (self.times.saw_finished if finished else self.times.saw_unfinished)(since_s, age_s)


class Optimum:
    """The best schedule for a known distribution, by dynamic programming over a grid of ages."""

    def __init__(self, step_s: float = 0.02, end_s: float = 60.0) -> None:
        n = int(end_s / step_s)
        alive = [_alive(i * step_s) for i in range(n + 1)]
        area = [0.0] * (n + 1)
        for i in range(n):
            area[i + 1] = area[i] + (alive[i] + alive[i + 1]) / 2 * step_s
        cost, choice = [0.0] * (n + 1), [1] * (n + 1)
        for i in range(n - 1, -1, -1):
            best = math.inf
            for j in range(i + 1, min(n, i + int(12 / step_s)) + 1):
                lag = (alive[i] * 0 + (j - i) * step_s * alive[i]) - (area[j] - area[i])
                total = POLL_COST_S * alive[i] + lag + cost[j]
                if total < best:
                    best, choice[i] = total, j - i
            cost[i] = best
        self.choice, self.step_s = choice, step_s

    def wait_s(self, age_s: float, polls: int) -> float:
        return self.choice[min(len(self.choice) - 2, round(age_s / self.step_s))] * self.step_s

    def saw(self, since_s: float, age_s: float, finished: bool) -> None:
        pass


def _alive(age_s: float) -> float:
    return 0.5 * math.erfc(math.log(age_s / MEDIAN_S) / (SIGMA * math.sqrt(2))) if age_s > 0 else 1.0


def simulate(name: str, policy: Fixed | Learned | Optimum, durations: list[float], jitter: float = 0.0) -> Result:
    rng = random.Random(1)
    waiting = iter(durations)
    heap: list[tuple[float, int, float, float, float, int]] = []
    serial = 0
    polls = lag = end = 0.0

    def submit(now: float) -> None:
        nonlocal serial
        duration = next(waiting, None)
        if duration is not None:
            serial += 1
            heapq.heappush(heap, (now + policy.wait_s(0.0, 0), serial, now, duration, 0.0, 0))

    for _ in range(CONCURRENCY):
        submit(0.0)
    while heap:
        now, number, submitted, duration, since, count = heapq.heappop(heap)
        polls += 1
        age = now - submitted
        if age >= duration:
            policy.saw(since, age, True)
            lag += age - duration
            end = max(end, now)
            submit(now)
        else:
            policy.saw(since, age, False)
            wait = policy.wait_s(age, count + 1) * (1 - jitter + 2 * jitter * rng.random())
            heapq.heappush(heap, (now + wait, number, submitted, duration, age, count + 1))
    n = len(durations)
    return Result(name, polls / n, lag / n, end / (sum(durations) / CONCURRENCY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    options = parser.parse_args()
    rng = random.Random(7)
    durations = [MEDIAN_S * math.exp(SIGMA * rng.gauss(0, 1)) for _ in range(options.jobs)]
    earlier = [MEDIAN_S * math.exp(SIGMA * rng.gauss(0, 1)) for _ in range(options.jobs)]
    warm = Learned()
    simulate("", warm, earlier)
    makers: list[tuple[str, Callable[[], Fixed | Learned | Optimum]]] = [
        ("fixed 0.5 s", lambda: Fixed(0.5)),
        ("fixed 2 s", lambda: Fixed(2.0)),
        ("exponential 1 to 10 s", lambda: Fixed(1.0, 1.5, 10.0)),
        ("learned, cold", Learned),
        ("learned, warm", lambda: Learned(ServiceTimes(warm.times.keep()))),
        ("offline optimum", Optimum),
    ]
    results = [simulate(name, make(), durations) for name, make in makers]
    against = next(result.product for result in results if result.name == "fixed 2 s")
    print(f"{'policy':24} {'polls':>6} {'lag s':>6} {'polls*lag':>9} {'/ fixed 2 s':>11} {'makespan/ideal':>14}")
    for result in results:
        print(
            f"{result.name:24} {result.polls:6.2f} {result.lag_s:6.2f} {result.product:9.2f} {result.product / against:11.2f} {result.makespan:14.3f}"
        )


if __name__ == "__main__":
    main()
