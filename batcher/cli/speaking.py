"""What the command line says: messages that a terminal cannot obey, and a batch in a few words."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from batcher.ports import PlanSummary
    from batcher.report import Report


def complain(message: str, remedy: str = "", *, is_list: bool = False) -> None:
    """Say on standard error what went wrong, and what to do about it: on one line, or a line for each of a list of faults."""
    console = console_for(stderr=True)
    first, *more = message.split("\n") if is_list else [message]
    say(console, "batcher:" if more else f"batcher: {first}")
    for line in [first, *more] if more else []:
        say(console, line)
    if remedy:
        say(console, remedy)


def confess(error: BaseException) -> None:
    """Say that batcher itself is at fault: the traceback for those who mend it, and last what a person has to know."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    console = console_for(stderr=True)
    for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
        say(console, line)
    remedy = "Please report it, with the lines above. What was paid for is kept: `batcher resume DIR` goes on."
    complain(f"stopped by a fault of its own ({type(error).__name__}: {error}).", remedy)


def say(console: Console, line: str) -> None:
    """Write one line of text, and nothing that a terminal would obey."""
    from batcher.observe import write_line

    write_line(console, line)


def console_for(*, stderr: bool = False) -> Console:
    """Where to write; obeys NO_COLOR, the kind of terminal and the locale."""
    from batcher.observe import LocaleConsole

    return LocaleConsole(os.environ, stderr=stderr)


def summarise(report: Report, out: Path, console: Console, page: Path | None = None) -> None:
    """The last words of a run; `page` is its gallery, if there is one."""
    from batcher.cli.summary import summary_lines

    for line in summary_lines(report, out, page):
        say(console, line)


def count_rows(n: int) -> str:
    """How many rows, in words."""
    return "1 row" if n == 1 else f"{n} rows"


def plan_lines(summary: PlanSummary) -> Iterator[str]:
    """What a plan changed, kind by kind; nothing for what there was none of."""
    words = {
        "new": "new",
        "changed": "changed since the last run, to be run again",
        "reused": "as they were",
        "duplicates": "given twice, run once",
        "dropped": "no longer in the manifest",
        "kept": "no longer in the manifest, but still under way",
        "repeated": "making the very same request as another row, each paid for",
    }
    yield from (f"{n} {word}" for name, word in words.items() if (n := getattr(summary, name)))
