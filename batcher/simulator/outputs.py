"""The files that requests bring: drawn in worker threads, once each, and kept for a while."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from batcher.simulator import plain
from batcher.simulator.blobs import BLOB, BlobStore
from batcher.simulator.catalog import ModelCard
from batcher.simulator.records import Submission
from batcher.simulator.settings import SimulatorSettings

CACHE_BYTES = 48 * 2**20
AHEAD = 16
"""How many pictures may be under way before anybody has asked for them."""
INPUT_BYTES = 50 * 2**20
INPUT_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Output:
    """One file: its bytes and its media type."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is to be drawn, with everything that settles it but the input images."""

    submission: Submission
    card: ModelCard
    index: int
    file_format: str

    @property
    def key(self) -> tuple[str, int]:
        """What the file is known by."""
        return self.submission.request_id, self.index


class Outputs:
    """Makes output files when they are wanted. The same request brings the same bytes each time it is drawn."""

    def __init__(self, settings: SimulatorSettings, blobs: BlobStore, cache_bytes: int = CACHE_BYTES) -> None:
        self._settings = settings
        self._blobs = blobs
        self._cache_bytes = cache_bytes
        self._cached: OrderedDict[tuple[str, int], Output] = OrderedDict()
        self._cached_bytes = 0
        self._under_way: dict[tuple[str, int], asyncio.Task[Output]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def get(self, drawing: Drawing) -> Output:
        """The file, drawn now if need be. A caller who leaves does not stop the drawing."""
        if self._settings.art == "plain":
            return _plain(drawing)
        cached = self._cached.get(drawing.key)
        return await asyncio.shield(self._begin(drawing)) if cached is None else cached

    def prepare(self, drawings: Iterable[Drawing]) -> None:
        """Begin to draw files that will be wanted soon, as far as that does not crowd out others."""
        if self._settings.art == "plain":
            return
        for drawing in drawings:
            if len(self._under_way) < AHEAD and drawing.key not in self._cached:
                self._begin(drawing)

    async def close(self) -> None:
        """Stop drawing."""
        under_way = list(self._under_way.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._session is not None:
            await self._session.close()

    def _begin(self, drawing: Drawing) -> asyncio.Task[Output]:
        task = self._under_way.get(drawing.key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._draw(drawing))
            self._under_way[drawing.key] = task
            task.add_done_callback(lambda done: self._end(drawing.key, done))
        return task

    def _end(self, key: tuple[str, int], task: asyncio.Task[Output]) -> None:
        del self._under_way[key]
        if task.cancelled() or task.exception() is not None:
            return
        output = task.result()
        self._cached[key] = output
        self._cached_bytes += len(output.content)
        while self._cached_bytes > self._cache_bytes:
            # What was drawn first was most likely fetched already.
            _, oldest = self._cached.popitem(last=False)
            self._cached_bytes -= len(oldest.content)

    async def _draw(self, drawing: Drawing) -> Output:
        inputs = await self._inputs(drawing)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="simulator-pictures")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._render, drawing, inputs)

    def _render(self, drawing: Drawing, inputs: tuple[bytes, ...]) -> Output:
        # Pictures are heavy to import, and plain art never needs them.
        from batcher.simulator.pictures import PictureRequest, render

        card, body = drawing.card, drawing.submission.body
        video = card.task == "video"
        ratio = card.value(body, "aspect_ratio")
        prompt = card.value(body, "prompt")
        request = PictureRequest(
            kind=card.task,
            prompt=prompt if isinstance(prompt, str) else "",
            seed=picture_seed(drawing),
            inputs=inputs,
            aspect_ratio=ratio if isinstance(ratio, str) and ":" in ratio else None,
            size_px=self._settings.video_size_px if video else self._settings.size_px,
            duration_s=card.duration_s(body),
            format=_image_format(drawing.file_format),
        )
        content, media_type = render(request)
        return Output(content, media_type)

    async def _inputs(self, drawing: Drawing) -> tuple[bytes, ...]:
        found = [await self._input(reference) for reference in media_references(drawing.card, drawing.submission.body)]
        return tuple(content for content in found if content is not None)

    async def _input(self, reference: Any) -> bytes | None:
        if isinstance(reference, Mapping):
            return self._blobs.get(str(reference.get(BLOB)))
        if isinstance(reference, str) and self._may_fetch(reference):
            return await self._fetch(reference)
        return None

    def _may_fetch(self, url: str) -> bool:
        match self._settings.fetch_inputs:
            case "none":
                return False
            case "loopback":
                return _is_on_loopback(url)
            case "any":
                return True

    async def _fetch(self, url: str) -> bytes | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=INPUT_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    return None
                content = bytearray()
                async for piece in response.content.iter_chunked(65_536):
                    content += piece
                    if len(content) > INPUT_BYTES:
                        return None
                return bytes(content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and no other."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_on_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def media_references(card: ModelCard, body: Mapping[str, Any]) -> list[Any]:
    """The images that a body names, in order: links as text, blobs as their references."""
    references: list[Any] = []
    for name in card.media_fields():
        value = body.get(name)
        references.extend(value if isinstance(value, list) else [] if value is None else [value])
    return references


def picture_seed(drawing: Drawing) -> int:
    """The number that settles the picture: the body's own seed, or the model's, or else one of the request's own."""
    seed = drawing.card.value(drawing.submission.body, "seed")
    if isinstance(seed, (int, float)) and not isinstance(seed, bool):
        return int(seed) + drawing.index
    return int.from_bytes(hashlib.sha256(f"{drawing.submission.request_id}/{drawing.index}".encode()).digest()[:4]) >> 1


def _image_format(file_format: str) -> Any:
    return file_format if file_format in ("png", "jpeg", "webp") else "png"


def _plain(drawing: Drawing) -> Output:
    key = f"{drawing.submission.request_id}/{drawing.index}"
    return Output(plain.webm(key), "video/webm") if drawing.card.task == "video" else Output(plain.png(key), "image/png")
