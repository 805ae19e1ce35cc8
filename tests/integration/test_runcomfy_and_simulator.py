from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batcher.errors import ApiError, ApiErrorKind
from batcher.model import RequestPhase, RequestResult
from batcher.providers.runcomfy import RunComfy, open_runcomfy
from batcher.settings import RunSettings
from batcher.simulator import Simulator, SimulatorSettings

MODEL = "google/nano-banana-2-lite/text-to-image"
BODY = json.dumps({"prompt": "a red mug"}).encode()
NOWHERE = "00000000-0000-4000-8000-000000000000"
K = ApiErrorKind


class FixedClock:
    def now(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        return event.is_set()


@contextlib.asynccontextmanager
async def simulated(token: str = "right", **settings: Any) -> AsyncIterator[tuple[RunComfy, Simulator]]:
    chosen = SimulatorSettings.model_validate({"art": "plain", "latency_s": 0.0, "sigma": 0.0, "token": "right", **settings})
    async with (
        Simulator(chosen) as simulator,
        open_runcomfy(simulator.base_url, token, RunSettings(), clock=FixedClock(), version="1") as runcomfy,
    ):
        yield runcomfy, simulator


async def ended(runcomfy: RunComfy, request_id: str) -> RequestResult:
    while (await runcomfy.status(request_id)).phase in (RequestPhase.QUEUED, RequestPhase.RUNNING):
        await asyncio.sleep(0.002)
    return await runcomfy.result(request_id)


@pytest.mark.parametrize("success_word", ["succeeded", "completed"])
async def test_a_request_runs_to_its_end_and_is_paid_once(success_word: str) -> None:
    async with simulated(success_word=success_word) as (runcomfy, simulator):
        before = await runcomfy.balance()
        result = await ended(runcomfy, await runcomfy.submit(MODEL, BODY))
        after = await runcomfy.balance()
        assert simulator.bill().accepted == 1
    assert result.phase is RequestPhase.COMPLETED
    assert result.output
    assert result.cost_usd is not None
    assert before.balance_usd - after.balance_usd == pytest.approx(result.cost_usd)


@pytest.mark.parametrize("word", ["cancelled", "canceled"])
async def test_what_is_queued_is_cancelled_and_what_runs_is_not(word: str) -> None:
    async with simulated(slots=1, latency_s=60.0, cancelled_word=word) as (runcomfy, simulator):
        running = await runcomfy.submit(MODEL, BODY)
        queued = await runcomfy.submit(MODEL, BODY)
        assert (await runcomfy.status(queued)).phase is RequestPhase.QUEUED
        assert [await runcomfy.cancel(running), await runcomfy.cancel(queued)] == [False, True]
        assert (await runcomfy.status(queued)).phase is RequestPhase.CANCELLED
        assert simulator.bill().cancelled == 1


@pytest.mark.parametrize("under_200", [False, True])
@pytest.mark.parametrize("style", ["error_code", "code"])
@pytest.mark.fault("X12")
async def test_each_way_of_telling_an_error_is_understood(style: str, under_200: bool) -> None:
    async with simulated(error_style=style, errors_under_200=under_200) as (runcomfy, simulator):
        with pytest.raises(ApiError) as unknown_model:
            await runcomfy.submit("no/such/model", BODY)
        with pytest.raises(ApiError) as unknown_request:
            await runcomfy.status(NOWHERE)
        assert simulator.bill().accepted == 0
    assert (unknown_model.value.kind, (unknown_model.value.status or 0) // 100) == (K.INVALID, 4)
    assert unknown_request.value.kind is K.GONE


@pytest.mark.parametrize(("told", "kind"), [(400004, K.TOKEN), (401, K.TOKEN), (402, K.BALANCE), (403, K.FORBIDDEN)])
@pytest.mark.fault("C11")
async def test_each_way_of_refusing_a_token_is_understood(told: int, kind: ApiErrorKind) -> None:
    async with simulated(token="wrong", auth_failure=told) as (runcomfy, _):
        with pytest.raises(ApiError) as caught:
            await runcomfy.probe()
    assert caught.value.kind is kind


@pytest.mark.fault("C12")
async def test_an_empty_account_refuses_the_submit() -> None:
    async with simulated(balance_usd=0.0) as (runcomfy, simulator):
        with pytest.raises(ApiError) as caught:
            await runcomfy.submit(MODEL, BODY)
        assert simulator.bill().accepted == 0
    assert caught.value.kind is K.BALANCE


async def test_the_catalog_is_read_to_its_end() -> None:
    async with simulated() as (runcomfy, _):
        names = [model.model_id async for model in runcomfy.models(with_schema=True)]
        assert MODEL in names
        assert len(set(names)) == len(names)
        assert (await runcomfy.model(MODEL)).input_schema
        with pytest.raises(ApiError) as caught:
            await runcomfy.model("no/such/model")
    assert caught.value.kind is K.INVALID
