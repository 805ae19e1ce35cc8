"""What a file is, told from its bytes: its media type, its size in pixels, and whether it is whole.

Nothing is trusted but the bytes: not a name, not a header. Images are decoded; of videos and sounds the container is walked.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import mmap
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeVar

from PIL import Image, ImageFile

from batcher.containers import MediaError, check_container, is_mp3

__all__ = ["HEAD_BYTES", "MAX_PIXELS", "MediaError", "MediaFacts", "extension", "inspect", "sniff", "with_picture"]

T = TypeVar("T")

HEAD_BYTES: Final = 512
"""How much of the beginning of a file `sniff` wants to see."""

MAX_PIXELS: Final = 89_478_485
"""The largest image that is decoded; the limit at which Pillow suspects a decompression bomb."""

_MAX_FRAMES: Final = 10_000
_MAX_FRAME_PIXELS: Final = 256_000_000

_EXTENSIONS: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/wav": ".wav",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
}


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What a file turned out to be. `width` and `height` are in pixels, None where there are none or they are not cheaply known."""

    media_type: str
    width: int | None = None
    height: int | None = None


def extension(media_type: str) -> str:
    """The file name extension of a media type that `sniff` knows, with its dot."""
    return _EXTENSIONS[media_type]


def sniff(head: bytes) -> str | None:
    """The media type of a file that begins with `head` (`HEAD_BYTES` of it, or all there is); None if it is none that is known here."""
    for media_type, matches in _SIGNATURES:
        if matches(head):
            return media_type
    return None


