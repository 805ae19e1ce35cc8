"""What runs in the background dies of a bug: the run says so and ends, nothing is submitted without its intent, and it can be taken up again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chaos import Batch, Lab, open_lab, temporary_home
from tests.support.evidence import read_ledger

pytestmark = [pytest.mark.acceptance, pytest.mark.no_cover, pytest.mark.fault("A12")]

BUG = "stopped by a fault of its own (CrashPointError: the crash point {})."
LEDGER = "the ledger cannot be written: the crash point {}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with temporary_home() as home, open_lab(home) as lab:
        yield lab


@pytest.mark.parametrize(
    ("point", "nth", "code", "words"),
    [
        pytest.param("writer.taken", 9, 75, "the ledger's writer died: CrashPointError('the crash point writer.taken')", id="the ledger's thread"),
        pytest.param("Claimed.commit", 2, 75, LEDGER, id="the transaction of an intent"),
        pytest.param("Accepted.commit", 2, 75, LEDGER, id="the transaction of an id"),
        pytest.param("Saved.committed", 2, 75, LEDGER, id="after a commit"),
        pytest.param("submit.send", 2, 70, BUG, id="a submit"),
        pytest.param("poll.answered", 2, 70, BUG, id="a poll"),
        pytest.param("draft.written", 2, 70, BUG, id="a download"),
        pytest.param("draft.synced", 2, 70, BUG, id="the thread that files a result"),
        pytest.param("view.shown", 1, 70, BUG, id="the view"),
        pytest.param("results.written", 1, 70, BUG, id="the report"),
    ],
)
def test_a_bug_in(lab: Lab, point: str, nth: int, code: int, words: str) -> None:
    batch = Batch(lab, [(f"row{n}", "a boat") for n in range(8)])
    ending = batch.run(f"{point}:{nth}:raise")
    assert not ending.hung
    assert ending.code == code, ending.said
    complaints = [line for line in ending.said.splitlines() if line.startswith("batcher: ")]
    assert complaints == [f"batcher: {words.format(point)}"], ending.said

    ledger = read_ledger(batch.out)
    with_intent = {row.id for row in ledger.rows.values() if row.count("Claimed")}
    assert {batch.owner(one) for one in batch.submissions()} <= with_intent, "nothing was submitted whose intent could not be written down"

    again = batch.command("resume", batch.out)
    assert again.code in (0, 1), again.said
    evidence = batch.check()
    assert {row.state for row in evidence.ledger.rows.values()} <= {"done", "in_doubt"}
