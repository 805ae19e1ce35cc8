"""GPT Image 2 by OpenAI: pictures from text, and edits of up to ten images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from batcher.definition import ModelInput
from jobs.models.fields import Images, Prompt, Ratio


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class GptImageInput(ModelInput):
    """The input of GPT Image 2 for pictures from text."""

    models: ClassVar[tuple[str, ...]] = ("openai/gpt-image-2/text-to-image",)

    prompt: Prompt = Field(description="What the picture shows.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height of the result. The service takes 1:1 if left out.")
    resolution: Annotated[Literal["1k", "2k", "4k"], BeforeValidator(_lower)] | None = Field(default=None, description="Size of the result.")
    quality: Literal["low", "medium", "high"] | None = Field(default=None, description="How much work goes into the result; the price rises with it.")
    output_format: Literal["png", "jpeg", "webp"] | None = Field(default=None, description="File format of the result.")


class GptImageEditInput(GptImageInput):
    """The input of GPT Image 2 for edits."""

    models: ClassVar[tuple[str, ...]] = ("openai/gpt-image-2/edit",)

    images: Images = Field(description="The images to work from, one to ten.")
