import asyncio
import io
import struct
import sys
import types
import zlib
from dataclasses import dataclass

import pytest
from aiohttp import web
from PIL import Image

from batcher.simulator import plain
from batcher.simulator.blobs import BlobStore
from batcher.simulator.catalog import model_cards
from batcher.simulator.outputs import Drawing, Outputs, is_loopback, picture_seed
from batcher.simulator.records import Submission
from batcher.simulator.settings import SimulatorSettings

CARDS = model_cards()
EDIT = "blackforestlabs/flux-1-kontext/max/edit"
WAN = "wan-ai/wan-3.0/image-to-video"


def drawing(model=EDIT, request_id="r1", index=0, file_format="png", **body):
    submission = Submission(1, request_id, model, {"prompt": "at night", **body}, "", "me", 0.0, 0.0, 0.0)
    return Drawing(submission, CARDS[model], index, file_format)


@dataclass(frozen=True, slots=True)
class PictureRequest:
    kind: str
    prompt: str
    seed: int
    inputs: tuple[bytes, ...] = ()
    aspect_ratio: str | None = None
    size_px: int = 1024
    duration_s: float = 5.0
    format: str = "png"


@pytest.fixture
def studio(monkeypatch):
    """Stands in for the pictures, which are somebody else's concern, and remembers what was asked of it."""
    module = types.ModuleType("batcher.simulator.pictures")
    module.asked = []

    def render(request):
        module.asked.append(request)
        return repr(request).encode(), "image/png"

    module.PictureRequest, module.render = PictureRequest, render
    monkeypatch.setitem(sys.modules, "batcher.simulator.pictures", module)
    return module


@pytest.fixture
async def outputs(request):
    settings = getattr(request, "param", {})
    blobs = BlobStore()
    made = Outputs(SimulatorSettings(**settings), blobs, cache_bytes=2_000)
    yield made
    await made.close()
    blobs.close()


def test_a_plain_png_opens_and_differs_from_request_to_request():
    one, other = plain.png("a"), plain.png("b")
    assert one == plain.png("a")
    assert one != other
    picture = Image.open(io.BytesIO(one))
    picture.load()
    assert picture.size == (64, 64)


def test_a_plain_video_is_a_webm_with_one_frame_that_decodes():
    video = plain.webm("a")
    assert video == plain.webm("a")
    assert video != plain.webm("b")
    elements = dict(walk(video))
    assert elements[0x4282] == b"webm"
    assert struct.unpack(">d", elements[0x4489]) == (1000.0,)
    assert elements[0x86] == b"V_VP8"
    frame = elements[0xA3][4:]
    frame += b"\0" * (len(frame) % 2)
    riff = b"WEBPVP8 " + struct.pack("<I", len(frame)) + frame
    picture = Image.open(io.BytesIO(b"RIFF" + struct.pack("<I", len(riff)) + riff))
    picture.load()
    assert picture.size == (64, 64)


def walk(data):
    masters = {0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675}
    place = 0
    while place < len(data):
        length = 9 - data[place].bit_length()
        identifier = int.from_bytes(data[place : place + length])
        size = int.from_bytes(data[place + length + 1 : place + length + 8])
        content = data[place + length + 8 : place + length + 8 + size]
        assert len(content) == size
        yield identifier, content
        if identifier in masters:
            yield from walk(content)
        place += length + 8 + size


def test_the_chunks_of_a_plain_png_have_right_checksums():
    data, place = plain.png("a"), 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + size]
        assert struct.unpack(">I", data[place + 8 + size : place + 12 + size]) == (zlib.crc32(body),)
        place += size + 12


@pytest.mark.parametrize("outputs", [{"art": "plain"}], indirect=True)
async def test_plain_art_draws_nothing(outputs, studio):
    outputs.prepare([drawing()])
    assert (await outputs.get(drawing())).media_type == "image/png"
    assert (await outputs.get(drawing(WAN))).media_type == "video/webm"
    assert (await outputs.get(drawing(index=1))).content != (await outputs.get(drawing())).content
    assert studio.asked == []


async def test_a_picture_is_asked_for_in_the_terms_of_the_body(outputs, studio):
    await outputs.get(drawing(seed=7, aspect_ratio="1:1", file_format="jpeg"))
    await outputs.get(drawing(request_id="r2", index=1))
    await outputs.get(drawing(WAN, request_id="r3", duration=8, file_format="webm"))
    assert studio.asked == [
        PictureRequest("edit", "at night", 7, (), "1:1", 1024, 5.0, "jpeg"),
        PictureRequest("edit", "at night", 40123779, (), "16:9", 1024, 5.0, "png"),
        PictureRequest("video", "at night", picture_seed(drawing(WAN, request_id="r3")), (), None, 480, 8.0, "png"),
    ]


