from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.support.command import SAMPLES, report, results
from tests.support.preloaded import batcher

pytestmark = pytest.mark.acceptance


def test_quickstart_makes_the_asked_pictures_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("run", SAMPLES / "quickstart.yaml", "--simulate", "--speed", 60, "--seed", 1, "--out", out)
    first = batcher(*command, home=tmp_path)
    assert first.returncode == 0, first.stderr
    rows, account = results(out), report(out)
    assert len(rows) == account["rows"] == sum(account["counts"].values()) >= 12
    assert account["counts"]["done"] == account["rows"]
    assert account["cost_usd"] == pytest.approx(0.08 * account["rows"])
    for row in rows:
        [file] = row["files"]
        data = (out / file["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert len(data) == file["size_bytes"]
        with Image.open(out / file["path"]) as picture:
            picture.load()
            assert picture.size == (file["width"], file["height"])
    assert scenes_differ(out, rows)

    stamps = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    second = batcher(*command, home=tmp_path)
    assert second.returncode == 0, second.stderr
    assert f"{account['rows']} as they were" in second.stderr
    assert report(out)["requests"] == account["requests"]
    assert {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()} == stamps


def scenes_differ(out: Path, rows: list[dict[str, object]]) -> bool:
    """Pictures of one scene have about the same top rows, pictures of two scenes do not, and neither has the photo's plain backdrop."""
    tops: dict[str, list[Image.Image]] = {}
    for row in rows:
        with Image.open(out / row["files"][0]["path"]) as picture:  # type: ignore[index]
            [label] = row["axes"].values()  # type: ignore[attr-defined]
            tops.setdefault(label, []).append(picture.convert("RGB").resize((64, 64)).crop((0, 0, 64, 10)))
    (one, other, *_), (third, *_) = tops.values()
    alike, apart = (ImageStat.Stat(ImageChops.difference(one, each)).mean for each in (other, third))
    spread = ImageStat.Stat(one).stddev
    return sum(apart) > 2 * sum(alike) and sum(spread) > 15


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (("products.csv", "--job", "background_replacement"), 8),
        (("night_street.yaml",), 1),
        (("dataset_nightly.yaml",), 24),
        (("image_to_video.yaml",), 3),
    ],
    ids=["csv", "documented", "dataset", "video"],
)
def test_every_sample_runs(tmp_path: Path, arguments: tuple[str, ...], rows: int) -> None:
    name, *flags = arguments
    out = tmp_path / "out"
    ran = batcher("run", SAMPLES / name, *flags, "--simulate", "--speed", 500, "--out", out, "--quiet", home=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ran.stderr == ""
    assert report(out)["counts"]["done"] == rows
    kind = "video/webm" if "video" in name else "image/"
    assert all(file["media_type"].startswith(kind) for row in results(out) for file in row["files"])


def test_rows_on_standard_input(tmp_path: Path) -> None:
    rows = '{"id": "a", "prompt": "a red boat"}\n{"id": "b", "prompt": "a blue house"}\n'
    flags = ("--job", "text_to_image", "--simulate", "--speed", 500, "--art", "plain", "--out", tmp_path / "out")
    ran = batcher("run", "-", *flags, home=tmp_path, stdin=rows)
    assert ran.returncode == 0, ran.stderr
    assert {row["id"] for row in results(tmp_path / "out")} == {"a", "b"}


def test_an_edited_row_is_run_again_alone_and_its_earlier_picture_is_kept(tmp_path: Path) -> None:
    manifest, out = tmp_path / "rows.jsonl", tmp_path / "out"
    flags = ("--job", "text_to_image", "--simulate", "--latency-s", 0, "--art", "plain", "--out", out)
    manifest.write_text("".join(f'{{"id": "r{n}", "prompt": "thing {n}"}}\n' for n in range(5)), "utf-8")
    assert batcher("run", manifest, *flags, home=tmp_path).returncode == 0
    before = {row["id"]: row["files"][0]["sha256"] for row in results(out)}
    manifest.write_text(manifest.read_text("utf-8").replace("thing 3", "another thing"), "utf-8")
    planned = batcher("plan", manifest, "--job", "text_to_image", "--out", out, home=tmp_path)
    assert "1 changed" in planned.stdout
    assert "4 as they were" in planned.stdout
    assert batcher("run", manifest, *flags, home=tmp_path).returncode == 0
    after = {row["id"]: row["files"][0]["sha256"] for row in results(out)}
    assert {name for name in before if before[name] != after[name]} == {"r3"}
    assert report(out)["requests"]["submits"] == 6
    [kept] = (out / "results" / "earlier").iterdir()
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == before["r3"]
