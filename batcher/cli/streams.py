"""Standard streams that never end a batch, and never hold it up: whoever read along may leave or fall asleep, the disk may be full, or they may be
closed from the start.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import Any, TextIO

PIECE_BYTES = 4096
"""A pipe that can be written to takes so many bytes at once (PIPE_BUF of Linux; 512 are promised elsewhere, and then a piece may wait)."""

KEPT_BYTES = 2**20
"""How much is kept for a reader who does not keep up while a batch runs. What comes beyond that is dropped, line by line."""

PATIENCE_S = 10.0
"""How long the end of a command waits for a reader who reads nothing."""


class PatientStream:
    """A text stream that drops what cannot be written; everything else is that of `stream`.

    Where nobody reads, writing waits, as it does in every program; after `hurry` it does not, and what was written is kept for later.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._hurried = False
        self._terminal: int | None = None
        """The terminal behind the stream, opened once more: what is set here, not to wait, does not hold for others who write to it."""

    @property
    def is_behind(self) -> bool:
        """Whether something is kept because nobody took it yet."""
        return bool(self._kept)

    def hurry(self) -> None:
        """From now on nothing waits for a reader."""
        if not self._hurried:
            self._hurried, self._terminal = True, _terminal_of(self._stream)

    def write(self, text: str) -> int:
        """Write `text`, keep it for later, or drop it."""
        if os.name == "nt":  # what can be written at once cannot be asked there
            self._write_through(text)
            return len(text)
        data = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
        if len(self._kept) + len(data) <= KEPT_BYTES or not self._hurried:
            self._kept += data
        if "\n" in text or len(self._kept) >= PIECE_BYTES:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what was kept, as much as the reader takes."""
        self._push(0.0 if self._hurried else None)

    def finish(self) -> None:
        """Write what was kept, but not to a reader who is asleep."""
        self._push(PATIENCE_S if self._hurried else None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _push(self, patience_s: float | None) -> None:
        """Write, and wait at each piece for `patience_s` at most; None as long as it takes."""
        try:
            descriptor = self._stream.fileno() if self._terminal is None else self._terminal
            while self._kept and select.select([], [descriptor], [], patience_s)[1]:
                try:
                    del self._kept[: os.write(descriptor, self._kept[:PIECE_BYTES])]
                except BlockingIOError:  # our own terminal, or a pipe that another program has made so, and less than a piece is free in it
                    if patience_s == 0:
                        return
                    time.sleep(0.01)
        except (OSError, ValueError):
            self._give_up()

    def _write_through(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """From now on it all goes nowhere, what is still kept too."""
        self._kept.clear()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def _terminal_of(stream: TextIO) -> int | None:
    """A descriptor of our own for the terminal that `stream` writes to, where writing never waits; None where it is none, or cannot be had.

    A terminal says that it can be written to as soon as it takes a single character, and a write waits until it has taken all.
    """
    if os.name == "nt":
        return None
    try:
        return os.open(os.ttyname(stream.fileno()), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None


def make_streams_patient() -> None:
    """Stand in for what is closed, and make standard output and standard error patient."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file to be opened would be taken for a standard stream
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name) or open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if not isinstance(stream, PatientStream):
            setattr(sys, name, PatientStream(stream))


def hurry_streams() -> None:
    """Nothing that runs may wait for a reader from now on."""
    for stream in _patient():
        stream.hurry()


def finish_streams() -> None:
    """Give readers the time to take the rest."""
    for stream in _patient():
        stream.finish()


def _patient() -> list[PatientStream]:
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, PatientStream)]