async def test_a_picture_is_drawn_once_for_any_number_of_callers(outputs, studio):
    outputs.prepare([drawing(), drawing()])
    contents = await asyncio.gather(*(outputs.get(drawing()) for _ in range(5)))
    outputs.prepare([drawing()])
    assert len(set(contents)) == len(studio.asked) == 1


async def test_the_cache_is_bounded_and_what_left_it_is_drawn_again_alike(outputs, studio):
    contents = [(await outputs.get(drawing(request_id=str(n)))).content for n in range(40)]
    assert outputs._cached_bytes == sum(len(kept.content) for kept in outputs._cached.values()) <= 2_000
    assert (await outputs.get(drawing(request_id="39"))).content == contents[39]
    assert len(studio.asked) == 40
    assert (await outputs.get(drawing(request_id="0"))).content == contents[0]
    assert len(studio.asked) == 41


async def test_not_everything_is_drawn_ahead(outputs, studio):
    outputs.prepare([drawing(request_id=str(n)) for n in range(100)])
    await outputs.get(drawing(request_id="99"))
    assert len(studio.asked) <= 17


async def test_a_caller_who_leaves_does_not_stop_the_drawing(outputs, studio):
    task = asyncio.create_task(outputs.get(drawing()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await outputs.get(drawing())
    assert len(studio.asked) == 1


async def test_a_drawing_that_goes_wrong_is_told_to_its_caller_and_tried_again(outputs, studio):
    good = studio.render

    def broken(request):
        raise ValueError("no paint")

    studio.render = broken
    with pytest.raises(ValueError, match="no paint"):
        await outputs.get(drawing())
    studio.render = good
    assert (await outputs.get(drawing())).content


@pytest.fixture
async def images():
    """A little server with images, one of them endless for its purpose."""

    async def show(request):
        if request.match_info["name"] == "gone":
            raise web.HTTPNotFound
        return web.Response(body=b"x" * (300 if request.match_info["name"] == "big" else 3))

    app = web.Application()
    app.router.add_get("/{name}", show)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_input_images_come_from_blobs_and_from_loopback(outputs, studio, images, monkeypatch):
    monkeypatch.setattr("batcher.simulator.outputs.INPUT_BYTES", 200)
    blob = {"$blob": outputs._blobs.put(b"blob")}
    await outputs.get(drawing(image_url=blob))
    model = "google/nano-banana-2-lite/edit"
    urls = [
        f"{images}/good",
        f"{images}/gone",
        f"{images}/big",
        "https://example.com/a.png",
        "http://127.0.0.1:1/closed",
        "http://[::",
        {"$blob": "none"},
        blob,
    ]
    await outputs.get(drawing(model, request_id="r2", image_urls=urls))
    assert [request.inputs for request in studio.asked] == [(b"blob",), (b"xxx", b"blob")]


@pytest.mark.parametrize(("outputs", "inputs"), [({"fetch_inputs": "none"}, ()), ({"fetch_inputs": "any"}, (b"xxx",))], indirect=["outputs"])
async def test_whether_links_are_fetched_is_a_switch(outputs, inputs, studio, images):
    await outputs.get(drawing(image_url=f"{images}/good"))
    assert studio.asked[0].inputs == inputs


async def test_closing_stops_what_is_under_way(studio):
    outputs = Outputs(SimulatorSettings(), BlobStore())
    outputs.prepare([drawing(request_id=str(n)) for n in range(5)])
    await outputs.close()
    assert outputs._under_way == {}


@pytest.mark.parametrize(
    ("host", "expected"), [("localhost", True), ("127.8.0.1", True), ("::1", True), ("0.0.0.0", False), ("example.com", False), ("", False)]
)
def test_what_loopback_is(host, expected):
    assert is_loopback(host) is expected


def test_an_image_that_cannot_be_kept_is_told(tmp_path):
    from batcher.simulator.errors import SimulatorError

    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="cannot be kept"):
        BlobStore(tmp_path / "file").put(b"x")


def test_a_blob_is_kept_once(tmp_path):
    store = BlobStore(tmp_path / "inputs")
    assert store.put(b"x") == store.put(b"x")
    assert len(list((tmp_path / "inputs").iterdir())) == 1
    assert store.take_out({"a": ["data:,broken", 3, None]}) == {"a": ["data:,broken", 3, None]}
