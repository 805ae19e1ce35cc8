from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from batcher.engine import PREFETCH
from batcher.errors import ApiError, ApiErrorKind, DownloadError, DownloadErrorKind, LedgerError, OutputError
from batcher.events import Claimed, Event
from batcher.model import ExitReason, Job, Lane, Mode, RequestPhase, RequestResult, State
from batcher.polling import LEARNED
from batcher.settings import RunSettings
from tests.support.engine_world import EPOCH, World, make_spec
from tests.support.virtual_time import run_virtual


def test_every_row_is_done_and_submitted_once() -> None:
    async def main() -> None:
        world = World()
        await world.plan(200)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 200
        assert len(world.provider.accepted) == 200

    run_virtual(main())


def test_the_same_seed_gives_the_same_log() -> None:
    async def main(seed: int) -> list[tuple[float, str, str]]:
        world = World(seed, slots=8)
        await world.plan(60)
        await world.engine().run()
        return world.log.events

    first, again, other = run_virtual(main(1)), run_virtual(main(1)), run_virtual(main(2))
    assert first == again
    assert first != other


def test_jobs_posts_and_downloads_in_flight_are_bounded_apart() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=40, posts_in_flight=3, downloads=5), service_s=lambda rng: 5.0)
        await world.plan(150)
        running_max = 0

        async def watch() -> None:
            nonlocal running_max
            while True:
                now = world.clock.now()
                running_max = max(running_max, sum(request.ends_at > now for request in world.provider.accepted.values()))
                await asyncio.sleep(0.05)

        watcher = asyncio.create_task(watch())
        await world.engine().run()
        watcher.cancel()
        assert world.provider.posts_in_flight_max == 3
        assert world.fetcher.at_once_max == 5
        assert 20 < running_max <= 40

    run_virtual(main())


def test_submits_keep_to_their_rate() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(submits_per_s=10), service_s=lambda rng: 0.1)
        await world.plan(100)
        await world.engine().run()
        times = [at for at, _, name in world.log.events if name == "Claimed"]
        assert max(sum(start <= at < start + 1.0 - 1e-6 for at in times) for start in times) == 10
        assert 8.5 < times[-1] - times[0] < 11

    run_virtual(main())


@pytest.mark.parametrize("downloads", [1, 3])
def test_slow_downloads_hold_submits_back(downloads: int) -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=8, downloads=downloads), service_s=lambda rng: 0.1)
        world.fetcher.seconds = 10.0
        await world.plan(60)
        ahead = 0

        async def watch() -> None:
            nonlocal ahead
            while True:
                ahead = max(ahead, world.count(State.PRODUCED))
                await asyncio.sleep(1)

        watcher = asyncio.create_task(watch())
        assert await world.engine().run() is ExitReason.COMPLETED
        watcher.cancel()
        assert 5 * downloads <= ahead <= 4 * downloads + 8 + downloads

    run_virtual(main())


@pytest.mark.parametrize("kind", [ApiErrorKind.INTERRUPTED, ApiErrorKind.UNAVAILABLE])
@pytest.mark.fault("C4", "C7")
def test_a_lost_answer_leaves_doubt_and_is_never_sent_again(kind: ApiErrorKind) -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(kind, "gone", status=502) if call == "submit" and n == 3 else None)
        await world.plan(10)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.DONE), world.count(State.IN_DOUBT)) == (9, 1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert len(world.provider.accepted) == 10
        assert world.provider.calls["submit"] == 10

    run_virtual(main())


@pytest.mark.fault("C1")
def test_an_unreachable_service_costs_nothing_and_is_tried_again() -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(ApiErrorKind.UNREACHABLE, "refused") if call == "submit" and n <= 4 else None)
        await world.plan(5)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 5
        assert len(world.provider.accepted) == 5

    run_virtual(main())


