"""The tool that plants bugs must plant them, or its score would mean nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from batcher.ledger.statements import migrations, statements

TOOL = Path(__file__).parents[2] / "scripts" / "mutation"
SOURCE = '''
LIMIT = 3

def over(n, floor=0):
    """Whether `n` is over the limit, and how far."""
    if n > LIMIT and not n == 7:
        return max(n - LIMIT, floor)
    return None
'''


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(TOOL))
    return importlib.import_module


def test_every_bug_in_python_is_another_program_and_some_of_them_behave_otherwise(tool: Callable[[str], ModuleType]) -> None:
    mutants = list(tool("python_mutants").python_mutants("over.py", SOURCE, {}))
    assert {mutant.operator for mutant in mutants} == {
        "constant",
        "condition",
        "and/or",
        "part",
        "comparison",
        "not",
        "return",
        "min/max",
        "arithmetic",
    }
    outcomes = {}
    for mutant in mutants:
        assert isinstance(mutant.payload, CodeType)
        names: dict[str, Callable[[int], object]] = {}
        exec(mutant.payload, names)
        outcomes[mutant.change] = [names["over"](n) for n in (2, 3, 4, 7, 9)]
    right = [None, None, 1, None, 6]
    assert right not in [found for change, found in outcomes.items() if change != "0  →  1"], "each of these is seen from outside"
    assert [mutant.line for mutant in mutants if not mutant.patchable] == [2, 2, 4], "a limit and a default are made on import"


def test_no_bug_is_the_program_as_it_is(tool: Callable[[str], ModuleType]) -> None:
    source = "def f():\n    try:\n        g()\n    except ValueError:\n        raise\n    except KeyError:\n        h()\n"
    mutants = tool("python_mutants").python_mutants("f.py", source, {})
    assert [(mutant.operator, mutant.line) for mutant in mutants] == [("statement", 3), ("statement", 5), ("handler", 6), ("statement", 7)]


def test_bugs_in_sql_are_such_that_sqlite_takes_them(tool: Callable[[str], ModuleType]) -> None:
    text = "\n".join(f"-- name: {name}\n{sql}\n" for name, sql in statements().items())
    mutants = list(tool("sql_mutants").sql_mutants("queries.sql", text, "".join(migrations()), is_schema=False))
    assert len(mutants) > 200
    assert {"condition", "order", "limit", "comparison", "assignment", "column", "state"} <= {mutant.operator for mutant in mutants}
    assert len({mutant.payload for mutant in mutants} | {text}) == len(mutants) + 1
