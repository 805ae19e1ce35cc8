"""A snapshot as lines that fit a terminal. Pure: what is shown follows from the snapshot, the size of the terminal and its encoding."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from batcher.model import State
from batcher.observe.harmless import one_line, spelled
from batcher.observe.progress import (
    FAILURES_MAX,
    FLIGHTS_MAX,
    Snapshot,
    duration,
    failure_words,
    flight_words,
    limit_words,
    money_words,
    rate_words,
    rows_words,
    share_words,
    state_words,
    time_words,
)

WIDTH_MAX = 120
"""Lines are not longer than this: nobody reads across a whole wall."""

BAR_MIN = 8
"""A bar of fewer characters says nothing."""

STYLES = {"failed": "red", "in doubt": "yellow", "done": "green"}


@dataclass(frozen=True, slots=True)
class Room:
    """What a view may fill, in characters. A line that is as wide would wrap when something is typed, and the last one is for that."""

    width: int
    height: int
    encoding: str = "utf-8"

    def fit(self, text: str, width: int | None = None) -> str:
        """`text` on one line of at most `width`, harmless, and in characters that can be shown."""
        width = self.width if width is None else width
        line = spelled(one_line(text), self.encoding)
        if cell_len(line) <= width:
            return line
        dots = spelled("…", self.encoding)
        return set_cell_size(line, max(0, width - len(dots))).rstrip() + dots[:width]


def picture(snapshot: Snapshot, width: int, height: int, encoding: str) -> list[Text]:
    """The live view: no more lines than `height`, and none wider than `width` but a command that is."""
    room = Room(min(width, WIDTH_MAX), height, encoding)
    head, foot = _head(snapshot, room), _foot(snapshot, room)
    head = head[: max(2, height - len(foot))]
    free = height - len(head) - len(foot)
    failures = _failures(snapshot, room, min(FAILURES_MAX, height // 6, max(0, free - 1)))
    flights = _flights(snapshot, room, min(FLIGHTS_MAX, height // 4, max(0, free - len(failures) - 1)))
    parts = [part for part in (head, flights, failures, foot) if part]
    lines = list(itertools.chain.from_iterable(parts))
    if len(lines) + len(parts) - 1 <= height:
        lines = [line for part in parts for line in [*part, Text()]][:-1]
    return lines[:height]


def _head(snapshot: Snapshot, room: Room) -> list[Text]:
    counts = flow(state_words(snapshot.counts), room)
    for line in counts:
        for word, style in STYLES.items():
            line.highlight_regex(rf"\d+ {word}", style)
    money = flow([money_words(snapshot), *rate_words(snapshot)], room)
    limit = [Text(line) for words in limit_words(snapshot, reason=True) for line in wrap(words, room)]
    return [*_bar(snapshot, room), *counts, *money, *limit]


def _bar(snapshot: Snapshot, room: Room) -> list[Text]:
    """How many rows have ended, as figures and as a bar, for how long it has run and still will."""
    times = [f"{duration(snapshot.elapsed_s)} so far", *time_words(snapshot)]
    figures, share = rows_words(snapshot), room.fit(share_words(snapshot))
    beside = room.fit(" · ".join(times))
    length = room.width - len(figures) - len(share) - len(beside) - 5
    below: list[Text] = []
    if length < BAR_MIN:
        beside, below = "", flow(times, room)
        length = room.width - len(figures) - len(share) - 3
    if length < BAR_MIN:
        return [Text(room.fit(f"{figures} {share}"), style="bold"), *below]
    ended = length * snapshot.ended // max(1, snapshot.rows)
    bar = Text.assemble(
        (figures, "bold"), " ", (spelled("━" * ended, room.encoding), "green"), (spelled("─" * (length - ended), room.encoding), "dim"), f" {share}"
    )
    return [bar.append(f"  {beside}" if beside else ""), *below]


def _flights(snapshot: Snapshot, room: Room, most: int) -> list[Text]:
    """What goes on at the service: how many wait and run, and some of those that were submitted first."""
    way = snapshot.under_way
    there = snapshot.counts.get(State.SUBMITTED, 0)
    if most < 1 or not there:
        return []
    asked = way.running + way.queued
    told = ", ".join(f"{n} {word}" for n, word in ((way.running, "running"), (way.queued, "queued"), (there - asked, "accepted")) if n > 0)
    shown = way.oldest[:most]
    heading = f"{'Oldest at' if len(shown) < there else 'At'} the service ({told})"
    table = [(flight.row_id, flight_words(flight), duration(max(0.0, snapshot.at - flight.since))) for flight in shown]
    return [Text(room.fit(heading), style="bold"), *_columns(table, room)]


def _failures(snapshot: Snapshot, room: Room, most: int) -> list[Text]:
    if most < 1 or not snapshot.failures:
        return []
    table = [(job.row_id, failure_words(job)) for job in snapshot.failures[:most]]
    return [Text(room.fit("Latest failures"), style="bold red"), *_columns(table, room)]


def _columns(rows: Sequence[tuple[str, ...]], room: Room) -> Iterator[Text]:
    """Cells below each other, as wide as the widest of them. Where that is too wide, the first gives way down to a quarter, then the last."""
    inner = max(1, room.width - 2)
    cells = [[room.fit(cell, inner) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    widths[0] = min(widths[0], max(inner // 4, inner - sum(widths[1:]) - 2 * len(widths[1:])))
    for row in cells:
        row[0] = room.fit(row[0], widths[0])
        padded = [set_cell_size(cell, width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        yield Text("  " + room.fit("  ".join([*padded, row[-1]]), inner))


def _foot(snapshot: Snapshot, room: Room) -> list[Text]:
    """What Ctrl-C does, and the command that goes on: in full, even where that takes more than one line, because it is there to be copied."""
    hint, command = room.fit(snapshot.about.hint), spelled(one_line(snapshot.about.resume), room.encoding)
    if cell_len(hint) + cell_len(command) + 1 <= room.width:
        return [Text(f"{hint} {command}", style="dim")]
    return [*(Text(line, style="dim") for line in wrap(snapshot.about.hint, room)), Text(command, style="dim")]


def flow(parts: Iterable[str], room: Room) -> list[Text]:
    """`parts` in as few lines as they fit in, none of them broken but where it is longer than a line."""
    separator = spelled(" · ", room.encoding)
    return [Text(line) for line in _fill([line for part in parts for line in wrap(part, room)], separator, room.width)]


def wrap(text: str, room: Room) -> list[str]:
    """`text` in as few lines as it fits in, broken between words."""
    return _fill([room.fit(word) for word in spelled(one_line(text), room.encoding).split()], " ", room.width)


def _fill(parts: Sequence[str], separator: str, width: int) -> list[str]:
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}{separator}{part}" if lines else part
        if lines and cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def height_on(widths: Iterable[int], width: int) -> int:
    """How many lines of a terminal so wide lines of these lengths take, where it breaks those that are longer."""
    return sum(max(1, -(-length // max(1, width))) for length in widths)
