"""A service that outlives its clients and keeps the bill, and the wire to it: slow and broken as a seed says."""

from __future__ import annotations

import asyncio
import heapq
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from batcher.errors import ApiError, ApiErrorKind, DownloadError, DownloadErrorKind, OutputError
from batcher.model import Artifact, ProviderFacts, RequestPhase, RequestResult, RequestStatus
from tests.support.seeded_disk import Disk

PRICE_USD = 0.08
FOREVER = float("inf")
LATE_S = 2.0
"""How long after its end a request may be told to be unknown, or its cost not to have settled."""


@dataclass(slots=True)
class Accepted:
    """One submission that the service took, and will bill unless it is cancelled while it is queued."""

    request_id: str
    row: str
    accepted_at: float
    starts_at: float
    ends_at: float
    outcome: str
    """good, two (outputs), failed, empty, lost (its result), dropped (by the service) or stuck."""
    is_cancelled: bool = False
    is_excused: bool = False
    """Another submission of the same row may follow it."""

    def is_live(self, now: float) -> bool:
        return not self.is_cancelled and now < self.ends_at


@dataclass(frozen=True, slots=True)
class Spell:
    """Bad weather: calls of `kinds` meet `fault` with probability `p` from `begins` to `ends`."""

    begins: float
    ends: float
    kinds: frozenset[str]
    fault: str
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class Weather:
    """How the world treats calls: `faults` holds the probabilities by kind of call and fault, `spells` what comes over all."""

    wire_s: Callable[[random.Random], float] = lambda rng: rng.uniform(0.01, 0.05)
    service_s: Callable[[random.Random], float] = lambda rng: rng.lognormvariate(1.0, 0.6)
    link_life_s: float = 3600.0
    faults: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    outcomes: Mapping[str, float] = field(default_factory=dict)
    spells: tuple[Spell, ...] = ()
    capacity: int | None = None
    """How many requests it takes at once, 429 beyond."""


class Service:
    """Requests run in the order of their acceptance, `slots` at once."""

    def __init__(self, rng: random.Random, weather: Weather, slots: int) -> None:
        self.rng = rng
        self.weather = weather
        self.is_calm = False
        self.accepted: dict[str, Accepted] = {}
        self._busy_until: list[float] = []
        self._slots = slots

    def accept(self, row: str, now: float) -> Accepted:
        starts_at = max(now, heapq.heappop(self._busy_until)) if len(self._busy_until) >= self._slots else now
        outcome = self._draw(self.weather.outcomes) or "good"
        ends_at = FOREVER if outcome == "stuck" else starts_at + self.weather.service_s(self.rng)
        heapq.heappush(self._busy_until, starts_at + 60.0 if outcome == "stuck" else ends_at)
        request = Accepted(f"req-{len(self.accepted) + 1}", row, now, starts_at, ends_at, outcome)
        self.accepted[request.request_id] = request
        return request

    def is_full(self, now: float) -> bool:
        live = sum(request.is_live(now) and request.outcome != "stuck" for request in self.accepted.values())
        return self.weather.capacity is not None and live >= self.weather.capacity

    def of_row(self, row: str) -> list[Accepted]:
        return [request for request in self.accepted.values() if request.row == row]

    def billed_usd(self, row: str) -> float:
        return PRICE_USD * sum(not request.is_cancelled and request.outcome != "dropped" for request in self.of_row(row))

    def fault(self, kind: str, now: float) -> str | None:
        """What goes wrong with a call, if anything does."""
        if self.is_calm:
            return None
        for spell in self.weather.spells:
            if spell.begins <= now < spell.ends and kind in spell.kinds and self.rng.random() < spell.p:
                return spell.fault
        return self._draw(self.weather.faults.get(kind, {}))

    def phase(self, request: Accepted, now: float) -> RequestPhase:
        if request.is_cancelled:
            return RequestPhase.CANCELLED
        if now < request.starts_at:
            return RequestPhase.QUEUED
        if now < request.ends_at:
            return RequestPhase.RUNNING
        return {"failed": RequestPhase.FAILED, "dropped": RequestPhase.CANCELLED}.get(request.outcome, RequestPhase.COMPLETED)

    def _draw(self, chances: Mapping[str, float]) -> str | None:
        drawn = self.rng.random()
        for name, p in chances.items():
            if drawn < p:
                return name
            drawn -= p
        return None


