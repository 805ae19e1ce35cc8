"""`batcher report`: everything that is made of the ledger, made again."""

from __future__ import annotations

import sys
import time
import webbrowser
from pathlib import Path

from batcher.cli.speaking import console_for, say, summarise
from batcher.errors import OutputError
from batcher.ledger import LEDGER, LedgerReader
from batcher.report import write_report
from batcher.report.gallery import write_gallery
from batcher.report.table import save_table, write_table

STANDARD_OUTPUT = "-"


def report_again(folder: Path, csv: str | None, *, is_shown: bool) -> None:
    """Write the report and the gallery, `csv` if it is given, and show the gallery if that is wanted."""
    with LedgerReader(folder / LEDGER) as reader:
        written = write_report(folder, reader, time.time())
    console = console_for(stderr=csv == STANDARD_OUTPUT)  # the table is alone on standard output
    if csv == STANDARD_OUTPUT:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        write_table(folder, sys.stdout)
    elif csv is not None:
        save_table(folder, Path(csv))
    try:
        page = write_gallery(folder, written).page
    except OutputError as error:
        say(console, f"batcher: {error.message}")
        page = None
    summarise(written, folder, console, page)
    if is_shown and page is not None and not webbrowser.open(page.absolute().as_uri()):
        say(console, f"No browser could be started. Open {page.absolute()} in one.")
