"""Small whole files of every kind, made byte by byte."""

from __future__ import annotations

import io
import random
import struct
from functools import cache

from PIL import Image


def noise(width: int = 48, height: int = 32, seed: int = 1) -> Image.Image:
    """An image that does not compress, so that every byte of its file counts."""
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))


@cache
def picture(kind: str = "PNG", width: int = 48, height: int = 32, seed: int = 1) -> bytes:
    file = io.BytesIO()
    noise(width, height, seed).save(file, kind)
    return file.getvalue()


@cache
def animation(kind: str = "GIF") -> bytes:
    file = io.BytesIO()
    noise(seed=1).save(file, kind, save_all=True, append_images=[noise(seed=2), noise(seed=3)])
    return file.getvalue()


def box(name: bytes, payload: bytes = b"", *, wide: bool = False) -> bytes:
    if wide:
        return struct.pack(">I4sQ", 1, name, 16 + len(payload)) + payload
    return struct.pack(">I4s", 8 + len(payload), name) + payload


def track_header(width: int, height: int, *, version: int = 0, turned: bool = False) -> bytes:
    one = 1 << 16
    matrix = (0, one, 0, -one, 0, 0, 0, 0, 1 << 30) if turned else (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    before = bytes([version]) + bytes(51 if version else 39)
    return box(b"tkhd", before + struct.pack(">9i2I", *matrix, width << 16, height << 16))


def mp4(width: int = 640, height: int = 360, *, brand: bytes = b"isom", version: int = 0, turned: bool = False, media: int = 500) -> bytes:
    sound = box(b"trak", track_header(0, 0))
    video = box(b"trak", track_header(width, height, version=version, turned=turned))
    return box(b"ftyp", brand + bytes(4) + b"isom") + box(b"moov", box(b"mvhd", bytes(100)) + sound + video) + box(b"mdat", bytes(media))


def element(name: str, payload: bytes, *, unknown: bool = False) -> bytes:
    size = b"\x01" + b"\xff" * 7 if unknown else b"\x08" + len(payload).to_bytes(4, "big")
    return bytes.fromhex(name) + size + payload


def webm(width: int = 320, height: int = 240, *, doctype: bytes = b"webm", unknown: bool = False, clusters: int = 2) -> bytes:
    video = element("e0", element("b0", width.to_bytes(2, "big")) + element("ba", height.to_bytes(2, "big")))
    tracks = element("1654ae6b", element("ae", element("d7", b"\1") + video))
    body = tracks + b"".join(element("1f43b675", bytes(200)) for _ in range(clusters))
    return element("1a45dfa3", element("4282", doctype)) + element("18538067", body, unknown=unknown)


def wav(samples: int = 400) -> bytes:
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + bytes(16) + b"data" + struct.pack("<I", samples) + bytes(samples)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def ogg(pages: int = 3) -> bytes:
    return b"".join(b"OggS\0" + bytes(21) + bytes([2, 255, 20]) + bytes(275) for _ in range(pages))


def flac() -> bytes:
    return b"fLaC" + b"\x00\x00\x00\x22" + bytes(34) + b"\x84\x00\x00\x08" + bytes(8) + b"\xff\xf8" + bytes(300)


def mp3(*, tagged: bool = True) -> bytes:
    frames = (b"\xff\xfb\x90\x00" + bytes(413)) * 3
    return (b"ID3\4\0\0\0\0\0\x14" + bytes(20) if tagged else b"") + frames


def page(text: str = "Sorry, the file is not here") -> bytes:
    return f"<!DOCTYPE html><html><head><title>503</title></head><body>{text}</body></html>".encode()


CONTAINERS = {
    "mp4": (mp4(), "video/mp4", (640, 360)),
    "mp4 with 64-bit times": (mp4(version=1), "video/mp4", (640, 360)),
    "mp4 held upright": (mp4(turned=True), "video/mp4", (360, 640)),
    "mov": (mp4(brand=b"qt  "), "video/quicktime", (640, 360)),
    "m4a": (mp4(0, 0, brand=b"M4A "), "audio/mp4", None),
    "webm": (webm(), "video/webm", (320, 240)),
    "live webm": (webm(unknown=True), "video/webm", (320, 240)),
    "mkv": (webm(doctype=b"matroska"), "video/x-matroska", (320, 240)),
    "wav": (wav(), "audio/wav", None),
    "ogg": (ogg(), "audio/ogg", None),
    "flac": (flac(), "audio/flac", None),
    "mp3": (mp3(), "audio/mpeg", None),
    "mp3 without a tag": (mp3(tagged=False), "audio/mpeg", None),
}
"""By name: a whole file, its media type, and its width and height in pixels if it has any."""
