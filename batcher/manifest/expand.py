"""From a record of a file to rows: defaults, matrix, templates, and which name goes where."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batcher.errors import Problem
from batcher.manifest.head import Axis
from batcher.manifest.problems import Loc, shortened, shown_value, unknown_key
from batcher.manifest.record import ReadRow, Record
from batcher.model import Json, Row, Where
from batcher.naming import nearest
from batcher.template import Composite, Template, TemplateError, compile_value, names_in, resolve

PLANS_LIMIT = 4096
"""The most sets of names for which a plan is kept; files of rows have few."""
ID_LIMIT = 200
"""The longest id that a row may give itself, in characters."""

Compiled: TypeAlias = Template | Composite


@dataclass(frozen=True, slots=True)
class Scope:
    """What a manifest states for all of its rows.

    `settings` win over whatever the file says, rows included. `where` tells the place of a path into the head. `row_references` finds the names to
    which templates in the rows refer; it reads all rows, so it is asked only about names that are not known otherwise.
    """

    defaults: Mapping[str, Json]
    settings: Mapping[str, Json]
    axes: Sequence[Axis]
    extra_fields: Collection[str]
    output_name: str
    where: Callable[[Loc], Where]
    row_references: Callable[[], Collection[str]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with every record that gives one set of names.

    `kept` maps the record's names to those under which they count, None where all count as they are. A mistyped name counts as the one that was
    probably meant, so that one slip is not reported again as a missing field.
    """

    fields: tuple[str, ...]
    extras: tuple[str, ...]
    templates: Mapping[str, Compiled]
    kept: Mapping[str, str] | None
    unknown: tuple[str, ...]
    clashing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _AxisValue:
    name: str
    label: str
    value: Json
    template: Compiled | None


