"""The models that make videos: Seedance 2.5, Wan 3.0 and Kling 3.0."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from batcher.definition import ImageRef, ModelInput, Seed
from jobs.models.fields import Prompt, Ratio


class SeedanceInput(ModelInput):
    """The input of Seedance 2.5 by ByteDance: a video that begins with an image."""

    models: ClassVar[tuple[str, ...]] = ("bytedance/seedance-2.5/image-to-video/1080p",)

    prompt: Prompt = Field(description="What happens in the video.")
    image: ImageRef = Field(description="The first picture of the video.")
    duration: Annotated[int, Field(ge=4, le=30)] | None = Field(
        default=None, description="Length in seconds, 4 to 30. The service takes 5 if left out. It is charged by the second."
    )
    generate_audio: bool | None = Field(default=None, description="Whether sound is made too. The service takes true if left out.")


class WanInput(ModelInput):
    """The input of Wan 3.0: a video that begins with an image, and may end with another."""

    models: ClassVar[tuple[str, ...]] = ("wan-ai/wan-3.0/image-to-video",)

    prompt: Prompt = Field(description="What happens in the video.")
    image_url: ImageRef = Field(description="The first picture of the video.")
    end_image_url: ImageRef | None = Field(default=None, description="The last picture of the video.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height. The service takes adaptive, that of the image, if left out.")
    resolution: Literal["480p", "720p", "1080p"] | None = Field(default=None, description="Height of the video in lines.")
    duration: Annotated[int, Field(ge=2, le=30)] | None = Field(default=None, description="Length in seconds, 2 to 30.")
    seed: Seed | None = Field(default=None, description="The same seed makes the same video again.")


class KlingInput(ModelInput):
    """The input of Kling 3.0 for videos from text."""

    models: ClassVar[tuple[str, ...]] = ("kling/kling-3.0/standard/text-to-video",)

    prompt: Prompt = Field(description="What the video shows.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height of the video.")
    cfg_scale: Annotated[float, Field(ge=0, le=1)] | None = Field(default=None, description="How closely the prompt is followed, 0 to 1.")
    duration: Annotated[int, Field(ge=3, le=15)] | None = Field(default=None, description="Length in seconds, 3 to 15.")
    negative_prompt: str | None = Field(default=None, description="What the video is not to show.")
