"""Every seam of the engine: what the core needs of the world, and nothing about how it is done.

Each port has a real adapter and a fake one that ships beside it, and one contract suite in `tests/contract` runs over both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeAlias

from batcher.errors import Problem
from batcher.events import Event
from batcher.model import (
    Artifact,
    Balance,
    Job,
    JobSpec,
    Lane,
    Mode,
    ModelInfo,
    ProviderFacts,
    RequestResult,
    RequestStatus,
    Run,
    SameFiles,
    State,
)


class Clock(Protocol):
    """The engine's only source of time."""

    def now(self) -> float:
        """Seconds since the epoch. Never goes back while the process lives, whatever happens to the machine's clock."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait until `event` is set, at most `timeout_s` seconds; True if it was."""
        ...


class Provider(Protocol):
    """A service that makes pictures and videos. Every method raises `ApiError` and nothing else."""

    @property
    def facts(self) -> ProviderFacts:
        """What is known of the service."""
        ...

    async def submit(self, model: str, body: bytes) -> str:
        """Send one request, exactly once, and return its id. `body` is the model's input as JSON in UTF-8. Costs money."""
        ...

    async def status(self, request_id: str) -> RequestStatus:
        """Ask how far a request is."""
        ...

    async def result(self, request_id: str) -> RequestResult:
        """Ask what came of a request, and what it cost."""
        ...

    async def cancel(self, request_id: str) -> bool:
        """Ask the service to cancel a request; True if it did, False if the request runs on or has ended."""
        ...

    async def probe(self) -> None:
        """Ask for something that costs nothing; returns if the service answers and accepts the token."""
        ...


class Catalog(Protocol):
    """The part of a service that tells of models and money. Every method raises `ApiError` and nothing else."""

    def models(self, search: str = "", *, with_schema: bool = False) -> AsyncIterator[ModelInfo]:
        """Every model that matches `search`, page by page."""
        ...

    async def model(self, model_id: str) -> ModelInfo:
        """One model with its input schema."""
        ...

    async def balance(self) -> Balance:
        """What the account holds."""
        ...


