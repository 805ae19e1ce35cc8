"""Ideogram v3: puts the subject of an image before another background."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from batcher.definition import ImageRef, ModelInput
from jobs.models.fields import Prompt


class IdeogramReplaceBackgroundInput(ModelInput):
    """The input of Ideogram v3 for the replacement of a background."""

    models: ClassVar[tuple[str, ...]] = ("ideogram/ideogram-v3/replace-background",)

    prompt: Prompt = Field(description="What the new background shows.")
    image: ImageRef = Field(description="The image whose background is replaced.")
