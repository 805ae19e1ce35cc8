"""What a power cut could leave of a batch keeps every promise; and the check notices where batcher is weakened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crash_checks import Verdict, checker, record, table
from tests.support.crash_states import History
from tests.support.preloaded import nursery
from tests.support.system_calls import needs_strace

pytestmark = [pytest.mark.acceptance, pytest.mark.no_cover, needs_strace, pytest.mark.fault("A3", "X3")]

ROWS = 6
SEED = 1
ENOUGH = 2_000
"""States of batcher as it is; there are about twice as many, more or fewer by how the threads happen to meet."""


def look(tmp_path: Path, altered: str | None, rounds: int, every: int) -> tuple[Verdict, list[History]]:
    verdict = Verdict(altered or "as it is")
    with nursery(tmp_path) as home, checker() as checks:
        histories = record(home, tmp_path / "traced", ROWS, altered)
        for history in histories:
            checks.look(verdict, history, SEED, rounds, every)
    print("\n".join(table([verdict])))
    return verdict, histories


def test_no_power_cut_breaks_a_promise(tmp_path: Path) -> None:
    verdict, _ = look(tmp_path, None, rounds=3, every=1)
    assert not verdict.violations, verdict.first
    assert verdict.states >= ENOUGH
    assert len(verdict.distinct) >= ENOUGH / 4


def test_no_power_cut_during_a_checkpoint_breaks_a_promise(tmp_path: Path) -> None:
    verdict, histories = look(tmp_path, "a checkpoint every few pages", rounds=2, every=2)
    assert not verdict.violations, verdict.first
    for history in histories:
        first, *_, last = (message.began for message in history.messages)
        written = [call.began for call in history.calls if call.name == "pwrite64" and call.of().endswith("/ledger.db")]
        assert any(first < place < last for place in written), "no checkpoint fell into the run"


@pytest.mark.parametrize(
    ("altered", "noticed"),
    [
        ("synchronous=NORMAL", {"a POST without its intent", "a request id lost"}),
        ("folders not synced", {"done, but its file is missing"}),
        ("files not synced", {"done, but its file is damaged", "a file that is not whole under its final name"}),
    ],
)
def test_a_weakness_is_noticed(tmp_path: Path, altered: str, noticed: set[str]) -> None:
    verdict, _ = look(tmp_path, altered, rounds=1, every=4)
    assert noticed <= set(verdict.violations)
