"""What the system allows the process: open files and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, Service, environment, report, service

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
