"""Batches from a script or a notebook: the same engine and the same ledger as the command line."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batcher.app import Outcome, RunOptions, run_batch
from batcher.config import Environment
from batcher.errors import BatcherError, UsageError
from batcher.events import Event
from batcher.manifest import open_manifest, open_rows
from batcher.model import ExitReason, Job, Json
from batcher.observe import NoView
from batcher.report import Report, ResultRow, result_row
from batcher.simulator import SimulatorSettings
from batcher.stopping import Stopper


class Batch:
    """A batch: a manifest, or rows from anywhere, and the folder that its files, its report and its ledger go to.

        rows = [{"id": "mug", "image": "mug.jpg", "background": "a beach"}]
        batch = Batch(rows=rows, job="background_replacement", out="out", simulate=True)
        async for row in batch:
            print(row.id, row.state, row.files[0].path)
        print(batch.report.cost_usd)

    `manifest` is the path of a YAML, CSV or JSONL file; `rows` any iterable of mappings, read once, with `head` for the other keys of a batch file
    (`defaults`, `matrix`, `output`, …). Relative paths in `rows` start from `base_dir`. Local files have to be in `base_dir`, or in the folder of the
    manifest, unless `allow_outside_inputs` says that they may be anywhere. `simulate` runs it against a simulated service: True, or
    settings for it. `settings` are run settings by name (`concurrency=8`, see `batcher.settings.RunSettings`). With neither manifest nor rows the
    batch that `out` holds is taken up again. The token and the service come from the environment, as they do on the command line.
    """

    def __init__(
        self,
        manifest: str | Path | None = None,
        *,
        rows: Iterable[Mapping[str, Json]] | None = None,
        out: str | Path,
        job: str | None = None,
        model: str | None = None,
        head: Mapping[str, Any] | None = None,
        base_dir: str | Path = ".",
        simulate: bool | SimulatorSettings = False,
        allow_hosts: Sequence[str] = (),
        allow_outside_inputs: bool = False,
        **settings: Any,
    ) -> None:
        if manifest is not None and (rows is not None or head is not None):
            raise UsageError("a batch has a manifest or rows, not both")
        if rows is not None:
            named = {name: value for name, value in (("job", job), ("model", model)) if value is not None}
            opener = functools.partial(
                open_rows,
                rows,
                {**(head or {}), **named},
                name=Path(out).name,
                base_dir=Path(base_dir),
                allow_outside_inputs=allow_outside_inputs,
            )
        elif manifest is not None:
            opener = functools.partial(open_manifest, Path(manifest), job=job, model=model, allow_outside_inputs=allow_outside_inputs)
        else:
            opener = None
        self._options = RunOptions(
            out=Path(out),
            opener=opener,
            simulate=SimulatorSettings() if simulate is True else simulate or None,
            overrides=settings,
            allow_hosts=tuple(allow_hosts),
        )
        self._stopper = Stopper()
        self._view = NoView()
        self._running: asyncio.Future[Outcome] | None = None
        self.report: Report | None = None
        """The account of the batch; None until a run of it has ended."""

    def run(self) -> Report:
        """Run it to its end, and wait for that. In a notebook, or wherever an event loop runs already, `await batch.run_async()` instead."""
        return asyncio.run(self.run_async())

    async def run_async(self) -> Report:
        """Run it to its end. Raises `BatcherError` for what keeps it from being run at all; rows that fail are in the report."""
        return (await self._run([])).report

    def stop(self) -> None:
        """Submit nothing more, take back what is queued, wait for what runs; called once more, leave at once. The batch can be run again.

        Safe from any thread. A stop that comes before a run holds for that run.
        """
        self._stopper.stop(ExitReason.INTERRUPTED)

    def _repr_html_(self) -> str:
        """How a notebook shows it: its progress while it runs, the first of its pictures afterwards."""
        from batcher.notebook import progress_html, report_html, waiting_html

        is_running = self._running is not None and not self._running.done()
        if self._view.snapshot is not None and (is_running or self.report is None):
            return progress_html(self._view.snapshot, is_running=is_running)
        return waiting_html(self._options.out) if self.report is None else report_html(self.report, self._options.out)

    async def __aiter__(self) -> AsyncIterator[ResultRow]:
        """Run it, and give each row as it ends. Whoever stops listening stops the batch; it can be run again."""
        ended: asyncio.Queue[ResultRow | None] = asyncio.Queue()
        running = asyncio.ensure_future(self._run([_EndedRows(ended)]))
        running.add_done_callback(lambda _: ended.put_nowait(None))
        try:
            while (row := await ended.get()) is not None:
                yield row
            await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait([running])

    async def _run(self, observers: list[_EndedRows]) -> Outcome:
        """Run it in a task of its own: whoever is cancelled while waiting for it leaves no POST without its answer."""
        if self._running is not None:
            await self._leave(self._running)
            self._stopper = Stopper()
        environment = Environment.read(os.environ, Path.home())
        self._view = NoView()
        batch = run_batch(self._options, environment, view=self._view, observers=observers, stopper=self._stopper)
        self._running = asyncio.ensure_future(batch)
        try:
            outcome = await asyncio.shield(self._running)
        except asyncio.CancelledError:
            await self._leave(self._running)
            raise
        self.report = outcome.report
        if outcome.trouble:
            raise BatcherError(outcome.trouble, "What was paid for is kept: run the batch again to go on.")
        return outcome

    async def _leave(self, running: asyncio.Future[Outcome]) -> None:
        if not running.done():
            self.stop()
            self.stop()
            await asyncio.wait([running])


class _EndedRows:
    """Puts each row that ends into a queue."""

    def __init__(self, queue: asyncio.Queue[ResultRow | None]) -> None:
        self._queue = queue

    def observe(self, job: Job, event: Event, now: float) -> None:
        if not job.state.is_open:
            self._queue.put_nowait(result_row(job))

    def notice(self, message: str, now: float, *, passing: bool = False) -> None:
        pass
