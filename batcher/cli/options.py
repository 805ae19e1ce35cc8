"""The options that several commands share, and what is made of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from batcher.errors import UsageError

if TYPE_CHECKING:
    from batcher.app import Opener
    from batcher.simulator import SimulatorSettings

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of a batch.", show_default=False)]
ManifestArgument = Annotated[str, typer.Argument(metavar="MANIFEST", help="A YAML, CSV or JSONL file; - for standard input.", show_default=False)]
JobOption = Annotated[str | None, typer.Option(help="The job definition, where the manifest names none.", rich_help_panel="Manifest")]
ModelOption = Annotated[str | None, typer.Option(help="The model, by its id, where the manifest names none.", rich_help_panel="Manifest")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A default for all rows.", rich_help_panel="Manifest")]
ImageFieldOption = Annotated[
    list[str] | None, typer.Option("--image-field", help="A field that holds an image, for a model without a definition.", rich_help_panel="Manifest")
]
ExtraFieldOption = Annotated[
    list[str] | None, typer.Option("--extra-field", help="A column that is only for templates and the report.", rich_help_panel="Manifest")
]
OutsideOption = Annotated[
    bool,
    typer.Option("--allow-outside-inputs", help="Let the manifest name files outside of its folder, and so send them.", rich_help_panel="Manifest"),
]
FormatOption = Annotated[str | None, typer.Option("--format", help="yaml, csv or jsonl, where the name does not tell.", rich_help_panel="Manifest")]
RejectedOption = Annotated[bool, typer.Option("--rejected", help="Make rows again whose results were rejected: each is paid for again.")]
RedoOption = Annotated[bool, typer.Option("--redo", help="Make rows again that are marked so.")]
ReseedOption = Annotated[bool, typer.Option("--reseed", help="With --rejected or --redo: draw new seeds.")]
ChangeOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="With --rejected or --redo: change a field of these rows; {prompt}, {note} stand for theirs."),
]
ConcurrencyOption = Annotated[int | None, typer.Option(help="The most requests in flight at the service.", rich_help_panel="Pace")]
PostsOption = Annotated[
    int | None, typer.Option(help="Submits under way at once: the most rows that a crash can leave in doubt.", rich_help_panel="Pace")
]
DownloadsOption = Annotated[int | None, typer.Option(help="Downloads under way at once.", rich_help_panel="Pace")]
RateOption = Annotated[float | None, typer.Option("--submits-per-s", help="The most submits per second.", rich_help_panel="Pace")]
GraceOption = Annotated[float | None, typer.Option("--grace-s", help="How long a stop waits for what is running.", rich_help_panel="Pace")]
SimulateOption = Annotated[
    bool, typer.Option("--simulate", help="Use a simulated service on this machine: free, no token.", rich_help_panel="Service")
]
SpeedOption = Annotated[float | None, typer.Option(help="How many times faster than life the simulated service is.", rich_help_panel="Service")]
SlotsOption = Annotated[int | None, typer.Option(help="Requests that the simulated service runs at once.", rich_help_panel="Service")]
CapacityOption = Annotated[int | None, typer.Option(help="Requests that the simulated service takes at once, 429 beyond.", rich_help_panel="Service")]
LatencyOption = Annotated[float | None, typer.Option("--latency-s", "--latency", help="Median seconds of a request.", rich_help_panel="Service")]
SeedOption = Annotated[int | None, typer.Option(help="Makes the simulated service repeatable.", rich_help_panel="Service")]
ArtOption = Annotated[Literal["drawn", "plain"] | None, typer.Option(help="drawn, or plain for load tests.", rich_help_panel="Service")]
FaultOption = Annotated[
    list[str] | None, typer.Option("--fault", help="Something that goes wrong, as CALL:WHAT[:KEY=VALUE,…].", rich_help_panel="Service")
]
FaultsOption = Annotated[Path | None, typer.Option("--simulator-settings", help="A YAML file of simulator settings.", rich_help_panel="Service")]
AllowHostOption = Annotated[list[str] | None, typer.Option("--allow-host", help="One more host to download from.", rich_help_panel="Service")]
TakeOverOption = Annotated[
    bool, typer.Option("--take-over", help="Go on with a copy of a folder whose run was killed, and vouch that no other copy is used.")
]
GalleryOption = Annotated[bool, typer.Option("--gallery/--no-gallery", help="Write report.html at the end.", rich_help_panel="Output")]
ServeOption = Annotated[
    int | None,
    typer.Option(
        "--serve",
        metavar="[=PORT]",
        help="Show the batch on a live page of this machine while it runs. Without a port, 8377 or a free one.",
        rich_help_panel="Output",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; errors and the exit code only.", rich_help_panel="Output")]
LogJsonOption = Annotated[bool, typer.Option("--log-json", help="Every event as a line of JSON on standard error.", rich_help_panel="Output")]


ANY_PORT = -1
"""What `--serve` says without a port."""


def with_port(arguments: Sequence[str]) -> list[str]:
    """`arguments` with `--serve`, whose port may be left out, as an option that has one: Typer knows none that may."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [f"--serve={ANY_PORT}" if each == "--serve" and at < end else each for at, each in enumerate(arguments)]


