"""Downloads at their worst, through the whole program: nothing bad is published, nothing generated again, and no host of files sees the token."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import socket
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from batcher.cli.summary import summary_lines
from batcher.decisions import retry_ended
from batcher.downloads import DownloadLimits, HttpFetcher
from batcher.errors import DownloadError
from batcher.hosts import TrustedHosts, open_download_session
from batcher.media import MediaError, inspect
from batcher.model import State
from batcher.storage import LocalStorage
from tests.support import sample_bytes as sample
from tests.support.file_server import FileServer, Reply, answer, chunked, dripping, endless, raw, redirect, stalling, unannounced
from tests.support.raw_server import answer as api_answer
from tests.support.stub_service import TOKEN, Story, StubService, run_rows, stub_service

pytestmark = pytest.mark.no_cover

PNG = sample.picture("PNG")
JPEG = sample.picture("JPEG", 256, 256)
WEBP = sample.picture("WEBP", 96, 64)


def png_of(width: int, height: int) -> bytes:
    """A small PNG that says to be of this size, and is whole but for its pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.fixture
async def files() -> AsyncIterator[FileServer]:
    async with FileServer() as files:
        yield files
        for request in files.received:
            assert {name.lower() for name, _ in request.headers} == {"host", "accept", "accept-encoding", "user-agent"}
            assert request.header("accept-encoding") == "identity"
            assert TOKEN not in str(request)


@pytest.fixture
async def stub(files: FileServer) -> AsyncIterator[StubService]:
    """A service whose second row has a good file, of bytes of its own."""
    async with stub_service(files.url("")) as stub:
        files.route("/1.png", answer(sample.picture("PNG", seed=2)))
        yield stub


def published(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and "results" in path.parts}


async def run(tmp_path: Path, stub: StubService, rows: int = 2, **settings: Any) -> Story:
    story = await run_rows(tmp_path / "out", stub.base, rows, **{"download_attempts": 3, **settings})
    assert sorted(stub.accepted) == list(range(rows)), "a broken download is never generated again"
    names = {file["path"] for row in story.rows.values() for file in row["files"]}
    assert published(tmp_path / "out") == names
    for name in names:
        inspect(io.BytesIO((tmp_path / "out" / name).read_bytes()))
    return story


def marked(faults: str, name: str, *values: Any) -> Any:
    return pytest.param(*values, id=name, marks=pytest.mark.fault(*faults.split()))


NEVER_WHOLE = [
    marked("E1", "shorter than announced", answer(PNG[:2000], announced=len(PNG)), "broke off"),
    marked("E1", "shorter, of no announced length", unannounced(JPEG[:9000]), "cut short"),
    marked("E1", "a chunk that does not end", chunked(PNG, finished=False), "broke off"),
    marked("E1", "gzip cut short", answer(gzip.compress(PNG)[:900], headers={"Content-Encoding": "gzip"}), "encoded as gzip"),
    marked("E1", "longer than announced", answer(JPEG + bytes(100), announced=len(JPEG) - 50), "not proper HTTP|cut short"),
    marked("E1", "a film cut short", unannounced(sample.mp4()[:-1]), "cut short"),
    marked("E4", "nothing", answer(b""), "is empty"),
    marked("E4", "nothing, of no announced length", unannounced(b""), "is empty"),
    marked("E4", "one byte", answer(b"\x89"), "only 1 bytes"),
    marked("E2", "a gzip bomb", answer(gzip.compress(bytes(2**24)), headers={"Content-Encoding": "gzip"}), "encoded as gzip"),
    marked("E2", "brotli", answer(b"x" * 600, headers={"Content-Encoding": "br"}), "encoded as br"),
    marked("E2", "20,000 × 20,000 pixels", answer(png_of(20_000, 20_000)), "more than the limit of 89,478,485 pixels"),
    marked("E2", "an archive", answer(b"PK\x03\x04" + bytes(600)), "not an image, video or sound"),
    marked("E4", "over the limit", answer(PNG, announced=3 * 2**30), "more than the limit"),
    marked("E5", "a page", answer(sample.page("sorry " * 99), headers={"Content-Type": "image/png"}), "not an image.*<!DOCTYPE"),
    marked("E5", "a short page", answer(sample.page(), headers={"Content-Type": "image/png"}), "not an image.*Sorry"),
    marked("E5", "JSON", answer(json.dumps({"error": "moderated", "why": "x" * 600}).encode(), headers={"Content-Type": "image/png"}), "moderated"),
    marked("E5", "a script that begins like a picture", answer(b"GIF89a/*" + b"alert(1)" * 99), "cannot be decoded|cut short"),
    marked("E5", "a picture without pixels", answer(png_of(0, 0)), "cannot be decoded"),
    marked("E5", "an image that does not decode", answer(PNG[:200] + bytes(3000) + PNG[3200:]), "cannot be decoded"),
    marked("E6", "one bit flipped", answer(PNG[:1500] + bytes([PNG[1500] ^ 1]) + PNG[1501:]), "cannot be decoded"),
    marked("E1", "not HTTP", raw(b"hello\r\n\r\n"), "not proper HTTP"),
    marked("E1", "hung up", raw(b""), "broke off"),
    marked("E9", "a part that nobody asked for", answer(PNG[:900], 206, headers={"Content-Range": "bytes 0-899/4708"}), "answered 206"),
    marked("E8", "500", answer(b"", 500), "answered 500"),
    marked("E8", "402", answer(b"", 402), "answered 402"),
    marked("E7", "a redirect to the link-local host of secrets", redirect("http://169.254.169.254/latest/meta-data"), "not a host of the service"),
    marked("E7", "a redirect to a private address", redirect("http://10.0.0.1/a.png"), "not a host of the service"),
    marked("E7", "a redirect to another host", redirect("https://evil.example/a.png"), "not a host of the service"),
    marked("E7", "a redirect to a file", redirect("file:///etc/passwd"), "only http and https"),
    marked("E7", "a redirect for ever", redirect("/0.png"), "more than 5 times"),
    marked("X17", "a redirect with a user name", redirect("http://me:pw@127.0.0.1/a.png"), "user name"),
    marked("X17", "a redirect with a backslash", redirect("http://127.0.0.1\\@evil.example/a.png"), "not a link"),
]


