from __future__ import annotations

import pytest

from batcher.errors import ApiError, ApiErrorKind
from batcher.providers.runcomfy_errors import classify, status_of

K = ApiErrorKind


def submit(status: int, code: str | None = None, message: str = "no") -> ApiError:
    return classify(status, code, message, about_request=False)


def poll(status: int, code: str | None = None, message: str = "no", *, is_page: bool = False) -> ApiError:
    return classify(status, code, message, about_request=True, is_page=is_page)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "400001", K.INVALID),
        (400, "400002", K.BALANCE),
        (402, None, K.BALANCE),
        (400, "10001", K.BALANCE),
        (400, "InsufficientResources", K.BALANCE),
        (400, "400004", K.TOKEN),
        (401, None, K.TOKEN),
        (401, "UserAccountError", K.TOKEN),
        (400, "400005", K.NOT_READY),
        (403, "403001", K.FORBIDDEN),
        (403, None, K.FORBIDDEN),
        (404, "404001", K.GONE),
        (404, None, K.GONE),
        (410, None, K.GONE),
        (407, None, K.UNREACHABLE),
        (408, None, K.THROTTLED),
        (425, None, K.THROTTLED),
        (429, None, K.THROTTLED),
        (429, "429001", K.THROTTLED),
        (400, None, K.INVALID),
        (409, None, K.INVALID),
        (413, None, K.INVALID),
        (422, "E_SCHEMA", K.INVALID),
        (500, None, K.UNAVAILABLE),
        (502, "whatever", K.UNAVAILABLE),
        (503, None, K.UNAVAILABLE),
        (599, None, K.UNAVAILABLE),
        (999, None, K.UNAVAILABLE),
        (301, None, K.INTERRUPTED),
        (307, None, K.INTERRUPTED),
        (101, None, K.INTERRUPTED),
    ],
)
def test_each_answer_to_a_poll_has_its_kind(status: int, code: str | None, kind: ApiErrorKind) -> None:
    assert poll(status, code).kind is kind


@pytest.mark.parametrize(("status", "code"), [(404, None), (404, "404001"), (410, None), (400, "400005"), (200, "404001")])
def test_what_is_not_there_makes_a_submit_invalid(status: int, code: str | None) -> None:
    error = submit(status, code)
    assert error.kind is K.INVALID
    assert error.status is not None
    assert 400 <= error.status < 500


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("400001", K.INVALID, 400),
        ("400002", K.BALANCE, 400),
        ("10001", K.BALANCE, 402),
        ("400004", K.TOKEN, 400),
        ("422017", K.INVALID, 422),
        ("429", K.THROTTLED, 429),
        ("500001", K.UNAVAILABLE, 500),
        ("503", K.UNAVAILABLE, 503),
        ("E_UNHEARD_OF", K.INTERRUPTED, 200),
        ("200", K.INTERRUPTED, 200),
        ("4000011", K.INTERRUPTED, 200),
    ],
)
def test_a_code_under_200_counts_as_if_it_had_come_with_its_status(code: str, kind: ApiErrorKind, status: int) -> None:
    error = submit(200, code)
    assert (error.kind, error.status, error.code) == (kind, status, code)


@pytest.mark.parametrize(("status", "code"), [(500, "400001"), (503, "400002"), (400, "500001"), (429, "503")])
def test_a_5xx_in_either_place_leaves_a_submit_open(status: int, code: str) -> None:
    error = submit(status, code)
    assert error.kind is K.UNAVAILABLE
    assert error.status is not None
    assert error.status >= 500


def test_a_page_of_a_gateway_is_not_the_services_word_on_a_request() -> None:
    assert poll(404, is_page=True).kind is K.INTERRUPTED
    assert poll(403, is_page=True).kind is K.INTERRUPTED
    assert poll(400, is_page=True).kind is K.INTERRUPTED
    assert poll(429, is_page=True).kind is K.THROTTLED
    assert poll(401, is_page=True).kind is K.TOKEN
    assert classify(403, None, "", about_request=False, is_page=True).kind is K.FORBIDDEN  # a submit that a gateway turns away made nothing


def test_advice_and_remedies_are_kept() -> None:
    error = classify(429, None, "slow down", about_request=True, retry_after_s=7.0)
    assert error.retry_after_s == 7.0
    assert "RUNCOMFY_TOKEN" in submit(401).remedy
    assert "Top up" in submit(402).remedy
    assert submit(422).remedy == ""


def test_messages_say_status_code_and_reason() -> None:
    assert poll(404, "404001", "no such request").message == "the service answers 404, code 404001: no such request"
    assert poll(502, None, "").message == "the service answers 502: Bad Gateway"
    assert poll(599, None, "").message == "the service answers 599: no reason given"
    moved = classify(308, None, "", about_request=False, location="login.example.test")
    assert "redirects to login.example.test" in moved.message
    assert "nowhere" in classify(302, None, "", about_request=False).message


def test_codes_stand_for_statuses() -> None:
    assert status_of(None) is None
    assert status_of("403001") == 403
    assert status_of("PermissionDeniedError") == 403
    assert status_of("299001") is None
    assert status_of("40001") is None