@pytest.mark.fault("C8")
def test_a_429_cools_all_submits_down_for_as_long_as_it_says() -> None:
    def fault(call: str, n: int) -> ApiError | None:
        return ApiError(ApiErrorKind.THROTTLED, "slow down", status=429, retry_after_s=30.0) if call == "submit" and n == 5 else None

    async def main() -> None:
        world = World(settings=RunSettings(posts_in_flight=1), fault=fault)
        await world.plan(20)
        await world.engine().run()
        refused_at = next(at for at, _, name in world.log.events if name == "Refused")
        after = [at for at, _, name in world.log.events if name == "Claimed" and at > refused_at]
        assert min(after) >= refused_at + 30.0
        assert world.count(State.DONE) == 20

    run_virtual(main())


def test_a_service_that_never_answers_ends_the_run_resumable() -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(ApiErrorKind.UNREACHABLE, "connection refused"))
        await world.plan(5)
        assert await world.engine().run() is ExitReason.SERVICE_UNAVAILABLE
        assert world.count(State.PLANNED) == 5
        assert world.clock.now() - 1_800_000_000 < 120

    run_virtual(main())


@pytest.mark.fault("D6")
def test_failures_are_final_by_default_and_paid_again_only_by_policy() -> None:
    async def main(regenerations: int) -> tuple[int, int]:
        world = World(settings=RunSettings(regenerations=regenerations))
        world.provider.outcome = lambda request: RequestResult(RequestPhase.FAILED, error="boom") if int(request.request_id[-6:]) <= 4 else None
        await world.plan(4)
        assert await world.engine().run() is ExitReason.COMPLETED
        return world.count(State.DONE), len(world.provider.accepted)

    assert run_virtual(main(0)) == (0, 4)
    assert run_virtual(main(1)) == (4, 8)


def test_broken_downloads_are_fetched_again_and_never_generated_again() -> None:
    async def main() -> None:
        world = World()
        world.fetcher.fault = lambda url, n: DownloadError(DownloadErrorKind.TRANSIENT, "cut") if n % 2 else None
        await world.plan(20)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 20
        assert len(world.provider.accepted) == 20

    run_virtual(main())


@pytest.mark.fault("E8")
def test_an_expired_link_is_read_again_from_the_result() -> None:
    async def main() -> None:
        world = World()
        world.fetcher.fault = lambda url, n: DownloadError(DownloadErrorKind.EXPIRED, "403") if n == 1 else None
        await world.plan(1)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 1
        assert world.provider.calls["result"] == 2
        assert len(world.provider.accepted) == 1

    run_virtual(main())


def test_a_full_disk_stops_submitting_and_a_later_run_completes() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=4), slots=1)
        world.fetcher.fault = lambda url, n: OutputError("no space left") if n >= 5 else None
        await world.plan(40)
        engine = world.engine()
        assert await engine.run() is ExitReason.OUTPUT_UNWRITABLE
        assert "no space left" in engine.trouble
        paid = len(world.provider.accepted)
        assert paid < 40
        assert world.count(State.PRODUCED) >= 1
        assert "cancel" not in world.provider.calls, "what is paid for is collected, though it still waits there"
        world.fetcher.fault = lambda url, n: None
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 40
        assert len(world.provider.accepted) == 40

    run_virtual(main())


@pytest.mark.parametrize(
    ("kind", "reason"), [(ApiErrorKind.TOKEN, ExitReason.TOKEN_REJECTED), (ApiErrorKind.BALANCE, ExitReason.NO_BALANCE)], ids=["token", "balance"]
)
@pytest.mark.fault("C11", "C12")
def test_whole_batch_conditions_stop_claiming_and_fail_no_row(kind: ApiErrorKind, reason: ExitReason) -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=8, posts_in_flight=2), slots=1)
        world.provider.fault = lambda call, n: ApiError(kind, "no", status=401) if call == "submit" and n > 10 else None
        await world.plan(50)
        engine = world.engine()
        assert await engine.run() is reason
        assert engine.trouble == "no"
        assert world.count(State.FAILED) == 0
        assert world.count(State.DONE) == 10
        assert world.provider.calls["submit"] <= 12
        assert "cancel" not in world.provider.calls, "what is paid for is collected, though it still waits there"
        world.provider.fault = lambda call, n: None
        assert await world.engine().run() is ExitReason.COMPLETED
        assert len(world.provider.accepted) == 50

    run_virtual(main())


