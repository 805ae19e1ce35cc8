"""The models that the simulator offers: their input schemas, quirks included, what they cost and how long they take.

Field names, required fields, ranges and enums are those that are known of the real models; where nothing is known of a price it is a plausible one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Field = dict[str, Any]
Task = Literal["edit", "text", "video"]

KONTEXT_RATIOS = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")
BANANA_RATIOS = ("auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "4:1", "1:4", "8:1", "1:8")
COMMON_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3", "21:9")
SEED_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model: what the catalog says of it, and what the simulator needs to act it out.

    `base_price_usd` is per `price_unit`: a second of video, or an output. `image_format` is what its pictures are drawn in where the body does not
    ask for one. A model that is `open_ended` takes fields that its schema does not name.
    """

    model_id: str
    display_name: str
    description: str
    task: Task
    kind: str
    base_price_usd: float
    price_unit: Literal["output", "image", "second"]
    latency_s: float
    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    image_format: Literal["png", "jpeg", "webp"] = "png"
    pricing_note: str = ""
    open_ended: bool = field(default=False)

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of the request body, as the catalog shows it."""
        return {"type": "object", "title": f"{self.display_name} input", "properties": dict(self.fields), "required": list(self.required)}

    def price_usd(self, body: Mapping[str, Any], unit_price_usd: float, outputs: int) -> float:
        """What a request with `body` costs that brings `outputs` files."""
        if self.price_unit == "second":
            return round(unit_price_usd * self.duration_s(body), 6)
        return round(unit_price_usd * outputs, 6)

    def duration_s(self, body: Mapping[str, Any]) -> float:
        """How long the video is that `body` asks for."""
        duration = self.value(body, "duration")
        return float(duration) if isinstance(duration, (int, float)) else 5.0

    def value(self, body: Mapping[str, Any], name: str) -> Any:
        """A field of `body`, or the model's own default for it."""
        value = body.get(name)
        return self.fields.get(name, {}).get("default") if value is None else value

    def media_fields(self) -> Iterable[str]:
        """The fields that name images, in the schema's order."""
        return (name for name, schema in self.fields.items() if schema.get("format") in ("image_uri", "image_uris"))


def _text(description: str, **more: Any) -> Field:
    return {"type": "string", "description": description, **more}


def _choice(values: Sequence[str], default: str | None) -> Field:
    return {"type": "string", "enum": list(values), "default": default}


def _integer(low: int, high: int, default: int | None) -> Field:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def _image(description: str = "URL of the image", **more: Any) -> Field:
    return {"type": "string", "format": "image_uri", "description": description, "validations": [_size_rule()], **more}


def _images() -> Field:
    # No `items`: the real schemas leave it out.
    return {
        "type": "array",
        "format": "image_uris",
        "description": "URLs of the images",
        "minItems": 1,
        "maxItems": 10,
        "validations": [_size_rule()],
    }


def _size_rule() -> Field:
    return {"validation_rule": "file_size_mb<", "validation_value": 50, "validation_error": "The image must be smaller than 50 MB."}


def _kontext(tier: str, price_usd: float) -> ModelCard:
    return ModelCard(
        model_id=f"blackforestlabs/flux-1-kontext/{tier}/edit",
        display_name=f"FLUX.1 Kontext {tier} edit",
        description="Edits an image as a sentence says; keeps what it is not told to change.",
        task="edit",
        kind="image-to-image",
        categories=("image", "edit"),
        base_price_usd=price_usd,
        price_unit="image",
        latency_s=25.0 if tier == "max" else 18.0,
        image_format="jpeg",
        fields={
            "prompt": _text("What to change"),
            "image_url": _image(),
            "seed": _integer(0, SEED_MAX, 40123778),
            "aspect_ratio": _choice(KONTEXT_RATIOS, "16:9"),
        },
        required=("prompt", "image_url"),
    )


def _nano_banana() -> Iterable[ModelCard]:
    common: dict[str, Any] = {"categories": ("image",), "base_price_usd": 0.036, "price_unit": "image"}
    yield ModelCard(
        model_id="google/nano-banana-2-lite/edit",
        display_name="Nano Banana 2 Lite edit",
        description="Edits up to ten images together.",
        task="edit",
        kind="image-to-image",
        latency_s=16.0,
        fields={"prompt": _text("What to change"), "image_urls": _images(), "aspect_ratio": _choice(BANANA_RATIOS, "auto")},
        required=("prompt", "image_urls"),
        **common,
    )
    yield ModelCard(
        model_id="google/nano-banana-2-lite/text-to-image",
        display_name="Nano Banana 2 Lite",
        description="Makes an image from a sentence.",
        task="text",
        kind="text-to-image",
        latency_s=8.0,
        fields={"prompt": _text("What to show"), "aspect_ratio": _choice(BANANA_RATIOS, "auto")},
        required=("prompt",),
        **common,
    )


