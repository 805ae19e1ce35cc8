import re
from pathlib import Path

import pytest

from batcher.errors import ManifestError, Problem
from batcher.manifest import open_manifest
from jobs.background_replacement import BackgroundReplacement

FOLDER = Path(__file__).parents[3] / "sample_manifests" / "broken"
TABLE = dict(re.findall(r"^\| (\S+) \| [^|]+ \| `(.+)` \|$", (FOLDER / "README.md").read_text(), re.MULTILINE))
FOUND_LATER = {
    "bad_enum.yaml",
    "bad_seed.csv",
    "duplicate_id.csv",
    "missing_field.yaml",
    "missing_image.yaml",
    "not_an_image.yaml",
    "outside_image.yaml",
    "same_file_name.yaml",
    "unknown_job.yaml",
}


def test_every_file_is_in_the_table() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} - {"README.md"} == set(TABLE)
    assert set(TABLE) > FOUND_LATER


@pytest.mark.parametrize("name", sorted(TABLE.keys() - FOUND_LATER))
def test_a_broken_manifest_is_told_as_the_table_says(name: str) -> None:
    found = problems(FOLDER / name)
    assert TABLE[name] in found[0]
    assert name.startswith("run_out") or len(found) == 1


@pytest.mark.parametrize("name", sorted(FOUND_LATER))
def test_what_later_checks_find_is_no_fault_of_the_format(name: str) -> None:
    assert problems(FOLDER / name) == []


@pytest.mark.parametrize("path", sorted(path for path in FOLDER.glob("*.yaml") if path.stat().st_size))
def test_a_broken_yaml_file_begins_by_saying_what_it_shows(path: Path) -> None:
    assert path.read_text().startswith(f"# {path.stem}: ")


def problems(path: Path) -> list[str]:
    try:
        opened = open_manifest(path, job=None if path.suffix == ".yaml" else "background_replacement")
        found = [each for each in opened.rows(frozenset(BackgroundReplacement.model_fields), "image") if isinstance(each, Problem)]
    except ManifestError as error:
        found = list(error.problems)
    return [str(problem) for problem in found]
