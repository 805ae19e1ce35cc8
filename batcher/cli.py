"""The command line. Everything heavy is imported by the command that needs it, so that help comes at once."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from batcher.errors import BatcherError, UsageError
from batcher.model import ExitReason, Mode, State
from batcher.version import VERSION

if TYPE_CHECKING:
    from rich.console import Console

    from batcher.app import Opener, Outcome, RunOptions, Stopper
    from batcher.config import Environment
    from batcher.ports import PlanSummary
    from batcher.simulator import SimulatorSettings

T = TypeVar("T")

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
FormatOption = Annotated[str | None, typer.Option("--format", help="yaml, csv or jsonl, where the name does not tell.", rich_help_panel="Manifest")]
ConcurrencyOption = Annotated[int | None, typer.Option(help="Requests in flight at the service.", rich_help_panel="Pace")]
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
LatencyOption = Annotated[float | None, typer.Option("--latency-s", help="Median seconds of a simulated request.", rich_help_panel="Service")]
SeedOption = Annotated[int | None, typer.Option(help="Makes the simulated service repeatable.", rich_help_panel="Service")]
ArtOption = Annotated[str | None, typer.Option(help="drawn, or plain for load tests.", rich_help_panel="Service")]
FaultOption = Annotated[
    list[str] | None, typer.Option("--fault", help="Something that goes wrong, as CALL:WHAT[:KEY=VALUE,…].", rich_help_panel="Service")
]
FaultsOption = Annotated[Path | None, typer.Option("--simulator-settings", help="A YAML file of simulator settings.", rich_help_panel="Service")]
AllowHostOption = Annotated[list[str] | None, typer.Option("--allow-host", help="One more host to download from.", rich_help_panel="Service")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; errors and the exit code only.", rich_help_panel="Output")]
LogJsonOption = Annotated[bool, typer.Option("--log-json", help="Every event as a line of JSON on standard error.", rich_help_panel="Output")]


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
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed and cancelled rows again.", rich_help_panel="Manifest")] = False,
    concurrency: ConcurrencyOption = None,
    posts_in_flight: PostsOption = None,
    downloads: DownloadsOption = None,
    submits_per_s: RateOption = None,
    grace_s: GraceOption = None,
    simulate: SimulateOption = False,
    speed: SpeedOption = None,
    slots: SlotsOption = None,
    latency_s: LatencyOption = None,
    seed: SeedOption = None,
    art: ArtOption = None,
    fault: FaultOption = None,
    simulator_settings: FaultsOption = None,
    allow_host: AllowHostOption = None,
    quiet: QuietOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Run every row of MANIFEST, or go on where an earlier run of it stopped.

    `batcher run shop.yaml --out out/shop --simulate`

    `batcher run products.csv --out out --job background_replacement --set aspect_ratio=1:1`
    """
    from batcher.app import RunOptions
    from batcher.decisions import retry_ended

    simulator = _simulator_settings(simulate, simulator_settings, fault, speed=speed, slots=slots, latency_s=latency_s, seed=seed, art=art)
    options = RunOptions(
        out=out,
        opener=_opener(manifest, job, model, settings, image_field, extra_field, format_),
        simulate=simulator,
        overrides=_pace(concurrency, posts_in_flight, downloads, submits_per_s, grace_s),
        allow_hosts=tuple(allow_host or ()),
        decide=retry_ended((State.FAILED, State.CANCELLED)) if retry_failed else None,
    )
    _run(options, quiet=quiet, log_json=log_json)


