from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from batcher.definition import Definition, ImageRef, RandomSeed
from jobs.background_replacement import BackgroundReplacement
from jobs.choice import ModelChoice
from jobs.image_edit import ImageEdit
from jobs.image_to_video import ImageToVideo
from jobs.raw import Raw
from jobs.text_to_image import TextToImage

CHOOSING: list[type[ModelChoice]] = [ImageEdit, TextToImage, ImageToVideo]
EDITORS = {
    "kontext-max": "image_url",
    "kontext-pro": "image_url",
    "nano-banana-2-lite": "image_urls",
    "seedream-5.0-pro": "image",
    "gpt-image-2": "images",
}


def entry_points() -> dict[str, str]:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(project["project"]["entry-points"]["batcher.jobs"])


def body_of(definition: type[Definition], **fields: Any) -> dict[str, Any]:
    return dict(definition.model_validate(fields).request().body)


def fault(definition: type[Definition], **fields: Any) -> tuple[tuple[int | str, ...], str]:
    """The place and the message of the only fault."""
    with pytest.raises(ValidationError) as caught:
        definition.model_validate(fields)
    (error,) = caught.value.errors()
    return error["loc"], error["msg"]


@pytest.mark.parametrize("target", entry_points().values())
def test_every_entry_point_is_a_definition_whose_example_makes_a_request(target: str) -> None:
    module, name = target.split(":")
    definition = getattr(importlib.import_module(module), name)
    assert issubclass(definition, Definition)
    request = definition.model_validate(definition.example).request()
    assert request.model.count("/") >= 2
    assert json.loads(json.dumps(request.body))["prompt"]


@pytest.mark.parametrize("definition", [BackgroundReplacement, *CHOOSING])
def test_the_field_for_a_folder_of_images_is_an_image_field(definition: type[Definition]) -> None:
    field = definition.main_media_field
    assert field is None if definition is TextToImage else "ImageRef" in repr(definition.model_fields[str(field)].annotation)


class TestBackgroundReplacement:
    def test_makes_the_documented_prompt(self) -> None:
        request = BackgroundReplacement.model_validate(
            {
                "image": "https://playgrounds-storage-public.runcomfy.net/tools/7007/media-files/usecase2-2-input.png",
                "background": "a moody nighttime city street",
                "keep": "the subject and pose",
                "details": "add light rain and glossy reflections on the ground",
                "lighting": "enhance contrast with warm shop lights and cool ambient tones",
            }
        ).request()
        assert request.model == "blackforestlabs/flux-1-kontext/max/edit"
        assert request.body == {
            "prompt": "Replace the background with a moody nighttime city street; keep the subject and pose unchanged; add light rain and glossy "
            "reflections on the ground; enhance contrast with warm shop lights and cool ambient tones",
            "image_url": "https://playgrounds-storage-public.runcomfy.net/tools/7007/media-files/usecase2-2-input.png",
        }

    def test_sends_only_what_was_given(self) -> None:
        assert body_of(BackgroundReplacement, image="a.png", background="a beach") == {
            "prompt": "Replace the background with a beach; keep the subject and its pose unchanged",
            "image_url": "a.png",
        }

    def test_keeps_image_and_random_seed_marked(self) -> None:
        body = body_of(BackgroundReplacement, image="a.png", background="a beach", seed="random", aspect_ratio="1:1")
        assert isinstance(body["image_url"], ImageRef)
        assert isinstance(body["seed"], RandomSeed)
        assert body["aspect_ratio"] == "1:1"

    def test_takes_a_seed_from_a_csv_cell(self) -> None:
        assert body_of(BackgroundReplacement, image="a.png", background="a beach", seed="0")["seed"] == 0

    def test_parts_of_the_prompt_lose_line_breaks_and_closing_punctuation(self) -> None:
        body = body_of(BackgroundReplacement, image="a.png", background=" a beach,\n at noon. ", details="add gulls;")
        assert body["prompt"] == "Replace the background with a beach, at noon; keep the subject and its pose unchanged; add gulls"

    def test_pro_by_choice(self) -> None:
        row = BackgroundReplacement.model_validate({"image": "a.png", "background": "a beach", "model": "pro"})
        assert row.request().model == "blackforestlabs/flux-1-kontext/pro/edit"

    def test_another_size_is_refused(self) -> None:
        loc, message = fault(BackgroundReplacement, image="a.png", background="a beach", model="ultra")
        assert loc == ("model",)
        assert "'max' or 'pro'" in message


