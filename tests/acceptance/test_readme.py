"""Every block of code in the README is run, in the order in which a reader meets it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command import REPOSITORY, SAMPLES, Service, environment, report, service

pytestmark = pytest.mark.acceptance

README = REPOSITORY / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w-]+\.(?:yaml|csv|jsonl))\n")
EXITS_WITH = re.compile(r"# exits with (\d+)$")
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks() -> list[Block]:
    text = README.read_text("utf-8")
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)]


class Reader:
    """Somebody who does what the README says, in an empty folder with the samples in it and a service that answers."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder = folder
        self.env = environment(folder, PYTHONPATH=str(REPOSITORY), **service.env)
        self.env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), self.env["PATH"]])

    def follow(self, block: Block) -> None:
        match block.language:
            case "sh":
                for command in block.text.splitlines():
                    self.type(command)
            case "yaml":
                name = FILE_NAME.match(block.text)
                assert name is not None, f"the YAML in line {block.line} does not begin with its file's name"
                (self.folder / name[1]).write_text(block.text, "utf-8")
                self.run(["batcher", "plan", name[1]])
            case "python":
                self.run([sys.executable, "-c", block.text])
            case "text":
                self.look_at(block.text)
            case other:
                pytest.fail(f"line {block.line}: nobody knows how to run a block of {other or 'no language'}")

    def type(self, command: str) -> None:
        first, *rest = command.split()
        if first == "export":
            name, _, value = rest[0].partition("=")
            self.env[name] = value
        elif first.startswith("scripts/"):
            check_script(REPOSITORY / first)
        elif first == "pip":
            assert rest == ["install", "."]
            assert (REPOSITORY / "pyproject.toml").is_file()
        else:
            said = EXITS_WITH.search(command)
            self.run(command, exit_code=int(said[1]) if said else 0)

    def run(self, command: str | list[str], exit_code: int = 0) -> None:
        done = subprocess.run(
            command, shell=isinstance(command, str), cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == exit_code, f"{command}\n{done.stdout}\n{done.stderr}"

    def look_at(self, listing: str) -> None:
        """The first line of a listing is a folder, each other one begins with the path of a file in it."""
        folder, *lines = listing.splitlines()
        for line in lines:
            assert (self.folder / folder / line.split()[0]).is_file(), f"{folder} has no {line.split()[0]}"


def check_script(path: Path) -> None:
    assert path.is_file()
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    shutil.copytree(SAMPLES, tmp_path / "sample_manifests")
    with service(tmp_path, "--speed", 100, "--art", "plain") as running:
        yield Reader(tmp_path, running)


def test_every_block_runs_as_it_stands(reader: Reader) -> None:
    for block in blocks():
        reader.follow(block)
    accounts: Mapping[str, dict[str, int]] = {path.parent.name: report(path.parent)["counts"] for path in reader.folder.glob("out/*/report.json")}
    assert {name: counts["done"] for name, counts in accounts.items()} == {
        "quickstart": 24, "night_street": 1, "mugs": 2, "products": 8, "doubt": 2, "python": 2,
    }  # fmt: skip


def test_the_blocks_are_of_every_kind_that_is_promised() -> None:
    languages = [block.language for block in blocks()]
    assert {"sh", "yaml", "python"} <= set(languages)
    assert len(languages) >= 12
    assert README.read_text("utf-8").count("```") == 2 * len(languages)


def test_the_first_screen_has_one_sentence_a_picture_and_two_commands() -> None:
    text = README.read_text("utf-8")
    title, sentence, picture, *_ = (part for part in text.split("\n\n") if part.strip())
    assert title == "# batcher"
    assert sentence.count(".") == 1
    assert picture.startswith("![")
    assert [line.split()[0] for line in blocks()[0].text.splitlines()] == ["scripts/demo", "scripts/test"]
    assert len(text.splitlines()) < 220


def test_the_picture_is_of_a_size_for_a_first_screen() -> None:
    path = REPOSITORY / "docs" / "images" / "before-after.jpg"
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        picture.load()
        assert picture.width == 1200
        assert picture.height < 700


def test_every_command_is_in_the_table() -> None:
    from typer.main import get_command

    from batcher.cli import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `batcher (\w+)", README.read_text("utf-8"), re.MULTILINE)) == commands
