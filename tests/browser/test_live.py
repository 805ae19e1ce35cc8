"""The live page in a browser: it fills while a batch runs, finds its server again, and stays as strict and as text as the page on a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page
from yarl import URL

from batcher import Batch
from batcher.cli.serving import ReviewAlone
from batcher.ledger import LEDGER, LedgerReader
from batcher.live import LivePage
from batcher.simulator import SimulatorSettings
from tests.browser.conftest import Look, Visit, make
from tests.support.command import PATIENCE_S, steady_port
from tests.support.engine_world import make_spec
from tests.support.ledgers import Book


@asynccontextmanager
async def running(out: Path, rows: int, latency_s: float = 0.4, **options: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A batch on its way, in this process."""
    batch = Batch(
        out=out,
        rows=[{"id": f"row{n:03}", "prompt": f"a picture of thing {n}"} for n in range(rows)],
        job="text_to_image",
        simulate=SimulatorSettings(seed=7, art="plain", latency_s=latency_s, **options),
        concurrency=4,
    )
    task = asyncio.ensure_future(batch.run_async())
    try:
        yield task
    finally:
        batch.stop()
        batch.stop()
        await asyncio.wait([task])


async def until(page: Page, condition: str, arg: object = None) -> None:
    await page.wait_for_function(condition, arg=arg, timeout=20_000)


DONE = """n => Number(document.querySelector('[data-state="done"] b')?.textContent) >= n && document.querySelector('#grid .dot.done') !== null"""
CHARTS = "() => ['.pile', '.layer', '.model', '.edge'].every((each) => document.querySelector(`#charts ${each}`))"
PICTURES = "() => [...document.querySelectorAll('#grid .view img')].every((img) => img.complete && img.naturalWidth && !img.hidden)"
HIDE = """is => {
    Object.defineProperty(document, 'hidden', { value: is, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
}"""
HOW = "words => document.getElementById('how').textContent === words"


async def test_it_fills_while_the_batch_runs_and_says_when_that_ends(look: Look, tmp_path: Path) -> None:
    out = tmp_path / "autumn"
    async with LivePage(out, keep=ReviewAlone(out).keep, port=0) as served:
        visit = await look(served.url)
        assert (await visit.page.inner_text("#how"), await visit.page.inner_text("#empty")) == (
            "Waiting for the run",
            "No rows yet. They appear here when the batch is run.",
        )
        async with running(out, 24) as run:
            await until(visit.page, HOW, "Running")
            await until(visit.page, DONE, 2)
            assert await visit.page.locator("#grid .went.open").count() > 0, "those that are not done are there too"
            await visit.page.focus("button.open[aria-label^=row011]")
            assert await visit.page.locator("#charts figcaption b").all_inner_texts() == ["Throughput", "States", "Latency", "Spend"]
            await until(visit.page, CHARTS)
            await until(visit.page, DONE, 24)
            await run
            await until(visit.page, HOW, "The run has ended")
        focused = await visit.page.evaluate("document.activeElement.closest('li').querySelector('.name span:last-child').textContent")
        assert focused == "row011", "what has the focus keeps it, whatever comes"
        assert await visit.found() == "24 rows"
        assert await visit.page.inner_text("h1") == "autumn"
        assert "$" in await visit.page.inner_text("#charts figure:last-child figcaption span")
        await until(visit.page, PICTURES)
        assert all("report/thumbnails" in url for url in visit.requests if url.endswith(".webp"))
        await visit.page.click("[data-view=summary]")
        await until(visit.page, "() => /24/.test(document.querySelector('#summary .figures').textContent)")
        assert "95 % within" in await visit.page.inner_text("#summary")


def loads_of(visit: Visit) -> int:
    """How often all rows were asked for; before there is a plan, that is once and again."""
    return sum("/rows?after=0" in url for url in visit.requests)


async def test_a_page_whose_server_is_gone_finds_it_again_and_misses_nothing(look: Look, tmp_path: Path) -> None:
    out, port = tmp_path / "out", steady_port()
    async with running(out, 20, latency_s=0.3) as run:
        async with LivePage(out, keep=ReviewAlone(out).keep, port=port) as served:
            visit = await look(served.url)
            await until(visit.page, DONE, 1)
            loads = loads_of(visit)
        await until(visit.page, "() => document.getElementById('live').dataset.state === 'lost'")
        assert "Trying again" in await visit.page.inner_text("#how")
        await run
    assert await visit.page.locator("#grid .dot.done").count() < 20
    async with LivePage(out, keep=ReviewAlone(out).keep, port=port):
        await until(visit.page, HOW, "The run has ended")
        await until(visit.page, DONE, 20)
    assert loads_of(visit) == loads, "rows that are known are not loaded again"


