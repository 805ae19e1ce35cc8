"""Single HTTP calls over aiohttp, with every foreign failure turned into an `ApiError` that says what it proves.

What a failure proves hangs on one fact: whether a connection had been opened. Before that nothing can have been sent, whatever the exception; from
then on nothing can be ruled out, because aiohttp reports a reset while the body is sent exactly as it reports one after it. The connector tells the
moment, and covers a proxy's refusal to open a tunnel and a total time-out in the middle of a handshake, which the classes of aiohttp's exceptions do
not.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from batcher.errors import ApiError, ApiErrorKind, UsageError

BODY_MAX_BYTES = 8 * 2**20
"""No answer of an API needs more; what is longer is not read to its end."""

LOOK_S = 0.5
"""How long a call whose time is up is given to find its answer in the buffer of its connection."""

_JSON = {"Content-Type": "application/json"}


class Secret(str):
    """A string that never shows itself in a repr: not in a traceback, nor in the repr of an aiohttp error that carries the request's headers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: any status, the whole body, headers whose names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_PIECE_BYTES = 64 * 1024
"""A body up to this size is written at once."""


@dataclass(slots=True)
class _Progress:
    opened: bool = False


_PROGRESS: ContextVar[_Progress] = ContextVar("progress")
"""Of the call that a task makes."""


class _Connector(aiohttp.TCPConnector):
    """Tells the call that waits for a connection when it has one: a new one that is open, through a proxy too, or one that was kept.

    aiohttp's tracing tells the same, and costs each call a tenth of its time.
    """

    async def connect(self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109
        connection = await super().connect(req, traces, timeout)
        _PROGRESS.get().opened = True
        return connection


class HttpClient:
    """Makes single calls over a pool of connections of its own: no redirects, no cookies, no POST sent twice.

    A GET on a kept connection that turns out to be closed is sent once more by aiohttp itself.
    """

    def __init__(self, session: aiohttp.ClientSession, headers: Mapping[str, str], proxies: Mapping[str, URL], limit_s: float) -> None:
        self._session = session
        self._headers = headers
        self._proxies = proxies
        self._limit_s = limit_s

    async def get(self, url: URL) -> Answer:
        """Ask for `url`. Raises `ApiError` where no whole answer came; an answer of any status is returned."""
        return await self._send("GET", url, None)

    async def post(self, url: URL, body: bytes | None = None) -> Answer:
        """Send `body`, which is JSON, or nothing, at most once. Raises `ApiError` where no whole answer came."""
        return await self._send("POST", url, body)

    async def _send(self, method: str, url: URL, body: bytes | None) -> Answer:
        progress = _Progress()
        _PROGRESS.set(progress)
        loop = asyncio.get_running_loop()
        try:
            # A process that stood still finds, when it goes on, its time over and the answer in the buffer. aiohttp's own limit would strike before
            # looking there, and a submit that was answered would be in doubt.
            async with asyncio.timeout(None) as deadline:
                timer = loop.call_later(self._limit_s, _give_a_last_look, loop, deadline)
                try:
                    return await self._exchange(method, url, body)
                finally:
                    timer.cancel()
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error, _call(method, url), url, progress.opened) from error

    async def _exchange(self, method: str, url: URL, body: bytes | None) -> Answer:
        response = await self._session.request(
            method,
            url,
            # Large bodies as a stream: aiohttp writes it piece by piece.
            data=io.BytesIO(body) if body is not None and len(body) > _PIECE_BYTES else body,
            headers=self._headers if body is None else {**self._headers, **_JSON},
            allow_redirects=False,
            proxy=self._proxies.get(url.host or "") if self._proxies else None,
        )
        try:
            return Answer(response.status, response.headers, await _read(response, method, url))
        finally:
            # Keeps a connection that was read to the end, and cuts one whose upload goes on after an early answer: leaving an `async with`
            # would wait for that upload without a deadline.
            response.close()


def _give_a_last_look(loop: asyncio.AbstractEventLoop, deadline: asyncio.Timeout) -> None:
    deadline.reschedule(loop.time() + LOOK_S)


