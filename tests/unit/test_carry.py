from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from batcher.errors import ApiError, ApiErrorKind, InputError
from batcher.model import ExitReason, Failure, FailureKind, Job, JobSpec, Mode, RequestPhase, RequestResult, RequestStatus, State
from batcher.providers.fake import FakeProvider, FakeRequest
from batcher.retry import DOUBT_REMEDY
from batcher.settings import RunSettings
from tests.support.engine_world import EPOCH, PlainBodies, World
from tests.support.virtual_time import run_virtual

COMPLETED, FAILED, CANCELLED = RequestPhase.COMPLETED, RequestPhase.FAILED, RequestPhase.CANCELLED
RUNNING, UNKNOWN = RequestPhase.RUNNING, RequestPhase.UNKNOWN


async def rows(world: World) -> dict[str, Job]:
    from batcher.ledger.codec import job_from
    from batcher.ledger.statements import statements

    sql = statements()["select_jobs"]
    jobs = [job_from(row) for row in await world.ledger._writer.do(lambda connection: connection.execute(sql).fetchall())]
    return {job.row_id: job for job in jobs}


class Speaking:
    """A service that answers status calls with words of its own, the n-th with `status(n)`."""

    def __init__(self, provider: FakeProvider, status: Callable[[int], RequestPhase]) -> None:
        self._provider = provider
        self._status = status
        self._asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._provider, name)

    async def status(self, request_id: str) -> RequestStatus:
        self._asked += 1
        await self._provider.status(request_id)
        return RequestStatus(self._status(self._asked))


def say(world: World, status: Callable[[int], RequestPhase]) -> None:
    world.provider = Speaking(world.provider, status)  # type: ignore[assignment]


def outcome(result: RequestResult) -> Callable[[FakeRequest], RequestResult]:
    return lambda request: result


# ── what came of a request ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "result", "kind", "words"),
    [
        (COMPLETED, RequestResult(FAILED, error="boom", cost_usd=0.04), FailureKind.GENERATION_FAILED, "boom"),
        (COMPLETED, RequestResult(FAILED), FailureKind.GENERATION_FAILED, "gives no reason"),
        (FAILED, RequestResult(FAILED, error="boom", cost_usd=0.04), FailureKind.GENERATION_FAILED, "boom"),
        (FAILED, RequestResult(UNKNOWN), FailureKind.GENERATION_FAILED, "gives no reason"),
        (FAILED, RequestResult(RUNNING), FailureKind.GENERATION_FAILED, "gives no reason"),
        (COMPLETED, RequestResult(COMPLETED, output={}, cost_usd=0.08), FailureKind.BAD_RESULT, "no output"),
        (COMPLETED, RequestResult(COMPLETED, output={"image": None}), FailureKind.BAD_RESULT, "no output"),
        (COMPLETED, RequestResult(COMPLETED, output={}, excerpt='{"a":1}'), FailureKind.BAD_RESULT, 'no output; it begins: {"a":1}'),
    ],
)
@pytest.mark.fault("D6", "X13")
def test_a_request_that_failed_is_a_row_that_failed(status: RequestPhase, result: RequestResult, kind: FailureKind, words: str) -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.0)
        world.provider.outcome = outcome(result)
        say(world, lambda n: status)
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        (job,) = (await rows(world)).values()
        assert job.state is State.FAILED
        assert job.failure is not None
        assert job.failure.kind is kind
        assert words in job.failure.message
        assert ("it begins" in job.failure.message) == bool(result.excerpt)
        assert "retry" in job.failure.remedy
        assert job.cost_usd == result.cost_usd
        assert job.request_id == "req-000001"

    run_virtual(main())


def test_a_status_that_says_failed_is_enough_where_the_result_cannot_be_read() -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(ApiErrorKind.GONE, "404 from the service", status=404) if call == "result" else None)
        say(world, lambda n: FAILED)
        await world.plan(1)
        await world.engine().run()
        (job,) = (await rows(world)).values()
        assert job.failure is not None
        assert job.failure.kind is FailureKind.GENERATION_FAILED
        assert "404 from the service" in job.failure.message

    run_virtual(main())


@pytest.mark.parametrize("kind", [ApiErrorKind.UNAVAILABLE, ApiErrorKind.INTERRUPTED, ApiErrorKind.UNREACHABLE])
@pytest.mark.fault("D7")
def test_a_result_that_could_not_be_asked_for_says_nothing(kind: ApiErrorKind) -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(kind, "503", status=503) if call == "result" and n <= 3 else None)
        say(world, lambda n: FAILED if n <= 3 else COMPLETED)
        await world.plan(1)
        await world.engine().run()
        (job,) = (await rows(world)).values()
        assert job.state is State.DONE
        assert len(world.provider.accepted) == 1

    run_virtual(main())


