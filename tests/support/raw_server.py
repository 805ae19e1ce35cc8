"""A raw HTTP/1.1 server on loopback whose behaviour is scripted request by request, down to resets and bytes that come one at a time.

It speaks through asyncio streams and no HTTP library, so that it can do what no library lets it do, and it records every request that it has read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

FOREVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. Header names are in lower case; `body` is what was read of it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(slots=True)
class Exchange:
    """One request under way: an act reads its body, or does not, and writes what it likes."""

    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    method: str
    target: str
    headers: Mapping[str, str]
    connection: int

    async def read_body(self) -> bytes:
        """Read the body to its end, and record the request."""
        body = await self.reader.readexactly(int(self.headers.get("content-length", "0")))
        self.server.requests.append(Seen(self.method, self.target, self.headers, body, self.connection))
        return body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Cut the connection with a RST, not a FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Act: TypeAlias = Callable[[Exchange], Awaitable[None]]


def head(status: int, headers: Mapping[str, str] | None = None, reason: str = "X") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(body: Any = None, status: int = 200, headers: Mapping[str, str] | None = None) -> Act:
    """A whole answer: bytes as they are, text as UTF-8, anything else as JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()

    async def act(exchange: Exchange) -> None:
        await exchange.read_body()
        kind = "application/json" if not isinstance(body, str | bytes) else "text/plain"
        await exchange.send(head(status, {"Content-Length": str(len(data)), "Content-Type": kind, **(headers or {})}) + data)

    return act


def says(data: bytes, *, then: str = "close") -> Act:
    """Any bytes at all after the request was read; then `close`, `reset` or `hang`."""

    async def act(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(data)
        if then == "reset":
            await asyncio.sleep(0.02)  # lets the bytes out before the RST throws them away
            exchange.reset()
        elif then == "hang":
            await asyncio.sleep(FOREVER_S)
        exchange.writer.close()

    return act


def early(status: int, body: bytes = b"") -> Act:
    """A whole answer before the body was read, with the connection left open and the body left unread."""

    async def act(exchange: Exchange) -> None:
        exchange.server.requests.append(Seen(exchange.method, exchange.target, exchange.headers, b"", exchange.connection))
        await exchange.send(head(status, {"Content-Length": str(len(body))}) + body)
        await asyncio.sleep(FOREVER_S)

    return act


async def reset_before_body(exchange: Exchange) -> None:
    exchange.reset()


async def reset_after_body(exchange: Exchange) -> None:
    await exchange.read_body()
    exchange.reset()


async def close_after_body(exchange: Exchange) -> None:
    await exchange.read_body()
    exchange.writer.close()


async def hang(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.sleep(FOREVER_S)


def drip(data: bytes, every_s: float) -> Act:
    """An answer that comes a byte at a time."""

    async def act(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(head(200, {"Content-Length": str(len(data))}))
        for n in range(len(data)):
            await exchange.send(data[n : n + 1])
            await asyncio.sleep(every_s)

    return act


def endless(piece: bytes) -> Act:
    """A body without a length that never ends."""

    async def act(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(head(200, {"Transfer-Encoding": "chunked"}))
        while True:
            await exchange.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    return act


@dataclass(slots=True)
class RawServer:
    """The server: `script` says what it does with each request in turn; the last act goes for all that follow."""

    port: int = 0
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    _acts: list[Act] = field(default_factory=lambda: [answer({})])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def script(self, *acts: Act) -> None:
        self._acts = list(acts)

    def _next(self) -> Act:
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):  # ValueError: what came is not HTTP, but TLS for instance
                while (exchange := await self._exchange(reader, writer, number)) is not None and not writer.is_closing():
                    await self._next()(exchange)
        except asyncio.CancelledError:
            pass  # the server was asked to end, and asyncio's own callback would complain of a cancelled handler
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Exchange | None:
        first = await reader.readline()
        if not first.strip():
            return None
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return Exchange(self, reader, writer, method, target, headers, connection)

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that accepts nobody: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def raw_server(*acts: Act, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A server on a free port of 127.0.0.1, ended at the end."""
    server = RawServer()
    if acts:
        server.script(*acts)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.end()
        await listener.wait_closed()
