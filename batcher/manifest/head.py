"""The head of a batch file: everything but its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from batcher.errors import Problem
from batcher.manifest.problems import Loc, shortened, shown_value
from batcher.model import Json, Where
from batcher.naming import slug
from batcher.settings import OutputSettings, RunSettings
from batcher.template import TemplateError, compile_value, parse, plain_text

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Head(BaseModel):
    """What a batch file states about all of its rows; flags of the command line are already in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, protected_namespaces=())

    version: Literal[1] = Field(default=1, description="The version of this format.")
    name: Name | None = Field(default=None, description="The name of the batch; the file's name if left out.")
    job: Name | None = Field(default=None, description="The job definition that makes a request of each row.")
    model: Name | None = Field(default=None, description="The model that is sent the rows, by its own field names, where no job is named.")
    defaults: dict[str, Any] = Field(default_factory=dict, description="Values for the fields that a row does not give; may be templates.")
    rows: str | None = Field(default=None, description="A file of rows, or a pattern of media files; None where the rows stand in the file.")
    matrix: dict[str, Any] = Field(default_factory=dict, description="For each name the values that every row is combined with.")
    run: RunSettings = Field(default_factory=RunSettings, description="How the batch runs.")
    output: OutputSettings = Field(default_factory=OutputSettings, description="How the result files are named.")
    image_fields: tuple[Name, ...] = Field(default=(), description="Fields that hold images, for a model without a typed definition.")
    extra_fields: tuple[Name, ...] = Field(default=(), description="Fields that only templates or the report use.")


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an axis, and the label that stands for it in row ids."""

    label: str
    value: Json


@dataclass(frozen=True, slots=True)
class Axis:
    """A name of the matrix, and its values in order."""

    name: str
    choices: tuple[Choice, ...]


def axes_of(matrix: Mapping[str, Any], where: Callable[[Loc], Where]) -> tuple[tuple[Axis, ...], list[Problem]]:
    """The axes of a matrix, and what is wrong with it. A list labels its values by themselves, a mapping by its keys."""
    axes: list[Axis] = []
    problems: list[Problem] = []
    for name, values in matrix.items():
        place, field = where(("matrix", name)), f"matrix.{shortened(name)}"
        if name == "id":
            problems.append(Problem(place, "id is the name of a row and cannot be an axis", field=field, hint="choose another name"))
        elif not isinstance(values, (list, dict)):
            problems.append(Problem(place, f"expected a list of values, or labels with values; found {shown_value(values)}", field=field))
        elif not values:
            problems.append(Problem(place, "has no values, so that no row would be left", field=field, hint="give at least one value"))
        else:
            choices = _labelled(name, values, where, problems) if isinstance(values, list) else [Choice(*pair) for pair in values.items()]
            problems += _template_problems(dict(enumerate(values) if isinstance(values, list) else values), ("matrix", name), where)
            axes.append(Axis(name, tuple(choices)))
    return tuple(axes), problems


def template_problems(defaults: Mapping[str, Any], output_name: str, where: Callable[[Loc], Where]) -> list[Problem]:
    """The templates of the head that cannot be parsed, those of the matrix apart."""
    problems = _template_problems(defaults, ("defaults",), where)
    try:
        parse(output_name)
    except TemplateError as error:
        problems.append(Problem(where(("output", "name")), error.message, field="output.name", hint=error.hint))
    return problems


def _labelled(name: str, values: list[Any], where: Callable[[Loc], Where], problems: list[Problem]) -> list[Choice]:
    choices: dict[str, Choice] = {}
    for n, value in enumerate(values):
        try:
            label = slug(plain_text(name, value))
        except TemplateError:
            fault = f"{shown_value(value)} makes no label"
        else:
            if label not in choices:
                choices[label] = Choice(label, value)
                continue
            fault = f"{shown_value(choices[label].value)} and {shown_value(value)} make the same label, {label}"
        hint = "write the axis as a mapping from labels to values"
        problems.append(Problem(where(("matrix", name, n)), fault, field=f"matrix.{shortened(name)}", hint=hint))
    return list(choices.values())


def _template_problems(values: Mapping[Any, Any], loc: Loc, where: Callable[[Loc], Where]) -> list[Problem]:
    problems = []
    for name, value in values.items():
        try:
            compile_value(value)
        except TemplateError as error:
            path = (*loc, name)
            problems.append(Problem(where(path), error.message, field=".".join(shortened(str(part)) for part in path), hint=error.hint))
    return problems
