"""Where a manifest and its rows come from: files, standard input, globs of images."""

from __future__ import annotations

import glob
import io
import json
import os
import shutil
import tempfile
import unicodedata
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from batcher.errors import InputError, ManifestError, Problem
from batcher.local_files import Identity, identity_of, open_regular
from batcher.manifest.csv_reader import read_csv
from batcher.manifest.jsonl_reader import read_jsonl
from batcher.manifest.lines import LINE_LIMIT_BYTES
from batcher.manifest.problems import did_you_mean, shortened
from batcher.manifest.record import Columns, Record, Source
from batcher.manifest.yaml_reader import SIZE_LIMIT_BYTES, load, records
from batcher.model import Where
from batcher.naming import name_key

BUFFER_BYTES = 2**20
MEDIA_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".mp4", ".mov", ".webm", ".mkv", ".mp3", ".wav", ".m4a"}
)
"""What counts as media when rows are given as a folder."""


class Format(StrEnum):
    """The formats of a manifest, and of a file of rows."""

    YAML = "yaml"
    CSV = "csv"
    JSONL = "jsonl"


_SUFFIXES = {
    ".yaml": Format.YAML,
    ".yml": Format.YAML,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}


class Content:
    """Bytes that can be read from the start as often as is asked; `file` names them in messages."""

    def __init__(self, file: str, begin: Callable[[], BinaryIO]) -> None:
        self.file = file
        self._begin = begin

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """A file; a pipe with a name is kept as `of_stream` does. Raises `InputError` if it cannot be opened."""
        if path.is_dir():
            remedy = "Name the manifest in it; or list its pictures in a batch file, with `rows: .` (`batcher init` writes one to start from)."
            raise InputError(f"{path} is a folder", remedy)
        if path.exists() and not path.is_file():
            with cls(str(path), lambda: path.open("rb")).open() as stream:
                return cls.of_stream(stream, str(path))
        return cls.of_regular_file(path)

    @classmethod
    def of_regular_file(cls, path: Path, within: Path | None = None) -> Content:
        """A file, and nothing that would have to be waited for; with `within`, one of that folder. Raises `InputError` if it cannot be opened."""
        expected: list[Identity] = []

        def begin() -> BinaryIO:
            with open_regular(path, within) as file:
                return io.BufferedReader(_SteadyFile(path, os.dup(file.fileno()), expected), BUFFER_BYTES)

        content = cls(str(path), begin)
        content.open().close()
        return content

    @classmethod
    def of_stream(cls, stream: BinaryIO, file: str) -> Content:
        """A stream that can be read once only, kept in a temporary file that vanishes with the process."""
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the content, see finalize
        content = cls(file, lambda: io.BufferedReader(_Replay(spool), BUFFER_BYTES))
        weakref.finalize(content, spool.close)
        try:
            shutil.copyfileobj(stream, spool, BUFFER_BYTES)
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
        return content

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]], file: str) -> Content:
        """Rows from a program, kept as JSON Lines in a temporary file. Raises `ManifestError` for a row that JSON cannot hold."""
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the content, see finalize
        content = cls(file, lambda: io.BufferedReader(_Replay(spool), BUFFER_BYTES))
        weakref.finalize(content, spool.close)
        for n, row in enumerate(rows, 1):
            spool.write(json_text(row, Where(file, n)).encode() + b"\n")
        return content

    def open(self) -> BinaryIO:
        """Begin to read. Raises `InputError`."""
        try:
            return self._begin()
        except FileNotFoundError as error:
            raise InputError(f"{self.file}: no such file", "Check the path; it is relative to the current folder.") from error
        except OSError as error:
            raise InputError(f"{self.file} cannot be read: {error.strerror or error}") from error

    def sniff(self) -> Format:
        """The format that the first line looks like. Raises `InputError`."""
        with self.open() as stream, self._reading():
            while line := stream.readline(LINE_LIMIT_BYTES):
                if text := line.decode("utf-8-sig", "replace").strip():
                    return _format_of_line(text)
        return Format.YAML

    def yaml_bytes(self) -> bytes:
        """All of it, or just more than a YAML file may have. Raises `InputError`."""
        with self.open() as stream, self._reading():
            return stream.read(SIZE_LIMIT_BYTES + 1)

    def rows(self, form: Format) -> Source:
        """The rows that it holds in one of the formats."""
        return lambda: self._rows(form)

    def _rows(self, form: Format) -> Iterator[Record | Problem]:
        try:
            if form is Format.YAML:
                yield from records(load(self.yaml_bytes(), self.file), self.file)
                return
            with self.open() as stream, self._reading():
                yield from (read_csv if form is Format.CSV else read_jsonl)(stream, self.file)
        except ManifestError as error:
            yield from error.problems
        except ChangedError:
            raise
        except InputError as error:
            yield Problem(Where(self.file), error.message.removeprefix(self.file).lstrip(": "))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.file} cannot be read: {error.strerror or error}") from error


class ChangedError(InputError):
    """A file that is another one, or has another content, than when it was first opened: what was read of it may be half of each."""


