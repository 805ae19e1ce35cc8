"""Downloads as batcher does them (hashed, decoded, synced, renamed) against a bare loop that reads and writes the same bytes.

python benchmarks/downloads.py --files 300 --file-bytes 2000000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop
from service import stub


async def bare(base: str, files: int, at_once: int, folder: Path) -> None:
    """Reads and writes, and no more."""
    numbers = iter(range(files))

    async def worker(session: aiohttp.ClientSession) -> None:
        for n in numbers:
            async with session.get(f"{base}/files/{n}.png") as answer:
                (folder / f"{n}.png").write_bytes(await answer.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        await asyncio.gather(*(worker(session) for _ in range(at_once)))


async def batcher(base: str, files: int, at_once: int, folder: Path) -> None:
    """As in a run."""
    from batcher.downloads import HttpFetcher
    from batcher.hosts import TrustedHosts, open_download_session
    from batcher.storage import LocalStorage

    numbers = iter(range(files))
    hosts = TrustedHosts.beside(base)
    async with open_download_session(hosts) as session:
        fetcher = HttpFetcher(session, LocalStorage(folder), hosts)

        async def worker() -> None:
            for n in numbers:
                await fetcher.fetch(f"{base}/files/{n}.png", str(n))

        await asyncio.gather(*(worker() for _ in range(at_once)))


SIDES = {"bare": bare, "batcher": batcher}


def measure(side: str, base: str, files: int, at_once: int, folder: Path) -> float:
    """Seconds of one side, in a process of its own, without its start."""
    folder.mkdir()
    command = [sys.executable, __file__, "--side", side, "--base", base, "--folder", str(folder), "--files", str(files), "--at-once", str(at_once)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--file-bytes", type=int, default=2_000_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--base", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        started = time.monotonic()
        uvloop.run(SIDES[options.side](options.base, options.files, options.at_once, options.folder))
        print(time.monotonic() - started)
        return
    results: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder, stub("--file-bytes", str(options.file_bytes)) as base:
        for turn in range(options.rounds):
            for side, seconds in results.items():
                seconds.append(measure(side, base, options.files, options.at_once, Path(folder, f"{side}-{turn}")))
                os.sync()  # what one side left to be written is not the burden of the next
    first = statistics.median(results["bare"])
    for side, seconds in results.items():
        median = statistics.median(seconds)
        rates = [options.files * options.file_bytes / 1e6 / each for each in (median, max(seconds), min(seconds))]
        print(f"{side:8} {rates[0]:6.0f} MB/s ({rates[1]:.0f} to {rates[2]:.0f}), {first / median:.2f} of bare")
    if options.json:
        options.json.write_text(json.dumps({"seconds": results}), "utf-8")


if __name__ == "__main__":
    main()
