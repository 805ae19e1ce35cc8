from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from batcher import crashpoints
from batcher.crashpoints import POINTS, CrashPointError, arm, reach
from batcher.errors import UsageError

SOURCES = (Path(__file__).parents[2] / "batcher").rglob("*.py")


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def test_unarmed_a_point_is_passed() -> None:
    for point in POINTS:
        reach(point)


def test_the_nth_time_that_a_point_is_reached() -> None:
    arm("Claimed.commit:2:raise")
    reach("Claimed", "commit")
    reach("Claimed.committed")
    with pytest.raises(CrashPointError, match=r"Claimed\.commit"):
        reach("Claimed", "commit")
    reach("Claimed", "commit")


def test_a_star_counts_every_point() -> None:
    arm("*:3:raise")
    reach("plan.commit")
    reach("plan.committed")
    with pytest.raises(CrashPointError, match=r"submit\.send"):
        reach("submit.send")


def test_armed_a_name_that_is_not_registered_is_a_mistake() -> None:
    arm("plan.commit")
    with pytest.raises(LookupError, match="nowhere"):
        reach("nowhere")


@pytest.mark.parametrize("text", ["nowhere", "plan.commit:0", "plan.commit:2:explode", "plan.commit:raise:2", ":", "plan.commit:"])
def test_a_text_that_names_no_point(text: str) -> None:
    with pytest.raises(UsageError, match=crashpoints.VARIABLE):
        arm(text)


def test_every_point_that_the_program_names_is_registered() -> None:
    named = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "reach" and isinstance(node.args[0], ast.Constant):
                named.add(node.args[0].value)
    assert "submit.send" in named
    assert named <= POINTS
