"""Local files that a manifest names: opened without ever waiting, and only where a manifest may reach.

A manifest may come from a stranger, and what it names is sent to a service. So it reaches the files of its own folder, and others only where a person
said so.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from batcher.errors import InputError

OUTSIDE_HINT: Final = "if you trust the manifest with your files, add --allow-outside-inputs (in Python allow_outside_inputs=True)"

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_CAN_WALK: Final = os.open in os.supports_dir_fd

Identity = tuple[int, int, int]
"""Size, time of change and place on disk: another one is another content."""


class OutsideError(InputError):
    """A path that leads outside of the folder in which it has to stay."""


def identity_of(found: os.stat_result) -> Identity:
    """What tells that a file is still the same."""
    return found.st_size, found.st_mtime_ns, found.st_ino


def refuse_outside(path: Path, within: Path | None) -> None:
    """Raise `OutsideError` if `path`, with every link followed, is not in the folder `within`. A path that does not exist is judged by its text."""
    if within is not None:
        _parts_within(path, within)


def open_regular(path: Path, within: Path | None = None) -> BinaryIO:
    """Open a regular file, and nothing else: a pipe or a device would wait, or never end. With `within`, a file that is in that folder.

    What is opened is what was checked, whatever happens to names and links meanwhile. Raises `OutsideError`, `InputError` for what is no regular
    file, and `OSError`.
    """
    descriptor = os.open(path, _FLAGS) if within is None else _open_within(path, within)
    try:
        refuse_irregular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def refuse_irregular(path: Path, found: os.stat_result) -> None:
    """Raise `InputError` for what is no regular file."""
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise InputError(f"{path} is {kind}.", "Name the file itself.")


def _parts_within(path: Path, within: Path) -> tuple[Path, tuple[str, ...]]:
    folder = Path(os.path.realpath(within))
    try:
        return folder, Path(os.path.realpath(path)).relative_to(folder).parts
    except ValueError as error:
        raise OutsideError(f"{path} leads outside of the manifest's folder", OUTSIDE_HINT) from error


def _open_within(path: Path, within: Path) -> int:
    folder, parts = _parts_within(path, within)
    if not _CAN_WALK or not parts:
        return os.open(folder.joinpath(*parts), _FLAGS)
    here = os.open(folder, _FOLDER)
    try:
        for part in parts[:-1]:  # step by step, because a folder on the way may have become a link since it was looked at
            here, left = os.open(part, _FOLDER | _NO_LINK, dir_fd=here), here
            os.close(left)
        return os.open(parts[-1], _FLAGS | _NO_LINK, dir_fd=here)
    finally:
        os.close(here)