@pytest.mark.parametrize("definition", CHOOSING)
class TestChoices:
    def test_every_choice_may_be_named_and_every_name_is_a_choice(self, definition: type[ModelChoice]) -> None:
        allowed = get_args(definition.model_fields["model"].annotation)
        assert set(allowed) == {name for one in definition.choices for name in (one.name, one.model_id)}
        assert definition.model_fields["model"].default in allowed

    def test_every_choice_has_its_model_among_the_inputs(self, definition: type[ModelChoice]) -> None:
        assert all(one.input in definition.inputs and one.model_id in one.input.models for one in definition.choices)

    def test_every_field_is_known_to_some_choice_and_renamed_ones_exist(self, definition: type[ModelChoice]) -> None:
        names = set(definition.model_fields) - {"model"}
        assert [name for name in names if not any(one.knows(name) for one in definition.choices)] == []
        assert [one.name for one in definition.choices if not set(one.renamed) <= names] == []

    def test_the_full_id_chooses_the_same_as_the_short_name(self, definition: type[ModelChoice]) -> None:
        least = {"prompt": "p"} | ({"image": "a.png"} if "image" in definition.model_fields else {})
        for one in definition.choices:
            short = definition.model_validate({**least, "model": one.name}).request()
            assert short == definition.model_validate({**least, "model": one.model_id}).request()
            assert short.model == one.model_id

    def test_a_model_that_is_not_there_is_refused_with_those_that_are(self, definition: type[ModelChoice]) -> None:
        least = {"prompt": "p"} | ({"image": "a.png"} if "image" in definition.model_fields else {})
        loc, message = fault(definition, **least, model="sora-9")
        assert loc == ("model",)
        assert definition.choices[0].name in message


class TestImageEdit:
    @pytest.mark.parametrize(("model", "field"), EDITORS.items())
    def test_the_image_goes_where_the_model_expects_it(self, model: str, field: str) -> None:
        body = body_of(ImageEdit, image="a.png", prompt="make it blue", model=model)
        assert body == {"prompt": "make it blue", field: "a.png" if field == "image_url" else ["a.png"]}
        image = body[field] if field == "image_url" else body[field][0]
        assert isinstance(image, ImageRef)

    def test_several_images_go_to_a_model_that_takes_them(self) -> None:
        body = body_of(ImageEdit, image=["a.png", "b.png"], prompt="join them", model="gpt-image-2", quality="high", resolution="2K")
        assert body == {"prompt": "join them", "images": ["a.png", "b.png"], "quality": "high", "resolution": "2k"}

    def test_several_images_for_a_model_that_takes_one_are_refused_with_those_that_take_more(self) -> None:
        loc, message = fault(ImageEdit, image=["a.png", "b.png"], prompt="join them")
        assert loc == ("image",)
        assert message == "kontext-max takes one picture; nano-banana-2-lite, seedream-5.0-pro, gpt-image-2 take up to ten"

    def test_a_field_that_the_model_does_not_know_is_refused_with_those_that_do(self) -> None:
        loc, message = fault(ImageEdit, image="a.png", prompt="p", model="nano-banana-2-lite", output_format="png")
        assert loc == ("output_format",)
        assert message == "nano-banana-2-lite has no field output_format; it is known to seedream-5.0-pro, gpt-image-2"

    def test_every_unknown_field_is_told_at_once(self) -> None:
        with pytest.raises(ValidationError) as caught:
            ImageEdit.model_validate({"image": "a.png", "prompt": "p", "quality": "low", "resolution": "1K"})
        assert [error["loc"] for error in caught.value.errors()] == [("resolution",), ("quality",)]

    def test_a_value_that_only_another_model_takes_is_refused_in_the_fields_own_name(self) -> None:
        loc, message = fault(ImageEdit, image="a.png", prompt="p", model="seedream-5.0-pro", resolution="4K")
        assert loc == ("resolution",)
        assert message == "for seedream-5.0-pro, input should be '1K' or '2K'"

    def test_a_ratio_that_only_another_model_takes_is_refused(self) -> None:
        loc, message = fault(ImageEdit, image="a.png", prompt="p", aspect_ratio="auto")
        assert loc == ("aspect_ratio",)
        assert message.startswith("for kontext-max, input should be '21:9'")

    def test_a_field_left_empty_counts_as_not_given(self) -> None:
        assert body_of(ImageEdit, image="a.png", prompt="p", quality=None) == {"prompt": "p", "image_url": "a.png"}

    def test_a_random_seed_stays_random(self) -> None:
        assert isinstance(body_of(ImageEdit, image="a.png", prompt="p", seed="random")["seed"], RandomSeed)


