"""`batcher watch`: the view of a run, from its ledger."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from batcher.cli.signals import SignalledError
from batcher.cli.speaking import console_for, say
from batcher.cli.standing import say_standing
from batcher.exits import exit_code
from batcher.ledger import LEDGER
from batcher.observe import TerminalView, View, choose_view
from batcher.watch import START_S, Look, Phase, Watch

LOOK_EVERY_S = 1.0

ENDINGS = {Phase.NEVER: "never run", Phase.KILLED: "last run: killed, or ended by an error"}


def watch_and_report(folder: Path, interval_s: float | None) -> None:
    """Show the run of `folder` until it ends, and exit with its code; with 130 or 143 where a signal ends the watching."""
    console = console_for()
    view = choose_view(console, quiet=False)
    try:
        if not (folder / LEDGER).exists():
            view.say(f"No batch is in {folder} yet. It is waited for, {START_S:.0f} s at most.")
        look = _follow(Watch(folder), view, interval_s)
    except SignalledError as signalled:
        view.close()
        say(console, "Not watched any more; the run is as it was.")
        raise typer.Exit(signalled.code) from None
    finally:
        view.close()
    how = ENDINGS.get(look.phase, f"last run: {look.reason}")
    say_standing(look.name, how, look.snapshot.counts, look.snapshot.spent_usd, folder)
    raise typer.Exit(exit_code(look.reason if look.phase is Phase.ENDED else None, look.snapshot.counts))


def _follow(watch: Watch, view: View, interval_s: float | None) -> Look:
    """Look and show until there is nothing to wait for; the last look."""
    show_at = float("-inf")
    while True:
        look = watch.look()
        if look is not None and look.phase.is_over:
            return look
        now = time.monotonic()
        if look is not None and now >= show_at:
            view.show(look.snapshot)
            every_s = LOOK_EVERY_S if isinstance(view, TerminalView) else view.interval_s
            show_at = now + (interval_s or every_s or 0.0)
        time.sleep(min(interval_s or LOOK_EVERY_S, LOOK_EVERY_S))
