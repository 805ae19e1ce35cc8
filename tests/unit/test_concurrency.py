from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.concurrency import CHANGES_KEPT, CLIMB_EVERY_S, CUT, FORGET_S, FREEZE_S, GROW_EVERY_S, Change, ConcurrencyLimit


def refuse(limit: ConcurrencyLimit, now: float, there: int) -> Change | None:
    """A submit that is begun now is refused at once, and another one wants to go."""
    limit.refused(now, now, there)
    return limit.review(now, there)


def cut(most: int, there: int, now: float = 0.0) -> ConcurrencyLimit:
    limit = ConcurrencyLimit(most)
    refuse(limit, now - 1.0, there)
    refuse(limit, now, there)
    return limit


def climb(limit: ConcurrencyLimit, now: float, until: float) -> float:
    """As many as allowed are at the service, and more want to go, until then."""
    while now < until:
        now += 0.5
        limit.review(now, limit.limit)
    return now


def test_a_service_that_never_complains_is_never_slowed() -> None:
    limit = ConcurrencyLimit(64)
    for n in range(100):
        limit.accepted(float(n), 64)
        assert limit.review(float(n), 64) is None
    assert limit.limit == 64


def test_the_first_refusal_holds_what_is_there_and_the_second_cuts() -> None:
    limit = ConcurrencyLimit(256)
    held = refuse(limit, 0.0, 50)
    assert held is not None
    assert held.limit == limit.limit == 51
    change = refuse(limit, 1.0, 50)
    assert change is not None
    assert change.limit == limit.limit == int(50 * CUT)
    assert "50" in change.reason
    assert list(limit.changes) == [held, change]


