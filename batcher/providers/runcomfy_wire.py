"""What RunComfy says on the wire, read into our records: liberal in what is accepted, since much of it is documented nowhere.

Fields that cannot be read become None or empty; only a body that is no JSON object at all is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from batcher.model import Balance, Json, ModelInfo, RequestPhase, RequestStatus

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What a request id must be, because it becomes part of a path."""

MESSAGE_MAX_CHARS = 500
_WORD_MAX_CHARS = 64
_LIST_MAX_ITEMS = 8

PHASES: Mapping[str, RequestPhase] = MappingProxyType(
    {
        "in_queue": RequestPhase.QUEUED,
        "pending": RequestPhase.QUEUED,
        "waiting": RequestPhase.QUEUED,
        "in_progress": RequestPhase.RUNNING,
        "starting": RequestPhase.RUNNING,
        "processing": RequestPhase.RUNNING,
        "completed": RequestPhase.COMPLETED,
        "succeeded": RequestPhase.COMPLETED,
        "failed": RequestPhase.FAILED,
        "cancelled": RequestPhase.CANCELLED,
        "canceled": RequestPhase.CANCELLED,
    }
)
"""The service's words for the state of a request. `completed` on `/status` is no success: only `/result` says how a request ended."""


def phase_of(word: str) -> RequestPhase:
    """What the service's word means, in whatever case it is written."""
    return PHASES.get(word.lower().replace(" ", "_").replace("-", "_"), RequestPhase.UNKNOWN)


def clean(text: str, limit: int = MESSAGE_MAX_CHARS) -> str:
    """`text` on one line, without control or bidirectional characters, at most `limit` characters long."""
    if len(text) <= limit and text.isprintable() and "  " not in text:
        return text.strip()
    head = text[: 4 * limit]
    line = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def readable(value: Any) -> str:
    """Any JSON that stands for an error, as text for a person; empty where it says nothing."""
    match value:
        case None | False | "":
            return ""
        case str():
            return value
        case list():
            return "; ".join(filter(None, map(readable, value[:_LIST_MAX_ITEMS])))
        case dict():
            return _readable_object(value)
        case _:
            return json.dumps(value)


def _readable_object(value: dict[str, Any]) -> str:
    said = [text for key in ("error_message", "message", "error", "detail", "msg", "reason", "debugInfo") if (text := readable(value.get(key)))]
    if not said:
        return json.dumps(value, ensure_ascii=False) if value else ""
    text = ": ".join(dict.fromkeys(said))
    if place := value.get("loc"):  # a schema error of the FastAPI kind: {loc: [body, prompt], msg: …}
        text = f"{'.'.join(map(str, place)) if isinstance(place, list) else place}: {text}"
    code = code_text(value.get("errorCode") or value.get("error_code") or value.get("code"))
    return f"{code}: {text}" if code else text


