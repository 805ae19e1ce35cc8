"""The way to the paid POST: one row at a time passes here, when nothing speaks against it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from batcher.concurrency import Change, ConcurrencyLimit
from batcher.course import Course
from batcher.errors import ApiError, ApiErrorKind
from batcher.model import ExitReason, Lane, Mode
from batcher.pacing import Breaker, CoolDown, Outage, SubmitRate
from batcher.ports import Clock
from batcher.retry import TROUBLE
from batcher.settings import RunSettings

RECHECK_S = 0.1
"""How soon to look again where nothing announces the change."""

REVIEW_S = 1.0
"""How soon to look again whether more requests may be at the service, where none has ended meanwhile."""

THROTTLED_S = 1.0
THROTTLED_MAX_S = 60.0
"""The shared cool-down after a 429 without `Retry-After`: doubles from the first to the second with every 429 in a row.

Those that answer POSTs sent before a cool-down began count as one, or a single burst would take it to its longest."""


class SubmitGate:
    """Holds a row back while too many POSTs or requests are in flight, downloads lag behind, the rate is used up, the service cools down or is out.

    `probe` asks the service something free, or raises `ApiError`. `is_congested` tells whether downloads lag behind.
    """

    def __init__(
        self,
        settings: RunSettings,
        clock: Clock,
        course: Course,
        outage: Outage,
        probe: Callable[[], Awaitable[None]],
        is_congested: Callable[[], bool],
        notice: Callable[[str], None],
        passing_notice: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._course = course
        self._outage = outage
        self._probe = probe
        self._is_congested = is_congested
        self._notice = notice
        self._passing_notice = passing_notice
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        course.rouse(self._freed)
        self._inside: set[int] = set()
        self._begun: dict[int, float] = {}
        """When the POST began, of those inside whose has."""
        self._there: set[int] = set()
        """The rows whose request is at the service, as far as they are carried."""
        self.limit = ConcurrencyLimit(settings.concurrency)
        self._rate = SubmitRate(settings.submits_per_s, clock.now())
        self._cool_down = CoolDown()
        self._throttled = 0
        self._trouble = ""
        """What the last submit said that failed for the service's health."""
        self._on_trial: int | None = None
        """The row that probed the service last, and so may be the one that submits on trial."""
        self.breaker = Breaker()

    @property
    def there(self) -> int:
        """How many rows that are carried have a request at the service."""
        return len(self._there)

    async def enter(self, seq: int) -> bool:
        """Wait until row `seq` may submit; False if the batch stopped submitting first. Who entered must `leave`, or `arrive` first."""
        async with self._turn:
            while self._course.mode(Lane.REMOTE) is Mode.RUN:
                if len(self._inside) >= max(1, int(self._settings.posts_in_flight * self.breaker.share)):
                    self._freed.clear()
                    await self._clock.wait(self._freed, RECHECK_S)
                elif (wait_s := self._wait_s()) > 0:
                    await self._course.pause(wait_s)
                elif not self._has_room():
                    self._freed.clear()
                    await self._clock.wait(self._freed, REVIEW_S)
                elif await self._may_pass(seq):
                    if self._course.mode(Lane.REMOTE) is not Mode.RUN:
                        self.breaker.withdrawn()
                        break
                    self._inside.add(seq)
                    self._rate.let_through(self._clock.now())
                    return True
        return False

    def posting(self, seq: int) -> None:
        """The POST of row `seq`, which entered, begins now."""
        if seq in self._inside and seq not in self._begun:
            self._begun[seq] = self._clock.now()
            self._rate.begun(self._begun[seq])

    def arrive(self, seq: int) -> None:
        """The request of row `seq` is at the service, and that is recorded."""
        self._there.add(seq)
        begun = self._begun.get(seq)
        self._go_out(seq)
        if begun is not None:
            self.limit.accepted(begun, self.there)

    def leave(self, seq: int) -> None:
        """Row `seq` has nothing at the service and is past its POST, or is not submitted after all; it may not even have entered."""
        self._go_out(seq)
        if seq in self._there:
            self._there.remove(seq)
            self._freed.set()

    def _go_out(self, seq: int) -> None:
        if seq in self._inside:
            self._inside.remove(seq)
            if self._begun.pop(seq, None) is None:
                self._rate.withdrawn()
            self._freed.set()

    def answered(self) -> None:
        """A submit got a proper answer."""
        self._throttled = 0
        self.breaker.succeeded()

    def failed(self, seq: int, error: ApiError) -> None:
        """The submit of row `seq` failed: slow down, or open the breaker, as the error asks."""
        now = self._clock.now()
        if error.kind in TROUBLE:
            self.limit.troubled(now)
            was_open = self.breaker.opened_at is not None
            self.breaker.failed(now)
            self._trouble = error.message
            if self.breaker.opened_at is not None and not was_open:
                self._notice(f"The service is in trouble ({error.message}): nothing is submitted until it answers again.")
        else:
            self.breaker.succeeded()
        if error.kind is ApiErrorKind.THROTTLED:
            self.limit.refused(now, self._begun.get(seq, now), self.there)
        if error.kind is ApiErrorKind.THROTTLED or error.retry_after_s is not None:
            if self._cool_down.wait_s(now) <= 0:
                self._throttled += 1
            own_s = min(THROTTLED_MAX_S, THROTTLED_S * 2.0 ** min(max(self._throttled - 1, 0), 16))
            self._cool_down.extend(now + (error.retry_after_s or own_s))

    def withdrawn(self, seq: int) -> None:
        """Row `seq`, which entered, did not submit after all."""
        if seq == self._on_trial:
            self.breaker.withdrawn()

    def _wait_s(self) -> float:
        now = self._clock.now()
        congested_s = RECHECK_S if self._is_congested() else 0.0
        return max(congested_s, self._cool_down.wait_s(now), self._rate.wait_s(now))

    def _has_room(self) -> bool:
        """Whether one more request may be at the service."""
        self.tell(self.limit.review(self._clock.now(), self.there))
        return len(self._there) + len(self._inside) < self.limit.limit

    def tell(self, change: Change | None) -> None:
        """Say that another number of requests may be at the service, if it may."""
        if change is not None:
            self._passing_notice(f"At most {change.limit} requests at the service at once: {change.reason}.")

    async def _may_pass(self, seq: int) -> bool:
        now = self._clock.now()
        if self.breaker.opened_at is not None and now - self.breaker.opened_at > self._settings.outage_s:
            self._course.change(ExitReason.SERVICE_UNAVAILABLE, remote=Mode.COLLECT, trouble=self._trouble)
            return False
        match self.breaker.ask(now):
            case Breaker.Verdict.GO:
                return True
            case Breaker.Verdict.WAIT:
                await self._course.pause(self.breaker.wait_s(now))
                return False
            case Breaker.Verdict.PROBE:
                self._on_trial = seq
                return await self._pass_on_trial()

    async def _pass_on_trial(self) -> bool:
        try:
            await self._probe()
        except ApiError as error:
            now = self._clock.now()
            self.breaker.probed(error.kind not in TROUBLE, now)
            if error.kind in TROUBLE and self._outage.failed(now, hopeless=error.kind is ApiErrorKind.UNTRUSTED):
                self._course.change(ExitReason.SERVICE_UNAVAILABLE, remote=Mode.STOP, trouble=error.message)
            return error.kind not in TROUBLE
        self._outage.answered()
        self.breaker.probed(True, self._clock.now())
        return True
