from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from batcher.clock import LoopClock
from batcher.course import Course
from batcher.errors import ApiError, ApiErrorKind
from batcher.gate import THROTTLED_MAX_S, SubmitGate
from batcher.model import ExitReason, Lane, Mode
from batcher.pacing import Outage
from batcher.settings import RunSettings
from tests.support.virtual_time import run_virtual

OUT = ApiError(ApiErrorKind.UNAVAILABLE, "503 from the service", status=503)


@dataclass
class Street:
    """A gate and everything round it. Times are seconds since the test began."""

    settings: RunSettings = field(default_factory=RunSettings)
    probe_error: ApiError | None = None
    probe_s: float = 0.0
    congested: bool = False
    probes: list[float] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    entered: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = LoopClock(0.0)
        self.course = Course(self.clock)
        self.outage = Outage(self.settings.outage_s, 30.0)
        self.gate = SubmitGate(
            self.settings, self.clock, self.course, self.outage, self._probe, lambda: self.congested, self.notices.append,
            self.notices.append,
        )  # fmt: skip

    async def _probe(self) -> None:
        await asyncio.sleep(self.probe_s)
        self.probes.append(round(self.clock.now(), 3))
        if self.probe_error is not None:
            raise self.probe_error

    async def enter(self, seq: int) -> bool:
        passed = await self.gate.enter(seq)
        if passed:
            self.entered.append((seq, round(self.clock.now(), 3)))
        return passed

    async def post(self, seq: int, outcome: ApiError | None = None) -> bool:
        """Enter, submit and leave at once."""
        passed = await self.enter(seq)
        if passed:
            self.gate.posting(seq)
            self.gate.answered() if outcome is None else self.gate.failed(seq, outcome)
            self.gate.leave(seq)
        return passed

    async def break_down(self) -> None:
        for seq in range(4):
            await self.post(seq, OUT)
        self.entered.clear()


def on_street(main: Callable[[Street], Coroutine[None, None, None]], **made_of: object) -> None:
    async def run() -> None:
        await main(Street(**made_of))  # type: ignore[arg-type]

    run_virtual(run())


def test_rows_pass_in_the_order_in_which_they_came() -> None:
    async def main(street: Street) -> None:
        await asyncio.gather(*(street.post(seq) for seq in range(40)))
        assert [seq for seq, _ in street.entered] == list(range(40))
        assert street.entered[0][1] == 1.0
        assert street.entered[-1][1] == pytest.approx(10.75, abs=0.01)

    on_street(main, settings=RunSettings(submits_per_s=4))


def test_a_row_that_is_withdrawn_gives_its_share_of_the_rate_back() -> None:
    async def main(street: Street) -> None:
        for seq in range(30):
            await street.enter(seq)
            street.gate.leave(seq)
        assert street.entered[-1][1] == pytest.approx(1.0 + 29 * 0.25, abs=0.01)

    on_street(main, settings=RunSettings(submits_per_s=4))


def test_no_more_posts_are_in_flight_than_allowed_and_who_leaves_makes_room_at_once() -> None:
    async def main(street: Street) -> None:
        rows = [asyncio.create_task(street.enter(seq)) for seq in range(5)]
        await asyncio.sleep(1.0)
        assert [seq for seq, _ in street.entered] == [0, 1, 2]
        street.gate.leave(1)
        street.gate.leave(1)
        street.gate.leave(99)
        await asyncio.sleep(0.001)
        assert street.entered[3:] == [(3, 1.0)]
        street.gate.leave(0)
        await asyncio.gather(*rows)
        assert len(street.entered) == 5

    on_street(main, settings=RunSettings(posts_in_flight=3))


def test_each_failure_halves_how_many_posts_may_be_in_flight_and_answers_give_that_back() -> None:
    async def main(street: Street) -> None:
        async def let_in(first: int) -> int:
            rows = [asyncio.create_task(street.enter(seq)) for seq in range(first, first + 20)]
            await asyncio.sleep(1.0)
            inside = [seq for seq, _ in street.entered]
            street.entered.clear()
            for row in rows:
                row.cancel()
            await asyncio.gather(*rows, return_exceptions=True)
            for seq in inside:
                street.gate.leave(seq)
            return len(inside)

        allowed = [await let_in(0)]
        for n in range(1, 4):
            street.gate.failed(0, OUT)
            allowed.append(await let_in(100 * n))
        assert allowed == [8, 4, 2, 1]
        for _ in range(100):
            street.gate.answered()
        assert await let_in(1000) == 8

    on_street(main, settings=RunSettings(posts_in_flight=8))


