"""The data plane: from a link to a file on disk that is whole, checked and safe to look at.

A link comes from a server and is not trusted. It is followed to known hosts only, hop by hop; a name is resolved first and the address checked, and
that very address is connected to; no credential and no cookie is ever carried. What comes is believed only after its length is as announced and its
bytes are a whole image, video or sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from batcher.errors import DownloadError, DownloadErrorKind, OutputError, UsageError
from batcher.media import HEAD_BYTES, MediaError, MediaFacts, extension, inspect, sniff
from batcher.model import Artifact
from batcher.ports import Draft, Storage
from batcher.retry import retry_after_s

Address: TypeAlias = IPv4Address | IPv6Address

SERVICE_DOMAINS: Final = ("*.runcomfy.net", "*.runcomfy.com")
"""Where the service keeps results."""

_WRITE_BYTES: Final = 256 * 1024
_QUOTE_CHARACTERS: Final = 200
_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_EXPIRED: Final = frozenset({401, 403, 404, 410})
_TRANSIENT: Final = frozenset({408, 425, 429})
_METADATA: Final = frozenset(ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
"""Addresses at which clouds tell a machine its own secrets, besides the link-local ones."""
_NAT64: Final = IPv6Network("64:ff9b::/96")


class Reach(Enum):
    """Which addresses a trusted host may have."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    ALLOWED = "allowed"
    """Any but those that are link-local or tell secrets: a person vouches for the host."""

    def admits(self, address: Address) -> bool:
        """Whether a host of this kind may be connected to at `address`."""
        address = _embedded(address)
        if self is Reach.LOOPBACK:
            return address.is_loopback
        if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
            return False
        if isinstance(address, IPv6Address) and address.is_site_local:
            return self is Reach.ALLOWED
        return self is Reach.ALLOWED or (address.is_global and not address.is_reserved)


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it stands for one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@dataclass(frozen=True, slots=True)
class TrustedHosts:
    """The hosts that files are fetched from: those of the service, loopback where `loopback` is set, and those of `allow`.

    An entry of `allow` is a host name or address, or `*.` and a domain, whose subdomains are meant then. Raises `UsageError` for any other.
    """

    loopback: bool = False
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", tuple(_allowed(entry) for entry in self.allow))

    @classmethod
    def beside(cls, api_base: str, allow: Iterable[str] = ()) -> TrustedHosts:
        """The hosts to trust when the API is at `api_base`: loopback is one of them only if the API is there itself."""
        return cls(loopback=_is_loopback((URL(api_base).raw_host or "").lower()), allow=tuple(allow))

    def reach(self, host: str) -> Reach | None:
        """Which addresses `host` may have; None if it is not trusted."""
        host = host.lower().removesuffix(".")
        if "%" in host:  # an address with a zone is one of this machine's own networks
            return None
        if any(_matches(host, pattern) for pattern in self.allow):
            return Reach.ALLOWED
        if self.loopback and _is_loopback(host):
            return Reach.LOOPBACK
        return Reach.PUBLIC if any(_matches(host, pattern) for pattern in SERVICE_DOMAINS) else None

    def check(self, link: str) -> URL:
        """`link` as it will be requested. Raises `DownloadError` if it must not be."""
        url = _parse(link)
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise _unusable(f"{_printable(link)!r} is not a link to a file: only http and https are followed.")
        if url.user is not None or url.password is not None:
            raise _unusable(f"The link to {url.raw_host} carries a user name, which no result of the service does.")
        reach = self.reach(url.raw_host)
        if reach is None:
            raise _unusable(f"The link leads to {_printable(url.raw_host)}, which is not a host of the service.", _vouch(url.raw_host))
        if reach is Reach.PUBLIC and (url.scheme != "https" or url.port != 443):
            raise _unusable(f"The link to {url.raw_host} is not plain https: it is not followed.", _vouch(url.raw_host))
        return url


def _parse(link: str) -> URL:
    """`link` as the HTTP client reads it. Raises `DownloadError` if it is none."""
    if not link or _UNSAFE.search(link):
        raise _unusable(f"{_printable(link)!r} is not a link: it is empty, or holds characters that do not belong in one.")
    try:
        # As it came, where that can be sent: a signed link is void if it is written differently.
        url = URL(link, encoded=link.isascii() and " " not in link)
        url.port  # noqa: B018 - a link that is taken as it came is not read before its parts are asked for
    except ValueError as error:
        raise _unusable(f"{_printable(link)!r} is not a link: {error}.") from error
    return url


