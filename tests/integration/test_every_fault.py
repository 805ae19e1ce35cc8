"""Every fault that the simulated service knows, through the whole program: each row ends as it should, and is paid for once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, get_args

import pytest

from batcher.app import RunOptions, run_batch
from batcher.config import Environment
from batcher.manifest import open_rows
from batcher.settings import RunSettings
from batcher.simulator import FaultRule, Simulator, SimulatorSettings
from batcher.simulator.faults import GENERATION_FAULTS, INSTEAD_OF_AN_ANSWER, JSON_FAULTS, Call, FaultName
from tests.support.command import results
from tests.support.stub_service import QUICK, TOKEN, ListeningView

pytestmark = pytest.mark.no_cover

OPTIONS: dict[FaultName, dict[str, Any]] = {
    FaultName.HANG: {"delay_s": 0.05},
    FaultName.DELAY: {"delay_s": 0.05},
    FaultName.SLOW: {"delay_s": 0.001, "size_bytes": 64},
    FaultName.SET: {"field": "status", "value": None},
    FaultName.REDIRECT: {"to": "http://127.0.0.1:1/"},
    FaultName.TOO_LARGE: {"size_bytes": 2**31 + 1},
}
MARKS = {"submit": ["C6"], "status": ["D5"], "result": ["D5"], "download": ["E1", "E5"]}
HARMLESS = {FaultName.DELAY, FaultName.SLOW, FaultName.FLIPPED, FaultName.SET, FaultName.UNKNOWN_WORD, FaultName.NO_OUTPUT, FaultName.GZIP}
"""What leaves the id in the answer to a submit as it was."""
NO_MEDIA = {FaultName.GARBLED, FaultName.NOT_UTF8, FaultName.GZIP, FaultName.GZIP_TRUNCATED, FaultName.TOO_LARGE}
"""What another try of a download would bring again."""


def ending(call: str, fault: FaultName) -> tuple[str, str | None]:
    """The state of the row that is struck, and the kind of its failure."""
    if call == "submit" and fault not in HARMLESS:
        return "in_doubt", "outcome_unknown"
    if call == "result" and fault is FaultName.NO_OUTPUT:
        return "failed", "bad_result"
    if call == "download" and fault in NO_MEDIA:
        return "failed", "download_failed"
    if call == "generation":
        return "failed", "generation_failed" if fault is FaultName.FAIL else "stalled"
    return "done", None


def occasions() -> list[Any]:
    assert {*MARKS, "cancel", "catalog", "balance", "generation", "any"} == set(get_args(Call))
    of_calls = [
        pytest.param(call, fault, marks=pytest.mark.fault(*MARKS[call]))
        for call, fault in itertools.product(MARKS, FaultName)
        if fault not in GENERATION_FAULTS
        and not (call == "download" and fault in JSON_FAULTS | {FaultName.ENDLESS})  # two gigabytes would have to come
    ]
    of_generations = [
        pytest.param("generation", fault, marks=pytest.mark.fault(*(["D6", "X13"] if fault is FaultName.FAIL else ["D1", "X11"])))
        for fault in sorted(GENERATION_FAULTS)
    ]
    return [*of_calls, *of_generations]


@pytest.mark.parametrize(("call", "fault"), occasions())
async def test_each_fault_has_its_ending(tmp_path: Path, call: str, fault: FaultName) -> None:
    rule = FaultRule(call=call, fault=fault.value, first=1, **OPTIONS.get(fault, {}))  # type: ignore[arg-type]
    rows = [{"id": f"row{n}", "prompt": f"thing {n}"} for n in range(2)]
    stalling = {"job_timeout_s": 0.3} if call == "generation" else {}
    async with Simulator(SimulatorSettings(latency_s=0.0, sigma=0.0, art="plain", faults=(rule,))) as simulator:
        options = RunOptions(
            out=tmp_path / "out",
            opener=lambda: open_rows(rows, {"job": "text_to_image"}, name="worst", base_dir=tmp_path),
            overrides=RunSettings(**{**QUICK, **stalling}).model_dump(),
        )
        outcome = await run_batch(options, Environment(simulator.base_url, TOKEN), view=ListeningView())
        ended = [(row["state"], row["failure"] and row["failure"]["kind"]) for row in results(tmp_path / "out")]
        bodies = [request["body_sha256"] for request in simulator.requests()]
        assert simulator.bill().downloads_with_credentials == 0
    struck = ending(call, fault)
    assert sorted(ended, key=str) == sorted([struck, ("done", None)], key=str), "which of the two is asked for first is chance"
    assert outcome.exit_code == (struck[0] != "done")
    assert len(bodies) == len(set(bodies)), "a row was paid for twice"
    unseen = call == "submit" and fault in INSTEAD_OF_AN_ANSWER
    assert len(bodies) == 2 - unseen
