"""Writes the generated files of docs/reference from the code, and the scoreboard of docs/reliability.md from the tests. Run it after a change to
commands, settings, jobs, reports, or to the marks of tests.

python scripts/generate_reference.py           writes them
python scripts/generate_reference.py --check   writes nothing, and exits with 1 if one is out of date
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Union

import typer
from pydantic import BaseModel

from batcher import settings
from batcher.cli.commands import app
from batcher.definition import Definition, ModelInput
from batcher.discovery import Definitions
from batcher.manifest import Head
from batcher.model import ExitReason, FailureKind, State
from batcher.report.models import Report, ResultRow
from batcher.simulator import FaultRule, SimulatorSettings
from batcher.simulator.faults import CONDITIONS, Call, FaultName
from tests.support.scoreboard import Fault, groups, shown_by

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
RELIABILITY = ROOT / "docs" / "reliability.md"
SCOREBOARD = "<!-- From here on written by scripts/generate_reference.py, from tests/scoreboard.toml and the marks of the tests. -->"
NOTE = "<!-- Written by scripts/generate_reference.py from the code: change it there. -->"
PLACEHOLDERS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def main() -> None:
    stale = {path: text for path, text in generated().items() if not path.is_file() or path.read_text("utf-8") != text}
    if "--check" in sys.argv[1:]:
        sys.exit("\n".join(f"out of date: {path.relative_to(ROOT)}" for path in stale) if stale else 0)
    for path, text in stale.items():
        path.write_text(text, "utf-8", newline="\n")
        print(f"written: {path.relative_to(ROOT)}")


def generated() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    return {
        FOLDER / "commands.md": page(commands()),
        FOLDER / "jobs.md": page(jobs()),
        FOLDER / "settings.md": page(settings_tables()),
        FOLDER / "results.md": page(results()),
        FOLDER / "results.schema.json": schema(ResultRow),
        FOLDER / "report.schema.json": schema(Report),
        RELIABILITY: RELIABILITY.read_text("utf-8").partition(SCOREBOARD)[0] + "\n".join([SCOREBOARD, *scoreboard(), ""]),
    }


def page(lines: Iterable[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join([NOTE, "", *lines])).rstrip() + "\n"


def schema(model: type[BaseModel]) -> str:
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(mode="serialization")}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "`batcher COMMAND --help` shows the same on the terminal; `batcher --install-completion` sets up completion for your shell."
    yield "Exit codes are in [exit-codes.md](exit-codes.md)."
    group: Any = typer.main.get_command(app)
    for panel in dict.fromkeys(command.rich_help_panel for command in group.commands.values()):
        yield from ("", f"## {panel}")
        for name, command in group.commands.items():
            if command.rich_help_panel == panel:
                yield from command_lines(name, command)


def command_lines(name: str, command: Any) -> Iterator[str]:
    hints = typing.get_type_hints(inspect.unwrap(command.callback), include_extras=False)
    arguments = [option for option in command.params if not option.opts[0].startswith("-")]
    options = [option for option in command.params if option.opts[0].startswith("-")]
    required = [f"{max(option.opts, key=len)} {option.metavar}" for option in options if option.required]
    usage = " ".join(["batcher", name, *(argument.metavar for argument in arguments), *required, "[OPTIONS]"])
    yield from ("", f"### batcher {name}", "", f"    {usage}", "", command.help, "")
    for argument in arguments:
        yield f"- `{argument.metavar}`: {argument.help}{default_words(argument.default)}"
    yield ""
    if options:
        yield from table(
            ("option", "what it does"), ((f"`{signature(option, hints)}`", option.help + default_words(option.default)) for option in options)
        )


def signature(option: Any, hints: Mapping[str, Any]) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return names
    return f"{names} {option.metavar or placeholder(hints[option.name])}"


def placeholder(hint: Any) -> str:
    inner = next(each for each in arms(hint) if each is not type(None))
    if typing.get_origin(inner) is typing.Literal:
        return "|".join(typing.get_args(inner))
    inner = (typing.get_args(inner) or (inner,))[0]
    if isinstance(inner, type) and issubclass(inner, Enum):
        return "|".join(member.value for member in inner)
    return PLACEHOLDERS[inner]


def arms(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def default_words(default: Any) -> str:
    return "" if default in (None, False, "") else f" Default: `{default}`."


# ── the scoreboard ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def scoreboard() -> Iterator[str]:
    tests = shown_by()
    for letter, group in groups().items():
        yield from ("", f"### {letter}. {group.title}", "")
        rows = ((fault.id, fault.what, fault.must, shown(fault, tests.get(fault.id, []))) for fault in group.faults)
        yield from table(("", "what happens", "what must follow", "shown by"), rows)


def shown(fault: Fault, tests: list[str]) -> str:
    """The first three tests of different files, so that a table stays a table, and how many more there are."""
    by_file = {test.partition("::")[0]: test for test in reversed(tests)}
    named = sorted(by_file.values())[:3]
    more = len(tests) - len(named)
    return "; ".join(f"`{test}`" for test in named) + (f"; {more} more" if more else "") if tests else fault.elsewhere


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def jobs() -> Iterator[str]:
    yield "# Jobs"
    yield ""
    yield "The job definitions that come with batcher. A manifest names one with `job:`; `batcher init --job NAME` writes a starter manifest for it."
    yield "Your own are written as told in [write-a-job.md](../how-to/write-a-job.md)."
    definitions = Definitions()
    ours = {name: definition for name in definitions.names if (definition := definitions.get(name)).__module__.split(".")[0] == "jobs"}
    for name, definition in ours.items():
        yield from ("", f"## {name}", "", *doc(definition), "", *fields(definition))
        if definition.main_media_field:
            yield from ("", f"Where the rows are a folder or a pattern of files, each file goes into `{definition.main_media_field}`.")
    yield from ("", "## Models that are known field by field", "")
    yield "A row that is given with `model:` and the model's own field names is checked against these. Other models are passed on as they are."
    inputs: dict[type[ModelInput], None] = dict.fromkeys(typed for definition in ours.values() for typed in definition.inputs)
    for typed in inputs:
        yield from ("", f"### {typed.models[0]}", "")
        if len(typed.models) > 1:
            yield from (f"Also {', '.join(f'`{model}`' for model in typed.models[1:])}.", "")
        yield from fields(typed)


def doc(thing: type) -> list[str]:
    return inspect.cleandoc(thing.__doc__ or "").splitlines()


def fields(model: type[BaseModel], names: Iterable[str] | None = None) -> Iterator[str]:
    """A table of the fields of a model."""
    document = model.model_json_schema()
    rows = []
    for name, info in model.model_fields.items():
        if names is not None and name not in names:
            continue
        words = media_words(info.annotation) or kind(document["properties"][name], document.get("$defs", {}))
        default = "required" if info.is_required() else shown_default(info.get_default(call_default_factory=True))
        rows.append((f"`{name}`", words, default, info.description or ""))
    if issubclass(model, Definition) and model.model_config.get("extra") == "allow":
        rows.append(("any other", "any value", "", "A field of the model's input, under the model's own name for it."))
    yield from table(("field", "value", "default", "meaning"), rows)


def media_words(annotation: Any) -> str:
    shown = repr(annotation)
    if "ImageRef" not in shown:
        return ""
    return "image, or a list of 1 to 10" if "list" in shown else "image"


def kind(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The type of a JSON Schema in words."""
    if "$ref" in part:
        return kind(definitions[part["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(kind(each, definitions) for each in part["anyOf"] if each.get("type") != "null"))
    if "enum" in part or "const" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    match part.get("type"):
        case "integer" | "number" as number:
            return ("whole number" if number == "integer" else "number") + bounds(part)
        case "string":
            return "text"
        case "boolean":
            return "true or false"
        case "array":
            items = part.get("items", {})
            return f"list of {kind(items, definitions)}" if items else "list"
        case "object":
            return "keys with values"
        case _:
            return "any value"


def bounds(part: Mapping[str, Any]) -> str:
    low, high, above, below = (part.get(name) for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"))
    words = [f"{word} {plain(value)}" for word, value in (("from", low), ("above", above), ("to", high), ("below", below)) if value is not None]
    return " " + " ".join(words) if words else ""


def plain(number: int | float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def shown_default(value: Any) -> str:
    if value is None or (isinstance(value, (str, tuple, dict)) and not value):
        return ""
    if isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value)}`" if isinstance(value, bool) else f"`{plain(value) if isinstance(value, float) else value}`"


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def settings_tables() -> Iterator[str]:
    yield "# Settings"
    yield from ("", "Units are in the names: `_s` is seconds, `_px` pixels, `_usd` US dollars.")
    yield from ("", "## The batch file", "", "Its keys; [manifest.md](manifest.md) tells how they work together.", "", *fields(Head))
    yield from ("", "## run", "", "How a batch runs. Some have a flag, which wins over the manifest.", "", *fields(settings.RunSettings))
    yield from ("", "## output", "", *fields(settings.OutputSettings))
    yield from ("", "## The simulated service", "")
    yield "In a YAML file for `--simulator-settings`, or as arguments of `batcher.simulator.SimulatorSettings`."
    yield from ("", *fields(SimulatorSettings))
    yield from ("", "## Faults", "")
    yield "A fault is a mapping in the list `faults`, or on the command line `--fault CALL:FAULT:OPTION=VALUE,…`."
    yield "[simulator.md](../how-to/simulator.md) has examples."
    yield from ("", f"CALL is one of {', '.join(f'`{call}`' for call in typing.get_args(Call))}.")
    yield "FAULT is an HTTP status of three digits from 400 to 599, an error code of the service of six, or one of these:"
    yield from ("", *table(("fault", "what happens"), members(FaultName)))
    yield from ("", "When it strikes; conditions that are left out always hold, several must hold together:", "", *fields(FaultRule, CONDITIONS))
    others = [name for name in FaultRule.model_fields if name not in (*CONDITIONS, "call", "fault")]
    yield from ("", "What it does; each fault takes some of these:", "", *fields(FaultRule, others))


def results() -> Iterator[str]:
    yield "# results.jsonl and report.json"
    yield from ("", "Their JSON Schemas: [results.schema.json](results.schema.json), [report.schema.json](report.schema.json).")
    yield from ("", "## A line of results.jsonl", "", *record(ResultRow))
    yield from ("", "## report.json", "", *record(Report))
    yield from ("", "## States of a row", "", *table(("state", "meaning"), STATES.items()))
    yield from ("", "## Kinds of failure", "", *table(("kind", "meaning"), members(FailureKind)))
    yield from ("", "## Reasons why a run ended", "", *table(("exit_reason", "meaning"), EXIT_REASONS.items()))


STATES = {
    f"`{State.PLANNED}`": "Checked and waiting to be submitted.",
    f"`{State.SUBMITTING}`": "About to be submitted: the intent is recorded, the answer is not.",
    f"`{State.IN_DOUBT}`": "It may have been submitted, and nobody knows: it rests until a person decides.",
    f"`{State.SUBMITTED}`": "The service has it; its request id is kept.",
    f"`{State.PRODUCED}`": "Made, and to be downloaded.",
    f"`{State.DONE}`": "Every file of it is on disk, whole and checked.",
    f"`{State.FAILED}`": "It ended without a result; `failure` says why.",
    f"`{State.CANCELLED}`": "The request was cancelled while it was queued.",
}
EXIT_REASONS = {
    f"`{ExitReason.COMPLETED}`": "Nothing is left to do: every row is done, failed, cancelled or in doubt.",
    f"`{ExitReason.INTERRUPTED}`": "Ctrl-C.",
    f"`{ExitReason.TERMINATED}`": "SIGTERM, or the terminal was closed.",
    f"`{ExitReason.TOKEN_REJECTED}`": "The service rejects the token.",
    f"`{ExitReason.NO_BALANCE}`": "The account has no balance left.",
    f"`{ExitReason.SERVICE_UNAVAILABLE}`": "The service could not be reached for longer than `outage_s`.",
    f"`{ExitReason.OUTPUT_UNWRITABLE}`": "The output folder could not be written, because the disk was full for example.",
    f"`{ExitReason.ALL_REFUSED}`": "The first `stop_after_refused` submits of the run were refused, every one of them.",
    f"`{ExitReason.STOPPED_EARLY}`": "The run ended as it was asked to, and rows are still open: after `batcher cancel`.",
}


def record(model: type[BaseModel]) -> Iterator[str]:
    """The fields of a record and of the records inside it."""
    document = model.model_json_schema(mode="serialization")
    yield from table(("field", "value", "meaning"), record_rows(document["properties"], document["$defs"]))


def record_rows(properties: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, part in properties.items():
        inner = inside(part, definitions)
        may_be_null = " or null" if any(each.get("type") == "null" for each in part.get("anyOf", ())) else ""
        is_list = part.get("type") == "array"
        words = ("list of objects" if is_list else "object") if inner else kind(part, definitions)
        about = part.get("description") or ("" if is_list or inner is None else inner.get("description", ""))
        yield f"`{prefix}{name}`", words + may_be_null, about
        if inner:
            suffix = "[]" if is_list else ".*" if "additionalProperties" in part else ""
            yield from record_rows(inner["properties"], definitions, f"{prefix}{name}{suffix}.")


def inside(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record that a field holds, if it holds one."""
    for each in (part, part.get("items"), part.get("additionalProperties"), *part.get("anyOf", ())):
        found = definitions.get(each.get("$ref", "").rsplit("/", 1)[-1], {}) if isinstance(each, dict) else {}
        if "properties" in found:
            return dict(found)
    return None


def members(enum: type[Enum]) -> Iterator[tuple[str, str]]:
    """The members of an enumeration with the docstrings below them, which exist in the source only."""
    body = typing.cast("ast.ClassDef", ast.parse(inspect.getsource(enum)).body[0]).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            said = ast.literal_eval(following.value) if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant) else ""
            yield f"`{enum[statement.targets[0].id].value}`", said


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    main()
