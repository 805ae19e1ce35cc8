from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from batcher.errors import ApiError, ApiErrorKind, UsageError
from batcher.providers import http
from batcher.providers.http import HttpClient, Secret, is_loopback, open_client, proxy_for
from tests.support.raw_server import (
    Act,
    Exchange,
    RawServer,
    answer,
    black_hole,
    close_after_body,
    drip,
    early,
    endless,
    free_port,
    hang,
    head,
    raw_server,
    reset_after_body,
    reset_before_body,
    says,
)

BIG = b"[" + b"1," * 3_000_000 + b"1]"
CANARY = "canary-token"


@contextlib.asynccontextmanager
async def client(
    *, total_s: float = 5.0, connect_s: float = 5.0, read_s: float | None = None, keep_alive_s: float = 5.0, proxies: dict[str, URL] | None = None
) -> AsyncIterator[HttpClient]:
    timeouts = aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=read_s)
    headers = {"Authorization": Secret(f"Bearer {CANARY}")}
    async with open_client(headers, timeouts, limit_s=total_s, connections=4, keep_alive_s=keep_alive_s, proxies=proxies or {}) as opened:
        yield opened


async def failure_of(act: Act, body: bytes = b"{}", **settings: Any) -> tuple[ApiError, RawServer]:
    async with raw_server(act) as server, client(**settings) as http_client:
        with pytest.raises(ApiError) as caught:
            await http_client.post(URL(f"{server.url}/v1/x"), body)
        await asyncio.sleep(0.01)
        return caught.value, server


# ── sent, and no usable answer ───────────────────────────────────────────────────────────────────────────────────────────────────────────

GZIPPED_BOMB = gzip.compress(b"0" * (http.BODY_MAX_BYTES * 4))


