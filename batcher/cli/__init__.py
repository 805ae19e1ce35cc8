"""The command line: a door to the engine."""

from batcher.cli.commands import app, main

__all__ = ["app", "main"]