@pytest.mark.fault("C11")
def test_a_token_revoked_while_polling_keeps_every_id() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=8))
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.TOKEN, "revoked", status=401) if call == "status" and n == 20 else None
        await world.plan(50)
        assert await world.engine().run() is ExitReason.TOKEN_REJECTED
        assert world.count(State.FAILED) == world.count(State.IN_DOUBT) == 0
        assert await world.engine().run() is ExitReason.COMPLETED
        assert len(world.provider.accepted) == 50

    run_virtual(main())


def test_the_first_interrupt_takes_back_what_is_queued_and_waits_for_what_runs() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=20, poll_ceiling_s=1.0), slots=5, service_s=lambda rng: 10.0)
        await world.plan(60)
        engine = world.engine()
        asyncio.get_running_loop().call_later(15, engine.interrupt, ExitReason.INTERRUPTED)
        assert await engine.run() is ExitReason.INTERRUPTED
        assert world.count(State.SUBMITTED) == world.count(State.PRODUCED) == 0
        assert world.count(State.DONE) + world.count(State.PLANNED) == 60
        assert any(request.cancelled for request in world.provider.accepted.values())
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 60
        assert sum(not request.cancelled for request in world.provider.accepted.values()) == 60

    run_virtual(main())


def test_the_grace_time_ends_the_waiting_and_ids_are_kept() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=4, grace_s=5), service_s=lambda rng: 100.0)
        await world.plan(10)
        engine = world.engine()
        asyncio.get_running_loop().call_later(10, engine.interrupt, ExitReason.TERMINATED)
        assert await engine.run() is ExitReason.TERMINATED
        assert world.clock.now() - 1_800_000_000 < 16
        assert world.count(State.SUBMITTED) == 4
        assert await world.engine().run() is ExitReason.COMPLETED
        assert len(world.provider.accepted) == 10

    run_virtual(main())


def test_the_second_interrupt_leaves_at_once() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=30), service_s=lambda rng: 100.0, wire_s=lambda rng: 0.2)
        await world.plan(40)
        engine = world.engine()
        for after in (1.0, 1.05):
            asyncio.get_running_loop().call_later(after, engine.interrupt, ExitReason.INTERRUPTED)
        assert await engine.run() is ExitReason.INTERRUPTED
        assert world.clock.now() - 1_800_000_000 < 2
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.DONE) == 40
        assert len(world.provider.accepted) == 40

    run_virtual(main())


def test_cancel_mode_cancels_what_is_queued_for_good_and_leaves_the_rest() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=20), slots=5, service_s=lambda rng: 30.0)
        await world.plan(40)
        first = world.engine()
        for after in (5.0, 5.01):
            asyncio.get_running_loop().call_later(after, first.interrupt, ExitReason.INTERRUPTED)
        await first.run()
        assert await world.engine(Mode.CANCEL).run() is ExitReason.STOPPED_EARLY
        assert world.count(State.CANCELLED) == 15
        assert world.count(State.SUBMITTED) == 5
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (world.count(State.CANCELLED), world.count(State.DONE)) == (15, 25)

    run_virtual(main())


@pytest.mark.parametrize("reason", [ExitReason.INTERRUPTED, ExitReason.TERMINATED])
def test_cancelling_that_is_stopped_says_by_what(reason: ExitReason) -> None:
    async def main() -> None:
        world = World(settings=RunSettings(grace_s=5), slots=1, service_s=lambda rng: 1e6)
        await world.plan(3)
        first = world.engine()
        for after in (5.0, 5.01):
            asyncio.get_running_loop().call_later(after, first.interrupt, ExitReason.INTERRUPTED)
        await first.run()
        world.provider.wire_s = lambda rng: 1000.0
        second = world.engine(Mode.CANCEL)
        asyncio.get_running_loop().call_later(1.0, second.interrupt, reason)
        assert await second.run() is reason

    run_virtual(main())


@pytest.mark.fault("D1")
def test_a_request_that_never_ends_stalls_and_its_id_is_kept() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(job_timeout_s=600), service_s=lambda rng: 1e9)
        await world.plan(2)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert world.count(State.FAILED) == 2

    run_virtual(main())