async def test_a_page_that_nobody_sees_lets_go_and_comes_back(look: Look, tmp_path: Path) -> None:
    out = await make(tmp_path / "out", rows=[{"id": "a", "prompt": "a thing"}], job="text_to_image")
    async with LivePage(out, keep=ReviewAlone(out).keep, port=0) as served:
        visit = await look(served.url)
        while not served._feed.followers:
            await asyncio.sleep(0.02)
        await visit.page.clock.install()
        await visit.page.evaluate(HIDE, True)
        await visit.page.clock.run_for(6000)
        await asyncio.wait_for(served._feed.deserted(), 10)
        await visit.page.evaluate(HIDE, False)
        while not served._feed.followers:
            await asyncio.sleep(0.02)


def marks_in(out: Path) -> list[str]:
    with LedgerReader(out / LEDGER) as reader:
        return [job.mark.verdict for job in reader.jobs() if job.mark]


async def test_marks_go_into_the_ledger(look: Look, tmp_path: Path) -> None:
    out = await make(tmp_path / "out", rows=[{"id": name, "prompt": "a thing"} for name in "ab"], job="text_to_image")
    async with LivePage(out, keep=ReviewAlone(out).keep, port=0) as served:
        visit = await look(served.url)
        await visit.press("ArrowRight", "1", "2")
        async with asyncio.timeout(PATIENCE_S):
            while marks_in(out) != ["accepted", "rejected"]:  # they may come in one request or in two
                await asyncio.sleep(0.05)
        again = await look(served.url)
        assert await again.page.locator("#grid .card.marked").count() == 2


@pytest.mark.fault("G2")
async def test_words_of_strangers_are_text_and_nothing_leaves(look: Look, tmp_path: Path) -> None:
    attacks = ["<img src=x onerror=window.hacked=1>", "</script><script>window.hacked=2</script>", '<img src="http://198.51.100.7/leak.png">']
    out = await make(
        tmp_path / "<b onmouseover=hacked=3>",
        rows=[{"id": f"<i>{n}</i>", "prompt": attack} for n, attack in enumerate(attacks)],
        job="text_to_image",
        faults=("generation:fail:nth=2,error=<script>window.hacked=4</script>",),
        concurrency=1,
    )
    async with LivePage(out, keep=ReviewAlone(out).keep, port=0) as served:
        visit = await look(served.url, "#row=%3Ci%3E0%3C%2Fi%3E")
        assert attacks[0] in (await visit.page.text_content("#facts") or "")
        await visit.page.keyboard.press("Escape")
        for view in ("sheet", "summary", "cards"):
            await visit.page.click(f"[data-view={view}]")
            await visit.settle()
        await until(visit.page, "() => document.querySelectorAll('#charts figure').length === 4")
        assert await visit.page.evaluate("window.hacked") is None
        assert [message for message in visit.messages if "Content Security Policy" in message] == []
        assert {URL(url).origin() for url in visit.requests if not url.startswith("data:")} == {URL(served.url).origin()}
        asked = [URL(url).path for url in visit.requests]
        assert [path for path in asked if not path.startswith(("/report/thumbnails/", "/results/")) and path not in ("/", "/rows", "/changes")] == []


async def test_with_a_token_the_page_opens_by_its_address_alone(look: Look, tmp_path: Path) -> None:
    out = await make(tmp_path / "out", rows=[{"id": "a", "prompt": "a thing"}], job="text_to_image")
    async with LivePage(out, keep=ReviewAlone(out).keep, host="0.0.0.0", port=0) as served:
        address = URL(served.url).with_host("127.0.0.1")
        stranger = await look(str(address.with_fragment(None)), is_gallery=False)
        await stranger.page.fill("#token", "wrong")
        await stranger.page.click("button")
        await until(stranger.page, "() => document.getElementById('said').textContent.startsWith('That is not')")
        await stranger.page.fill("#token", address.fragment)
        await stranger.page.fill("#token", address.fragment.removeprefix("token="))
        await stranger.page.click("button")
        await until(stranger.page, "() => document.getElementById('grid')?.querySelectorAll('.card').length === 1")
        known = await look(str(address))
        assert (await known.found(), address.fragment in known.page.url) == ("1 row", False)
        assert await known.page.evaluate("document.cookie") == ""
        assert all(address.fragment.removeprefix("token=") not in url for url in known.requests[1:])


async def test_ten_thousand_rows(look: Look, tmp_path: Path) -> None:
    book = Book(tmp_path / LEDGER)
    await book.plan(*(make_spec(f"row{n:05}") for n in range(10_000)))
    await book.ledger.aclose()
    async with LivePage(tmp_path, keep=ReviewAlone(tmp_path).keep, port=0) as served:
        visit = await look(served.url)
        await until(visit.page, "() => document.getElementById('found').textContent === '10,000 rows'")
        assert 0 < await visit.cards() < 80
        await visit.page.fill("#search", "row09999")
        await visit.settle()
        assert await visit.names() == ["row09999"]
