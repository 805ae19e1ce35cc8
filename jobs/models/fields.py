"""The kinds of fields that several models share."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from batcher.definition import ImageRef

Prompt: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text for the model; never empty."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Images: TypeAlias = Annotated[list[ImageRef], BeforeValidator(_as_list), Field(min_length=1, max_length=10)]
"""One to ten images; a single one may be written without the list."""

_RATIO = r"^(auto|adaptive|[1-9]\d?:[1-9]\d?)$"


def _ratio(value: str) -> str:
    if not re.fullmatch(_RATIO, value):
        raise PydanticCustomError("aspect_ratio", "an aspect ratio is written as width:height, for example 16:9")
    return value


Ratio: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True), AfterValidator(_ratio), Field(json_schema_extra={"pattern": _RATIO, "examples": ["16:9", "1:1"]})
]
"""A width to a height as in `16:9`, for models whose list of ratios is not published."""
