"""An event loop whose time jumps to the next timer: hours pass in milliseconds, and the same seed gives the same log."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STEPS_MAX = 2_000_000


class HangError(RuntimeError):
    """What runs on the loop will never end."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, start: float, before_step: Callable[[int], None] | None, steps_max: int, step_s: float) -> None:
        super().__init__()
        self._step_s = step_s
        self.now = start
        self.steps = 0
        self.steps_max = steps_max
        self._before_step = before_step

    def select(self, timeout: float | None = None) -> list[Any]:
        self.steps += 1
        if self.steps > self.steps_max:
            raise HangError("this goes on for ever")
        if self._before_step is not None:
            self._before_step(self.steps)
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise HangError("nothing will ever happen: every task waits for another")
            self.now += max(self._step_s, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at `start`, and each step takes `step_s` at least: without that, a wait too short for a float to tell never ends.

    `before_step` is told the number of each step before it is taken; what it raises ends the run there.
    """

    def __init__(self, start: float = 0.0, before_step: Callable[[int], None] | None = None, steps_max: int = STEPS_MAX, step_s: float = 0.0) -> None:
        self._jumping = _JumpingSelector(start, before_step, steps_max, step_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @property
    def steps(self) -> int:
        return self._jumping.steps

    def forget_the_limit(self) -> None:
        """Let what was cut off be cleared away."""
        self._jumping.steps_max = STEPS_MAX

    def leap(self, seconds: float) -> None:
        """Let time pass while nothing is done, as on a machine that is asleep."""
        self._jumping.now += seconds


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on virtual time that begins at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
