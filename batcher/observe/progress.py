"""Where a run is: numbers taken from the ledger's tallies, and the words for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batcher.model import State
from batcher.outlook import Pace, TimeLeft

WINDOW_S = 60.0
"""The rate is that of about the last minute."""

SECONDS_S = 10.0
"""A time left that is shorter is told as one figure."""

LEFT_EVERY_S = 1.0
"""How often the time left is worked out again."""

PACE_MIN_S = 5.0
"""How long rows have to end, from the first on, until their pace is believed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The run at one moment. `rate_per_s` counts rows that ended; `left` is None while nothing can be said."""

    counts: Mapping[State, int]
    spent_usd: float
    elapsed_s: float
    rate_per_s: float
    left: TimeLeft | None

    @property
    def rows(self) -> int:
        """All rows of the batch."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """Rows that nothing more will happen to by itself."""
        return sum(n for state, n in self.counts.items() if not state.is_open)


class Pulse:
    """Turns the tallies of successive moments into snapshots. Times are in seconds, on any steady clock."""

    def __init__(self, counts: Mapping[State, int], now: float, time_left: Callable[[Pace | None], TimeLeft | None]) -> None:
        self._started = now
        self._time_left = time_left
        self._left: TimeLeft | None = None
        self._looked = float("-inf")
        self._first_end: tuple[float, int] | None = None
        self._history: deque[tuple[float, int]] = deque([(now, _ended(counts))])

    def take(self, counts: Mapping[State, int], spent_usd: float, now: float) -> Snapshot:
        """The snapshot of this moment."""
        ended, rows = _ended(counts), sum(counts.values())
        self._history.append((now, ended))
        while len(self._history) > 2 and self._history[0][0] < now - WINDOW_S:
            self._history.popleft()
        since, before = self._history[0]
        rate = (ended - before) / (now - since) if now > since else 0.0
        if self._first_end is None and ended > self._history[0][1]:
            self._first_end = (now, ended)
        if now - self._looked >= LEFT_EVERY_S or ended == rows:
            self._looked, self._left = now, None if ended == rows else self._time_left(self._pace(now, ended))
        return Snapshot(counts, spent_usd, now - self._started, rate, self._left)

    def _pace(self, now: float, ended: int) -> Pace | None:
        """How fast rows end, without the time before the first could."""
        if self._first_end is None:
            return None
        since, before = max(self._first_end, self._history[0])
        return Pace(ended - before, now - since) if now - since >= PACE_MIN_S else None


def plain_line(snapshot: Snapshot) -> str:
    """The snapshot as one line of plain text."""
    share = f"{snapshot.ended / snapshot.rows:.0%}" if snapshot.rows else "–"
    parts = [f"{snapshot.ended}/{snapshot.rows} rows ({share})", *state_words(snapshot.counts), f"{snapshot.rate_per_s:.2g}/s"]
    if snapshot.left is not None:
        parts.append(f"{span(snapshot.left)} left")
    parts.append(f"{snapshot.spent_usd:.2f} USD")
    return " · ".join(parts)


def state_words(counts: Mapping[State, int]) -> list[str]:
    """The states that have rows, in the order of a row's life, in words."""
    words = {
        State.PLANNED: "waiting",
        State.SUBMITTING: "submitting",
        State.SUBMITTED: "at the service",
        State.PRODUCED: "downloading",
        State.DONE: "done",
        State.FAILED: "failed",
        State.CANCELLED: "cancelled",
        State.IN_DOUBT: "in doubt",
    }
    return [f"{counts[state]} {word}" for state, word in words.items() if counts.get(state)]


def duration(seconds: float) -> str:
    """A duration for people: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def span(left: TimeLeft) -> str:
    """The time left for people: `3 to 5 min`; one figure where both ends are the same in words, or where it takes but seconds."""
    low, high = duration(left.low_s), duration(left.high_s)
    if low == high or left.high_s < SECONDS_S:
        return f"about {duration(left.expected_s)}"
    if low.count(" ") == 1 and low.partition(" ")[2] == high.partition(" ")[2]:
        low = low.partition(" ")[0]
    return f"{low} to {high}"


def _ended(counts: Mapping[State, int]) -> int:
    return sum(n for state, n in counts.items() if not state.is_open)
