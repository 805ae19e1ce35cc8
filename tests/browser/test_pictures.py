"""The pictures of README and docs, taken of the page as it is, by `scripts/screenshots`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from batcher import Batch
from batcher.cli.serving import ReviewAlone
from batcher.live import LivePage
from batcher.simulator import SimulatorSettings
from tests.browser.conftest import PICTURES, SHOP, Look, Visit
from tests.support.command import SAMPLES

pytestmark = pytest.mark.skipif(not PICTURES, reason="pictures are taken by scripts/screenshots")


@pytest.fixture
def place() -> Path:
    folder = Path(PICTURES)
    folder.mkdir(exist_ok=True)
    return folder


async def shoot(visit: Visit, path: Path) -> None:
    await visit.page.wait_for_function("() => [...document.images].filter((img) => !img.hidden).every((img) => img.complete)")
    await visit.settle()
    await visit.page.screenshot(path=path, type="jpeg", quality=86)
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (1360, 900)
        assert len(picture.getcolors(1 << 24) or ()) > 1000, "there is something to see"
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_gallery(look: Look, shop: Path, place: Path, scheme: str) -> None:
    visit = await look(shop, color_scheme=scheme)
    await visit.press("ArrowRight", "1", "1", "2", "1")
    await shoot(visit, place / f"gallery-{scheme}.jpg")


async def test_the_slider_half_way(look: Look, shop: Path, place: Path) -> None:
    visit = await look(shop, "#row=lamp-night_street", color_scheme="light")
    await shoot(visit, place / "before-after.jpg")


async def test_the_contact_sheet(look: Look, shop: Path, place: Path) -> None:
    visit = await look(shop, color_scheme="light")
    await visit.page.click("[data-view=sheet]")
    await shoot(visit, place / "contact-sheet.jpg")


async def test_a_failure(look: Look, shop: Path, place: Path) -> None:
    visit = await look(shop, color_scheme="dark")
    await visit.page.locator("#states button", has_text="Failed").click()
    await visit.settle()
    await visit.page.locator("#grid .open").first.click()
    await shoot(visit, place / "failure.jpg")


async def test_the_summary(look: Look, shop: Path, place: Path) -> None:
    visit = await look(shop, color_scheme="light")
    await visit.page.click("[data-view=summary]")
    await shoot(visit, place / "summary.jpg")


async def test_the_live_page_half_way(look: Look, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "autumn shop"
    faults = ("generation:fail:contains=asphalt; keep the candle,error=the picture was blocked by a content filter",)
    batch = Batch(out=out, base_dir=SAMPLES, concurrency=48, simulate=SimulatorSettings(seed=7, speed=1.2, slots=24, faults=faults), **SHOP)
    async with asyncio.TaskGroup() as group, LivePage(out, keep=ReviewAlone(out).keep, port=0) as served:
        running = group.create_task(batch.run_async())
        visit = await look(served.url, color_scheme="light")
        await visit.page.wait_for_function("() => Number(document.querySelector('[data-state=done] b')?.textContent) >= 22", timeout=120_000)
        await shoot(visit, place / "live.jpg")
        batch.stop()
        batch.stop()
        await running
