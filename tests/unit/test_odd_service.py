"""A service that is well but odd, on virtual time: what the row and the batch come to, and what a person is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from batcher.carry import OUTPUTS_MAX
from batcher.errors import ApiError, ApiErrorKind
from batcher.ledger.codec import job_from
from batcher.ledger.statements import statements
from batcher.model import ExitReason, FailureKind, Job, RequestPhase, RequestResult, RequestStatus, State
from batcher.providers.fake import FakeProvider
from batcher.settings import RunSettings
from tests.support.engine_world import EPOCH, World, make_spec
from tests.support.virtual_time import run_virtual

INVALID = ApiError(ApiErrorKind.INVALID, "the service answers 422: no such field", status=422)
FORBIDDEN = ApiError(ApiErrorKind.FORBIDDEN, "the service answers 403: Forbidden", status=403)


async def rows(world: World) -> dict[str, Job]:
    sql = statements()["select_jobs"]
    jobs = [job_from(row) for row in await world.ledger._writer.do(lambda connection: connection.execute(sql).fetchall())]
    return {job.row_id: job for job in jobs}


def faults(**by_call: Callable[[int], ApiError | None]) -> Callable[[str, int], ApiError | None]:
    return lambda call, n: by_call[call](n) if call in by_call else None


# ── all of the first rows are refused ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("C13")
def test_a_batch_whose_first_rows_are_all_refused_stops_and_can_go_on_once_that_is_mended() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(posts_in_flight=4), fault=faults(submit=lambda n: INVALID))
        await world.plan(200)
        engine = world.engine()
        assert await engine.run() is ExitReason.ALL_REFUSED
        assert "first 20 submits were refused" in engine.trouble
        assert "no such field" in engine.trouble
        assert 20 <= world.count(State.FAILED) <= 20 + 4
        assert world.count(State.FAILED) + world.count(State.PLANNED) == 200
        world.provider.fault = lambda call, n: None
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) + world.count(State.FAILED) == 200
        assert len(world.provider.accepted) == world.count(State.DONE)

    run_virtual(main())


@pytest.mark.fault("C13")
def test_what_an_earlier_run_submitted_is_collected_where_all_first_rows_of_this_one_are_refused() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(stop_after_refused=2, posts_in_flight=2), slots=1, service_s=lambda rng: 30.0)
        await world.plan(3)
        first = world.engine()
        for after in (5.0, 5.01):
            asyncio.get_running_loop().call_later(after, first.interrupt, ExitReason.INTERRUPTED)
        await first.run()
        world.provider.fault = faults(submit=lambda n: INVALID)
        await world.plan(20)
        assert await world.engine().run() is ExitReason.ALL_REFUSED
        assert (world.count(State.DONE), "cancel" in world.provider.calls) == (3, False)

    run_virtual(main())


class SlowToAccept(FakeProvider):
    """Refuses at once every request but one of the first, which it accepts after a minute."""

    submits = 0

    async def submit(self, model: str, body: bytes) -> str:
        type(self).submits += 1
        if b"row0007" not in body:
            raise INVALID
        await asyncio.sleep(60.0)
        return await super().submit(model, body)


@pytest.mark.fault("C13")
def test_a_refusal_after_an_acceptance_is_the_affair_of_its_row() -> None:
    async def main() -> None:
        world = World()
        world.provider = SlowToAccept(clock=world.clock, rng=world.rng)
        await world.plan(200)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.DONE), world.count(State.FAILED)) == (1, 199)
        assert world.provider.submits == 200

    run_virtual(main())


@pytest.mark.fault("C13")
def test_nothing_stops_at_refusals_where_that_was_switched_off() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(stop_after_refused=0), fault=faults(submit=lambda n: INVALID))
        await world.plan(50)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.FAILED) == 50
        assert "probe" not in world.provider.calls, "only a bare 403 may be about the token"

    run_virtual(main())


# ── a bare 403 ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("C11")
@pytest.mark.parametrize("told", [ApiErrorKind.FORBIDDEN, ApiErrorKind.TOKEN])
@pytest.mark.parametrize("call", ["submit", "status", "result"])
def test_a_token_revoked_with_a_bare_403_fails_no_row(call: str, told: ApiErrorKind) -> None:
    async def main() -> None:
        probed = ApiError(told, "no", status=403)
        world = World(settings=RunSettings(concurrency=8), fault=faults(**{call: lambda n: FORBIDDEN if n > 15 else None}, probe=lambda n: probed))
        await world.plan(60)
        engine = world.engine()
        assert await engine.run() is ExitReason.TOKEN_REJECTED
        assert "403" in engine.trouble
        assert world.count(State.FAILED) == world.count(State.IN_DOUBT) == 0
        world.provider.fault = lambda call, n: None
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == len(world.provider.accepted) == 60

    run_virtual(main())


@pytest.mark.fault("C11", "X12")
def test_a_403_about_one_request_is_the_affair_of_its_row() -> None:
    async def main() -> None:
        world = World(fault=faults(submit=lambda n: FORBIDDEN if n == 3 else None))
        await world.plan(10)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.DONE), world.count(State.FAILED), world.provider.calls["probe"]) == (9, 1, 1)

    run_virtual(main())


# ── one request id for two rows ───────────────────────────────────────────────────────────────────────────────────────


class Alike(FakeProvider):
    """A service that gives the requests of several rows one and the same id."""

    alike: Mapping[str, str]

    async def submit(self, model: str, body: bytes) -> str:
        request_id = await super().submit(model, body)
        return self.alike.get(request_id, request_id)


async def alike_world(alike: Mapping[str, str], *, service_s: float = 30.0, **settings: Any) -> World:
    world = World(settings=RunSettings(posts_in_flight=1, concurrency=64, **settings))
    provider = Alike(clock=world.clock, rng=world.rng, service_s=lambda rng: service_s)
    provider.alike = alike
    world.provider = provider
    return world


@pytest.mark.fault("C16")
def test_rows_whose_requests_are_named_alike_are_both_held_and_a_person_says_whose_it_is() -> None:
    async def main() -> None:
        world = await alike_world({"req-000004": "req-000002"})
        await world.plan(6)
        assert await world.engine().run() is ExitReason.COMPLETED
        found = await rows(world)
        held = [name for name, job in found.items() if job.state is State.IN_DOUBT]
        assert held == ["row0001", "row0003"]
        for name in held:
            failure = found[name].failure
            assert failure is not None
            assert failure.kind is FailureKind.OUTCOME_UNKNOWN
            assert "req-000002" in failure.message
            assert all(repr(other) in failure.message for other in held)
            assert "--adopt" in failure.remedy
            assert found[name].request_id == "req-000002"
            assert not found[name].artifacts
        assert world.count(State.DONE) == 4
        assert len([notice for notice in world.log.notices if "req-000002" in notice]) == 1
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.provider.calls["submit"] == 6

    run_virtual(main())


@pytest.mark.fault("C16")
def test_a_row_that_is_done_keeps_its_files_and_the_one_named_like_it_is_held() -> None:
    async def main() -> None:
        world = await alike_world({"req-000002": "req-000001"}, service_s=0.1)
        await world.ledger.plan([make_spec("first")])
        await world.engine().run()
        await world.ledger.plan([make_spec("first"), make_spec("second"), make_spec("third")])
        assert await world.engine().run() is ExitReason.COMPLETED
        found = await rows(world)
        assert {name: job.state for name, job in found.items()} == {"first": State.DONE, "second": State.IN_DOUBT, "third": State.DONE}
        assert any("'first', 'second'" in notice for notice in world.log.notices)

    run_virtual(main())


@pytest.mark.fault("C16")
@pytest.mark.parametrize("at", [2.0, 3.0, 10.0])
def test_rows_named_alike_are_held_by_the_next_run_where_the_first_was_killed(at: float) -> None:
    async def main() -> None:
        world = await alike_world({"req-000002": "req-000001"})
        await world.plan(2)
        killed = asyncio.create_task(world.engine().run())
        while world.count(State.SUBMITTED) + world.count(State.IN_DOUBT) < 2:
            await asyncio.sleep(0.001)
        killed.cancel()
        with pytest.raises((asyncio.CancelledError, BaseExceptionGroup)):
            await killed
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.IN_DOUBT) == 2
        assert world.fetcher.fetched == []

    run_virtual(main())


@pytest.mark.fault("C16")
def test_a_row_that_is_downloaded_while_another_gets_its_request_id_is_held_with_it() -> None:
    async def main() -> None:
        world = await alike_world({"req-000002": "req-000001"}, service_s=0.1, submits_per_s=0.1)
        world.fetcher.seconds = 1000.0
        await world.plan(2)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert len(world.fetcher.fetched) == 1
        assert {job.state for job in (await rows(world)).values()} == {State.IN_DOUBT}
        assert not any(job.artifacts for job in (await rows(world)).values())

    run_virtual(main())


@pytest.mark.fault("C16")
def test_a_row_whose_request_died_is_paid_for_again_though_another_got_the_old_id() -> None:
    async def main() -> None:
        world = await alike_world({"req-000002": "req-000001"}, service_s=0.1, submits_per_s=0.1, regenerations=1)
        world.provider.outcome = lambda request: RequestResult(RequestPhase.FAILED, error="boom") if request.request_id == "req-000001" else None
        await world.plan(2)
        assert await world.engine().run() is ExitReason.COMPLETED
        found = await rows(world)
        assert (found["row0000"].state, found["row0000"].request_id) == (State.DONE, "req-000003")
        assert found["row0001"].state is State.IN_DOUBT

    run_virtual(main())


# ── requests that never end ───────────────────────────────────────────────────────────────────────────────────────────


def stuck_after(seen: int) -> Callable[[object], float]:
    """The first requests take ten seconds, the others for ever."""
    made = iter(range(10**9))
    return lambda rng: 10.0 if next(made) < seen else 1e12


@pytest.mark.fault("D1", "X11")
def test_a_request_that_takes_far_longer_than_the_others_is_told_of_once_and_then_given_up_with_its_id() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(job_timeout_s=3600, concurrency=64), service_s=stuck_after(8))
        await world.plan(10)
        told_at: dict[str, float] = {}
        world.log.notice = lambda message, now: told_at.setdefault(message, now - EPOCH)  # type: ignore[method-assign]
        assert await world.engine().run() is ExitReason.COMPLETED
        found = await rows(world)
        stuck = {name: job for name, job in found.items() if job.state is State.FAILED}
        assert len(stuck) == 2
        for name, job in stuck.items():
            assert job.failure is not None
            assert (job.failure.kind, job.request_id is not None) == (FailureKind.STALLED, True)
            (message,) = [message for message in told_at if f"Row {name}:" in message]
            assert job.request_id in message  # type: ignore[operator]
            assert "given up in" in message
            assert 300 <= told_at[message] < 340
        assert len(told_at) == 2
        assert 3600 < world.clock.now() - EPOCH < 3700
        assert world.count(State.DONE) == 8
        assert len(world.provider.accepted) == 10

    run_virtual(main())


@pytest.mark.fault("D1", "X11")
def test_a_stuck_request_is_waited_for_where_the_policy_says_so() -> None:
    async def main() -> None:
        settings = RunSettings(job_timeout_s=600, on_stuck="wait", poll_ceiling_s=600)
        world = World(settings=settings, service_s=lambda rng: 5 * 24 * 3600.0)
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 1
        (notice,) = world.log.notices
        assert "waited for (on_stuck: wait)" in notice
        assert world.clock.now() - EPOCH > 5 * 24 * 3600

    run_virtual(main())


@pytest.mark.fault("D1", "D7")
def test_a_request_that_cannot_be_read_is_waited_for_too() -> None:
    async def main() -> None:
        settings = RunSettings(job_timeout_s=60, on_stuck="wait", outage_s=1e9)
        world = World(settings=settings, fault=faults(status=lambda n: ApiError(ApiErrorKind.UNAVAILABLE, "503", status=503) if n < 60 else None))
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 1
        assert world.log.notices == [], "nobody knew whether it was stuck"

    run_virtual(main())


@pytest.mark.fault("D1")
def test_a_request_that_is_given_up_at_its_first_reading_is_not_announced_as_stuck() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(job_timeout_s=1.0, poll_floor_s=5.0), service_s=lambda rng: 1e12)
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.FAILED), world.provider.calls["status"], world.log.notices) == (1, 1, [])

    run_virtual(main())


# ── words and outputs ─────────────────────────────────────────────────────────────────────────────────────────────────


class Wording(FakeProvider):
    words: list[tuple[RequestPhase, str]]

    async def status(self, request_id: str) -> RequestStatus:
        await super().status(request_id)
        phase, word = self.words.pop(0) if self.words else (RequestPhase.COMPLETED, "completed")
        return RequestStatus(phase, word=word)


@pytest.mark.parametrize(("outputs", "state"), [(OUTPUTS_MAX, State.DONE), (OUTPUTS_MAX + 1, State.FAILED)])
def test_a_result_of_more_files_than_can_be_is_believed_in_none_of_them(outputs: int, state: State) -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.0)
        links = {"images": [f"https://files.example/{n}.png" for n in range(outputs)]}
        world.provider.outcome = lambda request: RequestResult(RequestPhase.COMPLETED, links, cost_usd=0.3)
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        job = (await rows(world))["row0000"]
        assert (job.state, len(world.fetcher.fetched), job.cost_usd) == (state, outputs if state is State.DONE else 0, 0.3)
        assert state is State.DONE or (job.failure is not None and job.failure.kind is FailureKind.BAD_RESULT)

    run_virtual(main())


@pytest.mark.fault("D2")
def test_words_that_nobody_knows_are_told_once_each_and_a_status_may_go_backwards() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.0)
        provider = Wording(clock=world.clock, rng=world.rng, service_s=lambda rng: 0.0)
        unknown, running, queued = RequestPhase.UNKNOWN, RequestPhase.RUNNING, RequestPhase.QUEUED
        back_and_forth = [(running, "in_progress"), (queued, "in_queue"), (unknown, "baking"), (running, "In-Progress"), (queued, "IN QUEUE")]
        provider.words = [*back_and_forth, (unknown, "baking"), (unknown, "cooling"), *[(unknown, f"word {n}") for n in range(40)]]
        world.provider = provider
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 1
        assert len(provider.accepted) == 1
        assert sum("'baking'" in notice for notice in world.log.notices) == 1
        assert "row0000" in world.log.notices[0]
        assert len(world.log.notices) == 10

    run_virtual(main())
