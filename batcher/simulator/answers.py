"""What the service says: its records in the words and shapes of the wire."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from batcher.simulator.catalog import ModelCard
from batcher.simulator.errors import Refusal, not_ready
from batcher.simulator.records import Fate, Submission
from batcher.simulator.service import Phase, Progress, Service
from batcher.simulator.settings import SimulatorSettings

Answer = dict[str, Any]


class Answers:
    """Writes answers as the settings want them. `origin` is the simulator's scheme, host and port, as the client addressed it."""

    def __init__(self, settings: SimulatorSettings, service: Service) -> None:
        self._settings = settings
        self._service = service
        self._link_key = hashlib.sha256(f"links/{settings.seed}".encode()).digest()

    def accepted(self, submission: Submission, origin: str) -> Answer:
        """The answer to a submit."""
        links = self._links(submission, origin)
        return {"request_id": submission.request_id, **links, "cancel_url": f"{origin}/v1/requests/{submission.request_id}/cancel"}

    def status(self, submission: Submission, progress: Progress, origin: str) -> Answer:
        """How far the request is."""
        answer: Answer = {"request_id": submission.request_id, "status": self._status_word(submission, progress)}
        if progress.queue_position is not None:
            answer["queue_position"] = progress.queue_position
        return answer | self._links(submission, origin)

    def result(self, submission: Submission, progress: Progress, origin: str, now: float, *, include_cost: bool) -> Answer:
        """What came of the request. Raises `Refusal` where the settings want an error while there is no result."""
        if not progress.phase.ended and self._settings.early_result == 400005:
            raise not_ready("the request has not ended")
        answer: Answer = {
            "request_id": submission.request_id,
            "model_id": submission.model_id,
            "status": self._result_word(progress.phase),
            "created_at": _timestamp(submission.accepted_at),
            "finished_at": None if progress.ended_at is None else _timestamp(progress.ended_at),
        }
        if progress.phase is Phase.SUCCEEDED:
            answer["output"] = self._output(submission, origin, now)
        if progress.phase is Phase.FAILED:
            answer["error"] = submission.error
        if include_cost and (cost_usd := self._service.cost_usd(submission, progress)) is not None:
            answer["cost"] = cost_usd
        return answer

    def cancelled(self, submission: Submission, progress: Progress, *, done: bool) -> Answer:
        """The answer to a cancel; `done` says whether it was."""
        outcome = self._settings.cancelled_word if done else "not_cancellable"
        return {"request_id": submission.request_id, "status": self._status_word(submission, progress), "outcome": outcome}

    def model(self, card: ModelCard, *, with_schema: bool) -> Answer:
        """One model of the catalog."""
        answer: Answer = {
            "model_id": card.model_id,
            "display_name": card.display_name,
            "description": card.description,
            "categories": list(card.categories),
            "kind": card.kind,
            "base_price_usd": self._service.unit_price_usd(card),
            "price_unit": card.price_unit,
            "pricing_note": card.pricing_note,
        }
        return answer | {"input_schema": card.input_schema} if with_schema else answer

    def balance(self) -> Answer:
        """What the account holds."""
        balance_usd = self._service.balance_usd
        return {"balance_usd": balance_usd, "balance_microdollars": round(balance_usd * 1e6), "currency": "USD"}

    def error(self, refusal: Refusal) -> tuple[int, Answer]:
        """The HTTP status and the body of a refusal."""
        status = 200 if self._settings.errors_under_200 and refusal.code is not None else refusal.status
        if refusal.details:
            return status, {"detail": list(refusal.details)}
        if self._settings.error_style == "detail" or refusal.code is None:
            return refusal.status, {"detail": refusal.message}
        if self._settings.error_style == "code":
            return status, {"code": refusal.code, "message": refusal.message}
        return status, {"error_code": refusal.code, "error_message": refusal.message}

    def link_works(self, submission: Submission, name: str, expires: str, signature: str, now: float) -> bool:
        """Whether a link may still be followed."""
        if self._settings.link_lifetime_s is None:
            return True
        if not hmac.compare_digest(signature.encode(), self._signature(submission, name, expires).encode()):
            return False
        return now < int(expires) / 1000

    def file_names(self, submission: Submission) -> list[str]:
        """The names of the request's outputs, in order."""
        extension = self.file_format(submission)
        count = self._service.output_count(self._service.card(submission.model_id))
        return [f"output.{extension}"] if count == 1 else [f"output-{n}.{extension}" for n in range(1, count + 1)]

    def file_format(self, submission: Submission) -> str:
        """What the request's outputs are written in: png, jpeg, webp or webm."""
        card = self._service.card(submission.model_id)
        if card.task == "video":
            return "webm"
        if self._settings.art == "plain":
            return "png"
        asked = card.value(submission.body, "output_format")
        return asked if asked in ("png", "jpeg", "webp") else card.image_format

    def _output(self, submission: Submission, origin: str, now: float) -> Any:
        links = [self._file_link(submission, name, origin, now) for name in self.file_names(submission)]
        kind = "video" if self._service.card(submission.model_id).task == "video" else "image"
        match self._settings.output_shape:
            case "string":
                return links[0]
            case "list":
                return links
            case "url":
                return {"url": links[0] if len(links) == 1 else links}
            case "keyed":
                return {kind: links[0]} if len(links) == 1 else {f"{kind}s": links}

    def _file_link(self, submission: Submission, name: str, origin: str, now: float) -> str:
        link = f"{origin}/files/{submission.request_id}/{name}"
        if self._settings.link_lifetime_s is None:
            return link
        expires = str(round((now + self._settings.link_lifetime_s) * 1000))
        return f"{link}?expires={expires}&signature={self._signature(submission, name, expires)}"

    def _signature(self, submission: Submission, name: str, expires: str) -> str:
        return hmac.new(self._link_key, f"{submission.request_id}/{name}/{expires}".encode(), "sha256").hexdigest()

    def _links(self, submission: Submission, origin: str) -> Answer:
        base = f"{origin}/v1/requests/{submission.request_id}"
        return {"status_url": f"{base}/status", "result_url": f"{base}/result"}

    def _status_word(self, submission: Submission, progress: Progress) -> str:
        if progress.phase is Phase.SUCCEEDED or (progress.phase is Phase.FAILED and submission.fate is Fate.FAILS_A):
            return "completed"
        return self._settings.cancelled_word if progress.phase is Phase.CANCELLED else progress.phase.value

    def _result_word(self, phase: Phase) -> str:
        if phase is Phase.SUCCEEDED:
            return self._settings.success_word
        return self._settings.cancelled_word if phase is Phase.CANCELLED else phase.value


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
