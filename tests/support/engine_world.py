"""Everything an engine needs, in memory: for tests on virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from batcher.clock import LoopClock
from batcher.definition import output_links
from batcher.engine import Engine
from batcher.events import Event
from batcher.ledger import SqliteLedger
from batcher.model import Artifact, Job, JobSpec, Mode, State
from batcher.providers.fake import FakeProvider
from batcher.settings import RunSettings

EPOCH = 1_800_000_000.0


def make_spec(name: str, **fields: object) -> JobSpec:
    body = {"prompt": f"picture of {name}", **fields}
    fingerprint = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
    return JobSpec(
        key=f"id:{name}", row_id=name, fingerprint=fingerprint, job="raw", model="acme/paint", body=body, stem=name, fields=body, where="rows.csv:2"
    )


class PlainBodies:
    async def encode(self, spec: JobSpec) -> bytes:
        return json.dumps(spec.body).encode()


@dataclass
class FakeFetcher:
    """Takes `seconds` for a file; `fault(url, n)` may return an error to raise at the n-th fetch of all."""

    seconds: float = 0.5
    fault: Callable[[str, int], Exception | None] = lambda url, n: None
    fetched: list[str] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0

    async def fetch(self, url: str, stem: str) -> Artifact:
        self.fetched.append(url)
        number = len(self.fetched)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if (error := self.fault(url, number)) is not None:
            raise error
        return Artifact(f"results/{stem}.png", hashlib.sha256(url.encode()).hexdigest(), 1000, "image/png", 64, 64)


@dataclass
class Log:
    events: list[tuple[float, str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def observe(self, job: Job, event: Event, now: float) -> None:
        self.events.append((round(now - EPOCH, 6), job.row_id, type(event).__name__))

    def notice(self, message: str, now: float, *, passing: bool = False) -> None:
        self.notices.append(message)


class World:
    """One service and one ledger; `engine()` is a process that runs the batch, and there may be several, one after the other."""

    def __init__(self, seed: int = 0, *, settings: RunSettings | None = None, **provider: object) -> None:
        self.rng = random.Random(seed)
        self.clock = LoopClock(EPOCH)
        self.settings = settings or RunSettings()
        self.ledger = SqliteLedger(None, threaded=False)
        self.provider = FakeProvider(clock=self.clock, rng=random.Random(seed + 1), **provider)  # type: ignore[arg-type]
        self.fetcher = FakeFetcher()
        self.log = Log()

    def engine(self, mode: Mode = Mode.RUN) -> Engine:
        return Engine(
            ledger=self.ledger,
            provider=self.provider,
            bodies=PlainBodies(),
            fetcher=self.fetcher,
            links=lambda job, output: output_links(output),
            clock=self.clock,
            rng=self.rng,
            settings=self.settings,
            observer=self.log,
            mode=mode,
        )

    async def plan(self, rows: int) -> None:
        await self.ledger.plan([make_spec(f"row{n:04}") for n in range(rows)])

    def count(self, state: State) -> int:
        return self.ledger.counts()[state]
