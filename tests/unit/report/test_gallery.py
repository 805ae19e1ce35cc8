"""Writing the gallery: what is in its folder, and that nothing about it can harm a batch."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from batcher.errors import OutputError
from batcher.report.gallery import Gallery, Thumbnails, render_page, write_gallery, writing
from batcher.report.models import Counts, Report, Requests, Throughput

HOSTILE = "</script><script>'\\u2028\\'\" {{ 7 }} <!-- \N{SNOWMAN}"


def account(rows: int = 1, **changes: object) -> Report:
    facts: dict[str, object] = {
        "name": "shop", "service": "simulator", "rows": rows, "counts": Counts(done=rows, failed=0, cancelled=0, in_doubt=0, open=0),
        "started_at": "2027-01-15T08:00:00Z", "finished_at": "2027-01-15T08:01:00Z", "runs": 1, "cost_usd": 0.08, "cost_unknown_rows": 0,
        "throughput": Throughput(rows_per_s=1.0, run_s=1.0), "files_missing": 0, "same_files": [], "timings": {}, "failures": [],
        "requests": Requests(), "concurrency": [], "exit_reason": None,
    }  # fmt: skip
    return Report.model_validate({**facts, **changes})


def row(name: str = "a", files: list[dict[str, object]] | None = None, inputs: list[dict[str, object]] | None = None) -> dict[str, object]:
    return {"id": name, "body": {"prompt": HOSTILE, "__proto__": {"x": 1}}, "files": files or [], "input_files": inputs or []}


def save_rows(folder: Path, *rows: dict[str, object]) -> None:
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")


def picture(path: Path, size: tuple[int, int] = (1600, 900), mode: str = "RGB", **options: object) -> dict[str, object]:
    """A picture, and what a report says of it."""
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, (0, 90, 90, 128)[: len(mode)] if len(mode) > 1 else 1).save(path, **options)  # type: ignore[arg-type]
    data = path.read_bytes()
    kind = {".jpg": "image/jpeg", ".png": "image/png", ".tiff": "image/tiff"}[path.suffix]
    return {"path": str(path), "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "media_type": kind}


def result(folder: Path, name: str = "a.jpg", **options: object) -> dict[str, object]:
    made = picture(folder / "results" / name, **options)  # type: ignore[arg-type]
    return {**made, "path": f"results/{name}"}


def chunks(folder: Path) -> list[list[dict[str, object]]]:
    """The rows of each script, in the order in which the page names them."""
    head = head_of(folder)
    found = []
    for each in head["chunks"]:
        text = re.fullmatch(r"batcher\.receive\(JSON\.parse\('(.*)'\)\)\n", (folder / each["src"]).read_text("utf-8"), re.DOTALL)
        assert text is not None
        assert "\n" not in text[1]
        rows = json.loads(re.sub(r"\\(['\\])", r"\1", text[1]))["rows"]
        assert len(rows) == each["rows"]
        found.append(rows)
    return found


def head_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    text = re.search(r'<script type="application/json" id="head">(.*?)</script>', (folder / "report.html").read_text("utf-8"), re.DOTALL)
    assert text is not None
    return dict(json.loads(text[1]))


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.fault("G2")
def test_rows_come_through_as_they_are(tmp_path: Path) -> None:
    rows = [row(f"r{n}") for n in range(2500)]
    save_rows(tmp_path, *rows)
    assert write_gallery(tmp_path, account(2500)) == Gallery(tmp_path / "report.html", is_whole=True)
    assert [len(each) for each in chunks(tmp_path)] == [1000, 1000, 500]
    assert [each for chunk in chunks(tmp_path) for each in chunk] == rows


@pytest.mark.fault("G2")
def test_the_page_holds_no_markup_of_others_and_lets_nothing_in() -> None:
    page = render_page({"report": account(name=HOSTILE).model_dump(mode="json"), "thumbnails": "t/", "chunks": [], "part_rows": 9}, nonce="n0nce")
    assert HOSTILE not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert (rules["script-src"], rules["style-src"]) == ("'nonce-n0nce'", "'nonce-n0nce'")
    assert not any("unsafe" in rule or "http" in rule or "*" in rule for rule in rules.values())
    assert "innerHTML" not in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_every_page_has_a_nonce_of_its_own(tmp_path: Path) -> None:
    save_rows(tmp_path, row())
    nonces = set()
    for _ in range(2):
        write_gallery(tmp_path, account())
        nonces |= set(re.findall(r'nonce="([^"]+)"', (tmp_path / "report.html").read_text("utf-8")))
    assert len(nonces) == 2
    assert min(map(len, nonces)) >= 20


def test_written_again_nothing_but_the_page_is_touched(tmp_path: Path) -> None:
    save_rows(tmp_path, row("a", [result(tmp_path)]))
    write_gallery(tmp_path, account())
    before = snapshot(tmp_path)
    assert len(before) == 5
    write_gallery(tmp_path, account())
    after = snapshot(tmp_path)
    assert after.pop("report.html") != before.pop("report.html")
    assert after == before


def test_chunks_of_an_earlier_page_go(tmp_path: Path) -> None:
    save_rows(tmp_path, row("a"))
    write_gallery(tmp_path, account())
    [old] = (tmp_path / "report" / "rows").iterdir()
    save_rows(tmp_path, row("b"))
    write_gallery(tmp_path, account())
    [new] = (tmp_path / "report" / "rows").iterdir()
    assert new.name != old.name


def test_all_of_it_is_for_the_owner_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save_rows(tmp_path, row("a", [result(tmp_path)]))
        write_gallery(tmp_path, account())
    finally:
        os.umask(before)
    ours = [tmp_path / "report.html", tmp_path / "report", *(tmp_path / "report").rglob("*")]
    assert len(ours) == 7
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in ours if path.stat().st_mode & 0o077} == {}


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_stopped_anywhere_the_page_that_was_there_stays_whole(tmp_path: Path, answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHUNK_ROWS", 1)
    save_rows(tmp_path, row("old1"), row("old2"), row("old3"))
    write_gallery(tmp_path, account())
    page = (tmp_path / "report.html").read_bytes()
    save_rows(tmp_path, row("new1"), row("new2"), row("new3"))
    left = iter([True] * answers)
    assert write_gallery(tmp_path, account(), go_on=lambda: next(left, False)).is_whole is False
    assert (tmp_path / "report.html").read_bytes() == page
    assert [each["id"] for chunk in chunks(tmp_path) for each in chunk] == ["old1", "old2", "old3"]


def test_without_time_the_page_is_written_and_says_what_is_left(tmp_path: Path) -> None:
    save_rows(tmp_path, row("a", [result(tmp_path)]))
    assert write_gallery(tmp_path, account(), has_time=lambda: False) == Gallery(tmp_path / "report.html", is_whole=True, thumbnails_left=1)
    assert chunks(tmp_path)
    assert list((tmp_path / "report" / "thumbnails").iterdir()) == []


@pytest.mark.fault("B8")
@pytest.mark.parametrize("name", ["report", "report/rows", "report/thumbnails"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_written_outside(tmp_path: Path, name: str, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    out = tmp_path / "out"
    elsewhere.mkdir()
    (out / name).parent.mkdir(parents=True)
    save_rows(out, row())
    if kind == "link":
        (out / name).symlink_to(elsewhere, target_is_directory=True)
    else:
        (out / name).write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"):
        write_gallery(out, account())
    assert list(elsewhere.iterdir()) == []


@pytest.mark.fault("B1")
def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_rows(tmp_path, row("a", [result(tmp_path)]))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "report"))

    monkeypatch.setattr("batcher.report.gallery.writing.place", full)
    with pytest.raises(OutputError, match="No space left"):
        write_gallery(tmp_path, account())
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "report.html").exists()


# -- small pictures


def make(folder: Path, go_on: Callable[[], bool] = lambda: True) -> Thumbnails:
    place = folder / "report" / "thumbnails"
    place.mkdir(parents=True, exist_ok=True)
    thumbnails = Thumbnails(folder, place)
    thumbnails.make(go_on)
    return thumbnails


def test_small_pictures_are_made_of_results_and_inputs_once(tmp_path: Path) -> None:
    output, sent = result(tmp_path), picture(tmp_path / "in" / "b.png", (2000, 1000))
    save_rows(tmp_path, row("a", [output], [sent]), row("b", [output], [sent]))
    thumbnails = make(tmp_path)
    assert thumbnails.is_there(str(output["sha256"]), False)
    assert not thumbnails.is_there(str(output["sha256"]), True)
    sizes = []
    for is_large in (False, True):
        with Image.open(thumbnails.path(str(sent["sha256"]), is_large=is_large)) as image:
            assert image.format == "WEBP"
            sizes.append(image.size)
    assert sizes == [(512, 256), (1280, 640)]
    before = snapshot(tmp_path)
    assert thumbnails.make(lambda: True) == 0
    assert snapshot(tmp_path) == before


def test_turned_and_transparent_pictures_stay_what_they_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = result(tmp_path, "turned.jpg", size=(800, 400), exif=exif)
    clear = result(tmp_path, "clear.png", size=(100, 50), mode="RGBA")
    grey = result(tmp_path, "grey.png", size=(60, 50), mode="L")
    save_rows(tmp_path, row("a", [turned, clear, grey]))
    thumbnails = make(tmp_path)
    found = []
    for each in (turned, clear, grey):
        with Image.open(thumbnails.path(str(each["sha256"]))) as image:
            found.append((image.size, image.mode))
    assert found == [((256, 512), "RGB"), ((100, 50), "RGBA"), ((60, 50), "RGB")]


def test_what_no_browser_shows_gets_a_large_version(tmp_path: Path) -> None:
    output = result(tmp_path, "a.tiff", size=(300, 200))
    save_rows(tmp_path, row("a", [output]))
    assert make(tmp_path).is_there(str(output["sha256"]), True)


@pytest.mark.fault("E3")
def test_pictures_that_are_gone_changed_hostile_or_broken_have_none(tmp_path: Path) -> None:
    gone, changed, broken = (result(tmp_path, f"{name}.png", size=(9 + n, 9)) for n, name in enumerate(("gone", "changed", "broken")))
    (tmp_path / "results" / "gone.png").unlink()
    (tmp_path / "results" / "changed.png").write_bytes(b"x" * int(str(changed["size_bytes"])))
    cut = (tmp_path / "results" / "broken.png").read_bytes()[:40]
    (tmp_path / "results" / "broken.png").write_bytes(cut)
    broken |= {"sha256": hashlib.sha256(cut).hexdigest(), "size_bytes": len(cut)}
    bomb = result(tmp_path, "bomb.png", size=(9_500, 9_500), mode="1")
    outside = {**picture(tmp_path.parent / "outside" / "o.png", (5, 5)), "path": "results/../../outside/o.png"}
    pipe = tmp_path / "results" / "pipe.png"
    os.mkfifo(pipe)
    waiting = {"path": "results/pipe.png", "sha256": "ab" * 32, "size_bytes": 5, "media_type": "image/png"}
    huge = {"path": "results/huge.png", "sha256": "cd" * 32, "size_bytes": 10**12, "media_type": "image/png"}
    save_rows(tmp_path, row("a", [gone, changed, broken, bomb, outside, waiting, huge]))
    make(tmp_path)
    assert not list((tmp_path / "report").rglob("*.webp"))
    assert not list((tmp_path / "report").rglob("*.part"))


def test_an_empty_one_is_made_again(tmp_path: Path) -> None:
    """What a power cut can leave, since small pictures are not synced."""
    output = result(tmp_path)
    save_rows(tmp_path, row("a", [output]))
    path = make(tmp_path).path(str(output["sha256"]))
    path.write_bytes(b"")
    make(tmp_path)
    assert path.stat().st_size > 0
