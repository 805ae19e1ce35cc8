"""YAML as plain data in which every value knows its place.

Built from the parser's events, so that nothing is made before it is checked: no tags, no duplicate keys, no absurd depth, no aliases that multiply.
Plain scalars become true, false, null and numbers as in JSON; whatever else YAML has made of words over the years (`no`, `012`, `12:30:00`, dates)
stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

from batcher.errors import ManifestError, Problem
from batcher.manifest.lines import not_utf8, refuse_utf16
from batcher.manifest.problems import Loc, shortened, shown_value
from batcher.manifest.record import Record
from batcher.manifest.strict_json import DEPTH_LIMIT, JsonError, checked_float, checked_integer
from batcher.model import Json, Where

SIZE_LIMIT_BYTES = 64 * 2**20
VALUES_LIMIT = 2_000_000
"""The most values that a file may hold, those counted that aliases repeat."""

_LARGE_HINT = "give the rows as CSV or JSONL, which may be of any size, and name that file under rows"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER_START = frozenset("-+.0123456789")
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")


@dataclass(slots=True)
class Node:
    """One value of a file: a scalar, a list of nodes, or the entries of a mapping. `line` and `column` count from 1.

    `text` is what the file has for a scalar that did not stay text.
    """

    value: Json | list[Node] | dict[str, Entry]
    line: int
    column: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a mapping and the place of its key."""

    node: Node
    line: int
    column: int


Collection: TypeAlias = "list[Node] | dict[str, Entry]"


def load(data: bytes, file: str) -> Node:
    """Read one YAML document. Raises `ManifestError` with every fault that was found."""
    if len(data) > SIZE_LIMIT_BYTES:
        raise ManifestError([Problem(Where(file), f"the file is larger than {SIZE_LIMIT_BYTES // 2**20} MiB", hint=_LARGE_HINT)])
    refuse_utf16(data, file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(error, file) from error
    if control := _NOT_TEXT.search(text):
        line, column = _line_and_column(text, control.start())
        raise ManifestError([Problem(Where(file, line, column), f"the character U+{ord(control[0]):04X} may not stand in a YAML file")])
    return _Builder(file).build(text)


def plain(node: Node) -> Any:
    """The data of a node without its places."""
    value = node.value
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(entry.node) for name, entry in value.items()}
    return value


def where_in(node: Node, loc: Loc, file: str) -> Where:
    """The place of the key or list item at the end of a path, or of the nearest thing above it that there is."""
    line, column = node.line, node.column
    for part in loc:
        value = node.value
        if isinstance(value, dict) and part in value:
            entry = value[str(part)]
            node, line, column = entry.node, entry.line, entry.column
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
            line, column = node.line, node.column
        else:
            break
    return Where(file, line, column)


