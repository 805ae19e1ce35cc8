import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from PIL import Image, ImageChops, ImageStat

from batcher.simulator.pictures import PictureRequest, render, webm

MASTERS = {
    webm.EBML,
    webm.SEGMENT,
    webm.SEEK_HEAD,
    webm.SEEK,
    webm.INFO,
    webm.TRACKS,
    webm.TRACK_ENTRY,
    webm.VIDEO,
    webm.CLUSTER,
    webm.CUES,
    webm.CUE_POINT,
    webm.CUE_TRACK_POSITIONS,
}


@dataclass(frozen=True)
class Element:
    name: int
    start: int
    content_start: int
    end: int
    content: bytes
    parents: tuple[int, ...]

    @property
    def number(self) -> int:
        return int.from_bytes(self.content, "big")


def variable_int(data: bytes, at: int, *, keep_marker: bool) -> tuple[int, int]:
    width = 8 - data[at].bit_length() + 1
    value = int.from_bytes(data[at : at + width], "big")
    return (value if keep_marker else value & ((1 << 7 * width) - 1)), at + width


def walk(data: bytes, start: int = 0, end: int | None = None, parents: tuple[int, ...] = ()) -> Iterator[Element]:
    """Every element of a file in order; lengths must fit exactly into their parents."""
    end = len(data) if end is None else end
    at = start
    while at < end:
        name, after_name = variable_int(data, at, keep_marker=True)
        length, content_start = variable_int(data, after_name, keep_marker=False)
        stop = content_start + length
        assert stop <= end, f"element {name:x} runs out of its parent"
        yield Element(name, at, content_start, stop, data[content_start:stop], parents)
        if name in MASTERS:
            yield from walk(data, content_start, stop, (*parents, name))
        at = stop
    assert at == end


def decoded(frame: bytes) -> Image.Image:
    """A VP8 key frame as a picture, by way of the WebP file that it could be."""
    chunk = b"VP8 " + struct.pack("<I", len(frame)) + frame + b"\0" * (len(frame) % 2)
    image = Image.open(io.BytesIO(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk))
    image.load()
    return image


def film(prompt: str = "a rainy city street at night", duration_s: float = 1.2, **changes: object) -> bytes:
    fields = {"kind": "video", "prompt": prompt, "seed": 1, "size_px": 160, "aspect_ratio": "16:9", "duration_s": duration_s} | changes
    content, media_type = render(PictureRequest(**fields))  # type: ignore[arg-type]
    assert media_type == "video/webm"
    return content


def blocks(elements: list[Element]) -> list[tuple[int, bytes]]:
    """Time in milliseconds and frame of every block."""
    result = []
    cluster_time = 0
    for element in elements:
        if element.name == webm.TIMESTAMP:
            cluster_time = element.number
        if element.name == webm.SIMPLE_BLOCK:
            track, offset, flags = struct.unpack(">BhB", element.content[:4])
            assert track == 0x81
            assert flags & 0x80, "every frame is a key frame"
            result.append((cluster_time + offset, element.content[4:]))
    return result


def test_the_file_is_well_formed_and_says_what_it_holds() -> None:
    elements = list(walk(film()))
    assert [element.name for element in elements if not element.parents] == [webm.EBML, webm.SEGMENT]
    named = {element.name: element for element in elements}
    assert named[webm.DOC_TYPE].content == b"webm"
    assert named[webm.CODEC_ID].content == b"V_VP8"
    assert (named[webm.PIXEL_WIDTH].number, named[webm.PIXEL_HEIGHT].number) == (160, 88)
    assert struct.unpack(">d", named[webm.DURATION].content)[0] == 1200
    assert named[webm.DEFAULT_DURATION].number == 100_000_000


def test_every_frame_decodes_at_the_size_told_and_the_picture_moves() -> None:
    frames = blocks(list(walk(film())))
    assert len(frames) == 12
    pictures = [decoded(frame) for _, frame in frames]
    assert {picture.size for picture in pictures} == {(160, 88)}
    change = ImageStat.Stat(ImageChops.difference(pictures[0].convert("RGB"), pictures[-1].convert("RGB"))).mean
    assert sum(change) > 3


def test_times_rise_evenly_and_end_before_the_duration() -> None:
    times = [time for time, _ in blocks(list(walk(film(duration_s=2.0))))]
    assert times[0] == 0
    assert len({b - a for a, b in pairwise(times)}) == 1
    assert times[-1] < 2000


def test_index_and_cues_point_at_what_they_name() -> None:
    data = film(duration_s=12.0, size_px=96)
    elements = list(walk(data))
    base = next(element.content_start for element in elements if element.name == webm.SEGMENT)
    starts = {element.start - base: element.name for element in elements if element.parents == (webm.SEGMENT,)}
    seeks = [element.number for element in elements if element.name in (webm.SEEK_ID, webm.SEEK_POSITION)]
    assert all(starts[place] == name for name, place in zip(seeks[::2], seeks[1::2], strict=True))
    places = [element.number for element in elements if element.name == webm.CUE_CLUSTER_POSITION]
    clusters = [element.start - base for element in elements if element.name == webm.CLUSTER]
    assert places == clusters
    assert len(clusters) == 3


@pytest.mark.parametrize(("asked", "told"), [(0.0, 0.2), (-5, 0.2), (1000.0, 60.0), (math.nan, 5.0), (math.inf, 5.0)])
def test_impossible_durations_are_brought_into_bounds(asked: float, told: float) -> None:
    elements = list(walk(film("a beach", asked, size_px=64)))
    duration = next(element for element in elements if element.name == webm.DURATION)
    assert struct.unpack(">d", duration.content)[0] == told * 1000
    assert 2 <= len(blocks(elements)) <= 60


@pytest.mark.parametrize("prompt", ["a beach", "snowfall in a forest", "a foggy street"])
def test_films_are_repeatable(prompt: str) -> None:
    assert film(prompt, 0.4) == film(prompt, 0.4)


def test_only_lossy_webp_has_a_key_frame() -> None:
    picture = Image.new("RGB", (16, 16), (200, 30, 60))
    lossless = io.BytesIO()
    picture.save(lossless, "WEBP", lossless=True)
    with pytest.raises(ValueError, match="no lossy"):
        webm.key_frame(lossless.getvalue())
    with pytest.raises(ValueError, match="not a WebP"):
        webm.key_frame(b"GIF89a")


def test_the_key_frame_is_found_behind_other_chunks() -> None:
    picture = Image.new("RGB", (16, 16), (200, 30, 60))
    plain, extended = io.BytesIO(), io.BytesIO()
    picture.save(plain, "WEBP", quality=60)
    picture.save(extended, "WEBP", quality=60, icc_profile=b"odd")
    assert webm.key_frame(extended.getvalue()) == webm.key_frame(plain.getvalue())


def test_long_elements_get_longer_lengths() -> None:
    data = webm.muxed([b"x" * 20_000, b"y" * 3_000_000], (16, 16), 1.0)
    assert [len(frame) for _, frame in blocks(list(walk(data)))] == [20_000, 3_000_000]
