"""What RunComfy's error answers mean. Pure: an answer's status, code and text in, an `ApiError` out.

RunComfy names its errors by six-digit codes whose first three digits are an HTTP status, and sends them under that status, under another, or under
200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from batcher.errors import ApiError, ApiErrorKind

_INVALID_ID = (ApiErrorKind.INVALID, 400)
_NO_BALANCE = (ApiErrorKind.BALANCE, 402)
_BAD_TOKEN = (ApiErrorKind.TOKEN, 401)
_FOREIGN = (ApiErrorKind.FORBIDDEN, 403)
_UNKNOWN_ID = (ApiErrorKind.GONE, 404)

_CODES: Mapping[str, tuple[ApiErrorKind, int]] = MappingProxyType(
    {
        "400001": _INVALID_ID,
        "invalidresourceidentifier": _INVALID_ID,
        "400002": (ApiErrorKind.BALANCE, 400),
        "10001": _NO_BALANCE,
        "insufficientresources": _NO_BALANCE,
        "400004": (ApiErrorKind.TOKEN, 400),
        "useraccounterror": _BAD_TOKEN,
        "400005": (ApiErrorKind.NOT_READY, 400),
        "403001": _FOREIGN,
        "permissiondeniederror": _FOREIGN,
        "404001": _UNKNOWN_ID,
        "resourcenotfound": _UNKNOWN_ID,
    }
)
"""The codes that are known, by number and by name in lower case: what each means, and the HTTP status that belongs to it."""

_STATUSES: Mapping[int, ApiErrorKind] = MappingProxyType(
    {
        401: ApiErrorKind.TOKEN,
        402: ApiErrorKind.BALANCE,
        403: ApiErrorKind.FORBIDDEN,
        404: ApiErrorKind.GONE,
        # A proxy on the way, which keeps the request to itself until it knows who asks: the service has seen nothing.
        407: ApiErrorKind.UNREACHABLE,
        408: ApiErrorKind.THROTTLED,
        410: ApiErrorKind.GONE,
        425: ApiErrorKind.THROTTLED,
        429: ApiErrorKind.THROTTLED,
    }
)

_ABOUT_REQUESTS = frozenset({ApiErrorKind.GONE, ApiErrorKind.NOT_READY})
"""Kinds that only mean something where a request was asked for; elsewhere what is not there is a wrong name."""

_LAST_WORDS = frozenset({ApiErrorKind.FORBIDDEN, ApiErrorKind.GONE, ApiErrorKind.INVALID})
"""Kinds that may end a row whose request is paid for. An HTML page comes from a gateway and not from the API: it is not enough for them."""

_REMEDIES: Mapping[ApiErrorKind, str] = MappingProxyType(
    {
        ApiErrorKind.TOKEN: "Set RUNCOMFY_TOKEN to a token that is valid, then run the same command again.",
        ApiErrorKind.BALANCE: "Top up the account, then run the same command again.",
    }
)


def status_of(code: str | None) -> int | None:
    """The HTTP status from 400 to 599 that an error code stands for, if it does."""
    if code is None:
        return None
    if known := _CODES.get(code.lower()):
        return known[1]
    found = re.fullmatch(r"([45]\d\d)(?:\d{3})?", code)
    return int(found[1]) if found else None


def classify(
    status: int,
    code: str | None,
    message: str,
    *,
    about_request: bool,
    is_page: bool = False,
    retry_after_s: float | None = None,
    location: str | None = None,
) -> ApiError:
    """The error that an answer stands for. `about_request` tells a call that names a request id from a submit or a question to the catalog.

    A code decides under a 2xx status as if it had come with its own. Where code and status disagree, a 5xx in either of them wins, because only that
    leaves open whether a submit was accepted. `is_page` says that the body was HTML, `location` names the host that a 3xx points to.
    """
    implied = status_of(code)
    status = implied if implied is not None and (status < 300 or implied >= 500) else status
    kind = _kind(status, code)
    if not about_request and kind in _ABOUT_REQUESTS:
        kind = ApiErrorKind.INVALID
    if about_request and is_page and kind in _LAST_WORDS:
        kind = ApiErrorKind.INTERRUPTED
    error = ApiError(kind, _message(status, code, message, location), status=status, code=code, retry_after_s=retry_after_s)
    error.remedy = _REMEDIES.get(kind, "")
    return error


def _kind(status: int, code: str | None) -> ApiErrorKind:
    if status >= 500:
        return ApiErrorKind.UNAVAILABLE
    if status < 400:
        # A redirect too. It is not followed, and to a submit it proves nothing: 303 is what a server says that has done the work. To a GET it is
        # what a captive portal says, and must not be taken for the service's word on a request that is paid for, nor for its good health.
        return ApiErrorKind.INTERRUPTED
    known = _CODES.get(code.lower()) if code is not None else None
    return known[0] if known else _STATUSES.get(status, ApiErrorKind.INVALID)


def _message(status: int, code: str | None, message: str, location: str | None) -> str:
    numbers = f"{status}, code {code}" if code else str(status)
    if 300 <= status < 400:
        return f"the service redirects to {location or 'nowhere'} ({numbers}), which is not followed: check RUNCOMFY_MODEL_API_BASE and the network"
    return f"the service answers {numbers}: {message or _phrase(status)}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"
