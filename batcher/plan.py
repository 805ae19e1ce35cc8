"""From the rows of a manifest to specs ready for the ledger: every check that can be made before anything is spent."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from batcher.compact import compact_encoder
from batcher.definition import SEED_MAX, MediaRef, ModelInput, RandomSeed, Request
from batcher.discovery import Definitions
from batcher.errors import BatcherError, ManifestError, Problem
from batcher.inputs import check_input
from batcher.manifest import Manifest, problems_from, unknown_key
from batcher.model import InputFile, JobSpec, Json, Row, Where
from batcher.naming import file_stem
from batcher.template import TemplateError, parse

RAW = "raw"
LOCAL_MEDIA = re.compile(r"(?i)(?!https?:|data:)[^\n]{1,400}\.(png|jpe?g|webp|gif|bmp|tiff?|avif|mp4|mov|webm)")
"""What looks like the name of a local picture or video."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the rows of one manifest become requests: a job definition, or the input of one model under its own field names."""

    job: str
    known_fields: frozenset[str] | None
    """None where the fields are the model's own affair and not known."""
    media_field: str | None
    model: str | None
    shape: type[BaseModel]


class Planner:
    """Turns a manifest into specs. `rng` draws the seeds that rows leave to chance."""

    def __init__(self, manifest: Manifest, definitions: Definitions, rng: random.Random) -> None:
        self._manifest = manifest
        self._definitions = definitions
        self._rng = rng
        self._recipe = choose_recipe(manifest, definitions)
        self._stem = tuple(parse(part) for part in manifest.head.output.name.split("/"))

    def items(self) -> Iterator[JobSpec | Problem]:
        """Every row as a spec, or as the problems that keep it from being one."""
        for row in self._manifest.rows(self._recipe.known_fields, self._recipe.media_field):
            if isinstance(row, Problem):
                yield row
            else:
                yield from self._plan_row(row)

    def _plan_row(self, row: Row) -> Sequence[JobSpec | Problem]:
        try:
            request = self._request(row)
        except _ProblemsError as error:
            return [*error.problems, *self._media_problems(row, error)]
        body = self._body_of(row)
        rendered = body.resolve(request.body, ())
        problems = [*body.problems, *(self._undeclared_media(row, request.body) if self._recipe.known_fields is None else ())]
        return problems or [self._spec(row, request, body, rendered)]

    def _request(self, row: Row) -> Request:
        """The request of a row, typed where a definition knows the model. Raises `_ProblemsError`."""
        fields = dict(row.fields)
        shape = self._recipe.shape
        if self._recipe.job == RAW:
            model = str(fields.get("model") or self._recipe.model or "")
            typed = self._definitions.inputs.get(model)
            if typed is not None:
                fields.pop("model", None)
                self._refuse_unknown(row, fields, typed)
                return Request(model=model, body=self._validate(row, typed, fields).body())
            if model:
                fields["model"] = model
            fields["image_fields"] = list(self._manifest.head.image_fields)
        elif self._recipe.model is not None:
            fields.setdefault("model", self._recipe.model)
        definition = self._validate(row, shape, fields)
        try:
            request: Request = definition.request()
        except ValidationError as error:
            raise self._faults(row, error, shape) from error
        return request

    def _media_problems(self, row: Row, error: _ProblemsError) -> Iterator[Problem]:
        """What is wrong with the files of a row that is refused for other reasons already."""
        told = {problem.field for problem in error.problems}
        for name, value in row.fields.items():
            if name in error.shape.model_fields and not any(field == name or (field or "").startswith(f"{name}[") for field in told):
                body = self._body_of(row)
                with suppress(ValidationError):
                    body.resolve(_field_adapter(error.shape, name).validate_python(value), (name,))
                yield from body.problems

    def _refuse_unknown(self, row: Row, fields: Mapping[str, Json], typed: type[ModelInput]) -> None:
        """Where each row names its model, the manifest could not tell which fields there are."""
        unknown = [name for name in fields if name not in typed.model_fields]
        if unknown:
            problems = [unknown_key(name, typed.model_fields, self._manifest.locate(row, name), noun="field", field=name) for name in unknown]
            raise _ProblemsError(problems, typed)

    def _validate(self, row: Row, shape: type[Any], fields: Mapping[str, Json]) -> Any:
        try:
            return shape.model_validate(fields)
        except ValidationError as error:
            raise self._faults(row, error, shape) from error

    def _faults(self, row: Row, error: ValidationError, shape: type[BaseModel]) -> _ProblemsError:
        place = functools.partial(self._place, row)
        return _ProblemsError(problems_from(error, where=place, model=shape), shape)

    def _place(self, row: Row, loc: tuple[int | str, ...]) -> Where:
        return self._manifest.locate(row, str(loc[0])) if loc else row.where

    def _undeclared_media(self, row: Row, body: Mapping[str, Any]) -> Iterator[Problem]:
        """A path sent as text would be paid for and fail at the service."""
        for name, value in body.items():
            texts = value if isinstance(value, list) else [value]
            for text in texts:
                looks_local = isinstance(text, str) and not isinstance(text, MediaRef) and LOCAL_MEDIA.fullmatch(text) is not None
                if looks_local and os.path.isfile(self._manifest.base_dir / text):  # noqa: PTH113 - Path.is_file raises for a name that is too long
                    hint = f"declare the field: image_fields: [{name}] in the manifest, or --image-field {name}"
                    yield Problem(self._manifest.locate(row, name), f"{text!r} is a local file, and would be sent as text", field=name, hint=hint)

    def _body_of(self, row: Row) -> RequestBody:
        manifest = self._manifest
        return RequestBody(
            row.fields,
            self._rng,
            open_file=lambda ref: check_input(manifest.base_dir / ref, ref.media, manifest.input_folder),
            place=lambda field: manifest.locate(row, field) if field else row.where,
        )

    def _spec(self, row: Row, request: Request, body: RequestBody, rendered: dict[str, Json]) -> JobSpec | Problem:
        print_ = fingerprint(request.model, body.identity(rendered))
        row_id = row.id if row.id is not None else print_[:12]
        names: dict[str, Json] = {**row.extras, **row.fields, **row.axes, "id": row_id}
        try:
            stem = "/".join([file_stem(part.render_text(names)) for part in self._stem])
        except TemplateError as error:
            return Problem(row.where, error.message, field="output.name", hint=error.hint)
        return JobSpec(
            key=print_ if row.id is None else f"id:{row.id}", row_id=row_id, fingerprint=print_, job=self._recipe.job, model=request.model,
            body=body.draw_seeds(rendered), stem=stem, fields={**row.fields, **row.extras}, axes=dict(row.axes), inputs=tuple(body.inputs),
            where=str(row.where),
        )  # fmt: skip