@pytest.mark.fault("C11")
def test_a_status_that_says_failed_is_not_enough_where_the_token_is_rejected() -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(ApiErrorKind.TOKEN, "revoked", status=401) if call == "result" else None)
        say(world, lambda n: FAILED)
        await world.plan(1)
        engine = world.engine()
        assert await engine.run() is ExitReason.TOKEN_REJECTED
        assert engine.trouble == "revoked"
        assert world.count(State.SUBMITTED) == 1

    run_virtual(main())


def test_a_result_may_say_success_where_the_status_said_failed() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.0)
        say(world, lambda n: FAILED)
        await world.plan(1)
        await world.engine().run()
        assert world.count(State.DONE) == 1

    run_virtual(main())


@pytest.mark.parametrize("phase", [CANCELLED, COMPLETED])
def test_a_request_that_somebody_else_cancelled(phase: RequestPhase) -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.0)
        world.provider.outcome = outcome(RequestResult(CANCELLED))
        say(world, lambda n: phase)
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.CANCELLED) == 1

    run_virtual(main())


@pytest.mark.parametrize("phase", [UNKNOWN, RequestPhase.QUEUED, RUNNING])
def test_nothing_is_a_success_before_the_result_said_so(phase: RequestPhase) -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.1)
        world.provider.outcome = lambda request: RequestResult(phase) if world.provider.calls["result"] <= 3 else None
        await world.plan(1)
        await world.engine().run()
        assert world.count(State.DONE) == 1
        assert world.provider.calls["result"] == 4
        (job,) = (await rows(world)).values()
        assert job.polls == world.provider.calls["status"], "each reading counts"
        assert len(world.provider.accepted) == 1

    run_virtual(main())


@pytest.mark.parametrize("call", ["status", "result"])
def test_not_ready_is_not_a_failure(call: str) -> None:
    async def main() -> None:
        early = ApiError(ApiErrorKind.NOT_READY, "400005", status=400)
        settings = RunSettings(poll_ceiling_s=1.0)
        world = World(settings=settings, service_s=lambda rng: 0.0, fault=lambda made, n: early if made == call and n <= 8 else None)
        await world.plan(1)
        await world.engine().run()
        assert world.count(State.DONE) == 1
        assert world.clock.now() - EPOCH < 12.0, "asked again as of a request that runs, without backing off"

    run_virtual(main())


@pytest.mark.fault("D2")
def test_a_word_that_is_not_known_keeps_the_request_and_asks_again() -> None:
    async def main() -> None:
        world = World()
        say(world, lambda n: UNKNOWN if n <= 20 else COMPLETED)
        await world.plan(1)
        await world.engine().run()
        assert world.count(State.DONE) == 1
        assert len(world.provider.accepted) == 1

    run_virtual(main())


@pytest.mark.fault("D2")
def test_a_word_that_is_never_understood_is_waited_for_no_longer_than_any_other() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(job_timeout_s=60))
        say(world, lambda n: UNKNOWN)
        await world.plan(1)
        assert await asyncio.wait_for(world.engine().run(), 600) is ExitReason.COMPLETED
        (job,) = (await rows(world)).values()
        assert job.failure is not None
        assert (job.failure.kind, job.request_id) == (FailureKind.STALLED, "req-000001")

    run_virtual(main())


@pytest.mark.fault("D2")
@pytest.mark.parametrize(("phase", "told"), [(UNKNOWN, 1), (RequestPhase.QUEUED, 0)])
def test_a_word_of_the_result_is_told_where_it_is_not_known(phase: RequestPhase, told: int) -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.1)
        world.provider.outcome = lambda request: RequestResult(phase, word="baking") if world.provider.calls["result"] <= 3 else None
        await world.plan(1)
        await world.engine().run()
        assert sum("'baking'" in notice for notice in world.log.notices) == told

    run_virtual(main())


@pytest.mark.fault("D7")
def test_polls_wait_as_long_as_the_service_asks() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 1.0)
        asked: list[float] = []

        def fault(call: str, n: int) -> ApiError | None:
            if call == "status":
                asked.append(world.clock.now() - EPOCH)
            return ApiError(ApiErrorKind.THROTTLED, "slow down", status=429, retry_after_s=120.0) if call == "status" and n == 1 else None

        world.provider.fault = fault
        await world.plan(1)
        await world.engine().run()
        assert asked[1] - asked[0] >= 120.0
        assert world.count(State.DONE) == 1

    run_virtual(main())


