"""How long a run still takes: from what is left, what is under way, and how long the models take."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batcher.model import State
from batcher.service_times import LONGEST_S, ServiceTimes

if TYPE_CHECKING:
    from batcher.settings import RunSettings

LOW, HIGH = 0.1, 0.9
"""A run takes less than the low figure in about one of ten cases, and more than the high one in about one of ten."""

DEVIATIONS = 1.28
"""The same as standard deviations, where the mean of many is uncertain."""

OBSERVED_MIN = 20
"""From so many rows on that ended of late, their rate is believed before one that is computed."""


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """How long it still takes, in seconds: hardly less than, about, hardly more than."""

    low_s: float
    expected_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast rows end of late: so many in so many seconds."""

    ended: int
    in_s: float


def time_left(
    waiting: int,
    ages_s: Mapping[ServiceTimes, Sequence[float]],
    *,
    concurrency: int,
    pace: Pace | None = None,
    submits_per_s: float | None = None,
    longest_s: float = math.inf,
) -> TimeLeft | None:
    """How long until `waiting` rows are submitted and everything has ended; None while nothing is known to tell it from.

    `ages_s` are the ages of the requests under way, by what is known of their model; the rows that wait are taken to be of the same models. No
    request is waited for longer than `longest_s`. There are two parts: until the last row is submitted, at the rate at which others end, and from
    then on until the last request ends. The first is uncertain by how little was seen, the second by chance.
    """
    models = [_UnderWay(times, ages) for times, ages in ages_s.items() if ages and times.jobs >= 1]
    under_way = sum(model.requests for model in models)
    rate_per_s, error = _rate(waiting, models, concurrency, pace, submits_per_s)
    if not under_way and not (waiting and rate_per_s):
        return None

    most_s = min(longest_s, LONGEST_S)

    def until_s(chance: float, submitting_s: float) -> float:
        """By when everything has ended with this probability, if the last row is submitted after `submitting_s`."""

        def is_early(tail_s: float) -> bool:
            still_open = sum(model.open_of_now(submitting_s + tail_s) for model in models)
            if waiting and under_way:
                following = sum(model.requests / under_way * model.open_of_following(rate_per_s, tail_s, submitting_s) for model in models)
                still_open += following
            return still_open > -math.log(chance)

        return submitting_s + min(most_s, _first_false(is_early, most_s))

    spans = [waiting / rate_per_s * factor if waiting else 0.0 for factor in (1 / (1 + error), 1.0, 1 + error)]
    low_s, expected_s, high_s = (until_s(chance, span) for span, chance in zip(spans, (LOW, 0.5, HIGH), strict=True))
    return TimeLeft(low_s, expected_s, high_s)


def time_left_of_run(
    counts: Mapping[State, int],
    ages_s: Mapping[ServiceTimes, Sequence[float]],
    settings: RunSettings,
    *,
    concurrency: int,
    pace: Pace | None,
    submitting: bool = True,
) -> TimeLeft | None:
    """`time_left` of a run with so many rows in each state. Where it is not `submitting` any more, what waits stays."""
    waiting = counts[State.PLANNED] + counts[State.SUBMITTING] if submitting else 0
    longest_s = settings.job_timeout_s if settings.on_stuck == "give_up" else math.inf
    return time_left(
        waiting + counts[State.PRODUCED], ages_s, concurrency=concurrency, pace=pace, submits_per_s=settings.submits_per_s, longest_s=longest_s
    )


def _rate(waiting: int, models: Sequence[_UnderWay], concurrency: int, pace: Pace | None, submits_per_s: float | None) -> tuple[float, float]:
    """Rows that end each second, and by what share that may be wrong."""
    if pace is not None and pace.ended >= OBSERVED_MIN and pace.in_s > 0:
        return pace.ended / pace.in_s, DEVIATIONS / math.sqrt(pace.ended)
    if not models:
        return 0.0, 0.0
    mean_s = sum(model.mean_s * model.requests for model in models) / sum(model.requests for model in models)
    rate_per_s = min(concurrency / max(mean_s, 1e-3), submits_per_s or math.inf)
    return rate_per_s, DEVIATIONS * math.sqrt(1 / sum(model.jobs for model in models) + 1 / max(1, waiting))


def _first_false(holds: Callable[[float], bool], most: float) -> float:
    low, high = 0.0, 1.0
    while high < most and holds(high):
        low, high = high, 2 * high
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


class _UnderWay:
    """The requests of one model that are under way, in groups of about one age, and its distribution as a table for quick questions."""

    def __init__(self, times: ServiceTimes, ages_s: Sequence[float]) -> None:
        self.jobs, self.requests = times.jobs, len(ages_s)
        self._edges, self._alive = times.survival_table()
        self._area = [0.0] * len(self._edges)
        for n in reversed(range(len(self._edges) - 1)):
            self._area[n] = self._area[n + 1] + (self._edges[n + 1] - self._edges[n]) * (self._alive[n] + self._alive[n + 1]) / 2
        self.mean_s = self._area[0]
        groups = Counter(bisect.bisect_right(self._edges, age_s) - 1 for age_s in ages_s)
        self._groups = [(self._edges[n], requests, max(self._alive[n], 1e-300)) for n, requests in groups.items()]

    def open_of_now(self, later_s: float) -> float:
        """How many of those under way now are open after `later_s`, as the negative logarithm of the probability that none is."""
        return sum(-requests * math.log1p(-min(1 - 1e-12, self._at(self._alive, age_s + later_s) / alive)) for age_s, requests, alive in self._groups)

    def open_of_following(self, rate_per_s: float, tail_s: float, submitting_s: float) -> float:
        """How many are open `tail_s` after the last of them, if so many a second are submitted for `submitting_s`: a Poisson distribution."""
        return rate_per_s * (self._at(self._area, tail_s) - self._at(self._area, submitting_s + tail_s))

    def _at(self, values: Sequence[float], age_s: float) -> float:
        n = bisect.bisect_right(self._edges, age_s) - 1
        if n >= len(self._edges) - 1:
            return values[-1]
        return values[n] + (values[n + 1] - values[n]) * (age_s - self._edges[n]) / (self._edges[n + 1] - self._edges[n])
