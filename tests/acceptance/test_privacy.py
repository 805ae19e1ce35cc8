"""Who may read what a run leaves behind."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from tests.support.command import PATIENCE_S, start, wait_until, write_rows
from tests.support.preloaded import batcher

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("G7"), pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")]


def modes(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.rglob("*"):
        try:
            found[path.relative_to(folder).as_posix()] = stat.S_IMODE(path.lstat().st_mode)
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_whatever_holds_prompts_is_for_its_owner_only_from_the_start_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    rows = write_rows(tmp_path / "rows.csv", 4)
    out = tmp_path / "new" / "out"
    flags = ("--job", "text_to_image", "--simulate", "--art", "plain", "--latency-s", 0.05, "--out", out)
    before = os.umask(umask)
    try:
        process = start("run", rows, *flags, home=tmp_path)
    finally:
        os.umask(before)
    with process:
        wait_until(lambda: ("ledger.db-wal" in modes(out) and "owner.lock" in modes(out)) or process.poll() is not None, "the ledger")
        running = {**modes(out), "": stat.S_IMODE(out.stat().st_mode)}
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    ended = {**modes(out), "": stat.S_IMODE(out.stat().st_mode)}
    for found in (running, ended):
        assert found[""] == 0o700
        private = {name: mode for name, mode in found.items() if name and name.split("/")[0] != "results"}
        assert {name for name, mode in private.items() if mode & 0o077} == set()
    assert {"report.json", "results.jsonl", "ledger.db", "owner.lock", ".simulator", ".simulator/journal.jsonl"} <= set(ended)
    pictures = {mode for name, mode in ended.items() if name.endswith(".png")}
    assert pictures == {0o666 & ~umask}, "pictures are as the umask says: who opens the folder to others shares them, and no prompts"


def test_a_folder_that_was_there_keeps_its_mode_and_the_prompts_in_it_are_private_all_the_same(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 2)
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    out.chmod(0o755)
    flags = ("--job", "text_to_image", "--simulate", "--art", "plain", "--latency-s", 0, "--out", out)
    assert batcher("run", rows, *flags, home=tmp_path).returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
    (out / "report.json").chmod(0o644)
    assert batcher("report", out, home=tmp_path).returncode == 0
    found = modes(out)
    assert {name for name, mode in found.items() if mode & 0o077} == {name for name in found if name.split("/")[0] == "results"}
