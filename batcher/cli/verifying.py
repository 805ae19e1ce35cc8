"""`batcher verify`: check, mend what can be mended, and say what was found and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from batcher.cli.running import carry_out
from batcher.cli.speaking import complain, console_for, count_rows, say, summarise
from batcher.model import ExitReason, Mode
from batcher.report import FILES
from batcher.storage import Condition
from batcher.verify import Check, Finding, check_folder, mend, settle, write_stale_report

SHOWN = 20


def verify_and_report(folder: Path, *, offline: bool, as_json: bool, allow_hosts: Sequence[str], take_over: bool, quiet: bool) -> None:
    """Check `folder`, mend it unless `offline`, and tell. Exits with 0 where nothing is wrong any more, else 1, or the code of what stopped it."""
    from batcher.app import RunOptions
    from batcher.exits import REASON_CODES

    is_silent = quiet or as_json
    try:
        check = check_folder(folder)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not is_silent:
        _print(_findings(check, folder, offline=offline))
    code: int | None = None
    if check.can_be_mended and not check.contradictions and not offline:
        decide = lambda ledger, reader, clock, settings: mend(check, ledger, reader, clock, settings)  # noqa: E731
        options = RunOptions(out=folder, mode=Mode.COLLECT, decide=decide, allow_hosts=allow_hosts, take_over=take_over)
        outcome = carry_out(options, quiet=is_silent)
        settle(check, folder)
        reason = outcome.report.exit_reason
        code = REASON_CODES.get(reason) if reason is not None and reason is not ExitReason.STOPPED_EARLY else None
        if outcome.trouble:
            complain(outcome.trouble, "")
        if not is_silent:
            summarise(outcome.report, folder, console_for())
            _print(_outcomes(check))
    if not offline and not check.contradictions:
        write_stale_report(check, folder)
    if as_json:
        typer.echo(json.dumps(_document(check)))
    raise typer.Exit(code if code is not None else 0 if check.is_whole else 1)


def salvage_and_report(folder: Path, target: Path) -> None:
    """Write what can still be read of the ledger of `folder` into `target`, however damaged it is."""
    from batcher.folder import LEDGER
    from batcher.ledger import salvage

    found = salvage(folder / LEDGER, target)
    lines = [
        f"{count_rows(found.rows)} and {found.request_ids} request ids were read from {folder / LEDGER} and written to {target}.",
        "Each line is a row: its id, its last known state, its request ids and its files.",
    ]
    if found.without_row:
        lines.append(f"{found.without_row} of the request ids belong to rows that could not be read.")
    _print(lines)


def _print(lines: Iterator[str] | Sequence[str]) -> None:
    console = console_for()
    for line in lines:
        say(console, line)


def _findings(check: Check, folder: Path, *, offline: bool) -> Iterator[str]:
    missing, altered = check.count(Condition.MISSING), check.count(Condition.ALTERED)
    whole = check.files - missing - altered
    told = [f"{n} {word}" for n, word in ((missing, "missing"), (altered, "altered")) if n]
    yield f"{whole} of {check.files} files of {count_rows(check.rows)} are as they were saved" + (f", {', '.join(told)}." if told else ".")
    for finding in check.findings[:SHOWN]:
        yield f"  {finding.row_id}: {finding.path} is {finding.problem}"
    if len(check.findings) > SHOWN:
        yield f"  … and {len(check.findings) - SHOWN} more"
    if check.unknown_files:
        belong = "1 file belongs" if check.unknown_files == 1 else f"{check.unknown_files} files belong"
        yield f"{belong} to no row, such as {folder / check.unknown[0]}. Such files are left alone."
    if check.is_report_stale:
        coming = "" if offline or check.contradictions else "; it is written again"
        yield f"{folder / FILES['report']} is missing, or does not say what the ledger says{coming}."
    if check.contradictions:
        yield "The ledger does not agree with itself; nothing is fetched before that is settled:"
        yield from (f"  {text}" for text in check.contradictions)


def _outcomes(check: Check) -> Iterator[str]:
    outcomes = [finding.outcome for finding in check.findings]
    if n := outcomes.count("fetched"):
        yield f"{n} of {len(outcomes)} were fetched again; altered files are kept in results/earlier."
    if n := outcomes.count("expired"):
        yield f"{n} have expired: the service has their result no longer."
    if n := len(outcomes) - outcomes.count("fetched") - outcomes.count("expired"):
        yield f"{n} could not be fetched; `batcher verify` tries again."


def _document(check: Check) -> dict[str, object]:
    return {
        "is_whole": check.is_whole,
        "rows": check.rows,
        "files": check.files,
        "missing": check.count(Condition.MISSING),
        "altered": check.count(Condition.ALTERED),
        "ledger": check.contradictions,
        "is_report_stale": check.is_report_stale,
        "findings": [_finding(each) for each in check.findings],
        "unknown_files": check.unknown_files,
        "unknown": check.unknown,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {"row": finding.row_id, "path": finding.path, "problem": finding.problem, "outcome": finding.outcome, "reason": finding.reason}
