import contextlib
import io
import random
import struct
import warnings
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batcher.media import MediaError, MediaFacts, extension, inspect, sniff
from tests.support import sample_bytes as sample

IMAGES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}


@pytest.fixture(params=["in memory", "on disk"])
def examine(request, tmp_path):
    def look(data, **options):
        if request.param == "in memory":
            return inspect(io.BytesIO(data), **options)
        path = tmp_path / "file"
        path.write_bytes(data)
        with path.open("rb") as file:
            return inspect(file, **options)

    return look


@pytest.mark.parametrize(("kind", "media_type"), IMAGES.items())
def test_a_whole_image_gives_its_type_and_size(examine, kind, media_type):
    assert examine(sample.picture(kind)) == MediaFacts(media_type, 48, 32)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_every_frame_of_an_animation_is_decoded(examine, kind):
    assert (examine(sample.animation(kind)).width, examine(sample.animation(kind)).height) == (48, 32)


@pytest.mark.parametrize(("data", "media_type", "size"), sample.CONTAINERS.values(), ids=sample.CONTAINERS)
def test_a_whole_container_gives_its_type_and_size(examine, data, media_type, size):
    assert examine(data) == MediaFacts(media_type, *(size or ()))


def test_a_container_without_its_last_byte_is_refused(examine):
    with pytest.raises(MediaError, match="cut short"):
        examine(sample.mp4()[:-1])


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.fault("E1")
def test_an_image_that_is_cut_short_is_refused(examine, kind, share):
    data = sample.picture(kind)
    with pytest.raises(MediaError):
        examine(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP"])
@pytest.mark.parametrize("missing", [1, 2, 3, 5, 9, 13])
@pytest.mark.fault("E1")
def test_an_image_without_its_last_bytes_is_refused(examine, kind, missing):
    with pytest.raises(MediaError):
        examine(sample.picture(kind)[:-missing])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_that_breaks_off_after_its_first_frame_is_refused(examine, kind):
    data = sample.animation(kind)
    with pytest.raises(MediaError):
        examine(data[: int(len(data) * 0.8)])


@pytest.mark.fault("E6")
def test_one_flipped_bit_in_the_pixels_is_found_where_the_format_has_checksums(examine):
    data = bytearray(sample.picture("PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(MediaError):
        examine(bytes(data))


def test_a_jpeg_with_a_film_appended_and_a_thumbnail_inside_is_whole(examine):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail ends with its own mark: \xff\xd9"
    sample.noise().save(file, "JPEG", exif=exif.tobytes() + b"\xff\xd9")
    assert examine(file.getvalue() + sample.mp4()).media_type == "image/jpeg"
    with pytest.raises(MediaError, match="cut short"):
        examine(file.getvalue()[:-1])


def pixel_bomb(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 10_000), (2**31 - 1, 2)])
@pytest.mark.fault("E2")
def test_a_pixel_bomb_is_refused_before_it_is_decoded_and_without_a_warning(examine, size):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(MediaError, match="limit of 89,478,485 pixels"):
            examine(pixel_bomb(*size))
    assert seen == []


@pytest.mark.parametrize("side", [10_000, 60_000])
@pytest.mark.fault("E2")
def test_a_gif_whose_frame_outgrows_its_canvas_is_refused_without_a_warning(examine, side):
    data = bytearray(sample.picture("GIF", 8, 8))
    frame = data.index(b"\x2c\x00\x00\x00\x00\x08\x00\x08\x00")
    data[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(MediaError):
            examine(bytes(data))
    assert seen == []


def test_the_limit_of_pixels_can_be_lowered(examine):
    assert examine(sample.picture(), max_pixels=48 * 32).width == 48
    with pytest.raises(MediaError, match="48 × 32 pixels, more than the limit of 1,535 pixels"):
        examine(sample.picture(), max_pixels=48 * 32 - 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (sample.page(), "not an image, video or sound"),
        (b"BMW 2002, a fine car, with a long story to be told", "not an image"),
        (sample.box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + sample.box(b"meta"), "HEIC"),
    ],
)
def test_what_is_wrong_is_said_in_words(examine, data, words):
    with pytest.raises(MediaError, match=words):
        examine(data)


def test_an_animation_of_endless_frames_is_looked_at_up_to_a_limit(examine, monkeypatch):
    monkeypatch.setattr("batcher.media._MAX_FRAME_PIXELS", 48 * 32)
    data = sample.animation("GIF")
    assert examine(data[: int(len(data) * 0.8)] + b"\0;").width == 48


@pytest.mark.parametrize("media_type", [*IMAGES.values(), *sorted({media_type for _, media_type, _ in sample.CONTAINERS.values()})])
def test_every_known_type_has_an_extension(media_type):
    assert extension(media_type).startswith(".")


def test_an_avif_may_name_itself_in_its_list_of_brands():
    assert sniff(sample.box(b"ftyp", b"mif1" + bytes(4) + b"miafavif")) == "image/avif"
    assert sniff(sample.box(b"ftyp", b"mif1" + bytes(4) + b"heic")) is None


@given(st.binary(max_size=600))
def test_sniffing_takes_any_bytes(data):
    assert sniff(data) is None or extension(sniff(data))


@pytest.mark.parametrize("data", [*(sample.picture(kind) for kind in IMAGES), *(data for data, _, _ in sample.CONTAINERS.values())])
def test_damaged_bytes_never_bring_anything_but_a_media_error(examine, data):
    rng = random.Random(len(data))
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with contextlib.suppress(MediaError):
                assert examine(bytes(damaged)).media_type
