"""What the simulator remembers for good: submissions that it accepted and cancellations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """How a generation will end, settled when it is accepted."""

    SUCCEEDS = "succeeds"
    FAILS_A = "fails_a"
    """Told as `completed` on status and `failed` on result."""
    FAILS_B = "fails_b"
    """Told as `failed` on both."""
    STUCK_QUEUED = "stuck_queued"
    STUCK_RUNNING = "stuck_running"

    @property
    def fails(self) -> bool:
        """Whether the generation ends without a result."""
        return self in (Fate.FAILS_A, Fate.FAILS_B)


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted submission.

    `ordinal` counts from 1 in the order of arrival. `body` is the request's body in which each data URI stands as `{"$blob": sha256}`;
    `body_sha256` is the hash of the body as it was sent, as JSON with sorted keys and no spaces. `owner` stands for the token, and does not hold it.
    `service_s` is how long the request will run; `error` is what the result says of a generation that fails.
    """

    ordinal: int
    request_id: str
    model_id: str
    body: Mapping[str, Any]
    body_sha256: str
    owner: str
    accepted_at: float
    service_s: float
    price_usd: float
    fate: Fate = Fate.SUCCEEDS
    error: Any = None

    @property
    def text(self) -> str:
        """Every text of the body, one a line."""
        return text_of(self.body)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request that was taken out of the queue."""

    request_id: str
    cancelled_at: float


def text_of(value: Any) -> str:
    """Every text in a JSON value, one a line, data URIs left out."""
    if isinstance(value, str):
        return "" if value[:5].lower() == "data:" else value
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return "\n".join(filter(None, map(text_of, items)))
