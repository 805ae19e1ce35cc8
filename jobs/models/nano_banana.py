"""Nano Banana 2 Lite by Google: pictures from text, and edits of up to ten images."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from batcher.definition import ModelInput
from jobs.models.fields import Images, Prompt

NanoBananaRatio: TypeAlias = Literal["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "4:1", "1:4", "8:1", "1:8"]
"""The aspect ratios that Nano Banana 2 Lite knows."""


class NanoBananaEditInput(ModelInput):
    """The input of Nano Banana 2 Lite for edits."""

    models: ClassVar[tuple[str, ...]] = ("google/nano-banana-2-lite/edit",)

    prompt: Prompt = Field(description="What is to be made of the images.")
    image_urls: Images = Field(description="The images to work from, one to ten.")
    aspect_ratio: NanoBananaRatio | None = Field(default=None, description="Width to height of the result. The service takes auto if left out.")


class NanoBananaInput(ModelInput):
    """The input of Nano Banana 2 Lite for pictures from text."""

    models: ClassVar[tuple[str, ...]] = ("google/nano-banana-2-lite/text-to-image",)

    prompt: Prompt = Field(description="What the picture shows.")
    aspect_ratio: NanoBananaRatio | None = Field(default=None, description="Width to height of the result. The service takes auto if left out.")
