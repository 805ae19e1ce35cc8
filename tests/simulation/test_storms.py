"""Outages and storms of minutes and hours, on virtual time: how many rows end in doubt, and that the batch ends by itself."""

from __future__ import annotations

import asyncio
import random

import pytest

from batcher.errors import ApiError, ApiErrorKind
from batcher.model import ExitReason, State
from batcher.settings import RunSettings
from tests.support.engine_world import World
from tests.support.virtual_time import run_virtual

pytestmark = pytest.mark.no_cover

ROWS = 1000
CALLS = frozenset({"submit", "status", "result", "cancel", "probe"})
HELD_MAX = RunSettings().posts_in_flight


def weathered(
    seconds: float, *, calls: frozenset[str] = CALLS, p: float = 1.0, seed: int = 0, kind: ApiErrorKind = ApiErrorKind.UNAVAILABLE, rows: int = ROWS
) -> World:
    """The world after a batch that met a storm, half a minute after it began."""

    async def main() -> World:
        world, rng = World(seed), random.Random(seed)
        began = world.clock.now() + 30.0

        def fault(call: str, number: int) -> ApiError | None:
            raging = call in calls and 0.0 <= world.clock.now() - began < seconds
            return ApiError(kind, "the storm", status=503 if kind is ApiErrorKind.UNAVAILABLE else None) if raging and rng.random() < p else None

        world.provider.fault = fault
        await world.plan(rows)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) + world.count(State.IN_DOUBT) == rows, "nothing failed, nothing is lost"
        assert len(world.provider.accepted) == rows, "every row was accepted once, those in doubt too"
        return world

    return run_virtual(main())


@pytest.mark.fault("X8")
def test_an_hour_of_5xx_on_submits_puts_few_rows_in_doubt_and_the_rest_completes() -> None:
    world = weathered(3600.0, calls=frozenset({"submit"}))
    held = world.count(State.IN_DOUBT)
    print(f"{held} of {ROWS} rows in doubt")
    assert 0 < held <= world.settings.concurrency
    assert world.provider.calls["submit"] == ROWS


@pytest.mark.fault("C9")
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_minutes_in_which_three_calls_of_ten_fail(seed: int) -> None:
    calm, stormy = weathered(0.0, seed=seed), weathered(600.0, p=0.3, seed=seed)
    print(f"{stormy.count(State.IN_DOUBT)} of {ROWS} rows in doubt")
    assert 0 < stormy.count(State.IN_DOUBT) <= HELD_MAX
    assert sum(stormy.provider.calls.values()) <= 2 * sum(calm.provider.calls.values())


@pytest.mark.fault("C9")
@pytest.mark.parametrize("kind", [ApiErrorKind.UNAVAILABLE, ApiErrorKind.UNREACHABLE, ApiErrorKind.INTERRUPTED])
@pytest.mark.parametrize("seconds", [60.0, 600.0])
def test_an_outage_of_everything_is_waited_out(kind: ApiErrorKind, seconds: float) -> None:
    calm = weathered(0.0, rows=300)

    async def main() -> World:
        world = World()
        began = world.clock.now() + 10.0
        world.provider.fault = lambda call, number: ApiError(kind, "out") if 0.0 <= world.clock.now() - began < seconds else None
        await world.plan(300)
        assert await world.engine().run() is ExitReason.COMPLETED
        return world

    stormy = run_virtual(main())
    held = stormy.count(State.IN_DOUBT)
    assert stormy.count(State.DONE) + held == 300
    assert held == 0 if kind is ApiErrorKind.UNREACHABLE else held <= HELD_MAX
    assert sum(stormy.provider.calls.values()) <= 2 * sum(calm.provider.calls.values())


@pytest.mark.fault("A7")
@pytest.mark.parametrize("seconds", [600.0, 3600.0])
def test_a_machine_that_sleeps_while_requests_are_in_flight(seconds: float) -> None:
    async def main() -> World:
        world, loop = World(settings=RunSettings(concurrency=40)), asyncio.get_running_loop()
        await world.plan(200)
        for after_s in (0.3, 5.0, 20.0):  # time passes, and every timer is late at once
            loop.call_later(after_s, loop.leap, seconds)  # type: ignore[attr-defined]
        assert await world.engine().run() is ExitReason.COMPLETED
        return world

    world = run_virtual(main())
    assert world.count(State.DONE) == 200
    assert len(world.provider.accepted) == 200
