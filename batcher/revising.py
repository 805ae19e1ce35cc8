"""Rows that are made again, differently: fields set anew, seeds drawn anew, checked as a manifest's rows are before anything is spent.

There is no manifest here. The request of a row is made once more from what the ledger keeps of it, which must come to the very request that was sent;
only then is it changed. So files that the row names stay those that were planned, and a seed that was drawn stays drawn unless another is asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from batcher.definition import MediaRef, RandomSeed, Request
from batcher.discovery import Definitions
from batcher.errors import InputError, Problem, UsageError
from batcher.inputs import check_input
from batcher.manifest import problems_from, unknown_key
from batcher.model import InputFile, Job, JobSpec, Json, Where
from batcher.plan import RAW, RequestBody, fingerprint
from batcher.template import Composite, Template, TemplateError, compile_value, names_in

SEED: Final = "seed"
NOTE: Final = "note"
"""What a template calls the note of the review."""


class Reviser:
    """Changes the requests of rows.

    `changes` are fields by name; text in braces, such as `{prompt}` or `{note}`, stands for what the row has. With `reseed` seeds are drawn by `rng`.
    Paths start from `folder`. Raises `UsageError` for a template that cannot be read.
    """

    def __init__(self, definitions: Definitions, changes: Mapping[str, Json], *, reseed: bool, rng: random.Random, folder: Path) -> None:
        if "id" in changes:
            raise UsageError("--set id: the id is the name of a row and cannot be changed", "Leave it out.")
        if reseed and SEED in changes:
            raise UsageError("--reseed and --set seed=… cannot both be", "Leave one of them out.")
        self._definitions = definitions
        self._changes = changes
        self._templates: dict[str, Template | Composite | None] = {}
        for name, value in changes.items():
            try:
                self._templates[name] = compile_value(value)
            except TemplateError as error:
                raise UsageError(f"--set {name}: {error.message}", error.hint) from error
        self._reseed = reseed
        self._rng = rng
        self._folder = folder

    def revise(self, job: Job) -> tuple[JobSpec, Mapping[str, Json]] | list[Problem]:
        """The spec of `job` with its request changed, and the fields that were set; or all that is wrong with it."""
        spec = job.spec
        try:
            old = _Rebuilt(spec, self._definitions)
            fields = self._set(job, old)
            request = old.request_of(fields)
        except _RowError as error:
            return error.problems
        body = RequestBody(fields, self._rng, open_file=lambda ref: self._file(ref, old), place=lambda field: _where(spec))
        rendered = body.resolve(request.body, ())
        if body.problems:
            return body.problems
        kept = rendered if self._reseed else _keep_seeds(rendered, spec.body)
        changed = {name: value for name, value in fields.items() if old.fields.get(name) != value}
        return replace(
            spec, fingerprint=fingerprint(request.model, body.identity(rendered)), model=request.model, body=body.draw_seeds(kept),
            fields={**spec.fields, **changed}, inputs=tuple(body.inputs),
        ), changed  # fmt: skip

    def _set(self, job: Job, old: _Rebuilt) -> dict[str, Json]:
        """The fields of the row as they are to be. Raises `_RowError`."""
        problems = [problem for name in self._changes if (problem := old.refusal_of(name)) is not None]
        note = job.review.note if job.review is not None else ""
        values = {**job.spec.fields, **job.spec.axes, "id": job.row_id, **({NOTE: note} if note else {})}
        fields = dict(old.fields)
        for name, template in self._templates.items():
            try:
                fields[name] = self._changes[name] if template is None else template.render(values)
            except TemplateError as error:
                lacks_note = error.missing == NOTE
                message = "its review has no note" if lacks_note else error.message
                hint = f"batcher review DIR --redo {job.row_id} --note TEXT" if lacks_note else error.hint
                problems.append(Problem(_where(job.spec), message, field=name, hint=hint))
        if problems:
            raise _RowError(problems)
        if self._reseed and old.takes_seed(fields):
            fields[SEED] = "random"
        return fields

    def _file(self, ref: MediaRef, old: _Rebuilt) -> InputFile:
        """A file that the row has already, if it is still what was planned, or one that is set anew.

        A name that is made of what the manifest or a review says leads to no file outside of the folder.
        """
        known = old.files.get(str(ref))
        if known is None:
            is_plain = any(str(ref) == str(value).strip() for name, value in self._changes.items() if not names_in(value))
            return check_input(self._folder / ref, ref.media, None if is_plain else self._folder)
        if check_input(Path(known.path), ref.media) != known:
            raise InputError(f"{known.path} is not the file any more that was planned", "put it back, or name another with --set")
        return known


class _RowError(Exception):
    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems


class _Rebuilt:
    """The request of a row as the ledger keeps it, made again from its fields. Raises `_RowError` where that comes to another one."""

    def __init__(self, spec: JobSpec, definitions: Definitions) -> None:
        self._spec = spec
        self._definitions = definitions
        if spec.job not in definitions.names:
            raise _RowError([Problem(_where(spec), f"its job {spec.job!r} is not installed", hint="install the package that provides it")])
        self._definition = definitions.get(spec.job)
        self.fields = self._own_fields()
        self.files: dict[str, InputFile] = {}
        """The files that the row names, by the text that names them."""
        self._model: str | None = None
        """What the manifest called the model for all rows, where a definition has a field for that and the row has it not."""
        if not any(self._is_made_with(model) for model in self._models()):
            hint = "leave out --set and --reseed, or change the row in the manifest and run that"
            raise _RowError([Problem(_where(spec), "its request cannot be made again from what the ledger keeps", hint=hint)])

    def request_of(self, fields: Mapping[str, Json]) -> Request:
        """The request that the row makes with these fields. Raises `_RowError`."""
        model = str(fields.get("model") or self._spec.model)
        shape: type[BaseModel] = self._definition
        try:
            if self._spec.job == RAW:
                typed = self._definitions.inputs.get(model)
                if typed is not None:
                    shape = typed
                    return Request(model=model, body=typed.model_validate({k: v for k, v in fields.items() if k != "model"}).body())
                images = [name for name, value in self._spec.body.items() if name in fields and _is_file(value)]
                return self._definition.model_validate({**fields, "model": model, "image_fields": images}).request()
            chosen = {} if self._model is None else {"model": self._model}
            return self._definition.model_validate({**chosen, **fields}).request()
        except ValidationError as error:
            raise _RowError(problems_from(error, where=lambda loc: _where(self._spec), model=shape)) from error

    def refusal_of(self, name: str) -> Problem | None:
        """Why a field of that name cannot be set, if it cannot."""
        known = self._known()
        if known is not None and name not in known:
            return unknown_key(name, sorted(known), _where(self._spec), noun="field", field=name)
        if known is None and name in self._spec.fields and name not in self.fields:
            return Problem(_where(self._spec), "only templates of the manifest use it", field=name, hint="set the field that should be different")
        return None

    def takes_seed(self, fields: Mapping[str, Json]) -> bool:
        """Whether the model has a seed that can be drawn."""
        if self._known() is None:
            return SEED in self._spec.body
        try:
            self.request_of({**fields, SEED: "random"})
        except _RowError as error:
            return any(problem.field != SEED for problem in error.problems)  # what is wrong besides is told, and not taken for this
        return True

    def _known(self) -> frozenset[str] | None:
        """The fields that there are; None where they are the model's own affair."""
        if self._spec.job != RAW:
            return frozenset(self._definition.model_fields)
        typed = self._definitions.inputs.get(self._spec.model)
        return None if typed is None else frozenset(typed.model_fields) | {"model"}

    def _own_fields(self) -> dict[str, Json]:
        """The fields of the row without those that only templates used."""
        known = self._known()
        names = {*self._spec.body, "model"} if known is None else known
        return {name: value for name, value in self._spec.fields.items() if name in names}

    def _models(self) -> list[str | None]:
        """What the manifest may have called the model."""
        field = self._definition.model_fields.get("model")
        if field is None or self._spec.job == RAW or "model" in self.fields:
            return [None]
        return [None, self._spec.model, *map(str, get_args(field.annotation))]

    def _is_made_with(self, model: str | None) -> bool:
        self._model = model
        try:
            return self._is_same(self.request_of(self.fields))
        except _RowError:
            return False

    def _is_same(self, request: Request) -> bool:
        spec = self._spec
        for ref, sent in _side_by_side(request.body, spec.body):
            if isinstance(ref, MediaRef) and isinstance(sent, Mapping):
                number = sent.get("$input")
                if isinstance(number, int) and 0 <= number < len(spec.inputs):
                    self.files[str(ref)] = spec.inputs[number]
        body = RequestBody(self.fields, random.Random(0), open_file=lambda ref: self.files[str(ref)], place=lambda field: _where(spec))
        try:
            identity = body.identity(body.resolve(request.body, ()))
        except KeyError:
            return False
        return not body.problems and fingerprint(request.model, identity) == spec.fingerprint


def _where(spec: JobSpec) -> Where:
    return Where(f"row {spec.row_id!r}")


def _is_file(value: object) -> bool:
    return any(isinstance(one, Mapping) and "$input" in one for one in (value if isinstance(value, list) else [value]))


def _side_by_side(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """What stands at the same places of two values that are built alike."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key, value in one.items():
            if key in other:
                yield from _side_by_side(value, other[key])
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for first, second in zip(one, other, strict=False):
            yield from _side_by_side(first, second)
    else:
        yield one, other


def _keep_seeds(value: Any, before: Any) -> Any:
    """`value` with the seeds that were drawn `before` in the place of those that are to be drawn."""
    if isinstance(value, RandomSeed):
        return before if isinstance(before, int) and not isinstance(before, bool) else value
    if isinstance(value, dict):
        return {key: _keep_seeds(item, before.get(key) if isinstance(before, Mapping) else None) for key, item in value.items()}
    if isinstance(value, list):
        return [_keep_seeds(item, before[n] if isinstance(before, list) and n < len(before) else None) for n, item in enumerate(value)]
    return value
