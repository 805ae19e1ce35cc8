"""Finds job definitions through the entry-point group `batcher.jobs`; a package of your own adds its definitions the same way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from batcher.definition import Definition, ModelInput
from batcher.errors import UsageError
from batcher.model import Json

GROUP = "batcher.jobs"


class Definitions:
    """Every job definition that is installed, by name; each is imported when it is asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
        self._loaded: dict[str, type[Definition]] = {}

    @property
    def names(self) -> list[str]:
        """The names that manifests call them by, sorted."""
        return sorted(self._entries)

    def get(self, name: str) -> type[Definition]:
        """The definition called `name`. Raises `KeyError` if there is none, `UsageError` if it cannot be imported."""
        if name not in self._loaded:
            entry = self._entries[name]
            try:
                definition = entry.load()
            except Exception as error:
                raise UsageError(
                    f"the job {name!r} cannot be imported from {entry.value}: {error}", "Reinstall the package that provides it."
                ) from error
            if not (isinstance(definition, type) and issubclass(definition, Definition)):
                raise UsageError(f"the job {name!r} ({entry.value}) is not a batcher.definition.Definition", "Correct the package that provides it.")
            self._loaded[name] = definition
        return self._loaded[name]

    @cached_property
    def inputs(self) -> Mapping[str, type[ModelInput]]:
        """The typed input of every model that some definition knows, by model id."""
        return {model: typed for name in self.names for typed in self.get(name).inputs for model in typed.models}

    def links(self, name: str, output: Json) -> tuple[str, ...]:
        """The links to the files in an output of the job called `name`; of one that is not installed any more, found the general way."""
        return (self.get(name) if name in self._entries else Definition).links(output)
