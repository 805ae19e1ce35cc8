"""A lean stand-in for the service, for benchmarks: no faults, no bill, no pictures drawn, so that it costs its clients as little as possible.

It speaks the Model API, and the queue dialect of fal under `/fal`. Prints its base address and serves until its standard input is closed.

python benchmarks/stub.py --file-bytes 1000 --median-s 0
"""

from __future__ import annotations

import argparse
import asyncio
import io
import math
import random
import sys
import time
from typing import cast

import uvloop
from PIL import Image

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"


def picture(size_bytes: int) -> bytes:
    """A PNG of about this size: noise does not compress."""
    side = max(8, int(math.sqrt(max(1, size_bytes - 100) / 3)))
    image = Image.frombytes("RGB", (side, side), random.Random(1).randbytes(side * side * 3))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Service:
    def __init__(self, file: bytes, median_s: float, sigma: float) -> None:
        self.file = (HEAD.format("image/png", len(file))).encode() + file
        self.median_s, self.sigma = median_s, sigma
        self.rng = random.Random(2)
        self.ends: dict[str, float] = {}
        self.base = ""
        self.counts = {"submits": 0, "polls": 0, "results": 0, "files": 0}
        self.lag_s = 0.0
        self.first_at: float | None = None
        """When the first request came since that was last asked for; a clock that all processes share."""

    def answer(self, method: str, path: str) -> bytes:
        if path == "/first":
            first, self.first_at = self.first_at, None
            return self.json(str(first or "null"))
        if path != "/counts":
            self.first_at = self.first_at or time.monotonic()
        if path.startswith("/files/"):
            self.counts["files"] += 1
            return self.file
        parts = path.partition("?")[0].split("/")
        if method == "POST":
            self.counts["submits"] += 1
            number = f"r{len(self.ends)}"
            service_s = self.median_s * math.exp(self.sigma * self.rng.gauss(0, 1)) if self.median_s else 0.0
            self.ends[number] = time.monotonic() + service_s
            queue = f"{self.base}/fal/x/requests/{number}"
            links = f'"status_url":"{queue}/status","response_url":"{queue}","cancel_url":"{queue}/cancel"'
            return self.json(f'{{"request_id":"{number}",{links}}}')
        if path == "/counts":
            return self.json(str({**self.counts, "lag_s": self.lag_s}).replace("'", '"'))
        number = parts[-2] if parts[-1] in ("status", "result") else parts[-1]
        late_s = time.monotonic() - self.ends[number]
        if parts[-1] == "status":
            self.counts["polls"] += 1
            if late_s >= 0:
                self.lag_s += late_s
            word = ("COMPLETED" if late_s >= 0 else "IN_PROGRESS") if parts[1] == "fal" else ("completed" if late_s >= 0 else "in_progress")
            return self.json(f'{{"request_id":"{number}","status":"{word}","logs":[],"metrics":{{}}}}')
        self.counts["results"] += 1
        url = f"{self.base}/files/{number}.png"
        if parts[1] == "fal":
            return self.json(f'{{"images":[{{"url":"{url}"}}]}}')
        return self.json(f'{{"request_id":"{number}","status":"succeeded","output":{{"image":"{url}"}},"cost":0.04}}')

    def json(self, body: str) -> bytes:
        return (HEAD.format("application/json", len(body)) + body).encode()


class Connection(asyncio.Protocol):
    def __init__(self, service: Service) -> None:
        self.service = service
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            length = 0
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            method, path, _ = head.split(" ", 2)
            self.transport.write(self.service.answer(method, path))


async def serve(options: argparse.Namespace) -> None:
    service = Service(picture(options.file_bytes), options.median_s, options.sigma)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=4096)
    service.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(service.base, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file-bytes", type=int, default=1000)
    parser.add_argument("--median-s", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.5)
    uvloop.run(serve(parser.parse_args()))
