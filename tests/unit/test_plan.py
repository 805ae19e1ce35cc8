from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batcher.definition import Definition, ImageRef, ModelInput, Request
from batcher.discovery import Definitions
from batcher.errors import ManifestError, Problem
from batcher.ledger import SqliteLedger
from batcher.manifest import Manifest, open_manifest, open_rows
from batcher.model import JobSpec, Json, Where
from batcher.plan import Planner, choose_recipe, fingerprint
from tests.support.sample_bytes import mp4, picture

KONTEXT = "blackforestlabs/flux-1-kontext/max/edit"
LINK = "https://files.example/mug.png"


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return Definitions()


class Desk:
    """Plans what it is given, beside a folder of pictures."""

    def __init__(self, folder: Path, definitions: Definitions) -> None:
        self.folder = folder
        self.definitions = definitions

    def planner(self, manifest: Manifest, seed: int = 0) -> Planner:
        return Planner(manifest, self.definitions, random.Random(seed))

    def plan(self, *rows: Mapping[str, Json], seed: int = 0, **head: Any) -> list[JobSpec | Problem]:
        return list(self.planner(open_rows(rows, head, base_dir=self.folder), seed).items())

    def specs(self, *rows: Mapping[str, Json], seed: int = 0, **head: Any) -> list[JobSpec]:
        items = self.plan(*rows, seed=seed, **head)
        assert all(isinstance(item, JobSpec) for item in items), items
        return [item for item in items if isinstance(item, JobSpec)]

    def spec(self, seed: int = 0, head: Mapping[str, Any] | None = None, **row: Json) -> JobSpec:
        (spec,) = self.specs(row, seed=seed, **(head or {}))
        return spec

    def problem(self, head: Mapping[str, Any], **row: Json) -> Problem:
        (item,) = self.plan(row, **head)
        assert isinstance(item, Problem), item
        return item

    def file(self, name: str, text: str) -> list[JobSpec | Problem]:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return list(self.planner(open_manifest(path)).items())

    def picture(self, name: str, seed: int = 1) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed=seed))
        return path


@pytest.fixture
def desk(tmp_path: Path, definitions: Definitions) -> Desk:
    return Desk(tmp_path, definitions)


REPLACE = {"job": "background_replacement"}
RAW = {"model": "acme/paint/v2"}


# ── what becomes of a row ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_typed_job_becomes_the_request_of_its_model(desk: Desk) -> None:
    spec = desk.spec(head=REPLACE, id="mug", image=LINK, background="a beach", aspect_ratio="1:1")
    assert (spec.job, spec.model, spec.key, spec.row_id, spec.stem, spec.where) == (
        "background_replacement",
        KONTEXT,
        "id:mug",
        "mug",
        "mug",
        "rows:1",
    )
    assert spec.body == {
        "prompt": "Replace the background with a beach; keep the subject and its pose unchanged",
        "image_url": LINK,
        "aspect_ratio": "1:1",
    }
    assert spec.fields == {"image": LINK, "background": "a beach", "aspect_ratio": "1:1"}
    assert spec.inputs == ()
    assert json.loads(json.dumps(spec.body)) == spec.body


def test_a_model_that_a_definition_knows_is_checked_by_its_own_field_names(desk: Desk) -> None:
    head = {"model": KONTEXT}
    spec = desk.spec(head=head, prompt="p", image_url=LINK)
    assert (spec.job, spec.model, spec.body) == ("raw", KONTEXT, {"prompt": "p", "image_url": LINK})
    assert "required, but missing" in desk.problem(head, prompt="p").message
    assert "one of" in desk.problem(head, prompt="p", image_url=LINK, aspect_ratio="7:7").message
    typo = desk.plan({"prompt": "p", "image_url": LINK, "aspect_rato": "1:1"}, **head)[0]
    assert isinstance(typo, Problem)
    assert typo.field == "aspect_rato"
    assert "aspect_ratio" in str(typo)