def _gpt_image() -> Iterable[ModelCard]:
    shared = {
        "aspect_ratio": _choice(COMMON_RATIOS, "1:1"),
        "resolution": _choice(("1k", "2k", "4k"), "1k"),
        "quality": _choice(("low", "medium", "high"), "medium"),
        "output_format": _choice(("png", "jpeg", "webp"), "png"),
    }
    common: dict[str, Any] = {"categories": ("image",), "base_price_usd": 0.06, "price_unit": "image", "pricing_note": "Rises with quality."}
    yield ModelCard(
        model_id="openai/gpt-image-2/edit",
        display_name="GPT Image 2 edit",
        description="Edits images, text in them included.",
        task="edit",
        kind="image-to-image",
        latency_s=32.0,
        fields={"prompt": _text("What to change"), "images": _images(), **shared},
        required=("prompt", "images"),
        **common,
    )
    yield ModelCard(
        model_id="openai/gpt-image-2/text-to-image",
        display_name="GPT Image 2",
        description="Makes an image from a sentence, text in it included.",
        task="text",
        kind="text-to-image",
        latency_s=13.0,
        fields={"prompt": _text("What to show"), **shared},
        required=("prompt",),
        **common,
    )


def _other_edits() -> Iterable[ModelCard]:
    yield ModelCard(
        model_id="bytedance/seedream-5.0-pro/image-to-image",
        display_name="Seedream 5.0 Pro image to image",
        description="Makes a new image from up to ten others.",
        task="edit",
        kind="image-to-image",
        categories=("image", "edit"),
        base_price_usd=0.05,
        price_unit="output",
        latency_s=20.0,
        fields={
            "prompt": _text("What to make"),
            "image": _images(),
            "aspect_ratio": _choice(COMMON_RATIOS, "1:1"),
            "resolution": _choice(("1K", "2K"), "2K"),
            "output_format": _choice(("png", "jpeg"), "png"),
        },
        required=("prompt", "image"),
    )
    yield ModelCard(
        model_id="ideogram/ideogram-v3/replace-background",
        display_name="Ideogram v3 replace background",
        description="Puts the subject of an image before another background.",
        task="edit",
        kind="image-to-image",
        categories=("image", "edit"),
        base_price_usd=0.06,
        price_unit="output",
        latency_s=15.0,
        fields={"prompt": _text("The new background"), "image": _image()},
    )


def _videos() -> Iterable[ModelCard]:
    yield ModelCard(
        model_id="bytedance/seedance-2.5/image-to-video/1080p",
        display_name="Seedance 2.5 image to video 1080p",
        description="Sets an image in motion, with sound.",
        task="video",
        kind="image-to-video",
        categories=("video",),
        base_price_usd=0.63,
        price_unit="second",
        latency_s=140.0,
        fields={
            "prompt": _text("What happens"),
            "image": _image("URL of the first frame"),
            "duration": _integer(4, 30, 5),
            "generate_audio": {"type": "boolean", "default": True},
        },
        required=("prompt", "image"),
    )
    yield ModelCard(
        model_id="wan-ai/wan-3.0/image-to-video",
        display_name="Wan 3.0 image to video",
        description="Sets an image in motion, from a first to a last frame if asked.",
        task="video",
        kind="image-to-video",
        categories=("video",),
        base_price_usd=0.1,
        price_unit="second",
        latency_s=110.0,
        fields={
            "prompt": _text("What happens"),
            "image_url": _image("URL of the first frame"),
            "end_image_url": _image("URL of the last frame", default=None),
            "aspect_ratio": _choice(("adaptive", *COMMON_RATIOS), "adaptive"),
            "resolution": _choice(("480p", "720p", "1080p"), "720p"),
            "duration": _integer(2, 30, 5),
            "seed": _integer(0, SEED_MAX, None),
        },
        required=("prompt", "image_url"),
    )
    yield ModelCard(
        model_id="kling/kling-3.0/standard/text-to-video",
        display_name="Kling 3.0 Standard",
        description="Makes a video from a sentence.",
        task="video",
        kind="text-to-video",
        categories=("video",),
        base_price_usd=0.084,
        price_unit="second",
        latency_s=90.0,
        fields={
            "prompt": _text("What happens"),
            "negative_prompt": _text("What must not be seen", default=None),
            "aspect_ratio": _choice(("16:9", "9:16", "1:1"), "16:9"),
            "cfg_scale": {"type": "float", "minimum": 0, "maximum": 1, "default": 0.5},
            "duration": {"type": "integer", "enum": list(range(3, 16)), "default": 5},
        },
        required=("prompt",),
    )


def model_cards() -> dict[str, ModelCard]:
    """Every model of the simulator by its id."""
    cards = (_kontext("max", 0.08), _kontext("pro", 0.04), *_nano_banana(), *_other_edits(), *_gpt_image(), *_videos())
    return {card.model_id: card for card in cards}


def unlisted_card(model_id: str) -> ModelCard:
    """A card for a model that the catalog does not hold, guessed from its id; it takes any field."""
    video = "video" in model_id
    text = "text-to" in model_id
    return ModelCard(
        model_id=model_id,
        display_name=model_id,
        description="Not in the catalog.",
        task="video" if video else "text" if text else "edit",
        kind=f"{'text' if text else 'image'}-to-{'video' if video else 'image'}",
        base_price_usd=0.1 if video else 0.05,
        price_unit="second" if video else "image",
        latency_s=110.0 if video else 10.0 if text else 20.0,
        fields={
            "prompt": _text("What to make", default=None),
            "image": _image(default=None),
            "image_url": _image(default=None),
            "images": _images() | {"default": None},
            "image_urls": _images() | {"default": None},
        },
        open_ended=True,
    )
