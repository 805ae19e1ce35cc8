"""`batcher status`: how far a batch is, from its ledger."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from batcher.cli.speaking import console_for, count_rows, say
from batcher.ledger import LEDGER, LedgerReader
from batcher.model import State
from batcher.observe import state_words


def show_status(folder: Path, *, as_json: bool) -> None:
    """Say how far the batch in `folder` is, to a person or as JSON."""
    with LedgerReader(folder / LEDGER) as reader:
        counts, spent_usd, meta, runs = reader.counts(), reader.spent_usd(), reader.meta(), reader.runs()
    last = runs[-1] if runs else None
    if as_json:
        facts = {
            "name": meta.get("name"),
            "rows": sum(counts.values()),
            "states": {state.value: n for state, n in counts.items()},
            "cost_usd": round(spent_usd, 6),
            "last_run": {"pid": last.pid, "host": last.host, "exit_reason": last.exit_reason} if last else None,
        }
        typer.echo(json.dumps(facts))
        return
    how = "never run" if last is None else f"last run: {last.exit_reason or 'under way, or killed'}"
    say_standing(str(meta.get("name", folder.name)), how, counts, spent_usd, folder)


def say_standing(name: str, how: str, counts: Mapping[State, int], spent_usd: float, folder: Path) -> None:
    """Say how far a batch is, and what to do where some of it is open."""
    console = console_for()
    for line in _standing_lines(name, how, counts, spent_usd, folder):
        say(console, line)


def _standing_lines(name: str, how: str, counts: Mapping[State, int], spent_usd: float, folder: Path) -> Iterator[str]:
    yield f"{name}: {count_rows(sum(counts.values()))}, {how}"
    yield "  " + " · ".join([*state_words(counts), f"{spent_usd:.2f} USD"])
    if any(n for state, n in counts.items() if state.is_open):
        yield f"  go on with: batcher resume {shlex.quote(str(folder))}"
