"""What a failed call means for its row: pure decisions from an error to an event, and how long to wait before the next try.

Sources: RFC 9110 section 10.2.3 for `Retry-After`; "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015) for full jitter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime

from batcher.errors import ApiError, ApiErrorKind, DownloadError, DownloadErrorKind
from batcher.events import Broken, Contested, Died, Event, Expired, Lost, Refused, Unread
from batcher.model import Failure, FailureKind, Job, ProviderFacts

RETRY_AFTER_MAX_S = 3600.0
"""A service that asks for more is asked again after this long."""

GONE_READS = 5
"""How often in a row the service must say that it does not know a request before that is believed: new ids may take a moment to be known."""

NOT_YOURS = "403001"
"""The code that says that a request belongs to somebody else; a bare 403 may as well be a token that was revoked a moment ago."""

BATCH_WIDE = frozenset({ApiErrorKind.TOKEN, ApiErrorKind.BALANCE})
"""Errors that are true for every row: the row that met one is put back, and the batch stops."""

NEVER_OPENED = frozenset({ApiErrorKind.UNREACHABLE, ApiErrorKind.UNTRUSTED})
"""Errors that leave nothing sent."""

TROUBLE = NEVER_OPENED | {ApiErrorKind.INTERRUPTED, ApiErrorKind.UNAVAILABLE}
"""Errors that speak of the service's health and not of the request."""


DOUBT_REMEDY = (
    "It may have been charged. If your account shows the request, `batcher retry DIR --adopt ROW=REQUEST_ID` collects it; "
    "`--in-doubt resubmit` pays for it again, `--in-doubt abandon` gives it up."
)

CONTESTED_REMEDY = (
    "Look the request up in your account: `batcher retry DIR --adopt ROW=REQUEST_ID` gives it to the row that it is of; "
    "`--in-doubt resubmit` pays for the others again, `--in-doubt abandon` gives them up."
)


def contested(request_id: str, rows: Sequence[str]) -> Contested:
    """What becomes of each of several rows whose requests the service named alike."""
    message = f"the service gave the request id {request_id} to the rows {', '.join(map(repr, rows[:5]))}: whose result it brings, nobody can tell"
    return Contested(Failure(FailureKind.OUTCOME_UNKNOWN, message, CONTESTED_REMEDY))


EXPIRED_REMEDY = "Put its files back from a copy, then `batcher verify DIR`; or pay for it again: `batcher retry DIR --failed --regenerate --row ID`."


def backoff_s(failures: int, jitter: float, base_s: float, ceiling_s: float) -> float:
    """How long to wait after the `failures`-th failure in a row (counted from 1): full jitter, `jitter` in [0, 1)."""
    doublings = min(max(failures - 1, 0), 32)
    return jitter * min(ceiling_s, base_s * 2.0**doublings)


def retry_after_s(value: str | None, now: float) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds from `now`, from either of its forms; None where it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    try:
        wait = float(text) if text[:1].isdigit() or text[:1] in "+-." else _http_date(text) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(wait) else None


def _http_date(text: str) -> float:
    """Seconds since the epoch. A date without a zone is in UTC: the old form of RFC 9110, section 5.6.7, has none."""
    date = parsedate_to_datetime(text)
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


def judge_submit(error: ApiError, facts: ProviderFacts) -> Refused | Lost:
    """Whether a failed submit proves that nothing was made. What is not proof is doubt."""
    if error.kind in NEVER_OPENED:
        return Refused(Failure(FailureKind.UNREACHABLE, error.message), transient=True)
    if error.kind in (ApiErrorKind.INTERRUPTED, ApiErrorKind.UNAVAILABLE) or (error.status or 0) not in facts.refusal_statuses:
        return Lost(Failure(FailureKind.OUTCOME_UNKNOWN, error.message, DOUBT_REMEDY))
    if error.kind is ApiErrorKind.THROTTLED:
        return Refused(Failure(FailureKind.UNREACHABLE, error.message), transient=True, retry_after_s=error.retry_after_s)
    return Refused(Failure(FailureKind.REJECTED, error.message, "Correct the row and run again."), transient=error.kind in BATCH_WIDE)


def judge_poll(error: ApiError, job: Job) -> Event:
    """Whether a failed status or result call says anything about the request. Most say nothing, and its id is kept."""
    unread = Unread(Failure(FailureKind.UNREACHABLE, error.message), retry_after_s=error.retry_after_s)
    if error.code == NOT_YOURS:
        return _lost_result(error, job)
    if error.kind in (ApiErrorKind.GONE, ApiErrorKind.INVALID, ApiErrorKind.FORBIDDEN):
        return replace(unread, denied=True) if job.denials + 1 < GONE_READS else _lost_result(error, job)
    return unread


def _lost_result(error: ApiError, job: Job) -> Died:
    if job.artifacts:
        return Died(Failure(FailureKind.EXPIRED, f"its files are missing, and the result has expired: {error.message}", EXPIRED_REMEDY))
    remedy = "The request id is in the results. If the service cannot find it either, `batcher retry DIR --failed` pays for the row again."
    return Died(Failure(FailureKind.RESULT_LOST, error.message, remedy))


def judge_download(error: DownloadError) -> Event:
    """What a failed download means: the same link again, a new link, or nothing more."""
    failure = Failure(FailureKind.DOWNLOAD_FAILED, error.message, error.remedy)
    if error.kind is DownloadErrorKind.EXPIRED:
        return Expired(failure)
    return Broken(failure, transient=error.kind is DownloadErrorKind.TRANSIENT, retry_after_s=error.retry_after_s)
