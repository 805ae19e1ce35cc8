import math

from hypothesis import given
from hypothesis import strategies as st

from batcher.simulator.queueing import Run, SlotQueue


def test_requests_run_in_the_order_of_arrival_as_slots_come_free():
    queue = SlotQueue(2)
    for ordinal in (1, 2, 3, 4):
        queue.enter(ordinal, 0.0, 10.0)
    assert [queue.position(n, 5.0) for n in (1, 2, 3, 4)] == [None, None, 1, 2]
    assert queue.running(5.0) == 2
    assert queue.run(3, 12.0) == Run(10.0, 20.0)
    assert queue.run(4, 12.0) == Run(10.0, 20.0)
    assert queue.running(25.0) == 0


def test_positions_fall_when_somebody_leaves():
    queue = SlotQueue(1)
    for ordinal in (1, 2, 3, 4):
        queue.enter(ordinal, 0.0, 10.0)
    assert queue.leave(2, 1.0)
    assert [queue.position(n, 1.0) for n in (3, 4)] == [1, 2]
    assert queue.run(3, 11.0) == Run(10.0, 20.0)
    assert not queue.leave(2, 11.0)
    assert not queue.leave(3, 11.0)
    assert not queue.leave(99, 11.0)


def test_a_request_without_service_time_ends_at_once():
    queue = SlotQueue(1)
    for ordinal in (1, 2, 3):
        queue.enter(ordinal, 5.0, 0.0)
    assert [queue.run(n, 5.0) for n in (1, 2, 3)] == [Run(5.0, 5.0)] * 3
    assert queue.running(5.0) == 0


def test_one_that_never_ends_keeps_its_slot():
    queue = SlotQueue(1)
    queue.enter(1, 0.0, math.inf)
    queue.enter(2, 0.0, 1.0)
    assert queue.position(2, 1e12) == 1


def test_it_does_not_matter_how_often_it_is_asked():
    often, once = SlotQueue(1), SlotQueue(1)
    for queue in (often, once):
        for ordinal in (1, 2, 3):
            queue.enter(ordinal, 0.0, 4.0)
    for now in range(12):
        often.advance(float(now))
    assert [often.run(n, 12.0) for n in (1, 2, 3)] == [once.run(n, 12.0) for n in (1, 2, 3)]


@given(st.integers(1, 4), st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=30))
def test_never_more_run_than_there_are_slots_and_none_is_idle_while_somebody_waits(slots, arrivals):
    queue, now = SlotQueue(slots), 0.0
    for ordinal, (gap, service_s) in enumerate(arrivals, 1):
        now += gap
        queue.enter(ordinal, now, service_s)
        waiting = sum(queue.position(n, now) is not None for n in range(1, ordinal + 1))
        assert queue.running(now) <= slots
        assert waiting == 0 or queue.running(now) == slots
    end = now + sum(service_s for _, service_s in arrivals) + 1.0
    starts = [queue.run(n, end).started_at for n in range(1, len(arrivals) + 1)]
    assert starts == sorted(starts)
