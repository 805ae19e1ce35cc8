"""One live owner of an output folder at a time; the lock of a dead one is gone with it."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

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
        try:
            self._file.truncate(0)
            self._file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
            self._file.flush()
        except OSError as error:
            with suppress(OSError):  # what is left in the buffer cannot be written either
                self._file.close()
            raise OutputError(f"{path}: cannot be written: {error.strerror}", "Make room on the disk, or choose another --out folder.") from error

    def _describe(self) -> str:
        self._file.seek(0)
        try:
            owner = json.loads(self._file.read())
            return f"batcher is running there, process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except (ValueError, KeyError, TypeError):
            return "another process holds it"

    def release(self) -> None:
        """Let go of the folder."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