class Doubt(StrEnum):
    """What to do with rows in doubt."""

    RESUBMIT = "resubmit"
    ABANDON = "abandon"


def opener_of(
    manifest: str,
    job: str | None,
    model: str | None,
    settings: list[str] | None,
    image_fields: list[str] | None,
    extra_fields: list[str] | None,
    format_: str | None,
    allow_outside_inputs: bool,
) -> Opener:
    """What opens the manifest that was named, with the flags that speak of it."""
    from batcher.manifest import open_manifest

    return functools.partial(
        open_manifest,
        "-" if manifest == "-" else Path(manifest),
        format=format_,
        job=job,
        model=model,
        settings=pairs(settings or (), "KEY=VALUE"),
        image_fields=tuple(image_fields or ()),
        extra_fields=tuple(extra_fields or ()),
        allow_outside_inputs=allow_outside_inputs,
    )


def pairs(texts: Sequence[str], shape: str) -> dict[str, str]:
    """Each `NAME=VALUE` of `texts`. `shape` is what a message calls it. Raises `UsageError`, also for a name that is given twice."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{text!r} is not {shape}")
        if name.strip() in values:
            raise UsageError(f"{name.strip()} is given twice: {shape} names each once")
        values[name.strip()] = value
    return values


def pace_of(
    concurrency: int | None, posts_in_flight: int | None, downloads: int | None, submits_per_s: float | None, grace_s: float | None
) -> dict[str, Any]:
    """The run settings that were given as flags, by name; None for those that were not."""
    return {
        "concurrency": concurrency,
        "posts_in_flight": posts_in_flight,
        "downloads": downloads,
        "submits_per_s": submits_per_s,
        "grace_s": grace_s,
    }


def simulator_of(simulate: bool, file: Path | None, faults: list[str] | None, **flags: object) -> SimulatorSettings | None:
    """The settings of the simulated service, if it is wanted. Raises `UsageError` for flags of it where it is not."""
    given = {name: value for name, value in flags.items() if value is not None}
    if not simulate:
        if given or faults or file is not None:
            raise UsageError("flags of the simulated service are given without --simulate", "Add --simulate, or leave them out.")
        return None
    from pydantic import ValidationError

    from batcher.simulator import FaultRule, SimulatorError, SimulatorSettings
    from batcher.simulator.faults import explain

    try:
        rules = tuple(FaultRule.parse(text) for text in faults or ())
        if file is not None:
            return SimulatorSettings.from_yaml(file, faults=rules, **given)
        return SimulatorSettings.model_validate({**given, "faults": rules})
    except SimulatorError as error:
        raise UsageError(str(error)) from error
    except ValidationError as error:
        raise UsageError(f"the simulated service: {explain(error)}") from error
