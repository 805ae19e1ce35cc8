"""Ten thousand rows: the page shows the first at once, keeps few elements, and finds every row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batcher.report.gallery import write_gallery, writing
from batcher.report.models import Counts, Report, Requests, Throughput
from tests.browser.conftest import Look
from tests.support.command import results

ROWS = 10_000
MOST_CARDS = 80


@pytest.fixture
def many(shop: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten thousand rows that look like one of a real batch; a parameter says how many of them a browser holds at a time."""
    monkeypatch.setattr(writing, "PART_ROWS", getattr(request, "param", writing.PART_ROWS))
    pattern = next(row for row in results(shop) if row["state"] == "done")
    counts = Counts(done=ROWS, failed=0, cancelled=0, in_doubt=0, open=0)
    with (tmp_path / "results.jsonl").open("w", encoding="utf-8") as file:
        for n in range(ROWS):
            prompt = f"{pattern['body']['prompt']}, variation {n}"
            row = {
                **pattern,
                "id": f"row-{n:05}",
                "row": n + 1,
                "body": {**pattern["body"], "prompt": prompt, "seed": n},
                "axes": {"batch": str(n % 7)},
            }
            file.write(json.dumps(row) + "\n")
    report = Report(
        name="many", service="simulator", rows=ROWS, counts=counts, started_at="2027-01-15T08:00:00Z", finished_at="2027-01-15T09:00:00Z", runs=1,
        cost_usd=800.0, cost_unknown_rows=0, throughput=Throughput(rows_per_s=3, run_s=3600), files_missing=0, same_files=[], timings={}, failures=[],
        requests=Requests(), concurrency=[], exit_reason=None,
    )  # fmt: skip
    write_gallery(tmp_path, report, has_time=lambda: False)
    return tmp_path


async def test_ten_thousand_rows(look: Look, many: Path, record_property: Callable[[str, object], None]) -> None:
    begun = time.monotonic()
    visit = await look(many)
    record_property("seconds_to_all_rows", round(time.monotonic() - begun, 2))
    record_property(
        "first_card_ms",
        await visit.page.evaluate("performance.getEntriesByType('paint').find((each) => each.name === 'first-contentful-paint').startTime"),
    )
    record_property("heap_mb", await visit.page.evaluate("performance.memory.usedJSHeapSize / 1e6"))
    assert await visit.found() == "10,000 rows"
    assert len(list((many / "report" / "rows").iterdir())) == 10
    assert 0 < await visit.cards() < MOST_CARDS
    for share in (0.3, 0.7, 1):
        await visit.page.evaluate("share => scrollTo(0, share * document.body.scrollHeight)", share)
        await visit.settle()
        assert 0 < await visit.cards() < MOST_CARDS
    assert (await visit.names())[-1] == "row-09999"
    await visit.page.fill("#search", "variation 4711")
    await visit.settle()
    assert await visit.names() == ["row-04711"]
    await visit.page.fill("#search", "")
    await visit.page.click("[data-view=sheet]")
    await visit.settle()
    assert await visit.page.locator("[role=gridcell]").count() < 200
    await visit.page.click("[data-view=summary]")
    await visit.settle()
    assert "10,000" in await visit.page.inner_text("#summary")
    await visit.page.evaluate("location.hash = '#row=row-08888'")
    await visit.page.wait_for_selector("#stage[open]")
    assert await visit.page.inner_text("#position") == "8,889 of 10,000"


@pytest.mark.parametrize("many", [4000], indirect=True)
async def test_more_rows_than_a_browser_should_hold_are_shown_in_parts(look: Look, many: Path) -> None:
    visit = await look(many)
    assert await visit.found() == "4,000 rows"
    assert await visit.page.locator("#part option").all_inner_texts() == ["1 – 4,000", "4,001 – 8,000", "8,001 – 10,000"]
    await visit.press("ArrowRight", "1")
    await visit.page.select_option("#part", "2")
    await visit.page.wait_for_function("() => document.getElementById('found').textContent === '2,000 rows'")
    assert (await visit.names())[0] == "row-08000"
    assert await visit.page.inner_text("#save") == "Save review (1)", "marks of other parts are kept"
    await visit.page.evaluate("location.hash = '#row=row-05555'")
    await visit.page.wait_for_selector("#stage[open]")
    assert await visit.staged() == "row-05555"
    assert await visit.found() == "4,000 rows"
