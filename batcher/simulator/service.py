"""The service itself: requests, their queue, what becomes of them and what they cost.

It does no networking and runs nothing in the background: every state is worked out from the clock when it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist
from typing import Any

from batcher.simulator.blobs import BlobStore
from batcher.simulator.catalog import ModelCard, model_cards, unlisted_card
from batcher.simulator.errors import bad_identifier, invalid_body, no_balance, not_found, not_yours, too_many
from batcher.simulator.faults import FaultName, FaultPlan, Occasion
from batcher.simulator.journal import Journal
from batcher.simulator.queueing import SlotQueue
from batcher.simulator.records import Cancellation, Fate, Submission
from batcher.simulator.schema import faults_of
from batcher.simulator.settings import SimulatorSettings

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
DEFAULT_ERROR = {"errorCode": "GENERATION_FAILED", "error": "The generation failed.", "debugInfo": "simulated"}


class Phase(StrEnum):
    """How far a request is, in the service's own words where it has them."""

    IN_QUEUE = "in_queue"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the request."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a request is at one moment. `queue_position` counts from 1; times are seconds since the epoch."""

    phase: Phase
    queue_position: int | None = None
    started_at: float | None = None
    ended_at: float | None = None


class Service:
    """The requests of one account. `clock` tells seconds since the epoch and never goes back."""

    def __init__(
        self, settings: SimulatorSettings, clock: Callable[[], float], faults: FaultPlan, blobs: BlobStore, journal: Journal | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._blobs = blobs
        self._journal = journal
        self._cards = model_cards()
        self._queue = SlotQueue(settings.slots)
        self._submissions: dict[str, Submission] = {}
        self._cancelled_at: dict[str, float] = {}
        self._occurrences: Counter[tuple[str, str]] = Counter()
        self._charged_microusd = 0
        if journal is not None:
            self._replay(journal)

    @property
    def cards(self) -> Mapping[str, ModelCard]:
        """The models of the catalog, by id."""
        return self._cards

    def card(self, model_id: str) -> ModelCard:
        """One model, listed or not."""
        return self._cards.get(model_id) or unlisted_card(model_id)

    def unit_price_usd(self, card: ModelCard) -> float:
        """What one unit of the model costs."""
        return self._settings.prices.get(card.model_id, card.base_price_usd)

    def submit(self, owner: str, model_id: str, body: object) -> Submission:
        """Accept a request and remember it. Raises `Refusal` for a wrong model or body, or where there is no room or no balance for it."""
        if model_id not in self._cards and not self._settings.accept_unknown_models:
            raise bad_identifier(f"there is no model {model_id!r}")
        if self._settings.capacity is not None and self._queue.unfinished(self._clock()) >= self._settings.capacity:
            raise too_many("1")
        card = self.card(model_id)
        details = faults_of(card, body, accept_data_uris=self._settings.accept_data_uris)
        if details or not isinstance(body, Mapping):
            raise invalid_body(details)
        price_usd = card.price_usd(body, self.unit_price_usd(card), self.output_count(card))
        if price_usd > self.balance_usd:
            raise no_balance(f"the request costs {price_usd:.4f} USD and the balance is {self.balance_usd:.4f} USD")
        submission = self._draw_up(owner, card, body, price_usd)
        if self._journal is not None:
            self._journal.append(submission)
        self._admit(submission)
        return submission

    def find(self, owner: str, request_id: str) -> Submission:
        """A request by its id. Raises `Refusal` if it is unknown, expired, or someone else's."""
        if not REQUEST_ID.fullmatch(request_id):
            raise bad_identifier(f"{request_id!r} is no request id")
        submission = self._submissions.get(request_id)
        if submission is None or self._is_past_retention(submission):
            raise not_found(f"there is no request {request_id!r}")
        if submission.owner != owner:
            raise not_yours(f"the request {request_id!r} belongs to someone else")
        return submission

    def look_up(self, request_id: str) -> Submission | None:
        """A request by its id, whoever owns it and however old it is."""
        return self._submissions.get(request_id)

    def progress(self, submission: Submission) -> Progress:
        """Where the request is now."""
        if submission.request_id in self._cancelled_at:
            return Progress(Phase.CANCELLED, ended_at=self._cancelled_at[submission.request_id])
        if submission.fate is Fate.STUCK_QUEUED:
            return Progress(Phase.IN_QUEUE, queue_position=1)
        now = self._clock()
        run = self._queue.run(submission.ordinal, now)
        if run is None:
            return Progress(Phase.IN_QUEUE, queue_position=self._queue.position(submission.ordinal, now))
        if run.ends_at > now:
            return Progress(Phase.IN_PROGRESS, started_at=run.started_at)
        return Progress(Phase.FAILED if submission.fate.fails else Phase.SUCCEEDED, started_at=run.started_at, ended_at=run.ends_at)

    def cancel(self, submission: Submission) -> bool:
        """Take the request out of the queue; False if it runs or has ended. True again for one that was cancelled before."""
        if submission.request_id in self._cancelled_at:
            return True
        now = self._clock()
        if submission.fate is not Fate.STUCK_QUEUED and self._queue.position(submission.ordinal, now) is None:
            return False
        cancellation = Cancellation(submission.request_id, now)
        if self._journal is not None:
            self._journal.append(cancellation)
        self._withdraw(cancellation)
        return True

    def cost_usd(self, submission: Submission, progress: Progress) -> float | None:
        """What the request was charged; None until that has settled."""
        if progress.ended_at is None or self._clock() < progress.ended_at + self._settings.cost_delay_s:
            return None
        return self._charge_usd(submission)

    @property
    def balance_usd(self) -> float:
        """What the account holds."""
        return round(self._settings.balance_usd - self.charged_usd, 6)

    @property
    def charged_usd(self) -> float:
        """What all accepted requests are charged so far."""
        return self._charged_microusd / 1e6

    @property
    def submissions(self) -> Iterator[Submission]:
        """Every accepted submission, oldest first."""
        return iter(self._submissions.values())

    @property
    def cancelled(self) -> int:
        """How many requests were cancelled."""
        return len(self._cancelled_at)

    def output_count(self, card: ModelCard) -> int:
        """How many files a request to this model makes."""
        return 1 if card.task == "video" else self._settings.outputs

    def _draw_up(self, owner: str, card: ModelCard, body: Mapping[str, Any], price_usd: float) -> Submission:
        body_sha256 = hash_body(body)
        occurrence = self._occurrences[card.model_id, body_sha256] + 1
        digest = hashlib.sha256(f"{self._settings.seed}/{card.model_id}/{body_sha256}/{occurrence}".encode()).digest()
        submission = Submission(
            ordinal=len(self._submissions) + 1,
            request_id=str(uuid.UUID(bytes=digest[:16], version=4)),
            model_id=card.model_id,
            body=self._blobs.take_out(body),
            body_sha256=body_sha256,
            owner=owner,
            accepted_at=self._clock(),
            service_s=self._service_s(card, int.from_bytes(digest[16:24])),
            price_usd=price_usd,
        )
        return self._with_fate(submission)

    def _service_s(self, card: ModelCard, draw: int) -> float:
        """A lognormal running time; `draw` is a number of 64 bits that settles it."""
        median_s = card.latency_s if self._settings.latency_s is None else self._settings.latency_s
        spread = NormalDist().inv_cdf(((draw >> 12) + 0.5) / 2**52)
        return median_s * math.exp(self._settings.sigma * spread) / self._settings.speed

    def _with_fate(self, submission: Submission) -> Submission:
        occasion = Occasion("generation", submission.request_id, submission.model_id, lambda: submission.text)
        rule = self._faults.strike(occasion, submission.accepted_at)
        if rule is None:
            return submission
        if rule.name is FaultName.FAIL:
            variant = rule.variant or self._settings.failures
            return replace(
                submission, fate=Fate.FAILS_A if variant == "A" else Fate.FAILS_B, error=DEFAULT_ERROR if rule.error is None else rule.error
            )
        return replace(submission, fate=Fate.STUCK_QUEUED if rule.name is FaultName.STUCK_QUEUED else Fate.STUCK_RUNNING)

    def _admit(self, submission: Submission) -> None:
        self._submissions[submission.request_id] = submission
        self._occurrences[submission.model_id, submission.body_sha256] += 1
        self._charged_microusd += round(self._charge_usd(submission) * 1e6)
        if submission.fate is not Fate.STUCK_QUEUED:
            service_s = math.inf if submission.fate is Fate.STUCK_RUNNING else submission.service_s
            self._queue.enter(submission.ordinal, submission.accepted_at, service_s)

    def _withdraw(self, cancellation: Cancellation) -> None:
        submission = self._submissions.get(cancellation.request_id)
        if submission is None:
            return
        self._queue.leave(submission.ordinal, cancellation.cancelled_at)
        self._charged_microusd -= round(self._charge_usd(submission) * 1e6)
        self._cancelled_at[submission.request_id] = cancellation.cancelled_at
        self._charged_microusd += round(self._charge_usd(submission) * 1e6)

    def _charge_usd(self, submission: Submission) -> float:
        if submission.request_id in self._cancelled_at:
            return submission.price_usd if self._settings.charge_cancelled else 0.0
        if submission.fate.fails:
            return submission.price_usd if self._settings.charge_failed else 0.0
        return submission.price_usd

    def _is_past_retention(self, submission: Submission) -> bool:
        if self._settings.retention_s is None:
            return False
        ended_at = self.progress(submission).ended_at
        return ended_at is not None and self._clock() >= ended_at + self._settings.retention_s

    def _replay(self, journal: Journal) -> None:
        for entry in journal.entries():
            if isinstance(entry, Submission):
                self._admit(entry)
            else:
                self._withdraw(entry)


def hash_body(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a request body as JSON with sorted keys and no spaces."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
