"""The engine's clock: the wall clock as it was at the start, carried on by the event loop's own time.

So it never goes back and never jumps, and on a loop that runs on virtual time it is virtual too. It never tells a time before 1970 either: a machine
without a battery may, and 0 is before everything that a row waits for.
"""

from __future__ import annotations

import asyncio
import time


class LoopClock:
    """See the port `Clock`. To be made inside a running event loop; `start` is the time now, in seconds since the epoch."""

    def __init__(self, start: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset = max(0.0, time.time() if start is None else start) - self._loop.time()

    def now(self) -> float:
        """See the port."""
        return self._loop.time() + self._offset

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """See the port."""
        if event.is_set() or (timeout_s is not None and timeout_s <= 0):
            return event.is_set()
        try:
            async with asyncio.timeout(timeout_s):
                return await event.wait()
        except TimeoutError:
            return False
