"""Result files in a local folder: written beside their place under a hidden name, and seen under their own name only when whole and durable.

The order is always: write, fsync, rename, fsync of the folder. A crash at any moment leaves a result that is whole or not there, and at most a hidden
file that `LocalStorage.sweep` removes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import threading
from collections.abc import Iterator
from enum import StrEnum
from io import BufferedWriter
from pathlib import Path
from typing import Final

from aiofiles import threadpool

from batcher.crashpoints import reach
from batcher.errors import OutputError

EARLIER: Final = "earlier"
"""The folder, inside the results, that keeps what was there before under the same name."""

_PART: Final = re.compile(r"\.batcher-(?P<owner>[0-9a-f]{8})-[0-9a-f]{16}\.part")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]" if os.name != "nt" else r'[\x00-\x1f\x7f\\\ud800-\udfff:*?"<>|]')
_READ_BYTES: Final = 1 << 20
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_REMEDIES: Final = {
    errno.ENOSPC: "Free some space there, then run the same command again: what is paid for is collected.",
    errno.EDQUOT: "Your quota is used up: free some space, then run the same command again.",
    errno.EROFS: "The disk is mounted read-only: choose another folder with --out.",
    errno.EACCES: "Give yourself permission to write there, or choose another folder with --out.",
    errno.EPERM: "Give yourself permission to write there, or choose another folder with --out.",
    errno.EISDIR: "A folder has the name of a result file: move it away, or name the results differently with output.name.",
    errno.ENOTDIR: "A file has the name of a folder that is needed: move it away, or name the results differently with output.name.",
    errno.ENAMETOOLONG: "Shorten output.name in the manifest, or choose a folder with a shorter path.",
    errno.EFBIG: "The file system or a limit of the shell (ulimit -f) does not take a file of this size: choose another folder with --out.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or lower run.downloads.",
    errno.ENFILE: "The machine has too many files open: close some programs, then run the same command again.",
    errno.EIO: "The disk reports a fault: check it before you trust it with results, then run the same command again.",
}


class Condition(StrEnum):
    """How a result file is, compared with what was saved."""

    WHOLE = "whole"
    MISSING = "missing"
    ALTERED = "altered"
    """Other content, or something else than a file, or not to be read."""


class LocalStorage:
    """Keeps result files in `root / folder`. Names may hold forward slashes; nothing outside is ever written, and no link inside is followed."""

    def __init__(self, root: Path, folder: str = "results") -> None:
        self._root = Path(os.path.realpath(root))
        self._folder = folder
        self._owner = secrets.token_hex(4)
        self._durable: set[Path] = set()
        self._lock = threading.Lock()

    async def draft(self, stem: str) -> LocalDraft:
        """Begin a file beside the place where `stem` will be. Raises `OutputError`."""
        opening = asyncio.get_running_loop().run_in_executor(None, self._open_draft, stem)
        try:
            path, file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_abandon)
            raise
        return LocalDraft(self, path, file)

    def sweep(self) -> int:
        """Remove what earlier processes left half-written, and say how many files that were. Blocks. Only for who owns the folder."""
        removed = 0
        top = self._root / self._folder
        for folder, _, names in os.walk(top) if not top.is_symlink() else ():
            for name in names:
                if (match := _PART.fullmatch(name)) and match["owner"] != self._owner:
                    path = Path(folder, name)
                    with _mapped(path):
                        path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def condition(self, path: str, sha256: str, size_bytes: int) -> Condition:
        """How the file at `path`, relative to the root, is now: its content is read to the end. Blocks. From any thread."""
        target = self._root / path
        try:
            facts = target.stat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != size_bytes:
                return Condition.ALTERED
            return Condition.WHOLE if _sha256(target, follow=True) == sha256 else Condition.ALTERED
        except (FileNotFoundError, NotADirectoryError):
            return Condition.MISSING
        except OSError:
            return Condition.ALTERED

    def files(self) -> Iterator[str]:
        """The files in the results folder, relative to the root, without earlier ones and half-written ones."""
        top = self._root / self._folder
        for folder, folders, names in os.walk(top):
            if Path(folder) == top and EARLIER in folders:
                folders.remove(EARLIER)
            yield from (Path(folder, name).relative_to(self._root).as_posix() for name in names if not _PART.fullmatch(name))

    def publish(self, part: Path, name: str) -> str:
        """Put the durable file `part` under `name`, and return its path relative to the root. Blocks. For drafts."""
        folder, last = self._place(name)
        target = folder / last
        with self._lock, _mapped(target):
            if _is_file(target) and (digest := _sha256(target)) != _sha256(part):
                self._keep(target, name, digest)
            part.replace(target)
        reach("draft.renamed")
        with _mapped(folder):
            sync_folder(folder)
        reach("draft.durable")
        return target.relative_to(self._root).as_posix()

    def _open_draft(self, stem: str) -> tuple[Path, BufferedWriter]:
        folder, _ = self._place(stem)
        path = folder / f".batcher-{self._owner}-{secrets.token_hex(8)}.part"
        with _mapped(path):
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666), "wb")
        reach("draft.opened")
        return path, file

    def _place(self, name: str) -> tuple[Path, str]:
        """The folder of `name`, made if it is not there, and the last part of the name."""
        *parents, last = _parts(name)
        folder = self._root
        with _mapped(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for part in (self._folder, *parents):
            parent, folder = folder, folder / part
            with self._lock, _mapped(folder):
                self._enter(folder, parent)
        return folder, last

    def _enter(self, folder: Path, parent: Path) -> None:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            self._durable.discard(folder)
        mode = folder.lstat().st_mode
        if stat.S_ISLNK(mode):
            remedy = "Links inside the output folder are not followed: replace it by a real folder, or choose another folder with --out."
            raise OutputError(f"{folder} is a link.", remedy)
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a folder")
        if folder not in self._durable:  # also one that an earlier process made: it may have died before this point
            sync_folder(parent)
            self._durable.add(folder)

    def _keep(self, target: Path, name: str, digest: str) -> None:
        """Move the file at `target` into the folder of earlier files, under a name that says its content."""
        *parents, last = _parts(name)
        folder = self._root / self._folder
        for part in (EARLIER, *parents):
            parent, folder = folder, folder / part
            self._enter(folder, parent)
        stem, ext = os.path.splitext(last)  # noqa: PTH122 - a name, not a path
        for length in (8, 16, len(digest)):
            kept = folder / f"{stem}.{digest[:length]}{ext}"
            if not os.path.lexists(kept):
                target.replace(kept)
                sync_folder(folder)
                reach("earlier.renamed")
                return
            if _is_file(kept) and _sha256(kept) == digest:
                return
        raise OutputError(
            f"{target} cannot be kept: other files have its place in {folder}.", "Move that folder away, then run the same command again."
        )


class LocalDraft:
    """A file that is being written under a hidden name."""

    def __init__(self, storage: LocalStorage, path: Path, file: BufferedWriter) -> None:
        self._storage = storage
        self._path = path
        self._raw = file
        self._file = threadpool.wrap(file)
        self._publishing: asyncio.Future[str] | None = None

    @property
    def path(self) -> Path:
        """The hidden file; it holds everything that was written."""
        return self._path

    async def write(self, chunk: bytes) -> None:
        """Append; a call costs two switches of thread, so chunks should be large. Raises `OutputError`."""
        with _mapped(self._path):
            await self._file.write(chunk)
            await self._file.flush()
        reach("draft.written")

    async def publish(self, name: str) -> str:
        """See `batcher.ports.Draft.publish`. Once begun it runs to its end, even if the caller is cancelled."""
        self._publishing = asyncio.get_running_loop().run_in_executor(None, self._settle, name)
        return await asyncio.shield(self._publishing)

    async def discard(self) -> None:
        """Remove the file, unless it was published."""
        if self._publishing is not None:
            await asyncio.wait([self._publishing])
            self._publishing.exception()
            return
        self._remove()  # before anything is awaited, so that a second cancellation leaves nothing behind
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._raw.close()
        self._remove()  # again, for systems on which an open file cannot be removed

    def _settle(self, name: str) -> str:
        try:
            with _mapped(self._path), self._raw as file:
                file.flush()
                _sync(file.fileno())
            reach("draft.synced")
            return self._storage.publish(self._path, name)
        except BaseException:
            self._remove()
            raise

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _parts(name: str) -> list[str]:
    """The parts of a name that surely stays inside. Raises `OutputError`."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or _UNSAFE.search(name):
        raise OutputError(
            f"The file name {name!r} could leave the output folder, or cannot be written.", "Correct output.name, or the id of the row."
        )
    return parts


