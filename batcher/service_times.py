"""How long a model takes, learned from polls: a hazard in bins of the logarithm of time, and from it the best moment to look again.

A poll that finds a request unfinished is information too: it adds time at risk without an end (a censored observation). A poll that finds it finished
knows only that the end lay between this poll and the one before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

FIRST_S: Final = 0.05
RATIO: Final = 1.15
BINS: Final = 100
"""Bins from 0.05 s to about 16 hours, each 15 % longer than the one before; the last has no end."""

PRIOR_MEDIAN_S: Final = 12.0
PRIOR_SIGMA: Final = 1.1
PRIOR_WEIGHT: Final = 0.5
"""What is believed of a model that was never seen: lognormal, from a second to some minutes, worth half a job."""

MEMORY: Final = 400.0
"""After so many jobs, what was seen of them counts half, because services change."""

_EDGES: Final = (0.0, *(FIRST_S * RATIO**n for n in range(BINS - 1)), math.inf)
LONGEST_S: Final = _EDGES[-2]
"""About 16 hours: from there on nothing is told apart."""


def _bin(age_s: float) -> int:
    return 0 if age_s < FIRST_S else min(BINS - 1, 1 + int(math.log(age_s / FIRST_S) / math.log(RATIO)))


def _prior() -> tuple[list[float], list[float]]:
    """Ends and seconds at risk in each bin of half a job of the prior."""
    ends, risks = [], []
    for low, high in itertools.pairwise(_EDGES):
        reach = min(high, 4 * low + 1)
        steps = [low + (reach - low) * (n + 0.5) / 8 for n in range(8)]
        alive = sum(_survival(step) for step in steps) / 8
        ended = _survival(low) - _survival(reach)
        ends.append(PRIOR_WEIGHT * max(ended, 1e-12))
        risks.append(PRIOR_WEIGHT * max(alive * (reach - low), 1e-9))
    return ends, risks


def _survival(age_s: float) -> float:
    return 0.5 * math.erfc(math.log(age_s / PRIOR_MEDIAN_S) / (PRIOR_SIGMA * math.sqrt(2))) if age_s > 0 else 1.0


_PRIOR: Final = _prior()


def _bins(kept: object) -> list[tuple[int, float, float]]:
    """The bins in what was kept: number, ends, seconds at risk. None at all where it is not what `keep` returned."""
    try:
        bins = [(number, float(end), float(risk)) for number, end, risk in kept["bins"]]  # type: ignore[index]
    except (TypeError, ValueError, KeyError, OverflowError):
        return []
    sane = all(type(number) is int and 0 <= number < BINS and 0 <= end < math.inf and 0 <= risk < math.inf for number, end, risk in bins)
    return bins if sane else []


class ServiceTimes:
    """What is known of one model's time from submit to end, in seconds. Cheap enough to be asked before every poll."""

    def __init__(self, kept: object = None) -> None:
        """With `kept`, what `keep` returned at an earlier time; anything else that it may be is ignored."""
        self._ends, self._risks = [0.0] * BINS, [0.0] * BINS
        for number, end, risk in _bins(kept):
            self._ends[number], self._risks[number] = end, risk
        prior_ends, prior_risks = _PRIOR
        self._hazards = [(a + b) / (c + d) for a, b, c, d in zip(prior_ends, self._ends, prior_risks, self._risks, strict=True)]
        self.jobs = sum(self._ends)
        """Finished jobs that this is learned from, faded ones in part."""
        self.median_s = self.quantile_s(0.5)
        """By which age half of the requests are finished, as it was when the last one finished."""

    def keep(self) -> dict[str, Any]:
        """What was learned, to be kept as JSON."""
        bins = [
            (number, round(end, 4), round(risk, 4)) for number, (end, risk) in enumerate(zip(self._ends, self._risks, strict=True)) if risk or end
        ]
        return {"bins": bins}

    def saw_unfinished(self, since_s: float, age_s: float) -> None:
        """A poll at `age_s` found a request unfinished; the one before was at `since_s`."""
        for number in range(_bin(since_s), _bin(age_s) + 1):
            self._add(number, 0.0, max(0.0, min(age_s, _EDGES[number + 1]) - max(since_s, _EDGES[number])))

    def saw_finished(self, since_s: float, age_s: float) -> None:
        """A poll at `age_s` found a request finished that was not at `since_s`."""
        shares: list[tuple[int, float, float, float]] = []
        alive = 1.0
        for number in range(_bin(since_s), _bin(age_s) + 1):
            low, high = max(since_s, _EDGES[number]), max(since_s, min(age_s, _EDGES[number + 1]))
            gone = -math.expm1(-self._hazards[number] * (high - low))
            shares.append((number, alive * gone, low, high))
            alive *= 1 - gone
        total, unfinished = sum(share for _, share, _, _ in shares), 1.0
        for number, share, low, high in shares:
            part = share / total if total > 0 else 1 / len(shares)
            unfinished -= part
            self._add(number, part, (unfinished + part / 2) * (high - low))
        self.jobs += 1
        if self.jobs > MEMORY:
            self._fade(0.5)
        self.median_s = self.quantile_s(0.5)

    def hazard(self, age_s: float) -> float:
        """Ends a second among requests that are `age_s` old and unfinished."""
        return self._hazards[_bin(age_s)]

    def next_look_s(self, age_s: float, poll_cost_s: float, ceiling_s: float) -> float:
        """How long to wait until the next poll of a request of this age.

        The wait at which the expected lag, the integral of hazard times time since the end, has reached the cost of a poll. Under a constant hazard
        that is `sqrt(2 * poll_cost_s / hazard)`.
        """
        waited, owed, slope = 0.0, poll_cost_s, 0.0
        number = _bin(age_s)
        at = age_s
        while waited < ceiling_s:
            high = _EDGES[number + 1]
            hazard, length = self._hazards[number], high - at
            # Within the bin the expected number of ends grows as slope + hazard*x, and each end waits: owed shrinks by slope*x + hazard*x^2/2.
            if slope * length + hazard * length * length / 2 >= owed:
                return min(ceiling_s, waited + (math.sqrt(slope * slope + 2 * hazard * owed) - slope) / hazard)
            owed -= slope * length + hazard * length * length / 2
            slope += hazard * length
            waited += length
            at = high
            number += 1
        return ceiling_s

    def survival(self, age_s: float, given_s: float = 0.0) -> float:
        """The probability that a request is unfinished at `age_s`, if it was unfinished at `given_s`."""
        total = 0.0
        for number in range(_bin(given_s), _bin(age_s) + 1):
            low, high = max(given_s, _EDGES[number]), min(age_s, _EDGES[number + 1])
            total += self._hazards[number] * max(0.0, high - low)
        return math.exp(-total)

    def quantile_s(self, share: float, given_s: float = 0.0) -> float:
        """The age by which `share` of the requests that were unfinished at `given_s` are finished."""
        need = -math.log1p(-share)
        at = given_s
        for number in range(_bin(given_s), BINS):
            high, hazard = _EDGES[number + 1], self._hazards[number]
            if hazard * (high - at) >= need:
                return at + need / hazard
            need -= hazard * (high - at)
            at = high
        return at

    def survival_table(self) -> tuple[Sequence[float], list[float]]:
        """Ages, and the share of requests that are unfinished at each of them."""
        total, alive = 0.0, [1.0]
        for (low, high), hazard in zip(itertools.pairwise(_EDGES[:-1]), self._hazards, strict=False):
            total += hazard * (high - low)
            alive.append(math.exp(-total))
        return _EDGES[:-1], alive

    def ended_by_s(self, share: float) -> float:
        """The age by which `share` of those that were seen to finish had finished: requests that may never do so do not count."""
        left = share * self.jobs
        for number, ends in enumerate(self._ends):
            left -= ends
            if left <= 1e-9:
                return min(_EDGES[number + 1], LONGEST_S)
        return LONGEST_S

    def _add(self, number: int, ends: float, risk: float) -> None:
        prior_ends, prior_risks = _PRIOR
        self._ends[number] += ends
        self._risks[number] += risk
        self._hazards[number] = (self._ends[number] + prior_ends[number]) / (self._risks[number] + prior_risks[number])

    def _fade(self, factor: float) -> None:
        self._ends = [end * factor for end in self._ends]
        self._risks = [risk * factor for risk in self._risks]
        self.jobs *= factor
