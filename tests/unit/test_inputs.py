import asyncio
import base64
import hashlib
import json
import os
import socket
import sys
from types import MappingProxyType

import pytest

from batcher import inputs
from batcher.errors import InputError
from batcher.inputs import BODY_MAX_BYTES, IMAGE_MAX_BYTES, DataUriBodies, check_input
from batcher.media import MediaError
from batcher.model import InputFile, JobSpec
from tests.support import sample_bytes as sample

PNG = sample.picture("PNG")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "mug.png"
    path.write_bytes(PNG)
    return path


def spec_of(body, *files):
    return JobSpec(key="k", row_id="row-7", fingerprint="f", job="raw", model="a/b", body=body, stem="row-7", inputs=files)


def uri_of(data, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


# -- planning


def test_a_good_file_is_described_by_its_bytes(photo):
    assert check_input(photo) == InputFile(str(photo), hashlib.sha256(PNG).hexdigest(), len(PNG), "image/png")


def test_the_name_of_a_file_says_nothing_of_its_kind(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(sample.picture("WEBP"))
    assert check_input(path).media_type == "image/webp"


def test_videos_and_sounds_are_taken_too(tmp_path):
    for name, data, media_type in (("a", sample.mp4(), "video/mp4"), ("b", sample.webm(), "video/webm"), ("c", sample.wav(), "audio/wav")):
        (tmp_path / name).write_bytes(data)
        assert check_input(tmp_path / name).media_type == media_type


def test_a_relative_path_is_kept_as_an_absolute_one(photo, monkeypatch):
    monkeypatch.chdir(photo.parent)
    assert check_input(photo.relative_to(photo.parent)).path == str(photo)


@pytest.mark.parametrize(("media", "fits"), [("file", True), ("image", True), ("video", False)])
def test_a_field_may_ask_for_an_image_or_a_video(photo, media, fits):
    if fits:
        assert check_input(photo, media).media_type == "image/png"
    else:
        with pytest.raises(MediaError, match=r"mug\.png is image/png, not video"):
            check_input(photo, media)


@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"not an image at all, just a few words", "not an image, video or sound"),
        (PNG[: len(PNG) // 2], "cut short"),
        (sample.picture("JPEG")[:-600], "cut short"),
        (sample.mp4()[:-1], "cut short"),
    ],
)
def test_what_is_no_whole_media_is_refused_by_name(tmp_path, data, words):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=words) as caught:
        check_input(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy


@pytest.mark.fault("F9")
def test_an_image_over_six_mebibytes_is_refused_with_its_size_and_the_limit(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(PNG + bytes(IMAGE_MAX_BYTES + 1 - len(PNG)))
    with pytest.raises(MediaError, match=r"large\.png has 6,291,457 bytes: more than the limit of 6,291,456 bytes for an image") as caught:
        check_input(path)
    assert "https URL" in caught.value.remedy
    path.write_bytes(PNG + bytes(IMAGE_MAX_BYTES - len(PNG)))
    assert check_input(path).size_bytes == IMAGE_MAX_BYTES


@pytest.mark.fault("F9")
def test_a_video_over_thirty_two_mebibytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(sample.mp4())
    os.truncate(path, 32 * 1024**2 + 1)
    with pytest.raises(MediaError, match="limit of 33,554,432 bytes for a video"):
        check_input(path)


def test_a_large_file_that_is_no_media_is_told_apart_from_a_large_video(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"no media, just very long")
    os.truncate(path, 3 * 1024**3)
    with pytest.raises(MediaError, match="not an image"):
        check_input(path)


@pytest.mark.fault("F9")
def test_an_image_over_thirty_two_megapixels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "IMAGE_MAX_PIXELS", 1000)
    path = tmp_path / "wide.png"
    path.write_bytes(PNG)
    with pytest.raises(MediaError, match=r"wide\.png is an image of 48 × 32 pixels, more than the limit of 1,000"):
        check_input(path)


@pytest.mark.fault("F9")
def test_what_is_missing_or_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist") as caught:
        check_input(tmp_path / "nothing.png")
    assert "relative to the manifest" in caught.value.remedy
    with pytest.raises(InputError, match="is a folder"):
        check_input(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        check_input(tmp_path / "nul\0.png")
    with pytest.raises(InputError, match="cannot be read"):
        check_input(tmp_path / ("x" * 300))


@pytest.mark.fault("X18", "F9")
@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
def test_a_pipe_a_socket_or_a_device_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", "/dev/zero"):
            with pytest.raises(InputError, match="not a regular file"):
                check_input(path)


@pytest.mark.fault("F9")
def test_a_file_that_may_not_be_read_is_an_input_error(photo, monkeypatch):
    def refuse(path, within=None):
        raise PermissionError(13, "Permission denied")

    os.utime(photo, ns=(1, 1))
    monkeypatch.setattr(inputs, "open_regular", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        check_input(photo)


@pytest.mark.fault("F9")
def test_a_file_that_grows_while_it_is_read_is_refused(photo, monkeypatch):
    inspect = inputs.inspect

    def grow(file, **options):
        photo.write_bytes(PNG + b"more")
        return inspect(file, **options)

    monkeypatch.setattr(inputs, "inspect", grow)
    with pytest.raises(InputError, match="changed while it was read"):
        check_input(photo)


def test_a_file_that_many_rows_use_is_read_once_until_it_changes(photo, monkeypatch):
    read = []
    inspect = inputs.inspect
    monkeypatch.setattr(inputs, "inspect", lambda file, **options: read.append(file) or inspect(file, **options))
    first = {check_input(photo) for _ in range(1000)}
    assert (len(first), len(read)) == (1, 1)
    photo.write_bytes(sample.picture("PNG", seed=5))
    os.utime(photo, ns=(7, 7))
    assert check_input(photo) not in first
    assert len(read) == 2


# -- submitting


async def test_a_body_without_files_is_compact_json_in_utf_8():
    body = {"prompt": 'Tür — 猫 \U0001f431 "x"\n', "n": 1, "nested": MappingProxyType({"a": (1, None, True)})}
    encoded = await DataUriBodies().encode(spec_of(body))
    assert encoded == '{"prompt":"Tür — 猫 \U0001f431 \\"x\\"\\n","n":1,"nested":{"a":[1,null,true]}}'.encode()


async def test_each_file_stands_in_the_body_as_a_data_uri(photo, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(sample.mp4())
    body = {
        "image": {"$input": 0},
        "images": [{"$input": 1}, {"$input": 0}, "https://x/y.png"],
        "deep": MappingProxyType({"x": ({"$input": 1},)}),
        "n": 3,
    }
    encoded = await DataUriBodies().encode(spec_of(body, check_input(photo), check_input(film)))
    png, mp4 = uri_of(PNG), uri_of(sample.mp4(), "video/mp4")
    assert json.loads(encoded) == {"image": png, "images": [mp4, png, "https://x/y.png"], "deep": {"x": [mp4]}, "n": 3}
    assert b" " not in encoded


async def test_what_only_looks_like_a_file_is_left_alone(photo):
    body = {"a": {"$input": 0, "other": 1}, "b": "$input", "c": {"$input": 0}}
    assert json.loads(await DataUriBodies().encode(spec_of(body, check_input(photo)))) == {
        "a": {"$input": 0, "other": 1},
        "b": "$input",
        "c": uri_of(PNG),
    }
    assert json.loads(await DataUriBodies().encode(spec_of({"a": {"$input": 0}}))) == {"a": {"$input": 0}}


@pytest.mark.parametrize("index", [1, -1, True, "0", None])
async def test_a_file_that_was_not_planned_is_refused(photo, index):
    with pytest.raises(InputError, match="row-7 asks for a local file that was not planned"):
        await DataUriBodies().encode(spec_of({"image": {"$input": index}}, check_input(photo)))


@pytest.mark.fault("F9")
@pytest.mark.parametrize("change", ["gone", "other size", "same size", "folder", "pipe"])
async def test_a_file_that_is_not_the_planned_one_is_never_sent(photo, change):
    planned = check_input(photo)
    photo.unlink()
    if change == "other size":
        photo.write_bytes(PNG + b"x")
    elif change == "same size":
        photo.write_bytes(PNG[:-1] + b"x")
    elif change == "folder":
        photo.mkdir()
    elif change == "pipe":
        os.mkfifo(photo)
    with pytest.raises(InputError, match=r"Row row-7: .*mug\.png is not the file that was planned") as caught:
        await DataUriBodies().encode(spec_of({"image": {"$input": 0}}, planned))
    assert "run the manifest again" in caught.value.remedy


async def test_a_file_that_can_no_longer_be_read_is_an_input_error(photo, monkeypatch):
    planned = check_input(photo)

    def refuse(path, within=None):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inputs, "open_regular", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        await DataUriBodies().encode(spec_of({"image": {"$input": 0}}, planned))


async def test_a_photo_that_many_rows_use_is_read_once_even_at_the_same_time(photo, monkeypatch):
    read = []
    real = inputs._read_uri
    monkeypatch.setattr(inputs, "_read_uri", lambda row, file: read.append(row) or real(row, file))
    bodies, spec = DataUriBodies(), spec_of({"image": {"$input": 0}}, check_input(photo))
    encoded = await asyncio.gather(*(bodies.encode(spec) for _ in range(50)))
    assert (len(set(encoded)), len(read)) == (1, 1)


async def test_the_cache_keeps_to_its_bytes_and_drops_what_was_used_longest_ago(tmp_path, monkeypatch):
    read = []
    real = inputs._read_uri
    monkeypatch.setattr(inputs, "_read_uri", lambda row, file: read.append(file.path[-1]) or real(row, file))
    specs = {}
    for name in "abc":
        (tmp_path / name).write_bytes(sample.picture("PNG", seed=ord(name)))
        specs[name] = spec_of({"image": {"$input": 0}}, check_input(tmp_path / name))
    bodies = DataUriBodies(cache_bytes=2 * len(uri_of(PNG)) + 100)
    for name in "abacab":
        await bodies.encode(specs[name])
    assert "".join(read) == "abcb"
    nothing_kept = DataUriBodies(cache_bytes=10)
    for _ in range(2):
        await nothing_kept.encode(specs["a"])
    assert "".join(read) == "abcbaa"


async def test_a_body_over_sixty_four_mebibytes_is_refused_before_its_files_are_read(tmp_path):
    with pytest.raises(InputError, match="row-7: the request has 67,108,876 bytes"):
        await DataUriBodies().encode(spec_of({"prompt": "x" * (BODY_MAX_BYTES - 1)}))
    film = InputFile(str(tmp_path / "absent.mp4"), "0" * 64, 30 * 1024**2, "video/mp4")
    with pytest.raises(InputError, match="more than the limit of 67,108,864 bytes") as caught:
        await DataUriBodies().encode(spec_of({"videos": [{"$input": 0}, {"$input": 0}]}, film))
    assert "https URL" in caught.value.remedy


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", print, {1, 2}], ids=ascii)
async def test_what_json_cannot_hold_names_the_row(value):
    with pytest.raises(InputError, match="row-7: the request cannot be written as JSON"):
        await DataUriBodies().encode(spec_of({"x": value}))
