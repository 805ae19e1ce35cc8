"""Where a run is: numbers taken from the ledger's tallies, what goes on at the service, and the words for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from batcher.concurrency import Change
from batcher.model import Job, State
from batcher.outlook import Pace, TimeLeft

WINDOW_S = 60.0
"""The rate is that of about the last minute."""

SECONDS_S = 10.0
"""A time left that is shorter is told as one figure."""

LEFT_EVERY_S = 1.0
"""How often the time left is worked out again."""

PACE_MIN_S = 5.0
"""How long rows have to end, from the first on, until their pace is believed."""

FLIGHTS_MAX = 12
FAILURES_MAX = 8
"""How many requests and failures are shown one by one, where there is room."""


@dataclass(frozen=True, slots=True)
class About:
    """Which batch is shown, and to whom: `hint` says what Ctrl-C does there, and `resume` is the command that goes on with the batch."""

    resume: str
    hint: str
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Flight:
    """A request at the service: whose, since when, and what the service said of it last. `place` is its place in the queue, if that is known."""

    row_id: str
    since: float
    queued: bool | None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What goes on at the service.

    `limit` requests may be there at once, where `most` were asked for; `change` is why, if that was changed. So many of them are known to wait or to
    run there; `oldest` are some of those that were submitted first.
    """

    limit: int
    most: int
    change: Change | None = None
    queued: int = 0
    running: int = 0
    oldest: Sequence[Flight] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The run at the time `at`.

    `rate_per_s` counts rows that ended, and is None while that cannot be told; so is `left`. `failures` are the rows that failed or got into doubt,
    the latest first, as many as are wanted.
    """

    about: About
    at: float
    counts: Mapping[State, int]
    spent_usd: float
    elapsed_s: float
    rate_per_s: float | None
    left: TimeLeft | None
    under_way: UnderWay
    failures: Sequence[Job] = ()

    @property
    def rows(self) -> int:
        """All rows of the batch."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """Rows that nothing more will happen to by itself."""
        return _ended(self.counts)

    @property
    def projected_usd(self) -> float | None:
        """What the batch will have cost, if rows to come cost what those did that came; None where nothing is known, or nothing comes."""
        count = self.counts.get
        coming = count(State.PLANNED, 0) + count(State.SUBMITTING, 0) + count(State.SUBMITTED, 0)
        came = count(State.PRODUCED, 0) + count(State.DONE, 0) + count(State.FAILED, 0) + count(State.CANCELLED, 0)
        return self.spent_usd * (1 + coming / came) if coming and came and self.spent_usd else None


class Pulse:
    """Turns the tallies of successive moments into snapshots. Times are in seconds since the epoch, `started` that of the run's beginning."""

    def __init__(self, started: float, counts: Mapping[State, int], now: float, time_left: Callable[[Pace | None], TimeLeft | None]) -> None:
        self._started = started
        self._time_left = time_left
        self._left: TimeLeft | None = None
        self._looked = float("-inf")
        self._first_end: tuple[float, int] | None = None
        self._history: deque[tuple[float, int]] = deque([(now, _ended(counts))])

    def take(
        self, about: About, counts: Mapping[State, int], spent_usd: float, now: float, under_way: UnderWay, failures: Sequence[Job] = ()
    ) -> Snapshot:
        """The snapshot of this moment."""
        ended, rows = _ended(counts), sum(counts.values())
        self._history.append((now, ended))
        while len(self._history) > 2 and self._history[0][0] < now - WINDOW_S:
            self._history.popleft()
        since, before = self._history[0]
        rate = (ended - before) / (now - since) if now > since else None
        if self._first_end is None and ended > self._history[0][1]:
            self._first_end = (now, ended)
        if now - self._looked >= LEFT_EVERY_S or ended == rows:
            self._looked, self._left = now, None if ended == rows else self._time_left(self._pace(now, ended))
        return Snapshot(about, now, counts, spent_usd, now - self._started, rate, self._left, under_way, failures)

    def _pace(self, now: float, ended: int) -> Pace | None:
        """How fast rows end, without the time before the first could."""
        if self._first_end is None:
            return None
        since, before = max(self._first_end, self._history[0])
        return Pace(ended - before, now - since) if now - since >= PACE_MIN_S else None


def plain_line(snapshot: Snapshot) -> str:
    """The snapshot as one line of plain text."""
    return " · ".join([f"{rows_words(snapshot)} rows ({share_words(snapshot)})", *state_words(snapshot.counts), *time_words(snapshot),
                       *rate_words(snapshot), money_words(snapshot), *limit_words(snapshot)])  # fmt: skip


def rows_words(snapshot: Snapshot) -> str:
    """How many rows have ended, of how many: `25/100`."""
    return f"{snapshot.ended}/{snapshot.rows}"


def share_words(snapshot: Snapshot) -> str:
    """The share of the rows that have ended. It is 100 % only when all have."""
    return f"{100 * snapshot.ended // snapshot.rows} %" if snapshot.rows else "–"


def time_words(snapshot: Snapshot) -> list[str]:
    """The time left, as far as it can be told."""
    return [f"{span(snapshot.left)} left"] if snapshot.left is not None else []


def rate_words(snapshot: Snapshot) -> list[str]:
    """How fast rows end, as far as it can be told: in a second, or where few do, in a minute or an hour."""
    rate = snapshot.rate_per_s
    if not rate:
        return [] if rate is None else ["no row in the last minute"]
    per_s, unit = next(((s, unit) for s, unit in ((1, "s"), (60, "min")) if rate * s >= 1), (3600, "h"))
    return [f"{rate * per_s:.2g} rows/{unit}" if rate * per_s < 100 else f"{rate * per_s:.0f} rows/{unit}"]


def money_words(snapshot: Snapshot) -> str:
    """What was spent, and what the whole batch will have cost as far as that can be told."""
    spent = "0.00 USD" if not snapshot.spent_usd else f"{snapshot.spent_usd:.2f} USD"
    about = "" if snapshot.projected_usd is None else f", about {snapshot.projected_usd:.2f} in all"
    return f"{spent} {'simulated' if snapshot.about.is_simulated else 'spent'}{about}"


def limit_words(snapshot: Snapshot, *, reason: bool = False) -> list[str]:
    """How many requests may be at the service at once; nothing where there are none to come. With `reason` also why, and since when."""
    state, way = snapshot.counts.get, snapshot.under_way
    if not (state(State.PLANNED) or state(State.SUBMITTING) or state(State.SUBMITTED)):
        return []
    words = f"at most {way.limit} at once"
    if not reason or way.change is None:
        return [words]
    return [f"{words} for {duration(max(0.0, snapshot.at - way.change.at))} ({way.most} asked for): {way.change.reason}"]


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


def flight_words(flight: Flight) -> str:
    """What the service said of a request."""
    if flight.queued is None:
        return "accepted"
    if not flight.queued:
        return "running"
    return "queued" if flight.place is None else f"queued, place {flight.place}"


def failure_words(job: Job) -> str:
    """Why a row failed, or is in doubt."""
    if job.failure is None:
        return str(job.state).replace("_", " ")
    return f"{job.failure.kind.replace('_', ' ')}: {job.failure.message}"


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
