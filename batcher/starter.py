"""Writes a starter manifest for a job definition: its required fields filled with its example, the others commented out with what they mean."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from batcher.definition import Definition
from batcher.discovery import Definitions
from batcher.errors import OutputError, UsageError
from batcher.naming import nearest

HEAD_KEYS = ("image_fields",)
"""What a definition takes from the head of a manifest and not from its rows."""


def write_starter(path: Path, job: str, *, force: bool = False) -> None:
    """Raises `UsageError` for a job that does not exist, `OutputError` if `path` exists or cannot be written."""
    definitions = Definitions()
    if job not in definitions.names:
        meant = nearest(job, definitions.names)
        raise UsageError(f"there is no job {job!r}" + (f"; did you mean {meant!r}?" if meant else ""), f"There are: {', '.join(definitions.names)}.")
    text = starter(job, definitions.get(job), path.name)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise OutputError(f"{path} exists already", "Name another file, or add --force.") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def starter(job: str, definition: type[Definition], file: str) -> str:
    """The manifest as text, to be saved as `file`."""
    templates = Environment(  # noqa: S701 - it makes YAML, in which every value stands as JSON
        loader=PackageLoader("batcher"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    templates.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    example = dict(definition.example)
    optional = [
        {"name": name, "value": example.get(name, info.get_default()), "about": info.description}
        for name, info in definition.model_fields.items()
        if not info.is_required() and name not in HEAD_KEYS
    ]
    return templates.get_template("starter.yaml.j2").render(
        summary=(definition.__doc__ or f"A batch of {job}.").strip().splitlines()[0],
        file=file,
        name=job.replace("_", "-"),
        job=job,
        head={key: example[key] for key in HEAD_KEYS if key in example},
        optional=optional,
        row={key: value for key, value in example.items() if key not in HEAD_KEYS},
        axis="background" if "background" in example else "prompt",
    )
