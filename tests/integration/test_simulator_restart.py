import asyncio
import base64
import io
import os
import signal
import subprocess
import sys

import aiohttp
import pytest
from PIL import Image

from batcher.simulator import Simulator, SimulatorError, SimulatorSettings

TEXT = "google/nano-banana-2-lite/text-to-image"
ME = {"Authorization": "Bearer me"}

SERVER = """
import asyncio, sys
from batcher.simulator import SimulatorSettings, serve
settings = SimulatorSettings(latency_s=0.05, art="plain", slots=1000)
asyncio.run(serve(settings, host="127.0.0.1", port=0, state_dir=sys.argv[1], announce=lambda url: print(url, flush=True)))
"""


async def submit(session, base_url, prompt):
    async with session.post(f"{base_url}/models/{TEXT}", headers=ME, json={"prompt": prompt}) as answer:
        return (await answer.json())["request_id"]


async def collect(session, base_url, request_id):
    while True:
        async with session.get(f"{base_url}/requests/{request_id}/result", headers=ME) as answer:
            result = await answer.json()
        if result.get("status") == "succeeded":
            async with session.get(result["output"]["image"]) as answer:
                return await answer.read()
        await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
async def test_nothing_that_was_answered_is_lost_to_a_kill(tmp_path):
    ids = {}
    for start in range(2):
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        try:
            base_url = process.stdout.readline().strip()
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:

                async def keep_submitting(worker, session=session, base_url=base_url, start=start):
                    for n in range(10_000):
                        prompt = f"{start}/{worker}/{n}"
                        try:
                            ids[prompt] = await submit(session, base_url, prompt)
                        except (aiohttp.ClientError, OSError):
                            return

                for worker in range(8):
                    group.create_task(keep_submitting(worker))
                await asyncio.sleep(0.15)
                os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    async with Simulator(SimulatorSettings(art="plain"), state_dir=tmp_path) as simulator, aiohttp.ClientSession() as session:
        known = {record["request_id"] for record in simulator.requests()}
        assert len(ids) > 10
        assert set(ids.values()) <= known
        assert len(known) - len(ids) <= 16
        assert simulator.bill().duplicates == ()
        assert (await collect(session, simulator.base_url, ids["0/0/0"])).startswith(b"\x89PNG")


async def test_outputs_are_made_again_alike_and_time_passes_while_it_is_down(tmp_path):
    now = [1_000.0]
    contents = []
    request_id = None
    for at in (1_000.0, 2_000.0, 3_000.0):
        now[0] = at
        settings = SimulatorSettings(art="plain", latency_s=10)
        async with Simulator(settings, state_dir=tmp_path, clock=lambda: now[0]) as simulator, aiohttp.ClientSession() as session:
            if request_id is None:
                request_id = await submit(session, simulator.base_url, "a mug")
                assert simulator.requests()[0]["state"] == "in_progress"
            else:
                contents.append(await collect(session, simulator.base_url, request_id))
                assert simulator.bill().accepted == 1
    assert contents[0] == contents[1]


async def test_a_journal_that_cannot_be_read_keeps_it_from_starting(tmp_path):
    (tmp_path / "journal.jsonl").write_text("nonsense\n")
    for _ in range(2):
        with pytest.raises(SimulatorError, match=r"journal\.jsonl:1"):
            async with Simulator(state_dir=tmp_path):
                pass


async def test_a_disk_that_is_full_is_a_500_and_accepts_nothing(tmp_path, monkeypatch):
    def broken(journal, entry):
        raise SimulatorError("the disk is full")

    async with Simulator(state_dir=tmp_path) as simulator, aiohttp.ClientSession() as session:
        monkeypatch.setattr("batcher.simulator.journal.Journal.append", broken)
        async with session.post(f"{simulator.base_url}/models/{TEXT}", headers=ME, json={"prompt": "x"}) as answer:
            assert (answer.status, await answer.json()) == (500, {"detail": "the disk is full"})
        assert simulator.bill().accepted == 0


async def test_a_drawn_picture_is_the_same_after_a_restart_input_image_included(tmp_path):
    drawn = io.BytesIO()
    Image.new("RGB", (96, 96), (250, 250, 250)).save(drawn, "PNG")
    body = {"prompt": "on a beach", "image_url": "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode(), "aspect_ratio": "1:1"}
    settings = SimulatorSettings(latency_s=0, size_px=64)
    contents, request_id = [], None
    for _ in range(2):
        async with Simulator(settings, state_dir=tmp_path) as simulator, aiohttp.ClientSession() as session:
            if request_id is None:
                async with session.post(f"{simulator.base_url}/models/blackforestlabs/flux-1-kontext/pro/edit", headers=ME, json=body) as answer:
                    request_id = (await answer.json())["request_id"]
            contents.append(await collect(session, simulator.base_url, request_id))
    assert contents[0] == contents[1]
    picture = Image.open(io.BytesIO(contents[0]))
    picture.load()
    assert (picture.format, picture.width) == ("JPEG", picture.height)
