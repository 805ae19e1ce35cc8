"""`batcher diff`: two batches side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from batcher.cli.speaking import console_for, count_rows, say
from batcher.diff import PERCENTS, Difference, Found, Side, Total, compare, percentiles
from batcher.observe import one_line

SHOWN = 10
KINDS = {
    "new_failures": "failed anew",
    "mended": "mended",
    "new": "new",
    "gone": "gone",
    "changed": "asked for differently",
    "other_results": "with another result",
}


def compare_and_report(earlier: Path, later: Path, *, as_json: bool) -> None:
    """Compare two batches and tell. Exits with 1 where the later one has new failures, else with 0."""
    found = compare(earlier, later)
    if as_json:
        typer.echo(json.dumps(_document(found, earlier, later)))
    else:
        _show(found, earlier, later)
    raise typer.Exit(1 if found.new_failures.rows else 0)


def _show(found: Difference, earlier: Path, later: Path) -> None:
    console = console_for()
    for sign, folder, total in zip("AB", (earlier, later), found.totals, strict=True):
        rows = f"{count_rows(total.rows)}, {total.done} done, {total.failures} failed, cancelled or in doubt"
        say(console, f"{sign}  {folder}: {total.name}, {rows}, {total.spent_usd:.2f} USD")
    for name, words in KINDS.items():
        each: Found = getattr(found, name)
        if each.rows:
            say(console, f"{count_rows(each.rows)} {words}:")
            for row_id, text in each.examples[:SHOWN]:
                say(console, f"  {row_id}" + (f": {text}" if text else ""))
            if each.rows > SHOWN:
                say(console, f"  … and {each.rows - SHOWN} more" + ("; --json names the first 100" if each.rows <= len(each.examples) else ""))
    if not any(getattr(found, name).rows for name in KINDS):
        say(console, "No row differs.")
    if found.models:
        console.print(_table(found))


def _table(found: Difference) -> Table:
    """Costs and times, model by model."""
    table = Table("", "A", "B", "drift", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for model, sides in sorted(found.models.items()):
        for cells in _lines(model, sides):
            table.add_row(*(Text(one_line(cell)) for cell in cells))
    return table


def _lines(model: str, sides: tuple[Side, Side]) -> Iterator[tuple[str, ...]]:
    yield (model, "", "", "")
    yield ("  done", *(str(side.rows) for side in sides), "")
    for name, decimals, measured in (("USD each", 3, [side.costs for side in sides]), ("seconds", 1, [side.seconds for side in sides])):
        before, after = map(percentiles, measured)
        for n, percent in enumerate(PERCENTS):
            values = [None if each is None else each[n] for each in (before, after)]
            shown = ("?" if value is None else f"{value:.{decimals}f}" for value in values)
            yield (f"  {name}, {'median' if percent == 50 else f'{percent}th percentile'}", *shown, _drift(*values))


def _drift(before: float | None, after: float | None) -> str:
    """How much more it is, in percent."""
    if before is None or after is None or before <= 0:
        return ""
    percent = round(100 * (after - before) / before)
    return f"{percent:+d} %" if percent else "="


def _document(found: Difference, earlier: Path, later: Path) -> dict[str, object]:
    return {
        "a": _total(found.totals[0], earlier),
        "b": _total(found.totals[1], later),
        **{name: _rows(getattr(found, name)) for name in KINDS},
        "models": {model: {"a": _side(sides[0]), "b": _side(sides[1])} for model, sides in sorted(found.models.items())},
    }


def _total(total: Total, folder: Path) -> dict[str, object]:
    counts = {"rows": total.rows, "done": total.done, "failures": total.failures}
    return {"folder": str(folder), "name": total.name, **counts, "cost_usd": round(total.spent_usd, 6)}


def _rows(found: Found) -> dict[str, object]:
    return {"rows": found.rows, "examples": [{"id": row_id, "what": text} for row_id, text in found.examples]}


def _side(side: Side) -> dict[str, object]:
    measured = {"cost_usd": percentiles(side.costs), "seconds": percentiles(side.seconds)}
    return {"done": side.rows, **{name: None if each is None else _rounded(each) for name, each in measured.items()}}


def _rounded(measured: list[float]) -> dict[str, float]:
    return {f"p{percent}": round(value, 6) for percent, value in zip(PERCENTS, measured, strict=True)}
