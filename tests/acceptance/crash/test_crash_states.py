"""What a power cut could leave of a batch keeps every promise; and the check notices where batcher is weakened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crash_checks import Verdict, checker, record, table
from tests.support.preloaded import nursery
from tests.support.system_calls import needs_strace

pytestmark = [pytest.mark.acceptance, needs_strace, pytest.mark.fault("A3", "X3")]

ROWS = 6
SEED = 1
ENOUGH = 2_000
"""States of batcher as it is; there are about twice as many, more or fewer by how the threads happen to meet."""


def look(tmp_path: Path, weakness: str | None, rounds: int, every: int) -> Verdict:
    verdict = Verdict(weakness or "as it is")
    with nursery(tmp_path) as home, checker() as checks:
        for history in record(home, tmp_path / "traced", ROWS, weakness):
            checks.look(verdict, history, SEED, rounds, every)
    print("\n".join(table([verdict])))
    return verdict


def test_no_power_cut_breaks_a_promise(tmp_path: Path) -> None:
    verdict = look(tmp_path, None, rounds=3, every=1)
    assert not verdict.violations, verdict.first
    assert verdict.states >= ENOUGH
    assert len(verdict.distinct) >= ENOUGH / 4


@pytest.mark.parametrize(
    ("weakness", "noticed"),
    [
        ("synchronous=NORMAL", {"a POST without its intent", "a request id lost"}),
        ("folders not synced", {"done, but its file is missing"}),
        ("files not synced", {"done, but its file is damaged", "a file that is not whole under its final name"}),
    ],
)
def test_a_weakness_is_noticed(tmp_path: Path, weakness: str, noticed: set[str]) -> None:
    verdict = look(tmp_path, weakness, rounds=1, every=4)
    assert noticed <= set(verdict.violations)
