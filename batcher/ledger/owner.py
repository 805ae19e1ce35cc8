"""One live owner of an output folder at a time; the lock of a dead one is gone with it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from batcher.errors import OutputError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(1 << 20)  # a byte that is never written, so that the file stays readable
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_at_work(folder: Path) -> bool:
    """Whether somebody works on `folder`, going by what whoever did last wrote there.

    The lock is left alone: trying it, for however short a moment, would refuse it to a run that begins. Whoever is on another machine is believed.
    """
    facts = _facts_in(folder / Owner.FILE)
    if not facts or facts.get("closed"):
        return False
    return facts.get("host") != socket.gethostname() or _is_alive(facts.get("pid"))


def _facts_in(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return False
    if sys.platform == "win32":  # there is no asking there that does no harm
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # killed, and waited for by nobody: only Linux tells
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1] != [b"Z"]
    return True


class Owner:
    """Holds the folder from construction to `release`. The operating system lets go of the lock when the process dies, however it dies."""

    FILE = "owner.lock"

    def __init__(self, folder: Path) -> None:
        path = folder / self.FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            self._file = os.fdopen(descriptor, "r+", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}", "Choose an --out folder that can be written.") from error
        try:
            _lock(self._file)
        except OSError as error:
            whose = self._describe()
            self._file.close()
            raise OutputError(f"{folder} is in use: {whose}", "Wait for it to end, stop it, or choose another --out folder.") from error
        found = self._read()
        self.found_closed = bool(found.get("closed"))
        """Whether the last owner closed the ledger before it went."""
        self.found_seal = found.get("seal")
        """How the ledger was then, if all of it was known to be sound."""
        self._facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self._write(self._facts)

    def _describe(self) -> str:
        owner = self._read()
        try:
            return f"batcher is running there, process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except KeyError:
            return "another process holds it"

    def _read(self) -> dict[str, Any]:
        self._file.seek(0)
        try:
            return dict(json.loads(self._file.read()))
        except (ValueError, TypeError):
            return {}

    def _write(self, facts: dict[str, Any]) -> None:
        """Say who we are. Where the disk takes nothing the lock holds all the same."""
        descriptor = self._file.fileno()
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(facts).encode())

    def close(self, seal: Sequence[int] | None = None) -> None:
        """Note that the ledger was closed, so that nothing of it is anywhere else than in its own file; and its `seal`, where it is sound."""
        self._write({**self._facts, "closed": True, "seal": seal})

    def release(self) -> None:
        """Let go of the folder."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
