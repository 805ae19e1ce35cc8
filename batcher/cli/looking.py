"""The commands that look at results: report, review, export, diff. The others are in `batcher.cli.commands`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from batcher.cli.options import Folder
from batcher.errors import UsageError
from batcher.model import Verdict


class Layout(StrEnum):
    """What an export is for."""

    FOLDER = "folder"


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
