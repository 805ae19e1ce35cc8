import collections
import gc
import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batcher.discovery import Definitions
from batcher.errors import InputError, ManifestError, Problem
from batcher.ledger import SqliteLedger
from batcher.manifest import open_manifest, sources
from batcher.manifest.record import Record
from batcher.manifest.sources import ChangedError, Content, Format, format_of, glob_rows, missing_file, names_media
from batcher.model import JobSpec, Lane, Mode, Where
from batcher.plan import Planner

HERE = Where("m.yaml", 4, 1)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder: Path, pattern: str) -> list[tuple[object, object]]:
    rows = list(glob_rows(pattern, folder, "image", HERE)())
    assert all(isinstance(row, Record) for row in rows), rows
    return [(row.fields["id"], row.fields["image"]) for row in rows if isinstance(row, Record)]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"a": 1}\n', Format.JSONL),
        ('\n  {"a": 1}\n', Format.JSONL),
        ('{"a": \n', Format.JSONL),
        ("{\n", Format.YAML),
        ("{a: 1}\n", Format.JSONL),
        ("[1]\n", Format.YAML),
        ("version: 1\n", Format.YAML),
        ("rows:\n", Format.YAML),
        ("# note\n", Format.YAML),
        ("---\n", Format.YAML),
        ("- a: 1\n", Format.YAML),
        ("id,prompt\n", Format.CSV),
        ("prompt\n", Format.CSV),
        ("a;b: c\n", Format.CSV),
        ("\ufeffid,prompt\n", Format.CSV),
        ("", Format.YAML),
        ("{" * 5000, Format.JSONL),
    ],
)
def test_the_format_is_seen_from_the_first_line(text: str, form: Format) -> None:
    assert Content.of_stream(io.BytesIO(text.encode()), "standard input").sniff() is form


def test_the_format_is_seen_from_the_name() -> None:
    assert format_of(Path("a.YML")) is Format.YAML
    assert format_of(Path("a.tsv")) is Format.CSV
    assert format_of(Path("a.ndjson")) is Format.JSONL
    assert format_of(Path("a.json")) is None


def test_a_stream_can_be_read_again_and_by_two_at_once() -> None:
    content = Content.of_stream(io.BytesIO(b'{"a": 1}\n{"a": 2}\n{"a": 3}\n'), "standard input")
    first, second = content.rows(Format.JSONL)(), content.rows(Format.JSONL)()
    pairs = [
        (one.fields["a"], two.fields["a"]) for one, two in zip(first, second, strict=True) if isinstance(one, Record) and isinstance(two, Record)
    ]
    assert pairs == [(1, 1), (2, 2), (3, 3)]
    del content, first, second
    gc.collect()


def test_a_named_pipe_is_kept_and_read_again(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("a\n1\n"))
    writer.start()
    content = Content.of_file(pipe)
    writer.join()
    assert len(list(content.rows(Format.CSV)())) == len(list(content.rows(Format.CSV)())) == 1


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Content.of_file(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        Content.of_file(tmp_path)


def test_a_stream_that_breaks() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            raise OSError(5, "Input/output error")

    stream = io.BufferedReader(Broken())
    with pytest.raises(InputError, match="standard input cannot be read: Input/output error"):
        Content.of_stream(stream, "standard input")


def test_a_file_that_vanishes_or_breaks_between_two_readings_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n")
    source = Content.of_file(path).rows(Format.CSV)
    path.unlink()
    (problem,) = source()
    assert isinstance(problem, Problem)
    assert problem.message == "no such file"

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match="cannot be read: Input/output error"):
        Content("rows.csv", Broken).sniff()
    (problem,) = Content("rows.csv", Broken).rows(Format.CSV)()
    assert str(problem) == "rows.csv: cannot be read: Input/output error"


def test_rows_of_a_program_are_kept_as_they_were() -> None:
    content = Content.of_rows(({"n": n, "path": Path("a") / "b"} for n in range(3)), "rows")
    for _ in range(2):
        assert [record.fields for record in content.rows(Format.JSONL)() if isinstance(record, Record)] == [{"n": n, "path": "a/b"} for n in range(3)]


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_a_row_that_is_no_plain_data_is_refused(value: object) -> None:
    with pytest.raises(ManifestError, match="rows:2: not plain values"):
        Content.of_rows([{"a": 1}, {"a": value}], "rows")


def test_a_pattern_gives_a_row_a_file_sorted_without_hidden_ones(tmp_path: Path) -> None:
    touch(tmp_path, "photos/b.jpg", "photos/a.jpg", "photos/.hidden.jpg", "photos/c.png", "photos/d.jpg/inside.txt")
    assert found(tmp_path, "photos/*.jpg") == [("a", "photos/a.jpg"), ("b", "photos/b.jpg")]


def test_a_folder_gives_its_media_files(tmp_path: Path) -> None:
    touch(tmp_path, "photos/b.JPG", "photos/a.webp", "photos/notes.txt", "photos/.x.jpg", "photos/deep/c.jpg")
    assert found(tmp_path, "photos/") == found(tmp_path, "photos") == [("a", "photos/a.webp"), ("b", "photos/b.JPG")]


def test_one_media_file_is_a_row_even_with_brackets_in_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "mug[1].jpg")
    assert names_media("mug[1].jpg", tmp_path)
    assert found(tmp_path, "mug[1].jpg") == [("mug[1]", "mug[1].jpg")]


