import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batcher.errors import InputError, ManifestError, Problem, UsageError
from batcher.manifest import Format, Manifest, open_manifest, open_rows
from batcher.model import Row

FIELDS = frozenset({"image", "prompt", "seed", "aspect_ratio"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manifest(folder: Path, text: str, name: str = "m.yaml", **flags: Any) -> Manifest:
    (folder / name).write_text(text)
    return open_manifest(Path(name), **flags)


def read(opened: Manifest, known: frozenset[str] | None = FIELDS) -> list[Row]:
    found = list(opened.rows(known, "image"))
    assert not [each for each in found if isinstance(each, Problem)]
    return [each for each in found if isinstance(each, Row)]


def faults(opened: Manifest, known: frozenset[str] | None = FIELDS) -> list[str]:
    return [str(each) for each in opened.rows(known, "image") if isinstance(each, Problem)]


def head_faults(folder: Path, text: str, name: str = "m.yaml", **flags: Any) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        manifest(folder, text, name, **flags)
    return [str(problem) for problem in caught.value.problems]


FULL = """\
version: 1
name: the batch
job: background
defaults:
  prompt: "Put it in {scene}, {mood}"
  mood: "calm {style}"
  style: photo
matrix:
  scene: [night street, beach]
  seed: {low: 7, high: 8}
run: {concurrency: 5}
output: {name: "{style}/{id}"}
extra_fields: [sku]
rows:
  - id: 007
    image: mug.jpg
    sku: 1234
  - image: vase.jpg
    style: oil
"""


def test_rows_are_combined_with_the_matrix_and_filled_in(folder: Path) -> None:
    opened = manifest(folder, FULL)
    assert (opened.name, opened.source, opened.base_dir, opened.head.run.concurrency) == ("the batch", "m.yaml", Path(), 5)
    rows = read(opened)
    assert [row.id for row in rows] == ["007-night-street-low", "007-night-street-high", "007-beach-low", "007-beach-high", None, None, None, None]
    assert rows[3].fields == {"image": "mug.jpg", "prompt": "Put it in beach, calm photo", "seed": 8}
    assert rows[3].extras == {"scene": "beach", "mood": "calm photo", "style": "photo", "sku": 1234}
    assert rows[3].axes == {"scene": "beach", "seed": "high"}
    assert str(rows[3].where) == "m.yaml:15:5"
    assert rows[4].fields["prompt"] == "Put it in night street, calm oil"
    assert "sku" not in rows[4].extras


def test_rows_can_be_read_as_often_as_is_asked(folder: Path) -> None:
    opened = manifest(folder, FULL)
    assert read(opened) == read(opened)


def test_every_place_can_be_asked_for(folder: Path) -> None:
    opened = manifest(folder, FULL, settings={"aspect_ratio": "1:1"})
    row = read(opened)[0]
    assert str(opened.where("run", "concurrency")) == "m.yaml:11:7"
    assert str(opened.where("job")) == "m.yaml:3:1"
    assert str(opened.where()) == "m.yaml:1:1"
    places = {name: str(opened.locate(row, name)) for name in ("image", "prompt", "seed", "aspect_ratio", "nothing")}
    assert places == {
        "image": "m.yaml:16:5",
        "prompt": "m.yaml:5:3",
        "seed": "m.yaml:10:3",
        "aspect_ratio": "--set aspect_ratio",
        "nothing": "m.yaml:15:5",
    }
    assert str(opened.locate(Row({}, row.where), "image")) == "m.yaml:15:5"


def test_a_row_of_a_csv_file_is_at_its_line_and_a_default_in_the_head(folder: Path) -> None:
    (folder / "rows.csv").write_text("image,seed\na.jpg,\nb.jpg,7\n")
    opened = manifest(folder, "job: x\ndefaults:\n  seed: ten\nrows: rows.csv\n")
    first, second = read(opened)
    assert str(opened.locate(first, "seed")) == "m.yaml:3:3"
    assert str(opened.locate(second, "seed")) == "rows.csv:3"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", 'id,image,images\na,x.jpg,"[1, 2]"\n'),
        ("rows.jsonl", '{"id": "a", "image": "x.jpg", "images": [1, 2]}\n'),
        ("rows.yaml", "- {id: a, image: x.jpg, images: [1, 2]}\n"),
        ("rows.json", '[{"id": "a",\n"image": "x.jpg", "images": [1, 2]}]\n'),
        ("rows", 'id\timage\timages\na\tx.jpg\t"[1, 2]"\n'),
    ],
)
def test_rows_in_a_file_of_their_own_or_alone(folder: Path, name: str, text: str) -> None:
    (folder / "data").mkdir()
    (folder / "data" / name).write_text(text)
    expected = {"image": "x.jpg", "images": [1, 2]}
    (row,) = read(manifest(folder, f"job: x\nrows: data/{name}\n"), FIELDS | {"images"})
    assert (row.id, row.fields, row.where.file) == ("a", expected, f"data/{name}")
    alone = open_manifest(Path("data") / name, job="x")
    (row,) = read(alone, FIELDS | {"images"})
    assert (row.fields, alone.base_dir, alone.name, alone.head.job) == (expected, Path("data"), "rows", "x")