@app.command(rich_help_panel=RUNNING)
def resume(
    folder: Folder,
    concurrency: ConcurrencyOption = None,
    posts_in_flight: PostsOption = None,
    downloads: DownloadsOption = None,
    submits_per_s: RateOption = None,
    grace_s: GraceOption = None,
    allow_host: AllowHostOption = None,
    quiet: QuietOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Go on with the batch in DIR, without its manifest.

    What was submitted is polled and collected, what was not is submitted. Nothing is paid for twice.
    """
    from batcher.app import RunOptions

    overrides = _pace(concurrency, posts_in_flight, downloads, submits_per_s, grace_s)
    _run(RunOptions(out=folder, overrides=overrides, allow_hosts=tuple(allow_host or ())), quiet=quiet, log_json=log_json)


class Doubt(StrEnum):
    """What to do with rows in doubt."""

    RESUBMIT = "resubmit"
    ABANDON = "abandon"


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
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be given several times.")] = None,
    quiet: QuietOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Decide about rows of DIR that ended badly, then go on with the batch.

    `batcher retry out --failed`

    `batcher retry out --adopt mug-beach=7f0c… --in-doubt abandon`
    """
    from batcher.app import RunOptions
    from batcher.decisions import adopt_requests, all_of, resolve_doubt, retry_ended

    decisions = []
    if adopt:
        decisions.append(adopt_requests(dict(_pair(text, "ROW=REQUEST_ID") for text in adopt)))
    if in_doubt is not None:
        decisions.append(resolve_doubt(resubmit=in_doubt is Doubt.RESUBMIT, row_ids=row))
    states = [state for state, wanted in ((State.FAILED, failed), (State.CANCELLED, cancelled)) if wanted]
    if states:
        decisions.append(retry_ended(states, row_ids=row, regenerate=regenerate))
    if not decisions:
        raise UsageError("nothing to retry was named", "Say --failed, --cancelled, --in-doubt or --adopt.")
    _run(RunOptions(out=folder, decide=all_of(decisions)), quiet=quiet, log_json=log_json)


@app.command(rich_help_panel=RUNNING)
def cancel(folder: Folder, quiet: QuietOption = False, log_json: LogJsonOption = False) -> None:
    """Cancel what an interrupted run of DIR left queued at the service.

    Requests that run already cannot be cancelled; `batcher resume` collects them.
    """
    from batcher.app import RunOptions

    _run(RunOptions(out=folder, mode=Mode.CANCEL), quiet=quiet, log_json=log_json)


@app.command(rich_help_panel=LOOKING)
def plan(
    manifest: ManifestArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Compare with the batch that is there already.")] = None,
    job: JobOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    image_field: ImageFieldOption = None,
    extra_field: ExtraFieldOption = None,
    format_: FormatOption = None,
) -> None:
    """Check all of MANIFEST and say what running it would do. Costs nothing."""
    from batcher.app import preview

    opener = _opener(manifest, job, model, settings, image_field, extra_field, format_)
    opened, summary = _wait(preview(opener, out))
    console = _console()
    console.print(f"{opened.name}: {_rows(summary.total)}, no problems found.", markup=False, highlight=False)
    for line in _plan_lines(summary):
        console.print(f"  {line}", markup=False, highlight=False)


@app.command(rich_help_panel=LOOKING)
def status(folder: Folder, json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say how far the batch in DIR is; also while it runs."""
    import json

    from batcher.app import LEDGER
    from batcher.ledger import LedgerReader
    from batcher.observe import state_words

    with LedgerReader(folder / LEDGER) as reader:
        counts, spent_usd, meta, runs = reader.counts(), reader.spent_usd(), reader.meta(), reader.runs()
    last = runs[-1] if runs else None
    if json_:
        facts = {
            "name": meta.get("name"),
            "rows": sum(counts.values()),
            "states": {state.value: n for state, n in counts.items()},
            "cost_usd": round(spent_usd, 6),
            "last_run": {"pid": last.pid, "host": last.host, "exit_reason": last.exit_reason} if last else None,
        }
        typer.echo(json.dumps(facts))
        return
    console = _console()
    how = "never run" if last is None else f"last run: {last.exit_reason or 'under way, or killed'}"
    console.print(f"{meta.get('name', folder.name)}: {_rows(sum(counts.values()))}, {how}", markup=False, highlight=False)
    console.print("  " + " · ".join([*state_words(counts), f"{spent_usd:.2f} USD"]), markup=False, highlight=False)
    if any(counts[state] for state in counts if state.is_open):
        console.print(f"  go on with: batcher resume {folder}", markup=False, highlight=False)


@app.command(rich_help_panel=LOOKING)
def report(folder: Folder) -> None:
    """Write report.json and results.jsonl of DIR again, from its ledger."""
    import time

    from batcher.app import LEDGER, exit_code
    from batcher.ledger import LedgerReader
    from batcher.report import write_report

    with LedgerReader(folder / LEDGER) as reader:
        written = write_report(folder, reader, time.time())
    _summarise(written, folder, _console())
    raise typer.Exit(0 if exit_code(written) == 75 else exit_code(written))


@app.command(rich_help_panel=MORE)
def models(
    search: Annotated[str, typer.Argument(metavar="[SEARCH]", help="Words to look for.", show_default=False)] = "",
    simulate: SimulateOption = False,
) -> None:
    """List the models of the service, with their prices."""
    from rich.table import Table

    from batcher.catalog import list_models

    found = _wait(list_models(search, _environment(), simulate=simulate))
    table = Table("model", "kind", "price", box=None, pad_edge=False)
    for info in found:
        price = "not known" if info.base_price_usd is None else f"{info.base_price_usd:g} USD per {info.price_unit or 'request'}"
        table.add_row(info.model_id, info.kind, price)
    console = _console()
    console.print(table if found else f"no model matches {search!r}")


@app.command(rich_help_panel=MORE)
def simulate(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8181,
    host: Annotated[str, typer.Option(help="Only loopback, unless --allow-remote.")] = "127.0.0.1",
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Let other machines reach it.")] = False,
    state: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep requests here, so that they outlive a restart.")] = None,
    speed: SpeedOption = None,
    slots: SlotsOption = None,
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

    settings = _simulator_settings(True, simulator_settings, fault, speed=speed, slots=slots, latency_s=latency_s, seed=seed, art=art)
    assert settings is not None
    serving = serve(settings, host=host, port=port, state_dir=state, allow_remote=allow_remote, announce=typer.echo)
    try:
        _wait(_until_signalled(serving))
    except SimulatorError as error:
        raise UsageError(str(error)) from error


@app.command(rich_help_panel=MORE)
def init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="What to write.")] = Path("batch.yaml"),
    job: Annotated[str, typer.Option(help="The job definition.")] = "background_replacement",
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> None:
    """Write a commented starter manifest."""
    from batcher.starter import write_starter

    write_starter(path, job, force=force)
    typer.echo(f"{path} is written. Check it with: batcher plan {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit with one of the codes of `docs/reference/exit-codes.md`."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # remarks on damaged EXIF data, which decoding does not need
    try:
        app(args=list(arguments) if arguments is not None else None)
    except BatcherError as error:
        _complain(error.message, error.remedy)
        sys.exit(error.exit_code)
    except SystemExit as error:
        sys.exit(USAGE_CODE if error.code == TYPER_USAGE_CODE else error.code)


def _complain(message: str, remedy: str) -> None:
    console = _console(stderr=True)
    start = "batcher:\n" if "\n" in message else "batcher: "
    console.print(f"{start}{_harmless(message)}", markup=False, highlight=False, soft_wrap=True)
    if remedy:
        console.print(_harmless(remedy), markup=False, highlight=False, soft_wrap=True)


def _harmless(text: str) -> str:
    """`text` without anything that a terminal would obey."""
    return "".join(character if character == "\n" or character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _environment() -> Environment:
    from batcher.config import Environment

    return Environment.read(os.environ, Path.home())


def _opener(
    manifest: str,
    job: str | None,
    model: str | None,
    settings: list[str] | None,
    image_fields: list[str] | None,
    extra_fields: list[str] | None,
    format_: str | None,
) -> Opener:
    from batcher.manifest import open_manifest

    return functools.partial(
        open_manifest,
        "-" if manifest == "-" else Path(manifest),
        format=format_,
        job=job,
        model=model,
        settings=dict(_pair(text, "KEY=VALUE") for text in settings or ()),
        image_fields=tuple(image_fields or ()),
        extra_fields=tuple(extra_fields or ()),
    )


def _pair(text: str, shape: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{text!r} is not {shape}")
    return name.strip(), value


def _pace(
    concurrency: int | None, posts_in_flight: int | None, downloads: int | None, submits_per_s: float | None, grace_s: float | None
) -> dict[str, Any]:
    return {
        "concurrency": concurrency,
        "posts_in_flight": posts_in_flight,
        "downloads": downloads,
        "submits_per_s": submits_per_s,
        "grace_s": grace_s,
    }


def _simulator_settings(simulate: bool, file: Path | None, faults: list[str] | None, **flags: object) -> SimulatorSettings | None:
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


def _run(options: RunOptions, *, quiet: bool, log_json: bool) -> None:
    from batcher.app import Stopper, run_batch
    from batcher.observe import EventLog, choose_view

    console = _console(stderr=True)
    view = choose_view(console, quiet=quiet or log_json)
    stopper = Stopper()

    def announce(summary: PlanSummary) -> None:
        if not (quiet or log_json):
            view.say(" · ".join([_rows(summary.total), *_plan_lines(summary)]))

    async def main() -> Outcome:
        with _signals(stopper):
            return await run_batch(
                options, _environment(), view=view, observers=[EventLog(sys.stderr)] if log_json else [], stopper=stopper, on_plan=announce
            )

    try:
        outcome = _wait(main())
    finally:
        view.close()
    if outcome.trouble:
        _complain(outcome.trouble, "")
    if not quiet:
        _summarise(outcome.report, options.out, _console())
    raise typer.Exit(outcome.exit_code)


def _summarise(report: Any, out: Path, console: Console) -> None:
    from batcher.summary import summary_lines

    for line in summary_lines(report, out):
        console.print(_harmless(line), markup=False, highlight=False, soft_wrap=True)


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _plan_lines(summary: PlanSummary) -> Iterator[str]:
    words = {
        "new": "new",
        "changed": "changed since the last run, to be run again",
        "reused": "as they were",
        "duplicates": "given twice, run once",
        "dropped": "no longer in the manifest",
        "kept": "no longer in the manifest, but still under way",
    }
    yield from (f"{n} {word}" for name, word in words.items() if (n := getattr(summary, name)))


def _wait(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def _signals(stopper: Stopper) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal stop the batch instead of the process."""
    loop = asyncio.get_running_loop()
    reasons = {"SIGINT": ExitReason.INTERRUPTED, "SIGTERM": ExitReason.TERMINATED, "SIGHUP": ExitReason.TERMINATED}
    numbers = {number: reason for name, reason in reasons.items() if (number := getattr(signal, name, None)) is not None}
    ours = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup is respected
    for number in ours:
        try:
            loop.add_signal_handler(number, stopper.stop, numbers[number])
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, reason=numbers[number]: loop.call_soon_threadsafe(stopper.stop, reason))
    try:
        yield
    finally:
        for number in ours:
            try:
                loop.remove_signal_handler(number)
            except NotImplementedError:
                signal.signal(number, signal.SIG_DFL)


async def _until_signalled(serving: Coroutine[Any, Any, None]) -> None:
    """Serve until Ctrl-C or SIGTERM, and leave without a traceback."""
    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return