def test_each_row_may_name_its_own_model_and_is_checked_by_that(desk: Desk) -> None:
    rows = [{"model": KONTEXT, "prompt": "p", "image_url": LINK}, {"model": "acme/paint/v2", "prompt": "p", "anything": {"deep": [1, None]}}]
    typed, free = desk.specs(*rows, job="raw")
    assert (typed.model, typed.body) == (KONTEXT, {"prompt": "p", "image_url": LINK})
    assert (free.model, free.body) == ("acme/paint/v2", {"prompt": "p", "anything": {"deep": [1, None]}})
    (problem,) = desk.plan({"model": KONTEXT, "prompt": "p", "image_url": LINK, "sed": 3}, job="raw")
    assert isinstance(problem, Problem)
    assert (problem.field, problem.where) == ("sed", Where("rows", 1))
    assert "seed" in str(problem)


def test_a_model_that_nobody_knows_is_sent_the_row_as_it_is(desk: Desk) -> None:
    spec = desk.spec(head=RAW, prompt="p", n=3, size=[1, 2], empty=None)
    assert (spec.job, spec.model, spec.body) == ("raw", "acme/paint/v2", {"prompt": "p", "n": 3, "size": [1, 2]})


def test_a_model_given_beside_a_job_is_the_choice_of_every_row_that_makes_none(desk: Desk) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b", "model": "gpt-image-2"}]
    models = [spec.model for spec in desk.specs(*rows, job="text_to_image", model="nano-banana-2-lite")]
    assert models == ["google/nano-banana-2-lite/text-to-image", "openai/gpt-image-2/text-to-image"]


def test_the_names_of_jobs_and_their_models_are_checked_before_any_row(desk: Desk) -> None:
    for head, field, words in (
        ({"job": "background_replacment"}, "job", "background_replacement"),
        ({"job": "free", "model": "x/y"}, "model", "chooses its model itself"),
    ):
        with pytest.raises(ManifestError) as caught:
            choose_recipe(open_rows([{}], head), OneJob() if head["job"] == "free" else desk.definitions)
        (problem,) = caught.value.problems
        assert problem.field == field
        assert words in str(problem)


class Free(Definition):
    text: str

    def request(self) -> Request:
        return Request(model="acme/free", body={"text": self.text})


class OneJob(Definitions):
    def __init__(self) -> None:
        super().__init__()
        self._loaded["free"] = Free
        self._entries["free"] = self._entries["raw"]


class Strict(ModelInput):
    models = ("acme/strict",)
    n: int


class LateJob(Definition):
    n: int

    def request(self) -> Request:
        return Request(model="acme/strict", body=Strict.model_validate({"n": self.n if self.n < 10 else "many"}).body())


def test_a_request_that_its_own_model_refuses_is_a_problem_of_the_row(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    definitions = Definitions()
    definitions._loaded["image_edit"] = LateJob
    desk.definitions = definitions
    good, bad = desk.plan({"n": 1}, {"n": 10}, job="image_edit")
    assert isinstance(good, JobSpec)
    assert isinstance(bad, Problem)
    assert (bad.where, bad.field) == (Where("rows", 2), "n")


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_local_picture_is_an_input_and_counts_by_its_bytes(desk: Desk) -> None:
    photo = desk.picture("photos/mug.png")
    spec = desk.spec(head=REPLACE, image="photos/mug.png", background="a beach")
    assert spec.body["image_url"] == {"$input": 0}
    (file,) = spec.inputs
    assert (file.path, file.size_bytes, file.media_type) == (str(photo), photo.stat().st_size, "image/png")
    assert spec.fields["image"] == "photos/mug.png"
    desk.picture("other/name.png")
    assert desk.spec(head=REPLACE, image="other/name.png", background="a beach").fingerprint == spec.fingerprint
    desk.picture("photos/mug.png", seed=2)
    assert desk.spec(head=REPLACE, image="photos/mug.png", background="a beach").fingerprint != spec.fingerprint


def test_an_absolute_path_is_taken_as_it_is(desk: Desk) -> None:
    photo = desk.picture("mug.png")
    assert desk.spec(head=REPLACE, image=str(photo), background="b").inputs[0].path == str(photo)


def test_several_pictures_keep_their_order_and_one_that_is_used_twice_is_one_input(desk: Desk) -> None:
    for n in (1, 2):
        desk.picture(f"{n}.png", seed=n)
    head = {"job": "image_edit", "model": "seedream-5.0-pro"}
    spec = desk.spec(head=head, prompt="p", image=["1.png", LINK, "2.png", "1.png"])
    assert spec.body["image"] == [{"$input": 0}, LINK, {"$input": 1}, {"$input": 0}]
    assert [Path(file.path).name for file in spec.inputs] == ["1.png", "2.png"]
    assert desk.spec(head=head, prompt="p", image=["2.png", LINK, "1.png", "1.png"]).fingerprint != spec.fingerprint


@pytest.mark.parametrize(
    "link",
    [LINK, "HTTPS://Files.Example/a.png", "http://127.0.0.1:8000/a.png", "http://localhost/a", "http://[::1]:9/a", "data:image/png;base64,AA=="],
)
def test_links_and_data_uris_are_passed_on_as_they_are(desk: Desk, link: str) -> None:
    spec = desk.spec(head=REPLACE, image=link, background="b")
    assert (spec.body["image_url"], spec.inputs) == (link, ())


@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("http://files.example/a.png", "is not https"),
        ("https:///a.png", "has no host"),
        ("https://[::1/a.png", "is not a usable address"),
        ("ftp://files.example/a.png", "is neither an https link nor a local path"),
        ("file:///a.png", "is neither an https link nor a local path"),
        ("missing.png", "does not exist"),
        ("folder", "is a folder"),
        ("notes.png", "not"),
        ("clip.mp4", "not image as asked for here"),
        ("half.png", "half.png is"),
        ("x" * 3000 + ".png", "cannot be read"),
    ],
)
def test_what_cannot_be_sent_is_a_problem_with_its_place(desk: Desk, image: str, message: str) -> None:
    (desk.folder / "folder").mkdir()
    (desk.folder / "notes.png").write_text("not a picture")
    (desk.folder / "clip.mp4").write_bytes(mp4())
    (desk.folder / "half.png").write_bytes(picture()[:-500])
    problem = desk.problem(REPLACE, image=image, background="b")
    assert message in problem.message
    assert (problem.where, problem.field) == (Where("rows", 1), "image")


