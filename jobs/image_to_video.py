"""Sets pictures in motion, with the model of one's choice."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from batcher.definition import ImageRef, ModelInput, Seed
from jobs.choice import Choice, ModelChoice
from jobs.models.fields import Prompt, Ratio
from jobs.models.video import KlingInput, SeedanceInput, WanInput


class ImageToVideo(ModelChoice):
    """Makes a video that begins with a picture. Videos are charged by the second: a row may cost several dollars."""

    choices: ClassVar[tuple[Choice, ...]] = (
        Choice("seedance-2.5", "bytedance/seedance-2.5/image-to-video/1080p", SeedanceInput),
        Choice("wan-3.0", "wan-ai/wan-3.0/image-to-video", WanInput, {"image": "image_url", "end_image": "end_image_url"}),
    )
    inputs: ClassVar[tuple[type[ModelInput], ...]] = (SeedanceInput, WanInput, KlingInput)
    main_media_field: ClassVar[str | None] = "image"
    example: ClassVar[dict[str, Any]] = {
        "image": "photos/watch.jpg",
        "prompt": "the camera circles the watch slowly while light glides over the case",
        "model": "wan-3.0",
        "duration": 5,
        "resolution": "720p",
    }

    image: ImageRef = Field(description="The first picture of the video: a path relative to the manifest, or an https address.")
    prompt: Prompt = Field(description="What happens in the video.")
    model: Literal[
        "seedance-2.5",
        "wan-3.0",
        "bytedance/seedance-2.5/image-to-video/1080p",
        "wan-ai/wan-3.0/image-to-video",
    ] = Field(default="wan-3.0", description="The model, by its short name or its full id.")
    duration: Annotated[int, Field(ge=2, le=30)] | None = Field(default=None, description="Length in seconds: seedance-2.5 4 to 30, wan-3.0 2 to 30.")
    end_image: ImageRef | None = Field(default=None, description="The last picture of the video. Known to wan-3.0.")
    aspect_ratio: Ratio | None = Field(default=None, description="Width to height of the video. Known to wan-3.0.")
    resolution: Literal["480p", "720p", "1080p"] | None = Field(
        default=None, description="Height of the video in lines. Known to wan-3.0; seedance-2.5 always makes 1080p."
    )
    seed: Seed | None = Field(default=None, description="The same seed makes the same video again. Known to wan-3.0.")
    generate_audio: bool | None = Field(default=None, description="Whether sound is made too. Known to seedance-2.5.")
