"""How long a model takes, learned from polls: a hazard in bins of the logarithm of time, and from it the best moment to look again.

A poll that finds a request unfinished is information too: it adds time at risk without an end (a censored observation). A poll that finds it finished
knows only that the end lay between this poll and the one before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final

FIRST_S: Final = 0.05
RATIO: Final = 1.15
BINS: Final = 100
"""Bins from 0.05 s to about 16 hours, each 15 % longer than the one before; the last has no end."""

PRIOR_MEDIAN_S: Final = 12.0
PRIOR_SIGMA: Final = 1.1
PRIOR_WEIGHT: Final = 0.5
"""What is believed of a model that was never seen: lognormal, from a second to some minutes, worth half a job."""

MEMORY: Final = 2000.0
"""After about so many jobs the oldest begin to be forgotten, because services change."""

_EDGES: Final = (0.0, *(FIRST_S * RATIO**n for n in range(BINS - 1)), math.inf)


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


class ServiceTimes:
    """What is known of one model's time from submit to end, in seconds. Cheap enough to be asked before every poll."""

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        """With `kept`, what `keep` returned at an earlier time."""
        ends, risks = _prior()
        self._prior = ends, risks
        self._ends = [0.0] * BINS
        self._risks = [0.0] * BINS
        if kept is not None:
            for number, end, risk in kept["bins"]:
                if 0 <= number < BINS and end >= 0 and risk >= 0:
                    self._ends[number], self._risks[number] = end, risk
        self._hazards = [(a + b) / (c + d) for a, b, c, d in zip(ends, self._ends, risks, self._risks, strict=True)]
        self.jobs = sum(self._ends)
        """Finished jobs that this is learned from, faded ones in part."""

    def keep(self) -> dict[str, Any]:
        """What was learned, to be kept as JSON."""
        bins = [
            (number, round(end, 4), round(risk, 4)) for number, (end, risk) in enumerate(zip(self._ends, self._risks, strict=True)) if risk or end
        ]
        return {"bins": bins}

    def saw_unfinished(self, since_s: float, age_s: float) -> None:
        """A poll at `age_s` found a request unfinished; the one before was at `since_s`."""
        self._add_risk(since_s, age_s)

    def saw_finished(self, since_s: float, age_s: float) -> None:
        """A poll at `age_s` found a request finished that was not at `since_s`."""
        shares: list[tuple[int, float, float, float]] = []
        alive = 1.0
        for number in range(_bin(since_s), _bin(age_s) + 1):
            low, high = max(since_s, _EDGES[number]), min(age_s, _EDGES[number + 1])
            gone = -math.expm1(-self._hazards[number] * (high - low))
            shares.append((number, alive * gone, low, high))
            alive *= 1 - gone
        total = sum(share for _, share, _, _ in shares)
        for number, share, low, high in shares:
            part = share / total if total > 0 else 1 / len(shares)
            self._ends[number] += part
            self._add_risk(since_s, (low + high) / 2, part)
        self.jobs += 1
        if self.jobs > MEMORY:
            self._fade(0.5)

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

    def _add_risk(self, since_s: float, until_s: float, weight: float = 1.0) -> None:
        ends, risks = self._prior
        for number in range(_bin(since_s), _bin(until_s) + 1):
            low, high = max(since_s, _EDGES[number]), min(until_s, _EDGES[number + 1])
            self._risks[number] += weight * max(0.0, high - low)
            self._hazards[number] = (self._ends[number] + ends[number]) / (self._risks[number] + risks[number])

    def _fade(self, factor: float) -> None:
        self._ends = [end * factor for end in self._ends]
        self._risks = [risk * factor for risk in self._risks]
        self.jobs *= factor
