"""Files that take the place of others when they are complete and durable, and leave no trace where they are not."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from batcher.crashpoints import reach
from batcher.errors import OutputError
from batcher.report.models import FILES, GALLERY


@contextmanager
def replacing(path: Path, point: str) -> Iterator[IO[str]]:
    """A file that takes the place of `path` when it is complete and durable. `point` names the crash points on its way. Raises `OutputError`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)  # prompts and ids stand in it
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            reach(point, "written")
            os.fsync(file.fileno())
        reach(point, "synced")
        draft.replace(path)
        reach(point, "renamed")
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}", "The ledger is whole: `batcher report DIR` writes it again."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes that died left half-written. Only for who owns the folder; a report that is being written beside it would fail."""
    patterns = [*(f".{name}.{'[0-9a-f]' * 8}.part" for name in FILES.values()), f"{GALLERY}/.{'[0-9a-f]' * 16}.part"]
    for draft in (path for pattern in patterns for path in folder.glob(pattern)):
        with suppress(OSError):
            draft.unlink(missing_ok=True)
