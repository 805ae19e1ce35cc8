"""Everything that batcher raises on purpose.

    BatcherError                   exit code
     ├─ UsageError                 64   the command cannot mean anything
     ├─ ManifestError              65   problems in a manifest: all of them, each with its place
     ├─ ReviewError                65   problems in what is said of rows: nothing was changed
     ├─ InputError                 66   something that was named does not exist or cannot be read
     ├─ OutageError                69   the service cannot be reached
     ├─ OutputError                73   the output folder cannot be written, or belongs to another run
     │   └─ LedgerError            73   the ledger cannot be trusted any more: spending stops
     ├─ TokenError                 77   no token, or the service rejects it
     ├─ InterruptedRunError        130  a stop came before anything was submitted (143 for SIGTERM)
     ├─ ApiError                   69   one call to the service failed; `kind` says what that proves
     └─ DownloadError              69   one output could not be fetched, checked or saved

A message says what happened, to which row or field, and what to do next. Foreign exceptions stop at the edge where they arise and are chained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batcher.model import ExitReason, Where


class BatcherError(Exception):
    """Any error of ours; `exit_code` is what the command line ends with."""

    exit_code = 70

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(BatcherError):
    """The command cannot mean anything as it stands."""

    exit_code = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a manifest: where it is, what was found and what is allowed. `more_rows` share it, beside the one that it was met in."""

    where: Where
    message: str
    field: str | None = None
    hint: str = ""
    more_rows: int = dataclasses.field(default=0, compare=False)

    def __str__(self) -> str:
        subject = f"{self.field}: " if self.field else ""
        told = f"{self.where}: {subject}{self.message}" + (f" ({self.hint})" if self.hint else "")
        if self.more_rows:
            told += f"; the same in {self.more_rows} more {'row' if self.more_rows == 1 else 'rows'}"
        return " ".join(told.splitlines())  # one fault is one line, whatever stands in a file or in its name


class ManifestError(BatcherError):
    """A manifest that cannot be run: `problems` are the first of them, `total` counts all."""

    exit_code = 65

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = len(self.problems) if total is None else total
        lines = [str(problem) for problem in self.problems]
        if self.total > len(self.problems):
            lines.append(f"… and {self.total - len(self.problems)} more")
        super().__init__("\n".join(lines), "Nothing was submitted.")


class ReviewError(ManifestError):
    """Marks, or changes of rows, that cannot be: as of a manifest, all of their problems are told, and nothing is done."""

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        super().__init__(problems, total)
        self.remedy = "Nothing was changed and nothing was submitted."


class InputError(BatcherError):
    """Something that was named does not exist or cannot be read."""

    exit_code = 66


class OutageError(BatcherError):
    """The service cannot be reached, or answers with nothing but errors."""

    exit_code = 69


class OutputError(BatcherError):
    """The output folder cannot be written, or belongs to another run."""

    exit_code = 73


class LedgerError(OutputError):
    """The ledger could not be read or written; nothing may be spent any more."""


class TokenError(BatcherError):
    """There is no token, or the service rejects it."""

    exit_code = 77


class InterruptedRunError(BatcherError):
    """A stop came before anything was submitted."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__("stopped before anything was submitted")
        self.exit_code = 143 if reason is ExitReason.TERMINATED else 130


class ApiErrorKind(StrEnum):
    """What a failed call to the service proves, and about whom."""

    UNREACHABLE = "unreachable"
    """The connection was never opened: the service has seen nothing."""
    UNTRUSTED = "untrusted"
    """No connection either: who answers there does not prove, over TLS, to be the service."""
    INTERRUPTED = "interrupted"
    """Sent, and no usable answer: a time-out, a broken connection, an unreadable or impossible body."""
    UNAVAILABLE = "unavailable"
    """A 5xx answer."""
    THROTTLED = "throttled"
    """Too many requests, or the service asks to come back later with a 4xx answer."""
    INVALID = "invalid"
    """The request itself is at fault: wrong model, wrong field, unknown id."""
    FORBIDDEN = "forbidden"
    """The id belongs to someone else."""
    GONE = "gone"
    """The id does not exist, was deleted, or expired."""
    NOT_READY = "not_ready"
    """There is no result yet."""
    TOKEN = "token"  # noqa: S105 - the name of a kind of error
    """The token is missing, expired or revoked: true for the whole batch."""
    BALANCE = "balance"
    """No balance is left: true for the whole batch."""


class ApiError(BatcherError):
    """One call to the service failed.

    `status` is the HTTP status if an answer came, `code` the service's own error code, `retry_after_s` its advice when to come back, in seconds.
    """

    exit_code = 69

    def __init__(
        self,
        kind: ApiErrorKind,
        message: str,
        *,
        remedy: str = "",
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, remedy)
        self.kind = kind
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class DownloadErrorKind(StrEnum):
    """What a failed download means for the next try."""

    TRANSIENT = "transient"
    """Try the same link again later."""
    EXPIRED = "expired"
    """The link no longer works: read the result again for a new one."""
    UNUSABLE = "unusable"
    """Another try would bring the same: a forbidden link, a wrong type, too large."""


class DownloadError(BatcherError):
    """One output could not be fetched, checked or saved."""

    exit_code = 69

    def __init__(self, kind: DownloadErrorKind, message: str, *, remedy: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, remedy)
        self.kind = kind
        self.retry_after_s = retry_after_s
