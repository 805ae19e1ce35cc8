"""What a command exits with, by how a run ended: the codes of `docs/reference/exit-codes.md`."""

from __future__ import annotations

from collections.abc import Mapping

from batcher.model import ExitReason, State

RESUMABLE_CODE = 75
"""Stopped early: some rows are still open, and the batch can be taken up again."""

REASON_CODES: Mapping[ExitReason | None, int] = {
    ExitReason.INTERRUPTED: 130,
    ExitReason.TERMINATED: 143,
    ExitReason.TOKEN_REJECTED: 77,
    ExitReason.SERVICE_UNAVAILABLE: 69,
    ExitReason.NO_BALANCE: RESUMABLE_CODE,
    ExitReason.OUTPUT_UNWRITABLE: RESUMABLE_CODE,
    ExitReason.ALL_REFUSED: RESUMABLE_CODE,
    ExitReason.STOPPED_EARLY: RESUMABLE_CODE,
}


def exit_code(reason: ExitReason | None, counts: Mapping[State, int], *, files_missing: int = 0) -> int:
    """The code of a run that ended for `reason`, None where it was killed, and left so many rows in each state."""
    if reason in REASON_CODES:
        return REASON_CODES[reason]
    if any(n for state, n in counts.items() if state.is_open):
        return RESUMABLE_CODE
    return 1 if files_missing or any(n for state, n in counts.items() if state is not State.DONE) else 0
