"""Rows that are made again, differently: the request is made once more from what the ledger keeps, and only what was asked for is another."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batcher.discovery import Definitions
from batcher.errors import Problem, UsageError
from batcher.manifest import open_rows
from batcher.model import Job, JobSpec, Json, Review, State, Verdict
from batcher.plan import Planner
from batcher.revising import Reviser
from tests.support.sample_bytes import picture

DEFINITIONS = Definitions()
REPLACE = {"job": "background_replacement"}
ROW = {"id": "mug", "image": "mug.png", "background": "a beach"}
UNKNOWN = {"model": "acme/paint", "image_fields": ["photo"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mug.png").write_bytes(picture("PNG"))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "cup.png").write_bytes(picture("PNG", seed=9))
    return tmp_path


def planned(folder: Path, head: Mapping[str, Any], **row: Json) -> JobSpec:
    [item] = Planner(open_rows([row], head, base_dir=folder / "shop"), DEFINITIONS, random.Random(1)).items()
    assert isinstance(item, JobSpec), item
    return item


def revised(folder: Path, spec: JobSpec, changes: Mapping[str, Json] | None = None, *, reseed: bool = False, note: str = "") -> Any:
    mark = Review(Verdict.REDO, note, 0.0, "r", "ab")
    reviser = Reviser(DEFINITIONS, changes or {}, reseed=reseed, rng=random.Random(2), folder=folder / "here")
    return reviser.revise(Job(1, spec, State.DONE, review=mark))


def problem(found: Any) -> Problem:
    assert isinstance(found, list), found
    [one] = found
    assert isinstance(one, Problem)
    return one


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (REPLACE, ROW),
        (REPLACE, {**ROW, "seed": "random"}),
        ({**REPLACE, "model": "pro"}, ROW),
        (REPLACE, {**ROW, "seed": 7, "model": "pro", "details": "with {{braces}} left"}),
        ({"job": "image_edit", "model": "kontext-pro"}, {"id": "a", "image": "mug.png", "prompt": "x", "seed": 3}),
        ({"job": "text_to_image"}, {"id": "a", "prompt": "x"}),
        (UNKNOWN, {"id": "a", "photo": "mug.png", "prompt": "x", "seed": "random"}),
        (UNKNOWN, {"id": "a", "photo": ["mug.png", "https://x.example/b.png"], "prompt": "x", "strength": 0.5}),
        ({"model": "blackforestlabs/flux-1-kontext/max/edit"}, {"id": "a", "image_url": "mug.png", "prompt": "x"}),
    ],
)
def test_without_a_change_the_request_is_the_same(folder: Path, head: Mapping[str, Any], row: Mapping[str, Json]) -> None:
    spec = planned(folder, head, **row)
    assert revised(folder, spec) == (spec, {})


def test_a_field_is_set_and_all_else_stays(folder: Path) -> None:
    spec = planned(folder, REPLACE, **{**ROW, "seed": "random"})
    again, changed = revised(folder, spec, {"background": "{background} at night, {note}"}, note="no {people}")
    assert changed == {"background": "a beach at night, no {people}"}
    assert "a beach at night, no {people}" in again.body["prompt"]
    assert (again.body["seed"], again.inputs, again.key, again.row_id, again.stem) == (
        spec.body["seed"], spec.inputs, spec.key, spec.row_id, spec.stem
    )  # fmt: skip
    assert again.fields == {**spec.fields, **changed}
    assert again.fingerprint != spec.fingerprint
    by_hand = planned(folder, REPLACE, **{**ROW, "seed": "random", "background": "a beach at night, no people"})
    same, _ = revised(folder, spec, {"background": "a beach at night, no people"})
    assert same.fingerprint == by_hand.fingerprint, "the manifest may ask for it too, later"


def test_seeds_are_drawn_anew(folder: Path) -> None:
    drawn = planned(folder, REPLACE, **{**ROW, "seed": "random"})
    again, changed = revised(folder, drawn, reseed=True)
    assert again.body["seed"] != drawn.body["seed"]
    assert (again.fingerprint, changed) == (drawn.fingerprint, {})
    fixed = planned(folder, REPLACE, **{**ROW, "seed": 7})
    again, changed = revised(folder, fixed, reseed=True)
    assert changed == {"seed": "random"}
    assert again.body["seed"] != 7
    once_more, _ = revised(folder, again, {"background": "a lake"})
    assert once_more.body["seed"] == again.body["seed"], "drawn once, and kept"


def test_a_model_that_takes_its_seed_if_none_is_given_is_given_one(folder: Path) -> None:
    again, _ = revised(folder, planned(folder, REPLACE, **ROW), reseed=True)
    assert isinstance(again.body["seed"], int)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ({"job": "text_to_image"}, {"id": "a", "prompt": "x"}),
        ({"job": "image_edit", "model": "seedream-5.0-pro"}, {"id": "a", "image": "mug.png", "prompt": "x"}),
        (UNKNOWN, {"id": "a", "photo": "mug.png", "prompt": "x"}),
    ],
)
def test_a_model_without_seeds_is_asked_again_as_it_was(folder: Path, head: Mapping[str, Any], row: Mapping[str, Json]) -> None:
    spec = planned(folder, head, **row)
    assert revised(folder, spec, reseed=True) == (spec, {})


def test_another_file_is_taken_from_where_the_command_is_given(folder: Path) -> None:
    spec = planned(folder, REPLACE, **ROW)
    again, changed = revised(folder, spec, {"image": "cup.png"})
    assert changed == {"image": "cup.png"}
    assert [Path(file.path).name for file in again.inputs] == ["cup.png"]
    assert again.fingerprint != spec.fingerprint
    named, _ = revised(folder, spec, {"image": "{note}"}, note="cup.png")
    assert named.inputs == again.inputs


@pytest.mark.fault("X18")
def test_a_note_leads_to_no_file_elsewhere(folder: Path) -> None:
    (folder / "secret.png").write_bytes(picture("PNG", seed=5))
    found = problem(revised(folder, planned(folder, REPLACE, **ROW), {"image": "{note}"}, note="../secret.png"))
    assert "leads outside" in found.message
    plain, _ = revised(folder, planned(folder, REPLACE, **ROW), {"image": "../secret.png"})
    assert Path(plain.inputs[0].path).name == "secret.png", "a person may name it"


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"backgroud": "x"}, "backgroud", "not a known field"),
        ({"background": "{nope}"}, "background", "names no value of this row"),
        ({"background": "{background}, {note}"}, "background", "its review has no note"),
        ({"aspect_ratio": "7:1"}, "aspect_ratio", "expected one of"),
        ({"image": "gone.png"}, "image", "gone.png"),
        ({"seed": "-1"}, "seed", "a seed is a whole number"),
    ],
)
def test_what_cannot_be_set_is_told(folder: Path, changes: Mapping[str, Json], field: str, message: str) -> None:
    found = problem(revised(folder, planned(folder, REPLACE, **ROW), changes))
    assert (found.field, str(found.where)) == (field, "row 'mug'")
    assert message in found.message


def test_an_input_that_was_changed_since_is_not_sent(folder: Path) -> None:
    spec = planned(folder, REPLACE, **ROW)
    (folder / "shop" / "mug.png").write_bytes(picture("PNG", seed=8))
    assert "not the file any more" in problem(revised(folder, spec, {"background": "a lake"})).message


def test_a_field_for_templates_only_changes_nothing(folder: Path) -> None:
    spec = planned(folder, {"model": "acme/paint", "extra_fields": ["colour"]}, id="a", prompt="x", colour="red")
    assert "only templates" in problem(revised(folder, spec, {"colour": "blue"})).message


def test_a_row_that_is_not_understood_any_more_is_left_alone(folder: Path) -> None:
    spec = planned(folder, REPLACE, **ROW)
    for odd in (replace(spec, fingerprint="0" * 32), replace(spec, fields={"image": "mug.png"})):
        assert "cannot be made again from what the ledger keeps" in problem(revised(folder, odd, {"background": "x"})).message
    assert "not installed" in problem(revised(folder, replace(spec, job="gone"), {"background": "x"})).message


@pytest.mark.parametrize(
    ("changes", "reseed", "message"),
    [({"id": "x"}, False, "cannot be changed"), ({"seed": "3"}, True, "cannot both be"), ({"prompt": "{a.b}"}, False, "not a plain name")],
)
def test_what_no_row_can_be_asked(folder: Path, changes: Mapping[str, Json], reseed: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Reviser(DEFINITIONS, changes, reseed=reseed, rng=random.Random(2), folder=folder)
