"""Durable transitions a second of the ledger: workers that each record one transition after another, as the engine does.

python benchmarks/ledger.py --workers 200 --rows 5000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from batcher import lifecycle
from batcher.events import Accepted, Claimed, Event, Produced, Saved
from batcher.ledger import SqliteLedger
from batcher.model import Artifact, Job, JobSpec, Lane, Mode
from batcher.settings import RunSettings


def spec(n: int) -> JobSpec:
    body = {"prompt": f"a picture of thing {n}"}
    return JobSpec(
        key=f"k{n}", row_id=f"r{n}", fingerprint=f"f{n}", job="raw", model="acme/paint", body=body, stem=f"r{n}", fields=body, axes={}, inputs=(),
        where=f"row {n}",
    )  # fmt: skip


def life(job: Job) -> Iterator[tuple[Job, Event]]:
    """The four transitions of a row that goes well."""
    link = f"https://files.example/{job.seq}.png"
    artifact = Artifact(f"results/{job.row_id}.png", "0" * 64, 1000, "image/png", 8, 8)
    for event in (Claimed(), Accepted(f"request-{job.seq}"), Produced((link,), 0.04), Saved((artifact,), 0.1)):
        job = lifecycle.advance(job, event, now=time.time(), jitter=0.5, settings=RunSettings())
        yield job, event


async def measure(folder: Path, rows: int, workers: int) -> float:
    """Transitions a second."""
    ledger = SqliteLedger(folder / "ledger.db")
    await ledger.plan(spec(n) for n in range(rows))
    jobs = await ledger.claimable(Lane.REMOTE, Mode.RUN, rows, time.time(), ())

    lives = iter([list(life(job)) for job in jobs])

    async def worker() -> None:
        for transitions in lives:
            for job, event in transitions:
                await ledger.record(job, event, time.time())

    started = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(workers)))
    seconds = time.monotonic() - started
    await ledger.aclose()
    return 4 * rows / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(uvloop.run(measure(Path(folder), options.rows, options.workers)))
    found.sort()
    print(f"{found[len(found) // 2]:,.0f} durable transitions/s ({found[0]:,.0f} to {found[-1]:,.0f}), {options.workers} workers, synchronous=FULL")
    if options.json:
        options.json.write_text(json.dumps({"transitions_per_s": found}), "utf-8")


if __name__ == "__main__":
    main()
