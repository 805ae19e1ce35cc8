"""JSON as the standard has it, without what Python's reader lets pass."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import NoReturn

from batcher.model import Json

DEPTH_LIMIT = 50
"""How deep lists and objects may be nested."""
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1

_NOT_A_CHARACTER = re.compile("[\0\ud800-\udfff]")


class JsonError(ValueError):
    """A text that is not the JSON we take; `column` counts characters from 1 and is None where the place is not known."""

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


def decode(text: str) -> Json:
    """The value of a JSON text. Raises `JsonError` also for duplicate keys, NaN, numbers out of range, half characters and absurd depth."""
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise JsonError(f"not valid JSON: {message}", error.pos + 1) from error
    except RecursionError:
        raise JsonError(f"nested more than {DEPTH_LIMIT} deep") from None
    if text.count("[") + text.count("{") > DEPTH_LIMIT:
        _check_depth(value)
    if "\\u" in text:
        _check_characters(value)
    return value


def checked_integer(text: str) -> int:
    """A whole number that fits into 64 bits. Raises `JsonError`."""
    value = int(text) if len(text) <= 21 else INTEGER_MAX + 1
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise JsonError(f"the whole number {_cut(text)} needs more than 64 bits")
    return value


def checked_float(text: str) -> float:
    """A number that a double can hold. Raises `JsonError`."""
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"the number {_cut(text)} is too large")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}… ({len(text)} characters)"


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise JsonError(f"the key {_cut(twice)!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not a JSON number")


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        level = [item for each in level if isinstance(each, (dict, list)) for item in (each.values() if isinstance(each, dict) else each)]
    if level:
        raise JsonError(f"nested more than {DEPTH_LIMIT} deep")


def _check_characters(value: Json) -> None:
    if isinstance(value, str):
        if found := _NOT_A_CHARACTER.search(value):
            what = "a NUL character" if found[0] == "\0" else "half of a character (a lone surrogate)"
            raise JsonError(f"{what}, written as \\u{ord(found[0]):04x}")
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_characters(name)
            _check_characters(item)
    elif isinstance(value, list):
        for item in value:
            _check_characters(item)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=checked_integer, parse_float=checked_float)
