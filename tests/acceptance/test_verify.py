"""`batcher verify`: what a person does to the results between two runs, and what comes back."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from batcher.folder import SIMULATOR_STATE
from tests.support.command import report, results, start, status, steady_port, wait_until, write_rows
from tests.support.preloaded import batcher, service

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("B10", "X9")]

ROWS = 30
JOB = ("--job", "text_to_image")
QUICK = ("--latency-s", 0, "--art", "plain")


def files(out: Path) -> dict[str, Path]:
    return {row["id"]: out / row["files"][0]["path"] for row in results(out)}


def whole(out: Path) -> bool:
    rows = results(out)
    return all(hashlib.sha256((out / file["path"]).read_bytes()).hexdigest() == file["sha256"] for row in rows for file in row["files"])


def damage(out: Path) -> None:
    """Delete a tenth, and alter some: a bit, a cut, a link, a folder's worth of nothing."""
    saved = list(files(out).values())
    for path in saved[::10]:
        path.unlink()
    flipped = bytearray(saved[1].read_bytes())
    flipped[50] ^= 1
    saved[1].write_bytes(flipped)
    saved[2].write_bytes(saved[2].read_bytes()[:-1])
    saved[3].unlink()
    saved[3].symlink_to(saved[4])


def test_what_is_missing_or_altered_is_fetched_again_and_nothing_is_paid(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out"
    with service(tmp_path, *QUICK) as simulated:
        assert batcher("run", rows, *JOB, "--out", out, home=tmp_path, env=simulated.env).returncode == 0
        before = {name: path.read_bytes() for name, path in files(out).items()}
        assert batcher("verify", out, home=tmp_path).returncode == 0, "without a token, since nothing has to be fetched"
        (out / "results" / "mine.txt").write_text("mine", "utf-8")
        damage(out)
        again = batcher("run", rows, *JOB, "--out", out, home=tmp_path, env=simulated.env)
        assert again.returncode == 1
        assert report(out)["files_missing"] == 4, "a run looks at sizes only"
        looked = batcher("verify", out, "--offline", "--json", home=tmp_path)
        told = json.loads(looked.stdout)
        assert (looked.returncode, told["is_whole"], told["files"], told["missing"], told["altered"]) == (1, False, ROWS, 3, 3)
        assert (told["unknown"], told["ledger"]) == (["results/mine.txt"], [])
        assert batcher("verify", out, home=tmp_path, env={"RUNCOMFY_MODEL_API_BASE": simulated.base}).returncode == 77
        mended = batcher("verify", out, home=tmp_path, env=simulated.env)
        assert mended.returncode == 0, mended.stdout + mended.stderr
        assert "6 of 6 were fetched again" in mended.stdout
        assert simulated.bill()["accepted"] == ROWS
    assert {name: path.read_bytes() for name, path in files(out).items()} == before
    assert not any(path.is_symlink() for path in files(out).values())
    assert whole(out)
    assert len(list((out / "results" / "earlier").iterdir())) == 2, "what was altered is kept"
    assert (out / "results" / "mine.txt").read_text("utf-8") == "mine"
    assert batcher("verify", out, "--quiet", home=tmp_path).stdout == ""


@pytest.mark.fault("D4")
def test_what_the_service_has_no_longer_has_expired_and_is_not_paid_for_again_until_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = tmp_path / "batch.yaml"
    prompts = "\n".join(f"  - {{id: r{n}, prompt: thing {n}}}" for n in range(3))
    manifest.write_text(f"job: text_to_image\nrun: {{backoff_ceiling_s: 0.1, poll_floor_s: 0.05}}\nrows:\n{prompts}\n", "utf-8")
    port = steady_port()
    with service(tmp_path, "--port", port, *QUICK) as first:
        assert batcher("run", manifest, "--out", out, home=tmp_path, env=first.env).returncode == 0
    precious = files(out)["r0"].read_bytes()
    saved = files(out)
    with service(tmp_path, *QUICK, "--port", port) as second:  # which knows nothing of the old requests
        saved["r0"].unlink()
        saved["r1"].write_bytes(b"altered")
        expired = batcher("verify", out, home=tmp_path, env=second.env)
        assert expired.returncode == 1, expired.stdout + expired.stderr
        assert "2 have expired" in expired.stdout
        assert saved["r1"].read_bytes() == b"altered", "it is the only one there is"
        assert {row["id"]: (row["failure"] or {}).get("kind") for row in results(out)} == {"r0": "expired", "r1": "expired", "r2": None}
        assert results(out)[0]["cost_usd"] > 0
        retried = batcher("run", manifest, "--out", out, "--retry-failed", home=tmp_path, env=second.env)
        assert retried.returncode == 1, "it asked for the result once more, which is free"
        assert second.bill()["accepted"] == 0
        saved["r0"].write_bytes(precious)
        back = batcher("verify", out, "--json", home=tmp_path, env=second.env)
        assert back.returncode == 1
        assert [(each["row"], each["outcome"]) for each in json.loads(back.stdout)["findings"]] == [("r1", "expired")]
        assert status(out, tmp_path)["done"] == 2
        paid = batcher("retry", out, "--failed", "--regenerate", "--row", "r1", home=tmp_path, env=second.env)
        assert paid.returncode == 0, paid.stderr
        assert second.bill()["accepted"] == 1
    assert batcher("verify", out, home=tmp_path).returncode == 0
    assert whole(out)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_verify_that_is_killed_is_gone_on_with_by_resume_or_by_another_verify(tmp_path: Path) -> None:
    rows, out, state = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out", tmp_path / "state"
    same = (*QUICK, "--state", state, "--port", steady_port())
    with service(tmp_path, *same) as simulated:
        assert batcher("run", rows, *JOB, "--out", out, home=tmp_path, env=simulated.env).returncode == 0
    for go_on in ("resume", "verify"):
        for path in files(out).values():
            path.unlink()
        with service(tmp_path, *same, "--fault", "download:hang:delay_s=600") as hanging:
            verifying = start("verify", out, home=tmp_path, env=hanging.env)
            wait_until(lambda: status(out).get("done", ROWS) == 0, "rows to be open again")
            verifying.kill()
            verifying.communicate()
        looked = json.loads(batcher("verify", out, "--offline", "--json", home=tmp_path).stdout)
        assert (looked["is_whole"], looked["missing"]) == (False, ROWS)
        with service(tmp_path, *same) as simulated:
            assert batcher(go_on, out, home=tmp_path, env=simulated.env).returncode == 0
            assert simulated.bill()["accepted"] == ROWS
        assert whole(out)
    assert report(out)["counts"]["done"] == ROWS


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("point", ["Missing.commit", "Missing.committed", "begin_run.commit", "Found.commit", "Found.committed", "report.renamed"])
def test_a_verify_that_is_killed_at_any_point_is_gone_on_with_by_another(tmp_path: Path, point: str) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", 3), tmp_path / "out"
    assert batcher("run", rows, *JOB, "--simulate", *QUICK, "--out", out, home=tmp_path).returncode == 0
    saved = {path: path.read_bytes() for path in files(out).values()}
    for path in saved:
        path.unlink()
    if point.startswith("Found"):
        shutil.rmtree(out / SIMULATOR_STATE)
        assert batcher("verify", out, home=tmp_path).returncode == 1
        assert status(out)["failed"] == 3, "the service knows of nothing any more"
        for path, content in saved.items():
            path.write_bytes(content)
    assert batcher("verify", out, home=tmp_path, env={"BATCHER_CRASH_POINT": point}).returncode == -9
    again = batcher("verify", out, home=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path: path.read_bytes() for path in files(out).values()} == saved
    assert report(out)["counts"]["done"] == 3


def test_a_ledger_that_contradicts_itself_is_told_and_nothing_is_fetched(tmp_path: Path) -> None:
    import sqlite3

    rows, out = write_rows(tmp_path / "rows.csv", 3), tmp_path / "out"
    assert batcher("run", rows, *JOB, "--simulate", *QUICK, "--out", out, home=tmp_path).returncode == 0
    connection = sqlite3.connect(out / "ledger.db")
    connection.execute("UPDATE jobs SET request_id = 'another' WHERE seq = 2")
    connection.commit()
    connection.close()
    files(out)["row0000"].unlink()
    told = batcher("verify", out, home=tmp_path)
    assert told.returncode == 1
    assert "row row0001: its request is not the one that it was given" in told.stdout
    assert not files(out)["row0000"].exists()


@pytest.mark.parametrize("spoilt", ["missing", "stale", "torn"])
def test_a_report_that_does_not_say_what_the_ledger_says_is_written_again(tmp_path: Path, spoilt: str) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", 3), tmp_path / "out"
    assert batcher("run", rows, *JOB, "--simulate", *QUICK, "--out", out, home=tmp_path).returncode == 0
    written = out / "report.json"
    text = written.read_text("utf-8")
    if spoilt == "missing":
        written.unlink()
    else:
        written.write_text(text.replace('"done": 3', '"done": 2') if spoilt == "stale" else text[:40], "utf-8")
    looked = batcher("verify", out, "--offline", home=tmp_path)
    assert (looked.returncode, "report.json is missing, or" in looked.stdout) == (1, True)
    mended = batcher("verify", out, home=tmp_path)
    assert (mended.returncode, "it is written again" in mended.stdout) == (0, True)
    assert report(out)["counts"]["done"] == 3
    assert batcher("verify", out, "--offline", home=tmp_path).returncode == 0


def test_a_damaged_ledger_is_refused_and_can_be_salvaged(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", 5), tmp_path / "out"
    with service(tmp_path, *QUICK) as simulated:
        assert batcher("run", rows, *JOB, "--out", out, home=tmp_path, env=simulated.env).returncode == 0
        requests = {row["request_id"] for row in results(out)}
        ledger = out / "ledger.db"
        ledger.write_bytes(b"\0" * 4096 + ledger.read_bytes()[4096:])
        for command in (("run", rows, *JOB, "--out", out), ("resume", out), ("status", out), ("report", out), ("verify", out)):
            refused = batcher(*command, home=tmp_path, env=simulated.env)
            assert refused.returncode == 73, refused.stderr
            assert "damaged" in refused.stderr
            assert "--salvage" in refused.stderr
            assert "Traceback" not in refused.stderr
        saved = batcher("verify", out, "--salvage", tmp_path / "found.jsonl", home=tmp_path)
        assert saved.returncode == 0, saved.stderr
        assert simulated.bill()["accepted"] == 5
    found = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text("utf-8").splitlines()]
    assert {request for line in found for request in line["request_ids"]} == requests