ERRORS: Mapping[str, tuple[ApiErrorKind, int | None]] = {
    "refused": (ApiErrorKind.UNREACHABLE, None),
    "reset": (ApiErrorKind.INTERRUPTED, None),
    "reset_after": (ApiErrorKind.INTERRUPTED, None),
    "silent": (ApiErrorKind.INTERRUPTED, None),
    "garbled": (ApiErrorKind.INTERRUPTED, 200),
    "500": (ApiErrorKind.UNAVAILABLE, 500),
    "503": (ApiErrorKind.UNAVAILABLE, 503),
    "503_later": (ApiErrorKind.UNAVAILABLE, 503),
    "429": (ApiErrorKind.THROTTLED, 429),
    "429_later": (ApiErrorKind.THROTTLED, 429),
    "422": (ApiErrorKind.INVALID, 422),
    "token": (ApiErrorKind.TOKEN, 401),
    "balance": (ApiErrorKind.BALANCE, 400),
    "gone": (ApiErrorKind.GONE, 404),
}
AMBIGUOUS = frozenset({"reset", "reset_after", "silent", "garbled", "500", "503", "503_later"})
"""Faults of a submit after which nobody can tell whether it was accepted."""


class Watch:
    """Told of everything that a client does on the wire. All is allowed here; the simulation judges."""

    def posting(self, row: str, now: float) -> None: ...
    def accepted(self, request: Accepted, now: float) -> None: ...
    def refused(self, row: str, fault: str, retry_after_s: float | None, now: float) -> None: ...
    def cancelling(self, request_id: str, now: float) -> None: ...
    def fetching(self, stem: str, now: float) -> None: ...
    def said(self, what: str, now: float) -> None: ...


