"""The command line: a door to the engine."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. A signal ends it at any moment: quietly, and with a code of `docs/reference/exit-codes.md`."""
    from batcher.cli.signals import SignalledError, ignore_signals_at_exit, leave, on_signals
    from batcher.cli.streams import finish_streams, hurry_streams

    on_signals(leave)
    try:
        from batcher.cli.commands import main as run

        code = run()
    except SignalledError as signalled:
        hurry_streams()
        sys.stderr.write("batcher: interrupted\n")
        code = signalled.code
    # All is done: what may be left is waiting, for whoever reads along or for threads.
    on_signals(lambda number: os._exit(code))
    finish_streams()
    ignore_signals_at_exit()
    sys.exit(code)


__all__ = ["main"]
