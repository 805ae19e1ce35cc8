"""Puts answers on the wire, whole or spoilt as a fault rule says."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aiohttp import web

from batcher.simulator.errors import Refusal
from batcher.simulator.faults import FaultName, FaultRule

JSON_TYPE = "application/json"
TOO_LARGE_BYTES = 3 * 2**30
PIECE_BYTES = 64 * 2**10
HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1><p>simulated</p></body></html>\n"
ERROR_NAMES: Mapping[int, str] = {
    400001: "InvalidResourceIdentifier",
    400002: "InsufficientResources",
    400004: "UserAccountError",
    400005: "ResultNotReady",
    403001: "PermissionDeniedError",
    404001: "ResourceNotFound",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is sent. `document` is the JSON that `body` holds, where it holds any."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None

    @classmethod
    def of(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """An answer in JSON."""
        return cls(status, json.dumps(document, separators=(",", ":")).encode(), headers=headers or {}, document=document)


def refusal_of(rule: FaultRule, now: float) -> Refusal:
    """What a rule refuses a call with, that names an HTTP status or an error code of the service."""
    number = int(rule.fault)
    status, code = (number, None) if number < 1000 else (number // 1000, number)
    name = ERROR_NAMES.get(number, "simulated error") if code else HTTPStatus(status).phrase if status in set(HTTPStatus) else "simulated error"
    details: list[dict[str, object]] = [{"loc": ["body", "prompt"], "msg": rule.message or "simulated", "type": "value_error"}]
    retry_after = rule.retry_after if rule.retry_after_date_s is None else formatdate(now + rule.retry_after_date_s, usegmt=True)
    return Refusal(200 if rule.under_200 else status, code, rule.message or name, details if number == 422 else (), retry_after)


class Wire:
    """Sends replies. Once it is `closed`, whatever hangs or drips ends."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Let go of every connection that a fault holds."""
        self._closed.set()

    async def send(self, request: web.Request, reply: Reply, rule: FaultRule | None = None) -> web.StreamResponse:
        """Send `reply`, spoilt as `rule` says."""
        name = None if rule is None else rule.name
        if rule is None or name is None:
            return _whole(reply)
        if name is FaultName.RESET:
            return _reset(request)
        if name is FaultName.HANG:
            await self._wait(rule.delay_s)
            return _reset(request)
        if name is FaultName.DELAY:
            await self._wait(rule.delay_s)
            return _whole(reply)
        if name is FaultName.REDIRECT:
            return web.Response(status=rule.status or 302, headers={"Location": rule.to or ""})
        if name in (FaultName.SLOW, FaultName.TOO_LARGE, FaultName.ENDLESS):
            return await self._stream(request, reply, rule)
        if name in (FaultName.TRUNCATED, FaultName.CUT, FaultName.WRONG_LENGTH, FaultName.GZIP_TRUNCATED):
            return _raw(request, reply, rule)
        return _whole(spoilt(reply, rule))

    async def _wait(self, delay_s: float | None) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), delay_s)
        except TimeoutError:
            return

    async def _stream(self, request: web.Request, reply: Reply, rule: FaultRule) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type, **reply.headers})
        if rule.name is FaultName.SLOW:
            response.content_length = len(reply.body)
        elif rule.name is FaultName.TOO_LARGE:
            response.content_length = rule.size_bytes or TOO_LARGE_BYTES
        await response.prepare(request)
        async for piece in self._pieces(reply, rule):
            if self._closed.is_set():
                return _reset(request)
            await response.write(piece)
        await response.write_eof()
        return response

    async def _pieces(self, reply: Reply, rule: FaultRule) -> AsyncIterator[bytes]:
        if rule.name is FaultName.SLOW:
            size = rule.size_bytes or 1
            for start in range(0, len(reply.body), size):
                yield reply.body[start : start + size]
                await self._wait(1.0 if rule.delay_s is None else rule.delay_s)
            return
        yield reply.body[:PIECE_BYTES]
        filler = bytes(PIECE_BYTES)
        left = (rule.size_bytes or TOO_LARGE_BYTES) - len(reply.body[:PIECE_BYTES])
        while rule.name is FaultName.ENDLESS or left > 0:
            yield filler if rule.name is FaultName.ENDLESS else filler[:left]
            left -= len(filler)
            await asyncio.sleep(0)