def records(rows: Node, file: str) -> Iterator[Record | Problem]:
    """The rows of a list of mappings."""
    if not isinstance(rows.value, list):
        yield Problem(Where(file, rows.line, rows.column), f"expected a list of rows; found {shown_value(plain(rows))}")
        return
    for row in rows.value:
        where = Where(file, row.line, row.column)
        if not isinstance(row.value, dict):
            yield Problem(where, f"expected a row, as keys with values; found {shown_value(plain(row))}", hint="such as - image: photos/mug.jpg")
            continue
        fields = {name: plain(entry.node) for name, entry in row.value.items()}
        named = row.value.get("id")
        if named is not None and named.node.text is not None and type(named.node.value) in (int, float):
            fields["id"] = named.node.text  # 007 and 1.10 are names here, not numbers
        yield Record(where, fields, places={name: Where(file, entry.line, entry.column) for name, entry in row.value.items()})


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read. `key` waits for its value; `merged` come from `<<` and give way to the mapping's own keys."""

    node: Node
    is_flow: bool
    anchor: str | None
    counted: int
    height: int = 1
    key: tuple[str, int, int] | None = None
    merges: bool = False
    merged: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node that aliases may repeat, with what each repetition costs: in values and in depth."""

    node: Node
    weight: int = 1
    height: int = 0


class _Builder:
    """Turns the events of one document into nodes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0
        self._root: Node | None = None

    def build(self, text: str) -> Node:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.YAMLError as error:
            self._problems.append(self._syntax_problem(error))
        if self._root is None and not self._problems:
            self._problems.append(Problem(Where(self._file), "the file is empty", hint="a batch file has at least job and rows"))
        if self._problems or self._root is None:
            raise ManifestError(self._problems[:50], len(self._problems))
        return self._root

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            if self._root is not None:
                self._stop(event, "a second document begins", "one file is one manifest: remove the line ---")
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.NodeEvent):
            self._count += 1
            if self._count > VALUES_LIMIT:
                self._stop(event, f"the file holds more than {VALUES_LIMIT:,} values", _LARGE_HINT)
            if isinstance(event, yaml.AliasEvent):
                self._alias(event)
                return
            tag = getattr(event, "tag", None)
            if tag is not None:
                self._report(event, f"the tag {shortened(tag)} is not allowed", "write the value plainly, in quotes if it is text")
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            else:
                self._begin(event)

    def _alias(self, event: Any) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            is_open = any(each.anchor == event.anchor for each in self._stack)
            reason = "stands inside the value that it names" if is_open else "names nothing above it"
            self._stop(event, f"the alias *{shortened(event.anchor)} {reason}", "write &name before the value that *name repeats")
        self._count += found.weight
        if self._count > VALUES_LIMIT:
            self._stop(
                event,
                f"aliases make the file grow to more than {VALUES_LIMIT:,} values",
                "write out what is needed, or use CSV or JSONL for the rows",
            )
        if len(self._stack) + found.height > DEPTH_LIMIT:
            self._stop(event, f"aliases nest the file more than {DEPTH_LIMIT} deep", "flatten the file")
        self._place(found.node, event, height=found.height)

    def _scalar(self, event: Any) -> None:
        is_plain = event.style in (None, "")
        text: str = event.value
        node = Node(text, *self._at(event))
        if not text.isascii() and _SURROGATE.search(text):
            self._report(event, "half of a character (a lone surrogate such as \\ud83d)", "write the character itself")
        if "\0" in text:
            self._report(event, "a NUL character", "leave it out")
        if is_plain and not self._awaits_key():
            self._resolve(node, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node)
        self._place(node, event, is_plain=is_plain)

    def _resolve(self, node: Node, event: Any) -> None:
        text: str = event.value
        try:
            if text in _WORDS:
                node.value = _WORDS[text]
            elif text[0] in _NUMBER_START and _INTEGER.fullmatch(text):
                node.value = checked_integer(text)
            elif text[0] in _NUMBER_START and _FLOAT.fullmatch(text):
                node.value = checked_float(text)
            else:
                return
        except JsonError as error:
            self._report(event, error.message, "put it in quotes if it is text")
        node.text = text

    def _begin(self, event: Any) -> None:
        if self._awaits_key():
            self._stop(event, "a list or mapping cannot be a key", "put a template that begins with { in quotes")
        if len(self._stack) >= DEPTH_LIMIT:
            self._stop(event, f"nested more than {DEPTH_LIMIT} deep", "flatten the file")
        value: Collection = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        node = Node(value, *self._at(event))
        self._stack.append(_Open(node, bool(event.flow_style), event.anchor, self._count))

    def _close(self) -> None:
        done = self._stack.pop()
        entries = done.node.value
        if isinstance(entries, dict):
            for merged in done.merged:
                if isinstance(merged.value, dict):
                    for name, entry in merged.value.items():
                        entries.setdefault(name, entry)
            self._check_unquoted_template(done)
        if done.anchor is not None:
            self._anchors[done.anchor] = _Anchored(done.node, self._count - done.counted, done.height)
        self._place(done.node, None, height=done.height)

    def _place(self, node: Node, event: Any, *, is_plain: bool = False, height: int = 0) -> None:
        """Put a finished node where it belongs: the root, the next item, the next key, or the value of the key before."""
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.height = max(parent.height, height + 1)
        entries = parent.node.value
        if isinstance(entries, list):
            entries.append(node)
        elif isinstance(entries, dict):
            if parent.key is None and not parent.merges:
                self._key(parent, node, event, is_plain=is_plain)
            elif parent.merges:
                self._merge(parent, node)
            elif parent.key is not None:
                name, line, column = parent.key
                parent.key = None
                entries.setdefault(name, Entry(node, line, column))

    def _key(self, parent: _Open, node: Node, event: Any, *, is_plain: bool) -> None:
        name = node.text if node.text is not None else node.value
        line, column = self._at(event)
        if not isinstance(name, str):
            self._stop(event, "a list or mapping cannot be a key", "write the key out")
        if is_plain and name == "<<":
            parent.merges = True
            return
        if not name:
            self._report(event, "a key is empty", "write name: value")
        entries = parent.node.value
        if isinstance(entries, dict) and name in entries:
            first = entries[name]
            self._report(event, f"the key stands twice: first on line {first.line}", "remove one of them", field=shortened(name))
        parent.key = name, line, column

    def _merge(self, parent: _Open, node: Node) -> None:
        parent.merges = False
        sources = node.value if isinstance(node.value, list) else [node]
        for source in sources:
            if isinstance(source, Node) and isinstance(source.value, dict):
                parent.merged.append(source)
            else:
                self._problems.append(Problem(Where(self._file, node.line, node.column), "<< takes a mapping or a list of mappings"))

    def _check_unquoted_template(self, done: _Open) -> None:
        """`{scene}` without quotes is a mapping to YAML, and never what was meant."""
        entries = done.node.value
        if done.is_flow and isinstance(entries, dict) and len(entries) == 1:
            ((name, entry),) = entries.items()
            if entry.node.text == "":
                where = Where(self._file, done.node.line, done.node.column)
                self._problems.append(
                    Problem(where, f"the template {{{shortened(name)}}} has to stand in quotes", hint=f"write '{{{shortened(name)}}}'")
                )

    def _awaits_key(self) -> bool:
        parent = self._stack[-1] if self._stack else None
        return parent is not None and isinstance(parent.node.value, dict) and parent.key is None and not parent.merges

    def _at(self, event: Any) -> tuple[int, int]:
        return event.start_mark.line + 1, event.start_mark.column + 1

    def _report(self, event: Any, message: str, hint: str, field: str | None = None) -> None:
        self._problems.append(Problem(Where(self._file, *self._at(event)), message, field=field, hint=hint))

    def _stop(self, event: Any, message: str, hint: str) -> NoReturn:
        self._report(event, message, hint)
        raise ManifestError(self._problems[:50], len(self._problems))

    def _syntax_problem(self, error: yaml.YAMLError) -> Problem:
        said = str(getattr(error, "problem", None) or error)
        marks = [getattr(error, "problem_mark", None), getattr(error, "context_mark", None)]
        if any(words in said for words in _LATE):
            marks.reverse()
        mark = next((each for each in marks if each is not None), None)
        where = Where(self._file) if mark is None else Where(self._file, mark.line + 1, mark.column + 1)
        for words, message, hint in _SYNTAX:
            if words in said:
                return Problem(where, f"not valid YAML: {message}", hint=hint)
        return Problem(where, f"not valid YAML: {shortened(said)}", hint="check quotes, colons and indentation here and just above")


