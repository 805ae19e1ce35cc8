"""What every provider does, over the fake one and over the real one against the simulated service."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator

import pytest

from batcher.clock import LoopClock
from batcher.definition import output_links
from batcher.errors import ApiError, ApiErrorKind
from batcher.model import RequestPhase
from batcher.ports import Provider
from batcher.providers.fake import FakeProvider
from batcher.providers.runcomfy import open_runcomfy
from batcher.settings import RunSettings
from batcher.simulator import Simulator, SimulatorSettings

MODEL = "google/nano-banana-2-lite/text-to-image"


class World:
    """A provider whose service runs one request at a time, for an hour or for no time at all."""

    def __init__(self, provider: Provider, accepted: object) -> None:
        self.provider = provider
        self._accepted = accepted

    def accepted(self) -> int:
        return int(self._accepted())  # type: ignore[operator]


@pytest.fixture(params=["fake", "runcomfy"])
async def quick(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async for world in make_world(request.param, 0.0):
        yield world


@pytest.fixture(params=["fake", "runcomfy"])
async def slow(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async for world in make_world(request.param, 3600.0):
        yield world


async def make_world(kind: str, service_s: float) -> AsyncIterator[World]:
    clock = LoopClock()
    if kind == "fake":
        fake = FakeProvider(clock=clock, rng=random.Random(1), service_s=lambda rng: service_s, wire_s=lambda rng: 0.0, slots=1)
        yield World(fake, lambda: len(fake.accepted))
        return
    settings = SimulatorSettings(latency_s=service_s, sigma=0.0, slots=1, art="plain")
    async with Simulator(settings) as simulator, open_runcomfy(simulator.base_url, "t", RunSettings(), clock=clock, version="0") as provider:
        yield World(provider, lambda: simulator.bill().accepted)


def body(text: str = "a lighthouse") -> bytes:
    return json.dumps({"prompt": text}).encode()


async def test_what_is_submitted_can_be_read_until_its_result_is_there(quick: World) -> None:
    request_id = await quick.provider.submit(MODEL, body())
    assert (await quick.provider.status(request_id)).phase is RequestPhase.COMPLETED
    result = await quick.provider.result(request_id)
    assert result.phase is RequestPhase.COMPLETED
    [link] = output_links(result.output)
    assert link.startswith("http")
    assert result.cost_usd is not None
    assert result.cost_usd > 0


async def test_every_submit_is_a_request_of_its_own(quick: World) -> None:
    first, second = [await quick.provider.submit(MODEL, body()) for _ in range(2)]
    assert first != second
    assert quick.accepted() == 2


async def test_a_request_runs_while_the_next_one_waits(slow: World) -> None:
    first, second = [await slow.provider.submit(MODEL, body(text)) for text in "ab"]
    assert (await slow.provider.status(first)).phase is RequestPhase.RUNNING
    assert (await slow.provider.status(second)).phase is RequestPhase.QUEUED
    assert (await slow.provider.result(second)).phase not in (RequestPhase.COMPLETED, RequestPhase.FAILED)


async def test_only_what_is_queued_can_be_cancelled(slow: World) -> None:
    first, second = [await slow.provider.submit(MODEL, body(text)) for text in "ab"]
    assert await slow.provider.cancel(first) is False
    assert await slow.provider.cancel(second) is True
    assert (await slow.provider.status(first)).phase is RequestPhase.RUNNING
    assert (await slow.provider.status(second)).phase is RequestPhase.CANCELLED


@pytest.mark.parametrize("call", ["status", "result", "cancel"])
async def test_a_request_that_nobody_made_is_gone(quick: World, call: str) -> None:
    with pytest.raises(ApiError) as caught:
        await getattr(quick.provider, call)("5f0c8e9a-0000-4000-8000-000000000000")
    assert caught.value.kind is ApiErrorKind.GONE
    assert quick.accepted() == 0


async def test_a_probe_costs_nothing(quick: World) -> None:
    await quick.provider.probe()
    assert quick.accepted() == 0


async def test_it_promises_no_more_than_is_known(quick: World) -> None:
    facts = quick.provider.facts
    assert not facts.has_idempotency_keys
    assert not facts.can_look_up_requests
    assert all(400 <= status < 500 for status in facts.refusal_statuses)
