"""How fast to submit: a rate, a shared cool-down and a circuit breaker. Pure: the time comes in as an argument, in seconds."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class SubmitRate:
    """At most `rate_per_s` POSTs begin in any second, or one in every `1 / rate_per_s` seconds, evenly spread; no limit if it is None.

    What counts is when a POST begins and not when its row was let through: between the two a file is read and the intent written, which takes as long
    as it takes. What an earlier process sent last is not known: `start`, the time now, counts as if all that is allowed had just begun.
    """

    def __init__(self, rate_per_s: float | None, start: float) -> None:
        self._rate_per_s = rate_per_s
        self._most = math.ceil(rate_per_s or 1.0)
        self._window_s = self._most / (rate_per_s or 1.0)
        self._due = start + self._window_s
        self._let_through = 0
        self._begun: deque[float] = deque(maxlen=self._most)

    def wait_s(self, now: float) -> float:
        """How long until the next row may be let through; 0.0 if it may be now."""
        if self._rate_per_s is None:
            return 0.0
        while self._begun and self._begun[0] + self._window_s <= now:
            self._begun.popleft()
        room_s = 0.0
        if self._let_through + len(self._begun) >= self._most:
            room_s = self._begun[0] + self._window_s - now if self._begun else self._window_s
        return max(0.0, room_s, self._due - now)

    def let_through(self, now: float) -> None:
        """A row was let through: its POST follows, or `withdrawn`."""
        self._let_through += 1
        if self._rate_per_s is not None:
            self._due = max(self._due, now) + 1.0 / self._rate_per_s

    def begun(self, now: float) -> None:
        """The POST of a row that was let through begins now."""
        self._let_through -= 1
        self._begun.append(now)

    def withdrawn(self) -> None:
        """A row that was let through was not submitted after all."""
        self._let_through -= 1


@dataclass(slots=True)
class CoolDown:
    """A wait that the service asked for and that holds for all submits."""

    _until: float = float("-inf")

    def extend(self, until: float) -> None:
        """Hold all submits until then, or longer if longer was asked before."""
        self._until = max(self._until, until)

    def wait_s(self, now: float) -> float:
        """How long it still lasts; 0.0 if it does not."""
        return max(0.0, self._until - now)


class Breaker:
    """Keeps an outage of submits from putting one row after another in doubt.

    A submit that the service's health made fail strains it, one that was answered relieves it a little. At a strain of `threshold` it opens for a
    while, three times as long each time until all strain is gone. Then one free call probes the service, and after that succeeds one submit is let
    through on trial: its success closes the breaker. Until the strain is gone, fewer POSTs are let out at once: each may end in doubt.
    """

    RELIEF = 0.05

    class Verdict(StrEnum):
        """What a submit that wants to go has to do."""

        GO = "go"
        WAIT = "wait"
        PROBE = "probe"
        """Ask something free first, and tell `probed`."""

    def __init__(self, threshold: int = 4, base_s: float = 2.0, ceiling_s: float = 300.0) -> None:
        self._threshold = threshold
        self._base_s = base_s
        self._ceiling_s = ceiling_s
        self._strain = 0.0
        self._openings = 0
        self._open_until: float | None = None
        self._probing = False
        self._on_trial = False
        self.opened_at: float | None = None
        """Since when it has not been closed; None while it is."""

    @property
    def share(self) -> float:
        """How much of what may be in flight at once is wise now: 1.0 where nothing failed lately, half of that for each failure."""
        return float(0.5**self._strain)

    def ask(self, now: float) -> Verdict:
        """What to do. After PROBE, `probed` has to follow."""
        if self._open_until is None:
            return self.Verdict.GO
        if now < self._open_until or self._probing or self._on_trial:
            return self.Verdict.WAIT
        self._probing = True
        return self.Verdict.PROBE

    def wait_s(self, now: float) -> float:
        """How long to wait before asking again, after WAIT. While a probe or trial is under way its end is not known: ask again soon."""
        return max(0.05, (self._open_until or now) - now)

    def probed(self, ok: bool, now: float) -> None:
        """The outcome of the probe; where it is good, whoever probed may submit, on trial."""
        self._probing = False
        if ok:
            self._on_trial = True
        else:
            self._open(now)

    def withdrawn(self) -> None:
        """Whoever was told to probe, or to go on trial, did not submit after all."""
        self._probing = self._on_trial = False

    def succeeded(self) -> None:
        """A submit was answered, whatever the answer said. What was sent before it opened does not close it: of that, some may fail and some not."""
        self._strain = max(0.0, self._strain - self.RELIEF)
        if not self._strain:
            self._openings = 0
        if self._on_trial:
            self._strain = min(self._strain, self._threshold - 1.0)
            self._open_until = self.opened_at = None
            self._on_trial = False

    def failed(self, now: float) -> None:
        """A submit failed in a way that speaks of the service's health."""
        self._strain = min(float(self._threshold), self._strain + 1.0)
        if self._on_trial or (self._open_until is None and self._strain >= self._threshold):
            self._open(now)

    def _open(self, now: float) -> None:
        self._on_trial = False
        self._open_until = now + min(self._ceiling_s, self._base_s * 3.0 ** min(self._openings, 20))
        self._openings += 1
        if self.opened_at is None:
            self.opened_at = now


@dataclass(slots=True)
class Outage:
    """Tells when the service has been out of reach for so long that the batch should end: `patience_s`, or less where it was never reached at all."""

    patience_s: float
    first_patience_s: float
    _since: float | None = None
    _ever_answered: bool = False

    def answered(self) -> None:
        """The service gave a proper answer to some call."""
        self._since = None
        self._ever_answered = True

    def failed(self, now: float, *, hopeless: bool = False) -> bool:
        """A call failed in a way that speaks of the service's health; whether to give up: at once where a service never reached is `hopeless`."""
        if self._since is None:
            self._since = now
        if hopeless and not self._ever_answered:
            return True
        patience = self.patience_s if self._ever_answered else min(self.patience_s, self.first_patience_s)
        return now - self._since > patience


@dataclass(slots=True)
class FirstSubmits:
    """Tells when the first `limit` submits of a run were all refused for good: what is wrong is then wrong with every row. Never, if `limit` is 0.

    They are the first to be sent and not the first to be answered, because a refusal may come back sooner than an acceptance.
    """

    limit: int
    _sent: int = 0
    _undecided: int = 0
    _refused: set[int] = field(default_factory=set)

    def sent(self) -> int:
        """Count one submit; returns its number, which its outcome has to be told with."""
        self._sent += 1
        return self._sent

    def accepted(self) -> None:
        """A submit was accepted: from now on each refusal is the affair of its row."""
        self.limit = 0

    def undecided(self, number: int) -> None:
        """A submit was put off, or its answer lost: another one counts in its place."""
        self._undecided += number <= self.limit + self._undecided

    def refused(self, number: int) -> bool:
        """A submit was refused for good; whether the batch should stop."""
        if not self.limit:
            return False
        self._refused.add(number)
        return sum(each <= self.limit + self._undecided for each in self._refused) >= self.limit
