"""Any manifest, through all of planning: it is planned, or refused with an error of ours, and nothing else ever happens."""

from __future__ import annotations

import io
import json
import random
import re
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batcher.discovery import Definitions
from batcher.errors import ManifestError
from batcher.ledger import SqliteLedger
from batcher.manifest import Format, open_manifest, open_rows
from batcher.manifest.manifest import Manifest
from batcher.model import Job, Lane, Mode
from batcher.naming import STEM_LIMIT_BYTES, file_stem, name_key
from batcher.plan import Planner
from batcher.ports import PlanSummary

pytestmark = pytest.mark.no_cover

few = settings(derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
DEFINITIONS = Definitions()


async def planned(manifest: Manifest) -> tuple[PlanSummary, list[Job]]:
    ledger = SqliteLedger(None, threaded=False)
    try:
        summary = await ledger.plan(Planner(manifest, DEFINITIONS, random.Random(0)).items())
        return summary, await ledger.claimable(Lane.REMOTE, Mode.RUN, 1000, 0.0, ())
    finally:
        await ledger.aclose()


async def planned_or_refused(data: bytes, form: Format) -> None:
    """Anything raised but an error of ours, with a message of whole lines, fails the test."""
    try:
        summary, jobs = await planned(open_manifest("-", stdin=io.BytesIO(data), format=form, job="text_to_image"))
    except ManifestError as error:
        problems = error.problems
    else:
        assert len(jobs) == summary.total > 0
        assert all(json.loads(json.dumps(job.spec.body)) == job.spec.body for job in jobs)
        return
    lines = data.count(b"\n") + data.count(b"\r") + 1
    assert problems
    assert all("\n" not in str(problem) for problem in problems)
    assert all(problem.where.line is None or 1 <= problem.where.line <= lines for problem in problems)


NUMBERS = ["0", "-0", "1e400", "1e-400", "NaN", "-Infinity", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "9" * 400, "012"]
STRINGS = ['"x"', '"\\ud83d"', '"\\u0000"', '"{prompt}"', '"{x.__class__}"', '"$HOME"', '"\u202e"', '"' + "[" * 60 + '"', '"no"', '"a\nb"']
SHAPES = ["[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, "[]", "{}", "null", "true", '{"a":1,"a":2}', "[[[1]]]"]
NAMES = ["prompt", "id", "model", "aspect_ratio", "image", "job", "$input", "__proto__", "prompt ", "PROMPT", ""]
json_line = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NUMBERS, *STRINGS, *SHAPES])), max_size=4).map(
    lambda pairs: "{" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}"
)
line_end = st.sampled_from(["\n", "\r\n", "\r", "\n\n", ""])
noise = st.binary(max_size=6) | st.sampled_from([b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b'"', b"{", b"]", b"\\"])


@st.composite
def spoilt(draw: st.DrawFn, lines: st.SearchStrategy[str]) -> bytes:
    """A file of such lines, with bytes put in at some place, or left out of it."""
    data = "".join(line + draw(line_end) for line in draw(st.lists(lines, max_size=4))).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(noise) + data[at + draw(st.integers(0, 3)) :]
    return data


@pytest.mark.fault("F3", "F2")
@few
@given(spoilt(json_line))
async def test_any_json_lines(data: bytes) -> None:
    await planned_or_refused(data, Format.JSONL)


csv_cell = st.sampled_from(
    ["x", "", '"a, b"', '"', '"a""b"', "=1+1", "[1]", '"[""a""]"', "{prompt}", "{", "a\tb", "é", "1:1", ";", "x" * 300, "CON", "../x"]
)
csv_line = st.lists(csv_cell, max_size=4).map(",".join) | st.just("id,prompt") | st.just("id;prompt;aspect_ratio")


@pytest.mark.fault("F3", "F4", "F2")
@few
@given(spoilt(csv_line))
async def test_any_csv(data: bytes) -> None:
    await planned_or_refused(b"id,prompt\n" + data, Format.CSV)


