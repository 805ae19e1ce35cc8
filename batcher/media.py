"""What a file is, told from its bytes: its media type, its size in pixels, and whether it is whole.

Nothing is trusted but the bytes: not a name, not a header. Images are decoded; of videos and sounds the container is walked, element by element,
because a transfer that broke off leaves an element that ends after the file does.

Sources: ISO/IEC 14496-12 (boxes of mp4 and mov), RFC 8794 and RFC 9559 (EBML, Matroska), RFC 3533 (Ogg), RFC 9639 (FLAC).
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from batcher.errors import BatcherError

HEAD_BYTES: Final = 512
"""How much of the beginning of a file `sniff` wants to see."""

MAX_PIXELS: Final = 89_478_485
"""The largest image that is decoded; the limit at which Pillow suspects a decompression bomb."""

_MAX_FRAMES: Final = 10_000
_MAX_FRAME_PIXELS: Final = 256_000_000
_MAX_ELEMENTS: Final = 1_000_000

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


class MediaError(BatcherError):
    """The bytes are not a whole image, video or sound that can be used; the message says what is wrong with them, in words."""

    exit_code = 65


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


def inspect(path: Path, *, max_pixels: int = MAX_PIXELS) -> MediaFacts:
    """Find out what the file at `path` is and check that it is whole. Blocks. Raises `MediaError`, and `OSError` if it cannot be read."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
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
        dimensions = _CONTAINERS[media_type](file, size)
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
    return head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:64]


def _is_mp3(head: bytes) -> bool:
    # ID3, or a frame header of MPEG layer III with a bit rate and a sampling rate that exist.
    if head.startswith(b"ID3"):
        return True
    return len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08 and head[2] >> 4 != 15 and head[2] & 0x0C != 0x0C


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
    ("audio/mpeg", _is_mp3),
)


# -- images

_IMAGES: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "image/png": PngImagePlugin.PngImageFile,
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
    "image/gif": GifImagePlugin.GifImageFile,
    "image/avif": AvifImagePlugin.AvifImageFile,
    "image/bmp": BmpImagePlugin.BmpImageFile,
    "image/tiff": TiffImagePlugin.TiffImageFile,
}

_END_MARKS: Final = {"image/png": b"\0\0\0\0IEND\xaeB`\x82", "image/jpeg": b"\xff\xd9", "image/gif": b"\0;"}

_WARNING_FILTERS: Final = threading.Lock()
"""Held while the process-wide warning filters are changed."""


def _decode(file: BinaryIO, media_type: str, max_pixels: int) -> tuple[int, int]:
    kind = media_type.removeprefix("image/").upper()
    try:
        if media_type in ("image/gif", "image/tiff"):
            # Only these two warn of a decompression bomb from within; the filters are not made for threads, so these decode one after the other.
            with _WARNING_FILTERS, warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
                return _load(file, media_type, max_pixels)
        return _load(file, media_type, max_pixels)
    except MediaError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything for bytes that are not what they should be
        raise MediaError(f"a {kind} that cannot be decoded, perhaps cut short: {str(error) or type(error).__name__}") from error


def _load(file: BinaryIO, media_type: str, max_pixels: int) -> tuple[int, int]:
    # The classes are called directly: `Image.open` warns of large images before its caller can look at the size.
    factory = _IMAGES[media_type]
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
            width, height = image.size
            if width * height > max_pixels:
                raise MediaError(f"an image of {width} × {height} pixels, more than the limit of {max_pixels:,} pixels")
            image.load()  # verify() alone passes a JPEG that is cut short
            frames += 1
            pixels += width * height
    if media_type in _END_MARKS:
        _check_end(file, media_type)
    return first


