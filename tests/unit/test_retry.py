from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batcher.errors import ApiError, ApiErrorKind, DownloadError, DownloadErrorKind
from batcher.events import Broken, Died, Expired, Lost, Refused, Unread
from batcher.model import Artifact, FailureKind, Job, ProviderFacts, State
from batcher.retry import (
    BATCH_WIDE,
    DOUBT_REMEDY,
    RETRY_AFTER_MAX_S,
    TROUBLE,
    backoff_s,
    judge_download,
    judge_poll,
    judge_submit,
    retry_after_s,
)
from tests.support.engine_world import make_spec

FACTS = ProviderFacts(name="acme")
NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
JOB = Job(1, make_spec("a"), State.SUBMITTED, attempts=1, request_id="r1")
PROVEN_STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 499)
OPEN_STATUSES = (None, 0, 100, 200, 204, 302, 303, 399, 500, 502, 503, 504, 599)


# ── a failed submit ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [*PROVEN_STATUSES, *OPEN_STATUSES])
@pytest.mark.parametrize("kind", ApiErrorKind)
def test_a_submit_is_refused_only_where_nothing_can_have_been_made(kind: ApiErrorKind, status: int | None) -> None:
    event = judge_submit(ApiError(kind, "words", status=status, retry_after_s=7.0), FACTS)
    never_opened = kind in (ApiErrorKind.UNREACHABLE, ApiErrorKind.UNTRUSTED)
    lost_answer = kind in (ApiErrorKind.INTERRUPTED, ApiErrorKind.UNAVAILABLE) or status in OPEN_STATUSES
    assert isinstance(event, (Refused, Lost))
    assert event.failure.message == "words"
    if never_opened or not lost_answer:
        assert isinstance(event, Refused)
        put_back = (ApiErrorKind.UNREACHABLE, ApiErrorKind.UNTRUSTED, ApiErrorKind.THROTTLED, ApiErrorKind.TOKEN, ApiErrorKind.BALANCE)
        assert event.transient == (kind in put_back)
        assert event.retry_after_s == (7.0 if kind is ApiErrorKind.THROTTLED else None)
        busy = kind in (ApiErrorKind.UNREACHABLE, ApiErrorKind.UNTRUSTED, ApiErrorKind.THROTTLED)
        assert event.failure.kind is (FailureKind.UNREACHABLE if busy else FailureKind.REJECTED)
    else:
        assert event == Lost(event.failure)
        assert event.failure.kind is FailureKind.OUTCOME_UNKNOWN
        assert event.failure.remedy == DOUBT_REMEDY


def test_a_provider_states_which_answers_prove_that_nothing_was_made() -> None:
    strict = ProviderFacts(name="strict", refusal_statuses=frozenset({422}))
    assert isinstance(judge_submit(ApiError(ApiErrorKind.INVALID, "x", status=422), strict), Refused)
    assert isinstance(judge_submit(ApiError(ApiErrorKind.INVALID, "x", status=400), strict), Lost)


def test_the_kinds_that_concern_more_than_one_row() -> None:
    assert frozenset({ApiErrorKind.TOKEN, ApiErrorKind.BALANCE}) == BATCH_WIDE
    assert {ApiErrorKind.UNREACHABLE, ApiErrorKind.UNTRUSTED, ApiErrorKind.INTERRUPTED, ApiErrorKind.UNAVAILABLE} == TROUBLE


# ── a failed poll ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("denials", [0, 3, 4, 55])
@pytest.mark.parametrize("kind", ApiErrorKind)
def test_only_a_service_that_repeatedly_knows_nothing_of_a_request_loses_it(kind: ApiErrorKind, denials: int) -> None:
    event = judge_poll(ApiError(kind, "words", status=404, retry_after_s=3.0), replace(JOB, denials=denials, poll_failures=denials))
    denies = kind in (ApiErrorKind.GONE, ApiErrorKind.INVALID, ApiErrorKind.FORBIDDEN)
    if denies and denials + 1 >= 5:
        assert isinstance(event, Died)
        assert not event.transient
        assert event.failure.kind is FailureKind.RESULT_LOST
    else:
        assert isinstance(event, Unread)
        assert event.retry_after_s == 3.0
        assert event.denied == denies
        assert event.failure.kind is FailureKind.UNREACHABLE
    assert event.failure.message == "words"


def test_a_request_that_belongs_to_somebody_else_is_lost_at_once() -> None:
    event = judge_poll(ApiError(ApiErrorKind.FORBIDDEN, "not yours", status=403, code="403001"), JOB)
    assert isinstance(event, Died)
    assert event.failure.kind is FailureKind.RESULT_LOST


