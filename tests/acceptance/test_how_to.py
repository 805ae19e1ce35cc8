"""The pages of docs/how-to are followed as they stand, and so are the examples of other pages."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import REPOSITORY, SAMPLES, report
from tests.support.documents import Block, Reader, blocks
from tests.support.preloaded import service

pytestmark = pytest.mark.acceptance

HOW_TO = REPOSITORY / "docs" / "how-to"


def follow(page: Path, folder: Path) -> None:
    shutil.copytree(SAMPLES, folder / "sample_manifests")
    with service(folder, "--speed", 100, "--art", "plain") as running:
        reader = Reader(folder, running)
        for block in blocks(page):
            reader.follow(block)


def counts(folder: Path) -> dict[str, dict[str, int]]:
    return {path.parent.name: {state: n for state, n in report(path.parent)["counts"].items() if n} for path in folder.glob("out/*/report.json")}


def test_background_replacement(tmp_path: Path) -> None:
    follow(HOW_TO / "background-replacement.md", tmp_path)
    assert counts(tmp_path) == {"trial": {"done": 24}, "shop": {"done": 24}, "products": {"done": 8}}
    assert (tmp_path / "out" / "shop" / "results" / "mug-kitchen.png").is_file()


def test_dataset(tmp_path: Path) -> None:
    follow(HOW_TO / "dataset.md", tmp_path)
    assert counts(tmp_path) == {"animals": {"done": 8}}
    [caption] = (tmp_path / "out" / "animals" / "results" / "photo").glob("fox-photo-in-a-forest.txt")
    assert caption.read_text("utf-8") == "a red fox in a forest, natural light photograph"


def test_resume_and_retry(tmp_path: Path) -> None:
    follow(HOW_TO / "resume-and-retry.md", tmp_path)
    assert counts(tmp_path) == {"shop": {"done": 8}, "failed": {"done": 8}, "doubt": {"done": 8}}


def test_watch(tmp_path: Path) -> None:
    follow(HOW_TO / "watch.md", tmp_path)
    assert counts(tmp_path) == {"watched": {"done": 8}}


@pytest.mark.fault("X9")
def test_verify(tmp_path: Path) -> None:
    follow(HOW_TO / "verify.md", tmp_path)
    assert counts(tmp_path) == {"checked": {"done": 8}}
    assert len((tmp_path / "salvaged.jsonl").read_text("utf-8").splitlines()) == 8
    assert (tmp_path / "out" / "checked" / "results" / "mug-breakfast.png").is_file()


def test_review(tmp_path: Path) -> None:
    follow(HOW_TO / "review.md", tmp_path)
    assert counts(tmp_path) == {"judged": {"done": 8}, "monday": {"done": 8}, "tuesday": {"done": 8}}
    earlier = {path.name.partition(".")[0] for path in (tmp_path / "out" / "judged" / "results" / "earlier").iterdir()}
    assert earlier == {"bottle-bathroom", "lamp-desk"}
    assert [path.name for path in (tmp_path / "out" / "approved").glob("*.png")] == ["mug-breakfast.png"]


def test_gallery(tmp_path: Path) -> None:
    follow(HOW_TO / "gallery.md", tmp_path)
    assert counts(tmp_path) == {"looked_at": {"done": 8}}
    assert (tmp_path / "out" / "looked_at" / "report.html").is_file()
    assert len((tmp_path / "rows.csv").read_text("utf-8-sig").splitlines()) == 9


def test_live_page(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "sample_manifests")
    with service(tmp_path, "--speed", 100, "--art", "plain") as running:
        reader = Reader(tmp_path, running)
        reader.env["BROWSER"] = "true"
        for block in blocks(HOW_TO / "live-page.md"):
            _, serve, arguments = block.text.strip().partition("batcher serve ")
            if serve:
                first = show(reader, arguments.replace("/path/to/out", "out/live"))
                assert first.startswith("http://")
                assert ("#token=" in first) == ("--host" in arguments)
            else:
                reader.follow(block)
    assert counts(tmp_path) == {"live": {"done": 8}}


def show(reader: Reader, arguments: str) -> str:
    """The first line of what `batcher serve` says."""
    command = [sys.executable, "-m", "batcher", "serve", *arguments.split()]
    with subprocess.Popen(command, cwd=reader.folder, env=reader.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    return first


def test_simulator(tmp_path: Path) -> None:
    follow(HOW_TO / "simulator.md", tmp_path)
    assert counts(tmp_path) == {"drawn": {"done": 8}, "faults": {"done": 8}, "settings": {"done": 8}, "tested": {"done": 5}}


def test_write_a_job(tmp_path: Path) -> None:
    page = blocks(HOW_TO / "write-a-job.md")
    module, project = (next(block for block in page if block.language == language) for language in ("python", "toml"))
    site = install(tmp_path / "site", module, project)
    shutil.copytree(SAMPLES, tmp_path / "sample_manifests")
    with service(tmp_path) as running:
        reader = Reader(tmp_path, running, site)
        for block in page:
            if block not in (module, project):
                reader.follow(block)
    assert counts(tmp_path) == {"banners": {"done": 24}}
    assert "# Puts a product into a scene of a season." in (tmp_path / "starter.yaml").read_text("utf-8")


def test_the_manifests_of_the_reference_are_planned(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "sample_manifests")
    reader = Reader(tmp_path)
    manifests = blocks(REPOSITORY / "docs" / "reference" / "manifest.md")
    assert len(manifests) >= 4
    for block in manifests:
        reader.run(["batcher", "plan", str(reader.save(block))])


def test_the_test_of_the_contributing_page_passes() -> None:
    [block] = blocks(REPOSITORY / "CONTRIBUTING.md")
    names: dict[str, Any] = {}
    exec(block.text, names)
    names["test_every_row_is_done"]()


def install(site: Path, module: Block, project: Block) -> Path:
    """The package as an installer would leave it: the module, and beside it the folder that names its entry points."""
    facts = tomllib.loads(project.text)["project"]
    name = facts["name"].replace("-", "_")
    info = site / f"{name}-{facts['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\n", "utf-8")
    lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()) for group, entries in facts["entry-points"].items()]
    (info / "entry_points.txt").write_text("".join(lines), "utf-8")
    (site / f"{name}.py").write_text(module.text, "utf-8")
    return site
