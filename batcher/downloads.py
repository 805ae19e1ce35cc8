"""The data plane: from a link to a file on disk that is whole, checked and safe to look at.

A link comes from a server and is not trusted. It is followed hop by hop, to the hosts of `batcher.hosts` only. What comes is believed only after its
length is as announced and its bytes are a whole image, video or sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from yarl import URL

from batcher.errors import DownloadError, DownloadErrorKind, OutputError
from batcher.hosts import ForbiddenAddressError, TrustedHosts, allow_remedy, parse_link, printable
from batcher.media import HEAD_BYTES, MediaError, MediaFacts, extension, inspect, sniff
from batcher.model import Artifact
from batcher.ports import Draft, Storage
from batcher.retry import retry_after_s

_WRITE_BYTES: Final = 256 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_EXPIRED: Final = frozenset({401, 403, 404, 410})
_PAGE: Final = re.compile(rb"\s*<(?:!doctype html|html|head|body)", re.IGNORECASE)
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_TRANSIENT: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """What a download may be and take. A transfer that brings less than `min_bytes_per_s` over `slow_after_s` of waiting is given up."""

    max_bytes: int = 2 * 1024**3
    timeout_s: float = 900.0
    min_bytes_per_s: float = 1024.0
    slow_after_s: float = 30.0
    max_redirects: int = 5
    decoders: int = 4
    """Images that are decoded at once: what bounds the memory that they take."""


@dataclass(slots=True)
class _Receipt:
    """What came over the wire so far."""

    head: bytes = b""
    size_bytes: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


class HttpFetcher:
    """Fetches outputs over HTTP and puts them into a storage, once they are known to be whole."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        storage: Storage,
        hosts: TrustedHosts,
        limits: DownloadLimits | None = None,
        *,
        now: Callable[[], float] = time.time,
        proxy_for: Callable[[URL], URL | None] = lambda url: None,
    ) -> None:
        self._session = session
        self._storage = storage
        self._hosts = hosts
        self._limits = limits or DownloadLimits()
        self._now = now
        self._proxy_for = proxy_for
        self._decoders = asyncio.Semaphore(self._limits.decoders)

    async def fetch(self, url: str, stem: str) -> Artifact:
        """See `batcher.ports.Fetcher.fetch`."""
        checked = self._hosts.check(url)
        draft = await self._storage.draft(stem)
        try:
            receipt = await self._transfer(checked, draft)
            facts = await self._inspect(checked, draft)
            path = await draft.publish(stem + extension(facts.media_type))
        finally:
            await draft.discard()
        return Artifact(path, receipt.digest.hexdigest(), receipt.size_bytes, facts.media_type, facts.width, facts.height)

    async def _transfer(self, url: URL, draft: Draft) -> _Receipt:
        """Bring the file into `draft`. Raises `DownloadError` for whatever goes wrong on the way."""
        shown = _shown(url)
        try:
            async with asyncio.timeout(self._limits.timeout_s) as deadline, self._follow(url) as response:
                return await self._receive(response, draft)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise _transient(f"The download of {shown} failed: no connection could be opened in time.") from error
            reason = f"did not end within {self._limits.timeout_s:g} s" if deadline.expired() else "fell silent"
            raise _transient(f"The download of {shown} {reason}.") from error
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, ForbiddenAddressError):
                raise _unusable(f"The link {shown} is not followed: {error.os_error} on this network.", allow_remedy(error.host)) from error
            raise _transient(f"The download of {shown} failed: the name {error.host} cannot be resolved.") from error
        except aiohttp.ClientResponseError as error:
            raise _transient(f"The download of {shown} failed: the answer is not proper HTTP.") from error
        except (aiohttp.ClientError, OSError) as error:
            if getattr(error, "errno", None) in _OUT_OF_FILES:  # of this machine, not of this row
                raise OutputError(f"{shown} cannot be fetched: too many files are open.", "Raise the limit (ulimit -n), then run again.") from error
            raise _transient(f"The download of {shown} broke off: {printable(str(error)) or type(error).__name__}.") from error

    @contextlib.asynccontextmanager
    async def _follow(self, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer at the end of the redirects, each of them checked like the link itself."""
        for _ in range(self._limits.max_redirects + 1):
            async with self._session.get(url, allow_redirects=False, proxy=self._proxy_for(url)) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                url = self._next_hop(url, response.headers.get("Location", ""))
        raise _unusable(f"The link to {url.raw_host} was redirected more than {self._limits.max_redirects} times.")

    def _next_hop(self, url: URL, location: str) -> URL:
        target = url.join(parse_link(location))
        if (url.scheme, target.scheme) == ("https", "http"):
            raise _unusable(f"{_shown(url)} redirects from https to http: that is not followed.")
        return self._hosts.check(str(target))

    async def _receive(self, response: aiohttp.ClientResponse, draft: Draft) -> _Receipt:
        await self._check_answer(response)
        shown = _shown(response.url)
        receipt = _Receipt()
        waiting = bytearray()
        async for chunk in self._chunks(response):
            receipt.size_bytes += len(chunk)
            if receipt.size_bytes > self._limits.max_bytes:
                raise _unusable(f"{shown} is larger than the limit of {self._limits.max_bytes:,} bytes.")
            receipt.digest.update(chunk)
            if len(receipt.head) < HEAD_BYTES:
                receipt.head += chunk[:HEAD_BYTES]
                if len(receipt.head) >= HEAD_BYTES:
                    _check_kind(receipt.head, shown)
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await draft.write(bytes(waiting))
                waiting.clear()
        if response.content_length not in (None, receipt.size_bytes):
            raise _transient(f"{shown} brought {receipt.size_bytes:,} bytes where {response.content_length:,} were announced.")
        if not receipt.size_bytes:
            raise _transient(f"{shown} is empty.")
        _check_kind(receipt.head, shown)
        await draft.write(bytes(waiting))
        return receipt

    async def _check_answer(self, response: aiohttp.ClientResponse) -> None:
        """Raises `DownloadError` unless a file of a possible size follows, as it is."""
        shown = _shown(response.url)
        status = response.status
        if status != 200:
            text = await _excerpt(response)
            message = f"{shown} answered {status}" + (f": {text}" if text else "") + "."
            # A store that answers 400 to a signed link whose time is up says so in the body.
            if status in _EXPIRED or (status == 400 and "expired" in text.lower()):
                raise DownloadError(DownloadErrorKind.EXPIRED, message, remedy="The result is read again for a new link.")
            if status in _TRANSIENT or status >= 500 or 200 <= status < 300:
                raise _transient(message, retry_after_s(response.headers.get("Retry-After"), self._now()))
            raise _unusable(message)
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise _unusable(f"{shown} came encoded as {printable(encoding)}, though it was asked for as it is: whether it is whole cannot be told.")
        if (response.content_length or 0) > self._limits.max_bytes:
            raise _unusable(f"{shown} announces {response.content_length:,} bytes, more than the limit of {self._limits.max_bytes:,}.")

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes. Only the time spent waiting for it counts: a slow disk does not make a slow transfer."""
        clock = asyncio.get_running_loop().time
        waited, came = 0.0, 0
        while True:
            began = clock()
            chunk = await response.content.readany()
            waited += clock() - began
            if not chunk:
                return
            came += len(chunk)
            if waited >= self._limits.slow_after_s:
                if came < self._limits.min_bytes_per_s * waited:
                    raise _transient(f"{_shown(response.url)} came too slowly: {came:,} bytes in {waited:.0f} s.")
                waited, came = 0.0, 0
            yield chunk

    async def _inspect(self, url: URL, draft: Draft) -> MediaFacts:
        async with self._decoders:
            try:
                return await asyncio.to_thread(inspect, draft.path)
            except MediaError as error:
                # A transfer without an announced length that broke off looks just like this, so it is worth another try.
                raise _transient(f"What came from {_shown(url)} is {error.message}.") from error
            except OSError as error:
                raise OutputError(f"{draft.path} cannot be read back: {error.strerror or error}.", "Check the disk, then run again.") from error


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer that is not a file; nothing where it cannot be read, since the status has said what counts."""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        if "Content-Encoding" not in response.headers:
            return printable((await response.content.read(4096)).decode("utf-8", "replace"))
    return ""


def _check_kind(head: bytes, shown: str) -> None:
    if sniff(head) is not None:
        return
    if len(head) < 16:
        raise _transient(f"{shown} brought only {len(head)} bytes.")
    fault = _transient if _PAGE.match(head) else _unusable  # a page comes from something on the way, which may be gone the next time
    raise fault(f"{shown} is not an image, video or sound; it begins with: {printable(head.decode('utf-8', 'replace'))}")


def _shown(url: URL) -> str:
    """A link for messages: without its query, which may hold a signature."""
    return printable(f"{url.scheme}://{url.raw_host}{url.raw_path}", 300)


def _transient(message: str, wait_s: float | None = None) -> DownloadError:
    return DownloadError(DownloadErrorKind.TRANSIENT, message, retry_after_s=wait_s)


def _unusable(message: str, remedy: str = "") -> DownloadError:
    return DownloadError(DownloadErrorKind.UNUSABLE, message, remedy=remedy)