def test_standard_input(folder: Path) -> None:
    opened = open_manifest("-", stdin=io.BytesIO(b"image\na.jpg\n"), model="a/b", settings={"seed": "7"})
    assert (opened.name, opened.base_dir, opened.source) == ("stdin", Path(), "standard input")
    assert [row.fields for row in read(opened)] == [row.fields for row in read(opened)] == [{"image": "a.jpg", "seed": "7"}]
    assert str(opened.where("model")) == "--model"
    assert str(opened.where("rows")) == "standard input"
    assert str(read(opened)[0].where) == "standard input:2"


def test_the_format_can_be_given(folder: Path) -> None:
    (folder / "odd.txt").write_text("a: b\nx\n")
    assert read(open_manifest(Path("odd.txt"), format=Format.CSV, job="x"), None)[0].fields == {"a: b": "x"}
    with pytest.raises(UsageError, match="unknown format cvs; allowed: yaml, csv, jsonl"):
        open_manifest(Path("odd.txt"), format="cvs")


def test_standard_input_is_that_of_the_process_if_none_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"image\na.jpg\n")))
    assert len(read(open_manifest("-", job="x"))) == 1


def test_flags_win_over_the_file_its_rows_and_its_matrix(folder: Path) -> None:
    text = "job: a\ndefaults: {seed: 1}\nmatrix: {aspect_ratio: ['1:1', '3:2']}\nimage_fields: [image]\nrows:\n- {image: x, prompt: y}\n"
    flags = {"seed": "5", "prompt": "{image}!", "aspect_ratio": "16:9"}
    opened = manifest(folder, text, job="b", model="m", settings=flags, image_fields=["other"], extra_fields=["more"])
    assert (opened.head.job, opened.head.model, opened.head.image_fields, opened.head.extra_fields) == ("b", "m", ("image", "other"), ("more",))
    (row,) = read(opened)
    assert row.fields == {"image": "x", "prompt": "x!", "seed": "5", "aspect_ratio": "16:9"}
    assert row.axes == {}
    assert str(opened.where("job")) == "--job"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("id", "x", "--set id: id is the name of a row"),
        ("seed", "", "--set seed: sets no value"),
        ("seed", "{", "--set seed: defaults.seed: a lone {"),
    ],
)
def test_settings_that_cannot_be(folder: Path, name: str, value: str, said: str) -> None:
    (fault,) = head_faults(folder, "job: x\nrows: [{image: y}]", settings={name: value})
    assert fault.startswith(said)


