"""What the batch is out to do: the mode of each lane, which only ever moves towards stopping, and the reason."""

from __future__ import annotations

import asyncio

from batcher.model import ExitReason, Lane, Mode
from batcher.ports import Clock

SEVERITY = {Mode.RUN: 0, Mode.COLLECT: 1, Mode.DRAIN: 2, Mode.CANCEL: 2, Mode.STOP: 3}


class Course:
    """Shared by everything that carries rows; whoever waits, waits here, and is woken when the course changes."""

    def __init__(self, clock: Clock, mode: Mode = Mode.RUN) -> None:
        self._clock = clock
        self._modes = {Lane.REMOTE: mode, Lane.DOWNLOAD: Mode.STOP if mode is Mode.CANCEL else Mode.RUN}
        self._changed = asyncio.Event()
        self._roused: list[asyncio.Event] = []
        self.reason: ExitReason | None = None
        """Why the course was changed first; None while it was not."""
        self.trouble: str = ""
        """What was said first by whatever changed the course; empty where a person did."""

    def mode(self, lane: Lane) -> Mode:
        """What `lane` is out to do."""
        return self._modes[lane]

    def change(self, reason: ExitReason, *, remote: Mode, download: Mode = Mode.RUN, trouble: str = "") -> bool:
        """Move each lane to the given mode where that is closer to stopping; True if anything changed. `trouble` says why, for a person."""
        wanted = {Lane.REMOTE: remote, Lane.DOWNLOAD: download}
        moved = {lane: mode for lane, mode in wanted.items() if SEVERITY[mode] > SEVERITY[self._modes[lane]]}
        if not moved:
            return False
        self.reason = self.reason or reason
        self.trouble = self.trouble or trouble
        self._modes |= moved
        self.reconsider()
        for event in self._roused:
            event.set()
        return True

    def reconsider(self) -> None:
        """Wake whoever waits, to look again at what to do and for how long to wait."""
        self._changed.set()
        self._changed = asyncio.Event()

    def rouse(self, event: asyncio.Event) -> None:
        """Set `event` whenever the course changes: for who waits for something else besides."""
        self._roused.append(event)

    async def pause(self, seconds: float) -> bool:
        """Wait, but no longer than until the course changes, or is to be reconsidered; True if so."""
        return await self._clock.wait(self._changed, seconds)
