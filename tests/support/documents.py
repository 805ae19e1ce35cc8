"""Doing what a page of the documentation says, block by block."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, Service, environment

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w-]+\.(?:yaml|csv|jsonl))\n")
EXITS_WITH = re.compile(r"# exits with (\d+)$")
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)]


class Reader:
    """Somebody who follows a page in a folder of their own, with a service that answers, if there is one; `paths` are looked at first by Python."""

    def __init__(self, folder: Path, service: Service | None = None, *paths: Path) -> None:
        self.folder = folder
        self.env = environment(folder, PYTHONPATH=os.pathsep.join(map(str, [*paths, REPOSITORY])), **(service.env if service else {}))
        self.env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), self.env["PATH"]])

    def follow(self, block: Block) -> None:
        match block.language:
            case "sh":
                for command in block.text.splitlines():
                    self.type(command)
            case "yaml":
                self.save(block)
            case "python":
                self.run([sys.executable, "-c", block.text])
            case "text":
                self.look_at(block.text)
            case other:
                pytest.fail(f"line {block.line}: nobody knows how to follow a block of {other or 'no language'}")

    def save(self, block: Block) -> Path:
        """Keep a block as the file that its first line names."""
        name = FILE_NAME.match(block.text)
        assert name is not None, f"the block in line {block.line} does not begin with its file's name"
        path = self.folder / name[1]
        path.write_text(block.text, "utf-8")
        return path

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
        is_line = isinstance(command, str)
        done = subprocess.run(command, shell=is_line, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=PATIENCE_S)
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
