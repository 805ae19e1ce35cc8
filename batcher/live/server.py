"""The web server of the live page: what is asked for, who may ask, and how long anybody is waited for."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from batcher.errors import BatcherError, ManifestError, UsageError
from batcher.live.feed import Change, Feed, Place
from batcher.live.files import Files
from batcher.live.guard import SAFETY, Guard, Handler, is_loopback
from batcher.report import GALLERY
from batcher.report.gallery import PART_ROWS, POLICY, THUMBNAILS, render_page

LOOPBACK: Final = "127.0.0.1"
USUAL_PORT: Final = 8377
"""Taken where no other is named and nobody has it, so that a page which is open finds a server that comes back."""

MOST_FOLLOWERS: Final = 64
PER_SECOND: Final = 5
"""How many messages a follower is sent at most."""

BEAT_S: Final = 10.0
"""How often a follower hears something even where there is nothing new: both sides find out that the other is gone."""

PATIENCE_S: Final = 30.0
"""A follower who takes nothing for so long is let go; it comes back, and begins where it was."""

LAST_WORDS_S: Final = 1.0
"""How long the end waits for followers to hear how it ended."""

_POLICY: Final = {**POLICY, "connect-src": "'self'", "frame-ancestors": "'none'"}
_HEAD_POLICY: Final = {name: sources for name, sources in _POLICY.items() if name != "frame-ancestors"}  # it means nothing within a page


class Mark(BaseModel, extra="forbid"):
    """What somebody said of a row on the page, and of which result; `none` takes a mark away."""

    id: str = Field(max_length=2000)
    mark: Literal["accept", "reject", "redo", "none"]
    note: str = Field(default="", max_length=2000)
    sha256: str = Field(max_length=64)
    request_id: str | None = Field(default=None, max_length=500)
    at: AwareDatetime


class Marks(BaseModel, extra="forbid"):
    """What a page sends: marks of several rows."""

    marks: list[Mark] = Field(max_length=100)


Keep = Callable[[Sequence[Mark]], Awaitable[None]]
"""Keeps marks for good, or raises `BatcherError`."""


class LivePage:
    """The page of the batch in `folder`, on the network as long as the context lasts; there need be no batch yet.

    `keep` keeps the marks of a review. `port` 0 takes a free one, None the usual one or else a free one. On any address but loopback it asks for a
    token, which `url` holds. With `is_beside_run` it leaves the run in the same process as much of the machine as it can. Raises `UsageError` on
    entry where it cannot listen.
    """

    def __init__(self, folder: Path, *, keep: Keep, host: str = LOOPBACK, port: int | None = None, is_beside_run: bool = False) -> None:
        self._host, self._port, self._keep = host, port, keep
        self._token = None if is_loopback(host) else secrets.token_urlsafe(24)
        self._guard = Guard(host, self._token)
        self._feed = Feed(folder)
        self._files = Files(folder, self._feed, threads=2 if is_beside_run else min(8, 2 + (os.cpu_count() or 1)))
        self._templates = Environment(loader=PackageLoader("batcher.live"), autoescape=True, undefined=StrictUndefined)
        self._runner: web.AppRunner | None = None
        self._looking: asyncio.Task[None] | None = None
        self._is_ending = False

    @property
    def url(self) -> str:
        """What to open in a browser; the part behind `#` never leaves it."""
        assert self._runner is not None
        name = socket.gethostname() if self._host in ("0.0.0.0", "::") else f"[{self._host}]" if ":" in self._host else self._host  # noqa: S104
        token = "" if self._token is None else f"#token={self._token}"
        return f"http://{name}:{self._runner.addresses[0][1]}/{token}"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard.watch, _contain], client_max_size=64 * 1024)
        app.on_response_prepare.append(_make_safe)
        app.add_routes(
            [
                web.get("/", self._page),
                web.post("/session", self._guard.admit),
                web.get("/rows", self._rows),
                web.post("/review", self._review),
                web.get("/changes", self._follow, allow_head=False),
                web.get("/results/{path:.+}", self._files.result),
                web.get(f"/{GALLERY}/{THUMBNAILS}/{{folder}}/{{name}}", self._files.thumbnail),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=LAST_WORDS_S, keepalive_timeout=30.0)
        await runner.setup()
        try:
            await self._listen(runner)
        except BaseException:
            await runner.cleanup()
            self._feed.close()
            self._files.close()
            raise
        self._runner = runner
        self._guard.cookie = f"batcher_{runner.addresses[0][1]}"
        self._looking = asyncio.create_task(self._feed.keep_looking())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._runner is not None
        assert self._looking is not None
        self._looking.cancel()
        await asyncio.wait([self._looking])
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._feed.look()
                self._is_ending = True
                await self._feed.deserted()
        self._is_ending = True
        await self._runner.cleanup()
        self._feed.close()
        self._files.close()

    async def _listen(self, runner: web.AppRunner) -> None:
        for port in (USUAL_PORT, 0) if self._port is None else (self._port,):
            try:
                await web.TCPSite(runner, self._host, port, backlog=128, reuse_address=os.name != "nt").start()
            except OSError as error:
                if self._port is None and port and error.errno == errno.EADDRINUSE:
                    continue
                why = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
                raise UsageError(f"the live page cannot listen on {self._host}, port {port}: {why}", "Name another port, or leave it out.") from error
            return

    async def _page(self, request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        if self._guard.is_known(request):
            account = await self._feed.look()
            facts = {"thumbnails": f"{GALLERY}/{THUMBNAILS}/", "chunks": [], "part_rows": PART_ROWS}
            head = {"report": account.report.model_dump(mode="json"), "run": account.run, **facts}
            text, status = render_page(head, nonce=nonce, policy=_HEAD_POLICY, is_live=True), 200
        else:
            text, status = self._templates.get_template("door.html.j2").render(nonce=nonce), 401
        policy = "; ".join(f"{directive} {sources}" for directive, sources in _POLICY.items()).format(nonce=nonce)
        return web.Response(
            text=text, status=status, content_type="text/html", headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        )

    async def _rows(self, request: web.Request) -> web.Response:
        try:
            after, limit = (int(request.query.get(name, default)) for name, default in (("after", "0"), ("limit", "500")))
        except ValueError as error:
            raise web.HTTPBadRequest from error
        if not (0 <= after < 1 << 62 and 0 <= limit < 1 << 62):
            raise web.HTTPBadRequest
        text = await self._feed.rows(after, limit)
        return web.Response(text=text, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def _review(self, request: web.Request) -> web.Response:
        try:
            marks = Marks.model_validate_json(await request.read()).marks
        except ValidationError as error:
            return web.Response(status=422, text=f"{error.errors()[0]['msg']}\n")
        try:
            await self._keep(marks)
        except (ManifestError, UsageError) as error:  # of rows that the batch does not have any more
            return web.Response(status=422, text=f"{error.message}\n")
        except BatcherError as error:  # a run in another process has the folder: the page keeps its marks
            return web.Response(status=409, text=f"{error.message}\n")
        return web.Response(status=204)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """What changes from now on, or since the place that whoever comes back was at. Nothing waits here but what the network has not taken yet."""
        if self._feed.followers >= MOST_FOLLOWERS:
            raise web.HTTPServiceUnavailable(text="Too many pages follow this batch already.\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        place, version = Place.parse(request.headers.get("Last-Event-ID") or request.query.get("after", "")), 0
        with self._feed.following():
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            while True:
                change = await self._feed.change(place, version, 0.05 if self._is_ending else BEAT_S)
                if change is None and self._is_ending:
                    return response
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await response.write(_message(change))
                except TimeoutError:
                    if request.transport is not None:
                        request.transport.abort()
                    return response
                if change is not None:
                    place, version = change.place, change.version
                    await asyncio.sleep(1 / PER_SECOND)


def _message(change: Change | None) -> bytes:
    if change is None:
        return b"event: beat\ndata: {}\n\n"
    return f"id: {change.place}\nevent: {change.kind}\ndata: {change.text}\n\n".encode()


async def _make_safe(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SAFETY.items():
        response.headers[name] = value


@web.middleware
async def _contain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong here is an answer, and no lines across the terminal of a run. Who went away, or takes nothing, is no fault at all."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return web.Response(status=refusal.status, text=f"{refusal.text or refusal.reason}\n".replace("\n\n", "\n"), headers=_kept(refusal))
    except (ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError from None
    except Exception as error:
        return web.Response(status=500, text=f"{type(error).__name__}: {error}\n")


def _kept(refusal: web.HTTPException) -> dict[str, str]:
    return {name: value for name, value in refusal.headers.items() if name in ("Allow", "Content-Range")}


async def serve(folder: Path, *, keep: Keep, host: str, port: int | None, announce: Callable[[str], None]) -> None:
    """Show the page of the batch in `folder` until cancelled; `announce` is told its address. Raises `UsageError` where it cannot listen."""
    async with LivePage(folder, keep=keep, host=host, port=port) as page:
        announce(page.url)
        await asyncio.Event().wait()
