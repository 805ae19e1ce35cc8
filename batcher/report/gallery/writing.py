"""Writing the page and its folder, from the two report files: a chunk of rows at a time, and nothing that is the same written again.

Every file is written under another name and renamed, the page last. Whoever stops it halfway leaves the page that was there before, whole, and the
chunks that it needs.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batcher.errors import OutputError
from batcher.report.gallery.page import render_page
from batcher.report.gallery.placing import place
from batcher.report.gallery.thumbnails import Thumbnails
from batcher.report.models import FILES, GALLERY, Report
from batcher.report.replacing import replacing

CHUNK_ROWS: Final = 1000
CHUNK_CHARACTERS: Final = 4_000_000
"""A chunk ends at either: small enough to be parsed between two frames of a screen, large enough to be few."""

PART_ROWS: Final = 50_000
"""What a browser holds at a time: more rows are shown in parts."""

THUMBNAILS: Final = "thumbnails"
ROWS: Final = "rows"


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was written. `is_whole` says that nothing stopped it; `thumbnails_left` is not 0 where small pictures are still to be made."""

    page: Path
    is_whole: bool
    thumbnails_left: int = 0


def write_gallery(folder: Path, report: Report, *, go_on: Callable[[], bool] = lambda: True, has_time: Callable[[], bool] = lambda: True) -> Gallery:
    """Write `report.html` for the `report` and the `results.jsonl` that are in `folder`, then the small pictures that are missing.

    Stops soon after `go_on` says no, and begins no more small pictures after `has_time` says no: the page does without them. Raises `OutputError`.
    """
    page = folder / FILES["page"]
    own = folder / GALLERY
    try:
        for each in (own, own / ROWS, own / THUMBNAILS):
            enter(each)
        chunks: list[dict[str, Any]] = []
        for lines in _chunks(folder / FILES["results"]):
            if not go_on():
                return Gallery(page, is_whole=False)
            chunks.append({"src": f"{GALLERY}/{ROWS}/{_write_chunk(own / ROWS, lines)}", "rows": len(lines)})
        head = {"report": report.model_dump(mode="json"), "thumbnails": f"{GALLERY}/{THUMBNAILS}/", "chunks": chunks, "part_rows": PART_ROWS}
        with replacing(page, "page") as file:
            file.write(render_page(head, nonce=secrets.token_urlsafe(16)))
        _drop_others(own / ROWS, {Path(str(chunk["src"])).name for chunk in chunks})
        left = Thumbnails(folder, own / THUMBNAILS).make(lambda: go_on() and has_time())
    except OSError as error:
        raise OutputError(
            f"{error.filename or own}: cannot be written: {error.strerror or error}.",
            "The report is whole: `batcher report DIR` writes the gallery again.",
        ) from error
    return Gallery(page, is_whole=go_on(), thumbnails_left=left)


def enter(folder: Path) -> None:
    """Make `folder`, and refuse a link in its place: it would lead out of the output folder."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    if folder.is_symlink() or not folder.is_dir():
        raise OutputError(f"{folder} is not a folder.", "Move it away, then: batcher report DIR.")


def _chunks(results: Path) -> Iterator[list[str]]:
    """The lines of `results.jsonl`, as many as go into one chunk."""
    lines: list[str] = []
    characters = 0
    with results.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if lines and (len(lines) == CHUNK_ROWS or characters + len(line) > CHUNK_CHARACTERS):
                yield lines
                lines, characters = [], 0
            lines.append(line.rstrip("\n"))
            characters += len(line)
    if lines:
        yield lines


def _write_chunk(folder: Path, lines: list[str]) -> str:
    """Write rows as a script, since a page on a disk may read nothing else; returns its name, which says its content.

    The rows stand in it as the text of a JSON document: that is parsed faster than a script is, and no key in it means anything to the language.
    """
    text = f'{{"rows":[{",".join(lines)}]}}'.replace("\\", "\\\\").replace("'", "\\'")
    data = f"batcher.receive(JSON.parse('{text}'))\n".encode()
    name = f"{hashlib.sha256(data).hexdigest()[:24]}.js"
    path = folder / name
    with suppress(OSError):
        if path.stat().st_size == len(data):
            return name
    place(path, data, gallery=folder.parent)
    return name


def _drop_others(folder: Path, kept: set[str]) -> None:
    """Remove the chunks of an earlier page."""
    for path in folder.iterdir():
        if path.name not in kept and path.suffix == ".js":
            with suppress(OSError):
                path.unlink()
