"""Every block of code in the README is run, in the order in which a reader meets it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from batcher.cli.commands import app
from tests.support.command import REPOSITORY, SAMPLES, report
from tests.support.documents import Reader, blocks
from tests.support.preloaded import service

pytestmark = pytest.mark.acceptance

README = REPOSITORY / "README.md"


def test_every_block_runs_as_it_stands(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "sample_manifests")
    with service(tmp_path, "--speed", 100, "--art", "plain") as running:
        reader = Reader(tmp_path, running)
        for block in blocks(README):
            if block.language == "yaml":
                reader.run(["batcher", "plan", str(reader.save(block))])
            else:
                reader.follow(block)
        assert running.bill()["accepted"] == 1
    counts = {path.parent.name: report(path.parent)["counts"] for path in tmp_path.glob("out/*/report.json")}
    done = {"quickstart": 24, "night_street": 1, "mugs": 2, "products": 8, "doubt": 2, "python": 2}
    assert {name: each["done"] for name, each in counts.items()} == done
    assert sum(sum(each.values()) for each in counts.values()) == sum(done.values())


def test_the_blocks_are_of_every_kind_that_is_promised() -> None:
    languages = [block.language for block in blocks(README)]
    assert {"sh", "yaml", "python"} <= set(languages)
    assert len(languages) >= 12
    assert README.read_text("utf-8").count("```") == 2 * len(languages)


def test_the_first_screen_has_one_sentence_a_picture_and_two_commands() -> None:
    text = README.read_text("utf-8")
    title, sentence, picture, *_ = (part for part in text.split("\n\n") if part.strip())
    assert title == "# batcher"
    assert sentence.count(".") == 1
    assert picture.startswith("![")
    assert [line.split()[0] for line in blocks(README)[0].text.splitlines()] == ["scripts/demo", "scripts/test"]
    assert len(text.splitlines()) < 240


def test_the_picture_is_of_a_size_for_a_first_screen() -> None:
    path = REPOSITORY / "docs" / "images" / "before-after.jpg"
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        picture.load()
        assert picture.width == 1200
        assert picture.height < 700


def test_every_command_is_in_the_table() -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `batcher (\w+)", README.read_text("utf-8"), re.MULTILINE)) == commands