@pytest.mark.fault("D3")
def test_a_request_the_service_forgets_is_lost_only_after_several_reads() -> None:
    async def main() -> None:
        world = World(fault=lambda call, n: ApiError(ApiErrorKind.GONE, "404", status=404) if call == "status" and n <= 3 else None)
        await world.plan(1)
        await world.engine().run()
        assert world.count(State.DONE) == 1
        await world.plan(2)
        world.provider.fault = lambda call, n: ApiError(ApiErrorKind.GONE, "404", status=404) if call == "status" else None
        await world.engine().run()
        assert world.count(State.FAILED) == 1
        assert len(world.provider.accepted) == 2

    run_virtual(main())


def test_a_ledger_that_fails_ends_the_run_with_its_error() -> None:
    async def main() -> None:
        world = World()
        await world.plan(30)
        record, calls = world.ledger.record, 0

        async def failing(*args: object) -> None:
            nonlocal calls
            calls += 1
            if calls > 40:
                raise LedgerError("disk I/O error")
            await record(*args)  # type: ignore[arg-type]

        world.ledger.record = failing  # type: ignore[method-assign,assignment]
        submits = 0

        with pytest.raises(LedgerError, match="disk I/O"):
            await world.engine().run()
        submits = world.provider.calls["submit"]
        await asyncio.sleep(100)
        assert world.provider.calls["submit"] == submits

    run_virtual(main())


def refuse_intent(world: World, error: Exception) -> None:
    """The ledger does not record the intent of the third row."""
    record = world.ledger.record

    async def refusing(job: Job, event: Event, now: float) -> str | None:
        if isinstance(event, Claimed) and job.row_id == "row0002":
            raise error
        return await record(job, event, now)

    world.ledger.record = refusing  # type: ignore[method-assign]


@pytest.mark.fault("B2", "B3")
def test_nothing_is_sent_whose_intent_the_ledger_failed_to_record() -> None:
    async def main() -> None:
        world = World()
        refuse_intent(world, LedgerError("disk I/O error"))
        await world.plan(5)
        with pytest.raises(LedgerError, match="disk I/O"):
            await world.engine().run()
        await asyncio.sleep(100)
        assert not any(b"row0002" in request.body for request in world.provider.accepted.values())

    run_virtual(main())


@pytest.mark.fault("B2")
def test_a_disk_with_no_room_for_an_intent_stops_submitting_and_a_later_run_completes() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(posts_in_flight=1))
        record = world.ledger.record
        refuse_intent(world, OutputError("the disk is full", "Free some space."))
        await world.plan(5)
        engine = world.engine()
        assert await engine.run() is ExitReason.OUTPUT_UNWRITABLE
        assert engine.trouble == "the disk is full Free some space."
        assert (len(world.provider.accepted), world.count(State.PRODUCED), world.count(State.PLANNED)) == (2, 2, 3)
        world.ledger.record = record  # type: ignore[method-assign]
        assert await world.engine().run() is ExitReason.COMPLETED
        assert (len(world.provider.accepted), world.count(State.DONE)) == (5, 5)

    run_virtual(main())


@pytest.mark.fault("E10")
def test_several_outputs_never_take_the_name_of_another_row() -> None:
    async def main() -> None:
        world = World()
        await world.ledger.plan([make_spec("mug"), make_spec("Mug-2")])
        links = {"images": [f"https://files.example/{n}.png" for n in "abc"]}
        world.provider.outcome = lambda request: RequestResult(RequestPhase.COMPLETED, links) if b"of mug" in request.body else None
        saved: dict[str, list[str]] = {}
        world.log.observe = lambda job, event, now: saved.update({job.row_id: [file.path for file in job.artifacts]})  # type: ignore[method-assign]
        assert await world.engine().run() is ExitReason.COMPLETED
        fingerprint = make_spec("mug").fingerprint[:8]
        assert saved == {"mug": ["results/mug-1.png", f"results/mug-2-{fingerprint}.png", "results/mug-3.png"], "Mug-2": ["results/Mug-2.png"]}

    run_virtual(main())


