"""Results taken out: whole, or nothing."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from batcher.errors import InputError, OutputError, UsageError
from batcher.events import Accepted, Claimed, Produced, Saved
from batcher.export import export
from batcher.model import Artifact, Review, Verdict
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, Book

CONTENT = {"a": b"first", "b": b"second"}


@pytest.fixture
async def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / "results" / "deep").mkdir(parents=True)
    book = Book(folder / "ledger.db")
    await book.plan(make_spec("a", seed=7), make_spec("b", prompt="=1+1"), make_spec("c"))
    for name, data in CONTENT.items():
        (folder / "results" / "deep" / f"{name}.png").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        file = Artifact(f"results/deep/{name}.png", digest, len(data), "image/png")
        job = await book.move(name, [Claimed(), Accepted(f"req-{name}"), Produced(("https://x",), 0.08), Saved((file,), 1.0)])
        verdict = Verdict.ACCEPTED if name == "b" else Verdict.REJECTED
        await book.ledger.review({job.seq: Review(verdict, "", NOW, f"req-{name}", digest)})
    await book.ledger.aclose()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.fault("G1")
def test_what_was_accepted_is_copied_with_what_made_it(out: Path, tmp_path: Path) -> None:
    done = export(out, tmp_path / "new" / "approved", only_accepted=True)
    assert (done.rows, done.files, done.was_there) == (1, 1, False)
    found = files(tmp_path / "new" / "approved")
    assert sorted(found) == ["deep/b.png", "manifest.csv", "manifest.jsonl"]
    [line] = [json.loads(text) for text in found["manifest.jsonl"].decode().splitlines()]
    assert (line["id"], line["prompt"], line["seed"], line["request_id"]) == ("b", "=1+1", None, "req-b")
    assert hashlib.sha256(found[line["file"]]).hexdigest() == line["sha256"]
    [row] = csv.DictReader(found["manifest.csv"].decode().splitlines())
    assert (row["prompt"], row["file"]) == ("'=1+1", "deep/b.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["approved"]


def test_the_same_export_again_changes_nothing_and_another_one_is_refused(out: Path, tmp_path: Path) -> None:
    export(out, tmp_path / "new", only_accepted=True)
    before = files(tmp_path / "new")
    assert export(out, tmp_path / "new", only_accepted=True).was_there
    with pytest.raises(OutputError, match="holds another export"):
        export(out, tmp_path / "new", only_accepted=False)
    assert files(tmp_path / "new") == before
    (tmp_path / "new" / "deep" / "b.png").write_bytes(b"edited")
    with pytest.raises(OutputError, match="was changed since"):
        export(out, tmp_path / "new", only_accepted=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="is there already"):
        export(out, tmp_path / "empty", only_accepted=True)


def test_hard_links_are_the_files_themselves(out: Path, tmp_path: Path) -> None:
    export(out, tmp_path / "new", only_accepted=False, by_link=True)
    assert (tmp_path / "new" / "deep" / "a.png").samefile(out / "results" / "deep" / "a.png")


@pytest.mark.fault("X9")
@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize("harm", ["missing", "altered", "link"])
def test_a_result_that_is_not_what_was_saved_is_not_exported(out: Path, tmp_path: Path, harm: str, by_link: bool) -> None:
    path = out / "results" / "deep" / "b.png"
    path.unlink()
    if harm == "altered":
        path.write_bytes(b"sec0nd")
    elif harm == "link":
        (tmp_path / "secret.png").write_bytes(b"second")
        path.symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="nothing was exported"):
        export(out, tmp_path / "new", only_accepted=True, by_link=by_link)
    assert sorted(path.name for path in tmp_path.iterdir()) == (["out", "secret.png"] if harm == "link" else ["out"])


async def test_there_has_to_be_something_to_take_and_a_place_for_it(out: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="lies among the results"):
        export(out, out / "results" / "mine", only_accepted=True)
    book = Book(out / "ledger.db")
    await book.ledger.review({1: None, 2: None})
    await book.ledger.aclose()
    with pytest.raises(UsageError, match="no row is accepted"):
        export(out, tmp_path / "new", only_accepted=True)