def _check_end(file: BinaryIO, media_type: str) -> None:
    """Decoders do without the end mark, so look for it. What may follow it is none of the image: phones append a film there."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # A thumbnail inside a JPEG has an end mark of its own: the search begins at the scan. The mark of a GIF is so short that chance makes it.
        start = {"image/jpeg": _scan_start(data), "image/gif": max(0, len(data) - 64)}.get(media_type, 0)
        if data.rfind(_END_MARKS[media_type], start) < 0:
            raise MediaError("an image that is cut short: its end mark is missing")


def _scan_start(data: mmap.mmap) -> int:
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 1 if data[at + 1 : at + 2] == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


# -- containers


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    data = file.read(count)
    if len(data) < count:
        raise MediaError(f"cut short: {count - len(data)} bytes are missing at byte {at:,}")
    return data


@dataclass(frozen=True, slots=True)
class _Element:
    """A box, chunk or EBML element: `start` to `end` is what is in it. `open_ended` where it does not say how long it is."""

    name: bytes
    start: int
    end: int
    open_ended: bool = False

    def within(self, end: int) -> _Element:
        if self.end > end:
            label = self.name.decode("ascii") if self.name.isalnum() else self.name.hex()
            raise MediaError(f"cut short: its part {label!r} ends {self.end - end:,} bytes after the file")
        return self


def _walk(element_at: Callable[[BinaryIO, int, int], _Element], file: BinaryIO, start: int, end: int) -> Iterator[_Element]:
    """The elements that lie one after another from `start`; they must end exactly at `end`."""
    for _ in range(_MAX_ELEMENTS):
        if start >= end:
            return
        element = element_at(file, start, end).within(end)
        yield element
        start = element.end
    raise MediaError(f"made of more than {_MAX_ELEMENTS:,} parts")


def _box_at(file: BinaryIO, at: int, end: int) -> _Element:
    length, name = struct.unpack(">I4s", _read(file, at, 8))
    header = 8
    if length == 1:
        length, header = int.from_bytes(_read(file, at + 8, 8), "big"), 16
    elif length == 0:
        return _Element(name, at + 8, end)
    if length < header:
        raise MediaError(f"damaged: a part at byte {at:,} is shorter than its own header")
    return _Element(name, at + header, at + length)


def _check_mp4(file: BinaryIO, size: int) -> tuple[int, int] | None:
    boxes = list(_walk(_box_at, file, 0, size))
    media = sum(box.end - box.start for box in boxes if box.name == b"mdat")
    movie = next((box for box in boxes if box.name == b"moov"), None)
    if movie is None or not media:
        raise MediaError("an mp4 or mov without " + ("its index (moov)" if movie is None else "media data (mdat)"))
    sizes = [
        _track_size(file, header)
        for track in _walk(_box_at, file, movie.start, movie.end)
        if track.name == b"trak"
        for header in _walk(_box_at, file, track.start, track.end)
        if header.name == b"tkhd"
    ]
    return max((found for found in sizes if all(found)), default=None)


def _track_size(file: BinaryIO, header: _Element) -> tuple[int, int]:
    # Version 1 has three fields of 64 bits instead of 32. Then come the matrix (a b u c d v x y w) and width and height, as 16.16 numbers.
    matrix = header.start + (52 if _read(file, header.start, 1) == b"\1" else 40)
    if matrix + 44 > header.end:
        raise MediaError("damaged: a track header is too short")
    a, _, _, _, d, _, _, _, _, width, height = struct.unpack(">9i2I", _read(file, matrix, 44))
    turned = a == 0 and d == 0
    return (height >> 16, width >> 16) if turned else (width >> 16, height >> 16)


_SEGMENT: Final = b"\x18\x53\x80\x67"
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_TRACKS: Final = b"\x16\x54\xae\x6b"
_TRACK, _VIDEO, _WIDTH, _HEIGHT = b"\xae", b"\xe0", b"\xb0", b"\xba"


def _ebml_at(file: BinaryIO, at: int, end: int) -> _Element:
    head = _read(file, at, min(12, end - at))
    id_length = 9 - head[0].bit_length()
    length_byte = head[id_length] if id_length < len(head) else 0
    length_length = 9 - length_byte.bit_length()
    start = id_length + length_length
    if id_length > 4 or length_length > 8 or start > len(head):
        raise MediaError(f"damaged: no element begins at byte {at:,}")
    length = int.from_bytes(head[id_length:start], "big") - (1 << 7 * length_length)
    unknown = length == (1 << 7 * length_length) - 1
    return _Element(head[:id_length], at + start, end if unknown else at + start + length, open_ended=unknown)


def _check_ebml(file: BinaryIO, size: int) -> tuple[int, int] | None:
    segments = [element for element in _walk(_ebml_at, file, 0, size) if element.name == _SEGMENT]
    if not segments:
        raise MediaError("a webm or mkv without a segment")
    parts = [part for segment in segments for part in _walk(_ebml_at, file, segment.start, segment.end)]
    tracks = next((part for part in parts if part.name == _TRACKS), None)
    if tracks is None or not any(part.name == _CLUSTER and part.end > part.start for part in parts):
        raise MediaError("a webm or mkv without " + ("tracks" if tracks is None else "media data"))
    for track in _walk(_ebml_at, file, tracks.start, tracks.end):
        for entry in _walk(_ebml_at, file, track.start, track.end) if track.name == _TRACK else ():
            if entry.name == _VIDEO:
                values = {value.name: value for value in _walk(_ebml_at, file, entry.start, entry.end)}
                width, height = (_uint(file, values.get(name)) for name in (_WIDTH, _HEIGHT))
                return (width, height) if width and height else None
    return None


def _uint(file: BinaryIO, element: _Element | None) -> int:
    return int.from_bytes(_read(file, element.start, min(8, element.end - element.start)), "big") if element else 0


def _chunk_at(file: BinaryIO, at: int, end: int) -> _Element:
    name, length = struct.unpack("<4sI", _read(file, at, 8))
    if length == 0xFFFFFFFF:  # written to a pipe, by a program that could not go back to fill it in
        return _Element(name, at + 8, end)
    padded = at + 8 + length + length % 2
    return _Element(name, at + 8, end if length % 2 and padded == end + 1 else padded)


def _check_wav(file: BinaryIO, size: int) -> None:
    declared = int.from_bytes(_read(file, 4, 4), "little") + 8
    end = size if declared in (8, 0xFFFFFFFF + 8) else declared
    if end > size + 1:
        raise MediaError(f"cut short: {end - size:,} bytes are missing")
    chunks = {chunk.name: chunk for chunk in _walk(_chunk_at, file, 12, min(end, size))}
    if b"fmt " not in chunks or b"data" not in chunks or chunks[b"data"].end == chunks[b"data"].start:
        raise MediaError("a wav without sound in it")


def _page_at(file: BinaryIO, at: int, end: int) -> _Element:
    header = _read(file, at, 27)
    if header[:5] != b"OggS\0":
        raise MediaError(f"damaged: no page begins at byte {at:,}")
    start = at + 27 + header[26]
    return _Element(b"OggS", start, start + sum(_read(file, at + 27, header[26])))


def _check_ogg(file: BinaryIO, size: int) -> None:
    if sum(1 for _ in _walk(_page_at, file, 0, size)) < 2:
        raise MediaError("an ogg without sound in it")


def _check_flac(file: BinaryIO, size: int) -> None:
    at, last = 4, False
    while not last:
        header = _read(file, at, 4)
        last = bool(header[0] & 0x80)
        at += 4 + int.from_bytes(header[1:], "big")
    if at >= size or int.from_bytes(_read(file, at, 2), "big") & 0xFFFC != 0xFFF8:
        raise MediaError("a flac that is cut short, or without sound in it")


def _check_mp3(file: BinaryIO, size: int) -> None:
    header = _read(file, 0, 10)
    at = 0
    if header.startswith(b"ID3"):
        at = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
    file.seek(min(at, size))
    frames = file.read(4096).lstrip(b"\0")
    if not _is_mp3(frames):
        raise MediaError("an mp3 that is cut short, or without sound in it")


_CONTAINERS: Final[dict[str, Callable[[BinaryIO, int], tuple[int, int] | None]]] = {
    "video/mp4": _check_mp4,
    "video/quicktime": _check_mp4,
    "audio/mp4": _check_mp4,
    "video/webm": _check_ebml,
    "video/x-matroska": _check_ebml,
    "audio/wav": _check_wav,
    "audio/ogg": _check_ogg,
    "audio/flac": _check_flac,
    "audio/mpeg": _check_mp3,
}
