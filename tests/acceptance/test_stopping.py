from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import SAMPLES, report, results, start, status, wait_until, write_rows
from tests.support.preloaded import batcher, service

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

ROWS = 24
JOB = ("--job", "text_to_image")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.csv", ROWS)


def test_sigkill_in_the_middle_costs_nothing_twice(tmp_path: Path, manifest: Path) -> None:
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 2.0, "--slots", 6, "--art", "plain") as simulated:
        command = ("run", manifest, *JOB, "--concurrency", ROWS, "--out", out)
        running = start(*command, home=tmp_path, env=simulated.env)
        wait_until(lambda: status(out).get("done", 0) >= 5, "the first rows to be done")
        wait_until(lambda: nothing_to_submit(status(out)), "every row to be submitted")
        running.kill()
        running.communicate()
        killed = status(out)
        assert killed["done"] < ROWS
        again = batcher(*command, home=tmp_path, env=simulated.env)
        assert again.returncode == 0, again.stderr
        assert report(out)["counts"]["done"] == ROWS
        bill = simulated.bill()
    assert bill["accepted"] == bill["distinct_bodies"] == ROWS
    assert bill["downloads_with_credentials"] == 0


def test_sigkill_at_any_moment_pays_no_row_twice_and_loses_no_id(tmp_path: Path, manifest: Path) -> None:
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0.4, "--slots", 12, "--art", "plain") as simulated:
        command = ("run", manifest, *JOB, "--out", out, "--posts-in-flight", 2)
        for moment in (3, 8, 13, 19):
            running = start(*command, home=tmp_path, env=simulated.env)
            wait_until(lambda moment=moment: simulated.bill()["accepted"] >= moment, f"{moment} submissions")  # type: ignore[misc]
            running.kill()
            running.communicate()
        last = batcher(*command, home=tmp_path, env=simulated.env)
        counts, bill = report(out)["counts"], simulated.bill()
    assert last.returncode == (1 if counts["in_doubt"] else 0)
    assert bill["duplicates"] == []
    assert counts["done"] + counts["in_doubt"] == ROWS
    assert counts["in_doubt"] <= 4 * 2
    assert bill["accepted"] >= counts["done"]


def test_ctrl_c_takes_back_what_is_queued_and_resume_completes(tmp_path: Path, manifest: Path) -> None:
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0.7, "--slots", 4, "--art", "plain") as simulated:
        running = start("run", manifest, *JOB, "--out", out, home=tmp_path, env=simulated.env)
        wait_until(lambda: status(out).get("done", 0) >= 3, "the first rows to be done")
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=60)
        assert running.returncode == 130, complained
        counts, bill = report(out)["counts"], simulated.bill()
        assert bill["cancelled"] > 0
        assert counts["open"] > 0
        assert counts["done"] + counts["open"] == ROWS
        assert report(out)["exit_reason"] == "interrupted"
        assert f"batcher resume {out}" in said
        resumed = batcher("resume", out, home=tmp_path, env=simulated.env)
        assert resumed.returncode == 0, resumed.stderr
        assert report(out)["counts"]["done"] == ROWS
        bill = simulated.bill()
        assert bill["accepted"] - bill["cancelled"] == ROWS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
def test_a_second_signal_leaves_at_once_with_every_id_kept(tmp_path: Path, manifest: Path, number: int, code: int) -> None:
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 60, "--slots", ROWS, "--art", "plain") as simulated:
        running = start("run", manifest, *JOB, "--out", out, home=tmp_path, env=simulated.env)
        wait_until(lambda: status(out).get("submitted", 0) == ROWS, "every row to be submitted")
        running.send_signal(number)
        time.sleep(0.3)
        running.send_signal(number)
        running.communicate(timeout=10)
        assert running.returncode == code
        assert all(row["request_id"] for row in results(out))
        assert report(out)["counts"]["open"] == ROWS
        assert simulated.bill()["accepted"] == ROWS


def test_cancel_takes_back_what_an_interrupted_run_left_queued(tmp_path: Path, manifest: Path) -> None:
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 60, "--slots", 4, "--art", "plain") as simulated:
        running = start("run", manifest, *JOB, "--out", out, home=tmp_path, env=simulated.env)
        wait_until(lambda: status(out).get("submitted", 0) == ROWS, "every row to be submitted")
        running.kill()
        running.communicate()
        cancelled = batcher("cancel", out, home=tmp_path, env=simulated.env)
        assert cancelled.returncode == 75
        assert report(out)["counts"] == {"done": 0, "failed": 0, "cancelled": ROWS - 4, "in_doubt": 0, "open": 4}
        assert simulated.bill()["cancelled"] == ROWS - 4


def test_a_second_process_on_the_folder_is_refused_with_the_owner_named(tmp_path: Path, manifest: Path) -> None:
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 60, "--art", "plain") as simulated:
        running = start("run", manifest, *JOB, "--out", out, home=tmp_path, env=simulated.env)
        wait_until(lambda: status(out).get("submitted", 0) > 0, "the first submissions")
        refused = batcher("resume", out, home=tmp_path, env=simulated.env)
        running.kill()
        running.communicate()
    assert refused.returncode == 73
    assert str(running.pid) in refused.stderr


def test_a_simulated_run_that_was_killed_is_resumed_with_its_simulator(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ("--simulate", "--speed", 25, "--slots", 4, "--concurrency", 24, "--art", "plain", "--out", out)
    running = start("run", SAMPLES / "quickstart.yaml", *flags, home=tmp_path, stderr=subprocess.DEVNULL)
    wait_until(lambda: status(out).get("submitted", 0) >= 8, "submissions")
    wait_until(lambda: nothing_to_submit(status(out)), "every row to be submitted")
    running.kill()
    running.communicate()
    resumed = batcher("resume", out, home=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert report(out)["counts"]["done"] == report(out)["rows"]


def nothing_to_submit(states: dict[str, int]) -> bool:
    """Whether a kill at this moment leaves no row in doubt."""
    return states["planned"] == 0 and states["submitting"] == 0
