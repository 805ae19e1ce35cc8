"""A queue in front of a fixed number of slots, worked out from the clock: who waits, who runs, since when and until when.

Nothing happens in the background. Every question is asked with the time it is asked at, and whatever would have happened by then is made to have
happened first, in order. Times are seconds since the epoch and never go back.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """When a request holds a slot; `ends_at` is infinite for one that never ends."""

    started_at: float
    ends_at: float


class SlotQueue:
    """First come, first served, over `slots` places. Requests are known by ordinals that rise in the order of arrival."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[int] = []
        self._service_s: dict[int, float] = {}
        self._busy: list[tuple[float, int]] = []
        self._runs: dict[int, Run] = {}

    def enter(self, ordinal: int, now: float, service_s: float) -> None:
        """Take a request in; it starts at once if a slot is free."""
        self.advance(now)
        self._waiting.append(ordinal)
        self._service_s[ordinal] = service_s
        self._start_next(now)
        self.advance(now)

    def leave(self, ordinal: int, now: float) -> bool:
        """Take a request out while it waits; False if it does not wait."""
        self.advance(now)
        index = self._index(ordinal)
        if index is None:
            return False
        del self._waiting[index]
        del self._service_s[ordinal]
        return True

    def position(self, ordinal: int, now: float) -> int | None:
        """The request's place in the queue, from 1; None if it does not wait."""
        self.advance(now)
        index = self._index(ordinal)
        return None if index is None else index + 1

    def run(self, ordinal: int, now: float) -> Run | None:
        """When the request holds or held its slot; None if it has not started."""
        self.advance(now)
        return self._runs.get(ordinal)

    def running(self, now: float) -> int:
        """How many requests hold a slot."""
        self.advance(now)
        return len(self._busy)

    def unfinished(self, now: float) -> int:
        """How many requests wait or hold a slot."""
        return self.running(now) + len(self._waiting)

    def advance(self, now: float) -> None:
        """Let everything happen that happens up to `now`."""
        while self._busy and self._busy[0][0] <= now:
            ended_at, _ = heapq.heappop(self._busy)
            self._free += 1
            self._start_next(ended_at)

    def _start_next(self, now: float) -> None:
        if self._free and self._waiting:
            ordinal = self._waiting.pop(0)
            ends_at = now + self._service_s.pop(ordinal)
            self._runs[ordinal] = Run(now, ends_at)
            heapq.heappush(self._busy, (ends_at, ordinal))
            self._free -= 1

    def _index(self, ordinal: int) -> int | None:
        index = bisect_left(self._waiting, ordinal)
        return index if index < len(self._waiting) and self._waiting[index] == ordinal else None
