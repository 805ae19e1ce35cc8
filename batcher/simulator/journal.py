"""The simulator's memory across restarts: a file to which every accepted submission and every cancellation is appended.

A line is handed to the operating system before its answer is sent, so that what was answered survives a kill of the process. A last line that was cut
short belongs to an answer that was never sent, and is dropped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from batcher.simulator.errors import SimulatorError
from batcher.simulator.records import Cancellation, Fate, Submission

Entry: TypeAlias = Submission | Cancellation

_VERSION = 1


class Journal:
    """The journal in `state_dir`, held by one process at a time. Raises `SimulatorError` where it cannot be read, written or held."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "journal.jsonl"
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise SimulatorError(f"{state_dir}: cannot hold the simulator's state: {error.strerror or error}") from error
        try:
            self._lock()
            self._drop_torn_line()
        except BaseException:
            self.close()
            raise

    def entries(self) -> Iterator[Entry]:
        """Everything in the journal, oldest first."""
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield _entry(json.loads(line))
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise SimulatorError(f"{self._path}:{number}: not a line of a simulator's journal; move the folder away to begin anew") from error

    def append(self, entry: Entry) -> None:
        """Write one entry; it survives a kill of the process when this returns."""
        kind = "accepted" if isinstance(entry, Submission) else "cancelled"
        line = json.dumps({"version": _VERSION, "entry": kind, **asdict(entry)}, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise SimulatorError(f"{self._path}: cannot be written: {error.strerror or error}") from error
        if written != len(line):
            self._drop_torn_line()
            raise SimulatorError(f"{self._path}: cannot be written: the disk is full")

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lock(self) -> None:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SimulatorError(f"{self._path}: another simulator uses it; stop that one, or choose another folder") from error

    def _drop_torn_line(self) -> None:
        end = os.fstat(self._file).st_size
        keep = end
        while keep > 0:
            start = max(0, keep - 65_536)
            os.lseek(self._file, start, os.SEEK_SET)
            newline = os.read(self._file, keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < end:
            os.ftruncate(self._file, keep)


def _entry(fields: dict[str, Any]) -> Entry:
    if fields.pop("version") != _VERSION:
        raise ValueError("another version")
    kind = fields.pop("entry")
    if kind == "accepted":
        return Submission(**{**fields, "fate": Fate(fields["fate"])})
    if kind == "cancelled":
        return Cancellation(**fields)
    raise ValueError(f"unknown entry {kind!r}")