yaml_value = st.sampled_from(
    [
        *["x", "no", "012", "2024-01-01", "12:30:00", "0x1F", "1e400", ".nan", "~", "&a [*a]", "&a {b: *a}", "*a", "!!python/name:os.system x"],
        *["!!binary eA==", "{prompt}", "'{prompt}'", "'{x!r}'", "|\n    text", "[1, [2]]", "{a: 1, a: 2}", "<<", "? a", "- b", '"\\ud83d"', '"\\0"'],
        *["@x", "[" * 60],
    ]
)
yaml_line = st.builds(
    lambda dash, name, value: f"{dash}{name}: {value}",
    st.sampled_from(["- ", "  ", "", "    "]),
    st.sampled_from([*NAMES, "<<", "matrix"]),
    yaml_value,
)


@pytest.mark.fault("F5", "F3")
@few
@given(spoilt(yaml_line), st.booleans())
async def test_any_yaml(data: bytes, has_head: bool) -> None:
    await planned_or_refused((b"job: text_to_image\nrows:\n" if has_head else b"") + data, Format.YAML)


leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
odd = st.sampled_from([2**63, 2**64, -(2**63) - 1, "{prompt}", "\ud800"])
plain = leaf | odd | st.lists(leaf | odd, max_size=2) | st.dictionaries(st.sampled_from(["a", "$input", "url"]), leaf | odd, max_size=2)


@pytest.mark.fault("F3")
@few
@given(st.lists(st.dictionaries(st.sampled_from(["prompt", "id", "model", "aspect_ratio", "n"]), plain, max_size=3), max_size=2), st.booleans())
async def test_any_rows_of_a_program(rows: list[dict[str, Any]], is_typed: bool) -> None:
    with suppress(ManifestError):
        await planned(open_rows(rows, {"job": "text_to_image"} if is_typed else {"model": "acme/paint/v1"}))


# ── ids and names, from the manifest to the file ──────────────────────────────────────────────────────────────────────

NASTY = [
    *["../up", "..", ".", "/etc/passwd", "a/b", "a\\b", "C:x", "a:b", "CON", "con", "nul.txt", "NUL .x", "com1", "lpt9.tar.gz", "end.", "end", "-rf"],
    *[
        "x" * 200,
        "x" * 199 + "y",
        "é" * 150,
        "e\u0301" * 90,
        "Mug",
        "mug",
        "MUG",
        "straße",
        "STRASSE",
        "\u212b",
        "\xc5",
        "A\u030a",
        "ﬁ",
        "fi",
        "🎨🎨",
    ],
    *[
        "👩\u200d👩",
        "\u202egnp.exe",
        "\ufeffbom",
        "a\u200bb",
        "ab",
        "$HOME",
        "%2e%2e",
        "*",
        "?",
        "|",
        "<x>",
        '"q"',
        "'",
        "`id`",
        "\u0130",
        "i\u0307",
        "~",
    ],
]
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
nasty_text = st.text(letters, min_size=1, max_size=60) | st.text(st.sampled_from("./\\:aA\u0301é\u202e \n"), min_size=1, max_size=8)


def assert_safe(stem: str) -> None:
    for part in stem.split("/"):
        assert 0 < len(f"{part}-99.webm".encode()) <= 255
        assert part not in (".", "..")
        assert not set(part) & set('<>:"\\|?*')
        assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in part)
        assert part == part.strip(". ")


def literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@pytest.mark.fault("F6", "F7", "B8")
@few
@given(st.lists(nasty_text | st.sampled_from(NASTY), min_size=1, max_size=6, unique=True), st.sampled_from(["{id}", "{prompt}/{id}", "{prompt}"]))
async def test_whatever_ids_and_values_say_files_stay_inside_and_apart(names: list[str], pattern: str) -> None:
    rows = [{"id": literal(name) if "id" in pattern else f"r{n}", "prompt": literal(name)} for n, name in enumerate(names)]
    try:
        _, jobs = await planned(open_rows(rows, {"model": "acme/paint/v1", "output": {"name": pattern}}))
    except ManifestError as error:
        problems = error.problems
    else:
        problems = ()
        stems = [job.spec.stem for job in jobs]
        for stem in stems:
            assert stem.count("/") == pattern.count("/")
            assert_safe(stem)
        assert len({unicodedata.normalize("NFC", stem).casefold() for stem in stems}) == len(stems) > 0
    assert all(problem.field == "id" or "would write the same file" in problem.message for problem in problems), problems