def test_a_glob_of_images(folder: Path) -> None:
    for name in ("b", "a"):
        (folder / f"{name}.jpg").write_bytes(b"x")
    opened = manifest(folder, "job: x\ndefaults: {prompt: 'a photo of {id}'}\nrows: '*.jpg'\n")
    assert [(row.id, row.fields["image"], row.fields["prompt"]) for row in read(opened)] == [
        ("a", "a.jpg", "a photo of a"),
        ("b", "b.jpg", "a photo of b"),
    ]
    (problem,) = opened.rows(FIELDS, None)
    assert "rows cannot be a folder or a pattern" in str(problem)
    named = manifest(folder, "model: x/y\nimage_fields: [photo]\nrows: '*.jpg'\n")
    assert [row.fields for row in named.rows(None, None) if isinstance(row, Row)] == [{"photo": "a.jpg"}, {"photo": "b.jpg"}]
    assert str(named.locate(read(named, None)[0], "photo")) == "m.yaml:3:1"


def test_a_matrix_alone_makes_rows(folder: Path) -> None:
    rows = read(manifest(folder, "job: x\nmatrix: {prompt: [a cat, a dog], seed: [1, 2]}\n"))
    assert [row.fields for row in rows] == [{"prompt": text, "seed": seed} for text in ("a cat", "a dog") for seed in (1, 2)]
    assert {row.id for row in rows} == {None}
    assert str(rows[0].where) == "m.yaml:2:1"


def test_matrix_values_may_be_templates_and_structures(folder: Path) -> None:
    text = "job: x\nextra_fields: [mood]\nrows: [{mood: calm}]\nmatrix:\n"
    text += "  prompt: {one: 'a {mood} cat', two: 'a {mood} dog'}\n  images: {both: [a, '{mood}.png']}\n"
    rows = read(manifest(folder, text), FIELDS | {"images"})
    assert [row.fields["prompt"] for row in rows] == ["a calm cat", "a calm dog"]
    assert rows[0].fields["images"] == ["a", "calm.png"]


def test_templates_in_rows_see_the_row_and_make_their_names_extras(folder: Path) -> None:
    (folder / "rows.csv").write_text(
        'id,image,colour,size,prompt\na,x.jpg,red,,a {colour} mug\nb,y.jpg,blue,big,plain\nc,z.jpg,,,"[""{colour"", 1]"\n'
    )
    opened = manifest(folder, "job: x\ndefaults: {colour: green}\nrows: rows.csv\n")
    found = list(opened.rows(FIELDS, "image"))
    assert [str(each).partition(";")[0] for each in found if isinstance(each, Problem)] == [
        "rows.csv:1: size: not a known field",
        "rows.csv:4: prompt: a lone { at character 1 (write {name} for the value of a field, {{ and }} for braces)",
    ]
    rows = [each for each in found if isinstance(each, Row)]
    assert [(row.fields["prompt"], row.extras) for row in rows[:2]] == [("a red mug", {"colour": "red"}), ("plain", {"colour": "blue"})]


def test_a_model_without_known_fields_takes_every_name_but_those_of_templates(folder: Path) -> None:
    (folder / "rows.jsonl").write_text(
        '{"prompt": "a {colour} mug", "colour": "red", "strength": 0.5, "note": "x", "tags": ["{style}"], "style": "s"}\n'
        '{"prompt": "p", "colour": "blue"}\n'
    )
    first, second = read(manifest(folder, "model: a/b\nextra_fields: [note]\nmatrix: {seed: [1]}\nrows: rows.jsonl\n"), None)
    assert first.fields == {"prompt": "a red mug", "strength": 0.5, "tags": ["s"], "seed": 1}
    assert first.extras == {"colour": "red", "note": "x", "style": "s"}
    assert second.fields == {"prompt": "p", "seed": 1}