def choose_recipe(manifest: Manifest, definitions: Definitions) -> Recipe:
    """How the manifest wants its rows made. Raises `ManifestError` for a job that does not exist."""
    head = manifest.head
    job = head.job or RAW
    if job not in definitions.names:
        raise ManifestError([unknown_key(job, definitions.names, manifest.where("job"), noun="job", field="job")])
    definition = definitions.get(job)
    if job == RAW:
        typed = definitions.inputs.get(head.model or "")
        known = frozenset(typed.model_fields) | {"model"} if typed is not None else None
        media = next(iter(head.image_fields), None) or (_first_media_field(typed) if typed is not None else None)
        return Recipe(job, known, media, head.model, definition)
    if head.model is not None and "model" not in definition.model_fields:
        raise ManifestError([Problem(manifest.where("model"), f"the job {job} chooses its model itself", field="model", hint="leave `model` out")])
    return Recipe(job, frozenset(definition.model_fields), definition.main_media_field, head.model, definition)


_canonical = compact_encoder(sort_keys=True)


def fingerprint(model: str, body: Json) -> str:
    """The hash of a request as it will be sent, input bytes by their own hash: 32 hexadecimal digits."""
    text = _canonical({"model": model, "body": body})
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _first_media_field(typed: type[ModelInput]) -> str | None:
    return next((name for name, info in typed.model_fields.items() if "ImageRef" in repr(info.annotation)), None)