class TestTextToImage:
    def test_sends_the_prompt(self) -> None:
        request = TextToImage.model_validate({"prompt": "a lighthouse", "aspect_ratio": "8:1"}).request()
        assert (request.model, request.body) == ("google/nano-banana-2-lite/text-to-image", {"prompt": "a lighthouse", "aspect_ratio": "8:1"})

    def test_a_ratio_that_is_none_is_refused(self) -> None:
        loc, message = fault(TextToImage, prompt="p", model="gpt-image-2", aspect_ratio="16x9")
        assert loc == ("aspect_ratio",)
        assert "for example 16:9" in message


class TestImageToVideo:
    def test_wan_gets_its_own_field_names(self) -> None:
        body = body_of(ImageToVideo, image="a.png", end_image="b.png", prompt="p", duration="6", seed=3, aspect_ratio="adaptive")
        assert body == {"prompt": "p", "image_url": "a.png", "end_image_url": "b.png", "aspect_ratio": "adaptive", "duration": 6, "seed": 3}
        assert isinstance(body["end_image_url"], ImageRef)

    def test_seedance_makes_sound_or_not(self) -> None:
        body = body_of(ImageToVideo, image="a.png", prompt="p", model="seedance-2.5", generate_audio="no", duration=4)
        assert body == {"prompt": "p", "image": "a.png", "duration": 4, "generate_audio": False}

    def test_a_length_that_only_the_other_model_takes_is_refused(self) -> None:
        assert fault(ImageToVideo, image="a.png", prompt="p", model="seedance-2.5", duration=2) == (
            ("duration",),
            "for seedance-2.5, input should be greater than or equal to 4",
        )


class TestRaw:
    def test_sends_every_other_field_as_it_is(self) -> None:
        row = {"model": "some/new/model", "prompt": "p", "steps": 30, "lora": {"path": "x"}, "tags": ["a"], "flag": False, "empty": None}
        request = Raw.model_validate(row).request()
        assert request.model == "some/new/model"
        assert request.body == {"prompt": "p", "steps": 30, "lora": {"path": "x"}, "tags": ["a"], "flag": False}

    def test_marks_the_fields_that_hold_images(self) -> None:
        body = body_of(Raw, model="a/b", first=" a.png ", rest=["b.png"], title="c.png", image_fields=["first", "rest", "absent"])
        assert body == {"first": "a.png", "rest": ["b.png"], "title": "c.png"}
        assert [type(one) for one in (body["first"], body["rest"][0], body["title"])] == [ImageRef, ImageRef, str]

    @pytest.mark.parametrize("value", [3, "", ["a.png", 3], {"url": "a.png"}])
    def test_a_field_of_images_that_holds_something_else_is_refused(self, value: Any) -> None:
        loc, message = fault(Raw, model="a/b", picture=value, image_fields=["picture"])
        assert loc == ("picture",)
        assert "a path, an address, or a list of them" in message

    @pytest.mark.parametrize(("given", "sent"), [("7", 7), (7, 7), (-1, -1), ("-1", "-1"), ("lucky", "lucky"), (None, None)])
    def test_a_seed_is_the_models_own_affair(self, given: Any, sent: Any) -> None:
        assert body_of(Raw, model="a/b", seed=given).get("seed") == sent

    def test_a_random_seed_is_left_to_the_planner(self) -> None:
        assert isinstance(body_of(Raw, model="a/b", seed=" random ")["seed"], RandomSeed)

    @pytest.mark.parametrize("model", ["", "max", "/a/b", "a//b", "a/b/", "a/../b", "a/.", "a b/c", "a/b?c=d", "https://x/y"])
    def test_a_model_id_that_could_not_be_part_of_an_address_is_refused(self, model: str) -> None:
        assert fault(Raw, model=model)[0] == ("model",)
