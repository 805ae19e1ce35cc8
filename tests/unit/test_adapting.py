"""The engine on virtual time against services that take so many requests at once, or so many in a second, and answer 429 beyond."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from batcher.concurrency import CONCURRENCY, FORGET_S
from batcher.errors import ApiError, ApiErrorKind, DownloadError, DownloadErrorKind
from batcher.model import ExitReason, State
from batcher.settings import RunSettings
from tests.support.engine_world import EPOCH, World
from tests.support.virtual_time import run_virtual

pytestmark = pytest.mark.no_cover


@dataclass
class Strict:
    """What a service allows, as a fault of the world's provider: `capacity(t)` requests at once, `per_s` submits in any second."""

    capacity: Callable[[float], int] = lambda at: 1_000_000
    per_s: int = 1_000_000
    retry_after_s: float | None = None
    refused: list[float] = field(default_factory=list)
    most_at_once: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def world(self, concurrency: int = 64, service_s: float = 8.0, seed: int = 1, **settings: object) -> World:
        made = RunSettings(concurrency=concurrency, **settings)  # type: ignore[arg-type]
        self._world = World(seed, settings=made, fault=self._fault, service_s=lambda rng: service_s * rng.lognormvariate(0, 0.3))
        return self._world

    def running(self) -> int:
        now = self._world.clock.now()
        return sum(request.ends_at > now for request in self._world.provider.accepted.values())

    def _fault(self, call: str, number: int) -> ApiError | None:
        if call != "submit":
            return None
        now = self._world.clock.now()
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        running = self.running()
        if running >= self.capacity(now - EPOCH) or len(self._recent) >= self.per_s:
            self.refused.append(now - EPOCH)
            return ApiError(ApiErrorKind.THROTTLED, "too many requests", status=429, retry_after_s=self.retry_after_s)
        self._recent.append(now)
        self.most_at_once = max(self.most_at_once, running + 1)
        return None


async def completed(world: World, rows: int) -> float:
    """How long it takes, in seconds, until every row is done."""
    began = world.clock.now()
    await world.plan(rows)
    assert await world.engine().run() is ExitReason.COMPLETED
    assert world.count(State.DONE) == rows
    return world.clock.now() - began


async def limits(world: World) -> list[int]:
    return [change["limit"] for change in (await world.ledger.fact(CONCURRENCY))["changes"]]


@pytest.mark.parametrize("retry_after_s", [None, 0.0, 5.0])
@pytest.mark.parametrize(("capacity", "rows"), [(1, 25), (5, 60), (20, 200)])
@pytest.mark.fault("C8")
def test_a_service_that_takes_so_many_at_once_is_used_to_the_full_and_seldom_refuses(capacity: int, rows: int, retry_after_s: float | None) -> None:
    async def main() -> None:
        told = await completed(Strict().world(capacity), rows)
        service = Strict(lambda at: capacity, retry_after_s=retry_after_s)
        world = service.world()
        found = await completed(world, rows)
        assert told / found > 0.85
        assert len(service.refused) <= world.settings.posts_in_flight + 4 + found / FORGET_S
        assert (await limits(world))[-1] <= capacity
        assert service.most_at_once == capacity

    run_virtual(main())


def test_a_service_that_sets_no_limit_is_never_slowed() -> None:
    async def main() -> None:
        world = Strict().world()
        await completed(world, 80)
        assert await world.ledger.fact(CONCURRENCY) is None

    run_virtual(main())


@pytest.mark.parametrize(("per_s", "service_s"), [(4, 8.0), (2, 60.0), (1, 2.0)])
@pytest.mark.fault("C8")
def test_a_service_that_limits_the_rate_starves_no_batch_and_is_not_asked_in_vain_for_ever(per_s: int, service_s: float) -> None:
    async def main() -> None:
        rows = 60 * per_s
        service = Strict(per_s=per_s)
        took = await completed(service.world(service_s=service_s), rows)
        assert took < 3.5 * max(rows / per_s, rows * service_s / 64) + service_s
        assert len(service.refused) <= 16 + rows / 2

    run_virtual(main())


def test_a_service_whose_rate_is_stated_never_refuses() -> None:
    async def main() -> None:
        service = Strict(per_s=4)
        await completed(service.world(submits_per_s=3.5), 60)
        assert not service.refused

    run_virtual(main())


