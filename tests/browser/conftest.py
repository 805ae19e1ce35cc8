"""A headless browser, and batches to look at with it.

The browser is the system's Chromium, driven by Playwright. Where there is none these tests are skipped, unless BATCHER_TESTS_REQUIRE_BROWSER is set.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from batcher import Batch
from batcher.simulator import SimulatorSettings
from tests.support.command import PATIENCE_S, SAMPLES

PICTURES = os.environ.get("BATCHER_PICTURES", "")
"""A folder for pictures of the pages, made of drawn batches: `scripts/screenshots`. Otherwise the batches are plain, and quick."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHOTOS = sorted((SAMPLES / "photos").glob("*.jpg"))
SIZE = {"width": 1360, "height": 900}
SHOP: Any = {
    "rows": [{"id": path.stem, "image": f"photos/{path.name}", "keep": f"the {path.stem} and its label"} for path in PHOTOS],
    "job": "background_replacement",
    "head": {
        "matrix": {
            "background": {
                "night_street": "a moody nighttime city street, warm shop lights, wet asphalt",
                "beach": "a sandy beach at golden hour, calm sea, warm low sun",
                "forest": "a mossy forest floor, soft light through the trees",
                "kitchen": "a bright kitchen counter, morning light from a window",
            }
        },
        "defaults": {"aspect_ratio": "1:1"},
    },
}
"""Twelve products before four backgrounds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all of these tests, since they share one browser; to trace what drives it would only slow them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.no_cover)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        assert not os.environ.get("BATCHER_TESTS_REQUIRE_BROWSER"), "a browser is required, and there is none"
        pytest.skip("no Chromium is installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@dataclass
class Visit:
    """A page that is open, and what it did: addresses it asked for, messages, and errors that nobody caught."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def cards(self) -> int:
        return await self.page.locator("#grid .card").count()

    async def found(self) -> str:
        return await self.page.inner_text("#found")

    async def names(self) -> list[str]:
        """Of the rows in view, in their order."""
        return await self.page.locator("#grid .name span:last-child").all_inner_texts()

    async def staged(self) -> str:
        """The row that is open; empty where none is."""
        return await self.page.inner_text("#stage-name") if await self.page.locator("#stage[open]").count() else ""

    async def settle(self) -> None:
        """Until what was asked for is painted."""
        await self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)
            await self.settle()

    async def reload(self) -> None:
        await self.page.reload()
        await loaded(self.page)


async def loaded(page: Page) -> None:
    await page.wait_for_function("() => !document.querySelector('script[src]') && /row/.test(document.getElementById('found').textContent)")


Look = Callable[..., Awaitable[Visit]]


@pytest_asyncio.fixture(loop_scope="session")
async def look(browser: Browser) -> AsyncIterator[Look]:
    """Opens the gallery in a folder, or a page at an address, as a person who was never there; checks at the end that nothing went wrong unseen."""
    visits: list[Visit] = []

    async def open_page(where: Path | str, fragment: str = "", *, is_gallery: bool = True, **options: Any) -> Visit:
        context = await browser.new_context(**{"viewport": SIZE, "reduced_motion": "reduce", **options})
        page = await context.new_page()
        visit = Visit(page)
        visits.append(visit)
        page.on("request", lambda request: visit.requests.append(request.url))
        page.on("console", lambda message: visit.messages.append(message.text))
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        await page.goto(f"{where if isinstance(where, str) else (where / 'report.html').as_uri()}{fragment}")
        if is_gallery:
            await loaded(page)
        return visit

    yield open_page
    for visit in visits:
        await visit.page.context.close()
        assert visit.errors == []


async def make(folder: Path, **options: Any) -> Path:
    """Run a batch with the simulated service, and leave what it wrote."""
    art = {"speed": 40.0, "slots": 9} if PICTURES or options.pop("drawn", False) else {"art": "plain", "latency_s": 0.05}
    faults = options.pop("faults", ())
    batch = Batch(out=folder, simulate=SimulatorSettings(seed=7, faults=faults, **art), base_dir=SAMPLES, **options)
    await batch.run_async()
    return folder


async def make_once(factory: pytest.TempPathFactory, folder: str, **options: Any) -> Path:
    """As `make`, for tests that only look at it: made by the first worker that wants it, and waited for by the others."""
    base = factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / folder
    made = out.with_name(f"{folder} is made")
    try:
        out.mkdir()
    except FileExistsError:
        async with asyncio.timeout(PATIENCE_S):
            while not made.exists():
                await asyncio.sleep(0.1)
        return out
    await make(out, **options)
    made.touch()
    return out


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve products before four backgrounds each: two failed, one is in doubt."""
    return await make_once(
        tmp_path_factory,
        "autumn shop",
        **SHOP,
        faults=(
            "generation:fail:contains=asphalt; keep the candle,error=the picture was blocked by a content filter",
            "generation:fail:contains=trees; keep the teapot,error=out of memory on the worker",
            "submit:reset:accepted=true,contains=window; keep the headphones",
        ),
        concurrency=12,
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One product set in motion."""
    rows = [{"id": "watch", "image": "photos/watch.jpg", "prompt": "the camera circles the watch", "seed": 3}]
    return await make_once(tmp_path_factory, "film", rows=rows, job="image_to_video", drawn=True)
