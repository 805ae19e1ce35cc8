"""Running on an event loop: with signals, a view of the progress, and an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from batcher.cli.speaking import complain, console_for, count_rows, plan_lines, summarise
from batcher.model import ExitReason

if TYPE_CHECKING:
    from batcher.app import Outcome, RunOptions, Stopper
    from batcher.config import Environment
    from batcher.ports import PlanSummary

T = TypeVar("T")


def run_and_report(options: RunOptions, *, quiet: bool, log_json: bool) -> None:
    """Run a batch as `options` say, show how it goes, and exit with its code."""
    outcome = carry_out(options, quiet=quiet, log_json=log_json)
    if outcome.trouble:
        complain(outcome.trouble, "")
    if not quiet:
        summarise(outcome.report, options.out, console_for())
    raise typer.Exit(outcome.exit_code)


def carry_out(options: RunOptions, *, quiet: bool, log_json: bool = False) -> Outcome:
    """Run a batch as `options` say, and show how it goes."""
    from batcher.app import Stopper, run_batch
    from batcher.observe import EventLog, choose_view

    console = console_for(stderr=True)
    view = choose_view(console, quiet=quiet or log_json)
    stopper = Stopper()

    def announce(summary: PlanSummary) -> None:
        if not (quiet or log_json):
            view.say(" · ".join([count_rows(summary.total), *plan_lines(summary)]))

    async def main() -> Outcome:
        with _signals(stopper):
            return await run_batch(
                options, environment(), view=view, observers=[EventLog(sys.stderr)] if log_json else [], stopper=stopper, on_plan=announce
            )

    try:
        return wait_for(main())
    finally:
        view.close()


def environment() -> Environment:
    """What the process was given: the service and the token."""
    from batcher.config import Environment

    return Environment.read(os.environ, Path.home())


def wait_for(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def _signals(stopper: Stopper) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal stop the batch instead of the process."""
    loop = asyncio.get_running_loop()
    reasons = {"SIGINT": ExitReason.INTERRUPTED, "SIGTERM": ExitReason.TERMINATED, "SIGHUP": ExitReason.TERMINATED}
    numbers = {number: reason for name, reason in reasons.items() if (number := getattr(signal, name, None)) is not None}
    ours = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup is respected
    for number in ours:
        try:
            loop.add_signal_handler(number, stopper.stop, numbers[number])
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, reason=numbers[number]: loop.call_soon_threadsafe(stopper.stop, reason))
    try:
        yield
    finally:
        for number in ours:
            try:
                loop.remove_signal_handler(number)
            except NotImplementedError:
                signal.signal(number, signal.SIG_DFL)


async def until_signalled(serving: Coroutine[Any, Any, None]) -> None:
    """Serve until Ctrl-C or SIGTERM, and leave without a traceback."""
    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return
