from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.concurrency import CUT, EPISODE_S, FORGET_S, FREEZE_S, GROW_EVERY_S, ConcurrencyLimit


def test_a_service_that_never_complains_is_never_slowed() -> None:
    limit = ConcurrencyLimit(64)
    assert [limit.answered(float(n), 64) for n in range(100)] == [None] * 100
    assert limit.limit == 64


def test_one_episode_is_one_cut_from_what_was_truly_in_flight() -> None:
    limit = ConcurrencyLimit(256)
    change = limit.throttled(0.0, 50)
    assert change is not None
    assert change.limit == limit.limit == int(50 * CUT)
    assert [limit.throttled(t, 60) for t in (0.1, 1.0, EPISODE_S - 0.1)] == [None] * 3
    assert limit.throttled(EPISODE_S + 0.1, 40) is not None
    assert limit.limit == int(40 * CUT)


def test_nothing_grows_before_the_time_that_the_service_asked_for() -> None:
    limit = ConcurrencyLimit(100)
    limit.throttled(0.0, 100, until=60.0)
    assert limit.answered(59.0, 80) is None
    assert limit.answered(60.0, 80) is not None


def test_a_limit_that_is_not_reached_does_not_grow() -> None:
    limit = ConcurrencyLimit(100)
    limit.throttled(0.0, 100)
    assert limit.answered(100.0, 79) is None
    assert limit.answered(100.0, 80) is not None


def test_trouble_holds_growth_back_and_does_not_cut() -> None:
    limit = ConcurrencyLimit(100)
    limit.throttled(0.0, 100)
    limit.troubled(10.0)
    assert limit.limit == 80
    assert limit.answered(10.0 + FREEZE_S - 0.1, 80) is None
    assert limit.answered(10.0 + FREEZE_S, 80) is not None


def test_it_climbs_to_just_below_what_failed_and_tries_that_again_much_later() -> None:
    limit = ConcurrencyLimit(100)
    limit.throttled(0.0, 50)
    now = 0.0
    while now < FORGET_S - GROW_EVERY_S:
        now += GROW_EVERY_S
        limit.answered(now, limit.limit)
    assert limit.limit == 49
    change = limit.answered(FORGET_S, 49)
    assert change is not None
    assert change.limit > 49
    assert "50" in change.reason


def test_a_hidden_ceiling_is_found_and_seldom_hit() -> None:
    limit, complaints, used = ConcurrencyLimit(256), 0, 0
    for now in range(3600):
        if limit.limit > 40:
            complaints += limit.throttled(float(now), 41) is not None
        else:
            limit.answered(float(now), limit.limit)
            used += limit.limit
    assert complaints <= 3600 / FORGET_S + 1
    assert used / 3600 > 0.85 * 40


@given(st.lists(st.tuples(st.sampled_from(["throttled", "answered", "troubled"]), st.floats(0, 30), st.integers(0, 300)), max_size=200))
def test_it_stays_between_one_and_the_most(history: list[tuple[str, float, int]]) -> None:
    limit, now = ConcurrencyLimit(100), 0.0
    for what, later_s, in_flight in history:
        now += later_s
        before = limit.limit
        match what:
            case "throttled":
                change = limit.throttled(now, in_flight)
            case "answered":
                change = limit.answered(now, in_flight)
            case _:
                change = limit.troubled(now)  # type: ignore[func-returns-value]
        assert 1 <= limit.limit <= 100
        assert (change is None) == (limit.limit == before)


@pytest.mark.parametrize("most", [1, 2])
def test_even_the_smallest_limit_never_stalls(most: int) -> None:
    limit = ConcurrencyLimit(most)
    for n in range(10):
        limit.throttled(n * 2 * EPISODE_S, 1)
    assert limit.limit == 1
