from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from batcher.definition import Definition, MediaRef
from batcher.discovery import Definitions
from batcher.errors import OutputError, UsageError
from batcher.manifest import open_manifest
from batcher.model import JobSpec
from batcher.plan import Planner
from batcher.starter import starter, write_starter
from tests.support.sample_bytes import picture

JOBS = Definitions().names


def put_files(folder: Path, value: object) -> None:
    """The local files that an example names."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(one, str) and one.endswith((".jpg", ".png")) and "://" not in one:
            (folder / one).parent.mkdir(parents=True, exist_ok=True)
            (folder / one).write_bytes(picture("JPEG" if one.endswith("g") else "PNG"))


@pytest.mark.parametrize("job", JOBS)
def test_every_starter_is_a_manifest_that_passes_once_its_files_are_there(tmp_path: Path, job: str) -> None:
    path = tmp_path / "batch.yaml"
    write_starter(path, job)
    definition = Definitions().get(job)
    for value in definition.example.values():
        put_files(tmp_path, value)
    planner = Planner(open_manifest(path), Definitions(), random.Random(0))
    (item,) = planner.items()
    assert isinstance(item, JobSpec), item
    assert item.row_id == "first"
    assert item.body["prompt"]
    assert not any(isinstance(value, MediaRef) for value in item.body.values())


@pytest.mark.parametrize("job", JOBS)
def test_every_field_is_shown_with_what_it_means(job: str) -> None:
    definition = Definitions().get(job)
    text = starter(job, definition, "batch.yaml")
    assert text.startswith("# ")
    assert "batcher plan batch.yaml" in text
    for name, info in definition.model_fields.items():
        assert f"{name}: " in text
        if not info.is_required() and info.description and name != "image_fields":
            assert info.description in text


@pytest.mark.parametrize("job", JOBS)
def test_what_is_commented_out_is_good_yaml_too(job: str) -> None:
    definition = Definitions().get(job)
    text = starter(job, definition, "batch.yaml")
    assert yaml.safe_load(text)["defaults"] in (None, {})
    defaults = yaml.safe_load(text.replace("\n  # ", "\n  "))["defaults"] or {}
    optional = {name for name, info in definition.model_fields.items() if not info.is_required() and name != "image_fields"}
    assert set(defaults) == optional
    rest = yaml.safe_load(
        text.replace("\n# matrix", "\nmatrix").replace("\n# run", "\nrun").replace("\n# output", "\noutput").replace("\n#   ", "\n  ")
    )
    [(axis, values)] = rest["matrix"].items()
    assert axis in definition.example, "an axis that nothing used would be paid for in vain"
    assert list(values) == ["one", "two"]
    assert (rest["run"], rest["output"]) == ({"concurrency": 64, "regenerations": 0}, {"name": "{id}"})


class Plain(Definition):
    text: str
    example: ClassVar[dict[str, str]] = {"text": 'with "quotes": # and {braces}\nand \u00fc'}


def test_a_definition_without_a_word_about_itself(tmp_path: Path) -> None:
    Plain.__doc__ = None
    text = starter("plain_one", Plain, "p.yaml")
    assert text.startswith("# A batch of plain_one.\n")
    loaded = yaml.safe_load(text)
    assert loaded["rows"] == [{"id": "first", **Plain.example}]
    assert (loaded["name"], loaded["job"], loaded["defaults"]) == ("plain-one", "plain_one", {})


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "batch.yaml"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already") as caught:
        write_starter(path, "raw")
    assert "--force" in caught.value.remedy
    assert path.read_text() == "mine"
    write_starter(path, "raw", force=True)
    assert "job: raw" in path.read_text()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_starter(tmp_path / "missing" / "batch.yaml", "raw")
    with pytest.raises(OutputError, match="cannot be written"):
        write_starter(tmp_path, "raw", force=True)


@pytest.mark.parametrize(("name", "meant"), [("image_edt", "did you mean 'image_edit'?"), ("zzz", "there is no job 'zzz'")])
def test_a_job_that_is_not_there(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_starter(tmp_path / "b.yaml", name)
    assert meant in caught.value.message
    assert "background_replacement" in caught.value.remedy
    assert not list(tmp_path.iterdir())
