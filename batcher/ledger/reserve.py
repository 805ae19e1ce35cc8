"""Room that is kept on the disk, so that what a submit answered can still be written down when nothing else fits any more."""

from __future__ import annotations

import os
from pathlib import Path

from batcher.errors import OutputError

RESERVE_BYTES = 1 << 20
"""Far more than the records of all submits that can be under way at once."""


class Reserve:
    """A file of no use but its size, beside the ledger."""

    FILE = "ledger.reserve"

    def __init__(self, folder: Path) -> None:
        self._path = folder / self.FILE
        self.is_used = False
        """Whether the room was needed: nothing more may be begun."""

    def hold(self) -> None:
        """Take the room. Raises `OutputError` where there is none."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(descriptor, "wb") as file:
                if os.fstat(descriptor).st_size != RESERVE_BYTES:
                    file.write(os.urandom(RESERVE_BYTES))
        except OSError as error:
            self.let_go()
            message = f"{self._path}: {RESERVE_BYTES:,} bytes cannot be put by for the ledger: {error.strerror or error}"
            raise OutputError(message, "Nothing was submitted. Free some space there, then run the same command again.") from error

    def use(self) -> bool:
        """Give the room to whoever needs it now; False where it is used already."""
        if self.is_used or not self._path.exists():
            return False
        self.is_used = True
        self.let_go()
        return True

    def let_go(self) -> None:
        """Take no room any more."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:  # on a disk that fails: the next process takes it over
            return
