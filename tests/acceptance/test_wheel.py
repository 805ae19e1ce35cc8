from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, SAMPLES, environment, report

pytestmark = pytest.mark.acceptance


def test_a_wheel_installs_and_runs_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"batcher/ledger/sql/queries.sql", "batcher/templates/starter.yaml.j2", "batcher/py.typed", "jobs/raw.py"} <= set(names)
    assert {f"batcher/report/gallery/templates/{name}" for name in ("page.html.j2", "gallery.css", "gallery.js")} <= set(names)
    assert not any(name.startswith(("tests/", "scripts/", "benchmarks/")) for name in names)

    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, timeout=120)
    env = environment(elsewhere, PYTHONPATH=str(site), PYTHONSAFEPATH="1")
    where = subprocess.run(
        [sys.executable, "-c", "import batcher, jobs; print(batcher.__file__, jobs.__file__)"],
        env=env,
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.count(str(site)) == 2, where.stdout
    run = [sys.executable, "-m", "batcher", "run", str(SAMPLES / "dataset_nightly.yaml"), "--simulate", "--latency-s", "0", "--art", "plain"]
    ran = subprocess.run([*run, "--out", "out"], env=env, cwd=elsewhere, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert report(elsewhere / "out")["counts"]["done"] == 24
    assert (elsewhere / "out" / "report.html").is_file()
    assert [path.name for path in elsewhere.iterdir()] == ["out"]
