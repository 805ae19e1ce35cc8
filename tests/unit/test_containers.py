import contextlib
import io
import random
import struct

import pytest

from batcher.containers import MediaError, check_container, is_mp3
from tests.support import sample_bytes as sample


def check(data, media_type="video/mp4"):
    return check_container(io.BytesIO(data), media_type, len(data))


@pytest.mark.parametrize(("data", "media_type", "size"), sample.CONTAINERS.values(), ids=sample.CONTAINERS)
def test_a_whole_container_gives_its_size_in_pixels(data, media_type, size):
    assert check(data, media_type) == size


@pytest.mark.parametrize("name", [name for name in sample.CONTAINERS if not name.startswith(("live", "flac", "mp3"))])
def test_a_container_that_is_cut_short_is_refused_wherever_the_cut_is(name):
    data, media_type, _ = sample.CONTAINERS[name]
    for length in (*range(16, len(data) - 1, 7), len(data) - 1):
        if name == "ogg" and length % 302 == 0 and length > 302:
            continue  # between two pages
        with pytest.raises(MediaError):
            check(data[:length], media_type)


@pytest.mark.parametrize("name", ["flac", "mp3", "live webm"])
def test_a_container_that_ends_within_its_headers_is_refused(name):
    data, media_type, _ = sample.CONTAINERS[name]
    with pytest.raises(MediaError):
        check(data[:25], media_type)


@pytest.mark.parametrize(
    ("data", "media_type", "words"),
    [
        (sample.box(b"ftyp", b"isom" + bytes(4)) + sample.box(b"mdat", b"x"), "video/mp4", r"without its index \(moov\)"),
        (sample.mp4(media=0), "video/mp4", "without media data"),
        (sample.mp4() + b"junk", "video/mp4", "bytes are missing"),
        (sample.mp4() + b"\0\0\0\4junk", "video/mp4", "shorter than its own header"),
        (sample.mp4() + sample.box(b"\1\2\3\4", b"x")[:-1], "video/mp4", "'01020304' ends 1 bytes after"),
        (
            sample.box(b"ftyp", b"isom" + bytes(4))
            + sample.box(b"moov", sample.box(b"trak", sample.box(b"tkhd", bytes(8))))
            + sample.box(b"mdat", b"x"),
            "video/mp4",
            "too short",
        ),
        (sample.element("1a45dfa3", sample.element("4282", b"webm")), "video/webm", "without a segment"),
        (sample.webm(clusters=0), "video/webm", "without media data"),
        (
            sample.element("1a45dfa3", sample.element("4282", b"webm")) + sample.element("18538067", sample.element("1f43b675", b"x")),
            "video/webm",
            "without tracks",
        ),
        (sample.webm() + b"\0\0\0", "video/webm", "no element begins"),
        (sample.wav(0), "audio/wav", "without sound"),
        (sample.ogg(1), "audio/ogg", "without sound"),
        (sample.ogg() + b"x" * 40, "audio/ogg", "no page begins"),
        (b"ID3\4\0\0\0\0\0\x14" + bytes(600), "audio/mpeg", "without sound"),
        (sample.wav()[:4] + struct.pack("<I", 9_000) + sample.wav()[8:], "audio/wav", r"cut short: 8,564 bytes"),
        (sample.flac()[:-302], "audio/flac", "cut short, or without sound"),
    ],
)
def test_what_is_wrong_is_said_in_words(data, media_type, words):
    with pytest.raises(MediaError, match=words):
        check(data, media_type)


def test_sounds_of_unknown_length_are_taken():
    piped = sample.wav().replace(struct.pack("<I", 400), b"\xff\xff\xff\xff", 1)
    assert check(piped[:4] + b"\xff\xff\xff\xff" + piped[8:], "audio/wav") is None
    odd = (
        b"RIFF"
        + struct.pack("<I", 4 + 24 + 8 + 5)
        + b"WAVE"
        + b"fmt "
        + struct.pack("<I", 16)
        + bytes(16)
        + b"data"
        + struct.pack("<I", 5)
        + bytes(5)
    )
    assert check(odd, "audio/wav") is None


def test_a_box_may_be_wide_or_reach_to_the_end():
    start = sample.mp4()[:-508]
    assert check(start + sample.box(b"mdat", bytes(9), wide=True)) == (640, 360)
    assert check(start + b"\0\0\0\0mdat" + bytes(9)) == (640, 360)


def test_a_video_without_a_picture_size_has_none():
    assert check(sample.webm(0, 0), "video/webm") is None
    sound_only = sample.element("1654ae6b", sample.element("ae", sample.element("d7", b"\1"))) + sample.element("1f43b675", bytes(9))
    assert check(sample.element("1a45dfa3", sample.element("4282", b"webm")) + sample.element("18538067", sound_only), "video/webm") is None


def test_a_file_made_of_endless_tiny_parts_is_given_up(monkeypatch):
    monkeypatch.setattr("batcher.containers._MAX_ELEMENTS", 100)
    with pytest.raises(MediaError, match="more than 100 parts"):
        check(sample.mp4() + sample.box(b"free") * 200)


@pytest.mark.parametrize(("head", "answer"), [(b"ID3\4", True), (b"\xff\xfb\x90\x00", True), (b"\xff\xfb\xf0\x00", False), (b"\xff\xfb", False)])
def test_an_mp3_is_known_by_its_tag_or_its_first_frame(head, answer):
    assert is_mp3(head) is answer


@pytest.mark.parametrize(("data", "media_type", "size"), sample.CONTAINERS.values(), ids=sample.CONTAINERS)
def test_damaged_bytes_never_bring_anything_but_a_media_error(data, media_type, size):
    rng = random.Random(len(data))
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(MediaError):
            found = check(bytes(damaged), media_type)
            assert found is None or min(found) > 0
