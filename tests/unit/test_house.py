from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import batcher
import jobs

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("batcher", "jobs") for path in (ROOT / package).rglob("*.py"))
MODULE_LINES = 400
TASKS_BY_HAND = {
    "batcher/batch.py": "an async generator must not yield from within a task group; it waits for its one task itself",
    "batcher/cli/running.py": "the outermost task of the process, for a signal to cancel",
    "batcher/live/server.py": "looks at the ledger beside a run, which must not end where looking fails",
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "tools"}
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


def modules() -> Iterator[ModuleType]:
    for package in (batcher, jobs):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_what_a_module_offers_is_there_and_said_once() -> None:
    offering = [module for module in modules() if hasattr(module, "__all__")]
    assert len(offering) >= 6
    for module in offering:
        assert len(set(module.__all__)) == len(module.__all__), module.__name__
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert not missing, f"{module.__name__} offers {missing}"


def test_a_name_that_the_package_does_not_have() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Batches'"):
        batcher.Batches  # noqa: B018
    assert batcher.Batch.__name__ == "Batch"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_short(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= MODULE_LINES, f"{name_of(path)} has {length} lines"


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [name_of(path) for path in SOURCES if VAGUE_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)]
    assert not vague


def test_every_module_says_what_it_is_for_and_takes_no_annotation_at_its_word() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if not text.strip():
            continue
        tree = ast.parse(text)
        assert ast.get_docstring(tree), name_of(path)
        defines = any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in tree.body)
        assert not defines or "from __future__ import annotations" in text, name_of(path)


def test_sql_lives_in_sql_files() -> None:
    for path in (ROOT / "batcher" / "ledger").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.match(r"\s*(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER)\s", node.value)
                assert not found, f"{name_of(path)}:{node.lineno}"


def test_no_state_is_kept_in_a_module_where_it_could_change() -> None:
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            value = getattr(node, "value", None)
            targets = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                targets = [node.target.id]
            if isinstance(value, MUTABLE):
                assert all(target.isupper() or target.startswith("_") or target == "__all__" for target in targets), f"{name_of(path)}:{node.lineno}"


def test_every_task_is_born_in_a_group() -> None:
    for path in SOURCES:
        if name_of(path) in TASKS_BY_HAND:
            continue
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"asyncio\.(?:create_task|ensure_future)\(|loop\.create_task\(", text)
        assert not found, f"{name_of(path)} starts tasks by hand"


def test_migrations_are_numbered_once() -> None:
    numbers = [path.name[:4] for path in (ROOT / "batcher" / "ledger" / "sql").glob("[0-9]*.sql")]
    assert len(numbers) == len(set(numbers)) > 0