@pytest.mark.parametrize("uri", ["data:video/mp4;base64,AA==", "data:text/html,x", "data:,x"])
def test_a_data_uri_of_something_else_than_a_picture(desk: Desk, uri: str) -> None:
    problem = desk.problem(REPLACE, image=uri, background="b")
    assert problem.field == "image"
    assert "is not a data URI of an image" in problem.message


@pytest.mark.parametrize("head", [RAW, {"job": "raw"}])
def test_fields_of_an_unknown_model_that_hold_pictures_are_declared(desk: Desk, head: dict[str, str]) -> None:
    desk.picture("a.png")
    row = {"model": "acme/paint/v2", "source": "a.png", "more": [LINK, "a.png"], "prompt": "a.png is not here.png"}
    spec = desk.spec(head={**head, "image_fields": ["source", "more", "unused"]}, **row)
    assert spec.body == {"source": {"$input": 0}, "more": [LINK, {"$input": 0}], "prompt": row["prompt"]}


def test_a_local_file_in_a_field_that_was_not_declared_would_be_paid_for_in_vain(desk: Desk) -> None:
    desk.picture("photos/a.JPG")
    problem = desk.problem(RAW, prompt="p", source="photos/a.JPG")
    assert problem.field == "source"
    assert problem.message == "'photos/a.JPG' is a local file, and would be sent as text"
    assert problem.hint == "declare the field: image_fields: [source] in the manifest, or --image-field source"
    several = desk.problem(RAW, prompt="p", sources=["photos/none.jpg", "photos/a.JPG"])
    assert several.field == "sources"


@pytest.mark.parametrize("text", ["like photos/none.jpg", "none.jpg", "x" * 300 + ".png", "https://x/a.png", "data:a.png", "a\nb.png"])
def test_text_that_only_looks_like_a_file_is_text(desk: Desk, text: str) -> None:
    assert desk.spec(head=RAW, prompt=text).body == {"prompt": text}


def test_rows_can_be_a_folder_of_pictures(desk: Desk) -> None:
    desk.picture("photos/b.png")
    desk.picture("photos/a.png", seed=2)
    items = desk.file("batch.yaml", "job: background_replacement\nrows: photos/*.png\ndefaults: {background: a beach}\n")
    assert [Path(item.inputs[0].path).name for item in items if isinstance(item, JobSpec)] == ["a.png", "b.png"]
    items = desk.file("typed.yaml", f"model: {KONTEXT}\nrows: photos/*.png\ndefaults: {{prompt: p}}\n")
    assert [item.body["image_url"] for item in items if isinstance(item, JobSpec)] == [{"$input": 0}] * 2
    items = desk.file("free.yaml", "model: acme/x\nimage_fields: [source]\nrows: photos/*.png\ndefaults: {prompt: p}\n")
    assert [item.body["source"] for item in items if isinstance(item, JobSpec)] == [{"$input": 0}] * 2


