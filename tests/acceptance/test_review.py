"""A review that feeds back, as a user goes through it: looked at, marked, made again, exported, compared with another night."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from batcher.ledger import LedgerReader
from batcher.model import State
from tests.support.command import Service, report, results, write_rows
from tests.support.preloaded import batcher, service

pytestmark = pytest.mark.acceptance

JOB = ("--job", "text_to_image", "--no-gallery")


def run(home: Path, served: Service, *, rows: int = 4, out: str = "out") -> None:
    done = batcher("run", write_rows(home / "rows.csv", rows), "--out", out, *JOB, home=home, env=served.env)
    assert done.returncode == 0, done.stderr


def call(home: Path, served: Service, *arguments: object, crash: str = "") -> Any:
    return batcher(*arguments, home=home, env={**served.env, "BATCHER_CRASH_POINT": crash})


def request_ids(out: Path) -> set[str]:
    """Every request that the ledger knows, those of earlier attempts too."""
    with LedgerReader(out / "ledger.db") as reader:
        events = [event for job in reader.jobs() for event in reader.events(job.seq)]
        assert reader.contradictions() == []
    return {detail["request_id"] for _, name, detail in events if name == "Accepted"}


def accounted_for(home: Path, served: Service) -> None:
    """All that the service was paid for is in the ledger, and nothing else is."""
    billed = served.requests()
    assert request_ids(home / "out") == {each["request_id"] for each in billed}
    assert report(home / "out")["cost_usd"] == pytest.approx(served.bill()["charged_usd"])


@pytest.mark.fault("X1")
def test_only_what_was_rejected_is_made_again_and_nothing_paid_for_is_lost(tmp_path: Path) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served)
        before = {row["id"]: row for row in results(tmp_path / "out")}
        assert call(tmp_path, served, "review", "out", "--reject", "row0001", "--accept", "row0000").returncode == 0
        assert call(tmp_path, served, "review", "out", "--redo", "row0002", "--note", "more =sea").returncode == 0
        again = call(tmp_path, served, "retry", "out", "--rejected", "--redo", "--row", "row0002", "--set", "prompt={prompt}, {note}", "--no-gallery")
        assert again.returncode == 0, again.stderr
        assert "Making 1 row again (1 to redo). Paid for before: " in again.stderr
        assert call(tmp_path, served, "retry", "out", "--rejected", "--no-gallery").returncode == 0
        after = {row["id"]: row for row in results(tmp_path / "out")}
        assert [name for name in after if after[name]["request_id"] != before[name]["request_id"]] == ["row0001", "row0002"]
        assert len(served.requests()) == 6
        accounted_for(tmp_path, served)
        assert after["row0002"]["inputs"]["prompt"] == "a picture of thing 2, more =sea"
        assert after["row0002"]["cost_usd"] == pytest.approx(2 * before["row0002"]["cost_usd"])
        assert [row["review"]["verdict"] if row["review"] else None for row in after.values()] == ["accepted", None, None, None]

        earlier = sorted((tmp_path / "out" / "results" / "earlier").iterdir())
        digests = [before[name]["files"][0]["sha256"][:8] for name in ("row0001", "row0002")]
        assert [path.name for path in earlier] == [f"row0001.{digests[0]}.png", f"row0002.{digests[1]}.png"]

        same = batcher("run", tmp_path / "rows.csv", "--out", "out", *JOB, home=tmp_path, env=served.env)
        assert "4 rows · 4 as they were" in same.stderr
        nothing = call(tmp_path, served, "retry", "out", "--rejected")
        assert (nothing.returncode, len(served.requests())) == (64, 6)
        assert "no row is marked rejected" in nothing.stderr
        assert call(tmp_path, served, "verify", "out", "--offline").returncode == 0


@pytest.mark.fault("X1", "A1")
@pytest.mark.parametrize("point", ["Redo.commit", "Redo.committed", "earlier.renamed", "begin_run.commit", "Claimed.committed", "Accepted.committed"])
def test_killed_while_rows_are_made_again(tmp_path: Path, point: str) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served)
        is_late = point in ("Claimed.committed", "Accepted.committed")  # of two rows the other one would be in doubt, or not
        rejected = {"row0001"} if is_late else {"row0001", "row0003"}
        assert call(tmp_path, served, "review", "out", *(f"--reject={name}" for name in sorted(rejected))).returncode == 0
        command = ("retry", "out", "--rejected", "--set", "prompt={prompt} at sea", "--no-gallery")
        assert call(tmp_path, served, *command, crash=point).returncode == -9
        with LedgerReader(tmp_path / "out" / "ledger.db") as reader:
            revised = {job.row_id for job in reader.jobs() if job.spec.fields["prompt"].endswith("at sea")}  # type: ignore[union-attr]
        assert revised == (set() if point == "Redo.commit" else rejected), "all or none"
        gone_on = call(tmp_path, served, *(command if point == "Redo.commit" else ("resume", "out", "--no-gallery")))
        doubtful = point == "Claimed.committed"  # the process died before it could say whether the request had left
        assert gone_on.returncode == (1 if doubtful else 0), gone_on.stderr
        if doubtful:
            assert call(tmp_path, served, "retry", "out", "--in-doubt", "resubmit", "--no-gallery").returncode == 0
        assert len(served.requests()) == 4 + len(rejected)
        accounted_for(tmp_path, served)
        kept = {path.name.partition(".")[0] for path in (tmp_path / "out" / "results" / "earlier").iterdir()}
        assert kept == rejected
        assert {row["state"] for row in results(tmp_path / "out")} == {State.DONE}


@pytest.mark.fault("X1")
@pytest.mark.parametrize("point", ["review.commit", "review.committed"])
def test_killed_while_marks_are_kept(tmp_path: Path, point: str) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served, rows=2)
        assert call(tmp_path, served, "review", "out", "--accept", "row0000", "--reject", "row0001", crash=point).returncode == -9
        said = call(tmp_path, served, "review", "out").stdout
        assert ("1 accepted, 1 rejected" if point == "review.committed" else "0 accepted, 0 rejected") in said


def test_what_is_wrong_is_told_before_anything_is_changed(tmp_path: Path) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served)
        assert call(tmp_path, served, "review", "out", "--reject", "row0001", "--redo", "row0002").returncode == 0
        before = (tmp_path / "out" / "results.jsonl").read_bytes()
        for arguments, code, message in [
            (["--rejected", "--redo", "--set", "promt=x", "--set", "quality=none"], 65, "the same in 1 more row"),
            (["--rejected", "--set", "prompt={prompt}, {note}"], 65, "row 'row0001': prompt: its review has no note"),
            (["--rejected", "--row", "row0002"], 64, "marked redo, not rejected"),
            (["--rejected", "--row", "row0000"], 64, "not marked"),
            (["--reseed"], 64, "Add --rejected or --redo"),
            (["--redo", "--set", "prompt"], 64, "'prompt' is not KEY=VALUE"),
        ]:
            done = call(tmp_path, served, "retry", "out", *arguments)
            assert (done.returncode, message in done.stderr) == (code, True), done.stderr
        assert len(served.requests()) == 4
        assert (tmp_path / "out" / "results.jsonl").read_bytes() == before


def test_other_rows_that_wait_are_not_paid_for_besides(tmp_path: Path) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served, rows=2)
        assert call(tmp_path, served, "review", "out", "--reject", "row0001").returncode == 0
        more = write_rows(tmp_path / "more.csv", 3)
        more.replace(tmp_path / "rows.csv")
        killed = batcher(
            "run", tmp_path / "rows.csv", "--out", "out", *JOB, home=tmp_path, env={**served.env, "BATCHER_CRASH_POINT": "plan.committed"}
        )
        assert killed.returncode == -9
        refused = call(tmp_path, served, "retry", "out", "--rejected")
        assert (refused.returncode, len(served.requests())) == (64, 2)
        assert "1 row of the batch is still to be submitted" in refused.stderr


def test_the_rule_for_a_manifest_that_is_run_again(tmp_path: Path) -> None:
    """What the manifest asked for when the row was changed is what was planned; what it asks for now is obeyed where that is something else."""
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served, rows=2)
        assert call(tmp_path, served, "review", "out", "--reject", "row0001").returncode == 0
        assert call(tmp_path, served, "retry", "out", "--rejected", "--set", "prompt=a red sea", "--no-gallery").returncode == 0
        assert len(served.requests()) == 3

        (tmp_path / "rows.csv").write_text("id,prompt\nrow0001,a picture of thing 1\nrow0000,a picture of thing 0\n")
        moved = batcher("run", tmp_path / "rows.csv", "--out", "out", *JOB, home=tmp_path, env=served.env)
        assert "2 as they were" in moved.stderr
        assert [row["inputs"]["prompt"] for row in results(tmp_path / "out")] == ["a red sea", "a picture of thing 0"]
        assert len(served.requests()) == 3

        (tmp_path / "rows.csv").write_text("id,prompt\nrow0001,a red sea\nrow0000,a picture of thing 0\n")
        agreed = batcher("run", tmp_path / "rows.csv", "--out", "out", *JOB, home=tmp_path, env=served.env)
        assert "2 as they were" in agreed.stderr

        (tmp_path / "rows.csv").write_text("id,prompt\nrow0001,a picture of thing 1\nrow0000,a picture of thing 0\n")
        edited = batcher("run", tmp_path / "rows.csv", "--out", "out", *JOB, home=tmp_path, env=served.env)
        assert "1 changed since the last run" in edited.stderr
        assert len(served.requests()) == 4
        accounted_for(tmp_path, served)


@pytest.mark.fault("G1")
def test_marks_are_shown_where_rows_are(tmp_path: Path) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain") as served:
        run(tmp_path, served, rows=2)
        table = "id,mark,note\nrow0001,reject,'=1+1\n"
        assert batcher("review", "out", "--from", "-", home=tmp_path, stdin=table).returncode == 0
        assert results(tmp_path / "out")[1]["review"] == {**results(tmp_path / "out")[1]["review"], "verdict": "rejected", "note": "=1+1"}
        rows = list(csv.DictReader(io.StringIO(batcher("report", "out", "--csv", "-", home=tmp_path).stdout)))
        assert [(row["review"], row["review_note"]) for row in rows] == [("", ""), ("rejected", "'=1+1")]
        chunks = "".join(path.read_text("utf-8") for path in (tmp_path / "out" / "report" / "rows").iterdir())
        assert '"verdict":"rejected"' in chunks.replace("\\", "")


def test_export_and_diff(tmp_path: Path) -> None:
    with service(tmp_path, "--latency-s", "0", "--art", "plain", "--fault", "generation:fail:contains=gone") as served:
        run(tmp_path, served, rows=3)
        assert call(tmp_path, served, "export", "out", "approved", "--accepted").returncode == 64
        assert call(tmp_path, served, "review", "out", "--accept", "row0000", "--accept", "row0002").returncode == 0
        done = call(tmp_path, served, "export", "out", "approved", "--accepted")
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(path.name for path in (tmp_path / "approved").iterdir()) == ["manifest.csv", "manifest.jsonl", "row0000.png", "row0002.png"]
        lines = [json.loads(line) for line in (tmp_path / "approved" / "manifest.jsonl").read_text().splitlines()]
        assert [(line["id"], line["prompt"]) for line in lines] == [("row0000", "a picture of thing 0"), ("row0002", "a picture of thing 2")]
        assert "is there already, whole" in call(tmp_path, served, "export", "out", "approved", "--accepted").stdout

        assert call(tmp_path, served, "diff", "out", "out").stdout.splitlines()[2] == "No row differs."
        (tmp_path / "rows.csv").write_text("id,prompt\nrow0000,a picture of thing 0\nrow0001,gone\nnew,a new thing\n")
        failed = batcher("run", tmp_path / "rows.csv", "--out", "night", *JOB, home=tmp_path, env=served.env)
        assert failed.returncode == 1
        found = call(tmp_path, served, "diff", "out", "night", "--json")
        told = json.loads(found.stdout)
        assert found.returncode == 1
        named = {kind: [each["id"] for each in told[kind]["examples"]] for kind in ("new_failures", "new", "gone", "changed")}
        assert named == {"new_failures": ["row0001"], "new": ["new"], "gone": ["row0002"], "changed": ["row0001"]}
        assert call(tmp_path, served, "diff", "night", "out").returncode == 0
        assert call(tmp_path, served, "diff", "out", "nowhere").returncode == 66