def code_text(value: Any) -> str | None:
    """An error code as text; None where there is none. Zero is no error."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = clean(value if isinstance(value, str) else readable(value), _WORD_MAX_CHARS)
    return None if text in ("", "0") else text


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


def _word(value: Any) -> str:
    return clean(value, _WORD_MAX_CHARS) if isinstance(value, str) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else readable(value)


def _words(value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(item for item in given if isinstance(item, str))


def _id(value: Any) -> str | None:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and REQUEST_ID.fullmatch(text) else None


Count: TypeAlias = Annotated[Annotated[int, Field(ge=0, le=2**31)] | None, WrapValidator(_or_none)]
Number: TypeAlias = Annotated[Annotated[float, Field(allow_inf_nan=False)] | None, WrapValidator(_or_none)]
Amount: TypeAlias = Annotated[Annotated[float, Field(allow_inf_nan=False, ge=0)] | None, WrapValidator(_or_none)]
Word: TypeAlias = Annotated[str, BeforeValidator(_word)]
Text: TypeAlias = Annotated[str, BeforeValidator(_text)]
Words: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_words)]
RequestId: TypeAlias = Annotated[str | None, BeforeValidator(_id)]


class Wire(BaseModel):
    """A body of the service. What it holds beside the fields we know is let go, and an error may stand in any of them, even under HTTP 200."""

    # Fields unknown to us are the service's own affair; and what it sent stays out of tracebacks.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, protected_namespaces=())

    error_code: Any = None
    code: Any = None
    error_message: Any = None
    message: Any = None
    error: Any = None
    detail: Any = None

    @property
    def named_code(self) -> str | None:
        """The error code that the body names, wherever it stands."""
        inner = next((part for part in (self.error, self.detail) if isinstance(part, dict)), {})
        given = (self.error_code, self.code, inner.get("error_code"), inner.get("errorCode"), inner.get("code"))
        return next(filter(None, map(code_text, given)), None)

    @property
    def reason(self) -> str:
        """What the body says went wrong, as text."""
        return readable(self.error_message) or readable(self.message) or readable(self.error) or readable(self.detail)


class ErrorBody(Wire):
    """The body of an answer that is an error; a bare string or list is its message."""

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"message": value}


class SubmitBody(Wire):
    """The answer to a submit. The addresses beside the id are not read: paths are built from the id alone."""

    request_id: RequestId = None


class StatusBody(Wire):
    """The answer of `/status`."""

    status: Word = ""
    queue_position: Count = None

    def to_record(self) -> RequestStatus:
        """The answer in our words."""
        phase = phase_of(self.status)
        return RequestStatus(phase, self.queue_position if phase is RequestPhase.QUEUED else None, self.status)


class ResultBody(Wire):
    """The answer of `/result`."""

    status: Word = ""
    output: Any = None
    cost: Amount = None

    @property
    def phase(self) -> RequestPhase:
        """How the request stands."""
        return phase_of(self.status)

    @property
    def failure(self) -> str:
        """Why the request failed, as text; beside a success, `message` and its like are small talk and not read."""
        return self.reason if self.phase is RequestPhase.FAILED else readable(self.error)


class CancelBody(Wire):
    """The answer to a cancel: `outcome` decides, the status beside it is not reliable."""

    outcome: Word = ""

    @property
    def is_cancelled(self) -> bool:
        """Whether the service says that the request will not run."""
        return phase_of(self.outcome) is RequestPhase.CANCELLED


class ModelBody(Wire):
    """One model of the catalog."""

    model_id: Text = ""
    display_name: Text = ""
    description: Text = ""
    kind: Text = ""
    categories: Words = ()
    base_price_usd: Amount = None
    price_unit: Annotated[str | None, WrapValidator(_or_none)] = None
    pricing_note: Text = ""
    input_schema: Annotated[dict[str, Any] | None, WrapValidator(_or_none)] = None

    def to_record(self) -> ModelInfo:
        """The model in our words."""
        schema: Mapping[str, Json] | None = self.input_schema
        return ModelInfo(
            self.model_id, self.display_name, self.description, self.kind, self.categories, self.base_price_usd, self.price_unit, self.pricing_note,
            schema,
        )  # fmt: skip


class CatalogBody(Wire):
    """One page of the catalog. A model that has no name, or is no object, is left out."""

    models: list[Any] = []
    total: Count = None

    @property
    def readable_models(self) -> list[ModelInfo]:
        """The models of the page that can be read."""
        bodies = [ModelBody.model_validate(item) for item in self.models if isinstance(item, dict)]
        return [body.to_record() for body in bodies if body.model_id]


class BalanceBody(Wire):
    """What the account holds, in dollars or millionths of them."""

    balance_usd: Number = None
    balance_microdollars: Number = None
    currency: Word = ""

    def to_record(self) -> Balance | None:
        """The balance in our words; None where the body names none."""
        usd = self.balance_usd
        if usd is None and self.balance_microdollars is not None:
            usd = self.balance_microdollars / 1e6
        return None if usd is None else Balance(usd, self.currency or "USD")
