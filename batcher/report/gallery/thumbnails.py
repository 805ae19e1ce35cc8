"""Small versions of pictures, made once: WebP, named by the SHA-256 of the picture that they show.

Of a result there is one the size of a card. Of an input there is a larger one too, because the page shows it beside the result and the input itself
may lie anywhere; and of results that browsers do not show. What a picture is, and that it is not too large to be decoded, is told from its bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import ImageFile, ImageOps

from batcher.errors import InputError
from batcher.local_files import open_regular
from batcher.media import MediaError, with_picture
from batcher.report.gallery.placing import place
from batcher.report.models import FILES

CARD_PIXELS: Final = 512
LARGE_PIXELS: Final = 1280
"""The longer side of the two sizes."""

QUALITY: Final = 80
THREADS: Final = 4
LARGEST_BYTES: Final = 64 * 1024**2
"""A larger file is not read for this."""

_POLL_S: Final = 0.1
_REMEMBERED: Final = 10_000
_UNSHOWN: Final = frozenset({"image/tiff"})
"""Kinds of pictures that no common browser shows."""


@dataclass(frozen=True, slots=True)
class _Picture:
    path: Path
    within: Path | None
    """The folder that it must not lead out of, if any."""
    sha256: str
    size_bytes: int
    is_large: bool
    """Whether the larger version is wanted too."""


class Thumbnails:
    """The small versions of the pictures of the batch in `folder`, in the folder `place`."""

    def __init__(self, folder: Path, place: Path) -> None:
        self._folder = folder
        self._place = place
        self._refused: OrderedDict[str, None] = OrderedDict()

    def make(self, go_on: Callable[[], bool]) -> int:
        """Make those that are missing, for the rows of `results.jsonl`, until `go_on` says no; returns how many it left. Blocks.

        A picture that is gone, that is another one by now, or that cannot be decoded, has none. Raises `OSError` where the disk takes nothing.
        """
        under_way: dict[Future[bool], str] = {}
        left = 0
        with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "thumbnails") as threads:
            try:
                for picture in self._pictures():
                    if picture.sha256 in self._refused or picture.sha256 in under_way.values() or self.is_there(picture.sha256, picture.is_large):
                        continue
                    if not go_on():
                        left += 1
                        break  # to count them all would take as long as it takes to look at all rows
                    under_way[threads.submit(self._shrink, picture)] = picture.sha256
                    self._await(under_way, 2 * THREADS, go_on)
                self._await(under_way, 0, go_on)
                left += len(under_way)
            finally:
                threads.shutdown(cancel_futures=True)
        return left

    def one(self, row: Mapping[str, Any], sha256: str, *, is_large: bool) -> bytes | None:
        """The small version of a picture of `row`, a line of `results.jsonl`; made, and kept where that can be, if it is missing. Blocks.

        None where there can be none.
        """
        for picture in self._pictures_of(row):
            if picture.sha256 == sha256 and picture.is_large >= is_large:
                made = _shrunk(picture)
                with suppress(OSError):  # the disk may be full, or not ours to write to
                    self._keep(picture, made)
                return dict(made).get(is_large)
        return None

    def path(self, sha256: str, *, is_large: bool = False) -> Path:
        """Where the small version of a picture is, if there is one."""
        return self._place / sha256[:2] / f"{sha256}{'-large' if is_large else ''}.webp"

    def is_there(self, sha256: str, is_large: bool) -> bool:
        """Whether it was made; a file without content is what a power cut may leave."""
        with suppress(OSError):
            return self.path(sha256, is_large=is_large).stat().st_size > 0
        return False

    def _await(self, under_way: dict[Future[bool], str], allowed: int, go_on: Callable[[], bool]) -> None:
        """Wait until at most `allowed` are under way."""
        while len(under_way) > allowed and go_on():
            done, _ = wait(under_way, _POLL_S, FIRST_COMPLETED)
            for each in done:
                sha256 = under_way.pop(each)
                if not each.result():
                    self._refused[sha256] = None
                    if len(self._refused) > _REMEMBERED:
                        self._refused.popitem(last=False)

    def _pictures(self) -> Iterator[_Picture]:
        with (self._folder / FILES["results"]).open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield from self._pictures_of(json.loads(line))

    def _pictures_of(self, row: Mapping[str, Any]) -> Iterator[_Picture]:
        for result in row["files"]:
            if _is_picture(result):
                path = self._folder / result["path"]
                yield _Picture(path, self._folder, result["sha256"], result["size_bytes"], result["media_type"] in _UNSHOWN)
        for sent in row["input_files"]:
            if _is_picture(sent):
                yield _Picture(Path(sent["path"]), None, sent["sha256"], sent["size_bytes"], is_large=True)

    def _shrink(self, picture: _Picture) -> bool:
        """Make what is missing of one picture. In a thread. False where that cannot be."""
        made = _shrunk(picture)
        self._keep(picture, made)
        return bool(made)

    def _keep(self, picture: _Picture, made: Sequence[tuple[bool, bytes]]) -> None:
        for is_large, data in made:  # the small one last: that it is there says that both are
            place(self.path(picture.sha256, is_large=is_large), data, gallery=self._place.parent)


def _shrunk(picture: _Picture) -> list[tuple[bool, bytes]]:
    """The versions that are wanted of one picture; none where it is gone, is another by now, or cannot be decoded."""
    try:
        with open_regular(picture.path, picture.within) as file:
            return with_picture(file, lambda image: _versions(image, is_large=picture.is_large)) if _is_unchanged(file, picture) else []
    except (OSError, InputError, MediaError):
        return []


def _is_picture(file: dict[str, Any]) -> bool:
    return str(file["media_type"]).startswith("image/") and file["size_bytes"] <= LARGEST_BYTES


def _is_unchanged(file: BinaryIO, picture: _Picture) -> bool:
    data = file.read(picture.size_bytes + 1)
    return len(data) == picture.size_bytes and hashlib.sha256(data).hexdigest() == picture.sha256


def _versions(image: ImageFile.ImageFile, *, is_large: bool) -> list[tuple[bool, bytes]]:
    """The larger version, if it is wanted, and the small one, as WebP."""
    made = []
    profile = image.info.get("icc_profile")
    for large in (True, False) if is_large else (False,):
        pixels = LARGE_PIXELS if large else CARD_PIXELS
        image.thumbnail((pixels, pixels))
        upright = ImageOps.exif_transpose(image)
        has_alpha = upright.has_transparency_data
        flat = upright.convert("RGBA" if has_alpha else "RGB")
        kept = {"icc_profile": profile} if profile and image.mode in ("RGB", "RGBA") else {}  # of other modes it speaks of other colours
        data = io.BytesIO()
        flat.save(data, "WEBP", quality=QUALITY, method=2, **kept)
        made.append((large, data.getvalue()))
    return made
