from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from batcher import discovery
from batcher.definition import Definition, ModelInput, Request
from batcher.discovery import GROUP, Definitions
from batcher.errors import UsageError


class Poster(ModelInput):
    models = ("acme/poster", "acme/poster/large")
    text: str


class MakePoster(Definition):
    inputs = (Poster,)
    text: str

    def request(self) -> Request:
        return Request(model="acme/poster", body={"text": self.text})

    @classmethod
    def links(cls, output: object) -> tuple[str, ...]:
        return ("https://posters.example/1",)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package beside ours with one good definition and several bad ones."""
    package = ModuleType("posters")
    package.MakePoster = MakePoster  # type: ignore[attr-defined]
    package.function = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "posters", package)
    values = {
        "poster": "posters:MakePoster",
        "gone": "posters.nowhere:X",
        "typo": "posters:MakePostr",
        "function": "posters:function",
        "int": "posters:int",
    }
    package.int = int  # type: ignore[attr-defined]
    monkeypatch.setattr(discovery, "entry_points", lambda group: [EntryPoint(name, value, group) for name, value in values.items()])


def test_the_jobs_of_this_package_are_found() -> None:
    definitions = Definitions()
    assert {"background_replacement", "image_edit", "text_to_image", "image_to_video", "raw"} <= set(definitions.names)
    assert definitions.names == sorted(definitions.names)
    for name in definitions.names:
        assert issubclass(definitions.get(name), Definition)
        assert definitions.get(name) is definitions.get(name)


def test_every_model_that_a_definition_knows_has_a_typed_input() -> None:
    inputs = Definitions().inputs
    assert "blackforestlabs/flux-1-kontext/max/edit" in inputs
    assert all(model in typed.models for model, typed in inputs.items())


@pytest.mark.usefixtures("installed")
def test_a_package_of_ones_own_adds_its_definitions() -> None:
    definitions = Definitions()
    assert definitions.get("poster") is MakePoster
    assert definitions.links("poster", {"anything": 1}) == ("https://posters.example/1",)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "cannot be imported from posters.nowhere:X"),
        ("typo", "cannot be imported from posters:MakePostr"),
        ("function", "is not a batcher.definition.Definition"),
        ("int", "is not a batcher.definition.Definition"),
    ],
)
def test_a_definition_that_cannot_be_used_says_which_package_is_at_fault(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Definitions().get(name)
    assert repr(name) in caught.value.message
    assert words in caught.value.message
    assert "package that provides it" in caught.value.remedy


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        Definitions().get("nothing")


def test_the_links_of_a_job_that_is_not_installed_any_more_are_found_the_general_way() -> None:
    assert Definitions().links("nothing", {"images": ["https://x/1", {"url": "https://x/2"}]}) == ("https://x/1", "https://x/2")


def test_the_group_is_the_one_that_the_project_declares() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.entry-points."{GROUP}"]' in project
