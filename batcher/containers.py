"""Whether a video or a sound is whole, told from its container.

Nothing is decoded: the container is walked, element by element, because a transfer that broke off leaves an element that ends after the file does.

Sources: ISO/IEC 14496-12 (boxes of mp4 and mov), RFC 8794 and RFC 9559 (EBML, Matroska), RFC 3533 (Ogg), RFC 9639 (FLAC).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from batcher.errors import BatcherError

_MAX_ELEMENTS: Final = 1_000_000


class MediaError(BatcherError):
    """The bytes are not a whole image, video or sound that can be used; the message says what is wrong with them, in words."""

    exit_code = 65


def check_container(file: BinaryIO, media_type: str, size_bytes: int) -> tuple[int, int] | None:
    """Check that the video or sound of `size_bytes` in `file` is whole; its width and height in pixels, None where there are none. Blocks.

    `media_type` is one of those that `batcher.media.sniff` gives for videos and sounds. Raises `MediaError`.
    """
    return _CHECKS[media_type](file, size_bytes)


def is_mp3(head: bytes) -> bool:
    """Whether an mp3 may begin with `head`: with ID3, or a frame header of MPEG layer III with a bit rate and a sampling rate that exist."""
    if head.startswith(b"ID3"):
        return True
    return len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08 and head[2] >> 4 != 15 and head[2] & 0x0C != 0x0C


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    data = file.read(count)
    if len(data) < count:
        raise MediaError(f"cut short: {count - len(data)} bytes are missing at byte {at:,}")
    return data


@dataclass(frozen=True, slots=True)
class _Element:
    """A box, chunk or EBML element: `start` to `end` is what is in it."""

    name: bytes
    start: int
    end: int

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
    return _Element(head[:id_length], at + start, end if unknown else at + start + length)


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
    if not is_mp3(frames):
        raise MediaError("an mp3 that is cut short, or without sound in it")


_CHECKS: Final[dict[str, Callable[[BinaryIO, int], tuple[int, int] | None]]] = {
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
