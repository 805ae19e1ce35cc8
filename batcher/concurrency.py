"""How many requests to have at the service at once: cut when it says "too many", and climb again slowly. Pure: times are in seconds.

Congestion control as in networks, with a memory: a ceiling that failed is remembered, and approached from below, before it is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CUT: Final = 0.8
EPISODE_S: Final = 10.0
"""How long after a cut another one is put down to the same episode: answers to submits that were under way say nothing new."""

GROW_EVERY_S: Final = 5.0
GROW_BY: Final = 0.05
FREEZE_S: Final = 30.0
"""How long a server error holds growth back. It does not cut: a service in trouble is no sign of too many requests."""

FORGET_S: Final = 300.0
"""How long a ceiling that failed is respected, from the last time it failed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the limit, and why."""

    at: float
    limit: int
    reason: str


class ConcurrencyLimit:
    """The limit between one and `most`. It begins at `most`: a service that sets no limit is never slowed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failed: int | None = None
        self._failed_at = float("-inf")
        self._grows_at = float("-inf")
        self.limit = most

    def throttled(self, now: float, in_flight: int, until: float = float("-inf")) -> Change | None:
        """The service said "too many", with so many requests in flight, and asked to wait until then. The change, if there is one."""
        self._grows_at = max(self._grows_at, now + GROW_EVERY_S, until)
        if now - self._failed_at < EPISODE_S:
            return None
        self._failed = max(1, min(self.limit, in_flight))
        self._failed_at = max(now, until)
        return self._set(now, max(1, int(self._failed * CUT)), f"the service said too many requests with {in_flight} in flight")

    def troubled(self, now: float) -> None:
        """The service failed to answer properly: no growth for a while."""
        self._grows_at = max(self._grows_at, now + FREEZE_S)

    def answered(self, now: float, in_flight: int) -> Change | None:
        """A submit was accepted. The change, if the limit was reached and it is time to climb."""
        if self.limit >= self._most or in_flight < self.limit or now < self._grows_at:
            return None
        ceiling, reason = self._most, "no complaint for a while"
        if self._failed is not None and now - self._failed_at < FORGET_S:
            ceiling, reason = min(self._most, self._failed - 1), f"no complaint for a while; {self._failed} was too many"
        elif self._failed is not None:
            reason = f"{self._failed} was too many some time ago, and is tried again"
        if self.limit >= ceiling:
            return None
        self._grows_at = now + GROW_EVERY_S
        return self._set(now, min(ceiling, self.limit + max(1, int(self.limit * GROW_BY))), reason)

    def _set(self, now: float, limit: int, reason: str) -> Change | None:
        if limit == self.limit:
            return None
        self.limit = limit
        return Change(now, limit, reason)
