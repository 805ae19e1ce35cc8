"""Faults on demand: which call goes wrong, when, and how. The same seed and the same calls give the same faults.

A rule is written as a mapping (in YAML) or as one line, `CALL:FAULT` or `CALL:FAULT:OPTION=VALUE,OPTION=VALUE`:

    submit:429:first=3,retry_after=2        the first three submits are answered 429, with `Retry-After: 2`
    submit:reset:accepted=true,nth=5        the fifth submit is accepted and billed, then its connection is reset
    result:400005:first=1,per=request       the first result of each request is answered *not ready*
    download:truncated:every=4,keep=0.5     each fourth download ends after half of its bytes
    generation:fail:probability=0.1         one generation in ten fails
    any:503:from_s=10,until_s=40            half a minute of outage

A comma begins a new option only where `name=` follows, so that a value may hold commas. FAULT is one of `FaultName`, an HTTP status of three digits,
or an error code of the service of six. The first rule that matches wins; every rule counts the calls that meet its conditions.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from batcher.simulator.errors import SimulatorError

Call = Literal["submit", "status", "result", "cancel", "catalog", "balance", "download", "generation", "any"]


class FaultName(StrEnum):
    """What can go wrong with a call, or with a generation."""

    RESET = "reset"
    """The connection is reset without an answer."""
    HANG = "hang"
    """No answer comes, for `delay_s` or until the caller gives up."""
    DELAY = "delay"
    """The answer comes after `delay_s`."""
    SLOW = "slow"
    """The answer comes in pieces of `size_bytes`, one each `delay_s`."""
    TRUNCATED = "truncated"
    """The connection ends after `keep` of the body that was announced."""
    CUT = "cut"
    """As `truncated`, with no length announced: looks whole to a client that does not look inside."""
    WRONG_LENGTH = "wrong-length"
    """The body is longer than its `Content-Length`."""
    EMPTY = "empty"
    """An answer without a body."""
    HTML = "html"
    """An error page in place of the body, with status 200."""
    GARBLED = "garbled"
    """A body that is no JSON and no picture."""
    NOT_UTF8 = "not-utf8"
    """A body that is no valid text."""
    FLIPPED = "flipped"
    """The right body with one bit flipped in its middle."""
    WRONG_TYPES = "wrong-types"
    """The right JSON object with values of the wrong types."""
    DEEP = "deep"
    """JSON that nests deeper than parsers like."""
    SET = "set"
    """The right JSON object with `field` (dots lead inwards) set to `value`."""
    UNKNOWN_WORD = "unknown-word"
    """A status `word` that nobody documented."""
    NO_OUTPUT = "no-output"
    """A result that says success and has no output."""
    GZIP = "gzip"
    """The right body, compressed without being asked."""
    GZIP_TRUNCATED = "gzip-truncated"
    """Compressed, announced with the shortened length, and cut."""
    TOO_LARGE = "too-large"
    """A body announced, and sent if it is read, of `size_bytes` (3 GiB)."""
    ENDLESS = "endless"
    """A body that never ends."""
    REDIRECT = "redirect"
    """A redirect to `to`, with status 302 unless `status` says otherwise."""
    FAIL = "fail"
    """The generation ends without a result, with `error`; `variant` A: `completed` on status, `failed` on result; B: `failed` on both."""
    STUCK_QUEUED = "stuck-queued"
    """The generation waits in the queue for ever."""
    STUCK_RUNNING = "stuck-running"
    """The generation runs for ever, and holds its slot."""


GENERATION_FAULTS = frozenset({FaultName.FAIL, FaultName.STUCK_QUEUED, FaultName.STUCK_RUNNING})
JSON_FAULTS = frozenset({FaultName.WRONG_TYPES, FaultName.DEEP, FaultName.SET, FaultName.UNKNOWN_WORD, FaultName.NO_OUTPUT})
INSTEAD_OF_AN_ANSWER = frozenset({FaultName.RESET, FaultName.HANG, FaultName.REDIRECT})
NOTHING_OF_THE_ANSWER = frozenset({FaultName.EMPTY, FaultName.HTML, FaultName.GARBLED, FaultName.NOT_UTF8, FaultName.DEEP})
CONDITIONS = ("nth", "every", "first", "probability", "from_s", "until_s", "contains", "model", "per")

_OPTIONS: Mapping[FaultName, tuple[str, ...]] = {
    FaultName.HANG: ("delay_s",),
    FaultName.DELAY: ("delay_s",),
    FaultName.SLOW: ("delay_s", "size_bytes"),
    FaultName.TRUNCATED: ("keep",),
    FaultName.CUT: ("keep",),
    FaultName.GZIP_TRUNCATED: ("keep",),
    FaultName.SET: ("field", "value"),
    FaultName.UNKNOWN_WORD: ("word",),
    FaultName.TOO_LARGE: ("size_bytes",),
    FaultName.REDIRECT: ("to", "status"),
    FaultName.FAIL: ("variant", "error"),
}
_STATUS_OPTIONS = ("retry_after", "retry_after_date_s", "under_200", "message", "body")


class FaultRule(BaseModel):
    """One fault and when it strikes. Conditions that are left out always hold; several must hold together."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    call: Call
    fault: str = Field(description="A fault by name, an HTTP status of three digits, or an error code of the service of six.")

    nth: int | None = Field(default=None, ge=1, description="Only the n-th call.")
    every: int | None = Field(default=None, ge=1, description="Only each n-th call.")
    first: int | None = Field(default=None, ge=1, description="Only the first calls, so many of them.")
    probability: float | None = Field(default=None, ge=0, le=1, description="The chance that a call is struck.")
    from_s: float | None = Field(default=None, ge=0, description="Only from so many seconds after the start.")
    until_s: float | None = Field(default=None, ge=0, description="Only until so many seconds after the start.")
    contains: str | None = Field(default=None, min_length=1, description="Only where a text of the request's body contains this, whatever the case.")
    model: str | None = Field(default=None, description="Only for this model.")
    per: Literal["simulator", "request"] = Field(default="simulator", description="Whether calls are counted all together or for each request.")

    accepted: bool | None = Field(
        default=None,
        description="Whether the call takes effect; left out: only where its answer is spoilt.",
    )
    retry_after: str | None = Field(default=None, description="The `Retry-After` header: seconds, a date or any text.")
    retry_after_date_s: float | None = Field(default=None, description="A `Retry-After` header with the date so many seconds from the answer.")
    under_200: bool | None = Field(default=None, description="Whether the error comes with HTTP status 200.")
    message: str | None = Field(default=None, description="The error's text.")
    body: str | None = Field(default=None, description="The answer's body, as it is.")
    delay_s: float | None = Field(default=None, ge=0, description="How long to wait.")
    size_bytes: int | None = Field(default=None, ge=1, description="The size of a piece, or of the whole body.")
    keep: float | None = Field(default=None, ge=0, lt=1, description="The part of the body that is sent, from 0 to 1.")
    field: str | None = Field(default=None, min_length=1, description="The field of the answer that is replaced; dots lead inwards.")
    value: Any = Field(default=None, description="What the field is replaced with: JSON, or else text.")
    word: str | None = Field(default=None, description="The status word.")
    to: str | None = Field(default=None, description="Where the redirect leads.")
    status: Literal[301, 302, 303, 307, 308] | None = Field(default=None, description="The status of the redirect.")
    variant: Literal["A", "B"] | None = Field(default=None, description="How the failure is told; the simulator's own setting if left out.")
    error: Any = Field(default=None, description="The result's error: JSON, or else text.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return fields_of(value) if isinstance(value, str) else value

    @field_validator("fault", "retry_after", mode="before")
    @classmethod
    def _numbers_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @field_validator("fault")
    @classmethod
    def _known_fault(cls, value: str) -> str:
        if re.fullmatch(r"[45]\d\d(\d\d\d)?", value) or value in set(FaultName):
            return value
        raise ValueError(
            f"unknown fault {value!r}{_suggestion(value, FaultName)}; allowed: a status from 400 to 599, a code of six digits, {_list(FaultName)}"
        )

    @model_validator(mode="after")
    def _fits_together(self) -> FaultRule:
        name = self.name
        if (name in GENERATION_FAULTS) != (self.call == "generation"):
            raise ValueError(f"{self.fault!r} does not fit the call {self.call!r}: generation faults go with `generation`, all others with calls")
        if name in JSON_FAULTS and self.call == "download":
            raise ValueError(f"{self.fault!r} spoils JSON, and a download has none")
        given = {option for option in self.model_fields_set if getattr(self, option) is not None}
        unfit = sorted(given - {"call", "fault", *CONDITIONS, *self._allowed_options()})
        if unfit:
            raise ValueError(f"{self.fault!r} has no option {_list(unfit)}; allowed: {_list([*CONDITIONS, *self._allowed_options()])}")
        for needed, fault in (("delay_s", FaultName.DELAY), ("to", FaultName.REDIRECT), ("field", FaultName.SET)):
            if name is fault and getattr(self, needed) is None:
                raise ValueError(f"{self.fault!r} needs the option `{needed}`")
        return self

    @property
    def name(self) -> FaultName | None:
        """The fault's name; None where it is a status or a code."""
        return None if self.fault.isdecimal() else FaultName(self.fault)

    @property
    def takes_effect(self) -> bool:
        """Whether the call does what it was sent for, although its answer goes wrong."""
        default = self.name is not None and self.name not in INSTEAD_OF_AN_ANSWER
        return default if self.accepted is None else self.accepted

    @classmethod
    def parse(cls, text: str) -> FaultRule:
        """Read a rule written as one line. Raises `SimulatorError`."""
        try:
            return cls.model_validate(text)
        except ValidationError as error:
            raise SimulatorError(f"fault {text!r}: {explain(error)}") from error

    def _allowed_options(self) -> tuple[str, ...]:
        if self.name is None:
            return ("accepted", *_STATUS_OPTIONS)
        accepted = ("accepted",) if self.name in INSTEAD_OF_AN_ANSWER | NOTHING_OF_THE_ANSWER else ()
        return (*accepted, *_OPTIONS.get(self.name, ()))


def fields_of(text: str) -> dict[str, Any]:
    """The fields of a rule written as one line. Raises `ValueError` with what is wrong."""
    call, _, rest = text.strip().partition(":")
    fault, _, options = rest.partition(":")
    if not call or not fault:
        raise ValueError("a fault reads CALL:FAULT or CALL:FAULT:OPTION=VALUE,…, as in submit:429:first=3,retry_after=2")
    fields: dict[str, Any] = {"call": call.strip(), "fault": fault.strip()}
    for option in re.split(r",\s*(?=[a-z0-9_]+=)", options) if options else ():
        name, equals, value = option.strip().partition("=")
        if not equals:
            raise ValueError(f"{option!r} is no option: write name=value")
        if name in fields:
            raise ValueError(f"`{name}` is given twice")
        if name not in FaultRule.model_fields:
            raise ValueError(f"unknown option `{name}`{_suggestion(name, FaultRule.model_fields)}")
        fields[name] = _json_or_text(value) if name in ("value", "error", "status") else value
    return fields


def explain(error: ValidationError) -> str:
    """A validation error in one line."""
    parts = []
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(step) for step in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {message}" if place else message)
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Occasion:
    """One call, as the rules see it.

    `key` is the request's id, or for a submit the hash of its body; `text` gives what can be searched in its body.
    """

    call: Call
    key: str = ""
    model: str = ""
    text: Callable[[], str] = str


class FaultPlan:
    """The rules with their counters. `started_at` is the time from which rules count seconds."""

    def __init__(self, rules: Sequence[FaultRule], seed: int, started_at: float) -> None:
        self._rules = tuple(rules)
        self._seed = seed
        self._started_at = started_at
        self._counts: Counter[tuple[int, str]] = Counter()

    def strike(self, occasion: Occasion, now: float) -> FaultRule | None:
        """The rule that strikes this call, if any does; counts the call."""
        chosen = None
        for index, rule in enumerate(self._rules):
            if self._applies(rule, occasion, now - self._started_at) and self._is_due(index, rule, occasion.key) and chosen is None:
                chosen = rule
        return chosen

    def _applies(self, rule: FaultRule, occasion: Occasion, elapsed_s: float) -> bool:
        if rule.call != occasion.call and (rule.call != "any" or occasion.call == "generation"):
            return False
        if rule.name in JSON_FAULTS and occasion.call == "download":
            return False
        if (rule.from_s is not None and elapsed_s < rule.from_s) or (rule.until_s is not None and elapsed_s >= rule.until_s):
            return False
        if rule.model is not None and rule.model != occasion.model:
            return False
        return rule.contains is None or rule.contains.casefold() in occasion.text().casefold()

    def _is_due(self, index: int, rule: FaultRule, key: str) -> bool:
        scope = (index, key if rule.per == "request" else "")
        self._counts[scope] += 1
        count = self._counts[scope]
        if (rule.nth is not None and count != rule.nth) or (rule.first is not None and count > rule.first):
            return False
        if rule.every is not None and count % rule.every:
            return False
        return rule.probability is None or self._chance(index, key) < rule.probability

    def _chance(self, index: int, key: str) -> float:
        """A number from 0 to 1 that depends on the call itself and not on the order in which calls of different requests arrive."""
        scope = (-1 - index, key)
        self._counts[scope] += 1
        digest = hashlib.sha256(f"{self._seed}/{index}/{key}/{self._counts[scope]}".encode()).digest()
        return int.from_bytes(digest[:8]) / 2**64


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _suggestion(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, [str(name) for name in known], n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _list(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)
