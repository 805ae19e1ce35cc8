from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from batcher.definition import AspectRatio, ImageRef, Seed
from batcher.errors import Problem
from batcher.manifest.problems import Loc, did_you_mean, field_name, listed, problems_from, shown_value, unknown_key
from batcher.model import Where
from batcher.settings import RunSettings


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Sample(BaseModel, extra="forbid"):
    image: ImageRef = ImageRef("x")
    images: ImageRef | list[ImageRef] = []
    ratio: AspectRatio | None = None
    size: Size = Size.SMALL
    count: int = Field(default=3, ge=1, le=5)
    scale: float | None = Field(default=None, gt=0, lt=1.5)
    table: dict[str, Annotated[int, Field(ge=2)]] = {}
    seed: Seed = 1
    run: RunSettings = RunSettings()
    label: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    wide: Annotated[str, Field(min_length=2)] = "aa"
    numbers: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    either: int | AspectRatio = 3
    flag: bool = False
    code: Annotated[str, Field(pattern="^[a-z]+$")] = "a"
    nested: list[dict[str, int]] = []
    even: int = 2
    pair: tuple[int, int] = (1, 2)

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number is needed")
        return value


class Needy(BaseModel):
    image: str
    inner: Sample


def problems(data: Any, model: type[BaseModel] = Sample) -> list[str]:
    seen: list[Loc] = []

    def where(loc: Loc) -> Where:
        seen.append(loc)
        return Where("file", 1, len(loc))

    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    found = problems_from(caught.value, where=where, model=model)
    assert len(seen) == len(found)
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ratio": "16x9"}, "ratio: expected one of 21:9, 16:9, 4:3, 3:2, 1:1, 2:3, 3:4, 9:16, 9:21; found '16x9' (did you mean '16:9'?)"),
        ({"size": "lagre"}, "size: expected one of small, large; found 'lagre' (did you mean 'large'?)"),
        ({"count": "ten"}, "count: expected a whole number from 1 to 5; found 'ten'"),
        ({"count": 0}, "count: expected a whole number from 1 to 5; found 0"),
        ({"count": 1.5}, "count: expected a whole number from 1 to 5; found 1.5"),
        ({"scale": "big"}, "scale: expected a number greater than 0 and less than 1.5; found 'big'"),
        ({"scale": -1}, "scale: expected a number greater than 0 and less than 1.5; found -1"),
        ({"table": {"a": 1}}, "table.a: expected a whole number of at least 2; found 1"),
        ({"table": 7}, "table: expected keys with values; found 7"),
        ({"seed": "ten"}, "seed: a seed is a whole number from 0 to 2147483647, or the word random; found 'ten'"),
        ({"run": {"posts_in_flight": 300}}, "run.posts_in_flight: expected a whole number from 1 to 256; found 300"),
        ({"run": {"grace_s": -1}}, "run.grace_s: expected a number of at least 0; found -1"),
        ({"label": ""}, "label: expected some text; found ''"),
        ({"label": "abcd"}, "label: expected at most 3 characters; found 'abcd'"),
        ({"wide": "a"}, "wide: expected at least 2 characters; found 'a'"),
        ({"numbers": []}, "numbers: expected at least 1 value; found []"),
        ({"numbers": [1, 2, 3]}, "numbers: expected at most 2 values; found [1, 2, 3]"),
        ({"numbers": [1, "x"]}, "numbers[1]: expected a whole number; found 'x'"),
        ({"either": "x"}, "either: expected a whole number or one of 21:9, 16:9, 4:3, 3:2, 1:1, 2:3, 3:4, 9:16, 9:21; found 'x'"),
        ({"images": ["a", 1]}, "images[1]: expected text; found 1"),
        ({"images": 7}, "images: expected text or a list; found 7"),
        ({"flag": "perhaps"}, "flag: expected true or false; found 'perhaps'"),
        ({"code": "A1"}, "code: expected text of the form ^[a-z]+$; found 'A1'"),
        ({"nested": [{"a": "x"}]}, "nested[0].a: expected a whole number; found 'x'"),
        ({"even": 3}, "even: an even number is needed; found 3"),
        ({"pair": [1, "x"]}, "pair[1]: expected a whole number; found 'x'"),
        ({"image": None}, "image: expected text; found null"),
        ({"scale": float("nan")}, "scale: expected a number greater than 0 and less than 1.5; found NaN"),
    ],
)
def test_one_fault_becomes_one_problem_in_plain_words(data: dict[str, Any], message: str) -> None:
    assert [said.partition(" ")[2] for said in problems(data)] == [message]


def test_a_mistyped_key_is_told_with_what_is_allowed() -> None:
    (said,) = problems({"cuont": 1})
    assert said.startswith("file:1:1: cuont: not a known key; allowed: image, images, ratio,")
    assert said.endswith("(did you mean 'count'?)")


def test_a_mistyped_key_below_another_is_told_with_its_path_and_its_own_keys() -> None:
    (said,) = problems({"run": {"concurency": 1}})
    assert said.startswith("file:1:2: run.concurency: not a known key; allowed: concurrency, posts_in_flight,")


def test_missing_fields_and_all_others_come_together() -> None:
    assert problems({"inner": {"count": 9, "label": ""}}, Needy) == [
        "file:1:1: image: required, but missing",
        "file:1:2: inner.count: expected a whole number from 1 to 5; found 9",
        "file:1:2: inner.label: expected some text; found ''",
    ]


def test_a_value_that_is_no_mapping_at_all() -> None:
    assert problems(5, Needy) == ["file:1:0: expected keys with values; found 5"]


def test_long_values_are_cut() -> None:
    (said,) = problems({"count": "x" * 500})
    assert len(said) < 160


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", "'a\\nb'"),
        (None, "null"),
        (True, "true"),
        ({"a": 1}, '{"a": 1}'),
        (list(range(50)), "a list of 50"),
        (dict.fromkeys(range(50)), "an object of 50"),
        (object, "\"<class 'object'>\""),
    ],
)
def test_values_are_shown_as_a_person_writes_them(value: object, text: str) -> None:
    assert shown_value(value) == text


def test_a_value_that_json_cannot_show_is_named_by_its_kind() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert shown_value(circle) == "list"


def test_paths_lists_and_guesses() -> None:
    assert field_name(("a", 2, "b")) == "a[2].b"
    assert listed([str(n) for n in range(30)]).endswith("… (30 in all)")
    assert did_you_mean(5, ["a"]) == ""
    assert unknown_key("x", [], Where("f")) == Problem(Where("f"), "not a known key; none is allowed here", field="x")
