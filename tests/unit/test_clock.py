from __future__ import annotations

import asyncio
import time

import pytest

from batcher.clock import LoopClock
from tests.support.virtual_time import run_virtual


async def test_it_tells_the_wall_clock_at_its_start() -> None:
    assert LoopClock().now() == pytest.approx(time.time(), abs=5.0)


async def test_it_does_not_follow_the_wall_clock_when_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LoopClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= clock.now() < before + 5.0


@pytest.mark.fault("G5")
async def test_before_1970_it_begins_at_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: -86_400.0)
    assert 0.0 <= LoopClock().now() < 5.0


def test_it_is_virtual_where_the_loop_is() -> None:
    async def main() -> None:
        clock = LoopClock(1000.0)
        await asyncio.sleep(3600)
        assert clock.now() == pytest.approx(4600.0)

    run_virtual(main())


def test_it_has_no_time_outside_a_loop() -> None:
    with pytest.raises(RuntimeError):
        LoopClock()


def test_waiting_ends_with_the_event_or_with_its_time() -> None:
    async def main() -> None:
        clock, event = LoopClock(0.0), asyncio.Event()
        asyncio.get_running_loop().call_later(5.0, event.set)
        assert await clock.wait(event, 2.0) is False
        assert clock.now() == pytest.approx(2.0)
        assert await clock.wait(event, 100.0) is True
        assert clock.now() == pytest.approx(5.0)
        assert await clock.wait(event, 100.0) is True

    run_virtual(main())


def test_without_a_limit_it_waits_for_the_event() -> None:
    async def main() -> None:
        clock, event = LoopClock(0.0), asyncio.Event()
        asyncio.get_running_loop().call_later(1e6, event.set)
        assert await clock.wait(event, None) is True
        assert clock.now() == pytest.approx(1e6)

    run_virtual(main())


@pytest.mark.parametrize("timeout_s", [0.0, -5.0])
def test_no_time_is_no_wait(timeout_s: float) -> None:
    async def main() -> None:
        clock, event = LoopClock(0.0), asyncio.Event()
        assert await clock.wait(event, timeout_s) is False
        event.set()
        assert await clock.wait(event, timeout_s) is True
        assert clock.now() == 0.0

    run_virtual(main())


def test_a_wait_can_be_cancelled() -> None:
    async def main() -> None:
        waiting = asyncio.create_task(LoopClock(0.0).wait(asyncio.Event(), 10.0))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run_virtual(main())
