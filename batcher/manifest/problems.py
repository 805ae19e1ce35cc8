"""Faults in plain words: what was expected, what was found, and what was probably meant."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from batcher.errors import Problem
from batcher.model import Where
from batcher.naming import nearest

Loc: TypeAlias = tuple[int | str, ...]

SHOWN_CHARACTERS = 80
SHOWN_NAMES = 24

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "none_required": "null",
    "url_parsing": "a web address",
    "url_type": "a web address",
}
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def problems_from(error: ValidationError, *, where: Callable[[Loc], Where], model: type[BaseModel]) -> list[Problem]:
    """A pydantic error as problems in plain words, one for each fault.

    `where` tells the place of a path into the data, or of the nearest thing above it where the path itself is missing; `model` is the model that was
    validated, for what is allowed. The members of a union that did not fit become one problem.
    """
    faults = [_Fault.of(details, model) for details in error.errors(include_url=False)]
    return [_problem(group, where) for group in _by_union(faults)]


def unknown_key(name: str, allowed: Iterable[str], where: Where, *, noun: str = "key", field: str | None = None) -> Problem:
    """The problem of a name that nothing knows, with those that there are and the one that was probably meant."""
    names = list(allowed)
    message = f"not a known {noun}; allowed: {listed(names)}" if names else f"not a known {noun}; none is allowed here"
    return Problem(where, message, field=shortened(name) if field is None else field, hint=did_you_mean(name, names))


def did_you_mean(found: object, allowed: Iterable[str]) -> str:
    """A question that names the nearest of `allowed`, or nothing."""
    guess = nearest(found, allowed) if isinstance(found, str) else None
    return f"did you mean {guess!r}?" if guess is not None else ""


def listed(names: Sequence[object]) -> str:
    """Names as a list for a message, cut where it grows long."""
    shown = ", ".join(shortened(str(name)) for name in names[:SHOWN_NAMES])
    return f"{shown} … ({len(names)} in all)" if len(names) > SHOWN_NAMES else shown


def shown_value(value: object) -> str:
    """A value as a person wrote it, cut to about 80 characters."""
    if isinstance(value, str):
        return shortened(repr(value[: SHOWN_CHARACTERS + 2]))
    if isinstance(value, (dict, list, tuple)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}" if len(value) > 20 else shortened(_as_json(value))
    return shortened(_as_json(value))


def shortened(text: str) -> str:
    """A text on one line, cut to about 80 characters."""
    line = " ".join(text[: 4 * SHOWN_CHARACTERS].split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


def field_name(loc: Loc) -> str:
    """A path into the data as one word: `run.concurrency`, `image_urls[2]`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return shortened(text)


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return type(value).__name__


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of pydantic, with its path into the data; `union` is the path of the union of which it tells one member's side, if any."""

    details: ErrorDetails
    loc: Loc
    union: Loc | None
    annotations: tuple[Any, ...]

    @classmethod
    def of(cls, details: ErrorDetails, model: type[BaseModel]) -> _Fault:
        """Walk the model along the error's own path, in which names of union members stand between keys and indices."""
        is_extra = details["type"] == "extra_forbidden"
        loc: Loc = ()
        union: Loc | None = None
        here: list[Any] = [model]
        for part in details["loc"][:-1] if is_extra else details["loc"]:
            following = [step for annotation in here for step in _steps(annotation, part)]
            if following:
                loc, here = (*loc, part), following
            elif union is None:
                union = loc
        return cls(details, (*loc, details["loc"][-1]) if is_extra else loc, union, tuple(here))

    @property
    def allowed(self) -> list[Any]:
        """The values of a literal or an enumeration."""
        return [value for annotation in self.annotations for member in _members(annotation) for value in _choices(member)]

    @property
    def keys(self) -> list[str]:
        """The names of the model whose key is not known."""
        members = [member for annotation in self.annotations for member in _members(annotation)]
        return [name for member in members if _is_model(member) for name in member.model_fields]

    @property
    def expected(self) -> str:
        """What would be right, as it follows the word `expected`; empty where the message has another form."""
        kind = self.details["type"]
        if kind in ("literal_error", "enum"):
            return _one_of(self.allowed) if self.allowed else str(self.details.get("ctx", {}).get("expected", "another value"))
        members = [member for annotation in self.annotations for member in _members(annotation)]
        noun = ("a number" if float in members else "a whole number") if kind in _BOUNDS else _KINDS.get(kind, "")
        if noun in ("a number", "a whole number"):
            noun += _range([mark for annotation in self.annotations for mark in _metadata(annotation)])
        return noun


