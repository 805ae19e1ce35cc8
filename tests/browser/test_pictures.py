"""The pictures of README and docs, taken of the page as it is, by `scripts/screenshots`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import PICTURES, Look, Visit

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
