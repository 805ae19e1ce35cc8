"""Files of the gallery: whole or not there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def place(path: Path, data: bytes, *, gallery: Path) -> None:
    """Write a file somewhere in the folder `gallery`; it can be made again, so that it need not outlast a power cut. From any thread.

    It is for its owner only, like all that shows prompts. It is written in `gallery` itself, where `batcher.report.sweep` looks for what dead
    processes left. Raises `OSError`.
    """
    draft = gallery / f".{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb") as file:
            file.write(data)
        path.parent.mkdir(0o700, exist_ok=True)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
