"""The data plane: from a link to a file on disk that is whole, checked and safe to look at.

A link comes from a server and is not trusted. It is followed hop by hop, to the hosts of `batcher.hosts` only. What comes is believed only after its
length is as announced and its bytes are a whole image, video or sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

import aiohttp
from yarl import URL

from batcher.errors import DownloadError, DownloadErrorKind, OutputError
from batcher.hosts import ForbiddenAddressError, TrustedHosts, allow_remedy, parse_link, printable
from batcher.media import HEAD_BYTES, MediaError, MediaFacts, extension, inspect, sniff
from batcher.model import Artifact
from batcher.ports import Draft, Storage
from batcher.retry import retry_after_s

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
        self._decoders = threading.BoundedSemaphore(self._limits.decoders)

    async def fetch(self, url: str, stem: str) -> Artifact:
        """See `batcher.ports.Fetcher.fetch`."""
        checked = self._hosts.check(url)
        draft = self._storage.draft(stem)
        facts: list[MediaFacts] = []

        def extension_of(file: BinaryIO) -> str:
            with self._decoders:
                facts.append(inspect(file))
            return extension(facts[0].media_type)

        try:
            await self._transfer(checked, draft)
            published = await draft.publish(extension_of)
        except MediaError as error:
            # A transfer without an announced length that broke off looks just like this, so it is worth another try.
            raise _transient(f"What came from {_shown(checked)} is {error.message}.") from error
        finally:
            await draft.discard()
        media = facts[0]
        return Artifact(published.path, published.sha256, published.size_bytes, media.media_type, media.width, media.height)

    async def _transfer(self, url: URL, draft: Draft) -> None:
        """Bring the file into `draft`. Raises `DownloadError` for whatever goes wrong on the way."""
        shown = _shown(url)
        try:
            async with asyncio.timeout(self._limits.timeout_s) as deadline, self._follow(url) as response:
                await self._receive(response, draft)
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

    async def _receive(self, response: aiohttp.ClientResponse, draft: Draft) -> None:
        await self._check_answer(response)
        shown = _shown(response.url)
        head, size_bytes = b"", 0
        async for chunk in self._chunks(response):
            size_bytes += len(chunk)
            if size_bytes > self._limits.max_bytes:
                raise _unusable(f"{shown} is larger than the limit of {self._limits.max_bytes:,} bytes.")
            if len(head) < HEAD_BYTES:
                head += chunk[:HEAD_BYTES]
                if len(head) >= HEAD_BYTES:
                    _check_kind(head, shown)
            await draft.write(chunk)
        if response.content_length not in (None, size_bytes):
            raise _transient(f"{shown} brought {size_bytes:,} bytes where {response.content_length:,} were announced.")
        if not size_bytes:
            raise _transient(f"{shown} is empty.")
        _check_kind(head, shown)

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