async def _read(response: aiohttp.ClientResponse, method: str, url: URL) -> bytes:
    chunks, size_bytes = [], 0
    while chunk := await response.content.readany():
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > BODY_MAX_BYTES:
            said = f"{_call(method, url)}: the answer is longer than {BODY_MAX_BYTES} bytes"
            raise ApiError(ApiErrorKind.INTERRUPTED, said, status=response.status)
    return b"".join(chunks)


def _call(method: str, url: URL) -> str:
    return f"{method} {url.raw_path}"


@asynccontextmanager
async def open_client(
    headers: Mapping[str, str],
    timeouts: aiohttp.ClientTimeout,
    *,
    limit_s: float,
    connections: int,
    keep_alive_s: float,
    proxies: Mapping[str, URL],
) -> AsyncIterator[HttpClient]:
    """A client with a pool of at most `connections`, closed at the end. A call may take `limit_s` in all, and what `timeouts` say besides.

    A connection that was idle for longer than `keep_alive_s` is not used again. `proxies` maps a host to the proxy that leads to it.
    """
    connector = _Connector(limit=connections, keepalive_timeout=keep_alive_s)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeouts,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Off, because it brings ~/.netrc with it, whose entries would stand against our own Authorization header; proxies are passed by hand.
        trust_env=False,
    ) as session:
        # The headers are those of each request and not of the session: aiohttp sends a session's own to a proxy too, with our token as its password.
        yield HttpClient(session, headers, proxies, limit_s)


def proxy_for(url: URL) -> URL | None:
    """The proxy that the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) names for `url`; never one for this machine itself.

    Raises `UsageError` for a proxy of a kind that aiohttp does not speak.
    """
    host = url.host or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    named = getproxies().get(url.scheme)
    if not named:
        return None
    proxy = URL(named if "://" in named else f"http://{named}")
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise UsageError(
            f"the proxy for {host} ({proxy.scheme}) is not an HTTP proxy",
            f"Set {url.scheme.upper()}_PROXY to an http:// address, or name {host} in NO_PROXY.",
        )
    return proxy


def proxy_hosts() -> frozenset[str]:
    """The hosts of the proxies that the environment names."""
    named = [getproxies().get(scheme) for scheme in ("http", "https")]
    return frozenset(host for proxy in named if proxy and (host := URL(proxy if "://" in proxy else f"http://{proxy}").raw_host))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: a loopback address, or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _failure(error: Exception, call: str, url: URL, opened: bool) -> ApiError:
    if opened:
        return ApiError(ApiErrorKind.INTERRUPTED, f"{call}: {_why_interrupted(error)}")
    kind = ApiErrorKind.UNTRUSTED if _is_distrust(error) else ApiErrorKind.UNREACHABLE
    return ApiError(kind, f"cannot reach {url.host}:{url.port}: {_why_unreachable(error)}")


def _is_distrust(error: Exception) -> bool:
    """Whether TLS itself failed, as it will at the next try; a handshake that was cut off may succeed then."""
    return isinstance(error, aiohttp.ClientSSLError | ssl.SSLError) and not isinstance(getattr(error, "os_error", error), ssl.SSLEOFError)


def _why_unreachable(error: Exception) -> str:
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refuses to open a tunnel ({error.status})"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return f"TLS failed: {_os_reason(error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"its name could not be looked up ({_os_reason(error)})"
        case aiohttp.ClientProxyConnectionError():
            return f"its proxy {error.host}:{error.port} cannot be reached ({_os_reason(error)})"
        case TimeoutError():
            return "the connection could not be opened in time"
        case _:
            return _os_reason(error)


def _os_reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    number = getattr(cause, "errno", None) or 0
    words = os.strerror(number) if number > 0 and not isinstance(cause, ssl.SSLError) else getattr(cause, "strerror", None)
    return getattr(cause, "verify_message", "") or words or str(cause) or "the connection was cut while it was opened"


def _why_interrupted(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no whole answer came in time"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before an answer came"
        case aiohttp.ClientPayloadError():
            return "the answer broke off or cannot be decoded"
        case aiohttp.ClientResponseError():
            return "the answer is not proper HTTP"
        case _:
            return f"the connection broke ({_os_reason(error)})"