def _problem(faults: Sequence[_Fault], where: Callable[[Loc], Where]) -> Problem:
    first = faults[0]
    details = first.details
    place, field, found = where(first.loc), field_name(first.loc) or None, details["input"]
    if details["type"] == "missing":
        return Problem(place, "required, but missing", field=field)
    if details["type"] == "extra_forbidden":
        return unknown_key(str(first.loc[-1]), first.keys, place, field=field)
    expectations = list(dict.fromkeys(fault.expected for fault in faults if fault.expected))
    hint = did_you_mean(found, [str(value) for fault in faults for value in fault.allowed])
    if expectations:
        return Problem(place, f"expected {' or '.join(expectations)}; found {shown_value(found)}", field=field, hint=hint)
    return Problem(place, f"{_sentence(details)}; found {shown_value(found)}", field=field, hint=hint)


def _sentence(details: ErrorDetails) -> str:
    """The message of an error that has no expectation of its own."""
    ctx = details.get("ctx", {})
    if details["type"] in ("string_too_short", "string_too_long"):
        short = details["type"].endswith("short")
        if short and ctx["min_length"] == 1:
            return "expected some text"
        return f"expected at {'least' if short else 'most'} {ctx['min_length' if short else 'max_length']} characters"
    if details["type"] in ("too_short", "too_long"):
        short = details["type"] == "too_short"
        limit = ctx["min_length" if short else "max_length"]
        return f"expected at {'least' if short else 'most'} {limit} {'value' if limit == 1 else 'values'}"
    if details["type"] == "string_pattern_mismatch":
        return f"expected text of the form {ctx['pattern']}"
    if details["type"] in ("value_error", "assertion_error"):
        return str(ctx["error"])
    message = details["msg"]
    return message[:1].lower() + message[1:]


def _by_union(faults: Sequence[_Fault]) -> list[list[_Fault]]:
    """The faults in order, those of one union together: of its members the one that fits best, which is the one that failed deepest."""
    groups: dict[Loc | int, list[_Fault]] = {}
    for n, fault in enumerate(faults):
        groups.setdefault(n if fault.union is None else fault.union, []).append(fault)
    result: list[list[_Fault]] = []
    for group in groups.values():
        depth = max(len(fault.loc) for fault in group)
        deepest = [fault for fault in group if len(fault.loc) == depth]
        by_place: dict[Loc, list[_Fault]] = {}
        for fault in deepest:
            by_place.setdefault(fault.loc, []).append(fault)
        result += by_place.values()
    return result


def _one_of(allowed: Sequence[Any]) -> str:
    values = [value.value if isinstance(value, Enum) else value for value in allowed]
    return str(values[0]) if len(values) == 1 else f"one of {listed(values)}"


def _range(marks: Sequence[object]) -> str:
    """The bounds among the marks of an annotation, as they follow the word `number`."""
    bounds = {type(mark).__name__: _plain(getattr(mark, type(mark).__name__.lower())) for mark in marks if isinstance(mark, (Ge, Gt, Le, Lt))}
    if bounds.keys() == {"Ge", "Le"}:
        return f" from {bounds['Ge']} to {bounds['Le']}"
    words = {"Ge": "of at least", "Gt": "greater than", "Le": "of at most", "Lt": "less than"}
    said = " and ".join(f"{words[kind]} {bound}" for kind, bound in bounds.items())
    return f" {said}" if said else ""


def _plain(bound: Any) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)


def _steps(annotation: Any, part: int | str) -> list[Any]:
    """What may stand below an annotation under one key or index; nothing where the part is only the name of a member of a union."""
    following: list[Any] = []
    for member in _members(annotation):
        if _is_model(member):
            following += [info for name, info in member.model_fields.items() if part in (name, info.alias, info.validation_alias)]
            continue
        origin, arguments = get_origin(member), get_args(member)
        if isinstance(part, int) and isinstance(origin, type) and issubclass(origin, (list, tuple, set, frozenset, Sequence)):
            following += arguments[:1]
        elif isinstance(part, str) and isinstance(origin, type) and issubclass(origin, dict) and len(arguments) == 2:
            following.append(arguments[1])
    return following


def _members(annotation: Any) -> list[Any]:
    """The types that an annotation stands for, unions and annotations opened."""
    if isinstance(annotation, FieldInfo):
        return _members(annotation.annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [plain for member in get_args(annotation) for plain in _members(member)]
    return [annotation]


def _metadata(annotation: Any) -> list[object]:
    """The marks that are put on an annotation, wherever they are written."""
    if isinstance(annotation, FieldInfo):
        return [*annotation.metadata, *_metadata(annotation.annotation)]
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        return [*(each for mark in marks for each in (mark.metadata if isinstance(mark, FieldInfo) else [mark])), *_metadata(inner)]
    if origin in (Union, types.UnionType):
        return [mark for member in get_args(annotation) for mark in _metadata(member)]
    return []


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    return ()


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
