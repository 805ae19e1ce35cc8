"""Single HTTP calls over aiohttp, with every foreign failure turned into an `ApiError` that says what it proves.

What a failure proves hangs on one fact: whether a connection had been opened. Before that nothing can have been sent, whatever the exception; from
then on nothing can be ruled out, because aiohttp reports a reset while the body is sent exactly as it reports one after it. aiohttp's tracing tells
the moment, and covers a proxy's refusal to open a tunnel and a total time-out in the middle of a handshake, which the classes of its exceptions do
not.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
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


@dataclass(slots=True)
class _Progress:
    opened: bool = False


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
        return await self._call("GET", url, None)

    async def post(self, url: URL, body: bytes | None = None) -> Answer:
        """Send `body`, which is JSON, or nothing, at most once. Raises `ApiError` where no whole answer came."""
        return await self._call("POST", url, body)

    async def _call(self, method: str, url: URL, body: bytes | None) -> Answer:
        progress = _Progress()
        call = f"{method} {url.raw_path}"
        try:
            async with _within(self._limit_s):
                response = await self._session.request(
                    method,
                    url,
                    # A stream and not bytes: aiohttp writes it piece by piece, and warns of large bodies given as bytes.
                    data=None if body is None else io.BytesIO(body),
                    headers=self._headers if body is None else {**self._headers, **_JSON},
                    allow_redirects=False,
                    proxy=self._proxies.get(url.host or ""),
                    trace_request_ctx=progress,
                )
                try:
                    return Answer(response.status, response.headers, await _read(response, call))
                finally:
                    # Keeps a connection that was read to the end, and cuts one whose upload goes on after an early answer: leaving an `async with`
                    # would wait for that upload without a deadline.
                    response.close()
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error, call, url, progress.opened) from error


@asynccontextmanager
async def _within(limit_s: float) -> AsyncIterator[None]:
    """Raises `TimeoutError` once `limit_s` seconds are over and still nothing came.

    A process that stood still finds, when it goes on, its time over and the answer in the buffer. aiohttp's own limit would strike before looking
    there, and a submit that was answered would be in doubt.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as deadline:
        timer = loop.call_later(limit_s, lambda: deadline.reschedule(loop.time() + LOOK_S))
        try:
            yield
        finally:
            timer.cancel()


async def _read(response: aiohttp.ClientResponse, call: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise ApiError(ApiErrorKind.INTERRUPTED, f"{call}: the answer is longer than {BODY_MAX_BYTES} bytes", status=response.status)
    return bytes(body)


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
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=keep_alive_s)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeouts,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_tell_when_opened()],
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


def _tell_when_opened() -> aiohttp.TraceConfig:
    async def opened(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        context.trace_request_ctx.opened = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(opened)
    trace.on_connection_reuseconn.append(opened)
    return trace


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
