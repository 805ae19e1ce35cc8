from __future__ import annotations

import asyncio
import itertools

import pytest

from batcher.clock import LoopClock
from batcher.course import SEVERITY, Course
from batcher.model import ExitReason, Lane, Mode
from tests.support.virtual_time import run_virtual


@pytest.mark.parametrize(("before", "to"), list(itertools.product(Mode, Mode)))
def test_a_lane_only_ever_moves_towards_stopping(before: Mode, to: Mode) -> None:
    async def main() -> None:
        course = Course(LoopClock(), before)
        changed = course.change(ExitReason.INTERRUPTED, remote=to)
        assert changed == (SEVERITY[to] > SEVERITY[before])
        assert course.mode(Lane.REMOTE) is (to if changed else before)
        assert course.reason is (ExitReason.INTERRUPTED if changed else None)

    run_virtual(main())


def test_the_first_reason_stays() -> None:
    async def main() -> None:
        course = Course(LoopClock())
        assert course.change(ExitReason.NO_BALANCE, remote=Mode.COLLECT)
        assert course.change(ExitReason.INTERRUPTED, remote=Mode.DRAIN)
        assert course.reason is ExitReason.NO_BALANCE

    run_virtual(main())


def test_lanes_move_apart() -> None:
    async def main() -> None:
        course = Course(LoopClock())
        assert course.change(ExitReason.OUTPUT_UNWRITABLE, remote=Mode.COLLECT, download=Mode.STOP)
        assert course.change(ExitReason.INTERRUPTED, remote=Mode.STOP)
        assert (course.mode(Lane.REMOTE), course.mode(Lane.DOWNLOAD)) == (Mode.STOP, Mode.STOP)

    run_virtual(main())


def test_cancelling_for_good_downloads_nothing() -> None:
    async def main() -> None:
        assert Course(LoopClock(), Mode.CANCEL).mode(Lane.DOWNLOAD) is Mode.STOP
        assert Course(LoopClock(), Mode.COLLECT).mode(Lane.DOWNLOAD) is Mode.RUN

    run_virtual(main())


def test_a_change_wakes_everyone_who_waits_and_nobody_who_waits_later() -> None:
    async def main() -> None:
        clock = LoopClock()
        course = Course(clock)
        started = clock.now()
        pauses = [asyncio.create_task(course.pause(1000.0)) for _ in range(3)]
        await asyncio.sleep(1)
        assert not course.change(ExitReason.INTERRUPTED, remote=Mode.RUN)
        assert course.change(ExitReason.INTERRUPTED, remote=Mode.DRAIN)
        assert await asyncio.gather(*pauses) == [True, True, True]
        assert clock.now() - started == pytest.approx(1.0)
        assert await course.pause(5.0) is False
        assert clock.now() - started == pytest.approx(6.0)

    run_virtual(main())


def test_whoever_waits_can_be_woken_to_look_again_without_a_change() -> None:
    async def main() -> None:
        clock = LoopClock()
        course = Course(clock)
        pauses = [asyncio.create_task(course.pause(1000.0)) for _ in range(3)]
        await asyncio.sleep(1)
        course.reconsider()
        assert await asyncio.gather(*pauses) == [True, True, True]
        assert await course.pause(5.0) is False
        assert (course.mode(Lane.REMOTE), course.reason) == (Mode.RUN, None)

    run_virtual(main())


def test_a_batch_that_is_being_cancelled_goes_on_so_until_it_is_left() -> None:
    async def main() -> None:
        course = Course(LoopClock(0.0), Mode.CANCEL)
        for mode in (Mode.COLLECT, Mode.DRAIN):
            assert not course.change(ExitReason.INTERRUPTED, remote=mode)
            assert course.mode(Lane.REMOTE) is Mode.CANCEL
        assert course.change(ExitReason.INTERRUPTED, remote=Mode.STOP)

    run_virtual(main())