def inspect(file: BinaryIO, *, max_pixels: int = MAX_PIXELS) -> MediaFacts:
    """Find out what `file` is, on a disk or in memory, and check that it is whole. Blocks.

    Raises `MediaError`, and `OSError` if it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    media_type = sniff(head)
    if media_type is None and _is_heif(head):
        raise MediaError("a HEIC image, which cannot be decoded here; convert it to JPEG or PNG")
    if media_type is None:
        raise MediaError("not an image, video or sound of a known kind" if size else "empty")
    file.seek(0)
    if media_type in _IMAGES:
        width, height = _decode(file, media_type, max_pixels)
        return MediaFacts(media_type, width, height)
    dimensions = check_container(file, media_type, size)
    return MediaFacts(media_type, *dimensions) if dimensions else MediaFacts(media_type)


# -- signatures


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and (not brands or head[8:12] in brands)


def _is_avif(head: bytes) -> bool:
    listed = head[16 : int.from_bytes(head[:4], "big")]
    return _brand(b"avif", b"avis")(head) or (_brand(b"mif1", b"msf1")(head) and (b"avif" in listed or b"avis" in listed))


def _is_heif(head: bytes) -> bool:
    return _brand(b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")(head)


def _is_bmp(head: bytes) -> bool:
    # "BM" alone would take any text that begins with it: the reserved words are zero, and the information header has one of its known lengths.
    known = (12, 40, 52, 56, 64, 108, 124)
    return head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in known


def _is_webm(head: bytes) -> bool:
    return head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:128]


_SIGNATURES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("image/png", _starts(b"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", _starts(b"\xff\xd8\xff")),
    ("image/webp", _riff(b"WEBP")),
    ("image/gif", _starts(b"GIF87a", b"GIF89a")),
    ("image/bmp", _is_bmp),
    ("image/tiff", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("image/avif", _is_avif),
    ("video/quicktime", _brand(b"qt  ")),
    ("audio/mp4", _brand(b"M4A ", b"M4B ")),
    ("video/mp4", lambda head: _brand()(head) and not _is_heif(head)),
    ("video/webm", _is_webm),
    ("video/x-matroska", _starts(b"\x1aE\xdf\xa3")),
    ("audio/wav", _riff(b"WAVE")),
    ("audio/ogg", _starts(b"OggS")),
    ("audio/flac", _starts(b"fLaC")),
    ("audio/mpeg", is_mp3),
)


# -- images

_IMAGES: Final = {
    "image/png": "Png",
    "image/jpeg": "Jpeg",
    "image/webp": "WebP",
    "image/gif": "Gif",
    "image/avif": "Avif",
    "image/bmp": "Bmp",
    "image/tiff": "Tiff",
}
"""What Pillow calls the kinds that are decoded. Each of its decoders is imported with the first file of its kind: some are large libraries."""

_END_MARKS: Final = {"image/png": b"\0\0\0\0IEND\xaeB`\x82", "image/jpeg": b"\xff\xd9", "image/gif": b"\0;"}

_WARNING_FILTERS: Final = threading.Lock()
"""Held while the process-wide warning filters are changed."""


def with_picture(file: BinaryIO, work: Callable[[ImageFile.ImageFile], T], *, max_pixels: int = MAX_PIXELS) -> T:
    """What `work` makes of the first picture in a file, which it gets before it is decoded. Blocks.

    Raises `MediaError` for what is no picture, is larger than `max_pixels`, or cannot be decoded. What `work` saves has to be made inside of it.
    """
    file.seek(0)
    media_type = sniff(file.read(HEAD_BYTES))
    if media_type not in _IMAGES:
        raise MediaError("not an image of a known kind")
    file.seek(0)

    def opened() -> T:
        with _factory(media_type)(file) as image:
            _refuse_large(image, max_pixels)
            return work(image)

    return _decoding(media_type, opened)


def _decode(file: BinaryIO, media_type: str, max_pixels: int) -> tuple[int, int]:
    return _decoding(media_type, lambda: _load(file, media_type, max_pixels))


def _decoding(media_type: str, work: Callable[[], T]) -> T:
    kind = media_type.removeprefix("image/").upper()
    try:
        if media_type in ("image/gif", "image/tiff"):
            # Only these two warn of a decompression bomb from within; the filters are not made for threads, so these decode one after the other.
            with _WARNING_FILTERS, warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
                return work()
        return work()
    except MediaError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything for bytes that are not what they should be
        raise MediaError(f"a {kind} that cannot be decoded, perhaps cut short: {str(error) or type(error).__name__}") from error


def _factory(media_type: str) -> type[ImageFile.ImageFile]:
    """The class that decodes it, to be called directly: `Image.open` warns of large images before its caller can look at the size."""
    name = _IMAGES[media_type]
    found: type[ImageFile.ImageFile] = getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    return found


def _refuse_large(image: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise MediaError(f"an image of {width} × {height} pixels, more than the limit of {max_pixels:,} pixels")


def _load(file: BinaryIO, media_type: str, max_pixels: int) -> tuple[int, int]:
    factory = _factory(media_type)
    if media_type == "image/png":
        factory(file).verify()  # the checksums of all chunks, which decoding skips
        file.seek(0)
    with factory(file) as image:
        first = image.size
        frames = pixels = 0
        count = getattr(image, "n_frames", 1)
        while frames < min(count, _MAX_FRAMES) and pixels < _MAX_FRAME_PIXELS:
            if frames:
                image.seek(frames)
            _refuse_large(image, max_pixels)
            image.load()  # verify() alone passes a JPEG that is cut short
            frames += 1
            pixels += image.width * image.height
    if media_type in _END_MARKS:
        _check_end(file, media_type)
    return first


def _check_end(file: BinaryIO, media_type: str) -> None:
    """Decoders do without the end mark, so look for it. What may follow it is none of the image: phones append a film there."""
    with _content(file) as data:
        # A thumbnail inside a JPEG has an end mark of its own: the search begins at the scan. The mark of a GIF is so short that chance makes it.
        start = {"image/jpeg": _scan_start(data), "image/gif": max(0, len(data) - 64)}.get(media_type, 0)
        if data.rfind(_END_MARKS[media_type], start) < 0:
            raise MediaError("an image that is cut short: its end mark is missing")


@contextlib.contextmanager
def _content(file: BinaryIO) -> Iterator[bytes | mmap.mmap]:
    if isinstance(file, io.BytesIO):
        yield file.getvalue()
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _scan_start(data: bytes | mmap.mmap) -> int:
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 1 if data[at + 1 : at + 2] == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
