"""Any model at all, by its own field names."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from batcher.definition import Definition, ImageRef, RandomSeed, Request

_MODEL_ID = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$"


def _no_dots(model_id: str) -> str:
    if any(part in (".", "..") for part in model_id.split("/")):
        raise PydanticCustomError("model_id", "a model id has no . or .. between its slashes")
    return model_id


ModelId: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_MODEL_ID), AfterValidator(_no_dots)]
"""The id of a model as the service writes it; it becomes part of an address, so it holds nothing but names and slashes."""


class Raw(Definition):
    """Sends a row to any model as it is: every other field of the row is a field of the model's input."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    example: ClassVar[dict[str, Any]] = {
        "model": "ideogram/ideogram-v3/replace-background",
        "image": "photos/bottle.jpg",
        "prompt": "a marble shelf in a sunlit bathroom",
        "image_fields": ["image"],
    }

    model: ModelId = Field(description="The id of the model, for example google/nano-banana-2-lite/edit.")
    image_fields: tuple[str, ...] = Field(
        default=(), description="Which fields of the row name images: a file there is read and sent. A field that is not in the row is passed over."
    )

    def request(self) -> Request:
        """The row as it stands, without the fields that are empty; images and random seeds marked as such."""
        fields = self.model_extra or {}
        return Request(model=self.model, body={name: self._value(name, value) for name, value in fields.items() if value is not None})

    @model_validator(mode="after")
    def _images_are_named(self) -> Self:
        fields = self.model_extra or {}
        faults = [self._not_an_image(name, fields[name]) for name in self.image_fields if not _names_images(fields.get(name))]
        if faults:
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        return self

    def _value(self, name: str, value: JsonValue) -> Any:
        if name in self.image_fields:
            return [_image(one) for one in value] if isinstance(value, list) else _image(value)
        return _seed(value) if name == "seed" else value

    @staticmethod
    def _not_an_image(name: str, value: JsonValue) -> InitErrorDetails:
        message = PydanticCustomError("image_field", "a field of images holds a path, an address, or a list of them")
        return InitErrorDetails(type=message, loc=(name,), input=value)


def _names_images(value: JsonValue) -> bool:
    return value is None or all(isinstance(one, str) and one.strip() for one in (value if isinstance(value, list) else [value]))


def _image(value: JsonValue) -> ImageRef:
    return ImageRef(str(value).strip())


def _seed(value: JsonValue) -> JsonValue:
    """`random` is drawn when the batch is planned; a number that came as text is a number; anything else is the model's own affair."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text == "random":
        return RandomSeed()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else value
