"""The live page over HTTP: it tells all of a run, to its end and after a gap, gives nothing to strangers, and is never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from yarl import URL

from batcher.cli.serving import ReviewAlone
from batcher.ledger import LedgerReader
from batcher.live import LivePage
from tests.support.command import report, results, start, status, steady_port, wait_until, write_rows
from tests.support.preloaded import batcher

pytestmark = pytest.mark.acceptance

QUICK = ("--simulate", "--art", "plain", "--job", "text_to_image", "--seed", "4")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of five rows that is done; in its folder nothing but what a run without a gallery leaves."""
    home = tmp_path_factory.mktemp("ran")
    done = batcher("run", write_rows(home / "rows.csv", 5), "--out", "out", "--latency-s", 0, "--no-gallery", *QUICK, home=home)
    assert done.returncode == 0, done.stderr
    return home / "out"


@asynccontextmanager
async def served(folder: Path, **options: Any) -> AsyncIterator[tuple[LivePage, aiohttp.ClientSession]]:
    async with (
        LivePage(folder, keep=ReviewAlone(folder).keep, port=0, **options) as page,
        aiohttp.ClientSession(URL(page.url).with_fragment(None)) as session,
    ):
        yield page, session


@contextmanager
def serving(folder: Path, *flags: object, home: Path) -> Iterator[str]:
    """`batcher serve` in a process of its own; gives its address."""
    with start("serve", folder, *flags, home=home) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


