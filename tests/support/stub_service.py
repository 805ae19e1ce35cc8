"""The service's API on raw sockets: well by default, and any single call of it can be replaced by an act of `tests.support.raw_server`.

It gives the request of the row whose prompt says `thing N` the id `rN-M`, counts what it read, and keeps everything it was sent.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from batcher.app import Decide, Outcome, RunOptions, Stopper, run_batch
from batcher.config import Environment
from batcher.manifest import open_rows
from batcher.model import State
from batcher.observe import NoView
from batcher.settings import RunSettings
from tests.support.command import results
from tests.support.raw_server import Act, Exchange, RawServer, answer, raw_server
from tests.support.sample_bytes import picture

TOKEN = "canary-90c1f4d27a"
QUICK: Mapping[str, Any] = {
    "posts_in_flight": 1, "poll_floor_s": 0.01, "poll_ceiling_s": 0.02, "backoff_base_s": 0.01, "backoff_ceiling_s": 0.02,
}  # fmt: skip
"""Run settings that do not wait: rows are submitted one after the other, in their order."""


@dataclass(slots=True)
class StubService:
    """`files` is where its results are. `strike` replaces calls."""

    server: RawServer
    files: str
    outputs: Mapping[int, Any] = field(default_factory=dict)
    """What the result of a row gives, by the row's number, where it is not one picture."""
    accepted: list[int] = field(default_factory=list)
    _struck: list[tuple[str, int | None, list[Act], bool]] = field(default_factory=list)

    def strike(self, call: str, *acts: Act, row: int | None = None, forever: bool = False) -> None:
        """Let the next calls of a kind (submit, status, result, cancel, probe) be answered by `acts`, the last of them `forever`.

        `row` restricts it to the request of that row; a submit is not read before it is answered, so that it has none.
        """
        self._struck.append((call, row, list(acts), forever))

    @property
    def base(self) -> str:
        return f"{self.server.url}/v1"

    @property
    def posts(self) -> int:
        """Submits that were read to their end."""
        return sum(call_of(seen.method, seen.target)[0] == "submit" for seen in self.server.requests)

    def calls(self, call: str) -> int:
        return sum(call_of(seen.method, seen.target)[0] == call for seen in self.server.requests)

    async def serve(self, exchange: Exchange) -> None:
        call, row = call_of(exchange.method, exchange.target)
        await (self._act(call, row) or getattr(self, f"_{call}"))(exchange)

    def _act(self, call: str, row: int | None) -> Act | None:
        for struck, of, acts, forever in self._struck:
            if struck == call and of in (None, row) and acts:
                return acts[0] if forever and len(acts) == 1 else acts.pop(0)
        return None

    async def _submit(self, exchange: Exchange) -> None:
        body = json.loads(await exchange.read_body())
        row = int(re.search(r"thing (\d+)", body["prompt"])[1])  # type: ignore[index]
        self.accepted.append(row)
        await answer({"request_id": f"r{row}-{self.accepted.count(row)}"})(unread(exchange))

    async def _status(self, exchange: Exchange) -> None:
        await answer({"status": "completed"})(exchange)

    async def _result(self, exchange: Exchange) -> None:
        _, row = call_of(exchange.method, exchange.target)
        output = self.outputs.get(row or 0, {"image": f"{self.files}/{row}.png"})
        await answer({"status": "succeeded", "output": output, "cost": 0.04})(exchange)

    async def _cancel(self, exchange: Exchange) -> None:
        await answer({"outcome": "not_cancellable"}, status=202)(exchange)

    async def _file(self, exchange: Exchange) -> None:
        await answer(picture(), headers={"Content-Type": "image/png"})(exchange)

    async def _probe(self, exchange: Exchange) -> None:
        await answer({"models": []})(exchange)


def unread(exchange: Exchange) -> Exchange:
    """`exchange` after its body was read: an act that reads it finds nothing more, and does not record it again."""

    class Read(Exchange):
        async def read_body(self) -> bytes:
            return b""

    return Read(exchange.server, exchange.reader, exchange.writer, exchange.method, exchange.target, exchange.headers, exchange.connection)


def call_of(method: str, target: str) -> tuple[str, int | None]:
    path = re.sub("^http://[^/]*", "", target.partition("?")[0])  # a proxy is told the whole address
    if path.endswith(".png"):
        return "file", None
    if found := re.fullmatch(r"/v1/requests/r(\d+)-\d+/(status|result|cancel)", path):
        return found[2], int(found[1])
    return ("submit" if method == "POST" else "probe"), None


@dataclass(slots=True)
class Story:
    """How a batch ended, from every side."""

    outcome: Outcome
    rows: dict[str, dict[str, Any]]
    said: list[str]

    @property
    def states(self) -> list[str]:
        return [str(row["state"]) for row in self.rows.values()]

    def failure(self, row_id: str) -> dict[str, str]:
        found = self.rows[row_id]["failure"]
        assert found is not None
        return dict(found)


class ListeningView(NoView):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


async def run_rows(
    out: Path,
    base: str,
    rows: int = 3,
    *,
    stopper: Stopper | None = None,
    resume: bool = False,
    decide: Decide | None = None,
    allow_hosts: Sequence[str] = (),
    **settings: Any,
) -> Story:
    """Run a batch of so many rows through the whole program, against the API at `base`."""
    manifest = [{"id": f"row{n}", "prompt": f"thing {n}"} for n in range(rows)]
    opener: Callable[[], Any] = partial(open_rows, manifest, {"job": "text_to_image"}, name="worst", base_dir=out.parent)
    options = RunOptions(
        out=out,
        opener=None if resume else opener,
        overrides=RunSettings(**{**QUICK, **settings}).model_dump(),
        allow_hosts=allow_hosts,
        decide=decide,
    )
    view = ListeningView()
    outcome = await run_batch(options, Environment(base, TOKEN), view=view, stopper=stopper)
    story = Story(outcome, {row["id"]: row for row in results(out)}, view.said)
    counts = outcome.report.counts
    assert outcome.report.rows == rows == counts.done + counts.failed + counts.cancelled + counts.in_doubt + counts.open
    assert all(State(state) for state in story.states)
    return story


@contextlib.asynccontextmanager
async def stub_service(files: str = "", *, tls: ssl.SSLContext | None = None) -> AsyncIterator[StubService]:
    """Its results are in `files`; left out, it serves a picture of its own at each link."""
    async with raw_server(tls=tls) as server:
        stub = StubService(server, files or server.url)
        server.script(stub.serve)
        yield stub