class SeededProvider:
    """See the port `Provider`: one client of the service."""

    facts = ProviderFacts(name="seeded")

    def __init__(self, service: Service, watch: Watch, submit_timeout_s: float = 120.0) -> None:
        self._service = service
        self._watch = watch
        self._submit_timeout_s = submit_timeout_s
        self._loop = asyncio.get_running_loop()
        self.calls: Counter[str] = Counter()
        self.posts_in_flight = 0
        self.posts_in_flight_max = 0

    async def submit(self, model: str, body: bytes) -> str:
        """See the port. A POST that is cut off on its way may arrive all the same."""
        row, rng = json.loads(body)["row"], self._service.rng
        self.calls["submit"] += 1
        self._watch.posting(row, self._loop.time())
        self.posts_in_flight += 1
        self.posts_in_flight_max = max(self.posts_in_flight, self.posts_in_flight_max)
        try:
            fault = self._service.fault("submit", self._loop.time())
            arrives = rng.random() < 0.5
            try:
                await self._travel(fault == "refused")
            except asyncio.CancelledError:
                if arrives and fault not in ("refused", "reset", "429", "429_later", "422", "token", "balance"):
                    self._accept(row)
                raise
            if fault is None and self._service.is_full(self._loop.time()):
                fault = "429"
            if fault is None or fault in ("reset_after", "garbled") or (fault in AMBIGUOUS and fault != "reset" and arrives):
                request = self._accept(row)
            if fault is not None:
                await asyncio.sleep(self._submit_timeout_s if fault == "silent" else 0)
            await self._travel()
            if fault is not None:
                raise self._error("submit", row, fault)
            return request.request_id
        finally:
            self.posts_in_flight -= 1

    async def status(self, request_id: str) -> RequestStatus:
        """See the port."""
        request, fault = await self._call("status", request_id)
        now = self._loop.time()
        phase = self._service.phase(request, now)
        if fault == "word":
            return RequestStatus(RequestPhase.UNKNOWN, word="Warming Up")
        if fault == "backwards" and phase is RequestPhase.RUNNING:
            phase = RequestPhase.QUEUED
        return RequestStatus(phase, word=phase.value)

    async def result(self, request_id: str) -> RequestResult:
        """See the port."""
        request, fault = await self._call("result", request_id)
        now = self._loop.time()
        phase = self._service.phase(request, now)
        if phase is RequestPhase.FAILED:
            return RequestResult(phase, error="out of ideas", cost_usd=PRICE_USD)
        if phase is not RequestPhase.COMPLETED:
            return RequestResult(phase)
        if request.outcome == "lost" or (fault == "late" and now < request.ends_at + LATE_S):
            raise ApiError(ApiErrorKind.GONE, "no such result", status=404)
        output: dict[str, object] = {"image": self._link(request, now)}
        if request.outcome == "two":
            output = {"images": [self._link(request, now, part) for part in "ab"]}
        if request.outcome == "empty":
            output = {}
        return RequestResult(phase, output, cost_usd=None if fault == "costless" else PRICE_USD)  # type: ignore[arg-type]

    async def cancel(self, request_id: str) -> bool:
        """See the port."""
        self._watch.cancelling(request_id, self._loop.time())
        request, fault = await self._call("cancel", request_id, lossy=False)
        if self._service.phase(request, self._loop.time()) is RequestPhase.QUEUED:
            request.is_cancelled = True
            self._watch.said(f"{request_id} is cancelled", self._loop.time())
        await self._travel()
        if fault is not None:
            raise self._error("cancel", request_id, fault)
        return request.is_cancelled

    async def probe(self) -> None:
        """See the port."""
        self.calls["probe"] += 1
        fault = self._service.fault("probe", self._loop.time())
        await self._travel()
        if fault is not None:
            raise self._error("probe", "", fault)

    async def _call(self, kind: str, request_id: str, *, lossy: bool = True) -> tuple[Accepted, str | None]:
        self.calls[kind] += 1
        fault = self._service.fault(kind, self._loop.time())
        await self._travel()
        if fault in ERRORS and (lossy or fault not in AMBIGUOUS):
            raise self._error(kind, request_id, fault)
        request = self._service.accepted.get(request_id)
        if request is None:
            raise ApiError(ApiErrorKind.GONE, f"no request {request_id}", status=404)
        return request, fault

    def _accept(self, row: str) -> Accepted:
        request = self._service.accept(row, self._loop.time())
        self._watch.accepted(request, self._loop.time())
        return request

    def _error(self, kind: str, about: str, fault: str) -> ApiError:
        of_kind, status = ERRORS[fault]
        retry_after_s = self._service.rng.choice((0.0, 2.0, 15.0, 90.0)) if fault.endswith("_later") else None
        if kind == "submit":
            self._watch.refused(about, fault, retry_after_s, self._loop.time())
        self._watch.said(f"{kind} {about} met {fault}", self._loop.time())
        return ApiError(of_kind, fault, status=status, retry_after_s=retry_after_s)

    async def _travel(self, at_once: bool = False) -> None:
        await asyncio.sleep(0 if at_once else self._service.weather.wire_s(self._service.rng))

    def _link(self, request: Accepted, now: float, part: str = "a") -> str:
        return f"https://files.example/{request.request_id}/{part}?until={now + self._service.weather.link_life_s:.3f}"


class SeededFetcher:
    """See the port `Fetcher`: what it brings is on the disk when it says so."""

    def __init__(self, service: Service, disk: Disk, watch: Watch) -> None:
        self._service = service
        self._disk = disk
        self._watch = watch

    async def fetch(self, url: str, stem: str) -> Artifact:
        """See the port. The content of a file is the request and the part that it came from."""
        loop, service = asyncio.get_running_loop(), self._service
        self._watch.fetching(stem, loop.time())
        fault = service.fault("fetch", loop.time())
        await asyncio.sleep(3 * service.weather.wire_s(service.rng))
        path, _, until = url.removeprefix("https://files.example/").partition("?until=")
        if fault == "403" or loop.time() > float(until):
            raise DownloadError(DownloadErrorKind.EXPIRED, "403")
        if fault == "disk_full":
            raise OutputError("no space left on device")
        if fault is not None:
            raise DownloadError(DownloadErrorKind.UNUSABLE if fault == "page" else DownloadErrorKind.TRANSIENT, fault)
        await self._disk.publish(f"results/{stem}.png", path)
        return Artifact(f"results/{stem}.png", path, 1000, "image/png", 64, 64)
