"""`batcher serve`: the live page of a batch, by itself."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

from batcher.cli.running import until_signalled, wait_for
from batcher.cli.speaking import console_for, say
from batcher.ledger import LEDGER
from batcher.live import serve


def show_page(folder: Path, *, host: str, port: int | None, is_shown: bool) -> None:
    """Serve the page of the batch in `folder` until interrupted, and show it in a browser if that is wanted."""
    console = console_for()

    def announce(url: str) -> None:
        say(console, url)
        if not (folder / LEDGER).exists():
            say(console, f"No batch was run in {folder} yet: it appears on the page when it is.")
        if is_shown:  # in a thread, since a browser for the terminal keeps whoever starts it waiting
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    wait_for(until_signalled(serve(folder, host=host, port=port, announce=announce)))