# ── what goes into a request ──────────────────────────────────────────────────────────────────────────────────────────


class ChangedBodies(PlainBodies):
    async def encode(self, spec: JobSpec) -> bytes:
        if spec.row_id in ("row0001", "row0003"):
            raise InputError("mug.jpg is not the file that was planned", "Put it back.")
        return await super().encode(spec)


def test_a_file_that_changed_since_the_plan_fails_its_row_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.engine_world.PlainBodies", ChangedBodies)

    async def main() -> None:
        world = World(settings=RunSettings(posts_in_flight=1))
        await world.plan(5)
        assert await world.engine().run() is ExitReason.COMPLETED
        found = await rows(world)
        failure = found["row0001"].failure
        assert failure is not None
        assert (failure.kind, failure.message, failure.remedy) == (
            FailureKind.INPUT_CHANGED,
            "mug.jpg is not the file that was planned",
            "Put it back.",
        )
        assert (found["row0001"].attempts, world.provider.calls["submit"]) == (0, 3)
        assert (world.count(State.DONE), world.count(State.FAILED)) == (3, 2)

    run_virtual(main())


class LaterChangedBodies(PlainBodies):
    async def encode(self, spec: JobSpec) -> bytes:
        if spec.row_id == "row0005":
            raise InputError("mug.jpg is not the file that was planned", "Put it back.")
        return await super().encode(spec)


def test_a_row_on_trial_whose_file_changed_leaves_the_trial_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.engine_world.PlainBodies", LaterChangedBodies)

    async def main() -> None:
        out = ApiError(ApiErrorKind.UNAVAILABLE, "503", status=503)
        world = World(settings=RunSettings(posts_in_flight=1), fault=lambda call, n: out if call == "submit" and n <= 5 else None)
        await world.plan(10)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.IN_DOUBT), world.count(State.FAILED), world.count(State.DONE)) == (5, 1, 4)

    run_virtual(main())


# ── taking back ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rows_at_service", [3, 300])
def test_a_cancel_whose_answer_is_lost_is_asked_once_in_a_run_however_many_rows_there_are(rows_at_service: int) -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=400), slots=1, service_s=lambda rng: 1e6)
        await world.plan(rows_at_service)
        first = world.engine()
        for after in (30.0, 30.001):
            asyncio.get_running_loop().call_later(after, first.interrupt, ExitReason.INTERRUPTED)
        await first.run()
        assert world.count(State.SUBMITTED) == rows_at_service
        world.settings = RunSettings(concurrency=8)
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.INTERRUPTED, "cut") if call == "cancel" else None
        assert await world.engine(Mode.CANCEL).run() is ExitReason.STOPPED_EARLY
        assert world.provider.calls["cancel"] <= rows_at_service
        world.provider.fault = lambda call, n: None
        before = world.provider.calls["cancel"]
        await world.engine(Mode.CANCEL).run()
        assert world.provider.calls["cancel"] - before >= rows_at_service - 1, "the next run may ask again"
        assert world.count(State.CANCELLED) == rows_at_service - 1

    run_virtual(main())


@pytest.mark.fault("X15")
def test_a_cancel_that_is_refused_for_good_is_waited_for_by_a_stop() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=4), slots=1, service_s=lambda rng: 5.0)
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.INVALID, "400", status=400) if call == "cancel" else None
        await world.plan(4)
        engine = world.engine()
        asyncio.get_running_loop().call_later(3.0, engine.interrupt, ExitReason.INTERRUPTED)
        assert await engine.run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 4
        found = await rows(world)
        assert all(job.cancel is None for job in found.values())
        made = await world.ledger._writer.do(lambda c: {row[0]: row[1] for row in c.execute("SELECT kind, n FROM requests")})
        assert made["cancels"] == world.provider.calls["cancel"] > 0

    run_virtual(main())


async def abandoned() -> World:
    """Four requests at a service that never ends one, left there by a run that was interrupted twice."""
    world = World(settings=RunSettings(concurrency=4), slots=1, service_s=lambda rng: 1e6)
    await world.plan(4)
    first = world.engine()
    for after in (30.0, 30.001):
        asyncio.get_running_loop().call_later(after, first.interrupt, ExitReason.INTERRUPTED)
    await first.run()
    return world


