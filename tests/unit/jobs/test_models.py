from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from batcher.definition import Definition, ImageRef, ModelInput, RandomSeed
from jobs.background_replacement import BackgroundReplacement
from jobs.image_edit import ImageEdit
from jobs.image_to_video import ImageToVideo
from jobs.models.flux import KontextInput
from jobs.models.gpt_image import GptImageEditInput, GptImageInput
from jobs.models.ideogram import IdeogramReplaceBackgroundInput
from jobs.models.nano_banana import NanoBananaEditInput, NanoBananaInput
from jobs.models.seedream import SeedreamInput
from jobs.models.video import KlingInput, SeedanceInput, WanInput
from jobs.raw import Raw
from jobs.text_to_image import TextToImage

DEFINITIONS: list[type[Definition]] = [BackgroundReplacement, ImageEdit, TextToImage, ImageToVideo, Raw]
INPUTS = sorted({one for definition in DEFINITIONS for one in definition.inputs}, key=lambda one: one.__name__)

LEAST: dict[type[ModelInput], dict[str, Any]] = {
    KontextInput: {"prompt": "p", "image_url": "a.png"},
    NanoBananaEditInput: {"prompt": "p", "image_urls": ["a.png"]},
    NanoBananaInput: {"prompt": "p"},
    SeedreamInput: {"prompt": "p", "image": ["a.png"]},
    GptImageEditInput: {"prompt": "p", "images": ["a.png"]},
    GptImageInput: {"prompt": "p"},
    IdeogramReplaceBackgroundInput: {"prompt": "p", "image": "a.png"},
    SeedanceInput: {"prompt": "p", "image": "a.png"},
    WanInput: {"prompt": "p", "image_url": "a.png"},
    KlingInput: {"prompt": "p"},
}


def faults(shape: type[BaseModel], **fields: Any) -> dict[str, str]:
    """Where each fault lies, and its type."""
    with pytest.raises(ValidationError) as caught:
        shape.model_validate(fields)
    return {".".join(map(str, error["loc"])): error["type"] for error in caught.value.errors()}


def test_every_model_of_the_reference_is_known_to_one_input() -> None:
    known = Counter(model for one in INPUTS for model in one.models)
    assert known == Counter(
        [
            "blackforestlabs/flux-1-kontext/max/edit",
            "blackforestlabs/flux-1-kontext/pro/edit",
            "google/nano-banana-2-lite/edit",
            "google/nano-banana-2-lite/text-to-image",
            "bytedance/seedream-5.0-pro/image-to-image",
            "openai/gpt-image-2/edit",
            "openai/gpt-image-2/text-to-image",
            "ideogram/ideogram-v3/replace-background",
            "bytedance/seedance-2.5/image-to-video/1080p",
            "wan-ai/wan-3.0/image-to-video",
            "kling/kling-3.0/standard/text-to-video",
        ]
    )


@pytest.mark.parametrize("shape", [*INPUTS, *DEFINITIONS])
def test_every_field_and_class_says_what_it_is_for(shape: type[BaseModel]) -> None:
    assert shape.__doc__
    assert [name for name, info in shape.model_fields.items() if not info.description] == []


@pytest.mark.parametrize("shape", INPUTS)
def test_only_what_was_given_is_sent_and_what_is_required_must_be_given(shape: type[ModelInput]) -> None:
    least = LEAST[shape]
    assert shape.model_validate(least).body() == least
    assert faults(shape) == dict.fromkeys(least, "missing")


@pytest.mark.parametrize("shape", INPUTS)
def test_a_field_that_the_model_does_not_know_is_refused(shape: type[ModelInput]) -> None:
    assert faults(shape, **LEAST[shape], promt="p") == {"promt": "extra_forbidden"}


@pytest.mark.parametrize("shape", INPUTS)
def test_an_empty_prompt_is_refused(shape: type[ModelInput]) -> None:
    assert faults(shape, **{**LEAST[shape], "prompt": "  "}) == {"prompt": "string_too_short"}


@pytest.mark.parametrize("shape", INPUTS)
def test_every_input_has_a_json_schema_that_names_its_required_fields(shape: type[ModelInput]) -> None:
    schema = shape.model_json_schema()
    assert set(schema["required"]) == set(LEAST[shape])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        (KontextInput, {"aspect_ratio": "5:4"}),
        (KontextInput, {"seed": -1}),
        (NanoBananaInput, {"aspect_ratio": "9:21"}),
        (SeedreamInput, {"resolution": "4K"}),
        (SeedreamInput, {"output_format": "webp"}),
        (SeedreamInput, {"aspect_ratio": "wide"}),
        (GptImageInput, {"quality": "best"}),
        (GptImageInput, {"resolution": "8k"}),
        (SeedanceInput, {"duration": 3}),
        (SeedanceInput, {"duration": 31}),
        (SeedanceInput, {"generate_audio": "perhaps"}),
        (WanInput, {"duration": 1}),
        (WanInput, {"seed": 2**31}),
        (WanInput, {"resolution": "4k"}),
        (KlingInput, {"duration": 16}),
        (KlingInput, {"cfg_scale": 1.5}),
    ],
)
def test_a_value_outside_what_the_model_takes_is_refused(shape: type[ModelInput], fields: dict[str, Any]) -> None:
    (name,) = fields
    assert list(faults(shape, **LEAST[shape], **fields)) == [name]


@pytest.mark.parametrize("shape", [NanoBananaEditInput, SeedreamInput, GptImageEditInput])
def test_lists_of_images_hold_one_to_ten(shape: type[ModelInput]) -> None:
    name = next(name for name, value in LEAST[shape].items() if isinstance(value, list))
    assert faults(shape, prompt="p", **{name: []}) == {name: "too_short"}
    assert faults(shape, prompt="p", **{name: ["a.png"] * 11}) == {name: "too_long"}
    body = shape.model_validate({"prompt": "p", name: ["a.png"] * 10}).body()
    assert [type(one) for one in body[name]] == [ImageRef] * 10  # type: ignore[union-attr]


def test_a_single_image_may_be_written_without_its_list() -> None:
    assert SeedreamInput.model_validate({"prompt": "p", "image": "a.png"}).body() == {"prompt": "p", "image": ["a.png"]}


def test_numbers_and_switches_may_come_as_the_text_of_a_csv_cell() -> None:
    assert SeedanceInput.model_validate({**LEAST[SeedanceInput], "duration": "5", "generate_audio": "false"}).body() == {
        **LEAST[SeedanceInput],
        "duration": 5,
        "generate_audio": False,
    }
    assert WanInput.model_validate({**LEAST[WanInput], "seed": "7"}).body()["seed"] == 7
    assert KlingInput.model_validate({"prompt": "p", "cfg_scale": "0.5"}).body()["cfg_scale"] == 0.5


def test_a_random_seed_and_an_image_keep_their_marks_in_the_body() -> None:
    body = KontextInput.model_validate({**LEAST[KontextInput], "seed": "random"}).body()
    assert isinstance(body["seed"], RandomSeed)
    assert isinstance(body["image_url"], ImageRef)


def test_the_letter_of_a_resolution_may_be_of_either_case() -> None:
    assert SeedreamInput.model_validate({**LEAST[SeedreamInput], "resolution": "2k"}).body()["resolution"] == "2K"
    assert GptImageInput.model_validate({"prompt": "p", "resolution": "4K"}).body()["resolution"] == "4k"
