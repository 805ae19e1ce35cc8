import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import ManifestError, Problem
from batcher.manifest import yaml_reader
from batcher.manifest.record import Record
from batcher.manifest.yaml_reader import SIZE_LIMIT_BYTES, load, plain, records, where_in


@pytest.fixture(params=["C", "Python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(yaml_reader, "_LOADER", yaml.CSafeLoader if request.param == "C" else yaml.SafeLoader)
    return str(request.param)


def value(text: str) -> object:
    return plain(load(text.encode(), "m.yaml"))


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(text.encode() if isinstance(text, str) else text, "m.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.fault("F5")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("012", "012"),
        ("12:30:00", "12:30:00"),
        ("2024-01-02", "2024-01-02"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("16:9", "16:9"),
        ("'7'", "7"),
        ('"true"', "true"),
        (".nan", ".nan"),
        ("1.2.3", "1.2.3"),
        ("-x", "-x"),
        ('"{a}"', "{a}"),
    ],
)
def test_plain_scalars_are_what_they_look_like_in_json(text: str, expected: object) -> None:
    got = value(f"a: {text}")
    assert got == {"a": expected}
    assert isinstance(got, dict)
    assert type(got["a"]) is type(expected)


def test_keys_stay_text() -> None:
    assert value("no: 1\n7: 2\n~: 3\n1.50: 4") == {"no": 1, "7": 2, "~": 3, "1.50": 4}


def test_nested_data_block_text_and_flow() -> None:
    text = "a:\n  - b: |\n      two\n      lines\n    c: [1, {d: e}]\n  - []\nf: >-\n  folded\n  text\n"
    assert value(text) == {"a": [{"b": "two\nlines\n", "c": [1, {"d": "e"}]}, []], "f": "folded text"}


@pytest.mark.fault("F2")
def test_a_byte_order_mark_is_left_out() -> None:
    assert plain(load(b"\xef\xbb\xbfa: 1", "m.yaml")) == {"a": 1}


def test_aliases_and_merges_are_taken() -> None:
    text = "base: &base {x: 1, y: 2}\nrows:\n  - <<: *base\n    y: 3\n  - {<<: [*base, {z: 5}], w: *base}\n"
    text += "name: &n mug\nagain: *n\nnum: &seven 7\n*n : *seven\n"
    assert value(text) == {
        "base": {"x": 1, "y": 2},
        "rows": [{"y": 3, "x": 1}, {"w": {"x": 1, "y": 2}, "x": 1, "y": 2, "z": 5}],
        "name": "mug",
        "again": "mug",
        "num": 7,
        "mug": 7,
    }


def test_every_value_knows_its_place() -> None:
    root = load(b"run:\n  concurrency: 5\nrows:\n  - a: 1\n    b: [x,\n        y]\n", "m.yaml")
    assert str(where_in(root, ("run", "concurrency"), "m.yaml")) == "m.yaml:2:3"
    assert str(where_in(root, ("run", "nothing"), "m.yaml")) == "m.yaml:1:1"
    assert str(where_in(root, ("rows", 0, "b", 1), "m.yaml")) == "m.yaml:6:9"
    assert str(where_in(root, ("rows", 5), "m.yaml")) == "m.yaml:3:1"
    assert str(where_in(root, (), "m.yaml")) == "m.yaml:1:1"


@pytest.mark.fault("F5", "F3")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "m.yaml: the file is empty"),
        ("# only a comment\n", "m.yaml: the file is empty"),
        ("a: !!python/object:os.system x", "m.yaml:1:4: the tag tag:yaml.org,2002:python/object:os.system is not allowed"),
        ("a: !!str x", "m.yaml:1:4: the tag tag:yaml.org,2002:str is not allowed"),
        ("a: ! x", "m.yaml:1:4: the tag ! is not allowed"),
        ("a: !local [x]", "m.yaml:1:4: the tag !local is not allowed"),
        ("a: !<tag:x> {b: 1}", "m.yaml:1:4: the tag tag:x is not allowed"),
        ("a: !x!y z", "m.yaml:1:4: not valid YAML: a tag that is not allowed"),
        ("a: 1\nb: 2\na: 3", "m.yaml:3:1: a: the key stands twice: first on line 1"),
        ("a: 1\n---\na: 1", "m.yaml:2:1: a second document begins"),
        ("a: *x", "m.yaml:1:4: the alias *x names nothing above it"),
        ("a: &x [*x]", "m.yaml:1:8: the alias *x stands inside the value that it names"),
        ("a: &x {b: {c: *x}}", "m.yaml:1:15: the alias *x stands inside the value that it names"),
        ("[1, 2]: 3", "m.yaml:1:1: a list or mapping cannot be a key"),
        ("a: &x [1]\n*x : 3", "m.yaml:2:1: a list or mapping cannot be a key"),
        ("a: {{b}: 1}", "m.yaml:1:5: a list or mapping cannot be a key"),
        ("'': 3", "m.yaml:1:1: a key is empty"),
        ("<<: 5\na: 1", "m.yaml:1:5: << takes a mapping or a list of mappings"),
        ("<<: [5]\na: 1", "m.yaml:1:5: << takes a mapping or a list of mappings"),
        ("a: {b}", "m.yaml:1:4: the template {b} has to stand in quotes"),
        ("a: b: c", "m.yaml:1:5: not valid YAML: a colon with a space after it inside a value"),
        ("a: [1, 2", "m.yaml:1:4: not valid YAML: the list or mapping in brackets that begins here lacks a comma or its end"),
        ("b: 1\na: 'x\n\n\ny", "m.yaml:2:4: not valid YAML: a quote"),
        ("b: 1\na: 'x\n---\ny", "m.yaml:2:4: not valid YAML: a quote is never closed before the next document"),
        ("%YAML 3.0\n---\na: 1", "m.yaml:1:1: not valid YAML: found incompatible YAML document"),
        ("a:\n\t- b", "m.yaml:2:1: not valid YAML: this character cannot begin a value"),
        ("a: @b", "m.yaml:1:4: not valid YAML: this character cannot begin a value"),
        ("- a\nb", "m.yaml:2:1: not valid YAML: a key without a colon"),
        ("a: 1\n  b: 2", "m.yaml:2:4: not valid YAML: a colon with a space after it inside a value"),
        ("a: " + "9" * 30, "m.yaml:1:4: the whole number 99999999999999999999… (30 characters) needs more than 64 bits"),
        ("a: 1e999", "m.yaml:1:4: the number 1e999 is too large"),
        ("a: \x07", "m.yaml:1:4: the character U+0007 may not stand in a YAML file"),
        ('a: "\\0"', "m.yaml:1:4: a NUL character"),
        (b"a: caf\xe9", "m.yaml:1:7: the byte 0xE9 is not UTF-8"),
        (b"\xff\xfea\x00", "m.yaml:1: the file is UTF-16"),
        ("a: " + "[" * 60, "m.yaml:1:53: nested more than 50 deep"),
        ("a: " + "[" * 100_000 + "]" * 100_000, "m.yaml:1:53: nested more than 50 deep"),
        ("{a: " * 100_000, "m.yaml:1:201: nested more than 50 deep"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str | bytes, said: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_an_unquoted_template_is_told_before_the_error_that_it_leads_to() -> None:
    first, second = faults("a: {b} x")
    assert first.startswith("m.yaml:1:4: the template {b} has to stand in quotes")
    assert second.startswith("m.yaml:1:8: not valid YAML: the line does not fit what stands above it")


@pytest.mark.fault("F3")
def test_half_a_character_is_refused() -> None:
    assert len(faults('a: "\\ud83d"')) == 1


def test_several_faults_come_together() -> None:
    assert len(faults("a: !x 1\na: 2\nb: " + "9" * 30)) == 3


@pytest.mark.fault("F2")
def test_a_file_that_is_too_large_is_refused_with_advice() -> None:
    (said,) = faults(b" " * (SIZE_LIMIT_BYTES + 1))
    assert said.startswith("m.yaml: the file is larger than 64 MiB (give the rows as CSV or JSONL")


@pytest.mark.fault("F5")
def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    (said,) = faults("\n".join(lines))
    assert said.startswith("m.yaml:7:10: aliases make the file grow to more than 2,000,000 values")


@pytest.mark.fault("F5")
def test_aliases_cannot_nest_deeper_than_is_allowed() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [[*a{n - 1}]]" for n in range(1, 40)]
    (said,) = faults("\n".join(lines))
    assert "aliases nest the file more than 50 deep" in said


@pytest.mark.fault("F5")
def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_reader, "VALUES_LIMIT", 10)
    (said,) = faults("[" + "x, " * 20 + "]")
    assert "the file holds more than 10 values" in said


def test_rows_are_records_with_the_place_of_every_field() -> None:
    found = list(records(load(b"- id: 007\n  image: a.jpg\n- {id: 1.50, n: 2}\n- id: true\n- id: null\n- 5\n", "m.yaml"), "m.yaml"))
    first, second, third, fourth, fifth = found
    assert isinstance(first, Record)
    assert (str(first.where), first.fields) == ("m.yaml:1:3", {"id": "007", "image": "a.jpg"})
    assert str(first.value_place("image")) == "m.yaml:2:3"
    assert str(first.name_place("image")) == "m.yaml:2:3"
    assert str(first.value_place("nothing")) == "m.yaml:1:3"
    assert isinstance(second, Record)
    assert second.fields == {"id": "1.50", "n": 2}
    assert isinstance(third, Record)
    assert third.fields == {"id": True}
    assert isinstance(fourth, Record)
    assert fourth.fields == {"id": None}
    assert isinstance(fifth, Problem)
    assert str(fifth).startswith("m.yaml:6:3: expected a row, as keys with values; found 5")


def test_rows_that_are_no_list() -> None:
    (said,) = records(load(b"a: 1", "m.yaml"), "m.yaml")
    assert str(said).startswith("m.yaml:1:1: expected a list of rows; found")


@pytest.mark.fault("F5")
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t?<~0179.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for each in (yaml.CSafeLoader, yaml.SafeLoader):
        yaml_reader._LOADER = each
        assert read_or_refused(text.encode())


@pytest.mark.fault("F5")
@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert read_or_refused(data)


def read_or_refused(data: bytes) -> bool:
    try:
        plain(load(data, "m.yaml"))
    except ManifestError as error:
        return len(error.problems) > 0
    return True