class Follower:
    """What a page knows that follows: the newest of every row, and of the batch."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.place = ""
        self.report: dict[str, Any] = {}
        self.run: dict[str, Any] = {}
        self.resets = 0
        self.messages = 0

    async def load(self, session: aiohttp.ClientSession) -> None:
        self.rows, self.place, after = {}, "", 0
        while True:
            async with session.get("/rows", params={"after": after, "limit": 7}) as answer:
                told = await answer.json()
            self.place = self.place or told["place"]
            if not told["rows"]:
                return
            self.rows.update({row["id"]: row for row in told["rows"]})
            after = told["rows"][-1]["row"]

    async def follow(self, session: aiohttp.ClientSession, *, messages: int = 10_000, by_header: bool = True) -> None:
        """Until the run has ended and everything is known, the server is gone, or so many messages came."""
        named = {"headers": {"Last-Event-ID": self.place}} if by_header else {"params": {"after": self.place}}
        async with session.get("/changes", **named) as answer:  # type: ignore[arg-type]
            assert answer.content_type == "text/event-stream"
            with contextlib.suppress(aiohttp.ClientPayloadError, asyncio.IncompleteReadError):  # a server that is gone
                while messages:
                    lines = (await answer.content.readuntil(b"\n\n")).decode().splitlines()
                    message = dict(line.split(": ", 1) for line in lines if line)
                    if "data" in message:
                        messages -= 1
                        if self._take(message):
                            return

    def _take(self, message: dict[str, str]) -> bool:
        if message["event"] == "beat":
            return False
        told = json.loads(message["data"])
        self.place, self.report, self.run = message["id"], told["report"], told["run"]
        self.messages += 1
        self.resets += message["event"] == "reset"
        self.rows.update({row["id"]: row for row in told.get("rows", [])})
        counts = self.report["counts"]
        return bool(self.run["state"] == "ended" and sum(row["state"] == "done" for row in self.rows.values()) == counts["done"])


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("ended_at", "queue_position")} for row in rows]


async def test_it_follows_a_run_from_before_its_start_to_its_end_over_gaps_and_a_server_that_is_killed(tmp_path: Path) -> None:
    manifest, port = write_rows(tmp_path / "rows.csv", 60), steady_port()
    out, known = tmp_path / "out", Follower()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serving(out, "--port", port, home=tmp_path))
        assert url == f"http://127.0.0.1:{port}/"
        async with aiohttp.ClientSession(url) as session:
            await known.load(session)
            assert known.rows == {}
            run = stack.enter_context(start("run", manifest, "--out", out, "--latency-s", 0.3, "--concurrency", 8, *QUICK, home=tmp_path))
            while len(known.rows) < 60:  # there is a ledger first, and a plan in it later
                await known.follow(session, messages=1)
                await known.load(session)
            assert known.resets
            await known.follow(session, messages=3)
        wait_until(lambda: status(out).get("done", 0) >= 10, "ten rows")
        assert known.run["state"] in ("waiting", "running")
        assert run.poll() is None, "the run goes on whoever looks"
    with serving(out, "--port", port, home=tmp_path):
        async with aiohttp.ClientSession(url) as session:
            await asyncio.wait_for(known.follow(session, by_header=False), 30)
    assert run.wait(30) == 0
    assert comparable([known.rows[row["id"]] for row in results(out)]) == results(out)
    assert known.report["counts"] == report(out)["counts"]
    assert known.report["cost_usd"] == report(out)["cost_usd"]


async def test_who_comes_back_is_told_what_was_missed_and_nothing_else(ran: Path) -> None:
    async with served(ran) as (_, session):
        known, late = Follower(), Follower()
        await known.load(session)
        late.place = f"{known.place.rpartition('.')[0]}.0"
        await asyncio.wait_for(known.follow(session), 10)
        assert (known.messages, known.resets) == (1, 0)
        await asyncio.wait_for(late.follow(session), 10)
        assert (late.rows, late.place) == (known.rows, known.place)
        for nonsense in ("", "x", "-1", "0.99999999999999999999", "a.b.c", known.place.replace("-", "+")):
            stranger = Follower()
            stranger.place = nonsense
            await asyncio.wait_for(stranger.follow(session, messages=1), 10)
            assert (stranger.resets, stranger.place) == (1, known.place), "of another plan: all anew"


async def test_rows_come_in_pages(ran: Path) -> None:
    async with served(ran) as (_, session):
        async with session.get("/rows?after=1&limit=2") as answer:
            told = await answer.json()
        assert [row["row"] for row in told["rows"]] == [2, 3]
        for bad in ("after=x", "after=-1", "limit=1e9", f"after={1 << 70}"):
            async with session.get(f"/rows?{bad}") as answer:
                assert answer.status == 400


async def test_a_run_shows_itself_until_it_ends(tmp_path: Path) -> None:
    port, known = steady_port(), Follower()
    manifest = write_rows(tmp_path / "rows.csv", 20)
    with start("run", manifest, "--out", "out", f"--serve={port}", "--latency-s", 0.3, "--concurrency", 5, *QUICK, home=tmp_path) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == f"Live page: http://127.0.0.1:{port}/\n"
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            while known.run.get("state") != "running":
                await known.load(session)
                await known.follow(session, messages=1)
            await known.load(session)
            await asyncio.wait_for(known.follow(session), 30)
        out, _ = run.communicate(timeout=30)
        assert run.returncode == 0
    assert "batcher serve out shows it again" in out
    assert comparable([known.rows[row["id"]] for row in results(tmp_path / "out")]) == results(tmp_path / "out")


def test_a_port_that_is_taken_is_told_before_anything_is_spent(tmp_path: Path) -> None:
    manifest = write_rows(tmp_path / "rows.csv", 2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = batcher("run", manifest, "--out", "out", f"--serve={port}", *QUICK, home=tmp_path)
        assert (run.returncode, (tmp_path / "out").exists()) == (64, False)
        assert f"port {port}: it is in use" in run.stderr
        serve = batcher("serve", "out", "--port", port, home=tmp_path)
        assert (serve.returncode, serve.stderr) == (64, run.stderr)


async def test_without_a_port_a_free_one_is_found(ran: Path) -> None:
    async with LivePage(ran, keep=ReviewAlone(ran).keep) as one, LivePage(ran, keep=ReviewAlone(ran).keep) as two:
        assert URL(one.url).port != URL(two.url).port


async def test_a_first_ctrl_c_stops_the_run_as_ever(tmp_path: Path) -> None:
    manifest = write_rows(tmp_path / "rows.csv", 30)
    with start("run", manifest, "--out", "out", "--serve", "--latency-s", 1, "--concurrency", 2, *QUICK, home=tmp_path) as run:
        assert run.stderr is not None
        url = run.stderr.readline().removeprefix("Live page: ").strip()
        async with aiohttp.ClientSession(url) as session, session.get("/changes") as stream:
            wait_until(lambda: status(tmp_path / "out").get("done", 0) >= 1, "a row")
            run.send_signal(signal.SIGINT)
            await asyncio.wait_for(stream.read(), 30)
        run.communicate(timeout=30)
        assert run.returncode == 130
    assert report(tmp_path / "out")["exit_reason"] == "interrupted"


async def test_a_run_that_was_killed_is_told(tmp_path: Path) -> None:
    manifest = write_rows(tmp_path / "rows.csv", 30)
    with start("run", manifest, "--out", "out", "--latency-s", 5, "--concurrency", 2, *QUICK, home=tmp_path) as run:
        wait_until(lambda: status(tmp_path / "out").get("submitted", 0) >= 1, "a request")
        async with served(tmp_path / "out") as (_, session):
            known = Follower()
            await known.load(session)
            await known.follow(session, messages=1)
            assert known.run["state"] == "running"
            run.kill()
            run.wait()
            while known.run["state"] == "running":
                await asyncio.wait_for(known.follow(session, messages=1), 10)
            assert known.run["state"] == "killed"


# -- who may ask


async def status_of(session: aiohttp.ClientSession, path: str = "/", method: str = "GET", **headers: str) -> int:
    async with session.request(method, URL(path, encoded=True), headers=headers, data=b"{}" if method == "POST" else None) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "aiohttp" not in answer.headers["Server"]
        return answer.status


async def test_names_that_are_not_ours_get_nothing(ran: Path) -> None:
    async with served(ran) as (page, session):
        port = URL(page.url).port
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}", "127.0.0.1:9", f"[::1]:{port}", "127.8.8.8"):
            assert await status_of(session, Host=host) == 200, host
        for host in ("evil.example", f"evil.example:{port}", f"localhost.evil.example:{port}", f"192.168.1.7:{port}", "127.0.0.1.nip.io", "[", ""):
            for path in ("/", "/rows", "/changes", "/results/row0000.png"):
                assert await status_of(session, path, Host=host) in (400, 421), host


async def test_pages_of_other_origins_get_nothing(ran: Path) -> None:
    async with served(ran) as (page, session):
        origin = str(URL(page.url).origin())
        json_type = {"Content-Type": "application/json"}
        for site in ("cross-site", "same-site"):
            for path in ("/rows", "/changes", "/results/row0000.png"):
                assert await status_of(session, path, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}) == 403
            assert await status_of(session, "/", **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}) == 200, "a link may lead here"
            assert await status_of(session, "/", **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}) == 403
        assert await status_of(session, "/rows", **{"Sec-Fetch-Site": "same-origin"}) == 200
        for wrong in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": origin.replace("http", "https")}):
            assert await status_of(session, "/session", "POST", **json_type, **wrong) == 403
        assert await status_of(session, "/session", "POST", Origin=origin, **{"Content-Type": "text/plain"}) == 415
        assert await status_of(session, "/rows", "POST", Origin=origin, **json_type) == 405


async def test_any_other_address_asks_for_a_token(ran: Path) -> None:
    async with LivePage(ran, keep=ReviewAlone(ran).keep, host="0.0.0.0", port=0) as page:
        token = URL(page.url).fragment.removeprefix("token=")
        assert len(token) >= 32
        base = f"http://127.0.0.1:{URL(page.url).port}"
        headers = {"Origin": base}
        async with aiohttp.ClientSession(base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            for path in ("/rows", "/changes", "/results/row0000.png", f"/report/thumbnails/aa/{'a' * 64}.webp", "/nothing"):
                assert await status_of(session, path) == 401
            async with session.get("/") as answer:
                door = await answer.text()
                assert (answer.status, "row0000" in door, "out" in door.split("<body>")[0]) == (401, False, False)
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            for wrong in ({"token": token[:-1]}, {"token": "\ud800"}, {"token": 7}, [], {}, 7):
                async with session.post("/session", json=wrong, headers=headers) as answer:
                    assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
            assert await status_of(session, "/rows", Cookie=f"batcher_{URL(page.url).port}={token}") == 401, "the cookie is not the token"
            async with session.post("/session", json={"token": token}, headers=headers) as answer:
                cookie = answer.headers["Set-Cookie"]
                assert answer.status == 204
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
                assert token not in cookie
            assert await status_of(session, "/rows") == 200
            assert await status_of(session) == 200
            assert await status_of(session, "/rows", Host="evil.example") == 421


async def test_on_loopback_there_is_none(ran: Path) -> None:
    async with served(ran) as (page, session):
        assert URL(page.url).fragment == ""
        async with session.post("/session", json={"token": ""}, headers={"Origin": str(URL(page.url).origin())}) as answer:
            assert answer.status == 403


# -- files


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
async def test_nothing_but_results_is_given(ran: Path, tmp_path: Path) -> None:
    (ran / "results" / "out of it.png").symlink_to(ran / "ledger.db")
    (ran / "results" / "folder").symlink_to(ran)
    os.mkfifo(ran / "results" / "pipe.png")
    try:
        async with served(ran) as (_, session):
            for path in (
                "../ledger.db", "..%2fledger.db", "%2e%2e/ledger.db", "..%5cledger.db", "x/../../ledger.db", "/etc/passwd", "%2fetc%2fpasswd",
                "folder/ledger.db", "out%20of%20it.png", "pipe.png", "a%00.png", "", ".", "nothing.png", ".row0000.png.part",
            ):  # fmt: skip
                assert await status_of(session, f"/results/{path}") == 404, path
            for path in ("/ledger.db", "/report.json", "/results", "/owner.lock", "/report/thumbnails/aa/../../../ledger.db", "/.simulator/x"):
                assert await status_of(session, path) == 404, path
    finally:
        for name in ("out of it.png", "folder", "pipe.png"):
            (ran / "results" / name).unlink()


async def test_a_results_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"secret")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "report").symlink_to(tmp_path / "elsewhere")
    async with served(tmp_path / "out") as (_, session):
        assert await status_of(session, "/results/a.png") == 404
        assert await status_of(session, f"/report/thumbnails/aa/{'a' * 64}.webp") == 404


async def test_a_result_comes_whole_in_parts_and_not_twice(ran: Path) -> None:
    name = results(ran)[0]["files"][0]["path"]
    data = (ran / name).read_bytes()
    async with served(ran) as (_, session):
        async with session.get(f"/{name}?v=abc") as answer:
            assert (answer.status, await answer.read(), answer.content_type) == (200, data, "image/png")
            tag = answer.headers["ETag"]
        for asked, status_, part in (
            ("bytes=0-9", 206, data[:10]), ("bytes=5-", 206, data[5:]), ("bytes=-7", 206, data[-7:]), ("bytes=10-999999999", 206, data[10:]),
            (f"bytes={len(data)}-", 416, None), ("bytes=9-3", 416, None), ("lines=1-2", 416, None),
        ):  # fmt: skip
            async with session.get(f"/{name}", headers={"Range": asked}) as answer:
                assert answer.status == status_, asked
                assert part is None or await answer.read() == part
        async with session.get(f"/{name}", headers={"Range": "bytes=0-9", "If-Range": '"old"'}) as answer:
            assert (answer.status, await answer.read()) == (200, data)
        async with session.get(f"/{name}", headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with session.head(f"/{name}") as answer:
            assert int(answer.headers["Content-Length"]) == len(data)


async def test_what_might_be_a_page_is_a_download(ran: Path) -> None:
    made = [ran / "results" / name for name in ("page.html", "drawing.svg", "noend")]
    for path in made:
        path.write_text("<script>alert(1)</script>")
    async with served(ran) as (_, session):
        for path in made:
            async with session.get(f"/results/{path.name}") as answer:
                assert (answer.content_type, answer.headers["Content-Disposition"]) == ("application/octet-stream", "attachment")
    for path in made:
        path.unlink()


async def test_small_pictures_are_made_when_they_are_asked_for_and_kept(ran: Path) -> None:
    row = results(ran)[1]
    sha256 = row["files"][0]["sha256"]
    path = f"report/thumbnails/{sha256[:2]}/{sha256}.webp"
    async with served(ran) as (_, session):
        assert await status_of(session, f"/{path}") == 404, "of which row it is nobody said"
        assert await status_of(session, f"/{path}?row=row0000") == 404, "it is no picture of that row"
        answers = await asyncio.gather(*(session.get(f"/{path}?row={row['id']}") for _ in range(8)))
        for answer in answers:
            assert (answer.status, answer.content_type) == (200, "image/webp")
            picture = Image.open(io.BytesIO(await answer.read()))
            assert (picture.format, max(picture.size) <= 512) == ("WEBP", True)
        assert (ran / path).is_file()
        assert await status_of(session, f"/{path}") == 200
        assert await status_of(session, f"/{path.replace('.webp', '-large.webp')}?row={row['id']}") == 404
        for bad in (f"/report/thumbnails/zz/{sha256}.webp", "/report/thumbnails/aa/x.webp", f"/{path}.part"):
            assert await status_of(session, bad) == 404


async def test_looking_changes_nothing_but_adds_small_pictures(ran: Path) -> None:
    def seen() -> dict[Path, str]:
        paths = [path for path in ran.rglob("*") if path.is_file() and ran / "report" not in path.parents]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    before = seen()
    async with served(ran) as (_, session):
        known = Follower()
        await known.load(session)
        await known.follow(session)
        assert await status_of(session) == 200
    assert seen() == before


# -- the page


async def test_the_page_has_its_policy_and_everything_in_it_is_text(tmp_path: Path) -> None:
    attack = "</script><script>alert(1)</script>"
    (tmp_path / "rows.csv").write_text(f'id,prompt\nx,"{attack}"\n', "utf-8")
    out = tmp_path / "<img src=x>"
    assert batcher("run", "rows.csv", "--out", out, "--no-gallery", "--latency-s", 0, *QUICK, home=tmp_path).returncode == 0
    async with served(out) as (_, session):
        nonces = set()
        for _ in range(2):
            async with session.get("/") as answer:
                text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
            nonces.add(policy.partition("'nonce-")[2].partition("'")[0])
            assert attack not in text
            assert "<img src=x>" not in text
            for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"):
                assert part in policy
            assert "unsafe" not in policy
        assert len(nonces) == 2
        async with session.get("/rows") as answer:
            assert (answer.content_type, (await answer.json())["rows"][0]["body"]["prompt"]) == ("application/json", attack)


async def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all, " * 100)
    async with served(tmp_path) as (_, session):
        known = Follower()
        await known.load(session)
        await known.follow(session, messages=1)
        assert known.run["state"] == "waiting"
        assert "ledger" in known.run["trouble"]
        assert await status_of(session) == 200


async def test_who_takes_nothing_is_let_go_and_nobody_waits(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batcher.live.server.PATIENCE_S", 0.2)
    monkeypatch.setattr("batcher.live.server._message", lambda change: b"x" * 2**20)
    monkeypatch.setattr("batcher.live.server.BEAT_S", 0.01)
    async with served(ran) as (page, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(page.url).port, limit=1)
        writer.write(b"GET /changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not page._feed.followers:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(page._feed.deserted(), 10)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        del reader


async def test_too_many_followers_are_refused(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batcher.live.server.MOST_FOLLOWERS", 2)
    async with served(ran) as (_, session), session.get("/changes"), session.get("/changes"):
        assert await status_of(session, "/changes") == 503


async def test_a_fault_of_the_page_is_an_answer_and_no_lines_across_the_terminal(
    ran: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async with served(ran) as (page, session):
        monkeypatch.setattr(page._feed, "rows", lambda *given: 1 / 0)
        assert await status_of(session, "/rows") == 500
    assert capfd.readouterr() == ("", "")


# -- marks


async def send_marks(session: aiohttp.ClientSession, *marks: dict[str, Any]) -> int:
    url = session._base_url
    assert url is not None
    async with session.post("/review", json={"marks": list(marks)}, headers={"Origin": str(url.origin())}) as answer:
        return answer.status


def mark_of(row: dict[str, Any], mark: str, note: str = "") -> dict[str, Any]:
    sha256 = row["files"][0]["sha256"]
    return {"id": row["id"], "mark": mark, "note": note, "sha256": sha256, "request_id": row["request_id"], "at": "2027-01-15T08:00:00.000Z"}


def verdicts(out: Path) -> dict[str, tuple[str, str]]:
    with LedgerReader(out / "ledger.db") as reader:
        return {job.row_id: (job.mark.verdict.value, job.mark.note) for job in reader.jobs() if job.mark is not None}


async def test_marks_are_kept_in_the_ledger(ran: Path) -> None:
    one, two, *_ = results(ran)
    async with served(ran) as (_, session):
        assert await send_marks(session, mark_of(one, "accept"), mark_of(two, "redo", "=cmd|' /C calc'!A0")) == 204
        assert verdicts(ran) == {one["id"]: ("accepted", ""), two["id"]: ("redo", "=cmd|' /C calc'!A0")}
        async with session.get("/rows?limit=1") as answer:
            assert (await answer.json())["rows"][0]["review"]["verdict"] == "accepted"
        assert await send_marks(session, {**mark_of(one, "none"), "at": "2027-01-15T09:00:00Z"}) == 204
        assert list(verdicts(ran)) == [two["id"]]
        for bad in (
            {**mark_of(one, "accept"), "mark": "perfect"}, {**mark_of(one, "accept"), "at": "yesterday"}, {**mark_of(one, "accept"), "more": 1},
            {**mark_of(one, "accept"), "note": "x" * 2001}, {"id": "x"}, {**mark_of(one, "accept"), "id": "no such row"},
        ):  # fmt: skip
            assert await send_marks(session, bad) == 422
        async with session.post("/review", json={"marks": []}, headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403
    assert list(verdicts(ran)) == [two["id"]]


async def test_marks_of_a_run_in_another_process_wait_and_those_of_this_one_do_not(tmp_path: Path) -> None:
    out, port = tmp_path / "out", steady_port()
    manifest = write_rows(tmp_path / "rows.csv", 12)
    with start("run", manifest, "--out", out, f"--serve={port}", "--latency-s", 0.5, "--concurrency", 2, *QUICK, home=tmp_path) as run:
        wait_until(lambda: status(out).get("done", 0) >= 1, "a row")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as beside, served(out) as (_, alone):
            async with beside.get("/rows") as answer:
                row = next(row for row in (await answer.json())["rows"] if row["files"])
            assert await send_marks(alone, mark_of(row, "reject")) == 409
            assert verdicts(out) == {}
            assert await send_marks(beside, mark_of(row, "accept")) == 204
            assert verdicts(out) == {row["id"]: ("accepted", "")}
            run.communicate(timeout=30)
            assert await send_marks(alone, {**mark_of(row, "reject"), "at": "2027-01-15T09:00:00Z"}) == 204
    assert run.returncode == 0
    assert verdicts(out) == {row["id"]: ("rejected", "")}
