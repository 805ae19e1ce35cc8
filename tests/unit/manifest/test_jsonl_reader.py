import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import Problem
from batcher.manifest.jsonl_reader import read_jsonl
from batcher.manifest.record import Record
from batcher.manifest.strict_json import JsonError, decode


def read(data: bytes | str) -> list[Record | Problem]:
    return list(read_jsonl(io.BytesIO(data.encode() if isinstance(data, str) else data), "rows.jsonl"))


def test_each_line_is_a_row() -> None:
    found = read('\ufeff{"id": "a", "n": 1}\r\n\n  \n{"id": "b", "images": ["x", "y"], "big": 18446744073709551615, "f": 1.5, "none": null}')
    assert [(str(each.where), each.fields) for each in found if isinstance(each, Record)] == [
        ("rows.jsonl:1", {"id": "a", "n": 1}),
        ("rows.jsonl:4", {"id": "b", "images": ["x", "y"], "big": 18446744073709551615, "f": 1.5, "none": None}),
    ]


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a": 1', "rows.jsonl:2:8: not valid JSON: expecting ',' delimiter"),
        ('{"a": 1} {"b": 2}', "rows.jsonl:2:10: not valid JSON: extra data"),
        ("{'a': 1}", "rows.jsonl:2:2: not valid JSON"),
        ('["a"]', 'rows.jsonl:2: expected a JSON object; found ["a"]'),
        ("7", "rows.jsonl:2: expected a JSON object; found 7"),
        ("{", "rows.jsonl:2:2: not valid JSON"),
        ('{"a": NaN}', "rows.jsonl:2: NaN is not a JSON number"),
        ('{"a": -Infinity}', "rows.jsonl:2: -Infinity is not a JSON number"),
        ('{"a": 1, "a": 2}', "rows.jsonl:2: the key 'a' stands twice in one object"),
        ('{"x": {"a": 1, "a": 2}}', "rows.jsonl:2: the key 'a' stands twice in one object"),
        ('{"a": ' + "9" * 5000 + "}", "rows.jsonl:2: the whole number 99999999999999999999… (5000 characters) needs more than 64 bits"),
        ('{"a": 18446744073709551616}', "rows.jsonl:2: the whole number 18446744073709551616 needs more than 64 bits"),
        ('{"a": -9223372036854775809}', "rows.jsonl:2: the whole number -9223372036854775809 needs more than 64 bits"),
        ('{"a": 1e999}', "rows.jsonl:2: the number 1e999 is too large"),
        ('{"a": "\\ud83d"}', "rows.jsonl:2: half of a character (a lone surrogate), written as \\ud83d"),
        ('{"\\ud83d": 1}', "rows.jsonl:2: half of a character"),
        ('{"a": ["x", {"b": "\\u0000"}]}', "rows.jsonl:2: a NUL character, written as \\u0000"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "rows.jsonl:2: nested more than 50 deep"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "rows.jsonl:2: nested more than 50 deep"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_read(line: str, said: str) -> None:
    found = read(f'{{"id": "a"}}\n{line}\n{{"id": "c"}}\n')
    assert [type(each) for each in found] == [Record, Problem, Record]
    assert str(found[1]).startswith(said)


@pytest.mark.fault("F2")
@pytest.mark.parametrize(
    ("data", "said"),
    [(b'{"a": "\xe9"}\n{"b": 1}', "rows.jsonl:1:8: the byte 0xE9 is not UTF-8"), (b'{"a": 1}\n\0\n', "rows.jsonl:2: a NUL byte")],
)
def test_what_is_no_text_ends_the_reading(data: bytes, said: str) -> None:
    assert str(read(data)[-1]).startswith(said)


def test_whole_characters_and_many_brackets_are_taken() -> None:
    assert decode('{"a": "\\ud83d\\ude00", "b": "' + "[" * 60 + '", "c": [[], []]}') == {"a": "😀", "b": "[" * 60, "c": [[], []]}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_json_comes_back(value: object, ensure_ascii: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=ensure_ascii)) == value


@pytest.mark.fault("F3")
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0d81eE+-.Nna\n ', max_size=100).map(str.encode))
def test_any_bytes_give_records_or_problems(data: bytes) -> None:
    assert all(isinstance(each, (Record, Problem)) for each in read(data))


@pytest.mark.fault("F3")
def test_a_mistake_deep_inside_is_an_error_of_ours() -> None:
    with pytest.raises(JsonError):
        decode("[" * 100_000)
