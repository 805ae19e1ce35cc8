"""Batches from Python, against a simulated service."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from batcher import Batch
from batcher.errors import ManifestError, OutputError, UsageError
from batcher.ledger import LedgerReader
from batcher.model import State
from batcher.simulator import SimulatorSettings

ROWS = [{"id": f"r{n}", "prompt": f"thing {n}"} for n in range(12)]


def make_batch(out: Path, latency_s: float = 0.0, slots: int = 16, **settings: object) -> Batch:
    simulator = SimulatorSettings(latency_s=latency_s, sigma=0.0, slots=slots, art="plain")
    return Batch(rows=ROWS, job="text_to_image", out=out, simulate=simulator, poll_floor_s=0.05, **settings)


def counts(out: Path) -> dict[State, int]:
    with LedgerReader(out / "ledger.db") as reader:
        return reader.counts()


async def test_each_row_comes_as_it_ends_and_the_report_after(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "out")
    assert batch.report is None
    rows = [row async for row in batch]
    assert {row.id for row in rows} == {row["id"] for row in ROWS}
    assert all((tmp_path / "out" / row.files[0].path).is_file() for row in rows)
    assert batch.report is not None
    assert batch.report.counts.done == len(ROWS)


def test_a_script_waits_for_all_of_it_and_a_second_run_pays_nothing(tmp_path: Path) -> None:
    assert make_batch(tmp_path / "out").run().requests.submits == len(ROWS)
    again = make_batch(tmp_path / "out").run()
    assert (again.counts.done, again.requests.submits, again.runs) == (len(ROWS), len(ROWS), 2)


async def test_whoever_stops_listening_stops_the_batch_and_may_listen_again(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "out", latency_s=0.3, slots=3, concurrency=6)
    async for _ in batch:
        break
    rows = [row async for row in batch]
    assert 0 < len(rows) < len(ROWS)
    assert counts(tmp_path / "out")[State.DONE] == len(ROWS)


@pytest.mark.parametrize("after_s", [0.05, 0.15, 0.3])
async def test_a_cancelled_run_leaves_no_post_without_its_answer(tmp_path: Path, after_s: float) -> None:
    running = asyncio.ensure_future(make_batch(tmp_path / "out", latency_s=0.1, posts_in_flight=2).run_async())
    await asyncio.sleep(after_s)
    running.cancel()
    await asyncio.wait([running])
    if (tmp_path / "out" / "ledger.db").exists():
        assert counts(tmp_path / "out")[State.SUBMITTING] == 0
    report = await make_batch(tmp_path / "out").run_async()
    assert (report.counts.done, report.counts.in_doubt) == (len(ROWS), 0)


async def test_a_stop_from_another_thread_is_heard(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "out", latency_s=30.0, slots=2)
    running = asyncio.ensure_future(batch.run_async())
    while not (tmp_path / "out" / "ledger.db").exists() or counts(tmp_path / "out")[State.SUBMITTED] < len(ROWS):
        await asyncio.sleep(0.02)
    for _ in range(2):
        thread = threading.Thread(target=batch.stop)
        thread.start()
        thread.join()
    report = await asyncio.wait_for(running, 10)
    assert report.exit_reason == "interrupted"
    assert report.counts.open == len(ROWS)
    batch.stop()


async def test_a_stop_before_the_run_holds_for_it(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "out")
    batch.stop()
    with pytest.raises(Exception, match="stopped before anything was submitted"):
        await batch.run_async()
    assert (await batch.run_async()).counts.done == len(ROWS)


async def test_two_batches_run_side_by_side(tmp_path: Path) -> None:
    reports = await asyncio.gather(*(make_batch(tmp_path / name).run_async() for name in "ab"))
    assert [report.counts.done for report in reports] == [len(ROWS)] * 2


async def test_what_cannot_be_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="promt"):
        await Batch(rows=[{"promt": "x"}], job="text_to_image", out=tmp_path / "a", simulate=True).run_async()
    with pytest.raises(UsageError, match="not both"):
        Batch("batch.yaml", rows=[], out=tmp_path / "a")
    await make_batch(tmp_path / "b").run_async()
    (tmp_path / "b" / "ledger.db").unlink()
    with pytest.raises(OutputError, match="not its ledger"):
        await make_batch(tmp_path / "b").run_async()


async def test_a_file_that_went_missing_is_told(tmp_path: Path) -> None:
    rows = [row async for row in make_batch(tmp_path / "out")]
    (tmp_path / "out" / rows[0].files[0].path).unlink()
    assert (await make_batch(tmp_path / "out").run_async()).files_missing == 1