def test_the_words_that_stand_for_a_file_are_reserved(desk: Desk) -> None:
    problem = desk.problem(RAW, prompt="", lora={"deep": [{"$input": 0}]})
    assert (problem.field, problem.message) == ("lora", "the key $input is reserved")


# ── seeds ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_random_seed_is_drawn_at_planning_and_does_not_count_for_identity(desk: Desk) -> None:
    one, other = (desk.specs({"image": LINK, "background": "b", "seed": "random"}, seed=n, job="background_replacement")[0] for n in (1, 2))
    assert one.body["seed"] != other.body["seed"]
    assert type(one.body["seed"]) is int
    assert 0 <= one.body["seed"] <= 2**31 - 1
    assert one.fingerprint == other.fingerprint
    fixed = desk.specs({"image": LINK, "background": "b", "seed": one.body["seed"]}, job="background_replacement")[0]
    assert fixed.fingerprint != one.fingerprint


def test_every_row_draws_a_seed_of_its_own_wherever_it_stands(desk: Desk) -> None:
    rows = [{"prompt": f"p{n}", "seed": "random"} for n in range(5)]
    seeds = {spec.body["seed"] for spec in desk.specs(*rows, **RAW)}
    assert len(seeds) == 5


async def test_a_seed_once_drawn_is_kept_however_often_the_batch_is_planned(desk: Desk) -> None:
    rows = [{"prompt": "a", "seed": "random"}, {"prompt": "a", "seed": "random"}, {"id": "named", "prompt": "b", "seed": "random"}]
    ledger = SqliteLedger(None, threaded=False)

    async def seeds(order: list[dict[str, str]], seed: int) -> dict[str, Json]:
        await ledger.plan(desk.plan(*order, seed=seed, **RAW))
        found = await ledger._writer.do(lambda c: c.execute("SELECT row_id, body FROM specs").fetchall())
        return {row[0]: json.loads(row[1])["seed"] for row in found}

    first = await seeds(rows, 1)
    assert len(set(first.values())) == 3
    assert await seeds(rows, 2) == first
    assert await seeds(rows[::-1], 3) == first
    rows[2]["prompt"] = "changed"
    later = await seeds(rows, 4)
    assert {name: value for name, value in later.items() if name != "named"} == {name: value for name, value in first.items() if name != "named"}
    await ledger.aclose()


# ── identity ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_without_id_is_known_by_its_request(desk: Desk) -> None:
    spec = desk.spec(head=RAW, prompt="p", n=1)
    assert spec.key == spec.fingerprint
    assert spec.row_id == spec.stem == spec.fingerprint[:12]
    assert desk.spec(head=RAW, n=1, prompt="p").fingerprint == spec.fingerprint, "the order of the fields says nothing"
    for change in ({"prompt": "q", "n": 1}, {"prompt": "p", "n": 2}, {"prompt": "p", "n": "1"}, {"prompt": "p", "n": True}, {"prompt": "p"}):
        assert desk.spec(head=RAW, **change).fingerprint != spec.fingerprint
    assert desk.spec(head={"model": "acme/other"}, prompt="p", n=1).fingerprint != spec.fingerprint


def test_neither_its_place_nor_its_id_changes_what_a_row_is(desk: Desk) -> None:
    rows = [{"prompt": f"p{n}"} for n in range(4)]
    forth, back = desk.specs(*rows, **RAW), desk.specs(*rows[::-1], **RAW)
    assert [replace(spec, where="") for spec in forth] == [replace(spec, where="") for spec in back[::-1]]
    named = desk.spec(head=RAW, id="a", prompt="p0")
    assert named.fingerprint == forth[0].fingerprint
    assert named.key == "id:a"