class _ProblemsError(BatcherError):
    """What is wrong with a row, told by validating it as `shape`."""

    def __init__(self, problems: list[Problem], shape: type[BaseModel]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
        self.shape = shape


@functools.lru_cache(256)  # a memo and no state: what checks one field of a model by itself
def _field_adapter(shape: type[BaseModel], name: str) -> TypeAdapter[Any]:
    annotation: Any = shape.model_fields[name].annotation
    return TypeAdapter(annotation)


class RequestBody:
    """Resolves what stands in a request body for something else: local files and seeds left to chance.

    `fields` are those of the row, `open_file` checks a local file, and raises `BatcherError`, and `place` says where a field was given.
    """

    def __init__(
        self, fields: Mapping[str, Json], rng: random.Random, *, open_file: Callable[[MediaRef], InputFile], place: Callable[[str | None], Where]
    ) -> None:
        self._fields = fields
        self._rng = rng
        self._open_file = open_file
        self._place = place
        self._has_random_seeds = False
        self.inputs: list[InputFile] = []
        self.problems: list[Problem] = []

    def resolve(self, value: Any, path: tuple[str, ...]) -> Any:
        """`value` with each local file replaced by `{"$input": n}`; seeds stay for `draw_seeds`."""
        if isinstance(value, MediaRef):
            return self._media(value, path)
        if isinstance(value, (dict, Mapping)):
            if "$input" in value:
                self._problem(path, "", "the key $input is reserved")
            return {key: item if type(item) is str else self.resolve(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.resolve(item, path) for item in value]
        if isinstance(value, RandomSeed):
            self._has_random_seeds = True
        return value

    def identity(self, value: Any) -> Any:
        """What `resolve` made, as it counts for the row's identity: files by their content, seeds left to chance all alike."""
        return self._identity(value) if self.inputs or self._has_random_seeds else value

    def draw_seeds(self, value: Any) -> Any:
        """What `resolve` made, with a number in place of each seed left to chance."""
        return self._draw_seeds(value) if self._has_random_seeds else value

    def _identity(self, value: Any) -> Any:
        if isinstance(value, RandomSeed):
            return "random"
        if isinstance(value, dict):
            if "$input" in value:
                return {"$sha256": self.inputs[value["$input"]].sha256}
            return {key: self._identity(item) for key, item in value.items()}
        return [self._identity(item) for item in value] if isinstance(value, list) else value

    def _draw_seeds(self, value: Any) -> Any:
        if isinstance(value, RandomSeed):
            return self._rng.randint(0, SEED_MAX)
        if isinstance(value, dict):
            return {key: self._draw_seeds(item) for key, item in value.items()}
        return [self._draw_seeds(item) for item in value] if isinstance(value, list) else value

    def _media(self, ref: MediaRef, path: tuple[str, ...]) -> Json:
        text = str(ref)
        if text.startswith("data:"):
            fits = ref.media == MediaRef.media or text.startswith(f"data:{ref.media}/")
            return text if fits else self._problem(path, text, f"{text[:40]!r} is not a data URI of {_article(ref.media)}")
        try:
            parts = urlsplit(text)
        except ValueError:
            return self._problem(path, text, f"{text[:80]!r} is not a usable address")
        if parts.scheme in ("http", "https") and "//" in text:
            if not parts.hostname:
                return self._problem(path, text, f"{text[:80]!r} has no host")
            if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
                return self._problem(path, text, f"{text[:80]!r} is not https", hint="the service fetches https links only")
            return text
        if "://" in text:
            return self._problem(path, text, f"{text[:80]!r} is neither an https link nor a local path")
        try:
            file = self._open_file(ref)
        except BatcherError as error:
            return self._problem(path, text, error.message, hint=error.remedy)
        if file not in self.inputs:
            self.inputs.append(file)
        return {"$input": self.inputs.index(file)}

    def _problem(self, path: tuple[str, ...], text: str, message: str, hint: str = "") -> Json:
        """Note it under the row's own name for the field, and stand in for the value."""
        given_fields = self._fields.items()
        field = next((name for name, given in given_fields if text and (text == given or (isinstance(given, list) and text in given))), None)
        field = field or (path[0] if path else None)
        self.problems.append(Problem(self._place(field), message, field=field, hint=hint))
        return None
