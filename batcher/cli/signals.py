"""Ctrl-C, SIGTERM and the closing of the terminal: each stands for an exit code, and what it does is said by whatever goes on.

A signal that was ignored when the process began stays ignored: that is how `nohup` asks for it.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Callable, Iterator

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 143}
"""What a command that a signal ended exits with. Not every system has all of them."""


class SignalledError(SystemExit):
    """A signal came where nothing has to be ended in order; `code` is what to exit with."""

    code: int


def on_signals(tell: Callable[[int], object]) -> None:
    """From now on a signal calls `tell` with its number, in the main thread, wherever that is."""
    for number in _heeded():
        signal.signal(number, lambda number, frame: tell(number))


def leave(number: int) -> None:
    """End the command at the spot."""
    raise SignalledError(CODES[signal.Signals(number).name])


def ignore_signals_at_exit() -> None:
    """Python lets go of signals while it takes itself down, and the next would end it with a code of the system's."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in _heeded()])


def _heeded() -> Iterator[signal.Signals]:
    for name in CODES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            yield number