@pytest.mark.fault("C11", "X15")
@pytest.mark.parametrize("kind", [ApiErrorKind.TOKEN, ApiErrorKind.FORBIDDEN])
def test_a_token_that_is_rejected_while_requests_are_cancelled_says_nothing_of_them(kind: ApiErrorKind) -> None:
    async def main() -> None:
        world = await abandoned()
        revoked = ApiError(kind, "the service answers 403", status=403)
        world.provider.fault = lambda call, n: revoked if call in ("cancel", "probe") else None
        engine = world.engine(Mode.CANCEL)
        assert await engine.run() is ExitReason.TOKEN_REJECTED
        assert "the service answers 403" in engine.trouble
        assert world.count(State.SUBMITTED) == 4
        world.provider.fault = lambda call, n: None
        assert await world.engine(Mode.CANCEL).run() is ExitReason.STOPPED_EARLY
        assert (world.count(State.CANCELLED), world.count(State.SUBMITTED)) == (3, 1), "the one that runs cannot be cancelled"

    run_virtual(main())


def test_a_cancel_that_comes_at_a_bad_time_is_asked_for_again_by_the_next_run() -> None:
    async def main() -> None:
        world = await abandoned()
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.THROTTLED, "slow down", status=429) if call == "cancel" else None
        await world.engine(Mode.CANCEL).run()
        assert world.count(State.SUBMITTED) == 4
        world.provider.fault = lambda call, n: None
        await world.engine(Mode.CANCEL).run()
        assert world.count(State.CANCELLED) == 3

    run_virtual(main())


# ── the whole batch ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_outage_while_polling_ends_the_run_resumable_with_its_reason() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=4, outage_s=60), service_s=lambda rng: 20.0)
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.UNAVAILABLE, "503 again", status=503) if call == "status" and n > 4 else None
        await world.plan(4)
        engine = world.engine()
        assert await engine.run() is ExitReason.SERVICE_UNAVAILABLE
        assert engine.trouble == "503 again"
        assert world.count(State.SUBMITTED) == 4
        world.provider.fault = lambda call, n: None
        assert await world.engine().run() is ExitReason.COMPLETED
        assert len(world.provider.accepted) == 4

    run_virtual(main())


def test_a_service_that_answers_is_not_out_of_reach_whatever_it_answers() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(outage_s=60), service_s=lambda rng: 1.0)
        busy = ApiError(ApiErrorKind.THROTTLED, "slow down", status=429)
        world.provider.fault = lambda call, n: busy if call == "status" and world.clock.now() - EPOCH < 600 else None
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 1

    run_virtual(main())


def test_submits_that_were_put_off_are_not_refused_however_many_the_first_are() -> None:
    async def main() -> None:
        busy = ApiError(ApiErrorKind.THROTTLED, "slow down", status=429)
        world = World(fault=lambda call, n: busy if call == "submit" and n <= 60 else None)
        await world.plan(80)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 80

    run_virtual(main())


def test_a_bare_403_is_the_affair_of_its_row_where_the_question_about_the_token_finds_no_answer() -> None:
    def fault(call: str, n: int) -> ApiError | None:
        if call == "probe":
            return ApiError(ApiErrorKind.UNAVAILABLE, "503", status=503)
        return ApiError(ApiErrorKind.FORBIDDEN, "403", status=403) if call == "submit" and n == 3 else None

    async def main() -> None:
        world = World(fault=fault)
        await world.plan(10)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.DONE), world.count(State.FAILED)) == (9, 1)

    run_virtual(main())


def test_a_service_that_cannot_be_trusted_is_given_up_at_once() -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(ApiErrorKind.UNTRUSTED, "the certificate is not valid"))
        await world.plan(3)
        assert await world.engine().run() is ExitReason.SERVICE_UNAVAILABLE
        assert world.clock.now() - EPOCH < 1.0
        assert world.count(State.PLANNED) == 3

    run_virtual(main())


def test_it_is_written_down_whether_a_request_waits_or_runs() -> None:
    async def main() -> None:
        world = World(slots=1, service_s=lambda rng: 1e6)
        await world.plan(2)
        engine = world.engine()
        for after in (30.0, 30.001):
            asyncio.get_running_loop().call_later(after, engine.interrupt, ExitReason.INTERRUPTED)
        await engine.run()
        seen = {(job.queued, job.started_at is not None) for job in (await rows(world)).values()}
        assert seen == {(True, False), (False, True)}

    run_virtual(main())


