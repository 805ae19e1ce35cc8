"""What a job definition is: the typed fields of a row, the request they become, and where its outputs are.

A family of jobs lives in a module of its own (see the `jobs` package) and is found through the entry-point group `batcher.jobs`, under the name that
manifests call it by. There are two layers. A `ModelInput` is the input object of one or more models, field by field as the service names them. A
`Definition` is what people write in a row; its `request` turns the row into a `ModelInput`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from batcher.model import Json


class MediaRef(str):
    """A field that names a file: an https URL, a data URI, or a path relative to the manifest.

    The planner resolves it wherever it stands in a body.
    """

    __slots__ = ()
    media: ClassVar[str] = "file"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1, strip_whitespace=True))


class ImageRef(MediaRef):
    """A field that names an image."""

    __slots__ = ()
    media = "image"


class VideoRef(MediaRef):
    """A field that names a video."""

    __slots__ = ()
    media = "video"


class RandomSeed(int):
    """Stands in a body for a seed that the planner draws once and the ledger keeps."""

    __slots__ = ()


SEED_MAX = 2**31 - 1


def _seed(value: object) -> int:
    if value == "random" or isinstance(value, RandomSeed):
        return RandomSeed()
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value) if len(value) < 20 else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SEED_MAX:
        raise PydanticCustomError("seed", f"a seed is a whole number from 0 to {SEED_MAX}, or the word random")
    return value


Seed: TypeAlias = Annotated[
    int,
    PlainValidator(_seed),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": SEED_MAX}, {"const": "random"}]}),
]
"""A whole number from 0 to 2147483647, or the word `random`."""


class ModelInput(BaseModel):
    """The input object of the models named in `models`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    models: ClassVar[tuple[str, ...]] = ()

    def body(self) -> dict[str, Json]:
        """The fields that were given, under the service's names; a field left out takes the service's own default."""
        given = self.model_fields_set
        return {name: value for name, value in vars(self).items() if value is not None and name in given}


class Request(BaseModel):
    """A model and the body that it is to be sent; media references and random seeds still stand in the body as such."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, protected_namespaces=())
    model: str
    body: Any


class Definition(BaseModel):
    """One kind of job. A subclass declares the fields of a row and says what request they make."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    inputs: ClassVar[tuple[type[ModelInput], ...]] = ()
    """The model inputs of the family, so that rows given with a model's own field names are checked too."""
    main_media_field: ClassVar[str | None] = None
    """The field that takes the file when rows are given as a folder of files."""

    def request(self) -> Request:
        """The request that this row makes."""
        raise NotImplementedError

    example: ClassVar[Mapping[str, Any]] = {}
    """The fields of a row that is worth showing; a local file in it need not exist."""

    @classmethod
    def links(cls, output: Json) -> tuple[str, ...]:
        """The links to the files in what the service gave back, in order."""
        return output_links(output)


OUTPUT_KINDS = ("image", "images", "video", "videos", "audio", "audios")


def output_links(output: Json) -> tuple[str, ...]:
    """Every link of an output: a string, a list, `{"url": …}`, or an object keyed by kind of these; each link once, in order."""
    found: dict[str, None] = {}

    def walk(value: Json, depth: int) -> None:
        if depth > 4:
            return
        if isinstance(value, str):
            if value.strip():
                found[value.strip()] = None
        elif isinstance(value, Mapping):
            for key in ("url", *OUTPUT_KINDS):
                if key in value:
                    walk(value[key], depth + 1)
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item, depth + 1)

    walk(output, 0)
    return tuple(found)


AspectRatio: TypeAlias = Literal["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"]
