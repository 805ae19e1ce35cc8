"""Checks a request body against a model's input schema, the way the service does: every fault, field by field, in one answer."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batcher.simulator.catalog import Field, ModelCard

DATA_URI = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,", re.IGNORECASE)
WEB_URL = re.compile(r"https?://[^/\s]+", re.IGNORECASE)

Detail = dict[str, object]


def faults_of(card: ModelCard, body: object, *, accept_data_uris: bool) -> list[Detail]:
    """What is wrong with `body`, in the shape of a validation error of the service; empty if nothing is."""
    if not isinstance(body, Mapping):
        return [_detail((), "Input should be a valid dictionary", "dict_type")]
    return list(_faults(card, body, accept_data_uris))


def decode_data_uri(uri: str) -> bytes | None:
    """The bytes of a base64 data URI; None if it is not one, or broken."""
    found = DATA_URI.match(uri)
    if found is None:
        return None
    try:
        return binascii.a2b_base64(uri[found.end() :].encode(), strict_mode=True)
    except (binascii.Error, ValueError):
        return None


def _faults(card: ModelCard, body: Mapping[str, Any], accept_data_uris: bool) -> Iterator[Detail]:
    for name in card.required:
        if name not in body:
            yield _detail((name,), "Field required", "missing")
    for name, value in body.items():
        field = card.fields.get(name)
        if field is None:
            if not card.open_ended:
                yield _detail((name,), "Extra inputs are not permitted", "extra_forbidden")
        elif value is None and "default" in field and field["default"] is None:
            continue
        elif not card.open_ended or field.get("format"):
            yield from _field_faults(name, value, field, accept_data_uris, open_ended=card.open_ended)


def _field_faults(name: str, value: Any, field: Field, accept_data_uris: bool, *, open_ended: bool) -> Iterator[Detail]:
    if open_ended and field["type"] == "string" and isinstance(value, list):
        field = field | {"type": "array", "format": "image_uris"}
    word, fits = _TYPES[field["type"]]
    if not fits(value):
        yield _detail((name,), f"Input should be a valid {word}", f"{word}_type")
        return
    if "enum" in field and value not in field["enum"]:
        allowed = ", ".join(repr(choice) for choice in field["enum"])
        yield _detail((name,), f"Input should be one of {allowed}", "enum")
    if name == "prompt" and not value.strip():
        yield _detail((name,), "String should have at least 1 character", "string_too_short")
    yield from _range_faults(name, value, field)
    if field.get("format") == "image_uri":
        yield from _media_faults((name,), value, accept_data_uris)
    elif field.get("format") == "image_uris":
        for index, item in enumerate(value):
            yield from _media_faults((name, index), item, accept_data_uris)


def _range_faults(name: str, value: Any, field: Field) -> Iterator[Detail]:
    if "minimum" in field and value < field["minimum"]:
        yield _detail((name,), f"Input should be greater than or equal to {field['minimum']}", "greater_than_equal")
    if "maximum" in field and value > field["maximum"]:
        yield _detail((name,), f"Input should be less than or equal to {field['maximum']}", "less_than_equal")
    if "minItems" in field and len(value) < field["minItems"]:
        yield _detail((name,), f"List should have at least {field['minItems']} item", "too_short")
    if "maxItems" in field and len(value) > field["maxItems"]:
        yield _detail((name,), f"List should have at most {field['maxItems']} items", "too_long")


def _media_faults(place: tuple[str | int, ...], value: Any, accept_data_uris: bool) -> Iterator[Detail]:
    if not isinstance(value, str):
        yield _detail(place, "Input should be a valid string", "string_type")
    elif value[:5].lower() == "data:":
        if not accept_data_uris:
            yield _detail(place, "URL scheme should be 'http' or 'https'", "url_scheme")
        elif not decode_data_uri(value):
            yield _detail(place, "Input should be a valid base64 data URI", "data_uri")
    elif not WEB_URL.match(value):
        yield _detail(place, "Input should be a valid URL", "url_parsing")


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("string", lambda value: isinstance(value, str)),
    "integer": ("integer", _is_integer),
    "float": ("number", _is_number),
    "boolean": ("boolean", lambda value: isinstance(value, bool)),
    "array": ("list", lambda value: isinstance(value, list)),
}


def _detail(place: tuple[str | int, ...], message: str, kind: str) -> Detail:
    return {"loc": ["body", *place], "msg": message, "type": kind}
