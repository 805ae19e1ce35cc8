"""What lies in the folder of a batch, given to the page: results, and small pictures that are made when they are first asked for.

Nothing else of the folder is given, and nothing outside of it, whatever a path or a link says.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, TypeVar, TypeVarTuple, Unpack

from aiohttp import web

from batcher.errors import BatcherError, InputError
from batcher.live.feed import Feed
from batcher.local_files import identity_of, open_regular
from batcher.report import GALLERY
from batcher.report.gallery import THUMBNAILS, Thumbnails, enter

T = TypeVar("T")
Given = TypeVarTuple("Given")

RESULTS: Final = "results"
CHUNK_BYTES: Final = 256 * 1024
PATIENCE_S: Final = 30.0
"""Whoever takes no byte for so long is let go."""

SHOWN: Final = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif", ".avif": "image/avif",
    ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff", ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".flac": "audio/flac", ".m4a": "audio/mp4",
}  # fmt: skip
"""What a browser may show in place. All else is a download: it might be a page, and would be one of ours."""

_SHA256: Final = re.compile(r"([0-9a-f]{64})(-large)?\.webp")
_REFUSED: Final = re.compile(r'[\\\0]|[:<>"|?*]' if os.name == "nt" else r"[\\\0]")


class Files:
    """The files of the batch in `folder`. `close` it at the end."""

    def __init__(self, folder: Path, feed: Feed, threads: int) -> None:
        self._folder = folder
        self._feed = feed
        self._gallery = folder / GALLERY
        self._thumbnails = Thumbnails(folder, self._gallery / THUMBNAILS)
        self._threads = ThreadPoolExecutor(threads, "live-files")
        self._under_way: dict[str, asyncio.Future[bytes | None]] = {}

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """A result file, or the part of it that was asked for."""
        path = PurePosixPath(request.match_info["path"])
        if any(part.startswith(".") or _REFUSED.search(part) for part in path.parts) or path.is_absolute():
            raise web.HTTPNotFound
        opening = self._in_thread(_open, self._folder / RESULTS, path)
        try:
            file = await asyncio.shield(opening)
        except asyncio.CancelledError:  # whoever asked is gone, and the thread is not
            opening.add_done_callback(_let_go)
            raise
        if file is None:
            raise web.HTTPNotFound
        with file:
            return await self._send(request, file, path)

    async def thumbnail(self, request: web.Request) -> web.Response:
        """A small picture. `row` in the query names the row whose picture it is, so that it can be made."""
        match = _SHA256.fullmatch(request.match_info["name"])
        if match is None or request.match_info["folder"] != match[1][:2]:
            raise web.HTTPNotFound
        making = self._under_way.get(match[0])
        if making is None:  # once, however many ask for it meanwhile
            making = self._under_way[match[0]] = self._in_thread(self._provide, match[1], match[2] is not None, request.query.get("row", ""))
            making.add_done_callback(lambda _: self._under_way.pop(match[0], None))
        data = await asyncio.shield(making)
        if data is None:
            raise web.HTTPNotFound
        return web.Response(body=data, content_type="image/webp", headers={"Cache-Control": "private, max-age=31536000, immutable"})

    def _provide(self, sha256: str, is_large: bool, row_id: str) -> bytes | None:
        """In a thread."""
        if data := _read(self._thumbnails.path(sha256, is_large=is_large), self._gallery):
            return data
        row = self._feed.row(row_id)
        if row is None:
            return None
        with suppress(BatcherError, OSError):  # then it is made, and not kept
            for each in (self._gallery, self._gallery / THUMBNAILS):
                enter(each)
        return self._thumbnails.one(row.model_dump(), sha256, is_large=is_large)

    async def _send(self, request: web.Request, file: BinaryIO, path: PurePosixPath) -> web.StreamResponse:
        found = os.fstat(file.fileno())
        size, tag = found.st_size, f'"{"-".join(f"{n:x}" for n in identity_of(found))}"'
        kind = SHOWN.get(path.suffix.lower())
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache", "Content-Type": kind or "application/octet-stream"}
        if kind is None:
            headers["Content-Disposition"] = "attachment"
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        start, stop, status = 0, size, 200
        if "Range" in request.headers and request.headers.get("If-Range", tag) == tag:
            start, stop = _range(request, size)
            headers["Content-Range"], status = f"bytes {start}-{stop - 1}/{size}", 206
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = stop - start
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        await self._in_thread(file.seek, start)
        while start < stop and (data := await self._in_thread(file.read, min(CHUNK_BYTES, stop - start))):
            async with asyncio.timeout(PATIENCE_S):
                await response.write(data)
            start += len(data)
        return response

    def _in_thread(self, work: Callable[[Unpack[Given]], T], *arguments: *Given) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """The first byte that was asked for, and the one behind the last."""
    try:
        asked = request.http_range
    except ValueError:
        asked = slice(size, None)
    start = asked.start or 0
    start = max(0, size + start) if start < 0 else start
    stop = size if asked.stop is None else min(asked.stop, size)
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, stop


def _open(results: Path, path: PurePosixPath) -> BinaryIO | None:
    try:
        return None if results.is_symlink() else open_regular(results.joinpath(*path.parts), results)
    except (OSError, InputError, ValueError):
        return None


def _let_go(opening: asyncio.Future[BinaryIO | None]) -> None:
    if not opening.cancelled() and (file := opening.result()) is not None:
        file.close()


def _read(path: Path, gallery: Path) -> bytes:
    try:
        if gallery.is_symlink():
            return b""
        with open_regular(path, gallery / THUMBNAILS) as file:
            return file.read()
    except (OSError, InputError, ValueError):
        return b""