def spoilt(reply: Reply, rule: FaultRule) -> Reply:
    """`reply` with another body, as `rule` says."""
    match rule.name:
        case FaultName.EMPTY:
            return Reply(reply.status, b"", reply.content_type)
        case FaultName.HTML:
            return Reply(200, HTML_PAGE, "text/html; charset=utf-8")
        case FaultName.GARBLED:
            return Reply(reply.status, b'{"request_id": oops <<<' + reply.body[:8], reply.content_type)
        case FaultName.NOT_UTF8:
            return Reply(reply.status, b'{"request_id": "\xff\xfe\xc3\x28"}', reply.content_type)
        case FaultName.DEEP:
            return Reply(reply.status, b"[" * 100_000 + b"]" * 100_000, reply.content_type)
        case FaultName.FLIPPED:
            return Reply(reply.status, _flipped(reply.body), reply.content_type, reply.headers)
        case FaultName.GZIP:
            return Reply(reply.status, gzip.compress(reply.body, mtime=0), reply.content_type, {**reply.headers, "Content-Encoding": "gzip"})
        case _:
            return Reply.of(_document(reply.document, rule), reply.status)


def _document(document: Any, rule: FaultRule) -> Any:
    match rule.name:
        case FaultName.WRONG_TYPES:
            return {name: _other_type(value) for name, value in document.items()} if isinstance(document, dict) else 17
        case FaultName.UNKNOWN_WORD:
            return _with(document, ["status"], rule.word or "contemplating")
        case FaultName.NO_OUTPUT:
            return {name: value for name, value in document.items() if name != "output"}
        case _:
            return _with(document, (rule.field or "").split("."), rule.value)


def _other_type(value: Any) -> Any:
    if isinstance(value, str):
        return [17]
    return {"unexpected": True} if value is None or isinstance(value, (int, float, list)) else "unexpected"


def _with(document: Any, path: list[str], value: Any) -> Any:
    if not isinstance(document, dict):
        return document
    name, *rest = path
    return {**document, name: _with(document.get(name) or {}, rest, value) if rest else value}


def _flipped(body: bytes) -> bytes:
    if not body:
        return body
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0x10]) + body[middle + 1 :]


def _whole(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type, **reply.headers})


def _raw(request: web.Request, reply: Reply, rule: FaultRule) -> web.StreamResponse:
    """An answer that no HTTP library would send, written by hand; the connection ends with it."""
    body, headers = reply.body, {"Content-Type": reply.content_type, **reply.headers, "Connection": "close"}
    if rule.name is FaultName.GZIP_TRUNCATED:
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    sent = body if rule.name is FaultName.WRONG_LENGTH else body[: int(len(body) * (0.5 if rule.keep is None else rule.keep))]
    if rule.name is FaultName.TRUNCATED:
        headers["Content-Length"] = str(len(body))
    elif rule.name is FaultName.WRONG_LENGTH:
        headers["Content-Length"] = str(len(body) // 2)
    elif rule.name is FaultName.GZIP_TRUNCATED:
        headers["Content-Length"] = str(len(sent))
    head = f"HTTP/1.1 {reply.status} Simulated\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    if request.transport is not None:
        request.transport.write(head.encode() + sent)
        request.transport.close()
    return web.Response()


def _reset(request: web.Request) -> web.StreamResponse:
    """End the connection with a reset; what is returned can no longer be sent, which the server takes as a caller who left."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # Closing with nothing to linger for makes the kernel send a reset instead of an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0))
        transport.abort()
    return web.Response()