def test_no_more_requests_are_at_the_service_than_it_takes_and_who_ends_makes_room_at_once() -> None:
    async def main(street: Street) -> None:
        too_many = ApiError(ApiErrorKind.THROTTLED, "too many", status=429)
        street.gate.arrive(100)  # from an earlier run
        for seq in range(4):
            await street.enter(seq)
            street.gate.posting(seq)
        for seq in range(3):
            street.gate.arrive(seq)
        street.gate.failed(3, too_many)
        street.gate.leave(3)
        assert street.gate.there == 4
        rows = [asyncio.create_task(street.enter(seq)) for seq in range(10, 13)]
        await asyncio.sleep(60.0)
        assert street.entered[4:] == [(10, 1.0)]
        assert street.notices == ["At most 5 requests at the service at once: the service said that it is too many, with 4 there."]
        street.gate.leave(0)
        await asyncio.sleep(0.001)
        assert street.entered[5:] == [(11, 60.0)]
        street.course.change(ExitReason.INTERRUPTED, remote=Mode.DRAIN)
        await asyncio.sleep(0.001)
        assert rows[2].done()

    on_street(main, settings=RunSettings(concurrency=8))


def test_nothing_passes_while_downloads_lag_behind() -> None:
    async def main(street: Street) -> None:
        street.congested = True
        row = asyncio.create_task(street.enter(1))
        await asyncio.sleep(60)
        assert not street.entered
        street.congested = False
        assert await row
        assert street.entered[0][1] == pytest.approx(60, abs=0.2)

    on_street(main)


@pytest.mark.parametrize("kind", [ApiErrorKind.THROTTLED, ApiErrorKind.UNAVAILABLE])
@pytest.mark.fault("C8")
def test_advice_when_to_come_back_holds_for_all(kind: ApiErrorKind) -> None:
    async def main(street: Street) -> None:
        await street.post(1, ApiError(kind, "later", status=429, retry_after_s=45.0))
        await street.post(2)
        assert street.entered == [(1, 0.0), (2, 45.0)]

    on_street(main)


@pytest.mark.fault("C8")
def test_a_429_without_advice_cools_down_longer_each_time_until_something_is_answered() -> None:
    async def main(street: Street) -> None:
        slow = ApiError(ApiErrorKind.THROTTLED, "slow down", status=429)
        for seq in range(9):
            await street.post(seq, slow)
        times = [at for _, at in street.entered]
        assert [b - a for a, b in itertools.pairwise(times)] == [1, 2, 4, 8, 16, 32, THROTTLED_MAX_S, THROTTLED_MAX_S]
        await street.post(100)
        before = street.clock.now()
        await street.post(101, slow)
        await street.post(102)
        assert street.clock.now() - before == pytest.approx(1.0)

    on_street(main)


@pytest.mark.fault("C8")
def test_a_burst_of_429s_is_one_429() -> None:
    async def main(street: Street) -> None:
        await asyncio.gather(*(street.enter(seq) for seq in range(16)))
        for seq in range(16):
            street.gate.failed(0, ApiError(ApiErrorKind.THROTTLED, "slow down", status=429))
            street.gate.leave(seq)
        await street.enter(16)
        assert street.entered[-1] == (16, 1.0)

    on_street(main)


def test_in_an_outage_one_free_probe_at_a_time_and_then_one_row_on_trial() -> None:
    async def main(street: Street) -> None:
        street.outage.answered()
        await street.break_down()
        assert street.notices == ["The service is in trouble (503 from the service): nothing is submitted until it answers again."]
        street.probe_error = OUT
        rows = [asyncio.create_task(street.enter(seq)) for seq in range(10, 14)]
        await asyncio.sleep(60)
        assert street.probes == [2.0, 8.0, 26.0]
        assert not street.entered
        street.probe_error = None
        await asyncio.sleep(25)
        assert street.entered == [(10, 80.0)]
        street.gate.answered()
        street.gate.leave(10)
        await asyncio.gather(*rows)
        assert [seq for seq, _ in street.entered] == [10, 11, 12, 13]
        assert street.probes == [2.0, 8.0, 26.0, 80.0]

    on_street(main, settings=RunSettings(posts_in_flight=64))


def test_a_trial_that_fails_shuts_the_gate_again() -> None:
    async def main(street: Street) -> None:
        street.outage.answered()
        await street.break_down()
        await street.post(10, OUT)
        assert street.entered == [(10, 2.0)]
        await street.post(11)
        assert street.entered[1:] == [(11, 8.0)]
        assert len(street.notices) == 1

    on_street(main)


def test_a_row_on_trial_that_does_not_submit_after_all_leaves_the_trial_to_the_next() -> None:
    async def main(street: Street) -> None:
        await street.break_down()
        assert await street.enter(10)
        street.gate.withdrawn(10)
        street.gate.leave(10)
        assert await street.enter(11)
        assert street.probes == [2.0, 2.0]

    on_street(main)


