"""`batcher serve`: the live page of a batch, by itself; and where the marks go that are made on a live page."""

from __future__ import annotations

import asyncio
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from batcher.cli.running import until_signalled, wait_for
from batcher.cli.speaking import console_for, say
from batcher.errors import OutputError
from batcher.ledger import LEDGER, LedgerReader, SqliteLedger
from batcher.live import Mark, serve
from batcher.model import Where
from batcher.review import WORDS, review, review_beside
from batcher.review import Mark as ReviewMark


class ReviewBesideRun:
    """Keeps marks in the ledger that a run in this process has open, from when it is at hand."""

    def __init__(self) -> None:
        self._open: tuple[SqliteLedger, LedgerReader] | None = None

    def begin(self, ledger: SqliteLedger, reader: LedgerReader) -> None:
        """From now on they go there."""
        self._open = ledger, reader

    async def keep(self, marks: Sequence[Mark]) -> None:
        """Raises `BatcherError` where they cannot be kept."""
        if self._open is None:
            raise OutputError("there is no batch yet")
        await review_beside(*self._open, _marks(marks))


class ReviewAlone:
    """Keeps marks in a ledger that nobody has open; while a run has, it is refused, and nothing is in the way of the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one = asyncio.Lock()

    async def keep(self, marks: Sequence[Mark]) -> None:
        """Raises `BatcherError` where they cannot be kept."""
        async with self._one:  # in a thread, because a ledger that is opened is looked through
            await asyncio.to_thread(lambda: asyncio.run(review(self._folder, _marks(marks))))


def _marks(marks: Sequence[Mark]) -> list[ReviewMark]:
    return [
        ReviewMark(mark.id, WORDS[mark.mark], Where("live page"), mark.note, mark.sha256, mark.request_id or "", mark.at.timestamp())
        for mark in marks
    ]


def show_page(folder: Path, *, host: str, port: int | None, is_shown: bool) -> None:
    """Serve the page of the batch in `folder` until interrupted, and show it in a browser if that is wanted."""
    console = console_for()

    def announce(url: str) -> None:
        say(console, url)
        if not (folder / LEDGER).exists():
            say(console, f"No batch was run in {folder} yet: it appears on the page when it is.")
        if is_shown:  # in a thread, since a browser for the terminal keeps whoever starts it waiting
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    wait_for(until_signalled(serve(folder, keep=ReviewAlone(folder).keep, host=host, port=port, announce=announce)))
