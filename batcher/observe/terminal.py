"""Showing progress: a live bar on a terminal, a plain line now and then elsewhere, nothing where quiet was asked for."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batcher.events import Event
from batcher.model import Job
from batcher.observe.harmless import one_line
from batcher.observe.progress import Snapshot, duration, plain_line, span, state_words

PLAIN_EVERY_S = 15.0


class View(Protocol):
    """Shows snapshots. `interval_s` is how often it wants one; None never."""

    interval_s: float | None

    def show(self, snapshot: Snapshot) -> None:
        """Show how far the run is."""
        ...

    def say(self, message: str) -> None:
        """Show a message that stays."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class NoView:
    """Shows nothing: for programs that look at the rows themselves."""

    interval_s: float | None = None

    def show(self, snapshot: Snapshot) -> None:
        """See `View`."""

    def say(self, message: str) -> None:
        """See `View`."""

    def close(self) -> None:
        """See `View`."""


class SilentView(NoView):
    """Shows messages only: they matter even where quiet was asked for."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, message: str) -> None:
        """See `View`."""
        self._console.print(one_line(message), markup=False, highlight=False, emoji=False, soft_wrap=True)


class PlainView(SilentView):
    """One plain line now and then, only where something changed."""

    interval_s: float | None = PLAIN_EVERY_S

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last = ""

    def show(self, snapshot: Snapshot) -> None:
        """See `View`."""
        if snapshot.elapsed_s < 1.0:  # nothing to tell yet that the plan did not tell
            return
        line = plain_line(snapshot)
        if line != self._last:
            self._last = line
            self.say(line)


class TerminalView(SilentView):
    """A bar with counts by state, rate, time left and money spent."""

    interval_s: float | None = 0.25

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """See `View`."""
        # Never as wide as the terminal: whatever is typed would wrap, and the view could not be taken back whole.
        self._live.update(Constrain(picture(snapshot), max(20, self._console.width - 4)), refresh=True)

    def close(self) -> None:
        """See `View`."""
        self._live.stop()


def picture(snapshot: Snapshot) -> Table:
    """The live view: a bar, and below it the counts."""
    left = span(snapshot.left) if snapshot.left is not None else "–"
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    bar.add_row(
        Text(f"{snapshot.ended}/{snapshot.rows}", style="bold"),
        ProgressBar(total=max(1, snapshot.rows), completed=snapshot.ended),
        Text(f"{duration(snapshot.elapsed_s)}, {left} left"),
    )
    view = Table.grid(expand=True)
    view.add_row(bar)
    view.add_row(Text(" · ".join([*state_words(snapshot.counts), f"{snapshot.rate_per_s:.2g}/s", f"{snapshot.spent_usd:.2f} USD"]), style="dim"))
    return view


class ViewObserver:
    """Shows the notices of a run."""

    def __init__(self, view: View) -> None:
        self._view = view

    def observe(self, job: Job, event: Event, now: float) -> None:
        """See the port `Observer`."""

    def notice(self, message: str, now: float) -> None:
        """See the port `Observer`."""
        self._view.say(message)


def choose_view(console: Console, *, quiet: bool) -> View:
    """The view that fits where `console` writes to."""
    if quiet:
        return SilentView(console)
    return TerminalView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)
