"""Standard streams as a batch may find them: whoever reads along, or does not, the batch comes to its end and the exit code is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, Service, environment, report, wait_until
from tests.support.preloaded import service

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("A8"), pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")]

ROWS = 3
PIPE_BYTES = 65_536
ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service"), "--latency-s", 0.05, "--art", "plain") as running:
        yield running


def manifest(folder: Path, rows: int = ROWS) -> Path:
    path = folder / "rows.csv"
    path.write_text("id,prompt\n" + "".join(f"row{n},thing {n} of {folder.name}\n" for n in range(rows)), "utf-8")
    return path


@pytest.mark.parametrize(
    ("redirection", "env"),
    [
        pytest.param("--log-json 2>&1 | head -1", {}, id="head"),
        pytest.param("<&- >&- 2>&-", {}, id="all-closed"),
        pytest.param("--log-json >/dev/full 2>/dev/full", {}, id="full-disk"),
        pytest.param("--log-json 2>&-", {"TERM": "dumb"}, id="standard-error-closed"),
        pytest.param("", {"TERM": "dumb"}, id="no-terminal"),
    ],
)
def test_the_batch_ends_well(tmp_path: Path, simulated: Service, redirection: str, env: dict[str, str]) -> None:
    run = f"{sys.executable} -m batcher run {manifest(tmp_path)} --job text_to_image --out {tmp_path / 'out'}"
    script = f"set -o pipefail; {run} {redirection}"
    environ = environment(tmp_path, **simulated.env, **env)
    ended = subprocess.run(["bash", "-c", script], cwd=REPOSITORY, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert report(tmp_path / "out")["counts"]["done"] == ROWS
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said
    assert "Exception" not in said
    assert ESCAPE not in said


def test_nobody_reads(tmp_path: Path, simulated: Service) -> None:
    """Both pipes are as good as full from the start, and are read only when the process is gone."""
    rows = 40
    reading, writing = os.pipe()
    os.write(writing, b"x" * (PIPE_BYTES - 1))
    run = [sys.executable, "-m", "batcher", "run", manifest(tmp_path, rows), "--job", "text_to_image", "--out", tmp_path / "out", "--log-json"]
    env = environment(tmp_path, **simulated.env)
    running = subprocess.Popen(run, cwd=REPOSITORY, env=env, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing)
    try:
        assert running.wait(timeout=300) == 0
    finally:
        running.kill()
        os.close(writing)
        os.close(reading)
    assert report(tmp_path / "out")["counts"]["done"] == rows


def test_whoever_reads_late_reads_all(tmp_path: Path, simulated: Service) -> None:
    rows = 150
    run = [sys.executable, "-m", "batcher", "run", manifest(tmp_path, rows), "--job", "text_to_image", "--out", tmp_path / "out", "--log-json"]
    env = environment(tmp_path, **simulated.env)
    running = subprocess.Popen(run, cwd=REPOSITORY, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "out" / "report.json").exists(), "the batch to be reported, though nobody reads")
    _, log = running.communicate(timeout=300)
    assert running.returncode == 0
    assert len(log.encode()) > PIPE_BYTES
    assert sum(json.loads(line).get("event") == "Saved" for line in log.splitlines()) == rows
