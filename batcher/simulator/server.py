"""A context manager that puts the simulated service up on loopback and takes it down again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from batcher.simulator.app import Front
from batcher.simulator.bill import Bill
from batcher.simulator.errors import SimulatorError
from batcher.simulator.outputs import is_loopback
from batcher.simulator.settings import SimulatorSettings


def steady_clock() -> Callable[[], float]:
    """A clock that tells seconds since the epoch and never goes back, whatever happens to the machine's own."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Simulator:
    """RunComfy's Model API on this machine, for as long as the context lasts.

        async with Simulator(SimulatorSettings(latency_s=0.1)) as simulator:
            print(simulator.base_url)  # http://127.0.0.1:41234/v1

    Port 0 takes a free one. With `state_dir`, requests outlive the process. Any host but loopback has to be allowed with `allow_remote`.
    Raises `SimulatorError` on entry where it cannot listen, or cannot hold its state.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state_dir: Path | str | None = None,
        allow_remote: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise SimulatorError(f"{host!r} is not loopback: anybody who reaches it could use the simulator; allow that explicitly if it is meant")
        self._settings = settings or SimulatorSettings()
        self._host = host
        self._port = port
        self._state_dir = None if state_dir is None else Path(state_dir)
        self._clock = clock or steady_clock()
        self._front: Front | None = None
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """The API base, `/v1` included. Raises `SimulatorError` while the simulator is not up."""
        if self._runner is None or not self._runner.addresses:
            raise SimulatorError("the simulator is not up: use it as `async with Simulator(…)`")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._runner.addresses[0][1]}/v1"

    def bill(self) -> Bill:
        """What was accepted and charged so far, and which calls were made."""
        return self._up().bill()

    def requests(self) -> list[dict[str, Any]]:
        """Every accepted submission with its state, oldest first, as `GET /_simulator/requests` shows it."""
        return self._up().request_records()

    async def __aenter__(self) -> Self:
        front = Front(self._settings, self._clock, self._state_dir)
        runner = web.AppRunner(
            front.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            keepalive_timeout=self._settings.keepalive_timeout_s,
        )
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port, backlog=2048).start()
        except OSError as error:
            await runner.cleanup()
            raise SimulatorError(f"cannot listen on {self._host}, port {self._port}: {error.strerror or error}; choose another port") from error
        self._front, self._runner = front, runner
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _up(self) -> Front:
        if self._front is None:
            raise SimulatorError("the simulator has not been up: use it as `async with Simulator(…)`")
        return self._front


async def serve(
    settings: SimulatorSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    state_dir: Path | str | None = None,
    announce: Callable[[str], None],
    allow_remote: bool = False,
) -> None:
    """Be the service until cancelled; `announce` is told the API base once it can be called. Raises `SimulatorError`."""
    async with Simulator(settings, host=host, port=port, state_dir=state_dir, allow_remote=allow_remote) as simulator:
        announce(simulator.base_url)
        await asyncio.Event().wait()
