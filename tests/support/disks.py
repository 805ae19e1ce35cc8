"""Disks of a size of one's own: tmpfs in a mount namespace, which only root may make, and which nobody else sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import PATIENCE_S, REPOSITORY, environment


def can_mount() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode == 0


needs_disks = pytest.mark.skipif(not can_mount(), reason="only root may mount a tmpfs, on Linux")


def on_a_disk(script: str, folder: Path, home: Path, *, size: str = "64m", inodes: int = 10_000, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in a shell with an empty disk at `$DISK`; `batcher` is the command. What is to be seen afterwards has to be copied to `$KEEP`."""
    disk, keep, tools = folder / "disk", folder / "keep", folder / "bin"
    for each in (disk, keep, tools):
        each.mkdir(exist_ok=True)
    command = tools / "batcher"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batcher "$@"\n', "utf-8")
    command.chmod(0o755)
    variables = {**environment(home), "PYTHONPATH": str(REPOSITORY), "DISK": str(disk), "KEEP": str(keep), **env}
    variables["PATH"] = os.pathsep.join([str(tools), variables["PATH"]])
    mount = f"set -u; mount -t tmpfs -o size={size},nr_inodes={inodes} none {disk}\n"
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + script], env=variables, cwd=folder, capture_output=True, text=True, timeout=3 * PATIENCE_S, check=False
    )
