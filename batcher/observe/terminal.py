"""Showing progress: a live view on a terminal, a plain line now and then elsewhere, nothing where quiet was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from batcher.events import Event
from batcher.model import Job, State
from batcher.observe.console import write_line
from batcher.observe.progress import FAILURES_MAX, Snapshot, failure_words, plain_line
from batcher.observe.screen import height_on, picture

LIVE_EVERY_S = 0.5

PLAIN_EVERY_S = 15.0
PLAIN_SHARE = 0.05
PLAIN_SELDOM_S = 300.0
"""How often a log gets a line: first the first; of a long run this share of its time, but never more seldom than the third."""

PLAIN_FAILURES = 3
"""So many failures are told with each of those lines."""

FAILURES = (State.FAILED, State.IN_DOUBT)

ERASE_LINE, ERASE_BELOW = "\x1b[K", "\x1b[J"


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
    """Shows nothing, and knows the last snapshot: for programs that look for themselves."""

    interval_s: float | None = 1.0

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """See `View`."""
        self.snapshot = snapshot

    def say(self, message: str) -> None:
        """See `View`."""

    def close(self) -> None:
        """See `View`."""


class SilentView:
    """Shows messages only: they matter even where quiet was asked for."""

    interval_s: float | None = None

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, snapshot: Snapshot) -> None:
        """See `View`."""

    def say(self, message: str) -> None:
        """See `View`."""
        write_line(self._console, message)

    def close(self) -> None:
        """See `View`."""


class PlainView(SilentView):
    """One plain line now and then, only where something changed, and some of the failures since the one before."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.interval_s: float | None = PLAIN_EVERY_S
        self._last = ""
        self._failed: int | None = None

    def show(self, snapshot: Snapshot) -> None:
        """See `View`."""
        self.interval_s = min(PLAIN_SELDOM_S, max(PLAIN_EVERY_S, PLAIN_SHARE * snapshot.elapsed_s))
        failed = sum(snapshot.counts.get(state, 0) for state in FAILURES)
        new = failed - (failed if self._failed is None else self._failed)
        self._failed = failed
        if snapshot.elapsed_s < 1.0:  # nothing to tell yet that the plan did not tell
            return
        line = plain_line(snapshot)
        if line != self._last:
            self._last = line
            self.say(line)
        for job in snapshot.failures[: max(0, min(new, PLAIN_FAILURES))]:
            self.say(f"  {job.row_id}: {failure_words(job)}")


class TerminalView(SilentView):
    """A bar, counts, money, what goes on at the service and what failed, painted over itself.

    It stays in place by what it knows of itself: how long the lines were that it painted last, and so how many they are on a terminal that was
    resized since. What leaves a terminal that is made less high comes back when it is made higher. The cursor stays visible below the view, so that
    nothing is left to be mended when the process is killed.
    """

    interval_s: float | None = LIVE_EVERY_S

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._lines: Sequence[Text] = ()
        self._painted: list[int] = []
        self._above: list[int] = []
        """The lines of ours that are above the screen, by their lengths: nobody can take them back there."""
        self._peeking = 0
        """How many rows of them are on the screen all the same: of a line that is broken at the top of it."""
        self._size = console.size

    def show(self, snapshot: Snapshot) -> None:
        """See `View`. Nothing is painted while the terminal has not taken what was painted before: it may be frozen for hours."""
        self._console.file.flush()
        if getattr(self._console.file, "is_behind", False):
            return
        # Never as wide as the terminal: whatever is typed would wrap, and the view could not be taken back whole.
        size = self._console.size
        self._lines = picture(snapshot, max(10, size.width - 4), max(1, size.height - 2), self._console.encoding)
        self._write(self._back() + self._paint())

    def say(self, message: str) -> None:
        """See `View`."""
        with self._console.capture() as said:
            write_line(self._console, message, wrap=True)
        back, self._above, self._peeking = self._back(), [], 0
        self._write(back + ERASE_BELOW + said.get() + self._paint())

    def close(self) -> None:
        """See `View`."""
        self._lines = ()
        self._write(self._back() + self._paint())

    def _back(self) -> str:
        """To the first character of what was painted, as far as it is on the screen."""
        size, before = self._console.size, self._size
        came_back = max(0, size.height - before.height)
        most = min(size.height - 1, height_on(self._painted, size.width) + came_back + self._peeking)
        lines, up = [*self._above, *self._painted], 0
        while lines and up < most:
            up += height_on([lines[-1]], size.width)
            if up <= most:
                lines.pop()
        self._above, self._painted, self._size, self._peeking = lines, [], size, int(up > most)
        back = f"\r\x1b[{min(up, most)}A" if up else ""
        if size != before:  # a line that was broken is one to the terminal, until all of it is erased
            back += ERASE_BELOW
        return back + "\n" * self._peeking

    def _paint(self) -> str:
        with self._console.capture() as painted:
            for line in self._lines:
                self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        self._painted = [cell_len(line.plain) for line in self._lines]
        return painted.get().replace("\n", f"{ERASE_LINE}\n") + ERASE_BELOW

    def _write(self, text: str) -> None:
        """All at once, so that nobody sees half of it."""
        if text != ERASE_BELOW:
            self._console.file.write(text)
            self._console.file.flush()


class ViewObserver:
    """Shows the notices of a run that stay, and keeps its latest failures, the latest first."""

    def __init__(self, view: View, failures: Iterable[Job] = ()) -> None:
        self._view = view
        self.failures = deque(failures, maxlen=FAILURES_MAX)

    def observe(self, job: Job, event: Event, now: float) -> None:
        """See the port `Observer`."""
        if job.state in FAILURES:
            self.failures.appendleft(job)

    def notice(self, message: str, now: float, *, passing: bool = False) -> None:
        """See the port `Observer`."""
        if not passing:
            self._view.say(message)


def choose_view(console: Console, *, quiet: bool) -> View:
    """The view that fits where `console` writes to."""
    if quiet:
        return SilentView(console)
    is_terminal = console.is_terminal and console.file.isatty()  # colours may be forced upon a log (FORCE_COLOR)
    is_live = is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    return TerminalView(console) if is_live else PlainView(console)