@pytest.mark.fault("B10", "X9")
def test_a_request_whose_files_were_there_once_has_expired_and_says_that_paying_again_is_for_a_person_to_say() -> None:
    file = Artifact("results/a.png", "00" * 32, 10, "image/png")
    error = ApiError(ApiErrorKind.GONE, "no such request", status=404)
    event = judge_poll(error, replace(JOB, artifacts=(file,), denials=4))
    assert isinstance(event, Died)
    assert (event.failure.kind, event.transient) == (FailureKind.EXPIRED, False)
    assert "expired: no such request" in event.failure.message
    assert "--regenerate" in event.failure.remedy


def test_only_denials_in_a_row_lose_a_request() -> None:
    after_an_outage = replace(JOB, poll_failures=4)  # all of them 503
    assert isinstance(judge_poll(ApiError(ApiErrorKind.GONE, "a stray 404", status=404), after_an_outage), Unread)


# ── a failed download ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", DownloadErrorKind)
def test_a_failed_download_is_tried_again_read_again_or_given_up(kind: DownloadErrorKind) -> None:
    event = judge_download(DownloadError(kind, "words", remedy="do this", retry_after_s=4.0))
    assert isinstance(event, (Broken, Expired))
    assert (event.failure.kind, event.failure.message, event.failure.remedy) == (FailureKind.DOWNLOAD_FAILED, "words", "do this")
    if kind is DownloadErrorKind.EXPIRED:
        assert isinstance(event, Expired)
    else:
        assert event == Broken(event.failure, transient=kind is DownloadErrorKind.TRANSIENT, retry_after_s=4.0)


# ── how long to wait ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("+3", 3.0),
        ("-5", 0.0),
        ("-0", 0.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("99999999999999999999", 3600.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 08:50:37 -0000", 60.0),
        ("Sun, 06 Nov 1994 08:50:37", 60.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_S),
        ("Mon, 01 Jan 1601 00:00:00 +2359", 0.0),
    ],
)
@pytest.mark.usefixtures("zone")
@pytest.mark.fault("C8")
def test_retry_after_in_both_its_forms_in_any_time_zone(value: str, wait_s: float) -> None:
    assert retry_after_s(value, NOW) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    "value",
    [None, "", "   ", "soon", "nan", "inf", "-inf", "+inf", "1e999", "-1e999", "5 s", "1,5", "0x10", "²", "+", "-", ".", "Sun, 99 Foo 1994", "Nov"],
)
@pytest.mark.fault("C8")
def test_advice_that_says_nothing_is_no_advice(value: str | None) -> None:
    assert retry_after_s(value, NOW) is None


@given(
    value=st.one_of(
        st.none(), st.text(max_size=60), st.from_regex(r"[-+.\d]{1,40}"), st.from_regex(r"\w{3}, \d\d \w{3} \d{1,6} \d\d:\d\d:\d\d.{0,8}")
    )
)
@example("Sun, 06 Nov 1994 08:49:37 +9999")
@example("Sun, 06 Nov 0000 08:49:37 GMT")
@example("9" * 5000)
@pytest.mark.fault("C8")
def test_retry_after_never_raises_and_is_never_absurd(value: str | None) -> None:
    wait = retry_after_s(value, NOW)
    assert wait is None or 0.0 <= wait <= RETRY_AFTER_MAX_S


@given(seconds=st.integers(-10_000, 10_000))
def test_a_date_is_as_far_away_as_it_says(seconds: int) -> None:
    assert retry_after_s(formatdate(NOW + seconds, usegmt=True), NOW) == pytest.approx(min(max(seconds, 0), RETRY_AFTER_MAX_S))


@given(failures=st.integers(-5, 10**9), jitter=st.floats(0, 1, exclude_max=True), base=st.floats(1e-3, 100), ceiling=st.floats(1e-3, 1e4))
def test_backoff_is_bounded_and_jitters_down_to_nothing(failures: int, jitter: float, base: float, ceiling: float) -> None:
    wait = backoff_s(failures, jitter, base, ceiling)
    assert 0.0 <= wait <= ceiling
    assert backoff_s(failures, 0.0, base, ceiling) == 0.0


def test_backoff_doubles_from_its_base() -> None:
    assert [backoff_s(n, 1.0, 0.5, 60.0) for n in (0, 1, 2, 3, 8, 9)] == [0.5, 0.5, 1.0, 2.0, 60.0, 60.0]