def _is_file(path: Path) -> bool:
    """Whether something with content is at `path`. A link is not: it is replaced, and what it leads to is left alone."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    return stat.S_ISREG(mode)


def _sha256(path: Path, *, follow: bool = False) -> str:
    digest = hashlib.sha256()
    flags = os.O_RDONLY | (_NO_LINK & ~getattr(os, "O_NOFOLLOW", 0) if follow else _NO_LINK) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _abandon(opening: asyncio.Future[tuple[Path, BufferedWriter]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        path, file = opening.result()
        with contextlib.suppress(OSError):
            file.close()
            path.unlink()


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":  # fsync there leaves the bytes in the cache of the drive
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    os.fsync(descriptor)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make `folder`, if it is not there, so that a power cut does not take it away with all that is in it. Raises `OSError`.

    `mode` is that of the folder itself; those above it are made as the umask says.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode, parents=True, exist_ok=True)
    for made in missing or [folder]:  # also one that an earlier process made: it may have died before this point
        with contextlib.suppress(PermissionError):  # one may pass through a folder that one may not read
            sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last. Raises `OSError`."""
    if os.name == "nt":  # a folder cannot be opened there, and NTFS keeps a log of names
        return
    descriptor = os.open(folder, os.O_RDONLY | _NO_LINK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turns what the system says into an `OutputError` that says which path and what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "Check the output folder, then run the same command again.")
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.", remedy) from error
