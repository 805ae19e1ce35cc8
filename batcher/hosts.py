"""Which hosts files are fetched from, and at which addresses.

A link comes from a server and is not trusted: it is followed only to hosts of the service and to those that a person vouches for. A name is resolved
first and the address checked, and that very address is connected to; no credential and no cookie is ever carried.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from batcher.errors import DownloadError, DownloadErrorKind, UsageError

Address: TypeAlias = IPv4Address | IPv6Address

SERVICE_DOMAINS: Final = ("*.runcomfy.net", "*.runcomfy.com")
"""Where the service keeps results."""

_QUOTE_CHARACTERS: Final = 200
_READ_BYTES: Final = 256 * 1024
_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
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
        url = parse_link(link)
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise _forbidden(f"{printable(link)!r} is not a link to a file: only http and https are followed.")
        if url.user is not None or url.password is not None:
            raise _forbidden(f"The link to {url.raw_host} carries a user name, which no result of the service does.")
        reach = self.reach(url.raw_host)
        if reach is None:
            raise _forbidden(f"The link leads to {printable(url.raw_host)}, which is not a host of the service.", allow_remedy(url.raw_host))
        if reach is Reach.PUBLIC and (url.scheme != "https" or url.port != 443):
            raise _forbidden(f"The link to {url.raw_host} is not plain https: it is not followed.", allow_remedy(url.raw_host))
        return url


def parse_link(link: str) -> URL:
    """`link` as the HTTP client reads it. Raises `DownloadError` if it is none."""
    if not link or _UNSAFE.search(link):
        raise _forbidden(f"{printable(link)!r} is not a link: it is empty, or holds characters that do not belong in one.")
    try:
        # As it came, where that can be sent: a signed link is void if it is written differently.
        url = URL(link, encoded=link.isascii() and " " not in link)
        url.port  # noqa: B018 - a link that is taken as it came is not read before its parts are asked for
    except ValueError as error:
        raise _forbidden(f"{printable(link)!r} is not a link: {error}.") from error
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


class ForbiddenAddressError(OSError):
    """A trusted name leads to an address where no result can be."""


class _GuardedResolver(AbstractResolver):
    """Gives back only addresses that may be connected to. aiohttp connects to what it is given, so nothing can change in between."""

    def __init__(self, inner: AbstractResolver, hosts: TrustedHosts, proxy_hosts: frozenset[str]) -> None:
        self._inner = inner
        self._hosts = hosts
        self._proxy_hosts = proxy_hosts

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host in self._proxy_hosts:
            return found
        reach = self._hosts.reach(host)
        admitted = [result for result in found if reach is not None and reach.admits(ip_address(result["host"].partition("%")[0]))]
        if not admitted:
            raise ForbiddenAddressError(f"{host} leads to {', '.join(sorted({result['host'] for result in found})) or 'no address'}")
        return admitted

    async def close(self) -> None:
        await self._inner.close()


def open_download_session(
    hosts: TrustedHosts,
    *,
    user_agent: str = "batcher",
    connect_timeout_s: float = 10.0,
    read_timeout_s: float = 30.0,
    proxy_hosts: Iterable[str] = (),
    resolver: AbstractResolver | None = None,
) -> aiohttp.ClientSession:
    """A session to fetch files with: no credentials, no cookies, no decompression, and no connection to an address that `hosts` do not admit.

    The environment is not read. `proxy_hosts` are the hosts of proxies that requests may name; they resolve names then. Close it when done.
    """
    guarded = _GuardedResolver(resolver or ThreadedResolver(), hosts, frozenset(proxy_hosts))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=guarded, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s),
        auto_decompress=False,
        read_bufsize=_READ_BYTES,
        trust_env=False,
    )


def printable(text: str, limit: int = _QUOTE_CHARACTERS) -> str:
    """The beginning of a foreign text without anything that a terminal would obey."""
    head = text[: 4 * limit]
    if not head.isprintable():
        head = "".join(character if character.isprintable() else " " for character in head)
    return " ".join(head.split())[:limit]


def allow_remedy(host: str) -> str:
    """What a person who trusts `host` can do about a link that was refused."""
    return f"If you trust that host, run again with --allow-host {printable(host)}."


def _forbidden(message: str, remedy: str = "") -> DownloadError:
    return DownloadError(DownloadErrorKind.UNUSABLE, message, remedy=remedy)
