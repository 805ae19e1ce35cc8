"""Seedream 5.0 Pro by ByteDance: edits of up to ten images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from batcher.definition import ModelInput
from jobs.models.fields import Images, Prompt, Ratio


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class SeedreamInput(ModelInput):
    """The input of Seedream 5.0 Pro."""

    models: ClassVar[tuple[str, ...]] = ("bytedance/seedream-5.0-pro/image-to-image",)

    prompt: Prompt = Field(description="What is to be made of the images.")
    image: Images = Field(description="The images to work from, one to ten.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height of the result. The service takes 1:1 if left out.")
    resolution: Annotated[Literal["1K", "2K"], BeforeValidator(_upper)] | None = Field(
        default=None, description="Size of the result. The service takes 2K if left out."
    )
    output_format: Literal["png", "jpeg"] | None = Field(default=None, description="File format of the result.")