def test_extras_and_axes_are_kept_and_count_for_nothing(desk: Desk) -> None:
    head = {**RAW, "extra_fields": ["shelf"], "matrix": {"style": ["oil", "ink"]}, "defaults": {"prompt": "in {style} from {shelf}"}}
    oil, ink = desk.specs({"id": "a", "shelf": "x"}, **head)
    assert (oil.row_id, ink.row_id) != ("a", "a")
    assert oil.axes == {"style": "oil"}
    assert oil.body["prompt"] == "in oil from x"
    assert oil.fields["shelf"] == "x"
    assert "shelf" not in oil.body


def test_the_hash_of_a_request_is_stable() -> None:
    assert fingerprint("acme/x", {"b": 1, "a": "\u00fc"}) == fingerprint("acme/x", {"a": "\u00fc", "b": 1})
    assert fingerprint("acme/x", {"a": "\ud83d"}) != fingerprint("acme/x", {"a": "\ud83e"})
    assert len(fingerprint("m", {})) == 32


# ── names of files ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "stem"),
    [
        ("{id}", "mug"),
        ("{style}/{id}-{background}", "oil/mug-a beach"),
        ("plain", "plain"),
        ("{shelf}", "s 1"),
    ],
)
def test_the_pattern_of_names_sees_id_fields_axes_and_extras(desk: Desk, pattern: str, stem: str) -> None:
    head = {**REPLACE, "output": {"name": pattern}, "matrix": {"style": ["oil"]}, "extra_fields": ["shelf"]}
    (spec,) = desk.specs({"id": "mug", "image": LINK, "background": "a beach", "details": "in {style}", "shelf": "s 1"}, **head)
    assert spec.stem == stem.replace("mug", spec.row_id)


@pytest.mark.fault("F6", "B8")
def test_a_value_never_makes_a_folder_or_leaves_the_output_folder(desk: Desk) -> None:
    head = {**RAW, "output": {"name": "out/{prompt}"}}
    for prompt in ("../../etc/passwd", "/abs", "a/b", "..", "."):
        stem = desk.spec(head=head, id="x", prompt=prompt).stem
        assert stem.startswith("out/")
        assert stem.count("/") == 1
        assert stem.split("/")[1] not in ("", ".", "..")


def test_a_pattern_that_a_row_cannot_fill_is_a_problem_of_that_row(desk: Desk) -> None:
    head = {**RAW, "output": {"name": "{shelf}-{id}"}}
    good, bad = desk.plan({"id": "a", "prompt": "p", "shelf": "s"}, {"id": "b", "prompt": "p", "shelf": None}, **head)
    assert isinstance(good, JobSpec)
    assert isinstance(bad, Problem)
    assert (bad.field, bad.where) == ("output.name", Where("rows", 2))


# ── problems ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_problem_names_its_field_and_its_place_and_all_come_in_one_go(desk: Desk) -> None:
    desk.picture("a.png")
    (desk.folder / "rows.csv").write_text(
        "id,image,background,seed,aspect_ratio\n"
        "good,a.png,a beach,7,1:1\n"
        "gone,missing.png,a beach,,\n"
        "two,missing.png,,x,1:7\n"
        "late,a.png,a beach,99999999999,\n",
        encoding="utf-8",
    )
    manifest = open_manifest(desk.folder / "rows.csv", job="background_replacement")
    items = list(desk.planner(manifest).items())
    problems = [item for item in items if isinstance(item, Problem)]
    assert [item.row_id for item in items if isinstance(item, JobSpec)] == ["good"]
    assert {(problem.where.line, problem.field) for problem in problems} == {
        (3, "image"),
        (4, "background"),
        (4, "image"),
        (4, "seed"),
        (4, "aspect_ratio"),
        (5, "seed"),
    }
    assert all(problem.where.file.endswith("rows.csv") for problem in problems)


def test_a_fault_in_the_defaults_is_told_where_the_defaults_are(desk: Desk) -> None:
    items = desk.file("b.yaml", "job: background_replacement\ndefaults:\n  background: b\n  image: gone.png\nrows:\n  - id: a\n")
    (problem,) = (item for item in items if isinstance(item, Problem))
    assert (problem.where.line, problem.field) == (4, "image")


def test_a_problem_of_the_manifest_itself_is_passed_on(desk: Desk) -> None:
    (problem,) = desk.plan(job="text_to_image")
    assert isinstance(problem, Problem)
    assert "no rows" in problem.message


