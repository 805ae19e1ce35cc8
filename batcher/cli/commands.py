"""The command line. Everything heavy is imported by the command that needs it, so that help comes at once."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from batcher.cli.looking import diff, export, plan, report, review, serve, status, verify, watch
from batcher.cli.options import (
    AllowHostOption,
    ArtOption,
    CapacityOption,
    ChangeOption,
    ConcurrencyOption,
    Doubt,
    DownloadsOption,
    ExtraFieldOption,
    FaultOption,
    FaultsOption,
    Folder,
    FormatOption,
    GalleryOption,
    GraceOption,
    ImageFieldOption,
    JobOption,
    LatencyOption,
    LogJsonOption,
    ManifestArgument,
    ModelOption,
    OutsideOption,
    PostsOption,
    QuietOption,
    RateOption,
    RedoOption,
    RejectedOption,
    ReseedOption,
    SeedOption,
    ServeOption,
    SetOption,
    SimulateOption,
    SlotsOption,
    SpeedOption,
    TakeOverOption,
    opener_of,
    pace_of,
    pairs,
    simulator_of,
    with_port,
)
from batcher.cli.running import environment, run_and_report, until_signalled, wait_for
from batcher.cli.signals import SignalledError
from batcher.cli.speaking import complain, confess, console_for, say
from batcher.cli.streams import make_streams_patient
from batcher.crashpoints import VARIABLE, arm
from batcher.errors import BatcherError, ManifestError, UsageError
from batcher.model import Mode, State, Verdict
from batcher.version import VERSION

USAGE_CODE = 64
TYPER_USAGE_CODE = 2

RUNNING, LOOKING, MORE = "Run a batch", "Look at a batch", "More"

app = typer.Typer(
    name="batcher",
    help="Run manifests of prompts and images through generative-media APIs. Nothing is paid for twice, nothing paid for is lost.",
    epilog="Exit codes: 0 every row done, 1 some failed or are in doubt, 130/143 interrupted and resumable; docs/reference/exit-codes.md has all.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batcher {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    pass


@app.command(rich_help_panel=RUNNING)
def run(
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files, the report and the ledger go.", show_default=False)],
    job: JobOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    image_field: ImageFieldOption = None,
    extra_field: ExtraFieldOption = None,
    format_: FormatOption = None,
    allow_outside_inputs: OutsideOption = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed and cancelled rows again.", rich_help_panel="Manifest")] = False,
    concurrency: ConcurrencyOption = None,
    posts_in_flight: PostsOption = None,
    downloads: DownloadsOption = None,
    submits_per_s: RateOption = None,
    grace_s: GraceOption = None,
    simulate: SimulateOption = False,
    speed: SpeedOption = None,
    slots: SlotsOption = None,
    capacity: CapacityOption = None,
    latency_s: LatencyOption = None,
    seed: SeedOption = None,
    art: ArtOption = None,
    fault: FaultOption = None,
    simulator_settings: FaultsOption = None,
    allow_host: AllowHostOption = None,
    take_over: TakeOverOption = False,
    gallery: GalleryOption = True,
    serve: ServeOption = None,
    quiet: QuietOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Run every row of MANIFEST, or go on where an earlier run of it stopped.

    `batcher run shop.yaml --out out/shop --simulate`

    `batcher run products.csv --out out --job background_replacement --set aspect_ratio=1:1`
    """
    from batcher.app import RunOptions
    from batcher.decisions import retry_ended

    simulator = simulator_of(
        simulate, simulator_settings, fault, speed=speed, slots=slots, capacity=capacity, latency_s=latency_s, seed=seed, art=art
    )
    options = RunOptions(
        out=out,
        opener=opener_of(manifest, job, model, settings, image_field, extra_field, format_, allow_outside_inputs),
        simulate=simulator,
        overrides=pace_of(concurrency, posts_in_flight, downloads, submits_per_s, grace_s),
        allow_hosts=tuple(allow_host or ()),
        decide=retry_ended((State.FAILED, State.CANCELLED)) if retry_failed else None,
        take_over=take_over,
        gallery=gallery,
    )
    run_and_report(options, quiet=quiet, log_json=log_json, port=serve)


