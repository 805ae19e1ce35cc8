"""A batch as a notebook shows it: before, while and after it runs."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from batcher import Batch
from batcher.notebook import EDGE_PX, PICTURES, progress_html
from batcher.simulator import FaultRule, SimulatorSettings
from tests.support.snapshots import failed, snapshot

HOSTILE = "<script>alert(1)</script>\" onerror='x' &amp; \x1b[2J"
TAGS = {"div", "br", "img", "span", "progress"}
ATTRIBUTES = {"style", "src", "alt", "title", "max", "value"}


class Page(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.sources: list[str] = []
        self.titles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        self.sources += [value or "" for name, value in attrs if name == "src"]
        self.titles += [value or "" for name, value in attrs if name == "title"]
        self.text += "\n" if tag in ("br", "div") else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(batch: Batch) -> Page:
    return Page(batch._repr_html_())


def make_batch(out: Path, rows: int, latency_s: float, *faults: str) -> Batch:
    rules = tuple(map(FaultRule.parse, faults))
    simulator = SimulatorSettings(latency_s=latency_s, sigma=0.0, art="plain", faults=rules)
    of = [{"id": f"r{n}", "prompt": f"thing {n}"} for n in range(rows)]
    return Batch(rows=of, job="text_to_image", out=out, simulate=simulator, poll_floor_s=0.05)


async def test_before_while_and_after_it_runs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    batch = make_batch(out, PICTURES + 3, 1.0, "generation:fail:nth=2,error=<b>blocked</b>")
    assert shown(batch).text.strip() == f"A batch for {out}, not run yet"
    running = asyncio.ensure_future(batch.run_async())
    while " so far" not in (text := shown(batch).text):
        await asyncio.sleep(0.02)
    assert re.search(r"\d+/15 rows \(\d+ %\) · \d+ s so far", text)
    await running
    page = shown(batch)
    assert page.text.startswith("\n15 rows · 14 done · 1 failed · ")
    assert "1 × generation failed, such as r" in page.text
    assert "<b>blocked</b>" in page.text, "as text"
    assert len(page.sources) == len(set(page.titles)) == PICTURES
    for source in page.sources:
        head, _, data = source.partition(",")
        assert head == "data:image/webp;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= EDGE_PX
        assert len(source) < 20_000


async def test_a_picture_that_cannot_be_shown_is_named(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "out", 2, 0.0)
    report = await batch.run_async()
    assert report.counts.done == 2
    first = next((tmp_path / "out" / "results").glob("r0.*"))
    first.write_bytes(b"no picture")
    page = shown(batch)
    assert len(page.sources) == 1
    assert f"results/{first.name}" in page.text
    (tmp_path / "out" / "ledger.db").unlink()
    assert shown(batch).text.startswith("\n2 rows · 2 done")


def test_nothing_of_a_manifest_or_a_server_is_markup() -> None:
    page = Page(progress_html(snapshot(failures=[failed(HOSTILE, HOSTILE)]), is_running=True))
    assert page.text.count(HOSTILE.replace("\x1b", "\ufffd")) == 2
    assert "25 to 40 s left" in page.text
    assert "not running any more" in Page(progress_html(snapshot(), is_running=False)).text
