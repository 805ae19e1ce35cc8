"""Everything that happens, as lines of JSON: for logs that a program reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO

from batcher.events import Event
from batcher.model import Job
from batcher.ports import Observer


class EventLog:
    """Writes one JSON object a line for each event: `at` (ISO 8601, UTC), `row`, `event`, `state`, `request_id`, and what the event itself says."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream: IO[str] | None = stream

    def observe(self, job: Job, event: Event, now: float) -> None:
        """See the port `Observer`."""
        said = {field.name: value for field in dataclasses.fields(event) if (value := getattr(event, field.name)) not in (None, ())}
        line = {"row": job.row_id, "event": type(event).__name__, "state": job.state, "request_id": job.request_id, **said}
        self._write(line, now)

    def notice(self, message: str, now: float, *, passing: bool = False) -> None:
        """See the port `Observer`."""
        self._write({"notice": message}, now)

    def _write(self, line: dict[str, object], now: float) -> None:
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps({"at": at, **line}, default=dataclasses.asdict) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # whoever read along has left: that is no reason to leave the batch
            self._stream = None


class Observers:
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def observe(self, job: Job, event: Event, now: float) -> None:
        """See the port `Observer`."""
        for observer in self._observers:
            observer.observe(job, event, now)

    def notice(self, message: str, now: float, *, passing: bool = False) -> None:
        """See the port `Observer`."""
        for observer in self._observers:
            observer.notice(message, now, passing=passing)
