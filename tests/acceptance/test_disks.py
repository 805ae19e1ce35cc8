"""Disks that are full, read-only, or somebody else's: submitting stops, what is paid for stays collectable, and resume completes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, environment, report, write_rows
from tests.support.disks import needs_disks, on_a_disk
from tests.support.preloaded import batcher, service

pytestmark = pytest.mark.acceptance

ROWS = 40
JOB = "--job text_to_image"


def codes(said: str) -> dict[str, int]:
    """What the script says of itself: lines such as `first=75`."""
    return {name: int(code) for name, code in re.findall(r"^(\w+)=(\d+)$", said, re.MULTILINE)}


FILL = 'fill() { dd if=/dev/zero of="$DISK/ballast" bs=1k 2>/dev/null; }\n'


@needs_disks
@pytest.mark.fault("B1", "B2", "X24")
def test_a_disk_that_fills_up_in_the_middle_of_a_run_costs_nothing(tmp_path: Path) -> None:
    """Filled to its last byte while rows are submitted, at the service, and downloaded: by somebody else, as it goes."""
    write_rows(tmp_path / "rows.csv", ROWS)
    script = (
        FILL
        + f"""
batcher run rows.csv {JOB} --out "$DISK/out" --posts-in-flight 4 --concurrency 12 >said 2>&1 &
PID=$!
until [ "$(ls "$DISK/out/results" 2>/dev/null | wc -l)" -ge 3 ]; do kill -0 $PID 2>/dev/null || break; done
fill
wait $PID; echo first=$?
batcher status "$DISK/out" --json >"$KEEP/full.json" 2>"$KEEP/full.err"; echo status=$?
batcher resume "$DISK/out" >again 2>&1; echo still_full=$?
rm "$DISK/ballast"
batcher resume "$DISK/out" >"$KEEP/resumed" 2>&1; echo resumed=$?
batcher verify "$DISK/out" --offline; echo verified=$?
cp -r "$DISK/out" "$KEEP/out"
"""
    )
    with service(tmp_path, "--latency-s", 1, "--slots", 4, "--art", "plain") as simulated:
        ran = on_a_disk(script, tmp_path, tmp_path, **simulated.env)
        bill = simulated.bill()
    said, complaints = (tmp_path / "said").read_text("utf-8"), ran.stdout + ran.stderr
    assert codes(ran.stdout) == {"first": 75, "status": 0, "still_full": 73, "resumed": 0, "verified": 0}, complaints + said
    assert "Free some space" in said
    assert "Traceback" not in said + (tmp_path / "again").read_text("utf-8")
    assert bill["duplicates"] == []
    assert bill["accepted"] == bill["distinct_bodies"] == ROWS, "nothing was lost, so nothing was made twice"
    assert report(tmp_path / "keep" / "out")["counts"]["done"] == ROWS


@needs_disks
@pytest.mark.fault("B11", "X24")
def test_a_disk_that_takes_no_more_files(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", ROWS)
    script = f"""
batcher run rows.csv {JOB} --out "$DISK/out" --concurrency 8 >said 2>&1 &
PID=$!
until [ "$(ls "$DISK/out/results" 2>/dev/null | wc -l)" -ge 3 ]; do kill -0 $PID 2>/dev/null || break; done
mkdir "$DISK/many"; (cd "$DISK/many" && seq 700 | xargs touch) 2>/dev/null
wait $PID; echo first=$?
rm -r "$DISK/many"
batcher resume "$DISK/out" >resumed 2>&1; echo resumed=$?
cp -r "$DISK/out" "$KEEP/out"
"""
    with service(tmp_path, "--latency-s", 1, "--slots", 4, "--art", "plain") as simulated:
        ran = on_a_disk(script, tmp_path, tmp_path, inodes=600, **simulated.env)
        bill = simulated.bill()
    said = (tmp_path / "said").read_text("utf-8")
    assert codes(ran.stdout) == {"first": 75, "resumed": 0}, ran.stdout + ran.stderr + said
    assert "Traceback" not in said
    assert bill["accepted"] == bill["distinct_bodies"] == ROWS
    assert report(tmp_path / "keep" / "out")["counts"]["done"] == ROWS


@needs_disks
@pytest.mark.fault("B4", "B5", "B12")
def test_a_disk_that_cannot_be_used_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", 5)
    script = (
        FILL
        + f"""
