"""Every dependency is there for a reason, which `docs/why.md` gives, and nothing is imported that is not a dependency."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.fault("X22")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OURS = {"batcher", "jobs"}


def names(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]) for requirement in requirements}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def tabled(heading: str) -> dict[str, str]:
    """The packages of one table of the page, each with what it is there for."""
    section = (ROOT / "docs" / "why.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    return {canonical(package.strip()): reason.strip() for packages, reason in rows for package in packages.split(",")}


@pytest.mark.parametrize(
    ("heading", "declared"),
    [
        ("To run", PROJECT["dependencies"]),
        ("To develop", PROJECT["optional-dependencies"]["dev"]),
        ("To compare with", PROJECT["optional-dependencies"]["bench"]),
    ],
)
def test_the_table_names_each_dependency_and_nothing_else(heading: str, declared: list[str]) -> None:
    table = tabled(heading)
    assert set(table) == names(declared)
    assert all(len(reason.split()) >= 2 for reason in table.values())


def test_every_extra_has_a_table() -> None:
    assert set(PROJECT["optional-dependencies"]) == {"dev", "bench"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_whatever_is_imported_is_a_dependency() -> None:
    sources = [path for package in OURS for path in (ROOT / package).rglob("*.py")]
    foreign = set().union(*map(imported, sources)) - OURS - set(sys.stdlib_module_names)
    assert foreign
    distributions = packages_distributions()
    belonging = {module: {canonical(name) for name in distributions.get(module, ())} for module in foreign}
    declared = names(PROJECT["dependencies"])
    assert {module for module, owners in belonging.items() if not owners & declared} == set()
    used = set().union(*belonging.values())
    assert declared - used == set(), "a dependency that nothing imports"
