"""The command line: a door to the engine."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. A signal ends it at any moment: quietly, and with a code of `docs/reference/exit-codes.md`."""
    from batcher.cli.signals import SignalledError, ignore_signals_at_exit, leave, on_signals

    on_signals(leave)
    try:
        from batcher.cli.commands import main as run

        code = run()
    except SignalledError as signalled:
        sys.stderr.write("batcher: interrupted\n")
        code = signalled.code
    # All is done, and told: what may be left is waiting for threads.
    on_signals(lambda number: os._exit(code))
    ignore_signals_at_exit()
    sys.exit(code)


__all__ = ["main"]
