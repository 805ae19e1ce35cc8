"""Puts the subject of a picture before another background."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from batcher.definition import AspectRatio, Definition, ImageRef, ModelInput, Request, Seed
from jobs.models.fields import Prompt
from jobs.models.flux import KontextInput
from jobs.models.ideogram import IdeogramReplaceBackgroundInput


class BackgroundReplacement(Definition):
    """Keeps the subject of a picture and gives it a new background; the prompt is made from the fields."""

    inputs: ClassVar[tuple[type[ModelInput], ...]] = (KontextInput, IdeogramReplaceBackgroundInput)
    main_media_field: ClassVar[str | None] = "image"
    example: ClassVar[dict[str, Any]] = {
        "image": "photos/mug.jpg",
        "background": "a moody nighttime city street",
        "details": "add light rain and glossy reflections on the ground",
        "lighting": "enhance contrast with warm shop lights and cool ambient tones",
        "aspect_ratio": "1:1",
    }

    image: ImageRef = Field(description="The picture whose subject is kept: a path relative to the manifest, or an https address.")
    background: Prompt = Field(description="What the new background shows, as it follows the words `Replace the background with`.")
    keep: Prompt = Field(
        default="the subject and its pose", description="What must not change, as it stands between the words `keep` and `unchanged`."
    )
    details: Prompt | None = Field(default=None, description="Further wishes, as an instruction: `add light rain`.")
    lighting: Prompt | None = Field(default=None, description="How the scene is lit, as an instruction: `light it softly from the left`.")
    seed: Seed | None = Field(default=None, description="The same seed makes the same picture again; `random` draws one when the batch is planned.")
    aspect_ratio: AspectRatio | None = Field(default=None, description="Width to height of the result. The service takes 16:9 if left out.")
    model: Literal["max", "pro"] = Field(
        default="max", description="The size of FLUX.1 Kontext: `max` follows the prompt better, `pro` costs about half."
    )

    @property
    def prompt(self) -> str:
        """The instruction that the model is given."""
        wishes = (f"Replace the background with {_phrase(self.background)}", f"keep {_phrase(self.keep)} unchanged", self.details, self.lighting)
        return "; ".join(_phrase(wish) for wish in wishes if wish is not None)

    def request(self) -> Request:
        """The row as a request to FLUX.1 Kontext."""
        given = {name: value for name in ("seed", "aspect_ratio") if (value := getattr(self, name)) is not None}
        body = KontextInput(prompt=self.prompt, image_url=self.image, **given).body()
        return Request(model=f"blackforestlabs/flux-1-kontext/{self.model}/edit", body=body)


def _phrase(text: str) -> str:
    """A part of the prompt on one line, without the punctuation that would end it."""
    return " ".join(text.split()).rstrip(" .;,")
