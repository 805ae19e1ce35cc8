"""Running on an event loop: with signals, a view of the progress, and an exit code."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from batcher.cli.options import ANY_PORT
from batcher.cli.signals import leave, on_signals
from batcher.cli.speaking import complain, console_for, count_rows, plan_lines, say, summarise
from batcher.cli.streams import hurry_streams
from batcher.model import ExitReason

if TYPE_CHECKING:
    import asyncio

    from batcher.app import Outcome, RunOptions
    from batcher.config import Environment
    from batcher.ports import PlanSummary

T = TypeVar("T")


def run_and_report(options: RunOptions, *, quiet: bool, log_json: bool, port: int | None = None) -> None:
    """Run a batch as `options` say, show how it goes, and exit with its code. `port` is that of a live page, if one is wanted."""
    outcome = carry_out(options, quiet=quiet, log_json=log_json, port=port)
    on_signals(lambda number: None)  # the last words are said whatever comes
    if outcome.trouble:
        complain(outcome.trouble, "")
    if not quiet:
        summarise(outcome.report, options.out, console_for(), outcome.page)
        if port is not None:
            say(console_for(), f"The live page has ended with the run: batcher serve {shlex.quote(str(options.out))} shows it again.")
    raise typer.Exit(outcome.exit_code)


def carry_out(options: RunOptions, *, quiet: bool, log_json: bool = False, port: int | None = None) -> Outcome:
    """Run a batch as `options` say, and show how it goes; on a live page too where a `port` is given."""
    from batcher.app import run_batch
    from batcher.observe import EventLog, choose_view
    from batcher.stopping import Stopper

    console = console_for(stderr=True)
    view = choose_view(console, quiet=quiet or log_json)
    stopper = Stopper()

    def announce(summary: PlanSummary) -> None:
        if not (quiet or log_json):
            view.say(" · ".join([count_rows(summary.total), *plan_lines(summary)]))

    async def main() -> Outcome:
        observers = [EventLog(sys.stderr)] if log_json else []
        more: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            if port is not None:  # before anything is spent: it may be in use
                from batcher.cli.serving import ReviewBesideRun
                from batcher.live import LivePage

                reviewing = ReviewBesideRun()
                page = LivePage(options.out, keep=reviewing.keep, port=None if port == ANY_PORT else port, is_beside_run=True)
                await stack.enter_async_context(page)
                view.say(f"Live page: {page.url}")
                more["on_ledger"] = reviewing.begin
            return await run_batch(options, environment(), view=view, observers=observers, stopper=stopper, on_plan=announce, **more)

    hurry_streams()
    gc.freeze()  # what was imported stays: looking through it for garbage again and again is a thirtieth of the time
    on_signals(lambda number: stopper.signalled(ExitReason.INTERRUPTED if number == signal.SIGINT else ExitReason.TERMINATED))
    try:
        return wait_for(main())
    finally:
        view.close()
        on_signals(leave)


def environment() -> Environment:
    """What the process was given: the service and the token."""
    from batcher.config import Environment

    return Environment.read(os.environ, Path.home())


def wait_for(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is."""
    import asyncio

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def until_signalled(serving: Coroutine[Any, Any, None]) -> None:
    """Serve until a signal comes, and leave as if that were the end of it."""
    import asyncio

    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    on_signals(lambda number: loop.call_soon_threadsafe(task.cancel))
    try:
        await task
    except asyncio.CancelledError:
        on_signals(leave)
