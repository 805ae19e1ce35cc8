"""What a command imports before it can say anything: nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batcher.ledger import LEDGER
from tests.support.command import environment
from tests.support.engine_world import make_spec
from tests.support.ledgers import Book

LIST_IMPORTS = """
import sys
from batcher.cli.commands import main
try:
    code = main(sys.argv[1:])
finally:
    print("imported:", *sys.modules, file=sys.stderr)
sys.exit(code)
"""
NEVER = {"aiohttp", "yarl", "PIL", "numpy", "yaml", "jinja2", "uvloop", "batcher.app", "batcher.engine", "batcher.report", "batcher.simulator"}


def imported_by(home: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", LIST_IMPORTS, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment(home))
    assert ended.stdout
    return set(ended.stderr.rpartition("imported: ")[2].split())


@pytest.mark.parametrize(
    ("arguments", "also_without"),
    [("--help", {"pydantic"}), ("run --help", set()), ("--version", {"pydantic"})],  # Typer reads the arguments of a command by pydantic
)
def test_help_needs_neither_network_nor_ledger(tmp_path: Path, arguments: str, also_without: set[str]) -> None:
    found = imported_by(tmp_path, *arguments.split())
    assert "typer" in found
    assert found & (NEVER | {"asyncio", "ssl", "sqlite3", "batcher.settings", "batcher.ledger"} | also_without) == set()


async def test_watching_needs_no_network(tmp_path: Path) -> None:
    await Book(tmp_path / LEDGER).ledger.aclose()
    found = imported_by(tmp_path, "watch", str(tmp_path))
    assert "batcher.watch" in found
    assert found & NEVER == set()


async def test_status_needs_the_ledger_and_no_more(tmp_path: Path) -> None:
    book = Book(tmp_path / LEDGER)
    await book.plan(make_spec("a"))
    await book.ledger.aclose()
    found = imported_by(tmp_path, "status", str(tmp_path))
    assert "batcher.ledger" in found
    assert found & (NEVER | {"batcher.manifest", "batcher.settings", "batcher.folder"}) == set()