@pytest.mark.parametrize(
    ("act", "body", "reason"),
    [
        pytest.param(reset_before_body, b"{}", "broke", id="reset before the body is read"),
        pytest.param(reset_before_body, BIG, "broke", id="reset while a large body is sent"),
        pytest.param(reset_after_body, b"{}", "broke (Connection reset by peer)", id="reset after the body"),
        pytest.param(close_after_body, b"{}", "closed before an answer", id="closed after the body"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nConte"), b"{}", "closed before an answer", id="closed within the headers"),
        pytest.param(says(head(200, {"Content-Length": "10"})), b"{}", "broke off", id="closed after the headers"),
        pytest.param(says(head(200, {"Content-Length": "10"}) + b"{", then="reset"), b"{}", "broke off", id="reset within the body"),
        pytest.param(says(head(200, {"Transfer-Encoding": "chunked"}) + b"9\r\n{"), b"{}", "broke off", id="closed within a chunk"),
        pytest.param(says(head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\n"), b"{}", "", id="a chunk without a size"),
        pytest.param(says(b"what?\r\n\r\n"), b"{}", "not proper HTTP", id="not HTTP"),
        pytest.param(says(head(200, {"Content-Length": "ten"})), b"{}", "not proper HTTP", id="a length that is none"),
        pytest.param(says(head(200, {"X-Long": "y" * 20_000})), b"{}", "not proper HTTP", id="a header without end"),
        pytest.param(says(head(200, {"Content-Encoding": "gzip", "Content-Length": "5"}) + b"hello"), b"{}", "decoded", id="gzip that is none"),
        pytest.param(answer(GZIPPED_BOMB, headers={"Content-Encoding": "gzip"}), b"{}", "longer than", id="a small body that becomes huge"),
        pytest.param(endless(b"x" * 500_000), b"{}", "longer than", id="a body without end"),
    ],
)
@pytest.mark.fault("C3", "C4", "C6")
async def test_what_breaks_after_the_connection_is_open_is_interrupted(act: Act, body: bytes, reason: str) -> None:
    error, server = await failure_of(act, body)
    assert error.kind is ApiErrorKind.INTERRUPTED
    assert error.message.startswith("POST /v1/x: ")
    assert reason in error.message
    assert "\n" not in error.message
    assert server.connections == 1
    assert len(server.requests) <= 1


@pytest.mark.parametrize(
    ("act", "settings"),
    [
        pytest.param(hang, {"total_s": 0.05}, id="no answer"),
        pytest.param(hang, {"read_s": 0.05}, id="silence"),
        pytest.param(says(head(200, {"Content-Length": "10"}) + b"{", then="hang"), {"read_s": 0.05}, id="silence within the body"),
        pytest.param(drip(b" " * 1000, 0.005), {"total_s": 0.1, "read_s": 0.08}, id="a drip that is never silent"),
    ],
)
@pytest.mark.fault("C5")
async def test_every_wait_for_an_answer_has_an_end(act: Act, settings: dict[str, Any]) -> None:
    error, server = await failure_of(act, **settings)
    assert error.kind is ApiErrorKind.INTERRUPTED
    assert "in time" in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("act", [reset_before_body, reset_after_body, close_after_body, says(b"HTTP/1.1 200 OK\r\n", then="reset")])
@pytest.mark.parametrize("warm", [False, True], ids=["a fresh connection", "a connection used before"])
@pytest.mark.fault("C4")
async def test_a_post_is_never_sent_twice(act: Act, warm: bool) -> None:
    async with raw_server(answer({}), act, answer({})) as server, client() as http_client:
        if warm:
            await http_client.get(URL(f"{server.url}/warm"))
        else:
            server.script(act, answer({}))
        with pytest.raises(ApiError) as caught:
            await http_client.post(URL(f"{server.url}/pay"), b"{}")
        await asyncio.sleep(0.02)
    assert caught.value.kind is ApiErrorKind.INTERRUPTED
    assert [seen.method for seen in server.requests].count("POST") <= 1
    assert server.connections == 1


# ── never sent ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def unreachable(url: str, kind: ApiErrorKind = ApiErrorKind.UNREACHABLE, **settings: Any) -> str:
    async with client(**settings) as http_client:
        with pytest.raises(ApiError) as caught:
            await http_client.post(URL(url), b"{}")
    assert caught.value.kind is kind
    assert caught.value.status is None
    return caught.value.message


@pytest.mark.fault("C1")
async def test_a_refused_connection_sends_nothing() -> None:
    port = free_port()
    assert await unreachable(f"http://127.0.0.1:{port}/x") == f"cannot reach 127.0.0.1:{port}: Connection refused"


@pytest.mark.fault("C1")
async def test_a_name_that_does_not_resolve_sends_nothing() -> None:
    assert "could not be looked up" in await unreachable("http://nothing.invalid/x")


@pytest.mark.parametrize("settings", [{"connect_s": 0.05}, {"total_s": 0.05}], ids=["the connect time-out", "the total time-out"])
@pytest.mark.fault("C1")
async def test_a_connection_that_does_not_open_in_time_sends_nothing(settings: dict[str, float]) -> None:
    with black_hole() as port:
        assert "could not be opened in time" in await unreachable(f"http://127.0.0.1:{port}/x", **settings)


@pytest.mark.fault("A7")
async def test_an_answer_that_came_while_the_process_stood_still_is_read() -> None:
    """The time of the call is over by the time that the event loop looks at its connections again."""

    async def answer_then_stand_still(exchange: Exchange) -> None:
        await answer({})(exchange)
        time.sleep(0.3)

    async with raw_server(answer_then_stand_still) as server, client(total_s=0.2) as http_client:
        assert (await http_client.post(URL(f"{server.url}/x"), b"{}")).status == 200


async def test_waiting_for_a_free_connection_sends_nothing() -> None:
    timeouts = aiohttp.ClientTimeout(total=None, connect=0.05)
    async with raw_server(hang) as server, open_client({}, timeouts, limit_s=5, connections=1, keep_alive_s=1, proxies={}) as http_client:
        first = asyncio.create_task(http_client.post(URL(f"{server.url}/x"), b"{}"))
        while not server.requests:
            await asyncio.sleep(0.001)
        with pytest.raises(ApiError) as caught:
            await http_client.post(URL(f"{server.url}/x"), b"{}")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert caught.value.kind is ApiErrorKind.UNREACHABLE
    assert len(server.requests) == 1


@pytest.mark.fault("C2")
async def test_an_untrusted_certificate_sends_nothing_and_says_so() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parents[2] / "support" / "self_signed.pem")
    async with raw_server(answer({}), tls=context) as server:
        message = await unreachable(f"https://localhost:{server.port}/x", ApiErrorKind.UNTRUSTED)
        assert "TLS failed: self-signed certificate" in message
        assert server.requests == []


@pytest.mark.fault("C2")
async def test_a_server_that_does_not_speak_tls_is_sent_nothing() -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with listener:
        assert "TLS failed" in await unreachable(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/x", ApiErrorKind.UNTRUSTED)
    await asyncio.sleep(0.01)


async def test_a_connection_cut_during_its_handshake_sends_nothing() -> None:
    async with raw_server() as server:  # what arrives is no HTTP, so it hangs up
        assert "cannot reach" in await unreachable(f"https://127.0.0.1:{server.port}/x", connect_s=0.5)


# ── proxies ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (answer(b"", status=407), "the proxy refuses to open a tunnel (407)"),
        (reset_after_body, "Connection reset by peer"),
        (close_after_body, "Server disconnected"),
        (hang, "could not be opened in time"),
    ],
    ids=["refuses", "resets", "closes", "hangs"],
)
@pytest.mark.fault("C15")
async def test_a_proxy_that_opens_no_tunnel_leaves_nothing_sent(act: Act, reason: str) -> None:
    async with raw_server(act) as proxy:
        assert reason in await unreachable("https://api.example.test/x", connect_s=0.2, proxies={"api.example.test": URL(proxy.url)})
    assert [seen.method for seen in proxy.requests] == ["CONNECT"]
    assert set(proxy.requests[0].headers) == {"host", "accept", "accept-encoding", "user-agent"}
    assert CANARY not in str(proxy.requests[0])


async def test_a_proxy_that_cannot_be_reached_leaves_nothing_sent() -> None:
    port = free_port()
    message = await unreachable("http://api.example.test/x", proxies={"api.example.test": URL(f"http://127.0.0.1:{port}")})
    assert f"its proxy 127.0.0.1:{port} cannot be reached (Connection refused)" in message


async def test_a_plain_call_goes_through_the_proxy_with_its_credentials() -> None:
    async with raw_server(answer({"a": 1})) as proxy, client(proxies={"api.example.test": URL(proxy.url).with_user("u").with_password("p")}) as c:
        assert (await c.get(URL("http://api.example.test/x"))).body == b'{"a": 1}'
    assert proxy.requests[0].target == "http://api.example.test/x"
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dTpw"


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example.test:3128")
    monkeypatch.setenv("no_proxy", "inside.example.test")
    assert proxy_for(URL("https://api.example.test/v1")) == URL("http://proxy.example.test:3128")
    assert proxy_for(URL("https://inside.example.test/v1")) is None
    assert proxy_for(URL("https://127.0.0.1:1/v1")) is None
    monkeypatch.delenv("https_proxy")
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    assert proxy_for(URL("https://api.example.test/v1")) is None


@pytest.mark.parametrize("proxy", ["socks5://p.example.test:1080", "http://"])
def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(UsageError, match="not an HTTP proxy"):
        proxy_for(URL("https://api.example.test/v1"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("LOCALHOST.", True), ("10.0.0.1", False), ("a.test", False)],
)
def test_loopback_hosts(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_comes_back_whole_whatever_its_status() -> None:
    async with raw_server(answer({"a": 1}, status=503, headers={"Retry-After": "7"})) as server, client() as http_client:
        got = await http_client.get(URL(f"{server.url}/x"))
    assert (got.status, got.body, got.headers.get("retry-after")) == (503, b'{"a": 1}', "7")


@pytest.mark.fault("C14")
async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    async with raw_server() as other, raw_server() as server, client() as http_client:
        server.script(answer(b"", status=307, headers={"Location": f"{other.url}/x", "Set-Cookie": "a=b"}), answer({}))
        assert (await http_client.post(URL(f"{server.url}/x"), b"{}")).status == 307
        await http_client.get(URL(f"{server.url}/x"))
    assert other.requests == []
    assert "cookie" not in server.requests[1].headers


async def test_an_early_answer_to_a_large_body_is_heard_and_the_upload_cut() -> None:
    async with raw_server(early(413, b"{}")) as server, client() as http_client:
        async with asyncio.timeout(2):
            got = await http_client.post(URL(f"{server.url}/x"), BIG * 4)
    assert (got.status, got.body) == (413, b"{}")


async def test_a_body_arrives_as_it_was_given() -> None:
    async with raw_server(answer({})) as server, client() as http_client:
        await http_client.post(URL(f"{server.url}/x"), BIG)
        await http_client.post(URL(f"{server.url}/y"))
    given, empty = server.requests
    assert given.body == BIG
    assert given.headers["content-type"] == "application/json"
    assert empty.headers["content-length"] == "0"


async def test_interim_answers_are_passed_over() -> None:
    async with raw_server(says(head(100) + head(103) + head(200, {"Content-Length": "2"}) + b"{}")) as server, client() as http_client:
        assert (await http_client.get(URL(f"{server.url}/x"))).body == b"{}"


# ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_connection_is_used_again_while_it_is_young() -> None:
    async with raw_server(answer({})) as server, client(keep_alive_s=5) as http_client:
        for _ in range(3):
            await http_client.post(URL(f"{server.url}/x"), b"{}")
    assert server.connections == 1


@pytest.mark.fault("C10")
async def test_a_connection_that_was_idle_too_long_is_not_used_again() -> None:
    async with raw_server(answer({})) as server, client(keep_alive_s=0.01) as http_client:
        for _ in range(2):
            await http_client.post(URL(f"{server.url}/x"), b"{}")
            await asyncio.sleep(0.03)
    assert server.connections == 2


@pytest.mark.fault("C10")
async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with raw_server(says(head(200, {"Content-Length": "2"}) + b"{}")) as server, client() as http_client:
        for _ in range(3):
            await http_client.post(URL(f"{server.url}/x"), b"{}")
            await asyncio.sleep(0.01)
    assert len(server.requests) == 3
    assert server.connections == 3


async def test_an_answer_that_is_too_long_costs_its_connection_only() -> None:
    async with raw_server(endless(b"x" * 900_000), answer({})) as server, client() as http_client:
        with pytest.raises(ApiError):
            await http_client.get(URL(f"{server.url}/x"))
        assert (await http_client.get(URL(f"{server.url}/x"))).status == 200
    assert server.connections == 2


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_shows_itself_only_when_it_is_used() -> None:
    secret = Secret(CANARY)
    assert CANARY not in repr([secret])
    assert f"{secret}" == CANARY


async def test_an_error_of_aiohttp_that_carries_the_headers_does_not_show_the_token() -> None:
    error, server = await failure_of(says(b"what?\r\n\r\n"))
    assert isinstance(error.__cause__, aiohttp.ClientResponseError)
    shown = repr(error.__cause__) + repr(error.__cause__.request_info)
    assert "Authorization" in shown
    assert CANARY not in shown
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
