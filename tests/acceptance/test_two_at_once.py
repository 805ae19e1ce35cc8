"""Two processes, or two copies, of one batch."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.support.command import Service, start, status, wait_until, write_rows
from tests.support.preloaded import batcher, service

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")]

ROWS = 12
JOB = ("--job", "text_to_image")


def run_until_half_is_submitted(rows: Path, out: Path, home: Path, simulated: Service) -> None:
    """And kill it then."""
    running = start("run", rows, *JOB, "--out", out, "--concurrency", ROWS // 2, home=home, env=simulated.env)
    wait_until(lambda: status(out, home).get("submitted", 0) == ROWS // 2, "half of the rows to be submitted")
    running.kill()
    running.communicate()


def run_until_accepted(submissions: int, *command: object, home: Path, simulated: Service) -> None:
    """And kill it then: what the service was given takes ten minutes there."""
    running = start(*command, home=home, env=simulated.env)
    wait_until(lambda: running.poll() is not None or simulated.bill()["accepted"] >= submissions, f"{submissions} submissions")
    running.kill()
    _, said = running.communicate()
    assert simulated.bill()["accepted"] == submissions, said


@pytest.mark.fault("A11")
def test_a_second_process_is_told_who_works_there_and_a_killed_one_is_followed_without_asking(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out"
    with service(tmp_path, "--latency-s", 600, "--art", "plain") as simulated:
        running = start("run", rows, *JOB, "--out", out, home=tmp_path, env=simulated.env)
        wait_until(lambda: status(out, tmp_path).get("submitted", 0) == ROWS, "every row to be submitted")
        for command in (("run", rows, *JOB, "--out", out), ("resume", out), ("cancel", out), ("plan", rows, *JOB, "--out", out)):
            refused = batcher(*command, home=tmp_path, env=simulated.env)
            assert refused.returncode == 73, refused.stderr
            assert f"process {running.pid} on {socket.gethostname()}, since 20" in refused.stderr
        assert batcher("verify", out, "--offline", home=tmp_path).returncode == 0, "looking is allowed meanwhile"
        running.kill()
        running.communicate()
        owner = json.loads((out / "owner.lock").read_text("utf-8"))
        assert (owner["pid"], owner["host"], owner.get("closed")) == (running.pid, socket.gethostname(), None)
        taken = batcher("cancel", out, home=tmp_path, env=simulated.env)
        assert "in use" not in taken.stderr
        assert taken.returncode in (1, 75), taken.stderr
        assert simulated.bill()["accepted"] == ROWS


@pytest.mark.fault("X10")
def test_a_copy_of_a_killed_batch_is_not_run_beside_the_first_unless_a_person_says_so(tmp_path: Path) -> None:
    rows, out, copy = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out", tmp_path / "copy"
    with service(tmp_path, "--latency-s", 600, "--art", "plain") as simulated:
        run_until_half_is_submitted(rows, out, tmp_path, simulated)
        shutil.copytree(out, copy)
        for command in (("resume", copy), ("run", rows, *JOB, "--out", copy), ("cancel", copy)):
            refused = batcher(*command, home=tmp_path, env=simulated.env)
            assert refused.returncode == 73, refused.stderr
            assert f"is a copy of a batch that was being run at {out} on {socket.gethostname()}" in refused.stderr
            assert "--take-over" in refused.stderr
        assert simulated.bill()["accepted"] == ROWS // 2
        renamed = out.rename(tmp_path / "renamed")
        run_until_accepted(ROWS, "resume", renamed, "--concurrency", ROWS, home=tmp_path, simulated=simulated)
        # A person vouched for it, wrongly: that is what it costs.
        run_until_accepted(ROWS + ROWS // 2, "resume", copy, "--take-over", "--concurrency", ROWS, home=tmp_path, simulated=simulated)


@pytest.mark.fault("X10")
def test_a_batch_that_ended_cleanly_may_be_moved_to_another_disk_or_machine(tmp_path: Path) -> None:
    rows, out, copy = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out", tmp_path / "copy"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "submit:400002:nth=4") as simulated:
        stopped = batcher("run", rows, *JOB, "--out", out, "--posts-in-flight", 1, home=tmp_path, env=simulated.env)
        assert stopped.returncode == 75, stopped.stderr
        shutil.copytree(out, copy)
        shutil.rmtree(out)
        resumed = batcher("resume", copy, home=tmp_path, env=simulated.env)
        assert resumed.returncode == 0, resumed.stderr
        assert f"was last run at {out} on" in resumed.stderr
        assert simulated.bill()["accepted"] == ROWS
        again = batcher("resume", copy, home=tmp_path, env=simulated.env)
        assert "was last run at" not in again.stderr
        bill = simulated.bill()
    assert bill["accepted"] == bill["distinct_bodies"] == ROWS


@pytest.mark.fault("A14")
def test_a_ledger_without_the_wal_of_its_killed_run_is_refused(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out"
    with service(tmp_path, "--latency-s", 600, "--art", "plain") as simulated:
        run_until_half_is_submitted(rows, out, tmp_path, simulated)
        kept = (out / "ledger.db-wal").read_bytes()
        (out / "ledger.db-wal").unlink()
        (out / "ledger.db-shm").unlink()
        ledger = (out / "ledger.db").read_bytes()
        refused = batcher("resume", out, home=tmp_path, env=simulated.env)
        assert refused.returncode == 73, refused.stderr
        assert "ledger.db-wal" in refused.stderr
        assert simulated.bill()["accepted"] == ROWS // 2
        (out / "ledger.db").write_bytes(ledger)
        (out / "ledger.db-wal").write_bytes(kept)
        run_until_accepted(ROWS, "resume", out, "--concurrency", ROWS, home=tmp_path, simulated=simulated)
        assert simulated.bill()["duplicates"] == []
