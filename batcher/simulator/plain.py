"""Tiny valid pictures and videos that cost a few microseconds each and differ from request to request, for load tests."""

from __future__ import annotations

import hashlib
import struct
import uuid
import zlib

# One key frame of VP8, 64 × 64 points of grey.
_VP8_FRAME = bytes.fromhex("b003009d012a400040003fcde6f0723fb833ac220803f039896900d48c059aeb0015e21713800092c864bbae818ca0000000")
_SIDE_PX = 64
_IDAT = zlib.compress(bytes(_SIDE_PX * (1 + _SIDE_PX // 8)), 9)


def png(key: str) -> bytes:
    """A PNG of 64 × 64 points, in a colour that `key` settles."""
    digest = hashlib.sha256(key.encode()).digest()
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", _SIDE_PX, _SIDE_PX, 1, 3, 0, 0, 0)),
            _chunk(b"PLTE", digest[:6]),
            _chunk(b"tEXt", b"Comment\x00simulated " + digest.hex().encode()),
            _chunk(b"IDAT", _IDAT),
            _chunk(b"IEND", b""),
        )
    )


def webm(key: str) -> bytes:
    """A WebM video of one frame of 64 × 64 points and one second; its segment carries an id that `key` settles."""
    segment_id = uuid.UUID(bytes=hashlib.sha256(key.encode()).digest()[:16], version=4).bytes
    header = _element(
        0x1A45DFA3,
        _number(0x4286, 1),
        _number(0x42F7, 1),
        _number(0x42F2, 4),
        _number(0x42F3, 8),
        _element(0x4282, b"webm"),
        _number(0x4287, 2),
        _number(0x4285, 2),
    )
    info = _element(
        0x1549A966,
        _element(0x73A4, segment_id),
        _number(0x2AD7B1, 1_000_000),
        _element(0x4489, struct.pack(">d", 1000.0)),
        _element(0x4D80, b"simulated"),
        _element(0x5741, b"simulated"),
    )
    video = _element(0xE0, _number(0xB0, _SIDE_PX), _number(0xBA, _SIDE_PX))
    track = _element(0xAE, _number(0xD7, 1), _number(0x73C5, 1), _number(0x83, 1), _element(0x86, b"V_VP8"), video)
    cluster = _element(0x1F43B675, _number(0xE7, 0), _element(0xA3, b"\x81\x00\x00\x80" + _VP8_FRAME))
    return header + _element(0x18538067, info, _element(0x1654AE6B, track), cluster)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _element(identifier: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = (1 << 56 | len(content)).to_bytes(8)
    return identifier.to_bytes((identifier.bit_length() + 7) // 8) + size + content


def _number(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))
