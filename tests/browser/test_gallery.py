"""The gallery in a browser, as a person uses it: from a disk, with a mouse or with keys alone."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from pathlib import Path

from batcher.ledger import LedgerReader
from batcher.model import State, Verdict
from batcher.report import write_report
from batcher.report.gallery import write_gallery
from batcher.review import marks_by_hand, open_marks, review
from tests.browser.conftest import Look, Visit
from tests.support.command import results


def rows_of(folder: Path, state: State | None = None) -> list[str]:
    return [row["id"] for row in results(folder) if state is None or row["state"] == state]


async def test_every_row_is_a_card_and_says_everything(look: Look, shop: Path) -> None:
    visit = await look(shop)
    assert await visit.found() == "48 rows"
    assert (await visit.names())[:3] == rows_of(shop)[:3]
    assert await visit.page.locator("#states button").all_text_contents() == ["All48", "Done45", "Failed2", "In doubt1"]
    row = next(row for row in results(shop) if row["state"] == "done")
    await visit.page.get_by_role("button", name=f"{row['id']}, Done").click()
    assert await visit.staged() == row["id"]
    told = await visit.page.inner_text("#facts")
    for word in (
        row["body"]["prompt"],
        row["model"],
        "Cost\n$0.08",
        "Attempts\n1",
        row["request_id"],
        "Being made",
        row["files"][0]["path"],
        row["source"],
    ):
        assert word in told
    assert await visit.page.locator("#facts .inputs img").evaluate("img => img.naturalWidth") > 0


async def test_a_failure_is_told_with_its_remedy(look: Look, shop: Path) -> None:
    visit = await look(shop)
    await visit.page.locator("#states button", has_text="Failed").click()
    assert await visit.found() == "2 of 48 rows"
    assert await visit.names() == rows_of(shop, State.FAILED)
    card = visit.page.locator(".card").first
    assert "blocked by a content filter" in await card.inner_text()
    assert await card.locator("code").first.inner_text() == "batcher retry DIR --failed"


async def test_search_looks_into_prompts_ids_and_messages(look: Look, shop: Path) -> None:
    visit = await look(shop)
    for words, found in (
        ("mossy forest", "12 of 48 rows"),
        ("MUG", "4 of 48 rows"),
        ("mug beach", "1 of 48 rows"),
        ("out of memory", "1 of 48 rows"),
    ):
        await visit.page.fill("#search", words)
        await visit.settle()
        assert await visit.found() == found, words
    await visit.page.fill("#search", "no such thing")
    await visit.settle()
    assert await visit.page.inner_text("#empty") == "No row is like that."
    await visit.page.click("#clear")
    await visit.settle()
    assert await visit.found() == "48 rows"


async def test_filters_by_model_and_any_field(look: Look, shop: Path) -> None:
    visit = await look(shop)
    assert len(await visit.page.locator("#model option").all_inner_texts()) == 2
    await visit.page.select_option("#model", index=1)
    assert await visit.found() == "48 of 48 rows"
    await visit.page.select_option("#field", "background (axis)")
    assert "beach" in await visit.page.locator("#values option").evaluate_all("each => each.map((option) => option.value)")
    await visit.page.fill("#value", "kitchen")
    await visit.settle()
    assert await visit.found() == "12 of 48 rows"
    await visit.page.locator("#grid .open").first.click()
    await visit.page.get_by_role("button", name="Only rows with this image").click()
    await visit.settle()
    assert await visit.staged() == ""
    assert await visit.found() == "4 of 48 rows"


async def test_sorts_by_id_cost_and_time(look: Look, shop: Path) -> None:
    visit = await look(shop)
    await visit.page.select_option("#sort", "id")
    assert (await visit.names())[:2] == sorted(rows_of(shop))[:2]
    await visit.page.click("#order")
    await visit.settle()
    assert (await visit.names())[0] == max(rows_of(shop))
    times = {row["id"]: sum(value or 0 for value in row["timings"].values()) for row in results(shop) if any(row["timings"].values())}
    await visit.page.select_option("#sort", "time")
    assert times[(await visit.names())[0]] == max(times.values())
    await visit.page.click("#order")
    await visit.page.select_option("#sort", "cost")
    assert (await visit.names())[0] in rows_of(shop, State.FAILED)
    await visit.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await visit.settle()
    assert (await visit.names())[-1] == rows_of(shop, State.IN_DOUBT)[0], "what is not known comes last"


async def test_the_slider_shows_before_and_after(look: Look, shop: Path) -> None:
    visit = await look(shop, "#row=mug-beach")
    box = visit.page.locator(".compare")
    await visit.page.wait_for_function("() => [...document.querySelectorAll('.compare img')].every((img) => img.naturalWidth)")
    place = await box.bounding_box()
    assert place is not None

    async def share() -> float:
        return float(await box.evaluate("box => parseFloat(getComputedStyle(box).getPropertyValue('--at'))"))

    assert await share() == 50
    await visit.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + 50)
    await visit.page.mouse.down()
    await visit.page.mouse.move(place["x"] + place["width"] / 4, place["y"] + 50, steps=3)
    await visit.page.mouse.up()
    assert 15 < await share() < 35
    assert "inset" in await visit.page.locator(".before").evaluate("img => getComputedStyle(img).clipPath")
    await visit.press("Space")
    assert await share() == 100
    await visit.press("Space")
    assert await share() == 0
    await visit.page.locator(".compare input").focus()
    await visit.press("ArrowRight")
    assert 0 < await share() < 2
    assert await visit.staged() == "mug-beach", "the arrows belong to the slider while it has the focus"


async def test_a_video_plays(look: Look, film: Path) -> None:
    visit = await look(film, reduced_motion="no-preference")
    await visit.page.locator(".card").hover()
    await visit.page.wait_for_function("() => document.querySelector('.card video').currentTime > 0")
    await visit.page.locator(".open").click()
    await visit.page.wait_for_function("() => document.querySelector('#picture video').currentTime > 0")
    await visit.page.locator("#stage-name").focus()
    await visit.press("Space")
    assert await visit.page.locator("#picture video").evaluate("film => film.paused")
    assert "Seed\n3" in await visit.page.inner_text("#facts")


async def test_a_review_by_keys_alone_outlasts_a_reload_and_is_saved(look: Look, shop: Path, tmp_path: Path) -> None:
    visit = await look(shop, accept_downloads=True)
    first, second, third, fourth = rows_of(shop)[:4]
    await visit.press("ArrowRight", "1", "2", "r")
    await visit.page.keyboard.type('=HYPERLINK("http://x"), less rain')
    await visit.press("Enter")
    await visit.page.wait_for_function("() => document.getElementById('save').textContent === 'Save review (3)'")
    assert await visit.page.locator(".chosen .name").inner_text() == fourth
    await visit.press("1", "ArrowLeft", "0")  # and taken away again
    await visit.reload()
    assert await visit.page.inner_text("#save") == "Save review (3)"
    await visit.page.select_option("#review", "reject")
    assert await visit.names() == [second]
    async with visit.page.expect_download() as downloading:
        await visit.page.click("#save")
    saved = tmp_path / "review.csv"
    await (await downloading.value).save_as(saved)
    table = list(csv.DictReader(io.StringIO(saved.read_text("utf-8-sig"))))
    assert [(line["id"], line["mark"]) for line in table] == [(first, "accept"), (second, "reject"), (third, "redo")]
    assert table[2]["note"] == '\'=HYPERLINK("http://x"), less rain', "no spreadsheet calculates it"
    row = results(shop)[0]
    assert (table[0]["sha256"], table[0]["request_id"]) == (row["files"][0]["sha256"], row["request_id"])


async def test_the_marks_of_the_ledger_are_there_and_the_newer_one_holds(look: Look, shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(shop, folder, ignore=shutil.ignore_patterns(".simulator"))
    first, second, third = [row["id"] for row in results(folder) if row["state"] == "done"][:3]
    await review(folder, marks_by_hand({Verdict.ACCEPTED: [first], Verdict.REJECTED: [second], Verdict.REDO: [third]}, "less rain"))
    with LedgerReader(folder / "ledger.db") as reader:
        write_gallery(folder, write_report(folder, reader, time.time()))
    visit = await look(folder, accept_downloads=True)
    assert await visit.page.inner_text("#save") == "Save review (3)"
    await visit.page.select_option("#review", "redo")
    assert await visit.names() == [third]
    await visit.press("ArrowRight", "0")  # taken away, by whoever looks now
    await visit.page.select_option("#review", "reject")
    await visit.press("ArrowRight", "1")
    await visit.reload()
    await visit.page.select_option("#review", "accept")
    assert await visit.names() == [first, second]
    async with visit.page.expect_download() as downloading:
        await visit.page.click("#save")
    saved = tmp_path / "review.csv"
    await (await downloading.value).save_as(saved)
    reviewed = await review(folder, open_marks(saved))
    assert (reviewed.unchanged, dict(reviewed.marked), reviewed.cleared) == (1, {Verdict.ACCEPTED: 1}, 1)


async def test_a_mark_is_of_the_very_result_that_was_looked_at(look: Look, shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(shop, folder, ignore=shutil.ignore_patterns("*.db*", ".simulator"))
    visit = await look(folder)
    await visit.press("ArrowRight", "1")
    digest = results(folder)[0]["files"][0]["sha256"]
    for chunk in (folder / "report" / "rows").iterdir():
        chunk.write_text(chunk.read_text("utf-8").replace(digest, "0" * 64), "utf-8")
    await visit.reload()
    assert await visit.page.inner_text("#save") == "Save review"
    await visit.page.locator(".open").first.click()
    assert "An earlier result of this row was accepted." in await visit.page.inner_text("#facts")


async def test_a_link_leads_to_a_row_and_back(look: Look, shop: Path) -> None:
    visit = await look(shop, "#row=vase-forest")
    assert await visit.staged() == "vase-forest"
    await visit.reload()
    assert await visit.staged() == "vase-forest"
    await visit.press("Escape")
    assert await visit.staged() == ""
    assert "#" not in visit.page.url
    first, second, *_ = await visit.names()
    await visit.page.locator("#grid .open").first.click()
    assert visit.page.url.endswith(f"#row={first}")
    await visit.press("ArrowRight")
    assert visit.page.url.endswith(f"#row={second}")
    await visit.page.go_back()
    await visit.settle()
    assert await visit.staged() == ""
    await visit.page.evaluate("location.hash = '#row=nobody'")
    await visit.page.wait_for_selector("#notice:not([hidden])")
    assert await visit.page.inner_text("#notice") == "There is no row nobody in this batch."


async def test_keys_alone_are_enough(look: Look, shop: Path) -> None:
    visit = await look(shop)
    await visit.press("/")
    assert await visit.page.evaluate("document.activeElement.id") == "search"
    await visit.page.keyboard.type("beach")
    for _ in range(12):  # past the lists, to the cards
        await visit.press("Tab")
        if await visit.page.evaluate("document.activeElement.className") == "open":
            break
    await visit.press("ArrowRight", "Enter")
    second = [name for name in rows_of(shop) if name.endswith("-beach")][1]
    assert await visit.staged() == second
    await visit.press("1")
    assert await visit.staged() != second
    await visit.press("Escape")
    assert await visit.page.evaluate("document.activeElement.className") == "open", "the focus is back where it was"
    await visit.press("?")
    assert await visit.page.locator("#keys[open]").count() == 1
    await visit.press("Escape")
    assert await visit.page.locator("#keys[open]").count() == 0


async def test_the_contact_sheet_sets_pictures_against_backgrounds(look: Look, shop: Path) -> None:
    visit = await look(shop)
    await visit.page.click("[data-view=sheet]")
    await visit.settle()
    assert (await visit.page.locator("[role=columnheader]").all_inner_texts())[1:] == ["night street", "beach", "forest", "kitchen"]
    assert (await visit.page.locator("[role=rowheader]").all_inner_texts())[0] == "backpack"
    assert await visit.page.locator("[role=grid]").get_attribute("aria-rowcount") == "13"
    assert await visit.page.locator("[role=gridcell]").count() < 48, "only what is in view"
    await visit.page.locator(".cell").first.focus()
    await visit.press("ArrowRight", "ArrowDown", "1")
    assert await visit.page.locator(".cell.accept").get_attribute("aria-label") == "bottle-beach, Done, accepted"
    await visit.press("Enter")
    assert await visit.staged() in ("bottle-beach", "bottle-forest")
    await visit.press("Escape")
    await visit.page.select_option("#columns", "state")
    await visit.settle()
    assert set((await visit.page.locator("[role=columnheader]").all_inner_texts())[1:]) == {"Done", "Failed", "In doubt"}


async def test_the_summary_counts_and_leads_to_rows(look: Look, shop: Path) -> None:
    visit = await look(shop)
    await visit.page.click("[data-view=summary]")
    await visit.settle()
    told = await visit.page.inner_text("#summary")
    for words in (
        "2 × The generation failed",
        "1 × Nobody knows whether it was made",
        "out of memory on the worker",
        "Slowest rows",
        "95 % within",
        "$3.60",
    ):
        assert words in told, words
    assert await visit.page.locator("#summary svg").count() == 2
    await visit.page.locator(".kind a").first.click()
    await visit.page.wait_for_selector("#stage[open]")
    assert await visit.staged() in rows_of(shop, State.FAILED)


async def test_light_and_dark(look: Look, shop: Path) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = await (await look(shop, color_scheme="light")).page.evaluate(ground)
    visit = await look(shop, color_scheme="dark")
    dark = await visit.page.evaluate(ground)
    assert light != dark
    await visit.page.click("#theme")
    assert await visit.page.evaluate(ground) == light
    await visit.reload()
    assert await visit.page.evaluate(ground) == light
    await visit.page.click("#theme")
    assert await visit.page.evaluate(ground) == dark


async def test_without_small_pictures_the_full_ones_are_shown_and_lost_ones_are_told(look: Look, shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(shop, folder, ignore=shutil.ignore_patterns("*.db*", ".simulator"))
    shutil.rmtree(folder / "report" / "thumbnails")
    (folder / results(folder)[0]["files"][0]["path"]).unlink()
    visit = await look(folder)
    await visit.page.wait_for_function("() => document.querySelector('.card .went')")
    assert "Its file is missing" in await visit.page.locator(".card").first.inner_text()
    await visit.page.wait_for_function("() => document.querySelectorAll('.card')[1].querySelector('.view img:not([hidden])')?.naturalWidth")
    shutil.rmtree(folder / "report")
    await visit.page.reload()
    await visit.page.wait_for_selector("#notice:not([hidden])")
    assert "batcher report DIR writes it again" in await visit.page.inner_text("#notice")


async def test_rows_that_come_later_are_shown_where_they_belong(look: Look, shop: Path) -> None:
    """What a server that follows a run does: it hands over rows, the account and marks as they change."""
    visit = await look(shop)
    row = results(shop)[0]
    marked: list[object] = []
    await visit.page.expose_function("marked", lambda mark: marked.append(mark))
    await visit.page.evaluate("document.addEventListener('batcher:review', (event) => marked(event.detail))")
    changed = {**row, "state": "failed", "files": [], "failure": {"kind": "stalled", "message": "it hangs", "remedy": ""}}
    added = {**row, "id": "late", "row": 49}
    account = json.loads((shop / "report.json").read_text("utf-8"))
    account["counts"]["failed"] = 3
    await visit.page.evaluate("([rows, report, reviews]) => batcher.receive({ rows, report, reviews })", [[changed, added], account, {"late": None}])
    await visit.settle()
    assert await visit.found() == "49 rows"
    assert "it hangs" in await visit.page.locator(".card").first.inner_text()
    assert "Failed3" in (await visit.page.text_content("#states") or "")
    await visit.press("ArrowRight", "1")
    assert [(mark["id"], mark["mark"]) for mark in marked if isinstance(mark, dict)] == [(row["id"], "accept")]


async def axe(visit: Visit) -> list[str]:
    """What axe-core finds that is serious or worse. Given to the browser by its debugger, since the page lets no script in."""
    from importlib.resources import files

    await visit.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = await visit.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    assert found["passes"] or found["inapplicable"]
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}" for each in serious for node in each["nodes"]]


async def test_nothing_keeps_people_out_in_the_dark(look: Look, shop: Path) -> None:
    visit = await look(shop, "#row=candle-night_street", color_scheme="dark")
    assert await axe(visit) == []
    await visit.press("Escape", "ArrowRight", "1", "2")
    assert await axe(visit) == []


async def test_nothing_keeps_people_out(look: Look, shop: Path) -> None:
    visit = await look(shop, color_scheme="light")
    await visit.press("ArrowRight", "1", "2")
    assert await axe(visit) == []
    await visit.page.click("[data-view=sheet]")
    await visit.settle()
    assert await axe(visit) == []
    await visit.page.click("[data-view=summary]")
    await visit.settle()
    assert await axe(visit) == []
    await visit.page.locator(".kind a").first.click()
    await visit.page.wait_for_selector("#stage[open]")
    assert await axe(visit) == []
    await visit.press("Escape")
    await visit.page.click("[data-view=cards]")
    await visit.page.locator("#grid .open").first.click()
    await visit.page.wait_for_selector(".compare")
    assert await axe(visit) == []
    await visit.press("r")
    assert await axe(visit) == []
