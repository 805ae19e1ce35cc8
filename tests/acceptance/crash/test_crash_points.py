"""A batch of one row, killed once at each point there is: what comes of the row is known beforehand, point by point."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from batcher.crashpoints import POINTS
from tests.support.chaos import Batch, Lab, open_lab, temporary_home
from tests.support.evidence import objections

pytestmark = [pytest.mark.acceptance, pytest.mark.no_cover, pytest.mark.fault("A1", "X1", "G8")]

RULES = (
    "submit:429:contains=throttled,first=1,per=request,retry_after=0",
    "submit:500:contains=vanished,first=1,per=request",
    "submit:reset:contains=swallowed,first=1,per=request,accepted=true",
    "generation:fail:contains=doomed",
    "generation:stuck-queued:contains=waiting",
    "generation:stuck-running:contains=endless",
    "download:403:contains=expired,first=1,per=request",
    "download:truncated:contains=broken,first=1,per=request",
    "status:503:contains=silent",
    "status:set:contains=slow,first=1,per=request,field=status,value=in_progress",
    "submit:set:contains=twin,field=request_id,value=one-id-for-two",
)
"""What happens to a row is settled by a word of its prompt."""


@dataclass(frozen=True)
class Scenario:
    """The way to a point: what was done before, what is killed there, how the batch is ended afterwards, and in which state the row is then.

    `killed_before` is a point at which an earlier run is killed, `run_before` tells of one that ends by itself. `after` is the state where the point
    comes after a commit, `before` at any other point.
    """

    prompt: str = "a slow boat"
    killed_before: str = ""
    run_before: bool = False
    act: Sequence[str] = ("run",)
    finish: str = "resume"
    before: str = "done"
    after: str = "done"
    job_timeout_s: float = 60.0


FIRST_RUN = Scenario(finish="run")
DOUBT = Scenario(before="in_doubt", finish="run")
SCENARIOS = {
    "Claimed": Scenario(after="in_doubt", finish="run"),
    "submit.send": DOUBT,
    "submit.answered": DOUBT,
    "Accepted": DOUBT,
    "Refused": Scenario("a throttled boat", before="in_doubt", finish="run"),
    "Lost": Scenario("a vanished boat", before="in_doubt", after="in_doubt", finish="run"),
    "Unread": Scenario("a silent boat", before="failed", after="failed", job_timeout_s=0.1),
    "Died": Scenario("a doomed boat", before="failed", after="failed"),
    "Broken": Scenario("a broken boat"),
    "Expired": Scenario("an expired boat"),
    "CancelAsked": Scenario("a waiting boat", "Accepted.committed", act=("cancel",), finish="cancel", before="cancelled", after="cancelled"),
    "Cancelled": Scenario("a waiting boat", "Accepted.committed", act=("cancel",), finish="cancel", before="cancelled", after="cancelled"),
    "NotCancellable": Scenario("an endless boat", "Accepted.committed", act=("cancel",), finish="cancel", before="submitted", after="submitted"),
    "Retry": Scenario("a doomed boat", run_before=True, act=("retry", "--failed"), before="failed", after="failed"),
    "Resubmit": Scenario("a vanished boat", run_before=True, act=("retry", "--in-doubt", "resubmit"), before="in_doubt"),
    "Abandon": Scenario("a vanished boat", run_before=True, act=("retry", "--in-doubt", "abandon"), before="in_doubt", after="failed"),
    "Adopt": Scenario("a swallowed boat", run_before=True, act=("retry", "--adopt"), before="in_doubt"),
    "put_meta": Scenario(killed_before="Accepted.committed", act=("resume",)),
}
"""By point, or by the part of its name before the dot. All others are reached by the first run of an ordinary row."""

TRULY_ACCEPTED = {"submit.answered", "Accepted.commit", "Adopt.commit"}
"""The points that leave a doubt about a row that the service has accepted."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with temporary_home() as home, open_lab(home, *RULES) as lab:
        yield lab


def ordinary(lab: Lab, rows: int = 3) -> Batch:
    return Batch(lab, [(f"row{n}", "a slow boat") for n in range(rows)])


def do(batch: Batch, name: str, *flags: str, crash: str = "") -> None:
    if name == "run":
        batch.run(crash)
    elif name == "retry":
        states = ["failed"] if "--failed" in flags else ["in_doubt"] if "resubmit" in flags else []
        batch.retry(*flags, states=states, crash=crash)
    else:
        batch.command(name, batch.out, crash=crash)


def is_apart(point: str) -> bool:
    """Whether another test goes to the point: what `verify` records is in `tests/acceptance/test_verify.py`,
    what a review does in `tests/acceptance/test_review.py`.
    """
    return point.partition(".")[0] in ("earlier", "Contested", "Missing", "Found", "Redo", "review")


