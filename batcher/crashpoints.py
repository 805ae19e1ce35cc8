"""Named moments at which tests let the process die: before and after everything that becomes durable.

The command line arms one of them with what `BATCHER_CRASH_POINT` says, `NAME[:NTH][:ACTION]`. The name `*` stands for any point, NTH counts how often
it is reached in this process (1), and ACTION is `kill` (SIGKILL, the default) or `raise` (an exception, as from a bug). Unset, as it is but in tests,
reaching a point does nothing.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
from typing import Final, get_args

from batcher.errors import UsageError
from batcher.events import Event

VARIABLE: Final = "BATCHER_CRASH_POINT"
ANY: Final = "*"

TRANSACTIONS: Final = (
    *(event.__name__ for event in get_args(Event)),
    *("plan", "put_meta", "begin_run", "recover", "add_requests", "end_run", "review"),
)

POINTS: Final = frozenset(
    {
        *(f"{name}.{moment}" for name in TRANSACTIONS for moment in ("commit", "committed")),
        "writer.taken",  # work is taken from the queue, outside of any transaction
        "folder.made",
        "folder.owned",
        "ledger.opened",  # a file, and no table in it yet
        "ledger.migrated",
        "submit.send",  # the intent is durable, and nothing is sent
        "submit.answered",  # the id is read, and not recorded
        "poll.answered",
        "view.shown",
        "draft.opened",
        "draft.written",
        "draft.synced",
        "draft.renamed",
        "draft.durable",  # its folder is synced too, and nothing is recorded
        "earlier.renamed",  # the earlier file is out of the way, and the new one is not in its place
        *(f"{file}.{moment}" for file in ("results", "report", "page") for moment in ("written", "synced", "renamed")),
    }
)
"""Every point there is."""


class CrashPointError(RuntimeError):
    """Stands for a bug."""


class _Armed:
    """One point that is waited for."""

    def __init__(self, point: str, nth: int, action: str) -> None:
        self._point = point
        self._nth = nth
        self._action = action
        self._reached = itertools.count(1)  # points are reached from several threads

    def reach(self, point: str) -> None:
        if point not in POINTS:
            raise LookupError(f"{point!r} is not among the crash points")
        if self._point not in (ANY, point) or next(self._reached) != self._nth:
            return
        if self._action == "raise":
            raise CrashPointError(f"the crash point {point}")
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


_armed: _Armed | None = None
"""The one thing in a module that changes: once, when the process starts, because threading it through every constructor would serve only tests."""


def arm(text: str) -> None:
    """Wait for the point that `text` names; for none where it is empty. Raises `UsageError` for anything else than `NAME[:NTH][:ACTION]`."""
    global _armed
    _armed = _parsed(text) if text else None


def reach(point: str, moment: str = "") -> None:
    """The process is at `point`, or at `point.moment`. Does not return where that is what was waited for."""
    if _armed is not None:
        _armed.reach(f"{point}.{moment}" if moment else point)


def _parsed(text: str) -> _Armed:
    match = re.fullmatch(r"(?P<point>[A-Za-z_.]+|\*)(:(?P<nth>[1-9]\d*))?(:(?P<action>kill|raise))?", text)
    if match is None or match["point"] not in {*POINTS, ANY}:
        raise UsageError(f"{VARIABLE}: {text!r} is not NAME[:NTH][:kill|raise] with the name of a crash point", f"Unset {VARIABLE}: it is for tests.")
    return _Armed(match["point"], int(match["nth"] or 1), match["action"] or "kill")