batcher run rows.csv {JOB} --simulate --latency-s 0 --art plain --out "$DISK/old" >made 2>&1; echo made=$?
dd if=/dev/zero of="$DISK/ballast" bs=1M count=55 2>/dev/null
batcher run rows.csv {JOB} --out "$DISK/small" >small 2>&1; echo small=$?
rm "$DISK/ballast"
mount -o remount,ro "$DISK"
batcher run rows.csv {JOB} --out "$DISK/new" >new 2>&1; echo new=$?
batcher resume "$DISK/old" >old 2>&1; echo old=$?
batcher status "$DISK/old" >status 2>&1; echo status=$?
batcher report "$DISK/old" >report 2>&1; echo report=$?
batcher verify "$DISK/old" --offline >verify 2>&1; echo verify=$?
"""
    )
    with service(tmp_path, "--latency-s", 0, "--art", "plain") as simulated:
        ran = on_a_disk(script, tmp_path, tmp_path, **simulated.env)
        assert simulated.bill()["accepted"] == 0
    expected = {"made": 0, "small": 73, "new": 73, "old": 73, "status": 0, "report": 73, "verify": 0}
    said = {name: (tmp_path / name).read_text("utf-8") for name in expected}
    assert codes(ran.stdout) == expected, ran.stderr + str(said)
    assert "MB are free on its disk" in said["small"]
    assert not any("Traceback" in text for text in said.values())
    assert "read-only" in said["new"].lower()
    assert "5 of 5 files" in said["verify"]


@pytest.mark.fault("B11", "X24")
@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_limit_on_the_size_of_files_stops_the_run_and_lifting_it_completes_it(tmp_path: Path) -> None:
    import subprocess

    rows, out = write_rows(tmp_path / "rows.csv", ROWS), tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain") as simulated:
        command = f'ulimit -f 1; ulimit -f; exec "{sys.executable}" -m batcher run {rows} {JOB} --out {out}'
        env = {**environment(tmp_path, **simulated.env), "PYTHONPATH": str(REPOSITORY)}
        stopped = subprocess.run(["sh", "-c", command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert stopped.returncode in (73, 75), stopped.stderr
        assert "Traceback" not in stopped.stderr
        assert batcher("run", rows, *JOB.split(), "--out", out, home=tmp_path, env=simulated.env).returncode == 0
        bill = simulated.bill()
    assert bill["accepted"] == bill["distinct_bodies"] == ROWS


@pytest.mark.fault("B4")
@pytest.mark.parametrize("obstacle", ["file", "file in the way", "folder for the ledger", "folder for the lock"])
def test_an_output_folder_that_cannot_be_one_is_refused_before_anything_is_paid(tmp_path: Path, obstacle: str) -> None:
    rows, out = write_rows(tmp_path / "rows.csv", 2), tmp_path / "out"
    match obstacle:
        case "file":
            out.write_text("", "utf-8")
        case "file in the way":
            (tmp_path / "file").write_text("", "utf-8")
            out = tmp_path / "file" / "out"
        case "folder for the ledger":
            (out / "ledger.db").mkdir(parents=True)
        case "folder for the lock":
            (out / "owner.lock").mkdir(parents=True)
    with service(tmp_path, "--latency-s", 0, "--art", "plain") as simulated:
        refused = batcher("run", rows, *JOB.split(), "--out", out, home=tmp_path, env=simulated.env)
        assert refused.returncode == 73, refused.stderr
        assert str(out) in refused.stderr
        assert "Traceback" not in refused.stderr
        assert simulated.bill()["accepted"] == 0