def test_names_of_the_output_are_extras_too(folder: Path) -> None:
    (row,) = read(manifest(folder, "job: x\noutput: {name: '{shop}/{id}'}\nrows: [{image: a, shop: b}]\n"))
    assert row.extras == {"shop": "b"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("- {imgae: a}", ["m.yaml:4:4: imgae: not a known field; allowed: aspect_ratio, image, prompt, seed (did you mean 'image'?)"]),
        (
            "- {zzz: a}",
            [
                (
                    "m.yaml:4:4: zzz: not a known field; allowed: aspect_ratio, image, prompt, seed"
                    " (if only the report uses it, list it under extra_fields or say --extra-field zzz; the name of a row is called id)"
                )
            ],
        ),
        ("- 5\n- {image: a}", ["m.yaml:4:3: expected a row, as keys with values; found 5 (such as - image: photos/mug.jpg)"]),
        ("- {prompt: '{'}", ["m.yaml:4:4: prompt: a lone { at character 1 (write {name} for the value of a field, {{ and }} for braces)"]),
        ("- {prompt: '{colour}'}", ["m.yaml:4:4: prompt: {colour} names no value of this row; there is prompt, scene"]),
        ("- {prompt: '{sceen}!'}", ["m.yaml:4:4: prompt: {sceen} names no value of this row; there is prompt, scene (did you mean {scene}?)"]),
        (
            "- {prompt: '{seed}!', seed: null}",
            ["m.yaml:4:4: prompt: {seed} is null and cannot stand in a text (only text, numbers, true and false can)"],
        ),
        ("- {scene: x}", ["m.yaml:4:4: scene: given by the row and by the matrix too (remove one of them)"]),
        ("- {id: [1]}", ["m.yaml:4:4: id: expected a name for the row; found [1]"]),
        ("- {id: true}", ["m.yaml:4:4: id: expected a name for the row; found true"]),
        (f"- {{id: {'x' * 201}}}", ["m.yaml:4:4: id: expected at most 200 characters; found 201"]),
        ('- {id: "a\\nb"}', ["m.yaml:4:4: id: expected a name without line breaks and invisible characters; found 'a\\nb'"]),
    ],
)
def test_faults_of_rows(folder: Path, rows: str, said: list[str]) -> None:
    assert faults(manifest(folder, f"job: x\nmatrix: {{scene: [a, b]}}\nrows:\n{rows}\n")) == said


def test_a_mistyped_field_counts_as_the_one_that_was_meant(folder: Path) -> None:
    found = list(manifest(folder, "job: x\nrows:\n- {imgae: a.jpg, seed: ten}\n").rows(FIELDS, "image"))
    assert [type(each) for each in found[:1]] == [Problem]
    assert isinstance(found[1], Row)
    assert found[1].fields == {"image": "a.jpg", "seed": "ten"}


def test_a_mistyped_column_is_told_once(folder: Path) -> None:
    (folder / "rows.csv").write_text("imgae,image,sed\n" + "a,b,\n" * 20 + "a,,7\n")
    assert [fault.partition(":")[2].partition(";")[0] for fault in faults(manifest(folder, "job: x\nrows: rows.csv\n"))] == [
        "1: imgae: not a known field",
        "1: sed: not a known field",
    ]


def test_a_cell_that_a_template_needs_is_asked_for_at_its_line(folder: Path) -> None:
    (folder / "rows.csv").write_text("image,scene\na.jpg,beach\nb.jpg,\n")
    opened = manifest(folder, "job: x\ndefaults: {prompt: 'in {scene}'}\nrows: rows.csv\n")
    assert faults(opened) == ["rows.csv:3: prompt: the template needs {scene}, which is not given in this row (fill the cell, or give a default)"]


def test_a_mistyped_name_in_a_template_of_the_head_is_told_once(folder: Path) -> None:
    (folder / "rows.csv").write_text("image,scene\n" + "a.jpg,beach\n" * 20)
    opened = manifest(folder, "job: x\ndefaults:\n  prompt: 'in {scnee}'\nmatrix:\n  seed: {a: '{imgae}'}\nrows: rows.csv\nextra_fields: [scene]")
    assert [fault.partition(";")[0] for fault in faults(opened)] == [
        "m.yaml:3:3: defaults.prompt: {scnee} names no value of this row",
        "m.yaml:5:3: matrix.seed: {imgae} names no value of this row",
    ]