@pytest.mark.parametrize("kind", [ApiErrorKind.TOKEN, ApiErrorKind.THROTTLED, ApiErrorKind.INVALID])
def test_a_probe_that_is_answered_with_a_refusal_is_answered(kind: ApiErrorKind) -> None:
    async def main(street: Street) -> None:
        await street.break_down()
        street.probe_error = ApiError(kind, "no", status=401)
        assert await street.enter(10)
        street.gate.failed(0, street.probe_error)
        assert street.gate.breaker.opened_at is None

    on_street(main)


def test_a_probe_that_is_answered_ends_what_was_out_of_reach_before_it() -> None:
    async def main(street: Street) -> None:
        street.outage.answered()
        await street.break_down()
        street.outage.failed(0.0)
        assert await street.enter(10)
        assert not street.outage.failed(street.settings.outage_s + 1.0)

    on_street(main)


def test_who_was_not_on_trial_gives_no_trial_back() -> None:
    async def main(street: Street) -> None:
        await street.enter(9)
        await street.break_down()
        street.gate.leave(9)  # its POST is answered: few are let out at once after so many failures
        assert await street.enter(10)
        street.gate.withdrawn(9)
        assert street.gate.breaker.ask(street.clock.now()) is street.gate.breaker.Verdict.WAIT

    on_street(main, settings=RunSettings(posts_in_flight=64))


def test_an_outage_from_the_start_ends_the_batch_soon() -> None:
    async def main(street: Street) -> None:
        await street.break_down()
        street.probe_error = OUT
        assert not await street.enter(10)
        assert street.course.reason is ExitReason.SERVICE_UNAVAILABLE
        assert street.course.mode(Lane.REMOTE) is Mode.STOP
        assert 30 < street.clock.now() < 90

    on_street(main)


def test_a_probe_that_finds_a_service_that_cannot_be_trusted_ends_the_batch_at_once() -> None:
    async def main(street: Street) -> None:
        await street.break_down()
        street.probe_error = ApiError(ApiErrorKind.UNTRUSTED, "the certificate is not valid")
        assert not await street.enter(10)
        assert street.course.reason is ExitReason.SERVICE_UNAVAILABLE
        assert street.clock.now() < 3.0

    on_street(main)


def test_an_outage_of_submits_alone_ends_submitting_and_goes_on_collecting() -> None:
    async def main(street: Street) -> None:
        street.outage.answered()
        await street.break_down()
        for seq in range(10, 100):
            if not await street.post(seq, OUT):
                break
        assert street.course.reason is ExitReason.SERVICE_UNAVAILABLE
        assert street.course.trouble == OUT.message
        assert street.course.mode(Lane.REMOTE) is Mode.COLLECT
        assert 600 < street.clock.now() < 600 + 300 + 1
        assert len(street.entered) < 12

    on_street(main, settings=RunSettings(outage_s=600))


@pytest.mark.parametrize("obstacle", ["posts", "congestion", "cool-down", "open", "rate"])
def test_a_change_of_course_lets_nobody_in_any_more(obstacle: str) -> None:
    async def main(street: Street) -> None:
        if obstacle == "posts":
            await street.enter(0)
        elif obstacle == "congestion":
            street.congested = True
        elif obstacle == "cool-down":
            street.gate.failed(0, ApiError(ApiErrorKind.THROTTLED, "later", status=429, retry_after_s=3600.0))
        elif obstacle == "open":
            await street.break_down()
        else:
            await street.post(0)
        entered, started = len(street.entered), street.clock.now()
        rows = [asyncio.create_task(street.enter(seq)) for seq in range(10, 13)]
        await asyncio.sleep(1.0)
        street.course.change(ExitReason.INTERRUPTED, remote=Mode.DRAIN)
        assert await asyncio.gather(*rows) == [False, False, False]
        assert street.clock.now() < started + 1.2
        assert len(street.entered) == entered

    on_street(main, settings=RunSettings(posts_in_flight=1, submits_per_s=0.01 if obstacle == "rate" else None))


def test_a_stop_while_it_is_probed_gives_the_trial_back() -> None:
    async def main(street: Street) -> None:
        await street.break_down()
        street.probe_s = 10.0
        row = asyncio.create_task(street.enter(10))
        await asyncio.sleep(5.0)
        street.course.change(ExitReason.INTERRUPTED, remote=Mode.COLLECT)
        assert await row is False
        assert street.gate.breaker.ask(street.clock.now()) is not street.gate.breaker.Verdict.WAIT

    on_street(main)


def test_a_gate_that_was_never_open_lets_nobody_in() -> None:
    async def main(street: Street) -> None:
        street.course.change(ExitReason.INTERRUPTED, remote=Mode.COLLECT)
        assert not await street.enter(1)

    on_street(main)