def test_one_refusal_for_no_reason_costs_next_to_nothing() -> None:
    async def main() -> None:
        calm = await completed(Strict().world(16), 80)
        hiccup = iter([0])
        service = Strict(lambda at: next(hiccup, 1_000_000) if at >= 15.0 else 1_000_000)
        world = service.world(16)
        assert await completed(world, 80) < calm + 10.0
        assert len(service.refused) == 1
        assert [notice for notice in world.log.notices if "said again" in notice] == []

    run_virtual(main())


def test_capacity_that_rises_later_is_found() -> None:
    async def main() -> None:
        service = Strict(lambda at: 5 if at < 60 else 20)
        world = service.world(service_s=30.0)
        await completed(world, 200)
        assert service.most_at_once == 20
        assert len(service.refused) < 30

    run_virtual(main())


def test_capacity_that_falls_is_followed() -> None:
    async def main() -> None:
        service = Strict(lambda at: 40 if at < 10 else 8)
        world = service.world()
        await completed(world, 150)
        assert (await limits(world))[-1] <= 8
        assert len(service.refused) < 40

    run_virtual(main())


@pytest.mark.fault("C8")
def test_a_service_that_takes_nothing_for_minutes_stalls_no_batch() -> None:
    async def main() -> None:
        service = Strict(lambda at: 0 if 20 <= at < 200 else 20)
        world = service.world()
        took = await completed(world, 100)
        assert took < 180 + 60 + await completed(Strict().world(20), 100) * 1.5
        assert 1 in await limits(world)
        assert sum(at >= 20 for at in service.refused) < 30

    run_virtual(main())


def test_server_errors_do_not_cut() -> None:
    def fault(call: str, number: int) -> ApiError | None:
        storm = call == "submit" and 20 < number < 60 and number % 2
        return ApiError(ApiErrorKind.UNAVAILABLE, "503 from the service", status=503) if storm else None

    async def main() -> None:
        world = World(settings=RunSettings(concurrency=32), fault=fault)
        await world.plan(200)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert await world.ledger.fact(CONCURRENCY) is None

    run_virtual(main())


def test_each_change_is_told_with_its_reason() -> None:
    async def main() -> None:
        world = Strict(lambda at: 10).world()
        await completed(world, 60)
        told = [notice for notice in world.log.notices if notice.startswith("At most ")]
        assert told[:2] == [
            "At most 11 requests at the service at once: the service said that it is too many, with 10 there.",
            "At most 8 requests at the service at once: the service said again that it is too many, with 10 there.",
        ]
        assert len(told) == len(await limits(world))

    run_virtual(main())


def test_the_next_run_begins_with_what_was_learned_and_counts_what_is_there() -> None:
    async def main() -> None:
        service = Strict(lambda at: 10)
        world = service.world(service_s=20.0, grace_s=0.0)
        await world.plan(60)
        killed = asyncio.create_task(world.engine().run())
        await asyncio.sleep(50.0)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        assert service.running() > 5
        refused = len(service.refused)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) + world.count(State.IN_DOUBT) == 60
        assert len(service.refused) - refused <= 1
        assert "At most 10 requests at the service at once: 11 were too many in the run before." in world.log.notices

    run_virtual(main())


def test_what_is_paid_for_waits_for_no_row_at_the_gate() -> None:
    """All slots are held by rows that may not be submitted for an hour, while a result has to be read again."""

    def fault(call: str, number: int) -> ApiError | None:
        return ApiError(ApiErrorKind.THROTTLED, "later", status=429, retry_after_s=3600.0) if call == "submit" and number in (2, 3) else None

    async def main() -> None:
        world = World(settings=RunSettings(concurrency=2, posts_in_flight=1), fault=fault)
        world.fetcher.fault = lambda url, n: DownloadError(DownloadErrorKind.EXPIRED, "403") if n == 1 else None
        await world.plan(6)
        assert await world.engine().run() is ExitReason.COMPLETED
        done = [at for at, _, name in world.log.events if name == "Saved"]
        assert len(done) == 6
        assert done[0] < 60.0
        assert done[1] > 3600.0

    run_virtual(main())