def test_a_row_whose_turn_had_not_begun_when_the_batch_was_left_keeps_nobody_waiting() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=50), service_s=lambda rng: 100.0)
        await world.plan(100)
        engine = world.engine()
        claimable, loop = world.ledger.claimable, asyncio.get_running_loop()

        async def interrupting(*args: object) -> object:
            rows = await claimable(*args)  # type: ignore[arg-type]
            loop.call_soon(engine.interrupt, ExitReason.INTERRUPTED)
            loop.call_soon(engine.interrupt, ExitReason.INTERRUPTED)
            return rows

        world.ledger.claimable = interrupting  # type: ignore[method-assign,assignment]
        assert await asyncio.wait_for(engine.run(), 1000) is ExitReason.INTERRUPTED

    run_virtual(main())


# ── stopping, when there is nothing to do but wait ────────────────────────────────────────────────────────────────────


def test_a_stop_does_not_wait_for_rows_that_are_to_be_submitted_later() -> None:
    async def main() -> None:
        refused = ApiError(ApiErrorKind.THROTTLED, "slow down", status=429, retry_after_s=3000.0)
        world = World(fault=lambda call, n: refused if call == "submit" else None)
        await world.plan(1)
        engine = world.engine()
        asyncio.get_running_loop().call_later(10.0, engine.interrupt, ExitReason.INTERRUPTED)
        assert await engine.run() is ExitReason.INTERRUPTED
        assert world.clock.now() - EPOCH == pytest.approx(10.0)
        assert world.count(State.PLANNED) == 1
        assert len([notice for notice in world.log.notices if "nothing more is submitted" in notice]) == 1

    run_virtual(main())


def test_the_grace_time_ends_the_waiting_for_downloads_that_are_to_be_tried_later() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(grace_s=40), service_s=lambda rng: 1.0)
        world.fetcher.fault = lambda url, n: DownloadError(DownloadErrorKind.TRANSIENT, "busy", retry_after_s=3000.0)
        await world.plan(1)
        engine = world.engine()
        asyncio.get_running_loop().call_later(10.0, engine.interrupt, ExitReason.TERMINATED)
        assert await engine.run() is ExitReason.TERMINATED
        assert world.clock.now() - EPOCH == pytest.approx(50.0)
        assert (world.count(State.PRODUCED), len(world.fetcher.fetched)) == (1, 1)

    run_virtual(main())


def test_the_second_interrupt_breaks_downloads_off_and_begins_none() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(downloads=2), service_s=lambda rng: 1.0)
        world.fetcher.seconds = 1000.0
        await world.plan(5)
        engine = world.engine()
        for after in (10.0, 11.0):
            asyncio.get_running_loop().call_later(after, engine.interrupt, ExitReason.INTERRUPTED)
        assert await engine.run() is ExitReason.INTERRUPTED
        assert world.clock.now() - EPOCH < 12.0
        assert (world.count(State.PRODUCED), len(world.fetcher.fetched)) == (5, 2)

    run_virtual(main())


def test_the_second_interrupt_waits_half_a_second_for_answers_to_posts_and_then_leaves_them_in_doubt() -> None:
    async def main() -> None:
        slow = {b"row0000": 0.3, b"row0001": 100.0}
        world = World()
        submit = world.provider.submit

        async def answer_late(model: str, body: bytes) -> str:
            request_id = await submit(model, body)
            await asyncio.sleep(next(seconds for name, seconds in slow.items() if name in body))
            return request_id

        world.provider = SimpleNamespace(submit=answer_late, facts=world.provider.facts, probe=world.provider.probe)  # type: ignore[assignment]
        await world.plan(2)
        engine = world.engine()
        for after in (0.04, 0.05):
            asyncio.get_running_loop().call_later(after, engine.interrupt, ExitReason.INTERRUPTED)
        assert await engine.run() is ExitReason.INTERRUPTED
        assert world.clock.now() - EPOCH == pytest.approx(0.55)
        assert (world.count(State.SUBMITTED), world.count(State.SUBMITTING)) == (1, 1)

    run_virtual(main())