class Expansion:
    """Makes rows of the records of one manifest.

    `known` are the names of the job's fields; None where they are not known, so that any name may be one. `problems` are the faults of the head that
    only show against them.
    """

    def __init__(self, scope: Scope, known: frozenset[str] | None) -> None:
        self._scope = scope
        self._known = known
        axes = [axis for axis in scope.axes if axis.name not in scope.settings]
        self._axes = [[_AxisValue(axis.name, each.label, each.value, compile_value(each.value)) for each in axis.choices] for axis in axes]
        self._axis_names = frozenset(axis.name for axis in axes)
        values = [*scope.defaults.values(), *scope.settings.values(), scope.output_name, *(each.value for axis in axes for each in axis.choices)]
        self._listed = frozenset(scope.extra_fields).union(*map(names_in, values))
        self.problems: list[Problem] = []
        self._base = self._checked_base({**scope.defaults, **scope.settings})
        self._check_axes()
        self._templates = {name: template for name, value in self._base.items() if (template := compile_value(value)) is not None}
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._reported: set[Problem] = set()

    def rows(self, record: Record) -> Iterator[Row | Problem]:
        """The rows of one record, one for each combination of the matrix, and before them what is wrong with it.

        A row with a fault in one field still comes, so that its other fields can be checked too.
        """
        names = tuple(record.fields)
        plan = self._plans.get(names) or self._remember(names)
        if plan.unknown or plan.clashing:
            yield from self._once(self._name_problems(plan, record), record)
        given = record.fields if plan.kept is None else {plan.kept[name]: value for name, value in record.fields.items() if name in plan.kept}
        templates, problems = self._cell_templates(given, plan, record)
        yield from problems
        if not self._axes:
            yield from self._row({**self._base, **given}, templates, {}, plan, record)
            return
        seen: set[Problem] = set()
        for combination in itertools.product(*self._axes):
            values = {**self._base, **given, **{each.name: each.value for each in combination}}
            filled = {**templates, **{each.name: each.template for each in combination if each.template is not None}}
            for row in self._row(values, filled, {each.name: each.label for each in combination}, plan, record):
                if isinstance(row, Problem):
                    if row in seen:
                        continue
                    seen.add(row)
                yield row

    def idle_axes(self) -> Iterator[Problem]:
        """The axes that nothing uses: each of their values would make, and pay for, the same requests again."""
        for axis in self._axes:
            name = axis[0].name
            if len(axis) > 1 and not self._is_used(name):
                hint = "remove it; or, to pay for each request so many times, list it under extra_fields"
                message = "no field of this job, and no template uses it"
                yield Problem(self._scope.where(("matrix", name)), message, field=f"matrix.{shortened(name)}", hint=hint)

    def _is_used(self, name: str) -> bool:
        return self._is_field(name) or name in self._listed or name in self._scope.row_references()

    def _row(
        self, values: dict[str, Json], templates: Mapping[str, Compiled], axes: Mapping[str, str], plan: _Plan, record: Record
    ) -> Iterator[Row | Problem]:
        if templates and (errors := resolve(values, templates)):
            for name, error in errors.items():
                problem, is_shared = self._template_problem(name, error, record)
                if not is_shared or problem not in self._reported:
                    yield problem
                if is_shared:
                    self._reported.add(problem)
        row_id: str | None = None
        if "id" in values:
            row_id, fault = _id_text(values["id"])
            if fault:
                yield Problem(record.value_place("id"), fault, field="id")
        if axes and row_id is not None:
            row_id = "-".join((row_id, *axes.values()))
        fields = {name: values[name] for name in plan.fields}
        extras = {name: values[name] for name in plan.extras}
        yield ReadRow(fields, record.where, row_id, axes, extras, record)

    def _cell_templates(self, given: Mapping[str, Json], plan: _Plan, record: Record) -> tuple[Mapping[str, Compiled], list[Problem]]:
        """The templates of one record, those of the head that it does not overrule included."""
        found: dict[str, Compiled] | None = None
        problems: list[Problem] = []
        for name, value in given.items():
            if isinstance(value, str):
                if "{" not in value and "}" not in value:
                    continue
            elif not isinstance(value, (list, dict)):
                continue
            try:
                template = compile_value(value)
            except TemplateError as error:
                problems.append(Problem(record.value_place(name), error.message, field=shortened(name), hint=error.hint))
            else:
                if template is not None:
                    found = dict(plan.templates) if found is None else found
                    found[name] = template
        return plan.templates if found is None else found, problems

    def _remember(self, names: tuple[str, ...]) -> _Plan:
        if len(self._plans) >= PLANS_LIMIT:
            self._plans.clear()
        plan = self._plans[names] = self._plan(names)
        return plan

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        kept: dict[str, str] = {}
        unknown: list[str] = []
        clashing = [name for name in names if name in self._axis_names]
        for name in names:
            if name in self._axis_names or name in self._scope.settings:
                continue
            if self._is_allowed(name):
                kept[name] = name
                continue
            unknown.append(name)
            guess = nearest(name, self._known or ())
            if guess is not None and guess not in names and guess not in self._axis_names and guess not in kept.values():
                kept[name] = guess
        scope = dict.fromkeys([*self._base, *self._axis_names, *kept.values()])
        scope.pop("id", None)
        overruled = frozenset(kept.values())
        return _Plan(
            fields=tuple(name for name in scope if self._is_field(name)),
            extras=tuple(name for name in scope if not self._is_field(name)),
            templates={name: template for name, template in self._templates.items() if name not in overruled},
            kept=None if all(kept.get(name) == name for name in names) else kept,
            unknown=tuple(unknown),
            clashing=tuple(clashing),
        )

    def _is_allowed(self, name: str) -> bool:
        if name == "id" or self._known is None or name in self._known or name in self._axis_names or name in self._listed:
            return True
        return name in self._scope.row_references()

    def _is_field(self, name: str) -> bool:
        """Whether the job is to see the value under a name that is allowed."""
        if self._known is not None:
            return name in self._known
        return name not in self._listed and name not in self._scope.row_references()

    def _checked_base(self, values: dict[str, Json]) -> dict[str, Json]:
        base = {name: value for name, value in values.items() if name not in self._axis_names}
        for name in [name for name in base if not self._is_allowed(name)]:
            problem = self._unknown(name, self._scope.where(("defaults", name)))
            self.problems.append(problem)
            value = base.pop(name)
            guess = nearest(name, self._known or ())
            if guess is not None and guess not in self._axis_names:
                base.setdefault(guess, value)
        return base

    def _check_axes(self) -> None:
        """An axis that nothing uses and that is nearly a field is a slip, told before any row; see `idle_axes` for the others."""
        for name in self._axis_names - (self._known or self._axis_names) - self._listed:
            guess = nearest(name, self._known or (), likeness=0.8)
            if guess is not None and name not in self._scope.row_references():
                hint = f"did you mean {guess!r}? if not, list it under extra_fields"
                message = "no field of this job, and no template uses it"
                self.problems.append(Problem(self._scope.where(("matrix", name)), message, field=f"matrix.{shortened(name)}", hint=hint))

    def _name_problems(self, plan: _Plan, record: Record) -> Iterator[Problem]:
        for name in plan.unknown:
            yield self._unknown(name, record.name_place(name))
        for name in plan.clashing:
            yield Problem(record.name_place(name), "given by the row and by the matrix too", field=shortened(name), hint="remove one of them")

    def _once(self, problems: Iterator[Problem], record: Record) -> Iterator[Problem]:
        """Faults of columns are those of the header line: each is told once, not for every row."""
        for problem in problems:
            if record.columns is None:
                yield problem
            elif problem not in self._reported:
                self._reported.add(problem)
                yield problem

    def _unknown(self, name: str, where: Where) -> Problem:
        problem = unknown_key(name, sorted(self._known or ()), where, noun="field")
        if problem.hint:
            return problem
        hint = f"if only the report uses it, list it under extra_fields or say --extra-field {shortened(name)}; the name of a row is called id"
        return Problem(where, problem.message, problem.field, hint)

    def _template_problem(self, name: str, error: TemplateError, record: Record) -> tuple[Problem, bool]:
        """The problem of a template, and whether it is one of the head and the same for every row."""
        columns = record.columns
        is_of_head = name not in record.fields
        if error.missing is not None and columns is not None:
            if error.missing in columns.names:
                message = f"the template needs {{{shortened(error.missing)}}}, which is not given in this row"
                return Problem(record.where, message, field=shortened(name), hint="fill the cell, or give a default"), False
            if is_of_head:
                path = ("matrix" if name in self._axis_names else "defaults", name)
                return Problem(self._scope.where(path), error.message, field=".".join(map(shortened, path)), hint=error.hint), True
        return Problem(record.value_place(name), error.message, field=shortened(name), hint=error.hint), False


def _id_text(value: Json) -> tuple[str | None, str]:
    """The name that a row gives itself, if any, and what is wrong with it."""
    if value is None:
        return None, ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None, f"expected a name for the row; found {shown_value(value)}"
    text = str(value).strip()
    if len(text) > ID_LIMIT:
        return None, f"expected at most {ID_LIMIT} characters; found {len(text)}"
    if not text.isprintable():
        return None, f"expected a name without line breaks and invisible characters; found {shown_value(text)}"
    return text or None, ""
