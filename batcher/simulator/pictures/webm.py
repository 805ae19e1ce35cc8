"""Writes WebM files from VP8 key frames, which are what lossy WebP pictures hold.

Only what a player needs is written: the EBML header, and in the segment its index (SeekHead), Info, Tracks, Clusters of about five seconds, and Cues.
Sources: RFC 8794 (EBML), RFC 9559 (Matroska), RFC 6386 (VP8).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from batcher.simulator.pictures.paint import Size

EBML, EBML_VERSION, EBML_READ_VERSION, MAX_ID_LENGTH, MAX_SIZE_LENGTH = 0x1A45DFA3, 0x4286, 0x42F7, 0x42F2, 0x42F3
DOC_TYPE, DOC_TYPE_VERSION, DOC_TYPE_READ_VERSION = 0x4282, 0x4287, 0x4285
SEGMENT, SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = 0x18538067, 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
INFO, TIMESTAMP_SCALE, DURATION, MUXING_APP, WRITING_APP = 0x1549A966, 0x2AD7B1, 0x4489, 0x4D80, 0x5741
TRACKS, TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE, FLAG_LACING = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x9C
CODEC_ID, DEFAULT_DURATION, VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT = 0x86, 0x23E383, 0xE0, 0xB0, 0xBA
CLUSTER, TIMESTAMP, SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
CUES, CUE_POINT, CUE_TIME, CUE_TRACK_POSITIONS, CUE_TRACK, CUE_CLUSTER_POSITION = 0x1C53BB6B, 0xBB, 0xB3, 0xB7, 0xF7, 0xF1

TRACK = 1
CLUSTER_MS = 5000
KEY_FRAME_FLAG = 0x80


def key_frame(webp: bytes) -> bytes:
    """The VP8 key frame inside a lossy WebP file; `ValueError` if there is none."""
    if webp[:4] != b"RIFF" or webp[8:12] != b"WEBP":
        raise ValueError("not a WebP file")
    place = 12
    while place + 8 <= len(webp):
        name, size = webp[place : place + 4], int.from_bytes(webp[place + 4 : place + 8], "little")
        if name == b"VP8 ":
            return webp[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    raise ValueError("the WebP file holds no lossy VP8 picture")


def muxed(frames: Sequence[bytes], size: Size, duration_s: float) -> bytes:
    """A WebM file that shows the key frames evenly over `duration_s` seconds."""
    times = [round(index * duration_s * 1000 / len(frames)) for index in range(len(frames))]
    clusters = _clusters(frames, times)
    info = _element(
        INFO,
        _number(TIMESTAMP_SCALE, 1_000_000)
        + _element(DURATION, struct.pack(">d", duration_s * 1000))
        + _text(MUXING_APP, "batcher simulator")
        + _text(WRITING_APP, "batcher simulator"),
    )
    tracks = _tracks(size, round(duration_s * 1_000_000_000 / len(frames)))
    # Positions count from the start of the segment's content; every one is written with a fixed width, so the index's own size is known beforehand.
    head_size = len(_seek_head(0, 0, 0))
    info_at = head_size
    tracks_at = info_at + len(info)
    first_at = tracks_at + len(tracks)
    places = [first_at + sum(len(content) for _, content in clusters[:index]) for index in range(len(clusters))]
    cues = _element(CUES, b"".join(_cue(time, place) for (time, _), place in zip(clusters, places, strict=True)))
    cues_at = first_at + sum(len(content) for _, content in clusters)
    head = _seek_head(info_at, tracks_at, cues_at)
    return _header() + _element(SEGMENT, head + info + tracks + b"".join(content for _, content in clusters) + cues)


def _clusters(frames: Sequence[bytes], times: Sequence[int]) -> list[tuple[int, bytes]]:
    """The frames in clusters, each with the time of its first frame in milliseconds."""
    groups: list[tuple[int, list[bytes]]] = []
    for time, frame in zip(times, frames, strict=True):
        if not groups or time - groups[-1][0] >= CLUSTER_MS:
            groups.append((time, [_number(TIMESTAMP, time)]))
        start, parts = groups[-1]
        parts.append(_element(SIMPLE_BLOCK, bytes([0x80 | TRACK]) + struct.pack(">hB", time - start, KEY_FRAME_FLAG) + frame))
    return [(start, _element(CLUSTER, b"".join(parts))) for start, parts in groups]


def _header() -> bytes:
    return _element(
        EBML,
        _number(EBML_VERSION, 1)
        + _number(EBML_READ_VERSION, 1)
        + _number(MAX_ID_LENGTH, 4)
        + _number(MAX_SIZE_LENGTH, 8)
        + _text(DOC_TYPE, "webm")
        + _number(DOC_TYPE_VERSION, 2)
        + _number(DOC_TYPE_READ_VERSION, 2),
    )


def _tracks(size: Size, frame_ns: int) -> bytes:
    video = _element(VIDEO, _number(PIXEL_WIDTH, size[0]) + _number(PIXEL_HEIGHT, size[1]))
    entry = (
        _number(TRACK_NUMBER, TRACK)
        + _number(TRACK_UID, TRACK)
        + _number(TRACK_TYPE, 1)
        + _number(FLAG_LACING, 0)
        + _text(CODEC_ID, "V_VP8")
        + _number(DEFAULT_DURATION, frame_ns)
        + video
    )
    return _element(TRACKS, _element(TRACK_ENTRY, entry))


def _seek_head(info_at: int, tracks_at: int, cues_at: int) -> bytes:
    entries = [(INFO, info_at), (TRACKS, tracks_at), (CUES, cues_at)]
    return _element(
        SEEK_HEAD, b"".join(_element(SEEK, _element(SEEK_ID, _id(name)) + _element(SEEK_POSITION, struct.pack(">Q", at))) for name, at in entries)
    )


def _cue(time: int, place: int) -> bytes:
    positions = _number(CUE_TRACK, TRACK) + _element(CUE_CLUSTER_POSITION, struct.pack(">Q", place))
    return _element(CUE_POINT, _number(CUE_TIME, time) + _element(CUE_TRACK_POSITIONS, positions))


def _id(name: int) -> bytes:
    return name.to_bytes((name.bit_length() + 7) // 8, "big")


def _size(length: int) -> bytes:
    """A length as EBML writes it: the leading bits tell how many bytes it takes; all ones would mean *unknown*."""
    for width in range(1, 9):
        if length < (1 << 7 * width) - 1:
            return (length | 1 << 7 * width).to_bytes(width, "big")
    raise ValueError("too long for an EBML element")


def _element(name: int, content: bytes) -> bytes:
    return _id(name) + _size(len(content)) + content


def _number(name: int, value: int) -> bytes:
    return _element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _text(name: int, value: str) -> bytes:
    return _element(name, value.encode("ascii"))