def test_a_default_that_nothing_knows_is_told_once_and_counts_as_what_was_meant(folder: Path) -> None:
    opened = manifest(folder, "job: x\ndefaults:\n  promt: hello\n  zzz: 1\nrows: [{image: a}, {image: b}]\n")
    assert [fault.partition(";")[0] for fault in faults(opened)] == ["m.yaml:3:3: promt: not a known field", "m.yaml:4:3: zzz: not a known field"]
    assert [row.fields for row in opened.rows(FIELDS, None) if isinstance(row, Row)] == [
        {"prompt": "hello", "image": "a"},
        {"prompt": "hello", "image": "b"},
    ]


def test_an_axis_that_is_nearly_a_field_is_refused_unless_it_is_used_or_listed(folder: Path) -> None:
    text = "job: x\nmatrix:\n  seeds: [1, 2]\n"
    assert faults(manifest(folder, text + "rows: [{image: a}]\n")) == [
        "m.yaml:3:3: matrix.seeds: no field of this job, and no template uses it (did you mean 'seed'? if not, list it under extra_fields)"
    ]
    assert len(read(manifest(folder, text + "rows: [{image: a}]\nextra_fields: [seeds]\n"))) == 2
    assert len(read(manifest(folder, text + "rows: [{image: a, prompt: 'x {seeds}'}]\n"))) == 2


def test_an_axis_that_nothing_uses_would_pay_for_every_request_again_and_is_refused(folder: Path) -> None:
    text = "job: x\nmatrix:\n  take: [1, 2]\n"
    row = "rows: [{image: a}]\n"
    hint = "remove it; or, to pay for each request so many times, list it under extra_fields"
    assert faults(manifest(folder, text + row)) == [f"m.yaml:3:3: matrix.take: no field of this job, and no template uses it ({hint})"]
    for used in ("extra_fields: [take]", "output: {name: '{take}/{id}'}", "defaults: {prompt: 'take {take}'}"):
        assert len(read(manifest(folder, f"{text}{row}{used}\n"))) == 2
    assert len(read(manifest(folder, text + "rows: [{image: 'a{take}'}]\n"))) == 2
    assert len(read(manifest(folder, text.replace(", 2", "") + row))) == 1
    assert len(read(manifest(folder, text + row), None)) == 2, "where the fields are not known it may be one of them"


