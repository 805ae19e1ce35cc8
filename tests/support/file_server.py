"""A server of files that can misbehave: raw bytes on a loopback socket, and a record of everything it was sent."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

Reply: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Something", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(body: bytes, status: int = 200, *, announced: int | None = None, headers: dict[str, str] | None = None) -> Reply:
    """`announced` is the Content-Length, whatever the body is; the connection stays open."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        length = len(body) if announced is None else announced
        writer.write(_head(status, {"Content-Length": str(length), **(headers or {})}) + body)
        await writer.drain()
        if length > len(body):
            writer.close()

    return reply


def unannounced(body: bytes) -> Reply:
    """No Content-Length: the end of the connection is the end of the body."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Connection": "close"}) + body)
        await writer.drain()
        writer.close()

    return reply


def chunked(body: bytes, *, finished: bool = True) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Transfer-Encoding": "chunked"}) + f"{len(body):x}\r\n".encode() + body + b"\r\n")
        writer.write(b"0\r\n\r\n" if finished else b"")
        await writer.drain()
        if not finished:
            writer.close()

    return reply


def gzipped(body: bytes) -> Reply:
    return answer(gzip.compress(body), headers={"Content-Encoding": "gzip"})


def redirect(location: str, status: int = 302) -> Reply:
    return answer(b"moved", status, headers={"Location": location})


def endless(beginning: bytes) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Connection": "close"}) + beginning)
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    return reply


def dripping(beginning: bytes, *, every_s: float = 0.01) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Content-Length": "1000000"}) + beginning)
        while True:
            await writer.drain()
            await asyncio.sleep(every_s)
            writer.write(b"x")

    return reply


def stalling(beginning: bytes, *, announced: int = 1_000_000) -> Reply:
    """Some of the body, then silence."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Content-Length": str(announced)}) + beginning)
        await writer.drain()
        await asyncio.Event().wait()

    return reply


def raw(data: bytes) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return reply


@dataclass
class FileServer:
    """Serves the replies of a path one after the other, the last of them for ever."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def route(self, path: str, *replies: Reply) -> str:
        self.replies[path] = list(replies)
        return self.url(path)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing() and (head := await self._request(reader)):
                self.received.append(head)
                replies = self.replies.get(head.target.split("?")[0]) or [answer(b"not here", 404)]
                await (replies.pop(0) if len(replies) > 1 else replies[0])(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = text.rstrip("\r\n").split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return Received(first.split(" ")[1], tuple((name, value.strip()) for name, value in pairs))
