import csv
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import Problem
from batcher.manifest.csv_reader import CELL_LIMIT, cell, read_csv
from batcher.manifest.lines import LINE_LIMIT_BYTES
from batcher.manifest.record import Record


def read(data: bytes | str) -> list[Record | Problem]:
    return list(read_csv(io.BytesIO(data.encode() if isinstance(data, str) else data), "rows.csv"))


def rows(data: bytes | str) -> list[tuple[int | None, dict[str, object]]]:
    found = read(data)
    assert all(isinstance(each, Record) for each in found), found
    return [(each.where.line, dict(each.fields)) for each in found if isinstance(each, Record)]


def faults(data: bytes | str) -> list[str]:
    return [str(each) for each in read(data) if isinstance(each, Problem)]


def test_each_record_is_a_row_at_the_line_where_it_starts() -> None:
    assert rows('id,prompt\na,one\nb,"two\nlines"\n\nc,three\n') == [
        (2, {"id": "a", "prompt": "one"}),
        (3, {"id": "b", "prompt": "two\nlines"}),
        (6, {"id": "c", "prompt": "three"}),
    ]


@pytest.mark.fault("F2")
def test_a_byte_order_mark_crlf_and_names_in_any_script_are_taken() -> None:
    assert rows("\ufeffid,größe,名前\r\na,7,マグ\r\n".encode()) == [(2, {"id": "a", "größe": "7", "名前": "マグ"})]


def test_empty_cells_are_not_given_and_empty_lines_are_no_rows() -> None:
    assert rows("\n\nid,a,b\n\nx,,1\n , ,\n,,\ny,2,  \n") == [(5, {"id": "x", "b": "1"}), (8, {"id": "y", "a": "2"})]


@pytest.mark.fault("F4")
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_seen_from_the_header(separator: str) -> None:
    text = f'id{separator}prompt\na{separator}"x{separator}y, z; w"\n'
    assert rows(text) == [(2, {"id": "a", "prompt": f"x{separator}y, z; w"})]


def test_a_separator_inside_a_quoted_column_name_does_not_count() -> None:
    assert rows('"a;b;c",d\n1,2\n') == [(2, {"a;b;c": "1", "d": "2"})]


@pytest.mark.fault("F2")
def test_one_column_and_no_line_end() -> None:
    assert rows("prompt\nhello; world") == [(2, {"prompt": "hello; world"})]


def test_a_space_after_the_separator_is_not_part_of_the_cell() -> None:
    assert rows('id, prompt\na, "x, y"\n') == [(2, {"id": "a", "prompt": "x, y"})]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('{"a": 1}', {"a": 1}),
        ("[not json", "[not json"),
        ("{scene}", "{scene}"),
        ("7", "7"),
        ("true", "true"),
        ("", ""),
        ("[1, 1, NaN]", "[1, 1, NaN]"),
        ("[" * 2000, "[" * 2000),
        ("[" * 60 + "]" * 60, "[" * 60 + "]" * 60),
    ],
)
def test_a_cell_is_the_json_that_it_holds_or_its_text(text: str, value: object) -> None:
    assert cell(text) == value


def test_lists_in_cells() -> None:
    assert rows('id,images\na,"[""x.png"", ""y.png""]"\n') == [(2, {"id": "a", "images": ["x.png", "y.png"]})]


@pytest.mark.fault("F4")
def test_a_row_of_another_width_is_told_and_the_others_are_read() -> None:
    found = read("a,b\n1,2\n1,2,3\n1\n3,4\n")
    assert [type(each) for each in found] == [Record, Problem, Problem, Record]
    assert str(found[1]).startswith("rows.csv:3: expected 2 cells, as in the header; found 3")
    assert str(found[2]).startswith("rows.csv:4: expected 2 cells, as in the header; found 1")


@pytest.mark.fault("F2", "F4")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "rows.csv: the file is empty"),
        (b"\n \n", "rows.csv: the file is empty"),
        (b"a,b,a\n1,2,3\n", "rows.csv:1: a: the column name stands twice"),
        (b"a,,c\n1,2,3\n", "rows.csv:1: column 2 has no name"),
        (b'a,b\n1,"open\n2,3\n', 'rows.csv:2: a quote (") that opens in this row is never closed'),
        (b'"a,b\n1,2\n', 'rows.csv:1: a quote (") that opens in this row is never closed'),
        (b'a,b\n1,"x" y\n', "rows.csv:2: text follows a closing quote"),
        (b"a,b\n1,caf\xe9\n", "rows.csv:2:6: the byte 0xE9 is not UTF-8"),
        (b"a,b\n1,x\0y\n", "rows.csv:2: a NUL byte"),
        (b"a,b\r1,2\r3,4\r", "rows.csv:1: the line ends in a lone carriage return"),
        ("a,b\n1,2\n".encode("utf-16"), "rows.csv:1: the file is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-be"), "rows.csv:1: a NUL byte"),
    ],
)
def test_what_cannot_be_read_is_told_once_with_its_line(data: bytes, said: str) -> None:
    (fault,) = faults(data)
    assert fault.startswith(said)


@pytest.mark.fault("F4")
def test_reading_goes_on_after_a_fault_of_one_line() -> None:
    assert len(read('a,b\n"x" y,1\n1,2\n')) == 2


@pytest.mark.fault("F4")
def test_a_cell_of_a_mebibyte_is_taken_and_a_larger_one_refused() -> None:
    assert len(str(rows(f"a,b\n1,{'x' * CELL_LIMIT}\n")[0][1]["b"])) == CELL_LIMIT
    (fault,) = faults(f"a,b\n1,2\n1,{'x' * (CELL_LIMIT + 1)}\n3,4\n")
    assert fault.startswith("rows.csv:3: a cell is longer than 1,048,576 characters")


def test_a_limit_that_somebody_else_raised_stays() -> None:
    before = csv.field_size_limit(CELL_LIMIT * 2)
    try:
        assert rows("a\n1\n")
        assert csv.field_size_limit() == CELL_LIMIT * 2
    finally:
        csv.field_size_limit(before)


@pytest.mark.fault("F2")
def test_a_line_without_end_is_refused_before_it_is_in_memory() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    stream = io.BufferedReader(Endless())
    tracemalloc.start()
    (fault,) = [str(each) for each in read_csv(stream, "rows.csv")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fault.startswith("rows.csv:1: the line is longer than 8 MiB")
    assert peak < 5 * LINE_LIMIT_BYTES


@pytest.mark.fault("F3")
@given(st.binary(max_size=300))
def test_any_bytes_give_records_or_problems(data: bytes) -> None:
    assert all(isinstance(each, (Record, Problem)) for each in read(data))


@pytest.mark.fault("F3", "F4")
@given(st.text(alphabet='ab,;"\n\r\t []{}\ufeff', max_size=100))
def test_any_text_gives_records_or_problems(text: str) -> None:
    assert all(isinstance(each, (Record, Problem)) for each in read(text))


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1), st.just("end")), min_size=1, max_size=10
    )
)
def test_what_the_csv_module_writes_is_read_back(written: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *written])
    found = [fields.get("a", "") for _, fields in rows(out.getvalue())]
    assert found == ["" if text.isspace() else cell(text) for text, _ in written]