def _allowed(entry: str) -> str:
    """One entry of `allow` as hosts are compared."""
    text = entry.strip().removesuffix(".")
    with contextlib.suppress(ValueError):
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    prefix, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    with contextlib.suppress(ValueError):
        host = (URL.build(scheme="https", host=name).raw_host or "").lower()
        if _HOST.fullmatch(host):
            return prefix + host
    raise UsageError(f"{entry!r} is not a host that files can be fetched from.", "Give a name such as files.example.com, or *.example.com.")


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and _HOST.fullmatch(host) is not None
    with contextlib.suppress(ValueError):
        return str(ip_address(host)) == pattern
    return host == pattern


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or (host.endswith(".localhost") and _HOST.fullmatch(host) is not None)


class _ForbiddenAddressError(OSError):
    """A trusted name leads to an address where no result can be."""


class _GuardedResolver(AbstractResolver):
    """Gives back only addresses that may be connected to. aiohttp connects to what it is given, so nothing can change in between."""

    def __init__(self, inner: AbstractResolver, hosts: TrustedHosts, proxy_host: str | None) -> None:
        self._inner = inner
        self._hosts = hosts
        self._proxy_host = proxy_host

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host == self._proxy_host:
            return found
        reach = self._hosts.reach(host)
        admitted = [result for result in found if reach is not None and reach.admits(ip_address(result["host"].partition("%")[0]))]
        if not admitted:
            raise _ForbiddenAddressError(f"{host} leads to {', '.join(sorted({result['host'] for result in found})) or 'no address'}")
        return admitted

    async def close(self) -> None:
        await self._inner.close()


def open_download_session(
    hosts: TrustedHosts,
    *,
    user_agent: str = "batcher",
    connect_timeout_s: float = 10.0,
    read_timeout_s: float = 30.0,
    proxy: str | None = None,
    resolver: AbstractResolver | None = None,
) -> aiohttp.ClientSession:
    """A session to fetch files with: no credentials, no cookies, no decompression, and no connection to an address that `hosts` do not admit.

    The environment is not read: a proxy is used only if it is given here, and then it is the proxy that resolves names. Close it when done.
    """
    guarded = _GuardedResolver(resolver or ThreadedResolver(), hosts, URL(proxy).raw_host if proxy else None)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=guarded, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s),
        auto_decompress=False,
        trust_env=False,
        proxy=proxy,
    )


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
    ) -> None:
        self._session = session
        self._storage = storage
        self._hosts = hosts
        self._limits = limits or DownloadLimits()
        self._now = now
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
            if isinstance(error.os_error, _ForbiddenAddressError):
                raise _unusable(f"The link {shown} is not followed: {error.os_error} on this network.", _vouch(error.host)) from error
            raise _transient(f"The download of {shown} failed: the name {error.host} cannot be resolved.") from error
        except aiohttp.ClientResponseError as error:
            raise _transient(f"The download of {shown} failed: the answer is not proper HTTP.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _transient(f"The download of {shown} broke off: {_printable(str(error)) or type(error).__name__}.") from error

    @contextlib.asynccontextmanager
    async def _follow(self, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer at the end of the redirects, each of them checked like the link itself."""
        for _ in range(self._limits.max_redirects + 1):
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                url = self._next_hop(url, response.headers.get("Location", ""))
        raise _unusable(f"The link to {url.raw_host} was redirected more than {self._limits.max_redirects} times.")

    def _next_hop(self, url: URL, location: str) -> URL:
        target = url.join(_parse(location))
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
            raise _unusable(f"{shown} came encoded as {_printable(encoding)}, though it was asked for as it is: whether it is whole cannot be told.")
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
            return _printable((await response.content.read(4096)).decode("utf-8", "replace"))
    return ""


def _check_kind(head: bytes, shown: str) -> None:
    if sniff(head) is not None:
        return
    if len(head) < 16:
        raise _transient(f"{shown} brought only {len(head)} bytes.")
    raise _unusable(f"{shown} is not an image, video or sound; it begins with: {_printable(head.decode('utf-8', 'replace'))}")


def _shown(url: URL) -> str:
    """A link for messages: without its query, which may hold a signature."""
    return _printable(f"{url.scheme}://{url.raw_host}{url.raw_path}", 300)


def _printable(text: str, limit: int = _QUOTE_CHARACTERS) -> str:
    """The beginning of a foreign text without anything that a terminal would obey."""
    clean = "".join(character if character.isprintable() else " " for character in text[: 4 * limit])
    return " ".join(clean.split())[:limit]


def _vouch(host: str) -> str:
    return f"If you trust that host, run again with --allow-host {_printable(host)}."


def _transient(message: str, wait_s: float | None = None) -> DownloadError:
    return DownloadError(DownloadErrorKind.TRANSIENT, message, retry_after_s=wait_s)


def _unusable(message: str, remedy: str = "") -> DownloadError:
    return DownloadError(DownloadErrorKind.UNUSABLE, message, remedy=remedy)