class RequestBodies(Protocol):
    """Turns a spec into the bytes of its request."""

    async def encode(self, spec: JobSpec) -> bytes:
        """The request body as JSON in UTF-8, local files as data URIs. Raises `InputError` if a file is not the one that was planned."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """A result file that is durable and visible. `path` is relative to the output folder."""

    path: str
    sha256: str
    size_bytes: int


class Draft(Protocol):
    """A result file that is being written and that nobody sees yet."""

    async def write(self, chunk: bytes) -> None:
        """Append. Raises `OutputError` if the disk does not take it."""
        ...

    async def publish(self, extension_of: Callable[[BinaryIO], str]) -> Published:
        """Make it durable and visible, under its stem and the extension that `extension_of` says.

        That is called in a thread, with all that was written, as a file to read; what it raises is raised here, and nothing is published.
        An earlier file of that name with other content is kept beside, never overwritten. Raises `OutputError`.
        """
        ...

    async def discard(self) -> None:
        """Forget it; does nothing after `publish`."""
        ...


class Storage(Protocol):
    """Where result files go."""

    def draft(self, stem: str) -> Draft:
        """Begin a file that will be called `stem`, a path with forward slashes, and an extension. Raises `OutputError` for a name that cannot be."""
        ...


class Fetcher(Protocol):
    """The data plane: everything idempotent that happens once a link is known. May run on other machines; never sees the token or the ledger."""

    async def fetch(self, url: str, stem: str) -> Artifact:
        """Stream, check, hash and publish one output as `stem` plus the extension that its bytes ask for.

        Safe to repeat. Raises `DownloadError`, or `OutputError` where the disk is at fault.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What writing a plan into the ledger changed, in rows."""

    total: int = 0
    new: int = 0
    changed: int = 0
    reused: int = 0
    duplicates: int = 0
    dropped: int = 0
    kept: int = 0
    """No longer named, and kept because their request may still bring something."""
    repeated: int = 0
    """Of those that the manifest names: rows that make the very request of another one, and are paid for all the same."""


Facts: TypeAlias = Callable[[Mapping[State, int]], Mapping[str, object]]
"""What is to be kept about the batch, by name, once it is known how many rows are in each state. May raise `BatcherError`, and then nothing is."""


class Ledger(Protocol):
    """The memory of a batch. Every method raises `LedgerError` and nothing else, and after the first one every later call raises it too."""

    async def plan(self, items: Iterable[JobSpec | Problem], *, facts: Facts | None = None, dry_run: bool = False) -> PlanSummary:
        """Make the specs in `items` the rows of the batch, all or nothing; with `dry_run` nothing, but say what would change.

        `facts` says what the batch is, given how many rows are in each state; it is kept in the same moment, or a crash could leave rows of which
        nobody knows at which service they are to be made.

        A row that is there already keeps its history; one whose fingerprint changed is planned again; one that is no longer named is dropped, unless
        its request may still bring something. Raises `ManifestError` for every problem in `items`, and for two rows that would write the same
        file, share an id with different content, or change while their request is under way.
        """
        ...

    def counts(self) -> Mapping[State, int]:
        """How many rows of the batch are in each state; the same cost at a million rows as at ten."""
        ...

    async def claimable(self, lane: Lane, mode: Mode, limit: int, now: float, exclude: Collection[int]) -> list[Job]:
        """At most `limit` rows that `lane` may carry now, paid ones first, without those whose `seq` is in `exclude`."""
        ...

    async def next_due(self, lane: Lane, mode: Mode, now: float) -> float | None:
        """The earliest time after `now` at which a row of `lane` that waits may be carried, if any does."""
        ...

    async def record(self, job: Job, event: Event, now: float) -> str | None:
        """Keep `job` as it is after `event`. Durable when it returns.

        Returns the name of another row that has the request which `job` was just accepted as, if one has: ids of requests must differ.
        Raises a plain `OutputError` for a claim that the disk has no room for, or that comes after damage was found in the ledger.
        """
        ...

    async def shared_requests(self) -> Mapping[str, Sequence[str]]:
        """The rows that have one request id between them, by that id, as long as one of them is neither held nor was given it by a person."""
        ...

    async def has_stem(self, stem: str) -> bool:
        """Whether the files of some row are called so."""
        ...

    async def recover(self, now: float) -> list[Job]:
        """The rows that an earlier process left `submitting`; the waits of all others end now, since they were made for another time."""
        ...

    async def add_requests(self, counts: Mapping[str, int]) -> None:
        """Add to the tally of calls made, by kind: submits, polls, results, cancels, downloads."""
        ...

    async def fact(self, name: str) -> Any:
        """What was kept about the batch under that name, by whatever version of batcher; None where nothing was, or it cannot be read."""
        ...

    async def put_meta(self, values: Mapping[str, object]) -> None:
        """Keep facts about the batch, each as JSON under its name."""
        ...

    async def aclose(self) -> None:
        """Finish what waits to be written and let go."""
        ...


class LedgerView(Protocol):
    """The memory of a batch, to look at. Every method raises `LedgerError` and nothing else."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one moment, however long it takes."""
        ...

    def counts(self) -> Mapping[State, int]:
        """How many rows are in each state."""
        ...

    def spent_usd(self) -> float:
        """What the rows cost so far, as far as known."""
        ...

    def requests(self) -> Mapping[str, int]:
        """Calls made to the service, by kind."""
        ...

    def runs(self) -> Sequence[Run]:
        """Each time that the batch was run, in order."""
        ...

    def meta(self) -> Mapping[str, Any]:
        """What the batch is: facts by name."""
        ...

    def same_files(self, limit: int, examples: int) -> Sequence[SameFiles]:
        """At most `limit` contents that the result files of several rows have, most rows first, each with the first `examples` of them."""
        ...

    def jobs(self, states: Collection[State] | None = None) -> Iterator[Job]:
        """The rows of the batch in manifest order, a page at a time; only those in `states` if given."""
        ...


class Observer(Protocol):
    """Told of every event once it is durable. Must be quick and must not raise."""

    def observe(self, job: Job, event: Event, now: float) -> None:
        """`job` is the row as it is after `event`."""
        ...

    def notice(self, message: str, now: float) -> None:
        """Something about the whole batch that a person should know."""
        ...