@pytest.mark.parametrize(("reply", "words"), NEVER_WHOLE)
async def test_what_never_comes_whole_fails_its_row_and_is_never_published(
    tmp_path: Path, stub: StubService, files: FileServer, reply: Reply, words: str
) -> None:
    files.route("/0.png", reply)
    story = await run(tmp_path, stub)
    assert (story.states, story.outcome.exit_code) == (["failed", "done"], 1)
    failure = story.failure("row0")
    assert failure["kind"] == "download_failed"
    assert re.search(words, failure["message"])
    assert failure["message"].isprintable()
    assert story.rows["row0"]["request_id"] == "r0-1"
    assert story.outcome.report.cost_usd == pytest.approx(0.08), "what was made has to be paid for"


THEN_WHOLE = [
    marked("E1", "cut", unannounced(PNG[:2000])),
    marked("E5", "a page of something on the way", answer(sample.page("sign in " * 99), headers={"Content-Type": "image/png"})),
    marked("E1", "shorter than announced", answer(PNG[:99], announced=len(PNG))),
    marked("E4", "nothing", answer(b"")),
    marked("E8", "503", answer(b"", 503, headers={"Retry-After": "0"})),
    marked("E8", "429 and no sense", answer(b"", 429, headers={"Retry-After": "never"})),
    *[marked("E8", f"{status}", answer(b"<Code>AccessDenied</Code>", status)) for status in (401, 403, 404, 410)],
    marked("E8", "a link that the store calls expired", answer(b"<Code>ExpiredToken</Code>", 400)),
    marked("E9", "a part that nobody asked for", answer(PNG[:900], 206)),
]


@pytest.mark.parametrize("reply", THEN_WHOLE)
async def test_what_comes_whole_the_next_time_is_published(tmp_path: Path, stub: StubService, files: FileServer, reply: Reply) -> None:
    files.route("/0.png", reply, answer(PNG))
    story = await run(tmp_path, stub)
    assert (story.states, story.outcome.exit_code) == (["done", "done"], 0)
    assert story.rows["row0"]["files"][0]["size_bytes"] == len(PNG)
    assert all(request.header("range") is None for request in files.received), "a broken transfer begins again"


@pytest.mark.fault("E8")
@pytest.mark.parametrize("status", [403, 404, 410])
async def test_the_result_is_read_again_for_a_new_link(tmp_path: Path, stub: StubService, files: FileServer, status: int) -> None:
    old, new = files.route("/old.png", answer(b"", status)), files.route("/new.png", answer(PNG))
    results = [api_answer({"status": "succeeded", "output": link, "cost": 0.04}) for link in (f"{old}?signature=1", f"{new}?signature=2")]
    stub.strike("result", *results, row=0)
    story = await run(tmp_path, stub)
    assert story.states == ["done", "done"]
    assert [request.target for request in files.received if "1.png" not in request.target] == ["/old.png?signature=1", "/new.png?signature=2"]


