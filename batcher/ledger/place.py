"""Where a ledger is, so that a copy can be told from the one that it was copied from.

Two copies of one ledger would both submit the rows that are open in them, and those would be paid for twice. A file keeps its inode when it is
renamed or moved on its disk and gets a new one when it is copied.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MACHINE_ID = Path("/etc/machine-id")


def place_of(ledger: Path, machine_id: Path = MACHINE_ID) -> dict[str, Any]:
    """Where `ledger` is now: `host`, `machine`, which containers do not have, `path`, and the inodes of file and folder."""
    path = Path(os.path.realpath(ledger))
    return {
        "host": socket.gethostname(),
        "machine": _machine(machine_id),
        "path": str(path.parent),
        "inodes": [path.stat().st_ino, path.parent.stat().st_ino],
    }


def is_another(then: Mapping[str, Any], now: Mapping[str, Any], *, on_network: bool) -> bool:
    """Whether a ledger that was at `then` is another file, or on another machine, `now`.

    On a disk of its own the lock says whether the last owner lives, whatever its host was called: a container has a new name each time. Across a
    network it may not.
    """
    if then.get("inodes", now["inodes"])[:1] != now["inodes"][:1]:
        return True
    if then.get("machine") and now.get("machine") and then["machine"] != now["machine"]:
        return True
    is_bare = "inodes" not in then
    return then.get("host") != now["host"] and (on_network or is_bare)


def _machine(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