@pytest.mark.parametrize("point", sorted(point for point in POINTS if not is_apart(point)))
def test_one_kill_at_a_point(lab: Lab, point: str) -> None:
    group, _, moment = point.partition(".")
    scenario = SCENARIOS.get(point) or SCENARIOS.get(group) or FIRST_RUN
    batch = Batch(lab, [("mug", scenario.prompt)], may_lose_answers=scenario.run_before or group == "Lost", job_timeout_s=scenario.job_timeout_s)
    if scenario.killed_before:
        assert batch.run(scenario.killed_before).killed
    if scenario.run_before:
        assert batch.run().code == 1
    act = [*scenario.act, f"mug={batch.submissions()[0].request_id}"] if group == "Adopt" else scenario.act

    do(batch, *act, crash=point)
    assert batch.last is not None
    assert batch.last.killed, f"{point} was never reached:\n{batch.last.said}"
    do(batch, scenario.finish)

    evidence = batch.check()
    row = evidence.ledger.rows["mug"]
    assert row.state == (scenario.after if moment == "committed" else scenario.before)
    if row.state == "in_doubt":
        assert bool(evidence.unrecorded("mug")) == (point in TRULY_ACCEPTED)


def test_a_kill_between_an_earlier_file_and_the_one_that_takes_its_name(lab: Lab) -> None:
    batch = ordinary(lab, 1)
    assert batch.run().code == 0
    earlier = set(batch.evidence().files.values())
    batch.change([("row0", "a slow ship")])
    assert batch.run("earlier.renamed").killed
    assert batch.run().code == 0
    evidence = batch.check()
    assert len(evidence.files) == 2
    assert earlier < set(evidence.files.values()), "what was paid for earlier is kept"


@pytest.mark.fault("C16")
@pytest.mark.parametrize("point", ["Contested.commit", "Contested.committed"])
def test_a_kill_while_two_rows_are_found_to_have_one_id(lab: Lab, point: str) -> None:
    batch = Batch(lab, [("cup", "a twin boat"), ("mug", "a twin boat")], may_lose_answers=True)
    assert batch.run(point).killed
    assert batch.run().code == 1
    evidence = batch.evidence()
    assert {row.state for row in evidence.ledger.rows.values()} == {"in_doubt"}
    assert len(evidence.submissions) <= 2
    assert not [objection for objection in objections(evidence) if "paid" in objection or "claimed" in objection]


@pytest.mark.parametrize("point", ["recover.commit", "recover.committed", "Lost.commit", "Lost.committed", "begin_run.committed"])
def test_a_recovery_that_is_killed_twice(lab: Lab, point: str) -> None:
    batch = ordinary(lab)
    assert batch.run("submit.answered:2").killed
    held = batch.states["submitting"]
    assert held >= 1
    for _ in range(2):
        batch.command("resume", batch.out, crash=point)
    assert batch.kills >= 2
    assert batch.run().code == 1
    evidence = batch.check()
    assert evidence.ledger.tallies["in_doubt"] == held


@pytest.mark.parametrize("point", ["results.written", "results.renamed", "report.synced", "report.renamed"])
def test_the_report_command_is_killed(lab: Lab, point: str) -> None:
    batch = ordinary(lab)
    assert batch.run("Saved.committed:2").killed
    assert batch.command("report", batch.out, crash=point).killed
    assert batch.command("resume", batch.out).code == 0
    batch.check()


@pytest.mark.parametrize("point", ["ledger.opened", "ledger.migrated", "plan.commit"])
def test_a_batch_killed_before_it_was_planned_cannot_be_taken_up_and_can_be_run(lab: Lab, point: str) -> None:
    batch = ordinary(lab)
    assert batch.run(point).killed
    ending = batch.command("resume", batch.out)
    assert ending.code == 66
    assert "no batch was planned here" in ending.said
    assert batch.run().code == 0
    batch.check()


def test_a_batch_killed_once_it_was_planned_is_still_what_it_was(lab: Lab) -> None:
    batch = ordinary(lab)
    assert batch.run("plan.committed").killed
    assert batch.command("resume", batch.out).code == 0
    evidence = batch.check()
    assert (evidence.report["name"], evidence.report["service"]) == (batch.name, lab.service.base)


@pytest.mark.parametrize("point", ["submit.send", "Saved.commit:2", "draft.renamed:3"])
def test_a_process_as_a_user_starts_it(lab: Lab, point: str) -> None:
    batch = ordinary(lab)
    assert batch.command("run", batch.manifest, "--out", batch.out, crash=point, plainly=True).killed
    assert batch.command("resume", batch.out, plainly=True).code == (1 if point == "submit.send" else 0)
    batch.check()


def test_a_ledger_that_forgets_its_doubt_pays_twice_and_is_found_out(lab: Lab) -> None:
    """The control: what the checker is there for does happen where the rule is broken."""
    batch = ordinary(lab, 1)
    assert batch.run("submit.answered").killed
    with sqlite3.connect(batch.out / "ledger.db") as ledger:
        ledger.execute("UPDATE jobs SET state = 'planned'")
    ledger.close()
    assert batch.command("run", batch.manifest, "--out", batch.out, "--take-over").code == 0  # closing it here took the WAL away
    found = objections(batch.evidence())
    assert "row0 was paid for 2 times, and asked for 1 times" in found
    assert any(objection.startswith("row0 was claimed after") for objection in found)