def test_a_row_with_a_fault_may_have_used_any_axis(folder: Path) -> None:
    (said,) = faults(manifest(folder, "job: x\nmatrix: {take: [1, 2]}\nrows: [5, {image: b}]\n"))
    assert "expected a row" in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "image\n", "m.csv: there are no rows"),
        ("m.jsonl", "\n", "m.jsonl: there are no rows"),
        ("m.yaml", "job: x\nrows: []\n", "m.yaml:2:1: there are no rows"),
    ],
)
def test_a_manifest_without_rows(folder: Path, name: str, text: str, said: str) -> None:
    (fault,) = faults(manifest(folder, text, name, job="x"))
    assert fault.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just text", "m.yaml:1:1: expected a batch file or a list of rows; found 'just text'"),
        ("job: x\nrows: 5\n", "m.yaml:2:1: rows: expected a list of rows, the name of a file of rows, or a pattern such as photos/*.jpg; found 5"),
        ("job: x\nrows: {a: 1}\n", "m.yaml:2:1: rows: expected a list of rows"),
        ("job: x\nrows: ''\n", "m.yaml:2:1: rows: expected a list of rows"),
        ("job: x\n", "m.yaml:1:1: rows: required, but missing"),
        ("job: x\nrows:\n", "m.yaml:1:1: rows: required, but missing"),
        ("job: x\nrows: none.csv\n", "m.yaml:2:1: rows: no such file: none.csv"),
        ("rows: [{a: 1}]", "m.yaml: job: neither job nor model is given"),
        ("job: x\nversion: 2\nrows: [{a: 1}]", "m.yaml:2:1: version: expected 1; found 2"),
        ("job: x\ndefaults: 5\nrows: [{a: 1}]", "m.yaml:2:1: defaults: expected keys with values; found 5"),
        ("job: x\nmatrix: [1]\nrows: [{a: 1}]", "m.yaml:2:1: matrix: expected keys with values; found [1]"),
        ("job: x\nmatrix: {a: 5}\nrows: [{a: 1}]", "m.yaml:2:10: matrix.a: expected a list of values, or labels with values; found 5"),
        ("job: x\nmatrix: {id: [5]}\nrows: [{a: 1}]", "m.yaml:2:10: matrix.id: id is the name of a row"),
        ("job: x\nmatrix: {a: {}}\nrows: [{b: 1}]", "m.yaml:2:10: matrix.a: has no values"),
        ("job: x\nmatrix: {a: [[1]]}\nrows: [{b: 1}]", "m.yaml:2:14: matrix.a: [1] makes no label"),
        ("job: x\nmatrix: {a: [A b, a-b]}\nrows: [{b: 1}]", "m.yaml:2:19: matrix.a: 'A b' and 'a-b' make the same label, a-b"),
        ("job: x\nmatrix: {a: {l: '{'}}\nrows: [{b: 1}]", "m.yaml:2:14: matrix.a.l: a lone {"),
        ("job: x\noutput: {name: '{a.b}'}\nrows: [{b: 1}]", "m.yaml:2:10: output.name: {a.b} is not a plain name"),
        ("job: x\noutput: {name: 5}\nrows: [{b: 1}]", "m.yaml:2:10: output.name: expected text; found 5"),
        ("job: x\nextra_fields: sku\nrows: [{b: 1}]", "m.yaml:2:1: extra_fields: expected a list; found 'sku'"),
        ("job: x\nrun: {concurency: 5}\nrows: [{b: 1}]", "m.yaml:2:7: run.concurency: not a known key"),
    ],
)
def test_faults_of_the_head(folder: Path, text: str, said: str) -> None:
    (fault,) = head_faults(folder, text)
    assert fault.startswith(said)


def test_all_faults_of_a_head_come_together_with_those_of_reading_the_rows(folder: Path) -> None:
    (folder / "rows.csv").write_text("a,b\n1,2,3\n1,2\n")
    text = "rown: 1\ndefaults: {a: '{'}\nmatrix: {b: []}\nrun: {downloads: 0}\nrows: rows.csv\n"
    found = [fault.split(": ")[1] for fault in head_faults(folder, text)]
    assert found[:5] == ["run.downloads", "rown", "matrix.b", "defaults.a", "job"]
    assert found[5].startswith("expected 2 cells, as in the header; found 3")
    assert len(found) == 6


def test_the_first_fifty_are_listed_and_the_rest_counted(folder: Path) -> None:
    (folder / "rows.csv").write_text("a,b\n" + "1\n" * 100)
    with pytest.raises(ManifestError) as caught:
        manifest(folder, "rows: rows.csv\n")
    assert (len(caught.value.problems), caught.value.total) == (50, 101)
    assert caught.value.message.endswith("… and 51 more")


def test_keys_without_value_count_as_left_out(folder: Path) -> None:
    opened = manifest(folder, "job: x\nname: 2024\ndefaults:\nmatrix:\nrun:\noutput:\nrows: [{image: a}]\n")
    assert opened.name == "2024"
    assert read(opened)[0].fields == {"image": "a"}


def test_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        open_manifest(Path("none.yaml"))


def test_a_file_of_rows_that_cannot_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rows.csv").write_text("a\n1\n")
    really = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if Path(path).name == "rows.csv":
            raise PermissionError(13, "Permission denied")
        return really(path, *args, **kwargs)

    monkeypatch.setattr("os.open", refuse)
    (fault,) = head_faults(folder, "job: x\nrows: rows.csv\n")
    assert fault == "m.yaml:2:1: rows: rows.csv cannot be read: Permission denied"


