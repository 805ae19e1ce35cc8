from __future__ import annotations

import asyncio
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.observe.progress import Pulse
from batcher.outlook import OBSERVED_MIN, Pace, TimeLeft, time_left
from batcher.service_times import ServiceTimes
from batcher.settings import RunSettings
from tests.support.engine_world import World
from tests.support.virtual_time import run_virtual


def learned(jobs: int = 300, median_s: float = 8.0, sigma: float = 0.5) -> ServiceTimes:
    rng, times = random.Random(4), ServiceTimes()
    for _ in range(jobs):
        end_s = median_s * math.exp(sigma * rng.gauss(0, 1))
        times.saw_unfinished(0.0, 0.97 * end_s)
        times.saw_finished(0.97 * end_s, 1.03 * end_s)
    return times


TIMES = learned()
YOUNG = {TIMES: [0.0] * 50}


def about(left: TimeLeft | None) -> float:
    assert left is not None
    return left.expected_s


def test_nothing_is_said_while_nothing_is_known() -> None:
    assert time_left(100, {}, concurrency=10) is None
    assert time_left(0, {}, concurrency=10) is None
    assert time_left(100, {ServiceTimes(): [1.0, 2.0]}, concurrency=10) is None
    assert time_left(0, {}, concurrency=10, pace=Pace(100, 10.0)) is None
    assert time_left(100, {}, concurrency=10, pace=Pace(OBSERVED_MIN - 1, 10.0)) is None


def test_many_rows_take_as_long_as_their_number_says() -> None:
    mean_s = 8.0 * math.exp(0.125)
    left = time_left(100_000, YOUNG, concurrency=50)
    assert about(left) == pytest.approx(100_000 * mean_s / 50, rel=0.1)
    assert left is not None
    assert left.low_s < 100_000 * mean_s / 50 < left.high_s


def test_one_request_takes_as_long_as_its_model_does() -> None:
    left = time_left(0, {TIMES: [0.0]}, concurrency=50)
    assert left is not None
    assert (left.low_s, left.expected_s, left.high_s) == pytest.approx(
        (TIMES.quantile_s(0.1), TIMES.quantile_s(0.5), TIMES.quantile_s(0.9)), rel=0.05
    )


def test_the_last_of_many_takes_longer_than_one() -> None:
    assert about(time_left(0, YOUNG, concurrency=50)) == pytest.approx(TIMES.quantile_s(0.5 ** (1 / 50)), rel=0.1)
    assert about(time_left(0, YOUNG, concurrency=50)) > 1.8 * about(time_left(0, {TIMES: [0.0]}, concurrency=50))


def test_what_has_been_waited_for_counts() -> None:
    assert about(time_left(0, {TIMES: [6.0]}, concurrency=1)) < about(time_left(0, {TIMES: [0.0]}, concurrency=1)) - 3


def test_the_rate_of_submits_bounds_it() -> None:
    assert about(time_left(1000, YOUNG, concurrency=50, submits_per_s=1.0)) > 1000


def test_what_is_observed_is_believed_before_what_is_computed() -> None:
    assert about(time_left(1000, YOUNG, concurrency=50, pace=Pace(100, 100.0))) == pytest.approx(1000, rel=0.05)
    assert about(time_left(1000, {}, concurrency=50, pace=Pace(100, 100.0))) == pytest.approx(1000, rel=0.05)
    assert about(time_left(1000, YOUNG, concurrency=50, pace=Pace(3, 100.0))) == about(time_left(1000, YOUNG, concurrency=50))


def test_little_experience_is_a_wide_answer() -> None:
    def width(times: ServiceTimes) -> float:
        left = time_left(1000, {times: [1.0] * 50}, concurrency=50)
        assert left is not None
        return left.high_s / left.low_s

    assert width(learned(3)) > 2 * width(TIMES)


def test_a_request_that_will_be_given_up_is_not_waited_for_for_ever() -> None:
    left = time_left(0, {TIMES: [5000.0]}, concurrency=1, longest_s=7200.0)
    assert left is not None
    assert left.high_s <= 7200.0


@given(
    waiting=st.integers(0, 10**6), ages=st.lists(st.floats(0, 1e7), max_size=20), concurrency=st.integers(1, 10**4), ended=st.integers(0, 10**4),
    in_s=st.floats(0, 100), submits=st.none() | st.floats(0.001, 100), longest=st.floats(1, 1e6) | st.just(math.inf),
)  # fmt: skip
def test_an_answer_is_always_sane(
    waiting: int, ages: list[float], concurrency: int, ended: int, in_s: float, submits: float | None, longest: float
) -> None:
    pace = Pace(ended, in_s)
    left = time_left(waiting, {TIMES: ages}, concurrency=concurrency, pace=pace, submits_per_s=submits, longest_s=longest)
    if left is not None:
        assert 0 <= left.low_s <= left.expected_s <= left.high_s < math.inf


@pytest.mark.no_cover
@pytest.mark.parametrize(("seed", "median_s", "slots"), [(1, 8.0, 10**6), (2, 30.0, 10**6), (3, 8.0, 10)])
def test_in_a_world_of_its_own_the_answer_is_mostly_right(seed: int, median_s: float, slots: int) -> None:
    async def main() -> None:
        settings = RunSettings(concurrency=32)
        world = World(seed, settings=settings, service_s=lambda rng: median_s * rng.lognormvariate(0.0, 0.5), slots=slots)
        world.fetcher.seconds = 0.05
        await world.plan(300)
        engine, said = world.engine(), []

        async def ask() -> None:
            pulse = Pulse(world.ledger.counts(), world.clock.now(), engine.time_left)
            while True:
                said.append((world.clock.now(), pulse.take(world.ledger.counts(), 0.0, world.clock.now()).left))
                await asyncio.sleep(2.0)

        began = world.clock.now()
        await engine.run(beside=ask)
        took_s = world.clock.now() - began
        known = [(world.clock.now() - now, left) for now, left in said if left is not None and now - began > 0.25 * took_s]
        assert len(known) > 0.7 * len(said)
        in_body = [(left_s, left) for left_s, left in known if left_s > 0.2 * took_s]
        assert sum(abs(left.expected_s - left_s) < 0.35 * left_s for left_s, left in in_body) > 0.8 * len(in_body)
        assert sum(0.8 * left.low_s <= left_s <= 1.2 * left.high_s for left_s, left in in_body) > 0.8 * len(in_body)

    run_virtual(main())
