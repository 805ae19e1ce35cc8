"""A service in memory, for tests of the engine on virtual time: deterministic for a seed, and it counts what it accepted."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from batcher.errors import ApiError, ApiErrorKind
from batcher.model import ProviderFacts, RequestPhase, RequestResult, RequestStatus
from batcher.ports import Clock

Fault = Callable[[str, int], ApiError | None]
"""Called before each call with its kind and its number, counted from 1 within the kind; an error that it returns is raised.

An `INTERRUPTED` or `UNAVAILABLE` submit is accepted all the same: its answer is what got lost."""


@dataclass(slots=True)
class FakeRequest:
    """One accepted submission."""

    request_id: str
    model: str
    body: bytes
    starts_at: float
    ends_at: float
    cancelled: bool = False


@dataclass(slots=True)
class FakeProvider:
    """See the port `Provider`.

    `slots` requests run at once, for `service_s(rng)` seconds each; `wire_s(rng)` is how long each half of a call takes.
    """

    clock: Clock
    rng: random.Random
    service_s: Callable[[random.Random], float] = lambda rng: rng.lognormvariate(2.0, 0.5)
    wire_s: Callable[[random.Random], float] = lambda rng: rng.uniform(0.01, 0.05)
    slots: int = 1_000_000
    price_usd: float = 0.08
    fault: Fault = lambda kind, number: None
    outcome: Callable[[FakeRequest], RequestResult | None] = lambda request: None
    """What came of a request that ended, where it is not a picture."""
    facts: ProviderFacts = field(default_factory=lambda: ProviderFacts(name="fake"))
    accepted: dict[str, FakeRequest] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    _busy_until: list[float] = field(default_factory=list)
    posts_in_flight: int = 0
    posts_in_flight_max: int = 0

    async def submit(self, model: str, body: bytes) -> str:
        """See the port."""
        self.posts_in_flight += 1
        self.posts_in_flight_max = max(self.posts_in_flight, self.posts_in_flight_max)
        try:
            await self._travel()
            error = self._fault("submit")
            if error is not None and error.kind not in (ApiErrorKind.INTERRUPTED, ApiErrorKind.UNAVAILABLE):
                raise error
            request_id = self._accept(model, body)
            await self._travel()
            if error is not None:
                raise error
            return request_id
        finally:
            self.posts_in_flight -= 1

    async def status(self, request_id: str) -> RequestStatus:
        """See the port."""
        request = await self._call("status", request_id)
        phase = self._progress(request)
        return RequestStatus(phase, word=phase.value)

    async def result(self, request_id: str) -> RequestResult:
        """See the port."""
        request = await self._call("result", request_id)
        phase = self._progress(request)
        if phase is not RequestPhase.COMPLETED:
            return RequestResult(phase)
        picture = RequestResult(phase, {"image": f"https://files.example/{request_id}.png"}, cost_usd=self.price_usd)
        return self.outcome(request) or picture

    async def cancel(self, request_id: str) -> bool:
        """See the port."""
        request = await self._call("cancel", request_id)
        if self._progress(request) is RequestPhase.QUEUED:
            request.cancelled = True
        return request.cancelled

    async def probe(self) -> None:
        """See the port."""
        await self._travel()
        if (error := self._fault("probe")) is not None:
            raise error

    async def _call(self, kind: str, request_id: str) -> FakeRequest:
        await self._travel()
        if (error := self._fault(kind)) is not None:
            raise error
        request = self.accepted.get(request_id)
        if request is None:
            raise ApiError(ApiErrorKind.GONE, f"no request {request_id}", status=404)
        return request

    def _fault(self, kind: str) -> ApiError | None:
        self.calls[kind] = self.calls.get(kind, 0) + 1
        return self.fault(kind, self.calls[kind])

    async def _travel(self) -> None:
        await asyncio.sleep(self.wire_s(self.rng))

    def _progress(self, request: FakeRequest) -> RequestPhase:
        now = self.clock.now()
        if request.cancelled:
            return RequestPhase.CANCELLED
        if now < request.starts_at:
            return RequestPhase.QUEUED
        return RequestPhase.RUNNING if now < request.ends_at else RequestPhase.COMPLETED

    def _accept(self, model: str, body: bytes) -> str:
        """Requests run in the order of their acceptance; the time of one that is cancelled stays empty."""
        now = self.clock.now()
        starts_at = max(now, heapq.heappop(self._busy_until)) if len(self._busy_until) >= self.slots else now
        ends_at = starts_at + self.service_s(self.rng)
        heapq.heappush(self._busy_until, ends_at)
        request_id = f"req-{len(self.accepted) + 1:06}"
        self.accepted[request_id] = FakeRequest(request_id, model, body, starts_at, ends_at)
        return request_id