@pytest.mark.fault("E8")
async def test_a_link_that_stays_expired_fails_the_row_and_a_retry_collects_it_later(tmp_path: Path, stub: StubService, files: FileServer) -> None:
    files.route("/0.png", answer(b"", 403))
    assert (await run(tmp_path, stub)).failure("row0")["kind"] == "download_failed"
    files.route("/0.png", answer(PNG))
    later = await run_rows(tmp_path / "out", stub.base, 2, resume=True, decide=retry_ended([State.FAILED]))
    assert later.states == ["done", "done"]
    assert stub.posts == 2


@pytest.mark.fault("E3")
@pytest.mark.parametrize(
    ("reply", "settings"),
    [
        (dripping(PNG[:900], every_s=0.005), {"download_timeout_s": 0.2}),
        (stalling(PNG[: len(PNG) * 99 // 100], announced=len(PNG)), {"read_timeout_s": 0.1}),
        (stalling(b""), {"read_timeout_s": 0.1}),
        (dripping(b"", every_s=0.005), {"download_timeout_s": 0.2}),
    ],
    ids=["a byte at a time", "silence at 99 %", "silence from the start", "nothing but drops"],
)
async def test_a_download_that_does_not_get_on_is_given_up_and_tried_again(
    tmp_path: Path, stub: StubService, files: FileServer, reply: Reply, settings: dict[str, Any]
) -> None:
    files.route("/0.png", reply, answer(PNG))
    story = await run_rows(tmp_path / "out", stub.base, 1, download_attempts=50, **settings)
    assert story.states == ["done"]
    assert stub.posts == 1


LINKS = [
    marked("X17", "a user name", "http://me@127.0.0.1/a.png", "user name"),
    marked("X17", "a user name that looks like the host", "https://files.runcomfy.net@evil.example/a.png", "user name"),
    marked("X17", "a backslash", "https://evil.example\\.runcomfy.net/a.png", "not a link"),
    marked("X17", "a host that ends otherwise", "https://runcomfy.net.evil.example/a.png", "runcomfy.net.evil.example, which is not a host"),
    marked("X17", "a host that begins otherwise", "https://evilruncomfy.net/a.png", "not a host of the service"),
    marked("X17", "letters of another alphabet", "https://files.runс\u043emfy.net/a.png", "xn--.*not a host of the service"),
    marked("X17", "a dot of another alphabet", "https://evil.example\u3002runcomfy.net.example/a.png", "not a host of the service"),
    marked("X17", "a line break", "https://files.runcomfy.net\r\n.evil.example/a.png", "not a link"),
    marked("E7", "a file", "file:///etc/passwd", "only http and https"),
    marked("E7", "another scheme", "gopher://127.0.0.1/a", "only http and https"),
    marked("E7", "another port of the service", "https://files.runcomfy.net:22/a.png", "not plain https"),
    marked("E7", "the service without TLS", "http://files.runcomfy.net/a.png", "not plain https"),
    marked("E7", "a private address", "http://192.168.0.1/a.png", "not a host of the service"),
    marked("E7", "the host of secrets", "http://169.254.169.254/latest", "not a host of the service"),
    marked("E7", "loopback as a number", "http://2130706433/a.png", "not a host of the service"),
    marked("E5", "a data URI", "data:image/png;base64,iVBORw0KGgo=", "only http and https"),
]


@pytest.mark.parametrize(("link", "words"), LINKS)
async def test_a_link_that_must_not_be_followed_costs_no_request(tmp_path: Path, stub: StubService, files: FileServer, link: str, words: str) -> None:
    stub.outputs = {0: {"image": link}}
    story = await run(tmp_path, stub)
    assert (story.states, story.failure("row0")["kind"]) == (["failed", "done"], "download_failed")
    assert re.search(words, story.failure("row0")["message"])
    assert [request.target for request in files.received] == ["/1.png"]


@pytest.mark.fault("E7")
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
async def test_a_name_of_the_service_that_leads_inside_is_not_connected_to(
    tmp_path: Path, stub: StubService, files: FileServer, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    class Rebinding(AbstractResolver):
        """At each look-up another answer, as a name has that is to slip through a check."""

        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [{"hostname": host, "host": address, "port": port, "family": kind, "proto": 0, "flags": 0}]

        async def close(self) -> None:
            pass

    monkeypatch.setattr("batcher.hosts.ThreadedResolver", Rebinding)
    stub.outputs = {0: {"image": f"https://files.runcomfy.net:443/{files.port}"}}
    story = await run(tmp_path, stub)
    assert (story.states, story.failure("row0")["kind"]) == (["failed", "done"], "download_failed")
    assert f"leads to {address}" in story.failure("row0")["message"]


@pytest.mark.fault("E10")
async def test_a_thousand_outputs_of_one_name_get_names_of_their_own(tmp_path: Path, stub: StubService, files: FileServer) -> None:
    links = []
    for n in range(1000):
        path = f"/{n}/output.png"
        files.replies[path] = [answer(PNG)]
        links.append(files.url(path))
    stub.outputs = {0: {"images": links}}
    story = await run(tmp_path, stub)
    names = [file["path"] for file in story.rows["row0"]["files"]]
    assert (len(names), len(set(names)), names[0], names[-1]) == (1000, 1000, "results/row0-1.png", "results/row0-1000.png")


@pytest.mark.fault("X16")
async def test_rows_with_the_very_same_file_are_told_in_the_report_and_the_summary(tmp_path: Path, files: FileServer) -> None:
    async with stub_service(files.url("")) as stub:
        for n, seed in enumerate([1, 7, 7, 8, 8, 8]):
            files.route(f"/{n}.png", answer(sample.picture("PNG", seed=seed)))
        story = await run(tmp_path, stub, 6)
    assert (story.states, story.outcome.exit_code) == (["done"] * 6, 0)
    groups = [(group.rows, group.examples) for group in story.outcome.report.same_files]
    assert groups == [(3, ["row3", "row4", "row5"]), (2, ["row1", "row2"])]
    lines = list(summary_lines(story.outcome.report, tmp_path / "out"))
    assert any("3 rows have the very same file, such as row3 and row4" in line for line in lines)


@pytest.mark.fault("X16")
async def test_one_row_with_the_same_file_twice_is_its_own_affair(tmp_path: Path, stub: StubService, files: FileServer) -> None:
    same = [files.route(f"/same{n}.png", answer(PNG)) for n in range(2)]
    stub.outputs = {0: same}
    assert (await run(tmp_path, stub)).outcome.report.same_files == []


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("E2", "E4")
async def test_a_stream_of_any_size_takes_little_memory(tmp_path: Path, files: FileServer) -> None:
    hosts = TrustedHosts(loopback=True)
    film = files.route("/endless", endless(sample.mp4()))
    bomb = files.route("/bomb", answer(gzip.compress(bytes(2**27)), headers={"Content-Encoding": "gzip"}))
    async with open_download_session(hosts) as session:
        fetcher = HttpFetcher(session, LocalStorage(tmp_path), hosts, DownloadLimits(max_bytes=64 * 2**20))
        await fetcher.fetch(files.route("/small", answer(PNG)), "small")
        tracemalloc.start()
        try:
            with pytest.raises(DownloadError, match="larger than the limit of 67,108,864 bytes"):
                await fetcher.fetch(film, "film")
            with pytest.raises(DownloadError, match="encoded as gzip"):
                await fetcher.fetch(bomb, "bomb")
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 8 * 2**20
    assert published(tmp_path) == {"results/small.png"}


# ── flipped bits ──────────────────────────────────────────────────────────────────────────────────────────────────────

FLIPS = 150
FOUND: dict[str, tuple[bytes, float, float]] = {
    "PNG": (PNG, 1.0, 1.0),
    "JPEG": (JPEG, 0.0, 0.2),
    "WebP": (WEBP, 0.0, 0.3),
    "MP4": (sample.mp4(), 0.0, 0.3),
}
"""By kind: a file, and between which shares of one flipped bit are found in it. Only PNG has checksums over everything; docs/reference/downloads.md
says what that means."""


@pytest.mark.fault("E6")
@pytest.mark.parametrize("kind", FOUND)
def test_how_many_flipped_bits_are_found(kind: str) -> None:
    data, least, most = FOUND[kind]
    rng = random.Random(kind)
    found = 0
    for _ in range(FLIPS):
        at = rng.randrange(len(data))
        flipped = bytearray(data)
        flipped[at] ^= 1 << rng.randrange(8)
        try:
            inspect(io.BytesIO(flipped))
        except MediaError:
            found += 1
    assert least <= found / FLIPS <= most


@pytest.mark.fault("X17")
def test_a_host_of_another_alphabet_is_shown_as_what_it_is() -> None:
    with pytest.raises(DownloadError, match="xn--"):
        TrustedHosts().check("https://files.runсomfy.net/a.png")