def test_the_ledger_is_asked_for_rows_only_when_a_lane_runs_dry() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=4), service_s=lambda rng: 1.0)
        await world.plan(PREFETCH + 20)
        claimable, asked = world.ledger.claimable, []

        async def counted(lane: Lane, *args: object) -> object:
            asked.append(lane)
            return await claimable(lane, *args)  # type: ignore[arg-type]

        world.ledger.claimable = counted  # type: ignore[method-assign,assignment]
        assert await world.engine().run() is ExitReason.COMPLETED
        assert asked.count(Lane.REMOTE) == 2
        assert asked.count(Lane.DOWNLOAD) == 1, "what was produced is handed on in memory"

    run_virtual(main())


# ── polls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def polled(world: World) -> list[float]:
    """When each poll reaches the service, from now on."""
    times: list[float] = []

    def note(kind: str, number: int) -> None:
        if kind == "status":
            times.append(world.clock.now())

    world.provider.fault = note
    return times


def test_the_next_run_of_the_batch_begins_with_what_the_last_one_learned() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: rng.uniform(55.0, 65.0))
        await world.plan(100)
        await world.engine().run()
        cold, kept = world.provider.calls["status"], await world.ledger.fact(LEARNED)
        assert isinstance(kept, dict)
        assert list(kept) == ["acme/paint"]
        await world.ledger.plan([make_spec(f"row{n:04}") for n in range(200)])
        times = polled(world)
        began = world.clock.now()
        await world.engine().run()
        assert world.count(State.DONE) == 200
        assert world.provider.calls["status"] - cold < 0.9 * cold
        assert sum(time - began < 5.0 for time in times) <= 5, "nothing ends that soon"

    run_virtual(main())


def test_a_quick_service_that_nobody_knows_is_found_out_at_once() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=64), service_s=lambda rng: 0.0, wire_s=lambda rng: 0.002)
        world.fetcher.seconds = 0.0
        await world.plan(640)
        began = world.clock.now()
        await world.engine().run()
        assert world.clock.now() - began < 2.5, "ten times about 0.1 s, and not the two seconds for which a model that is not known is left alone"
        assert world.provider.calls["status"] < 1.05 * 640

    run_virtual(main())


@pytest.mark.parametrize("kept", [{}, {"acme/paint": 3}, {"acme/paint": {"bins": [[1, 2]]}}, {"another": {"bins": [[1, 2.0, 3.0]]}}])
def test_what_another_version_learned_harms_no_run(kept: dict[str, object]) -> None:
    async def main() -> None:
        world = World()
        await world.plan(5)
        await world.ledger.put_meta({LEARNED: kept})
        assert await world.engine().run() is ExitReason.COMPLETED

    run_virtual(main())


def test_a_run_that_is_killed_keeps_what_it_learned_until_a_minute_before() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=4), service_s=lambda rng: 10.0)
        await world.plan(100)
        running = asyncio.create_task(world.engine().run())
        await asyncio.sleep(100)
        kept = await world.ledger.fact(LEARNED)
        assert isinstance(kept, dict)
        assert sum(ends for _, ends, _ in kept["acme/paint"]["bins"]) >= 8
        running.cancel()

    run_virtual(main())


def test_all_requests_together_keep_to_the_budget_of_polls() -> None:
    async def main() -> None:
        world = World(settings=RunSettings(concurrency=50, polls_per_s=4.0), service_s=lambda rng: 6.0, wire_s=lambda rng: 0.02)
        times = polled(world)
        await world.plan(100)
        assert await world.engine().run() is ExitReason.COMPLETED
        assert all(later - earlier >= 0.25 - 1e-6 for earlier, later in itertools.pairwise(times))
        assert len(times) < 6 * 100, "who waits for a turn is asked less often"

    run_virtual(main())


def test_a_result_that_is_read_again_does_not_count_as_a_slow_request() -> None:
    async def main() -> None:
        world = World(service_s=lambda rng: 5.0)
        await world.plan(10)
        expired = DownloadError(DownloadErrorKind.EXPIRED, "gone")
        world.fetcher.fault = lambda url, n: expired if n <= 10 else None
        engine = world.engine()
        await engine.run()
        assert world.count(State.DONE) == 10
        kept = await world.ledger.fact(LEARNED)
        assert isinstance(kept, dict)
        assert sum(ends for _, ends, _ in kept["acme/paint"]["bins"]) == pytest.approx(10, abs=0.1)

    run_virtual(main())
