"""How many requests to have at the service at once: fewer when it says "too many", then slowly more, to just below what it refused.

Pure: times are in seconds on one clock. Congestion control as in networks, with a memory for the ceiling that failed.

A 429 does not say whether too many requests are at the service or too many came in a second. So the first one only holds what is there, and when its
wait is over one more is tried. Where that is accepted, it was not about how many there are, and the limit grows again, a few a second. Where it is
refused too, the limit is cut, climbs to just below what failed, and stays there until that is so long ago that it is worth trying again.

A rate that the service allows is not learned: growth that is slow keeps near it without many refusals, and `submits_per_s` states it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

CUT: Final = 0.8

NEAR: Final = 0.9
"""A refusal at this share of a ceiling that failed is put down to it at once."""

CLIMB_EVERY_S: Final = 5.0
CLIMB_BY: Final = 0.05
"""How the limit grows, at least by one, below a ceiling that failed."""

GROW_EVERY_S: Final = 1.0
GROW_BY: Final = 0.05
"""How it grows where none did. Not at once: what a service allows in a second would be used up by the growth alone."""

FREEZE_S: Final = 30.0
"""How long a server error holds growth back. It does not cut: a service in trouble is no sign of too many requests."""

FORGET_S: Final = 300.0
"""How long a ceiling that failed is respected, from the last time that it failed."""

CHANGES_KEPT: Final = 100

CONCURRENCY: Final = "concurrency"
"""The fact of a batch that holds what `ConcurrencyLimit.keep` returned."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the limit, and why."""

    at: float
    limit: int
    reason: str


def changes_of(kept: Any) -> list[Change]:
    """The changes in what `keep` returned; none where it is not that."""
    try:
        return [Change(float(change["at"]), int(change["limit"]), str(change["reason"])) for change in kept["changes"]]
    except (KeyError, TypeError, ValueError):
        return []


class ConcurrencyLimit:
    """The limit between one and `most`. It begins at `most`: a service that sets no limit is never slowed."""

    def __init__(self, most: int) -> None:
        self.limit = most
        self.changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        """The latest, those of earlier runs that were recalled included."""
        self._most = most
        self._suspect: int | None = None
        """With so many at the service, itself counted, one was refused, once."""
        self._failed: int | None = None
        """The same, after it was refused again: hardly for how many came in a second."""
        self._failed_at = float("-inf")
        self._refused_at = float("-inf")
        self._is_undecided = False
        """Whether nothing was made of the last refusal yet: what was under way then tells how many there is room for."""
        self._there = 0
        """The most that were at the service since it."""
        self._grows_at = float("-inf")

    def recall(self, kept: Any, now: float) -> Change | None:
        """Begin with what `keep` returned in an earlier run, if it is that. The change, if a ceiling failed lately."""
        self.changes.extend(changes_of(kept))
        try:
            failed, failed_at = int(kept["failed"]), float(kept["failed_at"])
        except (KeyError, TypeError, ValueError):
            return None
        if not 0 <= now - failed_at < FORGET_S:
            return None
        self._failed, self._failed_at = failed, failed_at
        return self._set(now, failed - 1, f"{failed} were too many in the run before")

    def keep(self) -> dict[str, Any]:
        """What was learned, to be kept as JSON."""
        failed_at = None if self._failed is None else self._failed_at
        return {"failed": self._failed, "failed_at": failed_at, "changes": [asdict(change) for change in self.changes]}

    def refused(self, now: float, begun: float, there: int) -> None:
        """A submit that was begun then was told "too many", with so many requests at the service.

        One that was begun before the last refusal says nothing new: a burst is one refusal.
        """
        if begun > self._refused_at:
            self._refused_at, self._there, self._is_undecided = now, there, True

    def accepted(self, begun: float, there: int) -> None:
        """A submit that was begun then was accepted, and is one of so many requests at the service now."""
        if self._is_undecided:
            self._there = max(self._there, there)
            return
        disproved = there + 1 if begun <= self._refused_at else None
        if self._suspect is not None and there >= self._suspect:
            self._suspect = disproved
        if self._failed is not None and there >= self._failed:
            self._failed = disproved

    def troubled(self, now: float) -> None:
        """The service failed to answer properly: no growth for a while."""
        self._grows_at = max(self._grows_at, now + FREEZE_S)

    def review(self, now: float, there: int) -> Change | None:
        """To be asked when a request wants to go, with so many there, and no wait is left that the service asked for. The change, if there is one."""
        if self._is_undecided:
            return self._cut(now)
        if self.limit >= self._most or there < self.limit or now < self._grows_at:
            return None
        return self._grow(now)

    def _cut(self, now: float) -> Change | None:
        self._is_undecided = False
        there, failed = self._there, self._there + 1
        is_near = self._failed is not None and failed >= NEAR * self._failed
        if self._suspect is None and not is_near:
            self._suspect = failed
            self._grows_at = max(self._grows_at, now + GROW_EVERY_S)
            return self._set(now, min(self.limit, failed), f"the service said that it is too many, with {there} there")
        self._suspect, self._failed, self._failed_at = None, failed, now
        self._grows_at = max(self._grows_at, now + CLIMB_EVERY_S)
        return self._set(now, int(there * CUT), f"the service said again that it is too many, with {there} there")

    def _grow(self, now: float) -> Change | None:
        failed = self._suspect or self._failed
        if failed is None:
            self._grows_at = now + GROW_EVERY_S
            return self._set(now, self.limit + max(1, int(self.limit * GROW_BY)), f"it took {self.limit}")
        ceiling, reason = failed, f"it took {self.limit}, and {failed} is tried again"
        if self._suspect is None and now - self._failed_at < FORGET_S:
            ceiling, reason = failed - 1, f"it took {self.limit}, and refused {failed}"
        self._grows_at = now + CLIMB_EVERY_S
        return self._set(now, max(self.limit, min(ceiling, self.limit + max(1, int(self.limit * CLIMB_BY)))), reason)

    def _set(self, now: float, limit: int, reason: str) -> Change | None:
        limit = max(1, min(self._most, limit))
        if limit == self.limit:
            return None
        self.limit = limit
        self.changes.append(Change(now, limit, reason))
        return self.changes[-1]
