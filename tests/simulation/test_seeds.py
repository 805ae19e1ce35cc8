"""A thousand small batches in worlds that are slow, break and crash: `tests/support/simulation.py` says what must hold in each."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from batcher.ledger import LedgerReader
from batcher.model import State
from batcher.report import write_report
from tests.support.command import REPOSITORY
from tests.support.seeded_service import PRICE_USD
from tests.support.simulation import Figures, Simulation, run_seed, scenario_of

pytestmark = pytest.mark.no_cover

SEEDS = 1000
AT_ONCE = 40

DIGESTS = """
import sys
from tests.support.simulation import run_seed
for seed in map(int, sys.argv[1:]):
    print(run_seed(seed).digest())
"""


@pytest.mark.fault("A2", "A7", "C17", "D1", "G5", "X5")
@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_every_promise_is_kept_in_every_world(first: int) -> None:
    total = Figures()
    for seed in range(first, first + AT_ONCE):
        total.add(run_seed(seed).figures)
    assert total.seeds == AT_ONCE
    assert total.crashes > 20, "a world without crashes shows nothing"
    assert total.crashes > total.recoveries_cut > 0
    assert total.in_doubt_by_crash > 0
    assert total.truly_accepted > 0
    print(total)


@pytest.mark.fault("X5")
def test_the_same_seed_gives_the_same_log_and_another_gives_another() -> None:
    seeds = [*range(2000, 2012)]
    here = [run_seed(seed).digest() for seed in seeds]
    assert [run_seed(seed).digest() for seed in seeds] == here
    assert len(set(here)) == len(seeds)
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-c", DIGESTS, *map(str, seeds)]
        told = subprocess.run(
            command, cwd=REPOSITORY, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, timeout=300, check=True
        )
        assert told.stdout.split() == here


@pytest.mark.fault("G8")
@pytest.mark.parametrize("first", range(3000, 3060, 20))
def test_report_ledger_and_bill_agree_row_by_row(first: int, tmp_path: Path) -> None:
    settled = 0
    for seed in range(first, first + 20):
        simulation = run_seed(seed)
        out = tmp_path / str(seed)
        out.mkdir()
        report, rows = _report(simulation, out)
        assert report["rows"] == simulation.scenario.rows == sum(report["counts"].values())
        for job, row in zip(simulation.jobs(), rows, strict=True):
            billed = simulation.service.billed_usd(row["id"])
            known = row["cost_usd"] or 0.0
            assert (row["id"], row["state"], row["request_id"]) == (job.row_id, job.state, job.request_id)
            assert known - 1e-6 <= billed <= known + PRICE_USD * job.unpriced + 1e-6, row
            assert [file["path"] in simulation.disk.files for file in row["files"]] == [True] * len(job.artifacts) * (job.state is State.DONE)
        bill = sum(simulation.service.billed_usd(row["id"]) for row in rows)
        assert report["cost_usd"] <= bill + 1e-6
        if not report["cost_unknown_rows"]:
            assert report["cost_usd"] == pytest.approx(bill)
            settled += 1
    assert settled >= 3


def _report(simulation: Simulation, out: Path) -> tuple[dict[str, dict[str, int]], list[dict[str, object]]]:
    """The report of the batch as it ended, and its rows."""
    assert simulation.disk.ledger is not None
    file = sqlite3.connect(out / "ledger.db")
    simulation.disk.ledger.backup(file)
    file.close()
    with LedgerReader(out / "ledger.db") as reader:
        write_report(out, reader, simulation.now)
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]
    return json.loads((out / "report.json").read_text("utf-8")), rows


@pytest.mark.fault("G8")
def test_the_calls_that_the_report_counts_are_those_that_the_service_saw(tmp_path: Path) -> None:
    """In a life that nothing cut short: of calls made just before a crash only the service knows."""
    for seed in range(4000, 4010):
        simulation = Simulation(replace(scenario_of(seed), lives=()), seed)
        simulation.run()
        out = tmp_path / str(seed)
        out.mkdir()
        report, _ = _report(simulation, out)
        assert report["requests"]["submits"] == simulation.figures.posts