class _SteadyFile(io.FileIO):
    """An open file that has to stay as it was when it was first opened. `expected` holds its identity from then on."""

    def __init__(self, path: Path, descriptor: int, expected: list[Identity]) -> None:
        super().__init__(descriptor)
        self._path = path
        if not expected:
            expected.append(identity_of(os.fstat(descriptor)))
        self._expected = expected[0]
        try:
            self._check()
        except ChangedError:
            self.close()
            raise

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        count = super().readinto(buffer)
        self._check()
        return count

    def _check(self) -> None:
        try:
            is_same = self._expected == identity_of(os.fstat(self.fileno())) == identity_of(self._path.stat())
        except OSError:
            is_same = False
        if not is_same:
            raise ChangedError(f"{self._path} changed while it was read", "Run again when whatever writes it has finished. Nothing was submitted.")


class _Replay(io.RawIOBase):
    """A reader with a position of its own in a file that several may read by turns."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._spool.seek(self._position)
        data = self._spool.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def json_text(data: Mapping[str, Any], where: Where) -> str:
    """Data of a program as JSON, paths as text. Raises `ManifestError` for what JSON cannot hold."""
    try:
        return json.dumps(dict(data), allow_nan=False, default=_path_text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError([Problem(where, f"not plain values: {shortened(str(error))}", hint="text, numbers, lists and such only")]) from error


def format_of(path: Path) -> Format | None:
    """The format that a file's name tells, if it does."""
    return _SUFFIXES.get(path.suffix.lower())


def names_media(pattern: str, base_dir: Path) -> bool:
    """Whether rows given as a text are media files themselves: a pattern, a folder, or one such file."""
    path = base_dir / pattern
    if path.is_file():
        return path.suffix.lower() in MEDIA_SUFFIXES
    return path.is_dir() or glob.has_magic(pattern)


def glob_rows(pattern: str, base_dir: Path, field: str, where: Where) -> Source:
    """A row for each file that matches, or that lies in the folder so named: its path in `field`, its name without suffix as id."""
    return lambda: _glob_rows(pattern, base_dir, field, where)


def missing_file(name: str, base_dir: Path, where: Where) -> Problem:
    """The problem of a file of rows that is not there."""
    path = base_dir / name
    try:
        beside = [each.name for each in path.parent.iterdir()]
    except OSError:
        return Problem(
            where, f"no such file: {shortened(name)}; its folder does not exist either", field="rows", hint="paths are relative to the manifest"
        )
    hint = did_you_mean(path.name, beside) or "paths are relative to the manifest"
    return Problem(where, f"no such file: {shortened(name)}", field="rows", hint=hint)


def _glob_rows(pattern: str, base_dir: Path, field: str, where: Where) -> Iterator[Record | Problem]:
    try:
        paths = _matches(pattern, base_dir)
    except OSError as error:
        yield Problem(where, f"{shortened(pattern)} cannot be read: {error.strerror or error}", field="rows")
        return
    if not paths:
        yield Problem(where, f"no file matches {shortened(pattern)}", field="rows", hint="the pattern is relative to the manifest")
        return
    data = [path for path in paths if format_of(Path(path)) is not None]
    if data:
        message = f"a pattern names images or other media, and {shortened(data[0])} is a file of rows"
        yield Problem(where, message, field="rows", hint="name one file of rows without wildcards")
        return
    columns = Columns(frozenset({field, "id"}), where)
    for path, row_id in zip(paths, _ids(paths), strict=True):
        yield Record(where, {"id": _literal(row_id), field: _literal(path)}, columns)


def _matches(pattern: str, base_dir: Path) -> list[str]:
    """The paths as they are written relative to the manifest, sorted, with forward slashes; hidden files are left out."""
    folder = base_dir / pattern
    if folder.is_dir():
        names = [path.name for path in folder.iterdir() if path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".")]
        found = [str(Path(pattern) / name) for name in names]
    elif folder.is_file():
        found = [pattern]
    else:
        found = glob.glob(pattern, root_dir=base_dir, recursive=True)  # noqa: PTH207 - pathlib's own glob takes in hidden files
    return sorted(Path(path).as_posix() for path in found if (base_dir / path).is_file())


def _ids(paths: Sequence[str]) -> list[str]:
    """A name for each path: its stem, with the folders before it where two stems are equal, the whole path where even that does not part them."""
    ids = [unicodedata.normalize("NFC", Path(path).stem) for path in paths]
    for longer in (_joined, str):
        keys = [name_key(each) for each in ids]
        twice = _repeated(keys)
        ids = [longer(path) if key in twice else each for path, key, each in zip(paths, keys, ids, strict=True)]
    return ids


def _repeated(keys: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    twice: set[str] = set()
    for key in keys:
        (twice if key in seen else seen).add(key)
    return twice


def _joined(path: str) -> str:
    parts = [part for part in Path(path).with_suffix("").parts if part not in ("/", "..", ".")]
    return unicodedata.normalize("NFC", "-".join(parts))


def _literal(text: str) -> str:
    """A text that no template reads anything into."""
    return text.replace("{", "{{").replace("}", "}}")


def _format_of_line(text: str) -> Format:
    if text[0] == "{":
        try:
            return Format.JSONL if isinstance(json.loads(text), dict) else Format.YAML
        except (ValueError, RecursionError):
            return Format.YAML if text == "{" else Format.JSONL
    if text[0] in "[#%-&!":
        return Format.YAML
    name, colon, rest = text.partition(":")
    looks_like_key = bool(colon) and (not rest or rest[0] in " \t") and not any(mark in name for mark in ",;\t")
    return Format.YAML if looks_like_key else Format.CSV


def _path_text(value: object) -> str:
    if isinstance(value, os.PathLike):
        return str(Path(value))
    raise TypeError(f"{type(value).__name__} is not a plain value")