def test_equal_stems_get_ids_made_of_their_paths(tmp_path: Path) -> None:
    touch(tmp_path, "front/mug.jpg", "back/Mug.jpg", "back/vase.jpg", "back/lamp.jpg", "back/lamp.png")
    assert found(tmp_path, "*/*") == [
        ("back-Mug", "back/Mug.jpg"),
        ("back/lamp.jpg", "back/lamp.jpg"),
        ("back/lamp.png", "back/lamp.png"),
        ("vase", "back/vase.jpg"),
        ("front-mug", "front/mug.jpg"),
    ]


def test_deep_and_absolute_patterns_work(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/mug.jpg", "vase.jpg")
    assert found(tmp_path, "**/*.jpg") == [("mug", "a/b/mug.jpg"), ("vase", "vase.jpg")]
    assert found(Path("/"), f"{tmp_path}/*.jpg") == [("vase", f"{tmp_path}/vase.jpg")]


def test_braces_in_a_file_name_are_no_template(tmp_path: Path) -> None:
    touch(tmp_path, "mug{1}.jpg")
    assert found(tmp_path, "*.jpg") == [("mug{{1}}", "mug{{1}}.jpg")]


def test_a_pattern_without_match_or_of_files_of_rows_is_a_problem(tmp_path: Path) -> None:
    (problem,) = glob_rows("*.jpg", tmp_path, "image", HERE)()
    assert str(problem).startswith("m.yaml:4:1: rows: no file matches *.jpg")
    touch(tmp_path, "rows.csv")
    (problem,) = glob_rows("*.csv", tmp_path, "image", HERE)()
    assert "rows.csv is a file of rows" in str(problem)


def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    (problem,) = glob_rows(".", tmp_path, "image", HERE)()
    assert "cannot be read: Permission denied" in str(problem)


def test_what_stands_for_media(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.csv", "odd[1].csv")
    assert names_media("*.jpg", tmp_path)
    assert names_media(".", tmp_path)
    assert names_media("a.jpg", tmp_path)
    assert not names_media("a.csv", tmp_path)
    assert not names_media("odd[1].csv", tmp_path)
    assert not names_media("none.csv", tmp_path)


def test_a_missing_file_of_rows_is_told_with_the_nearest(tmp_path: Path) -> None:
    touch(tmp_path, "products.csv")
    assert "did you mean 'products.csv'?" in str(missing_file("product.csv", tmp_path, HERE))
    assert "relative to the manifest" in str(missing_file("zzz", tmp_path, HERE))
    assert "its folder does not exist either" in str(missing_file("none/rows.csv", tmp_path, HERE))


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BUFFER_BYTES", 4096)


def read_and_meddle(path: Path, meddle: Callable[[], object], rows: int) -> list[Any]:
    source = Content.of_file(path).rows(Format.CSV)
    reading = source()
    first = [next(reading) for _ in range(rows)]
    meddle()
    return [*first, *reading]


MEDDLING: dict[str, Callable[[Path], object]] = {
    "appended": lambda path: append(path, "more\n"),
    "rewritten": lambda path: path.write_text("id\nother\n"),
    "emptied": lambda path: path.write_text(""),
    "touched": lambda path: os.utime(path, ns=(1, 1)),
    "replaced": lambda path: (path.with_name("new").write_bytes(path.read_bytes()), path.with_name("new").replace(path)),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.fault("X19")
@pytest.mark.parametrize("how", MEDDLING)
@pytest.mark.parametrize("size", ["within the buffer", "larger than the buffer"])
@pytest.mark.usefixtures("small_buffer")
def test_a_file_that_changes_while_it_is_read_is_refused_as_a_whole(tmp_path: Path, how: str, size: str) -> None:
    path = tmp_path / "rows.csv"
    text = "id\n" + "".join(f"row{n}\n" for n in range(3 if size == "within the buffer" else 5_000))
    path.write_text(text)
    with pytest.raises(ChangedError, match=r"rows\.csv changed while it was read") as caught:
        read_and_meddle(path, lambda: MEDDLING[how](path), rows=2)
    assert "Nothing was submitted" in caught.value.remedy


@pytest.mark.fault("X19")
@pytest.mark.parametrize("how", ["appended", "rewritten", "touched", "replaced"])
def test_a_file_that_changes_between_two_readings_is_refused(tmp_path: Path, how: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id\na\n")
    content = Content.of_file(path)
    assert len(list(content.rows(Format.CSV)())) == 1
    MEDDLING[how](path)
    for read in (lambda: list(content.rows(Format.CSV)()), content.sniff, content.yaml_bytes):
        with pytest.raises(ChangedError):
            read()


@pytest.mark.fault("X19")
@pytest.mark.usefixtures("small_buffer")
async def test_nothing_is_planned_of_a_manifest_that_changes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,prompt\n" + "".join(f"r{n},p\n" for n in range(2_000)))
    (tmp_path / "batch.yaml").write_text("job: text_to_image\nrows: rows.csv\n")
    manifest = open_manifest(tmp_path / "batch.yaml")
    ledger = SqliteLedger(None, threaded=False)

    def items() -> Iterator[JobSpec | Problem]:
        for n, item in enumerate(Planner(manifest, Definitions(), random.Random(0)).items()):
            if n == 20:
                (tmp_path / "rows.csv").write_text("id,prompt\nother,p\n")
            yield item

    with pytest.raises(ChangedError):
        await ledger.plan(items())
    assert sum(ledger.counts().values()) == 0
    assert await ledger.claimable(Lane.REMOTE, Mode.RUN, 10, 0.0, ()) == []
    await ledger.aclose()


@pytest.mark.fault("X19")
@pytest.mark.usefixtures("small_buffer")
def test_a_file_that_grows_for_ever_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id\n" + "x\n" * 4096)
    rows = Content.of_file(path).rows(Format.CSV)()
    with pytest.raises(ChangedError):
        collections.deque(append(path, "x\n") for _ in rows)
