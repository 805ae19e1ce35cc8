"""Edits pictures by instruction, with the model of one's choice."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from pydantic_core import InitErrorDetails, PydanticCustomError

from batcher.definition import ModelInput, Seed
from jobs.choice import Choice, ModelChoice
from jobs.models.fields import Images, Prompt, Ratio
from jobs.models.flux import KontextInput
from jobs.models.gpt_image import GptImageEditInput
from jobs.models.nano_banana import NanoBananaEditInput
from jobs.models.seedream import SeedreamInput


class ImageEdit(ModelChoice):
    """Changes one picture, or makes one of several, as an instruction says."""

    choices: ClassVar[tuple[Choice, ...]] = (
        Choice("kontext-max", "blackforestlabs/flux-1-kontext/max/edit", KontextInput, {"image": "image_url"}),
        Choice("kontext-pro", "blackforestlabs/flux-1-kontext/pro/edit", KontextInput, {"image": "image_url"}),
        Choice("nano-banana-2-lite", "google/nano-banana-2-lite/edit", NanoBananaEditInput, {"image": "image_urls"}),
        Choice("seedream-5.0-pro", "bytedance/seedream-5.0-pro/image-to-image", SeedreamInput),
        Choice("gpt-image-2", "openai/gpt-image-2/edit", GptImageEditInput, {"image": "images"}),
    )
    inputs: ClassVar[tuple[type[ModelInput], ...]] = (KontextInput, NanoBananaEditInput, SeedreamInput, GptImageEditInput)
    main_media_field: ClassVar[str | None] = "image"
    example: ClassVar[dict[str, Any]] = {
        "image": "photos/vase.jpg",
        "prompt": "Put a single white tulip into the vase; keep everything else unchanged",
        "model": "nano-banana-2-lite",
        "aspect_ratio": "1:1",
    }

    image: Images = Field(
        description="The picture to edit, or up to ten of them for the models that take several: paths relative to the manifest, or https."
    )
    prompt: Prompt = Field(description="The instruction: what is to change, and what is to stay.")
    model: Literal[
        "kontext-max",
        "kontext-pro",
        "nano-banana-2-lite",
        "seedream-5.0-pro",
        "gpt-image-2",
        "blackforestlabs/flux-1-kontext/max/edit",
        "blackforestlabs/flux-1-kontext/pro/edit",
        "google/nano-banana-2-lite/edit",
        "bytedance/seedream-5.0-pro/image-to-image",
        "openai/gpt-image-2/edit",
    ] = Field(default="kontext-max", description="The model, by its short name or its full id.")
    seed: Seed | None = Field(default=None, description="The same seed makes the same picture again. Known to kontext-max and kontext-pro.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height of the result.")
    resolution: Literal["1K", "2K", "4K", "1k", "2k", "4k"] | None = Field(
        default=None, description="Size of the result. Known to seedream-5.0-pro (1K, 2K) and gpt-image-2 (1k, 2k, 4k)."
    )
    quality: Literal["low", "medium", "high"] | None = Field(default=None, description="How much work goes into the result. Known to gpt-image-2.")
    output_format: Literal["png", "jpeg", "webp"] | None = Field(
        default=None, description="File format of the result. Known to seedream-5.0-pro (png, jpeg) and gpt-image-2 (png, jpeg, webp)."
    )

    def given(self) -> dict[str, Any]:
        """The fields that the row gives; a single picture stands without its list where the model takes no list."""
        values = super().given()
        return values | {"image": self.image[0]} if self._takes_one_image and len(self.image) == 1 else values

    def faults(self) -> list[InitErrorDetails]:
        """What the chosen model does not take of the row: several pictures among it."""
        if not self._takes_one_image or len(self.image) == 1:
            return super().faults()
        several = ", ".join(one.name for one in self.choices if one.input is not KontextInput)
        message = PydanticCustomError(
            "too_many_images", "{model} takes one picture; {several} take up to ten", {"model": self.choice.name, "several": several}
        )
        return [InitErrorDetails(type=message, loc=("image",), input=self.image)]

    @property
    def _takes_one_image(self) -> bool:
        return self.choice.input is KontextInput