def test_a_burst_is_one_refusal_and_its_acceptances_tell_how_many_there_is_room_for() -> None:
    limit = ConcurrencyLimit(64)
    for n in range(16):
        limit.refused(1.0 + n / 100, 0.9, 12)
        limit.accepted(0.9, 12 + n // 2)
    assert limit.limit == 64
    change = limit.review(2.0, 3)
    assert change is not None
    assert change.limit == 20
    limit.refused(2.5, 0.95, 19)
    assert limit.review(2.6, 19) is None
    assert limit.limit == 20


def test_an_acceptance_of_the_burst_that_comes_late_raises_what_is_held_and_does_not_free_it() -> None:
    limit = ConcurrencyLimit(64)
    refuse(limit, 1.0, 19)
    limit.accepted(0.9, 20)
    limit.accepted(0.9, 21)
    climb(limit, 1.0, 60.0)
    assert limit.limit == 22


def test_where_one_more_is_accepted_it_was_about_the_rate_and_the_limit_grows_a_few_a_second() -> None:
    limit = ConcurrencyLimit(64)
    refuse(limit, 0.0, 10)
    limit.accepted(1.0, 11)
    assert limit.review(1.0 + GROW_EVERY_S, 11) is not None
    assert limit.limit == 12
    assert climb(limit, 2.0, 50.0) < 51
    assert limit.limit == 64


def test_a_limit_that_is_not_reached_does_not_grow() -> None:
    limit = cut(100, 50)
    assert limit.review(100.0, 39) is None
    assert limit.review(100.0, 40) is not None


def test_trouble_holds_growth_back_and_does_not_cut() -> None:
    limit = cut(100, 50)
    limit.troubled(10.0)
    assert limit.limit == 40
    assert limit.review(10.0 + FREEZE_S - 0.1, 40) is None
    assert limit.review(10.0 + FREEZE_S, 40) is not None


def test_it_climbs_to_just_below_what_failed_and_tries_that_again_much_later() -> None:
    limit = cut(100, 50)
    now = climb(limit, 0.0, FORGET_S - CLIMB_EVERY_S)
    assert limit.limit == 50
    change = limit.review(now + CLIMB_EVERY_S, 50)
    assert change is not None
    assert change.limit == 51
    assert "51" in change.reason
    assert refuse(limit, now + 6.0, 50) is not None
    assert limit.limit == int(50 * CUT)


def test_a_ceiling_that_holds_no_more_is_forgotten() -> None:
    limit = cut(100, 50)
    now = climb(limit, 0.0, FORGET_S + CLIMB_EVERY_S)
    limit.accepted(now, 51)
    climb(limit, now, now + 60.0)
    assert limit.limit == 100


def test_a_refusal_far_below_a_ceiling_that_failed_is_held_first_and_the_ceiling_is_kept() -> None:
    limit = cut(100, 50)
    change = refuse(limit, 10.0, 20)
    assert change is not None
    assert change.limit == 21
    limit.accepted(11.0, 21)
    climb(limit, 11.0, FORGET_S - 1)
    assert limit.limit == 50


@pytest.mark.parametrize("noise", [0, 3])
def test_a_hidden_ceiling_is_found_and_seldom_hit(noise: int) -> None:
    """With noise: what has ended and was not seen to have ended counts on this side only."""
    limit, complaints, used = ConcurrencyLimit(256), 0, 0
    for second in range(3600):
        now, there = float(second), limit.limit
        unseen = round(noise * (1 + math.sin(second)) / 2)
        if there - unseen > 60:
            complaints += 1
            limit.refused(now, now, 60 + unseen)
        else:
            limit.accepted(now, there)
            used += there - unseen
        limit.review(now, there)
    assert complaints <= 3600 / FORGET_S * (1 + noise) + 4
    assert used / 3600 > 0.85 * 60


@pytest.mark.parametrize("most", [1, 2, 64])
def test_a_service_that_takes_nothing_for_a_while_is_asked_for_one_and_found_again(most: int) -> None:
    limit = ConcurrencyLimit(most)
    for n in range(10):
        refuse(limit, n * 60.0, 0)
    assert limit.limit == 1
    limit.accepted(600.0, 1)
    climb(limit, 600.0, 700.0)
    assert limit.limit == most


def test_what_was_learned_is_kept_for_the_next_run_as_long_as_it_is_fresh() -> None:
    kept = json.loads(json.dumps(cut(64, 20, now=1000.0).keep()))
    later = ConcurrencyLimit(64)
    change = later.recall(kept, 1000.0 + FORGET_S - 1)
    assert change is not None
    assert later.limit == change.limit == 20
    assert [change.limit for change in later.changes] == [21, 16, 20]
    for now in (1000.0 + FORGET_S, 999.0):
        stale = ConcurrencyLimit(64)
        assert stale.recall(kept, now) is None
        assert stale.limit == 64
    assert ConcurrencyLimit(8).recall(kept, 1001.0) is None


@pytest.mark.parametrize("kept", [None, 7, [], {}, {"failed": "x", "failed_at": 0, "changes": [{}]}, {"failed": 5, "failed_at": None, "changes": 3}])
def test_what_is_not_what_was_kept_teaches_nothing(kept: object) -> None:
    limit = ConcurrencyLimit(64)
    assert limit.recall(kept, 1000.0) is None
    assert (limit.limit, list(limit.changes)) == (64, [])


def test_only_the_latest_changes_are_kept() -> None:
    limit = ConcurrencyLimit(10_000)
    for n in range(CHANGES_KEPT):
        refuse(limit, 10.0 * n, 5000 - 40 * n)
        limit.accepted(10.0 * n + 1, 5001 - 40 * n)
    climb(limit, 1000.0, 1060.0)
    assert len(limit.keep()["changes"]) == CHANGES_KEPT
    assert limit.keep()["changes"][-1]["limit"] == limit.limit


@given(st.lists(st.tuples(st.sampled_from(["refused", "accepted", "troubled"]), st.floats(0, 30), st.integers(0, 300)), max_size=200))
def test_it_stays_between_one_and_the_most_and_tells_of_every_change(history: list[tuple[str, float, int]]) -> None:
    limit, now = ConcurrencyLimit(100), 0.0
    for what, later_s, there in history:
        now += later_s
        match what:
            case "refused":
                limit.refused(now, now - 0.1, there)
            case "accepted":
                limit.accepted(now - 0.1, there)
            case _:
                limit.troubled(now)
        before = limit.limit
        change = limit.review(now, there)
        assert 1 <= limit.limit <= 100
        assert (change is None) == (limit.limit == before)
        if change is not None:
            assert change == limit.changes[-1] == Change(now, limit.limit, change.reason)
