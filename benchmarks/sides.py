"""What the engine is compared with: each side does the same work against the same stub, in a process of its own.

python benchmarks/sides.py SIDE BASE ROWS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import uvloop

POLL_S = 0.5


async def bare(base: str, rows: int, concurrency: int, folder: Path) -> None:
    """The ceiling: submits, polls, reads the result, writes the file; remembers nothing, checks nothing."""
    numbers = iter(range(rows))
    headers = {"Authorization": "Bearer any"}

    async def worker(session: aiohttp.ClientSession) -> None:
        for n in numbers:
            async with session.post(f"{base}/v1/models/acme/paint", json={"prompt": f"a picture of thing {n}"}, headers=headers) as answer:
                request = (await answer.json())["request_id"]
            while True:
                async with session.get(f"{base}/v1/requests/{request}/status", headers=headers) as answer:
                    if (await answer.json())["status"] == "completed":
                        break
                await asyncio.sleep(POLL_S)
            async with session.get(f"{base}/v1/requests/{request}/result", headers=headers) as answer:
                url = (await answer.json())["output"]["image"]
            async with session.get(url) as answer:
                (folder / f"{n}.png").write_bytes(await answer.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))


async def by_hand(base: str, rows: int, concurrency: int, folder: Path) -> None:
    """What is written on a Friday afternoon: a semaphore, a task for each row, a fixed poll, a JSON file of what is done."""
    slots = asyncio.Semaphore(concurrency)
    headers = {"Authorization": "Bearer any"}
    done = (folder / "done.jsonl").open("a")

    async def row(session: aiohttp.ClientSession, n: int) -> None:
        async with slots:
            async with session.post(f"{base}/v1/models/acme/paint", json={"prompt": f"a picture of thing {n}"}, headers=headers) as answer:
                answer.raise_for_status()
                request = (await answer.json())["request_id"]
            while True:
                async with session.get(f"{base}/v1/requests/{request}/status", headers=headers) as answer:
                    answer.raise_for_status()
                    if (await answer.json())["status"] == "completed":
                        break
                await asyncio.sleep(POLL_S)
            async with session.get(f"{base}/v1/requests/{request}/result", headers=headers) as answer:
                answer.raise_for_status()
                result = await answer.json()
            async with session.get(result["output"]["image"]) as answer:
                answer.raise_for_status()
                content = await answer.read()
            await asyncio.to_thread((folder / f"{n}.png").write_bytes, content)
            done.write(json.dumps({"row": n, "request_id": request, **result}) + "\n")
            done.flush()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(row(session, n) for n in range(rows)))


SIDES = {"bare": bare, "by_hand": by_hand}

if __name__ == "__main__":
    side, base, rows, concurrency, folder = sys.argv[1:]
    uvloop.run(SIDES[side](base, int(rows), int(concurrency), Path(folder)))
