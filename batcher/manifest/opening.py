"""Opening a manifest: find its format, read its head, and check everything that can be checked without its rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import ValidationError

from batcher.errors import InputError, ManifestError, Problem, UsageError
from batcher.local_files import OUTSIDE_HINT, OutsideError, refuse_outside
from batcher.manifest.csv_reader import cell
from batcher.manifest.head import Head, axes_of, template_problems
from batcher.manifest.manifest import Manifest, Origin
from batcher.manifest.problems import Loc, did_you_mean, problems_from, shortened, shown_value
from batcher.manifest.record import Record, Source
from batcher.manifest.sources import Content, Format, format_of, json_text, missing_file, names_media
from batcher.manifest.yaml_reader import Node, load, plain, records, where_in
from batcher.model import Json, Where
from batcher.settings import OutputSettings

PROBLEMS_LIMIT = 50
"""The most problems that one error lists."""


def open_manifest(
    source: Path | Literal["-"],
    *,
    stdin: BinaryIO | None = None,
    format: Format | str | None = None,  # noqa: A002 - it is called so on the command line too
    job: str | None = None,
    model: str | None = None,
    settings: Mapping[str, str] | None = None,
    image_fields: Sequence[str] = (),
    extra_fields: Sequence[str] = (),
    allow_outside_inputs: bool = False,
) -> Manifest:
    """Open a YAML batch file, or rows alone as CSV, JSON Lines or a YAML list.

    `-` is standard input, kept in a temporary file. The format follows from the file's name, else from its first line. `job`, `model` and `settings`
    win over the file, `image_fields` and `extra_fields` add to it; a setting is read as a CSV cell is. `allow_outside_inputs` lets it name files
    outside of its folder. Raises `ManifestError` with every problem of the head, `InputError` where the file cannot be read, or changes meanwhile.
    """
    if source == "-":
        content, base_dir, name = Content.of_stream(stdin or sys.stdin.buffer, "standard input"), Path(), "stdin"
        form = _format(format) or content.sniff()
    else:
        path = Path(source)
        content, base_dir, name = Content.of_file(path), path.parent if path.is_file() else Path(), path.stem
        form = _format(format) or format_of(path) or content.sniff()
    flags = _Flags(job, model, settings or {}, tuple(image_fields), tuple(extra_fields), allow_outside_inputs)
    draft = _Draft(content.file, base_dir, name, flags)
    if form is not Format.YAML:
        draft.rows = content.rows(form)
        return draft.manifest()
    root = load(content.yaml_bytes(), content.file)
    if isinstance(root.value, list):
        draft.rows = _listed(root, content.file)
    elif isinstance(root.value, dict):
        draft.take(root, root.value)
    else:
        hint = "a batch file has keys such as job, defaults and rows"
        message = f"expected a batch file or a list of rows; found {shown_value(root.value)}"
        raise ManifestError([Problem(Where(content.file, root.line, root.column), message, hint=hint)])
    return draft.manifest()


def open_rows(
    rows: Iterable[Mapping[str, Any]],
    head: Mapping[str, Any] | None = None,
    *,
    name: str = "rows",
    base_dir: Path | None = None,
    allow_outside_inputs: bool = False,
) -> Manifest:
    """Make a manifest of rows from a program, kept in a temporary file, and of the keys of a batch file. Paths among the values become text.

    Messages count rows from 1 as lines. `allow_outside_inputs` lets rows name files outside of `base_dir`. Raises `ManifestError`.
    """
    draft = _Draft(name, base_dir or Path(), name, _Flags(allow_outside_inputs=allow_outside_inputs))
    plain_head = json.loads(json_text(head or {}, Where(name)))
    draft.data = {key: value for key, value in plain_head.items() if value is not None}
    draft.rows = Content.of_rows(rows, name).rows(Format.JSONL)
    return draft.manifest()


@dataclass(frozen=True, slots=True)
class _Flags:
    """What the command line states."""

    job: str | None = None
    model: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    image_fields: tuple[str, ...] = ()
    extra_fields: tuple[str, ...] = ()
    allow_outside_inputs: bool = False


@dataclass(slots=True)
class _Draft:
    """A manifest in the making: `data` is its head without places, `root` the head with them, `rows` its records once they are found."""

    file: str
    base_dir: Path
    name: str
    flags: _Flags
    data: dict[str, Any] = field(default_factory=dict)
    root: Node | None = None
    rows: Source | str | None = None
    problems: list[Problem] = field(default_factory=list)

    def take(self, root: Node, entries: Mapping[str, Any]) -> None:
        """Take the head from a batch file. A key without a value counts as left out; rows that stand in the file stay where they are."""
        self.root = root
        for name, entry in entries.items():
            if name == "rows" and isinstance(entry.node.value, list):
                self.rows = _listed(entry.node, self.file)
            elif entry.node.value is not None:
                self.data[name] = plain(entry.node)

    def manifest(self) -> Manifest:
        """Check all of it. Raises `ManifestError` with every problem."""
        settings = self._add_flags()
        head = self._head()
        matrix = self.data.get("matrix")
        axes, problems = axes_of(matrix if isinstance(matrix, dict) else {}, self.where)
        self.problems += problems
        defaults, output = self.data.get("defaults"), self.data.get("output")
        name = output.get("name") if isinstance(output, dict) else None
        name = name if isinstance(name, str) else OutputSettings().name
        self.problems += template_problems(defaults if isinstance(defaults, dict) else {}, name, self.where)
        if not self.data.get("job") and not self.data.get("model"):
            hint = "add job: or model: to the file, or use --job or --model"
            self.problems.append(Problem(Where(self.file), "neither job nor model is given", field="job", hint=hint))
        rows = self._rows(has_matrix=bool(matrix))
        if self.problems or head is None or rows is None:
            raise self._error(rows)
        origin = Origin(self.where, settings, axes, rows, self._input_folder)
        return Manifest(head, name=head.name or self.name, source=self.file, base_dir=self.base_dir, origin=origin)

    def where(self, loc: Loc) -> Where:
        """The place of a path into the head: the flag that gave it, else the nearest thing in the file."""
        if loc[:1] == ("defaults",) and len(loc) > 1 and loc[1] in self.flags.settings:
            return Where(f"--set {loc[1]}")
        if loc in (("job",), ("model",)) and getattr(self.flags, str(loc[0])) is not None:
            return Where(f"--{loc[0]}")
        return Where(self.file) if self.root is None else where_in(self.root, loc, self.file)

    def _error(self, rows: Source | str | None) -> ManifestError:
        """The problems of the head together with those of reading the rows, so that they can be mended in one go."""
        total = len(self.problems)
        for record in rows() if callable(rows) else ():
            if isinstance(record, Problem):
                total += 1
                if total <= PROBLEMS_LIMIT:
                    self.problems.append(record)
        return ManifestError(self.problems[:PROBLEMS_LIMIT], total)

    def _add_flags(self) -> dict[str, Json]:
        """Put the flags into the head, and return the settings among them."""
        flags = self.flags
        self.data |= {name: value for name, value in (("job", flags.job), ("model", flags.model)) if value is not None}
        for name in ("image_fields", "extra_fields"):
            added = list(getattr(flags, name))
            given = self.data.get(name, [])
            if added and isinstance(given, list):
                self.data[name] = [*given, *added]
        settings: dict[str, Json] = {}
        for name, text in flags.settings.items():
            if not text or name == "id":
                message = "sets no value" if name != "id" else "id is the name of a row and cannot be set for all"
                self.problems.append(Problem(Where(f"--set {name}"), message, hint="use --set name=value"))
            else:
                settings[name] = cell(text)
        if settings and isinstance(self.data.setdefault("defaults", {}), dict):
            self.data["defaults"] = {**self.data["defaults"], **settings}
        return settings

    def _head(self) -> Head | None:
        try:
            return Head.model_validate({key: value for key, value in self.data.items() if key != "rows" or isinstance(value, str)})
        except ValidationError as error:
            self.problems += problems_from(error, where=self.where, model=Head)
            return None

    def _rows(self, *, has_matrix: bool) -> Source | str | None:
        """Where the records come from; what is wrong with that goes to the problems."""
        given = self.data.get("rows")
        if self.rows is not None and given is None:
            return self.rows
        if self.rows is not None:
            self.problems.append(Problem(self.where(("rows",)), "the rows are given by the program", field="rows", hint="leave it out of the head"))
        elif given is None and has_matrix:
            return self._one_empty_row
        elif given is None:
            hint = "list the rows, or name a file of them or a pattern such as photos/*.jpg"
            self.problems.append(Problem(self.where(()), "required, but missing", field="rows", hint=hint))
        elif isinstance(given, str) and given:
            return self._named_rows(given)
        else:
            message = f"expected a list of rows, the name of a file of rows, or a pattern such as photos/*.jpg; found {shown_value(given)}"
            self.problems.append(Problem(self.where(("rows",)), message, field="rows"))
        return None

    @property
    def _input_folder(self) -> Path | None:
        return None if self.flags.allow_outside_inputs else self.base_dir

    def _named_rows(self, name: str) -> Source | str | None:
        path = self.base_dir / name
        place = self.where(("rows",))
        try:
            refuse_outside(path, self._input_folder)
        except OutsideError:
            message = f"{shortened(name)} leads outside of the manifest's folder"
            self.problems.append(Problem(place, message, field="rows", hint=OUTSIDE_HINT))
            return None
        if names_media(name, self.base_dir):
            return name
        if not path.exists():
            self.problems.append(missing_file(name, self.base_dir, place))
            return None
        try:
            content = Content.of_regular_file(path, self._input_folder)
            return content.rows(format_of(path) or content.sniff())
        except InputError as error:
            self.problems.append(Problem(place, error.message, field="rows"))
            return None

    def _one_empty_row(self) -> Iterator[Record | Problem]:
        yield Record(self.where(("matrix",)), {})


def _listed(rows: Node, file: str) -> Callable[[], Iterator[Record | Problem]]:
    return lambda: records(rows, file)


def _format(name: Format | str | None) -> Format | None:
    if name is None:
        return None
    try:
        return Format(name)
    except ValueError:
        allowed = [str(each) for each in Format]
        raise UsageError(f"unknown format {name}; allowed: {', '.join(allowed)}", did_you_mean(name, allowed)) from None
