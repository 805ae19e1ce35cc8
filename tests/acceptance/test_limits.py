"""What the system allows the process: open files and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, Service, environment, report, start, status, wait_until
from tests.support.preloaded import service

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")]

ROWS = 60


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Slow enough that all that may be under way is under way at once."""
    slowly = [flag for call in ("submit", "status", "download") for flag in ("--fault", f"{call}:delay:delay_s=0.3,first=1,per=request")]
    with service(tmp_path_factory.mktemp("service"), "--latency-s", 0.5, "--slots", 1000, "--art", "plain", *slowly) as running:
        yield running


def run_under(limits: str, folder: Path, *flags: object, env: dict[str, str], rows: int = ROWS) -> subprocess.CompletedProcess[str]:
    manifest = folder / "rows.csv"
    manifest.write_text("id,prompt\n" + "".join(f"row{n},thing {n} of {folder.name}\n" for n in range(rows)), "utf-8")
    command = f"{limits}; exec {sys.executable} -m batcher run {manifest} --job text_to_image --out {folder / 'out'} {' '.join(map(str, flags))}"
    environ = environment(folder, **env)
    return subprocess.run(["bash", "-c", command], cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=600)


MANY = ("--concurrency", 1000, "--posts-in-flight", 200, "--downloads", 200)


@pytest.mark.fault("A10")
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("ulimit -n 64", "The limit of open files (64) allows 12 requests, 6 submits and 2 downloads at once, instead of 1000, 200 and 200."),
        ("ulimit -n 256", "The limit of open files (256) allows "),
        ("ulimit -Sn 64", ""),
    ],
)
def test_few_open_files_cost_no_row_its_result(tmp_path: Path, simulated: Service, limits: str, said: str) -> None:
    ended = run_under(limits, tmp_path, *MANY, env=simulated.env)
    assert ended.returncode == 0, ended.stderr
    assert report(tmp_path / "out")["counts"]["done"] == ROWS
    assert said in ended.stderr
    assert ("limit of open files" in ended.stderr) == bool(said)


@pytest.mark.fault("A10")
def test_the_simulated_service_in_the_same_process_needs_files_too(tmp_path: Path) -> None:
    ended = run_under("ulimit -n 96", tmp_path, *MANY, "--simulate", "--latency-s", 0.5, "--slots", 1000, "--art", "plain", env={})
    assert ended.returncode == 0, ended.stderr
    assert report(tmp_path / "out")["counts"]["done"] == ROWS
    assert "The limit of open files (96) allows" in ended.stderr


@pytest.mark.fault("A10")
def test_hardly_any_open_files_are_refused_before_anything_is_paid(tmp_path: Path, simulated: Service) -> None:
    accepted = simulated.bill()["accepted"]
    ended = run_under("ulimit -n 48", tmp_path, env=simulated.env)
    assert ended.returncode == 70
    assert "at least 60 are needed" in ended.stderr
    assert simulated.bill()["accepted"] == accepted


MEMORY_BOUND_MB = 160
MANY_ROWS = 100_000


@pytest.mark.fault("A9", "X20")
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_hundred_thousand_rows_take_bounded_memory(tmp_path: Path, simulated: Service) -> None:
    """Planned from the first to the last, and running. What becomes of all of them is measured by benchmarks/many_rows.py."""
    manifest = tmp_path / "rows.jsonl"
    with manifest.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"id": "row{n}", "prompt": "thing {n} of many"}}\n' for n in range(MANY_ROWS))
    before = simulated.bill()["accepted"]
    running = start("run", manifest, "--job", "text_to_image", "--out", tmp_path / "out", "--quiet", home=tmp_path, env=simulated.env)
    wait_until(lambda: simulated.bill()["accepted"] >= before + 200, "submits after the plan", patience_s=900)
    used = Path(f"/proc/{running.pid}/status").read_text("utf-8")
    running.kill()
    running.communicate()
    assert sum(status(tmp_path / "out").values()) == MANY_ROWS
    [peak_kb] = [int(line.split()[1]) for line in used.splitlines() if line.startswith("VmHWM:")]
    assert peak_kb / 1024 <= MEMORY_BOUND_MB