def test_a_broken_yaml_file_of_rows_is_a_problem_of_the_rows(folder: Path) -> None:
    (folder / "rows.yaml").write_text("- a: b: c\n")
    assert faults(manifest(folder, "job: x\nrows: rows.yaml\n"))[0].startswith("rows.yaml:1:7: not valid YAML")


def test_rows_of_a_program(folder: Path) -> None:
    head = {"job": "x", "defaults": {"prompt": "in {scene}"}, "matrix": {"seed": [1, 2]}, "run": None}
    opened = open_rows(({"id": n, "image": Path("a.jpg"), "scene": "beach"} for n in range(2)), head, name="mine", base_dir=folder)
    assert [(row.id, row.fields["prompt"], row.fields["image"]) for row in read(opened)] == [
        (f"{n}-{seed}", "in beach", "a.jpg") for n in range(2) for seed in (1, 2)
    ]
    assert (opened.name, opened.base_dir, str(read(opened)[0].where)) == ("mine", folder, "mine:1")


def test_rows_of_a_program_may_not_be_named_twice() -> None:
    with pytest.raises(ManifestError, match="rows: the rows are given by the program"):
        open_rows([{"a": 1}], {"job": "x", "rows": "a.csv"})
    with pytest.raises(ManifestError, match="run: expected keys with values"):
        open_rows([{"a": 1}], {"job": "x", "run": 7})
    with pytest.raises(ManifestError, match="not plain values"):
        open_rows([{"a": 1}], {"job": object()})


def test_the_head_of_a_program_may_hold_paths_and_numbers_as_names() -> None:
    opened = open_rows([{"a": "x{1}"}], {"model": "a/b", "defaults": {"image": Path("a.jpg")}, "matrix": {1: [5]}})
    (row,) = read(opened, None)
    assert row.fields == {"image": "a.jpg", "a": "x5"}


def test_many_sets_of_names_do_not_fill_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batcher.manifest.expand.PLANS_LIMIT", 3)
    (folder / "rows.jsonl").write_text("".join(json.dumps({f"n{n}": 1}) + "\n" for n in range(10)))
    assert len(read(manifest(folder, "model: a/b\nrows: rows.jsonl\n"), None)) == 10


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(alphabet="ab{}id ", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["id", "image", "imgae", "prompt", "seed", "a", "b", "{a}"])


@pytest.mark.fault("F3")
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.dictionaries(names, values, max_size=4), max_size=4),
    defaults=st.dictionaries(names, values, max_size=3),
    matrix=st.dictionaries(names, st.lists(values, max_size=2) | values, max_size=2),
    known=st.sampled_from([FIELDS, None]),
)
def test_any_data_gives_rows_problems_or_one_error(
    rows: list[dict[str, Any]], defaults: dict[str, Any], matrix: dict[str, Any], known: frozenset[str] | None
) -> None:
    try:
        opened = open_rows(rows, {"job": "x", "defaults": defaults, "matrix": matrix})
    except ManifestError as error:
        found, opened = list[Row | Problem](error.problems), open_rows([{}], {"job": "x"})
    else:
        found = list(opened.rows(known, "image"))
    assert found
    for each in found:
        if isinstance(each, Problem):
            assert str(each)
        else:
            assert isinstance(each, Row)
            assert "id" not in each.fields
            assert "id" not in each.extras
            assert known is None or set(each.fields) <= known
            opened.locate(each, "image")


@pytest.mark.fault("F3")
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200) | st.text(alphabet="abjorws:-[]{}\n ,'\"", max_size=80).map(str.encode), st.sampled_from([None, *Format]))
def test_any_bytes_give_a_manifest_or_one_error(data: bytes, form: Format | None) -> None:
    try:
        opened = open_manifest("-", stdin=io.BytesIO(data), format=form, job="x")
        found = list(opened.rows(None, None))
    except ManifestError as error:
        found = list(error.problems)
    assert found
    assert all(isinstance(each, (Row, Problem)) for each in found)
