"""What kind of disk a folder is on: SQLite's WAL needs memory shared by all its users, which a network file system does not have."""

from __future__ import annotations

import os
from pathlib import Path

NETWORK_TYPES = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
)


def is_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether `path` is on a network file system, as far as the system tells; False where it does not."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    target = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        _, point, type_, *_ = [*line.split(" "), "", "", ""]
        point = point.replace("\\040", " ")
        if len(point) >= len(best) and (target == point or target.startswith(point.rstrip("/") + "/")):
            best, kind = point, type_
    return kind in NETWORK_TYPES
