"""Installed libraries that do the same work: fal's client, and DBOS durable workflows on SQLite. They need `pip install fal-client dbos`.

python benchmarks/peers.py SIDE BASE ROWS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

POLL_S = 0.5


async def fal(base: str, rows: int, concurrency: int, folder: Path) -> None:
    """fal-client's own submit and poll, on the stub's queue dialect; the files are fetched with aiohttp."""
    import fal_client
    import fal_client.client

    fal_client.client.QUEUE_URL_FORMAT = f"{base}/fal/"
    client = fal_client.AsyncClient(key="any:any")
    numbers = iter(range(rows))

    async def worker(session: aiohttp.ClientSession) -> None:
        for n in numbers:
            result = await client.subscribe("acme/paint", arguments={"prompt": f"a picture of thing {n}"})
            async with session.get(result["images"][0]["url"]) as answer:
                await asyncio.to_thread((folder / f"{n}.png").write_bytes, await answer.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))


async def dbos(base: str, rows: int, concurrency: int, folder: Path) -> None:
    """A durable workflow a row, with a step for each call that has an effect."""
    from dbos import DBOS, DBOSConfig

    config: DBOSConfig = {"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "run_admin_server": False, "log_level": "ERROR"}
    DBOS(config=config)
    headers = {"Authorization": "Bearer any"}
    session: aiohttp.ClientSession

    @DBOS.step()
    async def submit(n: int) -> str:
        async with session.post(f"{base}/v1/models/acme/paint", json={"prompt": f"a picture of thing {n}"}, headers=headers) as answer:
            return str((await answer.json())["request_id"])

    @DBOS.step()
    async def wait(request: str) -> dict[str, Any]:
        while True:
            async with session.get(f"{base}/v1/requests/{request}/status", headers=headers) as answer:
                if (await answer.json())["status"] == "completed":
                    break
            await asyncio.sleep(POLL_S)
        async with session.get(f"{base}/v1/requests/{request}/result", headers=headers) as answer:
            return dict(await answer.json())

    @DBOS.step()
    async def fetch(n: int, url: str) -> None:
        async with session.get(url) as answer:
            await asyncio.to_thread((folder / f"{n}.png").write_bytes, await answer.read())

    @DBOS.workflow()
    async def row(n: int) -> None:
        result = await wait(await submit(n))
        await fetch(n, result["output"]["image"])

    DBOS.launch()
    numbers = iter(range(rows))

    async def worker() -> None:
        for n in numbers:
            await row(n)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker() for _ in range(concurrency)))
    DBOS.destroy()


SIDES = {"fal": fal, "dbos": dbos}

if __name__ == "__main__":
    side, base, rows, concurrency, folder = sys.argv[1:]
    uvloop.run(SIDES[side](base, int(rows), int(concurrency), Path(folder)))