_LATE = ("expected ':'", "end of stream", "document indicator", "document separator", "expected ',' or")
"""Errors that the parser meets far behind the fault: the place where it began to read is the better one."""

_SYNTAX = (
    (
        "cannot start any token",
        "this character cannot begin a value",
        "indent with spaces, not tabs, and put text that begins with @, `, % or a tab in quotes",
    ),
    ("mapping values are not allowed", "a colon with a space after it inside a value", "put the text in quotes"),
    ("expected <block end>", "the line does not fit what stands above it", "check the indentation, and put text that begins with { or [ in quotes"),
    ("expected key", "the line does not fit what stands above it", "check the indentation, and put text that begins with { or [ in quotes"),
    ("expected '-' indicator", "the line does not fit the list above it", "check the indentation"),
    ("expected ':'", "a key without a colon", "write key: value, with a space after the colon"),
    ("end of stream", "a quote or bracket is never closed", "close it"),
    ("document separator", "a quote is never closed before the next document", "close it"),
    ("document indicator", "a quote is never closed before the next document", "close it"),
    ("expected ',' or", "the list or mapping in brackets that begins here lacks a comma or its end", "put text that begins with { or [ in quotes"),
    ("undefined tag handle", "a tag that is not allowed", "put text that begins with ! in quotes"),
)


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
