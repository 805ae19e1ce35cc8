"""What a signal, or a person, talks to in order to stop a batch, at whatever point it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batcher.errors import InterruptedRunError
from batcher.model import ExitReason


class Stopper:
    """Remembers the stops that come before the engine is there to be told."""

    def __init__(self) -> None:
        self._stops: list[ExitReason] = []
        self._tell: Callable[[ExitReason], object] | None = None
        self._raises = False

    def stop(self, reason: ExitReason) -> None:
        """Climb one step of the ladder of stopping. From any thread, and also where nothing runs any more."""
        self._stops.append(reason)
        if self._tell is not None:
            self._tell(reason)

    def signalled(self, reason: ExitReason) -> None:
        """`stop`, for the handler of a signal, which Python calls in the main thread. Raises `InterruptedRunError` inside `interruptible`."""
        self.stop(reason)
        if self._raises:
            raise InterruptedRunError(reason)

    @property
    def reason(self) -> ExitReason | None:
        """Why a stop was asked for first; None while it was not."""
        return self._stops[0] if self._stops else None

    @property
    def steps(self) -> int:
        """How often a stop was asked for."""
        return len(self._stops)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Meanwhile the main thread may wait for what never comes, such as the end of standard input: a signal ends that at once.

        Raises `InterruptedRunError` also for a stop that came before.
        """
        self._raises = True
        try:
            if self._stops:
                raise InterruptedRunError(self._stops[0])
            yield
        finally:
            self._raises = False

    @contextmanager
    def telling(self, interrupt: Callable[[ExitReason], object]) -> Iterator[None]:
        """Meanwhile, call `interrupt` on the running event loop for every stop, also for those that came before."""
        loop = asyncio.get_running_loop()
        self._tell = lambda reason: loop.call_soon_threadsafe(interrupt, reason)
        for reason in tuple(self._stops):
            interrupt(reason)
        try:
            yield
        finally:
            self._tell = None