@app.command(rich_help_panel=RUNNING)
def resume(
    folder: Folder,
    concurrency: ConcurrencyOption = None,
    posts_in_flight: PostsOption = None,
    downloads: DownloadsOption = None,
    submits_per_s: RateOption = None,
    grace_s: GraceOption = None,
    allow_host: AllowHostOption = None,
    take_over: TakeOverOption = False,
    gallery: GalleryOption = True,
    serve: ServeOption = None,
    quiet: QuietOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Go on with the batch in DIR, without its manifest.

    What was submitted is polled and collected, what was not is submitted. Nothing is paid for twice.
    """
    from batcher.app import RunOptions

    overrides = pace_of(concurrency, posts_in_flight, downloads, submits_per_s, grace_s)
    options = RunOptions(out=folder, overrides=overrides, allow_hosts=tuple(allow_host or ()), take_over=take_over, gallery=gallery)
    run_and_report(options, quiet=quiet, log_json=log_json, port=serve)


@app.command(rich_help_panel=RUNNING)
def retry(
    folder: Folder,
    failed: Annotated[bool, typer.Option("--failed", help="Try failed rows again. What can still be collected is collected first.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Submit cancelled rows again.")] = False,
    regenerate: Annotated[bool, typer.Option("--regenerate", help="With --failed: pay again even where a result could still be collected.")] = False,
    in_doubt: Annotated[Doubt | None, typer.Option("--in-doubt", help="Submit rows in doubt again, which may pay twice, or give them up.")] = None,
    adopt: Annotated[
        list[str] | None, typer.Option("--adopt", metavar="ROW=REQUEST_ID", help="A row in doubt, and the request that it made.")
    ] = None,
    rejected: RejectedOption = False,
    redo: RedoOption = False,
    reseed: ReseedOption = False,
    settings: ChangeOption = None,
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be given several times.")] = None,
    take_over: TakeOverOption = False,
    gallery: GalleryOption = True,
    quiet: QuietOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Make rows of DIR again that failed or were rejected, or settle rows in doubt; then go on with the batch.

    `batcher retry out --failed`

    `batcher retry out --redo --reseed --set "prompt={prompt}, {note}"`

    `batcher retry out --adopt mug-beach=7f0c… --in-doubt abandon`
    """
    from batcher.app import RunOptions
    from batcher.decisions import adopt_requests, all_of, resolve_doubt, retry_ended

    decisions = [adopt_requests(pairs(adopt, "ROW=REQUEST_ID"))] if adopt else []
    if in_doubt is not None:
        decisions.append(resolve_doubt(resubmit=in_doubt is Doubt.RESUBMIT, row_ids=row))
    states = [state for state, wanted in ((State.FAILED, failed), (State.CANCELLED, cancelled)) if wanted]
    if states:
        decisions.append(retry_ended(states, row_ids=row, regenerate=regenerate))
    if rejected or redo or reseed or settings:
        from batcher.cli.reviewing import decide_redo

        verdicts = [*[Verdict.REJECTED] * rejected, *[Verdict.REDO] * redo]
        decisions.append(decide_redo(folder, verdicts, row, settings or [], reseed=reseed, is_silent=quiet or log_json))
    if not decisions:
        raise UsageError("nothing to retry was named", "Say --failed, --cancelled, --rejected, --redo, --in-doubt or --adopt.")
    run_and_report(RunOptions(out=folder, decide=all_of(decisions), take_over=take_over, gallery=gallery), quiet=quiet, log_json=log_json)


@app.command(rich_help_panel=RUNNING)
def cancel(folder: Folder, take_over: TakeOverOption = False, quiet: QuietOption = False, log_json: LogJsonOption = False) -> None:
    """Cancel what an interrupted run of DIR left queued at the service.

    Requests that run already cannot be cancelled; `batcher resume` collects them.
    """
    from batcher.app import RunOptions

    run_and_report(RunOptions(out=folder, mode=Mode.CANCEL, take_over=take_over), quiet=quiet, log_json=log_json)


for _command in (plan, status, watch, verify, report, review, export, diff, serve):
    app.command(rich_help_panel=LOOKING)(_command)


@app.command(rich_help_panel=MORE)
def models(
    search: Annotated[str, typer.Argument(metavar="SEARCH", help="Words to look for.", show_default=False)] = "",
    simulate: SimulateOption = False,
) -> None:
    """List the models of the service, with their prices."""
    from rich.table import Table
    from rich.text import Text

    from batcher.catalog import list_models
    from batcher.observe import one_line

    found = wait_for(list_models(search, environment(), simulate=simulate))
    table = Table("model", "kind", "price", box=None, pad_edge=False)
    for info in found:
        price = "not known" if info.base_price_usd is None else f"{info.base_price_usd:g} USD per {info.price_unit or 'request'}"
        table.add_row(*(Text(one_line(cell)) for cell in (info.model_id, info.kind, price)))
    console = console_for()
    if found:
        console.print(table)
    else:
        say(console, f"no model matches {search!r}")


@app.command(rich_help_panel=MORE)
def simulate(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8181,
    host: Annotated[str, typer.Option(help="Only loopback, unless --allow-remote.")] = "127.0.0.1",
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Let other machines reach it.")] = False,
    state: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep requests here, so that they outlive a restart.")] = None,
    speed: SpeedOption = None,
    slots: SlotsOption = None,
    capacity: CapacityOption = None,
    latency_s: LatencyOption = None,
    seed: SeedOption = None,
    art: ArtOption = None,
    fault: FaultOption = None,
    simulator_settings: FaultsOption = None,
) -> None:
    """Stand up the simulated service by itself, until interrupted.

    `batcher simulate --port 8181 --speed 10`, and in another terminal

    `RUNCOMFY_MODEL_API_BASE=http://127.0.0.1:8181/v1 RUNCOMFY_TOKEN=any batcher run …`
    """
    from batcher.simulator import SimulatorError, serve

    settings = simulator_of(True, simulator_settings, fault, speed=speed, slots=slots, capacity=capacity, latency_s=latency_s, seed=seed, art=art)
    assert settings is not None
    serving = serve(settings, host=host, port=port, state_dir=state, allow_remote=allow_remote, announce=typer.echo)
    try:
        wait_for(until_signalled(serving))
    except SimulatorError as error:
        raise UsageError(str(error)) from error


@app.command(rich_help_panel=MORE)
def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What to write.")] = Path("batch.yaml"),
    job: Annotated[str, typer.Option(help="The job definition.")] = "background_replacement",
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> None:
    """Write a commented starter manifest."""
    from batcher.starter import write_starter

    write_starter(path, job, force=force)
    say(console_for(), f"{path} is written. Put in your own pictures and texts, then check it with: batcher plan {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns one of the codes of `docs/reference/exit-codes.md`, to exit with."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # remarks on damaged EXIF data, which decoding does not need
    make_streams_patient()
    try:
        arm(os.environ.get(VARIABLE, ""))
        app(args=with_port(sys.argv[1:] if arguments is None else arguments))
    except BatcherError as error:
        complain(error.message, error.remedy, is_list=isinstance(error, (ManifestError, UsageError)))
        return error.exit_code
    except SignalledError:
        raise
    except Exception as error:
        confess(error)
        return BatcherError.exit_code
    except SystemExit as error:
        return USAGE_CODE if error.code == TYPER_USAGE_CODE else int(error.code or 0)
    return 0
