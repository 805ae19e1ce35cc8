"""Local files on their way into a request: checked when a row is planned, read again and sent as data URIs when it is submitted.

The limits are those that the service's own clients keep for data URIs.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

import aiofiles.os

from batcher.errors import InputError
from batcher.local_files import Identity, identity_of, open_regular, refuse_irregular, refuse_outside
from batcher.media import HEAD_BYTES, MediaError, inspect, sniff
from batcher.model import InputFile, JobSpec, Json

IMAGE_MAX_BYTES: Final = 6 * 1024**2
IMAGE_MAX_PIXELS: Final = 32_000_000
VIDEO_MAX_BYTES: Final = 32 * 1024**2
"""For videos, and for sounds, of which no limit is known."""
BODY_MAX_BYTES: Final = 64 * 1024**2

_HOST_IT: Final = "Give it as an https URL instead, which the service fetches by itself, or make it smaller."


def check_input(path: Path, media: str = "file", within: Path | None = None) -> InputFile:
    """Check that a local file can go into a request, and say what it is; `media` is "image", "video", or "file" for any. Blocks.

    With `within` the file has to be in that folder, links followed. A file that many rows use is read once, unless it changes in size, time or place
    on disk. Raises `InputError` if it is missing, elsewhere, or cannot be read, `MediaError` if it is not what is asked for, is not whole, or is too
    large.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would replace links by what they lead to now
    file = _check(path, _identify(path, within), within)
    if media != "file" and not file.media_type.startswith(f"{media}/"):
        raise MediaError(f"{path} is {file.media_type}, not {media} as asked for here.", "Name another file.")
    return file


def _identify(path: Path, within: Path | None) -> Identity:
    """The identity of a regular file, without opening it: opening a pipe would wait for its writer."""
    try:
        refuse_outside(path, within)
        found = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", "Correct the path; a relative path is relative to the manifest.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.", "Correct the path or the permissions.") from error
    refuse_irregular(path, found)
    return identity_of(found)


@functools.lru_cache(4096)  # a memo and no state: the same file gives the same answer
def _check(path: Path, identity: Identity, within: Path | None) -> InputFile:
    size = identity[0]
    if not size:
        raise MediaError(f"{path} is empty.", "Put the real file in its place.")
    try:
        with open_regular(path, within) as file:
            media_type = _sniff_within_limit(file, path, size)
            facts = inspect(file, max_pixels=IMAGE_MAX_PIXELS)
            file.seek(0)
            data = file.read(size + 1)
            is_same = identity_of(os.fstat(file.fileno())) == identity
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Correct the permissions, or the path.") from error
    except MediaError as error:
        if error.remedy:
            raise
        raise MediaError(f"{path} is {error.message}.", "Replace it by a whole image or video, or give it as an https URL.") from error
    if not is_same or len(data) != size or facts.media_type != media_type:
        raise InputError(f"{path} changed while it was read.", "Run again when whatever writes it has finished.")
    return InputFile(str(path), hashlib.sha256(data).hexdigest(), size, facts.media_type)


def _sniff_within_limit(file: BinaryIO, path: Path, size: int) -> str | None:
    """What the file claims to be; told first, so that nothing large is ever decoded. Raises `MediaError` if it is too large for that."""
    media_type = sniff(file.read(HEAD_BYTES))
    is_image = media_type is not None and media_type.startswith("image/")
    limit = IMAGE_MAX_BYTES if is_image else VIDEO_MAX_BYTES
    if media_type and size > limit:
        kind = "an image" if is_image else "a video or sound"
        raise MediaError(f"{path} has {size:,} bytes: more than the limit of {limit:,} bytes for {kind} sent with the request.", _HOST_IT)
    return media_type


class DataUriBodies:
    """Makes request bodies, with local files in them as data URIs; keeps up to `cache_bytes` of the files that it encoded last."""

    def __init__(self, cache_bytes: int = 64 * 1024**2) -> None:
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._cache: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._reading = asyncio.Lock()
        # Files are spliced into the finished JSON at these marks, since megabytes of base64 have nothing in them to escape.
        self._mark = secrets.token_hex(16)
        self._marks = re.compile(rf'"{self._mark}:(\d+)"'.encode())

    async def encode(self, spec: JobSpec) -> bytes:
        """See `batcher.ports.RequestBodies.encode`. Raises `InputError`, also for a body over the limit."""
        if not spec.inputs:
            body = _dumps(spec, spec.body)
            _check_size(spec, len(body))
            return body
        frame = _dumps(spec, self._marked(spec, spec.body))
        used = [int(match[1]) for match in self._marks.finditer(frame)]
        _check_size(spec, len(frame) + sum(spec.inputs[index].size_bytes * 4 // 3 for index in used))
        uris = {index: await self._uri(spec, spec.inputs[index]) for index in dict.fromkeys(used)}
        return self._marks.sub(lambda match: b'"%b"' % uris[int(match[1])], frame)

    def _marked(self, spec: JobSpec, value: Json) -> Json:
        if isinstance(value, Mapping):
            if value.keys() == {"$input"}:
                index = value["$input"]
                if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(spec.inputs):
                    raise InputError(f"Row {spec.row_id} asks for a local file that was not planned: {index!r}.", "Run the manifest again.")
                return f"{self._mark}:{index}"
            return {key: self._marked(spec, item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._marked(spec, item) for item in value]
        return value

    async def _uri(self, spec: JobSpec, file: InputFile) -> bytes:
        key = file.sha256, file.media_type
        async with self._reading:  # one at a time: rows that wait for the same file find it in the cache
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            uri: bytes = await _read_uri(spec.row_id, file)
            if len(uri) <= self._cache_bytes:
                self._cache[key] = uri
                self._cached_bytes += len(uri)
            while self._cached_bytes > self._cache_bytes:
                _, dropped = self._cache.popitem(last=False)
                self._cached_bytes -= len(dropped)
            return uri


@aiofiles.os.wrap
def _read_uri(row_id: str, file: InputFile) -> bytes:
    changed = InputError(
        f"Row {row_id}: {file.path} is not the file that was planned: it changed, or is gone.",
        "Put the file back as it was, or run the manifest again to plan the row with the file as it is now.",
    )
    path = Path(file.path)
    try:
        with open_regular(path) as opened:  # its hash tells whether it is the file that was planned, wherever a link may lead to by now
            data = opened.read(file.size_bytes + 1)
    except (FileNotFoundError, InputError) as error:
        raise changed from error
    except OSError as error:
        raise InputError(f"Row {row_id}: {path} cannot be read: {error.strerror or error}.", "Correct the permissions, then run again.") from error
    if len(data) != file.size_bytes or hashlib.sha256(data).hexdigest() != file.sha256:
        raise changed
    return b"data:%b;base64,%b" % (file.media_type.encode(), base64.b64encode(data))


def _dumps(spec: JobSpec, body: Json) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"Row {spec.row_id}: the request cannot be written as JSON: {error}.", "Correct the fields of the row.") from error


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _check_size(spec: JobSpec, size_bytes: int) -> None:
    if size_bytes > BODY_MAX_BYTES:
        raise InputError(
            f"Row {spec.row_id}: the request has {size_bytes:,} bytes with its files in it, more than the limit of {BODY_MAX_BYTES:,} bytes.",
            _HOST_IT,
        )
