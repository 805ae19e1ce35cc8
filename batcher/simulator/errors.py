"""What the simulator raises: one error for whoever sets it up, one for whoever calls it."""

from __future__ import annotations

from collections.abc import Sequence


class SimulatorError(Exception):
    """The simulator cannot be set up as asked; the message says what is wrong, where, and what to do."""


class Refusal(Exception):  # noqa: N818 - the field's word for it
    """A call that the service refuses.

    `code` is the service's own error code, or None where it answers with an HTTP status alone; `details` are the faults of a body, field by field;
    `retry_after` is what the header of that name says.
    """

    def __init__(
        self, status: int, code: int | None, message: str, details: Sequence[dict[str, object]] = (), retry_after: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.retry_after = retry_after


def bad_identifier(message: str) -> Refusal:
    """A wrong model id or request id."""
    return Refusal(400, 400001, message)


def no_balance(message: str) -> Refusal:
    """The account cannot pay for the request."""
    return Refusal(400, 400002, message)


def not_ready(message: str) -> Refusal:
    """There is no result yet."""
    return Refusal(400, 400005, message)


def not_yours(message: str) -> Refusal:
    """The request belongs to another token."""
    return Refusal(403, 403001, message)


def not_found(message: str) -> Refusal:
    """The id does not exist, was deleted, or expired."""
    return Refusal(404, 404001, message)


def invalid_body(details: Sequence[dict[str, object]]) -> Refusal:
    """The body does not fit the model's schema."""
    return Refusal(422, None, "the input does not fit the schema of the model", details)


def too_many(retry_after: str) -> Refusal:
    """The caller sends more than it may."""
    return Refusal(429, None, "too many requests", retry_after=retry_after)
