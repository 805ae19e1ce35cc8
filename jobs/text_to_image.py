"""Draws pictures from text, with the model of one's choice."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from batcher.definition import ModelInput
from jobs.choice import Choice, ModelChoice
from jobs.models.fields import Prompt, Ratio
from jobs.models.gpt_image import GptImageInput
from jobs.models.nano_banana import NanoBananaInput


class TextToImage(ModelChoice):
    """Draws a picture from a text.

    Neither model takes a seed: to get several pictures of one text, say in the text what tells them apart.
    """

    choices: ClassVar[tuple[Choice, ...]] = (
        Choice("nano-banana-2-lite", "google/nano-banana-2-lite/text-to-image", NanoBananaInput),
        Choice("gpt-image-2", "openai/gpt-image-2/text-to-image", GptImageInput),
    )
    inputs: ClassVar[tuple[type[ModelInput], ...]] = (NanoBananaInput, GptImageInput)
    example: ClassVar[dict[str, Any]] = {"prompt": "a lighthouse at dusk, watercolour", "model": "nano-banana-2-lite", "aspect_ratio": "3:2"}

    prompt: Prompt = Field(description="What the picture shows.")
    model: Literal[
        "nano-banana-2-lite",
        "gpt-image-2",
        "google/nano-banana-2-lite/text-to-image",
        "openai/gpt-image-2/text-to-image",
    ] = Field(default="nano-banana-2-lite", description="The model, by its short name or its full id.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height of the picture.")
    resolution: Literal["1K", "2K", "4K", "1k", "2k", "4k"] | None = Field(default=None, description="Size of the picture. Known to gpt-image-2.")
    quality: Literal["low", "medium", "high"] | None = Field(default=None, description="How much work goes into the picture. Known to gpt-image-2.")
    output_format: Literal["png", "jpeg", "webp"] | None = Field(default=None, description="File format of the picture. Known to gpt-image-2.")