def test_calls_are_counted_by_kind() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 3.0)
        await world.plan(7)
        await world.engine().run()
        made = await world.ledger._writer.do(lambda c: {row[0]: row[1] for row in c.execute("SELECT kind, n FROM requests")})
        assert made["submits"] == made["results"] == made["downloads"] == 7
        assert made["polls"] == world.provider.calls["status"]
        assert {round(job.download_s or 0.0, 6) for job in (await rows(world)).values()} == {world.fetcher.seconds}

    run_virtual(main())


def test_several_outputs_get_numbered_names_that_no_other_row_has() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 0.1)
        two = RequestResult(COMPLETED, {"images": ["https://files.example/1.png", "https://files.example/2.png"]}, cost_usd=0.1)
        world.provider.outcome = outcome(two)
        from tests.support.engine_world import make_spec

        await world.ledger.plan([make_spec("mug"), replace(make_spec("other"), stem="MUG-2")])
        assert await world.engine().run() is ExitReason.COMPLETED
        found = await rows(world)
        first, second = (artifact.path for artifact in found["mug"].artifacts)
        assert first == "results/mug-1.png"
        assert second == f"results/mug-2-{found['mug'].spec.fingerprint[:8]}.png"
        assert [artifact.path for artifact in found["other"].artifacts] == ["results/MUG-2-1.png", "results/MUG-2-2.png"]

    run_virtual(main())


# ── the engine ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_runs_beside_ends_with_the_run_and_its_failure_is_the_runs() -> None:
    async def main() -> None:
        world = World()
        await world.plan(3)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(1)

        assert await world.engine().run(beside=tick) is ExitReason.COMPLETED
        assert ticks > 3

        async def fail() -> None:
            raise InputError("ours")

        await world.plan(5)
        with pytest.raises(InputError, match="ours"):
            await world.engine().run(beside=fail)

        async def crash() -> None:
            raise ZeroDivisionError

        await world.plan(50)
        with pytest.raises(ExceptionGroup) as caught:
            await world.engine().run(beside=crash)
        assert isinstance(caught.value.exceptions[0], ZeroDivisionError)

    run_virtual(main())


def test_a_run_that_takes_up_a_killed_one_submits_nothing_twice() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 60.0, wire_s=lambda rng: 1.0)
        await world.plan(30)
        killed = asyncio.create_task(world.engine().run())
        await asyncio.sleep(1.5)  # the POSTs were accepted, and no answer was seen
        killed.cancel()
        with pytest.raises((asyncio.CancelledError, BaseExceptionGroup)):
            await killed
        lost = world.count(State.SUBMITTING)
        assert lost == world.settings.posts_in_flight
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.IN_DOUBT), world.count(State.DONE)) == (lost, 30 - lost)
        failures = {job.failure for job in (await rows(world)).values() if job.state is State.IN_DOUBT}
        assert failures == {Failure(FailureKind.OUTCOME_UNKNOWN, "the process ended before the answer to its submit was recorded", DOUBT_REMEDY)}
        assert len(world.provider.accepted) == 30

    run_virtual(main())


@pytest.mark.fault("X1")
def test_the_moments_round_a_call_have_crash_points(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []
    monkeypatch.setattr("batcher.carry.reach", reached.append)

    async def main() -> None:
        world = World(service_s=lambda rng: 0.0)
        await world.plan(1)
        await world.engine().run()
        assert reached == ["submit.send", "submit.answered", "poll.answered"]
        reached.clear()
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.INVALID, "422", status=422)
        await world.plan(2)
        await world.engine().run()
        assert reached == ["submit.send"], "no answer that says what was accepted"

    run_virtual(main())


def test_long_runs_write_their_tally_of_calls_down_now_and_then() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=2), service_s=lambda rng: 30.0)
        await world.plan(20)
        add_requests, times = world.ledger.add_requests, []

        async def noted(counts: Mapping[str, int]) -> None:
            times.append(world.clock.now())
            await add_requests(counts)

        world.ledger.add_requests = noted  # type: ignore[method-assign]
        running = asyncio.create_task(world.engine().run())
        await asyncio.sleep(100)
        assert len(times) >= 3
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) > 5.0
        made = await world.ledger._writer.do(lambda c: {row[0]: row[1] for row in c.execute("SELECT kind, n FROM requests")})
        assert made["submits"] >= 4
        await running
        made = await world.ledger._writer.do(lambda c: {row[0]: row[1] for row in c.execute("SELECT kind, n FROM requests")})
        assert (made["submits"], made["polls"]) == (20, world.provider.calls["status"]), "each call is counted once"

    run_virtual(main())
