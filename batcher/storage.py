"""Result files in a local folder: written beside their place under a hidden name, and seen under their own name only when whole and durable.

The order is always: write, fsync, rename, fsync of the folder. A crash at any moment leaves a result that is whole or not there, and at most a hidden
file that `LocalStorage.sweep` removes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import io
import os
import re
import secrets
import stat
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from batcher.crashpoints import reach
from batcher.errors import OutputError
from batcher.ports import Published

T = TypeVar("T")

EARLIER: Final = "earlier"
"""The folder, inside the results, that keeps what was there before under the same name."""

_PART: Final = re.compile(r"\.batcher-(?P<owner>[0-9a-f]{8})-[0-9a-f]{16}\.part")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]" if os.name != "nt" else r'[\x00-\x1f\x7f\\\ud800-\udfff:*?"<>|]')
_READ_BYTES: Final = 1 << 20
_WRITE_BYTES: Final = 256 * 1024
TURNS: Final = 64
THREADS: Final = 16
"""They wait for the disk most of the time, and what waits together is made durable together."""

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
        self._names = _SharedSync()
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(TURNS)]
        """One at a time looks what has a name and takes it. Not one for all names: a rename may wait for the disk."""
        self.threads = ThreadPoolExecutor(THREADS, "files")
        """Do what blocks, for the drafts."""

    def draft(self, stem: str) -> LocalDraft:
        """See `batcher.ports.Storage.draft`."""
        return LocalDraft(self, _parts(stem))

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

    def open_part(self, parts: Sequence[str]) -> tuple[Path, int]:
        """Open a hidden file beside the place that `parts` name. Blocks. For drafts."""
        folder = self._folder_of(parts)
        path = folder / f".batcher-{self._owner}-{secrets.token_hex(8)}.part"
        with _mapped(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666)
        reach("draft.opened")
        return path, descriptor

    def publish(self, part: Path, parts: Sequence[str]) -> str:
        """Give the durable file `part` the name that `parts` say, and return its path relative to the root. Blocks. For drafts."""
        target = part.parent / parts[-1]
        with self._turns[hash(target) % TURNS], _mapped(target):
            if _is_file(target) and (digest := _sha256(target)) != _sha256(part):
                self._keep(target, parts, digest)
            part.replace(target)
        reach("draft.renamed")
        with _mapped(target.parent):
            self._names.sync(target.parent)
        reach("draft.durable")
        return "/".join((self._folder, *parts))

    def set_aside(self, path: str) -> None:
        """Move the file at `path`, relative to the root, among the earlier ones, if it is there. Blocks. Raises `OutputError`."""
        parts = _parts(path.removeprefix(f"{self._folder}/"))
        target = self._folder_of(parts) / parts[-1]
        with self._turns[hash(target) % TURNS], _mapped(target):
            if _is_file(target):
                self._keep(target, parts, _sha256(target))

    def _folder_of(self, parts: Sequence[str]) -> Path:
        """The folder of what `parts` name, made if it is not there."""
        folder = self._root
        for part in (self._folder, *parts[:-1]):
            parent, folder = folder, folder / part
            with self._lock, _mapped(folder):
                self._enter(folder, parent)
        return folder

    def _enter(self, folder: Path, parent: Path) -> None:
        try:
            mode = folder.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            with _mapped(parent):
                parent.mkdir(parents=True, exist_ok=True)
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

    def _keep(self, target: Path, parts: Sequence[str], digest: str) -> None:
        """Move the file at `target` into the folder of earlier files, under a name that says its content."""
        *parents, last = parts
        folder = self._root / self._folder
        for part in (EARLIER, *parents):
            parent, folder = folder, folder / part
            with self._lock:
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
    """A file that is written under a hidden name, in a thread, in large pieces: what is small enough never waits for more than one thread."""

    def __init__(self, storage: LocalStorage, parts: list[str]) -> None:
        self._storage = storage
        self._parts = parts
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._part: tuple[Path, int] | None = None
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._work: asyncio.Future[Any] | None = None

    async def write(self, chunk: bytes) -> None:
        """See `batcher.ports.Draft.write`."""
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes >= _WRITE_BYTES:
            await self._do(self._flush)

    async def publish(self, extension_of: Callable[[BinaryIO], str]) -> Published:
        """See `batcher.ports.Draft.publish`. Once begun it runs to its end, even if the caller is cancelled."""
        return await self._do(functools.partial(self._settle, extension_of))

    async def discard(self) -> None:
        """Remove the file, unless it was published."""
        if self._work is not None and not self._work.done():
            self._work.add_done_callback(lambda work: self._remove())  # whatever becomes of the caller meanwhile
            await asyncio.wait([self._work])
            self._work.exception()
        self._remove()

    async def _do(self, work: Callable[[], T]) -> T:
        self._work = asyncio.get_running_loop().run_in_executor(self._storage.threads, work)
        result: T = await asyncio.shield(self._work)
        return result

    def _flush(self) -> tuple[Path, int]:
        """Write what waits. In a thread, like all that follows."""
        if self._part is None:
            self._part = self._storage.open_part(self._parts)
        path, descriptor = self._part
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._digest.update(data)
        self._size_bytes += len(data)
        left = memoryview(data)
        with _mapped(path):
            while left:
                left = left[os.write(descriptor, left) :]
        reach("draft.written")
        return self._part

    def _settle(self, extension_of: Callable[[BinaryIO], str]) -> Published:
        try:
            if self._part is None:
                data = b"".join(self._waiting)
                extension = extension_of(io.BytesIO(data))
                self._waiting = [data]
                path, descriptor = self._flush()
            else:
                path, descriptor = self._flush()
                extension = self._read_back(path, extension_of)
            [last] = _parts(self._parts[-1] + extension)
            with _mapped(path):
                _sync(descriptor)
            reach("draft.synced")
            self._close()
            published = self._storage.publish(path, [*self._parts[:-1], last])
        except BaseException:
            self._remove()
            raise
        self._part = None
        return Published(published, self._digest.hexdigest(), self._size_bytes)

    def _read_back(self, path: Path, read: Callable[[BinaryIO], T]) -> T:
        try:
            with path.open("rb") as file:
                return read(file)
        except OSError as error:
            raise OutputError(f"{path} cannot be read back: {error.strerror or error}.", "Check the disk, then run again.") from error

    def _close(self) -> None:
        if self._part is not None:
            path, descriptor = self._part
            self._part = path, -1
            if descriptor >= 0:
                with _mapped(path):
                    os.close(descriptor)

    def _remove(self) -> None:
        if self._part is None:
            return
        with contextlib.suppress(OSError):
            self._part[0].unlink(missing_ok=True)
        with contextlib.suppress(OutputError):
            self._close()
        with contextlib.suppress(OSError):  # again, for systems on which an open file cannot be removed
            self._part[0].unlink(missing_ok=True)
        self._part = None


class _SharedSync:
    """Makes the names in a folder last, with one call for all that wait for the same folder (as in a group commit)."""

    def __init__(self) -> None:
        self._asked: Counter[Path] = Counter()
        self._done: dict[Path, int] = {}
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def sync(self, folder: Path) -> None:
        """Return once every name that was in `folder` at the call lasts. Blocks. Raises `OSError`."""
        with self._lock:
            self._asked[folder] += 1
            mine, turn = self._asked[folder], self._locks[folder]
        with turn:
            if self._done.get(folder, 0) >= mine:  # by one that began after the call
                return
            upto = self._asked[folder]
            sync_folder(folder)
            self._done[folder] = upto


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
