"""FLUX.1 Kontext by Black Forest Labs: edits one image by instruction."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from batcher.definition import AspectRatio, ImageRef, ModelInput, Seed
from jobs.models.fields import Prompt


class KontextInput(ModelInput):
    """The input of FLUX.1 Kontext, in both its sizes."""

    models: ClassVar[tuple[str, ...]] = ("blackforestlabs/flux-1-kontext/max/edit", "blackforestlabs/flux-1-kontext/pro/edit")

    prompt: Prompt = Field(description="What is to change in the image, and what is to stay.")
    image_url: ImageRef = Field(description="The image to edit.")
    seed: Seed | None = Field(default=None, description="The same seed makes the same picture again. The service takes 40123778 if left out.")
    aspect_ratio: AspectRatio | None = Field(default=None, description="Width to height of the result. The service takes 16:9 if left out.")