@pytest.mark.fault("F7")
@pytest.mark.parametrize(
    ("one", "other"), [("Mug", "mug"), ("straße", "STRASSE"), ("Café", "cafÉ"), ("\xc5", "\xe5"), ("\u1e9e", "ss"), ("ﬁ", "FI"), ("a.B", "A.b")]
)
async def test_two_ids_that_some_disk_takes_for_one_are_refused(one: str, other: str) -> None:
    with pytest.raises(ManifestError, match="would write the same file") as caught:
        await planned(open_rows([{"id": one, "prompt": "x"}, {"id": other, "prompt": "y"}], {"job": "text_to_image"}))
    (problem,) = caught.value.problems
    assert problem.where.line == 2


@pytest.mark.fault("F7")
@pytest.mark.parametrize(("one", "other"), [("Caf\u00e9", "Cafe\u0301"), ("\u212b", "\xc5"), ("a/b", "a\\b"), ("CON", "con"), ("x.", "x")])
async def test_two_ids_of_which_one_has_to_be_altered_get_files_of_their_own(one: str, other: str) -> None:
    _, jobs = await planned(open_rows([{"id": one, "prompt": "x"}, {"id": other, "prompt": "y"}], {"job": "text_to_image"}))
    assert len({name_key(job.spec.stem) for job in jobs}) == 2


@pytest.mark.fault("F6", "F7")
def test_a_hundred_thousand_ids_of_parts_that_trouble_disks_stay_inside_and_apart() -> None:
    rng = random.Random(7)
    parts = [*NASTY, "/", "..", "\\", "\n", "\r", "\t", "\x1b", "\0", "\u2028", " ", ".", ":", "a", "B", "é", "e\u0301"]
    texts: set[str] = set()
    while len(texts) < 100_000:
        texts.add("".join(rng.choices(parts, k=rng.randint(1, 5))))
    stems = {text: file_stem(text) for text in texts}
    assert len(set(stems.values())) == len(texts), "no two texts get one name"
    bad = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]|^[. ]|[. ]$|^\.*$')
    assert not [stem for stem in stems.values() if bad.search(stem) or len(stem.encode()) > STEM_LIMIT_BYTES]
    reserved = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)", re.IGNORECASE)
    assert not [stem for stem in stems.values() if reserved.match(stem)]


# ── templates and surroundings ────────────────────────────────────────────────────────────────────────────────────────

TRICKS = ["{x.__class__}", "{x[0]}", "{x!r}", "{x:>9999999999}", "{0}", "{}", "{prompt.format}", "{x:{y}}", "{% x %}", "{{x}", "{x}}", "{ }", "{#}"]


@pytest.mark.fault("F10")
@pytest.mark.parametrize("trick", TRICKS)
async def test_a_template_reaches_names_of_the_row_and_nothing_else(trick: str) -> None:
    for head in ({"job": "text_to_image"}, {"model": "acme/paint/v1"}):
        with pytest.raises(ManifestError) as caught:
            await planned(open_rows([{"id": "a", "prompt": f"p {trick}"}], {**head, "extra_fields": ["x", "y"]}))
        assert len(caught.value.problems) == 1
    with pytest.raises(ManifestError):
        await planned(open_rows([{"id": "a", "prompt": "p"}], {"job": "text_to_image", "output": {"name": trick}}))


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("HOME", "RUNCOMFY_TOKEN", "SECRET"):
        monkeypatch.setenv(name, "canary-8d1f")
    return "canary-8d1f"


@pytest.mark.fault("F10")
@pytest.mark.parametrize("text", ["$HOME", "$SECRET", "%SECRET%", "~", "~/x", "$(id)", "`id`", "${{SECRET}}", "{{RUNCOMFY_TOKEN}}", "!!env SECRET"])
async def test_nothing_of_the_environment_gets_into_a_request(canary: str, text: str, tmp_path: Path) -> None:
    _, (job,) = await planned(open_rows([{"id": "a", "prompt": f"see {text}"}], {"model": "acme/paint/v1", "output": {"name": f"x {text}"}}))
    assert canary not in json.dumps(job.spec.body) + job.spec.stem
    (tmp_path / "m.yaml").write_text(f"job: text_to_image\nrows: {json.dumps(text + '/rows.csv')}\n", "utf-8")
    with pytest.raises(ManifestError) as caught:
        open_manifest(tmp_path / "m.yaml")
    assert canary not in str(caught.value)
