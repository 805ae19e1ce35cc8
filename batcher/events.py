"""What can happen to a row: one small record for each, the only way in which a row changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from batcher.model import Artifact, CancelWish, Failure, Json


@dataclass(frozen=True, slots=True)
class Claimed:
    """The row's next act is a POST that may cost money."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The service took the request and named it."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The service, or the way to it, refused the request: nothing was made."""

    failure: Failure
    transient: bool
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A POST was sent, or may have been, and its answer was not seen."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Contested:
    """The service named another row's request with the same id: whose result it will bring, nobody can tell."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Running:
    """The request is known and not finished. `queued` is None where the service's word is not known."""

    queued: bool | None
    queue_position: int | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A poll brought no answer, or one that `denied` that there is such a request: the row is where it was."""

    failure: Failure
    retry_after_s: float | None = None
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Produced:
    """The service made what was asked for; `outputs` are the links to it."""

    outputs: tuple[str, ...]
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Died:
    """The request ended without a result that can be used. `transient` where the service itself says that another attempt may succeed."""

    failure: Failure
    transient: bool = False
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The next act is to ask the service to cancel the request."""

    wish: CancelWish


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The service cancelled the request."""


@dataclass(frozen=True, slots=True)
class NotCancellable:
    """The request runs already, or has ended: it goes on. Not `certain` where the service said nothing about it."""

    certain: bool = True


@dataclass(frozen=True, slots=True)
class Saved:
    """Every output is on disk, whole, checked and durable."""

    artifacts: tuple[Artifact, ...]
    download_s: float


@dataclass(frozen=True, slots=True)
class Broken:
    """An output could not be fetched, checked or saved."""

    failure: Failure
    transient: bool
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """The links no longer work: the result has to be read again."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Missing:
    """A file of a row that was done is gone, or is not the one that was saved."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a row that had gone missing are back, each with the content that was saved."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A person wants a failed or cancelled row tried again; with `regenerate`, paid for again even if its result could still be collected."""

    regenerate: bool = False


@dataclass(frozen=True, slots=True)
class Redo:
    """A person wants another result of a row that is done. `revised` says that it is asked for with another request, `fields` what was set anew."""

    fields: Mapping[str, Json] | None = None
    revised: bool | None = None


@dataclass(frozen=True, slots=True)
class Resubmit:
    """A person wants a row in doubt submitted again, and knows that it may be paid for twice."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """A person knows the id of the request that a row in doubt made."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """A person gives up a row in doubt."""


Event: TypeAlias = (
    Claimed
    | Accepted
    | Refused
    | Lost
    | Contested
    | Running
    | Unread
    | Produced
    | Died
    | CancelAsked
    | Cancelled
    | NotCancellable
    | Saved
    | Broken
    | Expired
    | Missing
    | Found
    | Retry
    | Redo
    | Resubmit
    | Adopt
    | Abandon
)
