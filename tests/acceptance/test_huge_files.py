"""Files that are larger than any memory, as manifests, as rows and as pictures: refused, at the cost of a few of their bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import REPOSITORY, environment

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("F2"), pytest.mark.skipif(sys.platform == "win32", reason="rusage and sparse files")]

GIBIBYTE = 2**30
MEMORY_KIB = 350 * 1024
"""A plan of a small manifest takes about 90 MiB; a YAML file may have 64 MiB."""


MEASURED = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, "-m", "batcher", "plan", *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A small process between: what a process had at the most counts what the one had that it was forked from."""


def planned(folder: Path, *arguments: object) -> tuple[int, str, int]:
    """How `batcher plan` ends: its exit code, what it says, and the most memory that it had, in KiB."""
    command = [sys.executable, "-c", MEASURED, *map(str, arguments)]
    env = environment(folder, PYTHONPATH=str(REPOSITORY))
    ended = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr, int(ended.stdout) // (1024 if sys.platform == "darwin" else 1)


def sparse(path: Path, head: bytes) -> Path:
    """A file of a gibibyte that begins with `head`, and takes no room on the disk."""
    path.write_bytes(head)
    os.truncate(path, GIBIBYTE)
    return path


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("rows.csv", b"id,prompt\na,", "rows.csv:2: the line is longer than 8 MiB"),
        ("rows.jsonl", b'{"id": "a", "prompt": "x"}\n{"id": "', "rows.jsonl:2: the line is longer than 8 MiB"),
        ("batch.yaml", b"job: text_to_image\nrows:\n- prompt: ", "batch.yaml: the file is larger than 64 MiB"),
        ("no_suffix", b"", "no_suffix:1: the line is longer than 8 MiB"),
    ],
)
def test_one_line_of_a_gibibyte_is_refused_at_its_line_in_little_memory(tmp_path: Path, name: str, head: bytes, said: str) -> None:
    code, words, peak_kib = planned(tmp_path, sparse(tmp_path / name, head), "--job", "text_to_image")
    assert code == 65
    assert said in words
    assert "Traceback" not in words
    assert peak_kib < MEMORY_KIB


@pytest.mark.fault("F9")
def test_a_picture_of_a_gibibyte_is_refused_by_its_size(tmp_path: Path) -> None:
    sparse(tmp_path / "huge.png", b"\x89PNG\r\n\x1a\n")
    sparse(tmp_path / "nothing.png", b"")
    (tmp_path / "rows.csv").write_text("id,image,background\na,huge.png,x\nb,nothing.png,x\n", "utf-8")
    code, words, peak_kib = planned(tmp_path, "rows.csv", "--job", "background_replacement")
    assert code == 65
    assert "rows.csv:2: image:" in words
    assert "1,073,741,824 bytes: more than the limit" in words
    assert "rows.csv:3: image:" in words
    assert peak_kib < MEMORY_KIB