def test_a_picture_whose_path_stands_in_no_field_is_told_by_the_models_name(desk: Desk) -> None:
    class Indirect(Definition):
        name: str

        def request(self) -> Request:
            return Request(model="acme/x", body={"deep": {"image": ImageRef(f"{self.name}.png")}})

    definitions = Definitions()
    definitions._loaded["image_edit"] = Indirect
    desk.definitions = definitions
    problem = desk.problem({"job": "image_edit"}, name="gone")
    assert problem.field == "deep"
    assert "does not exist" in problem.message


# ── files outside of the manifest's folder ────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("X18")
def test_a_picture_outside_of_the_manifests_folder_is_refused_with_line_and_remedy(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    stranger = Desk(tmp_path_factory.mktemp("stranger"), desk.definitions)
    outside = desk.picture("mine.png")
    stranger.folder.joinpath("link.png").symlink_to(outside)
    images = [str(outside), f"../{desk.folder.name}/mine.png", os.path.relpath(outside, stranger.folder), "link.png"]
    listing = "".join(f"  - {{id: r{n}, image: {image}, background: a beach}}\n" for n, image in enumerate(images))
    problems = stranger.file("batch.yaml", f"job: background_replacement\nrows:\n{listing}")
    assert len(problems) == len(images)
    for n, problem in enumerate(problems):
        assert isinstance(problem, Problem)
        assert (problem.where.line, problem.field) == (n + 3, "image")
        assert "leads outside of the manifest's folder" in problem.message
        assert "--allow-outside-inputs" in problem.hint
    allowed = open_manifest(stranger.folder / "batch.yaml", allow_outside_inputs=True)
    specs = list(stranger.planner(allowed).items())
    assert {spec.inputs[0].sha256 for spec in specs if isinstance(spec, JobSpec)} == {desk_hash(outside)}
    assert len(specs) == len(images)


def desk_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.fault("X18")
@pytest.mark.parametrize("rows", ["../rows.csv", "photos/../../rows.csv", "linked.csv", "../*.png", "..", "photos/*/../../../*.png", "/"])
def test_rows_outside_of_the_manifests_folder_are_neither_read_nor_listed(desk: Desk, rows: str) -> None:
    desk.picture("mine.png")
    (desk.folder / "rows.csv").write_text("image\nmine.png\n")
    stranger = Desk(desk.folder / "stranger", desk.definitions)
    stranger.picture("photos/a.png")
    (stranger.folder / "linked.csv").symlink_to("../rows.csv")
    with pytest.raises(ManifestError) as caught:
        stranger.file("batch.yaml", f"job: background_replacement\ndefaults: {{background: x}}\nrows: '{rows}'\n")
    (problem,) = caught.value.problems
    assert problem.message.endswith("leads outside of the manifest's folder")
    assert "batch.yaml:3" in str(problem)
    assert "--allow-outside-inputs" in problem.hint


@pytest.mark.fault("X18")
def test_the_manifest_itself_cannot_let_its_files_be_anywhere(desk: Desk) -> None:
    for head in ({"run": {"allow_outside_inputs": True}}, {"allow_outside_inputs": True}, {"input": {"allow_outside": True}}):
        with pytest.raises(ManifestError, match="not a known key"):
            desk.plan({"image": "/etc/hosts", "background": "x"}, **REPLACE, **head)


@pytest.mark.fault("X18")
def test_rows_from_a_program_start_from_its_folder_and_stay_there(desk: Desk) -> None:
    outside = desk.picture("mine.png")
    inner = desk.folder / "inner"
    inner.mkdir()
    row: dict[str, Json] = {"image": str(outside), "background": "a beach"}
    (problem,) = desk.planner(open_rows([row], REPLACE, base_dir=inner)).items()
    assert isinstance(problem, Problem)
    assert "leads outside" in problem.message
    (spec,) = desk.planner(open_rows([row], REPLACE, base_dir=inner, allow_outside_inputs=True)).items()
    assert isinstance(spec, JobSpec)


@pytest.mark.fault("X18", "F9")
@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_pipe_for_a_picture_or_for_rows_is_refused_without_waiting(desk: Desk) -> None:
    os.mkfifo(desk.folder / "pipe.png")
    assert "not a regular file" in desk.problem(REPLACE, image="pipe.png", background="x").message
    os.mkfifo(desk.folder / "pipe.csv")
    with pytest.raises(ManifestError, match="not a regular file"):
        desk.file("batch.yaml", "job: background_replacement\nrows: pipe.csv\n")
