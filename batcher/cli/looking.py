"""The commands that look at a batch: before a run, while it goes, and at its results. Those that run one are in `batcher.cli.commands`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from batcher.cli.options import (
    AllowHostOption,
    ExtraFieldOption,
    Folder,
    FormatOption,
    ImageFieldOption,
    JobOption,
    ManifestArgument,
    ModelOption,
    OutsideOption,
    QuietOption,
    SetOption,
    TakeOverOption,
    opener_of,
)
from batcher.cli.running import wait_for
from batcher.cli.speaking import console_for, count_rows, plan_lines, say
from batcher.errors import UsageError
from batcher.model import Verdict


class Layout(StrEnum):
    """What an export is for."""

    FOLDER = "folder"


def plan(
    manifest: ManifestArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Compare with the batch that is there already.")] = None,
    job: JobOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    image_field: ImageFieldOption = None,
    extra_field: ExtraFieldOption = None,
    format_: FormatOption = None,
    allow_outside_inputs: OutsideOption = False,
) -> None:
    """Check all of MANIFEST and say what running it would do. Costs nothing."""
    from batcher.app import preview

    opener = opener_of(manifest, job, model, settings, image_field, extra_field, format_, allow_outside_inputs)
    opened, summary = wait_for(preview(opener, out))
    console = console_for()
    say(console, f"{opened.name}: {count_rows(summary.total)}, no problems found.")
    for line in plan_lines(summary):
        say(console, f"  {line}")


def status(folder: Folder, json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say how far the batch in DIR is; also while it runs."""
    from batcher.cli.standing import show_status

    show_status(folder, as_json=json_)


def watch(
    folder: Folder,
    interval: Annotated[
        float | None,
        typer.Option("--interval", min=0.1, metavar="SECONDS", help="How often to look; once a second, in a log seldom."),
    ] = None,
) -> None:
    """Show the run of DIR while it goes, from another terminal; changes nothing.

    Ends when the run ends, with its exit code, and at once where nobody runs the batch. Ctrl-C ends the watching only.
    """
    from batcher.cli.watching import watch_and_report

    watch_and_report(folder, interval)


def verify(
    folder: Folder,
    offline: Annotated[bool, typer.Option("--offline", help="Only look: change nothing, ask nobody. Also while a batch runs.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    salvage: Annotated[
        Path | None, typer.Option("--salvage", metavar="FILE", help="Write what can still be read of a damaged ledger to FILE, as JSON Lines.")
    ] = None,
    allow_host: AllowHostOption = None,
    take_over: TakeOverOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare every file in DIR with what was saved, and fetch again what is missing or altered.

    Nothing is submitted and nothing is paid. A lost file comes from the request that made it, as long as the service has the result; an altered one
    is kept in results/earlier. Exits with 0 where all is well or mended, with 1 where something is still wrong.
    """
    from batcher.cli.verifying import salvage_and_report, verify_and_report

    if salvage is not None:
        salvage_and_report(folder, salvage)
    else:
        hosts = tuple(allow_host or ())
        verify_and_report(folder, offline=offline, as_json=json_, allow_hosts=hosts, take_over=take_over, quiet=quiet)


def report(
    folder: Folder,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write the rows as a table for spreadsheets too; - for standard output.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the gallery in a browser.")] = False,
) -> None:
    """Write report.json, results.jsonl and the gallery of DIR again, from its ledger; also while it runs.

    `batcher report out --open`

    `batcher report out --csv rows.csv`
    """
    from batcher.cli.reporting import report_again

    report_again(folder, csv, is_shown=open_)


def review(
    folder: Folder,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="A review.csv that the gallery saved; - for standard input.", show_default=False)
    ] = None,
    accept: Annotated[list[str] | None, typer.Option("--accept", metavar="ID", help="This row is good; may be given several times.")] = None,
    reject: Annotated[list[str] | None, typer.Option("--reject", metavar="ID", help="This row is not.")] = None,
    redo: Annotated[list[str] | None, typer.Option("--redo", metavar="ID", help="This row is to be made again, as the note says.")] = None,
    clear: Annotated[list[str] | None, typer.Option("--clear", metavar="ID", help="Take the mark of this row away.")] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="What should be different: for the rows named in this command.")] = None,
) -> None:
    """Mark results of DIR as accepted, rejected or to redo; without options, say how far the review is.

    A mark is about the result that the row has now. All marks are kept, or none where one cannot be.

    `batcher review out --from review.csv`

    `batcher review out --accept mug-beach --redo mug-city --note "no people"`
    """
    from batcher.cli.reviewing import review_and_report

    by_hand = {Verdict.ACCEPTED: accept or [], Verdict.REJECTED: reject or [], Verdict.REDO: redo or [], None: clear or []}
    if note is not None and not (accept or reject or redo):
        raise UsageError("--note belongs to rows that are marked", "Add --accept, --reject or --redo with the ids of rows.")
    review_and_report(folder, from_, by_hand, (note or "").strip())


def export(
    folder: Folder,
    target: Annotated[Path, typer.Argument(metavar="DEST", help="A new folder.", show_default=False)],
    accepted: Annotated[bool, typer.Option("--accepted", help="Only results that were accepted in the review.")] = False,
    to: Annotated[Layout, typer.Option("--to", help="folder: the files with manifest.csv and manifest.jsonl.")] = Layout.FOLDER,
    link: Annotated[bool, typer.Option("--link", help="Hard links in place of copies: no more room is needed, on the same disk.")] = False,
) -> None:
    """Copy the results of DIR into the new folder DEST, with what made each of them.

    Every file is compared with what was saved. DEST is complete or not there; the same export again finds it and changes nothing.

    `batcher export out approved --accepted`
    """
    from batcher.cli.reviewing import export_and_report

    assert to is Layout.FOLDER  # the only one so far
    export_and_report(folder, target, only_accepted=accepted, by_link=link)


def diff(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The output folder of the earlier batch.", show_default=False)],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The output folder of the later one.", show_default=False)],
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare two batches: new failures, rows that are new, gone or changed, other results, and what it cost and how long it took by model.

    Rows are matched by their id. Reads only, also while they run. Exits with 1 where RUN_B has failures that RUN_A has not, else with 0.

    `batcher diff out/monday out/tuesday`
    """
    from batcher.cli.comparing import compare_and_report

    compare_and_report(run_a, run_b, as_json=json_)


def serve(
    folder: Folder,
    port: Annotated[int | None, typer.Option(help="Without it 8377, or a free one.", min=0, max=65535)] = None,
    host: Annotated[str, typer.Option(help="Where to listen. On any address but loopback the page asks for a token.")] = "127.0.0.1",
    open_: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
) -> None:
    """Show the gallery of DIR as a live page that fills as the batch runs, until interrupted: before a run, during it and after it.

    It only looks: the run goes on whether the page is open or not.
    """
    from batcher.cli.serving import show_page

    show_page(folder, host=host, port=port, is_shown=open_)
