"""The command line: a door to the engine."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. An interrupt while it is still being loaded ends it quietly."""
    try:
        from batcher.cli.commands import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


__all__ = ["main"]
