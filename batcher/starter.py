"""Writes a starter manifest for a job definition: its required fields filled with its example, the others commented out with what they mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from batcher.definition import Definition
from batcher.discovery import Definitions
from batcher.errors import OutputError, UsageError
from batcher.model import Json
from batcher.naming import nearest

HEAD_KEYS = ("image_fields",)
"""What a definition takes from the head of a manifest and not from its rows."""


def write_starter(path: Path, job: str, *, force: bool = False) -> None:
    """Raises `UsageError` for a job that does not exist, `OutputError` if `path` exists or cannot be written."""
    definitions = Definitions()
    if job not in definitions.names:
        meant = nearest(job, definitions.names)
        raise UsageError(f"there is no job {job!r}" + (f"; did you mean {meant!r}?" if meant else ""), f"There are: {', '.join(definitions.names)}.")
    text = "\n".join(starter_lines(job, definitions.get(job))) + "\n"
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise OutputError(f"{path} exists already", "Name another file, or add --force.") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def starter_lines(job: str, definition: type[Definition]) -> Iterator[str]:
    """The manifest, line by line."""
    summary = (definition.__doc__ or "").strip().splitlines()
    yield f"# {summary[0]}" if summary else f"# A batch of {job}."
    yield "# Check it: batcher plan FILE. Try it: batcher run FILE --out out --simulate. Run it: the same without --simulate."
    yield "version: 1"
    yield f"name: {job.replace('_', '-')}"
    yield f"job: {job}"
    example = dict(definition.example)
    yield from (f"{name}: {_yaml(example[name])}" for name in HEAD_KEYS if name in example)
    yield ""
    yield "# Given to every row that does not say otherwise. A text may hold {names} of other fields and of matrix axes."
    yield "defaults:"
    for name, info in definition.model_fields.items():
        about = f"  # {info.description}" if info.description else ""
        if not info.is_required() and name not in HEAD_KEYS:
            yield f"  # {name}: {_yaml(example.get(name, info.get_default()))}{about}"
    yield ""
    yield "# Each row becomes one request. It may also be a file (rows.csv) or a glob of images (photos/*.jpg)."
    yield "rows:"
    first = "- "
    for name, value in {"id": "first", **{name: value for name, value in example.items() if name not in HEAD_KEYS}}.items():
        yield f"  {first}{name}: {_yaml(value)}"
        first = "  "
    yield ""
    yield "# Every row with every combination of these."
    yield "# matrix:"
    yield "#   style: [watercolour, photograph]"
    yield ""
    yield "# run:"
    yield "#   concurrency: 64        # requests in flight at the service"
    yield "#   regenerations: 0       # how often a generation that failed is paid for again"
    yield "# output:"
    yield '#   name: "{id}"'


def _yaml(value: Json) -> str:
    """JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
