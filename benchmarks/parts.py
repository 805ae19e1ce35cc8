"""What each part of a job costs by itself, in µs of CPU of all threads: where the time of a run goes, and which part of it nobody can save.

python benchmarks/parts.py

The least of three rounds each. What is marked with * is what the bare loop and the script by hand do too, or what any program has to pay that hashes,
checks and syncs the same file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
import uvloop
from ledger import life, spec
from PIL import Image
from service import stub
from stub import picture

from batcher.clock import LoopClock
from batcher.downloads import HttpFetcher
from batcher.hosts import TrustedHosts, open_download_session
from batcher.ledger import SqliteLedger
from batcher.media import extension, inspect
from batcher.model import Lane, Mode
from batcher.ports import Published
from batcher.providers.runcomfy import open_runcomfy
from batcher.settings import RunSettings
from batcher.storage import LocalStorage

AT_ONCE = 64
ROUNDS = 3
SIZES = (1_000, 1_000_000)


async def at_once(jobs: int, work: Callable[[int], Awaitable[object]]) -> float:
    """µs of one `work`, where many are under way."""
    least = float("inf")
    for turn in range(ROUNDS):
        numbers = iter(range(turn * jobs, (turn + 1) * jobs))

        async def worker(numbers: Iterator[int]) -> None:
            for n in numbers:
                await work(n)

        began = time.process_time()
        await asyncio.gather(*(worker(numbers) for _ in range(AT_ONCE)))
        least = min(least, time.process_time() - began)
    return least / jobs * 1e6


def in_turn(jobs: int, work: Callable[[int], object]) -> float:
    """µs of one `work`."""
    least = float("inf")
    for turn in range(ROUNDS):
        began = time.process_time()
        for n in range(turn * jobs, (turn + 1) * jobs):
            work(n)
        least = min(least, time.process_time() - began)
    return least / jobs * 1e6


async def calls(base: str, jobs: int) -> dict[str, float]:
    """A submit, a poll and a result; aiohttp alone, and with what tells failures apart and reads what came."""
    found = {}
    body, headers = b'{"prompt":"a picture of a thing"}', {"Authorization": "Bearer any"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def bare(n: int) -> None:
            async with session.post(f"{base}/v1/models/acme/paint", data=body, headers=headers) as answer:
                request = (await answer.json())["request_id"]
            for what in ("status", "result"):
                async with session.get(f"{base}/v1/requests/{request}/{what}", headers=headers) as answer:
                    await answer.json()

        found["* submit, poll, result: aiohttp"] = await at_once(jobs, bare)
    async with open_runcomfy(f"{base}/v1", "any", RunSettings(), clock=LoopClock(), version="0") as provider:

        async def ours(n: int) -> None:
            request = await provider.submit("acme/paint", body)
            await provider.status(request)
            await provider.result(request)

        found["submit, poll, result: batcher"] = await at_once(jobs, ours)
    return found


class Nowhere:
    """A draft, and the storage of drafts, that keep nothing."""

    def draft(self, stem: str) -> Nowhere:
        return self

    async def write(self, chunk: bytes) -> None: ...

    async def discard(self) -> None: ...

    async def publish(self, extension_of: Callable[[BinaryIO], str]) -> Published:
        return Published("", "", 0)


async def transfers(base: str, jobs: int) -> dict[str, float]:
    """A file over the wire, and no further."""
    found = {}
    hosts = TrustedHosts.beside(base)
    async with open_download_session(hosts) as session:

        async def bare(n: int) -> None:
            async with session.get(f"{base}/files/{n}.png") as answer:
                await answer.read()

        fetcher = HttpFetcher(session, LocalStorage(Path()), hosts)

        async def ours(n: int) -> None:
            await fetcher._transfer(hosts.check(f"{base}/files/{n}.png"), Nowhere())  # noqa: SLF001 - by itself

        found["* download: aiohttp"] = await at_once(jobs, bare)
        found["download: batcher"] = await at_once(jobs, ours)
    return found


async def keeping(folder: Path, data: bytes, jobs: int) -> dict[str, float]:
    """A file from memory to the disk."""
    found = {}
    plain = folder / "plain"
    plain.mkdir()

    def write(n: int, *, synced: bool) -> None:
        with (plain / f"{n}-{synced}").open("wb", buffering=0) as file:
            file.write(data)
            if synced:
                os.fsync(file.fileno())

    def decode(n: int) -> None:
        with Image.open(io.BytesIO(data)) as image:
            image.load()

    found["* write a file"] = in_turn(jobs, lambda n: write(n, synced=False))
    found["* write and fsync it"] = in_turn(jobs, lambda n: write(n, synced=True))
    found["* SHA-256"] = in_turn(jobs, lambda n: hashlib.sha256(data).digest())
    found["* decode the image"] = in_turn(jobs, decode)
    storage = LocalStorage(folder)

    async def keep(n: int) -> None:
        draft = storage.draft(f"row{n}")
        for at in range(0, len(data), 1 << 16):
            await draft.write(data[at : at + (1 << 16)])
        await draft.publish(lambda file: extension(inspect(file).media_type))

    found["all of it, under its name for good: batcher"] = await at_once(jobs, keep)
    return found


async def records(folder: Path, jobs: int) -> dict[str, float]:
    """The four transitions of a row, durable."""
    ledger = SqliteLedger(folder / "ledger.db")
    await ledger.plan(spec(n) for n in range(ROUNDS * jobs))
    rows = await ledger.claimable(Lane.REMOTE, Mode.RUN, ROUNDS * jobs, time.time(), ())
    lives = [list(life(row)) for row in rows]

    async def record(n: int) -> None:
        for job, event in lives[n]:
            await ledger.record(job, event, time.time())

    found = {"four durable transitions: batcher": await at_once(jobs, record)}
    await ledger.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stub() as base:
            found["a job"] = uvloop.run(calls(base, options.jobs)) | uvloop.run(records(folder, options.jobs))
        for size_bytes in SIZES:
            jobs = max(50, options.jobs * SIZES[0] // size_bytes)
            place = folder / str(size_bytes)
            place.mkdir()
            with stub("--file-bytes", str(size_bytes)) as base:
                found[f"a file of {size_bytes:,} bytes"] = uvloop.run(transfers(base, jobs)) | uvloop.run(keeping(place, picture(size_bytes), jobs))
    for title, costs in found.items():
        print(f"{title}, µs of CPU")
        for what, cost in costs.items():
            print(f"  {what:46} {cost:8,.0f}")
    if options.json:
        options.json.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
