"""Which test shows which fault of the scoreboard: read from the marks of the tests, without importing them."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SCOREBOARD = TESTS / "scoreboard.toml"

_IDS = re.compile(r"[A-GX]\d+( [A-GX]\d+)*")


@dataclass(frozen=True)
class Fault:
    """A line of the scoreboard. `elsewhere` says why no test shows it yet; it is empty where tests do."""

    id: str
    what: str
    must: str
    elsewhere: str = ""


@dataclass(frozen=True)
class Group:
    title: str
    faults: tuple[Fault, ...]


def groups() -> dict[str, Group]:
    """The scoreboard by letter, in its order."""
    document = tomllib.loads(SCOREBOARD.read_text("utf-8"))
    return {
        letter: Group(group["title"], tuple(Fault(each, *facts) for each, facts in group["faults"].items())) for letter, group in document.items()
    }


@functools.cache
def shown_by() -> dict[str, list[str]]:
    """The tests that are marked with each id, as `path::name`, or as a path where the whole file or a table in it is marked."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "mark.fault" in text:
            for marked, name in _marks(ast.parse(text)):
                for each in marked:
                    found.setdefault(each, set()).add(f"{path.relative_to(TESTS).as_posix()}{f'::{name}' if name else ''}")
    return {fault: sorted(names) for fault, names in found.items()}


def _marks(tree: ast.Module) -> Iterator[tuple[list[str], str]]:
    """The ids of each mark, and the test that it stands on; no name where it stands on more than one.

    Where a mark is computed, from a table of cases, what it computes from is written as texts in the same file: every text that consists of ids.
    """
    is_computed = False
    for node in tree.body:
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name.lower().startswith("test")
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
                yield [each.value for each in call.args if isinstance(each, ast.Constant)], getattr(node, "name", "") if is_test else ""
                is_computed |= any(not isinstance(each, ast.Constant) for each in call.args)
    if is_computed:
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
        yield [each for text in texts if _IDS.fullmatch(text) for each in text.split()], ""
