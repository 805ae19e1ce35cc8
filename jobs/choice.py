"""Definitions that leave the choice of a model to the row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from batcher.definition import Definition, ModelInput, Request


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that a row may choose by `name` or by `model_id`; `renamed` maps fields of the definition to the model's own where they differ."""

    name: str
    model_id: str
    input: type[ModelInput]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def field_of(self, name: str) -> str:
        """The model's own name for a field of the definition."""
        return self.renamed.get(name, name)

    def knows(self, name: str) -> bool:
        """Whether the model has this field of the definition."""
        return self.field_of(name) in _fields_of(self.input)

    def take(self, given: dict[str, Any]) -> ModelInput:
        """The model's input of these fields of the definition. Raises `ValidationError`."""
        return self.input.model_validate({self.field_of(name): value for name, value in given.items()} if self.renamed else given)


@lru_cache(256)  # a memo and no state: asked for each field of each row, and pydantic does not answer at once
def _fields_of(shape: type[BaseModel]) -> frozenset[str]:
    return frozenset(shape.model_fields)


@lru_cache(256)
def _choice_of(definition: type[ModelChoice], model: str) -> Choice:
    return next(one for one in definition.choices if model in (one.name, one.model_id))


class ModelChoice(Definition):
    """A definition whose row names one of `choices` in its field `model`, and may use the fields that this model knows."""

    choices: ClassVar[tuple[Choice, ...]] = ()

    model: Any

    @property
    def choice(self) -> Choice:
        """The model that the row names."""
        return _choice_of(type(self), self.model)

    def request(self) -> Request:
        """The row in the chosen model's own terms."""
        return Request(model=self.choice.model_id, body=self.model_input.body())

    def given(self) -> dict[str, Any]:
        """The fields that the row gives, the model apart, under the definition's names."""
        given = self.model_fields_set
        return {name: value for name, value in vars(self).items() if value is not None and name in given and name != "model"}

    def faults(self) -> list[InitErrorDetails]:
        """What the chosen model does not know or take of the row, under the definition's names."""
        choice, given = self.choice, self.given()
        unknown = [self._unknown_to_model(name) for name in given if not choice.knows(name)]
        if unknown:
            return unknown
        try:
            vars(self)["model_input"] = choice.take(given)
        except ValidationError as error:
            return [self._in_own_terms(detail) for detail in error.errors()]
        return []

    @cached_property
    def model_input(self) -> ModelInput:
        """The row as the chosen model takes it; there since the row was checked. Raises `ValidationError`."""
        return self.choice.take(self.given())

    @model_validator(mode="after")
    def _fits_the_model(self) -> Self:
        if faults := self.faults():
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        return self

    def _unknown_to_model(self, name: str) -> InitErrorDetails:
        able = ", ".join(one.name for one in self.choices if one.knows(name))
        message = PydanticCustomError(
            "unknown_to_model",
            "{model} has no field {field}; it is known to {able}",
            {"model": self.choice.name, "field": name, "able": able},
        )
        return InitErrorDetails(type=message, loc=(name,), input=getattr(self, name))

    def _in_own_terms(self, detail: ErrorDetails) -> InitErrorDetails:
        """A fault in the model's input, told under the definition's name for the field."""
        own = {self.choice.field_of(name): name for name in type(self).model_fields}
        head, *rest = detail["loc"]
        said = detail["msg"][:1].lower() + detail["msg"][1:]
        message = PydanticCustomError("not_for_model", "for {model}, {said}", {"model": self.choice.name, "said": said})
        return InitErrorDetails(type=message, loc=(own.get(str(head), head), *rest), input=detail["input"])
