from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Balance, ModelInfo, RequestPhase
from batcher.providers.runcomfy_wire import (
    BalanceBody,
    CancelBody,
    CatalogBody,
    ErrorBody,
    ModelBody,
    ResultBody,
    StatusBody,
    SubmitBody,
    clean,
    code_text,
    readable,
)

P = RequestPhase
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("word", "phase"),
    [
        ("in_queue", P.QUEUED),
        ("IN_QUEUE", P.QUEUED),
        ("In Queue", P.QUEUED),
        ("pending", P.QUEUED),
        ("waiting", P.QUEUED),
        ("in_progress", P.RUNNING),
        ("in-progress", P.RUNNING),
        ("Starting", P.RUNNING),
        ("processing", P.RUNNING),
        ("completed", P.COMPLETED),
        ("SUCCEEDED", P.COMPLETED),
        ("failed", P.FAILED),
        ("cancelled", P.CANCELLED),
        ("Canceled", P.CANCELLED),
        ("warming_up", P.UNKNOWN),
        ("", P.UNKNOWN),
    ],
)
def test_the_services_words(word: str, phase: RequestPhase) -> None:
    status = StatusBody(status=word).to_record()
    assert (status.phase, status.word) == (phase, word)
    assert ResultBody(status=word).phase is phase


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": 3}, {"status": ["failed"]}, {"status": {"a": 1}}])
def test_a_status_that_is_no_word_is_unknown(body: dict[str, Any]) -> None:
    assert StatusBody.model_validate(body).to_record().phase is P.UNKNOWN


@pytest.mark.parametrize(
    ("given_position", "position"),
    [(3, 3), ("3", 3), (0, 0), (4.0, 4), (-1, None), ("soon", None), (None, None), ([1], None), (10**30, None), (1.5, None)],
)
def test_queue_positions(given_position: Any, position: int | None) -> None:
    assert StatusBody.model_validate({"status": "in_queue", "queue_position": given_position}).to_record().queue_position == position
    assert StatusBody.model_validate({"status": "in_progress", "queue_position": given_position}).to_record().queue_position is None


@pytest.mark.parametrize(
    ("given_cost", "cost"),
    [(0.08, 0.08), ("0.08", 0.08), (0, 0.0), (1, 1.0), (None, None), (-0.1, None), ("free", None), ({"usd": 1}, None), ("NaN", None), ("inf", None)],
)
def test_costs(given_cost: Any, cost: float | None) -> None:
    assert ResultBody.model_validate({"status": "succeeded", "cost": given_cost}).cost == cost


@pytest.mark.parametrize("raw", [b'{"cost": NaN}', b'{"cost": Infinity}', b'{"cost": 1e999}', b"{}"])
def test_a_cost_that_is_no_number_is_not_known(raw: bytes) -> None:
    assert ResultBody.model_validate_json(raw).cost is None


@pytest.mark.parametrize("output", [{"image": "https://a"}, {"videos": ["https://a"]}, "https://a", ["https://a"], None, {"url": "https://a"}, 7])
def test_an_output_is_kept_as_it_is(output: Any) -> None:
    assert ResultBody.model_validate_json(json.dumps({"status": "succeeded", "output": output})).output == output


@pytest.mark.parametrize(
    ("given_id", "request_id"),
    [
        ("6f1c2a52-1f9f-4a8e-9a0e-0c2a7f9d1a11", "6f1c2a52-1f9f-4a8e-9a0e-0c2a7f9d1a11"),
        ("a_B-9", "a_B-9"),
        (12345, "12345"),
        ("x" * 128, "x" * 128),
        ("x" * 129, None),
        ("", None),
        ("../../etc", None),
        ("a b", None),
        ("a\n", None),
        ("a?b", None),
        ("é", None),
        ("١٢", None),
        (None, None),
        (True, None),
        (["a"], None),
    ],
)
def test_request_ids(given_id: Any, request_id: str | None) -> None:
    assert SubmitBody.model_validate({"request_id": given_id}).request_id == request_id


@pytest.mark.parametrize(
    ("outcome", "cancelled"), [("cancelled", True), ("Canceled", True), ("not_cancellable", False), ("", False), (None, False), ("huh", False)]
)
def test_the_outcome_of_a_cancel_decides_and_not_the_status(outcome: Any, cancelled: bool) -> None:
    assert CancelBody.model_validate({"outcome": outcome, "status": "cancelled"}).is_cancelled is cancelled


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, ""),
        ("", ""),
        ({}, ""),
        ([], ""),
        (False, ""),
        ("out of memory", "out of memory"),
        ({"message": "no face"}, "no face"),
        ({"errorCode": 500123, "error": "worker died", "debugInfo": "node 7"}, "500123: worker died: node 7"),
        ([{"errorCode": "E1", "error": "a"}, {"errorCode": "E2", "error": "b", "debugInfo": None}], "E1: a; E2: b"),
        ({"error": {"message": "deep", "code": 7}}, "7: deep"),
        ([{"loc": ["body", "prompt"], "msg": "field required", "type": "missing"}], "body.prompt: field required"),
        ({"loc": "prompt", "msg": "too long"}, "prompt: too long"),
        ({"message": "same", "error": "same"}, "same"),
        ({"unheard": "of"}, '{"unheard": "of"}'),
        (17, "17"),
        (["a", None, "b"], "a; b"),
    ],
)
def test_errors_of_any_shape_are_readable(error: Any, text: str) -> None:
    assert readable(error) == text


def test_a_result_tells_why_it_failed() -> None:
    assert ResultBody(status="failed", error="nsfw").failure == "nsfw"
    assert ResultBody(status="failed", message="nsfw").failure == "nsfw"
    assert ResultBody(status="succeeded", message="done").failure == ""
    assert ResultBody(status="succeeded", error=["late warning"]).failure == "late warning"


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ({"error_code": 400001, "error_message": "bad model"}, "400001", "bad model"),
        ({"code": "400001", "message": "bad model"}, "400001", "bad model"),
        ({"error_code": 400001.0, "detail": "bad model"}, "400001", "bad model"),
        ({"error": {"code": 400002, "message": "empty"}}, "400002", "400002: empty"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "not an integer"}]}, None, "body.seed: not an integer"),
        ({"error_code": 0, "code": "0", "error": "odd"}, None, "odd"),
        ({"message": None, "error": "", "detail": "last"}, None, "last"),
        ("Not Found", None, "Not Found"),
        ([{"errorCode": "E1", "error": "a"}], None, "E1: a"),
        (None, None, ""),
        ({}, None, ""),
    ],
)
def test_error_bodies(body: Any, code: str | None, reason: str) -> None:
    read = ErrorBody.model_validate_json(json.dumps(body))
    assert (read.named_code, read.reason) == (code, reason)


def test_codes_are_short_text_and_zero_is_none() -> None:
    assert [code_text(v) for v in (None, 0, "0", "", " ", False, 0.0)] == [None] * 7
    assert code_text(400001) == "400001"
    assert code_text({"a": 1}) == '{"a": 1}'
    assert len(code_text("x" * 999) or "") == 64


def test_cleaned_text_is_one_printable_line() -> None:
    assert clean("plain") == "plain"
    assert clean("a\x1b[31mred\x07\r\nb\u202egnp.exe\u2028c") == "a [31mred b gnp.exe c"
    assert clean("  a   b  ") == "a b"
    assert clean("x" * 600) == "x" * 499 + "…"
    assert clean("abcdef", 4) == "abc…"


@given(st.text(max_size=3000))
def test_cleaned_text_is_always_printable_and_short(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= 500


@given(
    st.dictionaries(st.sampled_from(["status", "queue_position", "output", "cost", "error", "error_code", "code", "message", "outcome"]), ANY_JSON)
)
def test_any_object_can_be_read(body: dict[str, Any]) -> None:
    raw = json.dumps(body)
    assert isinstance(StatusBody.model_validate_json(raw).to_record().phase, RequestPhase)
    result = ResultBody.model_validate_json(raw)
    assert result.cost is None or result.cost >= 0
    assert isinstance(result.failure, str)
    assert isinstance(CancelBody.model_validate_json(raw).is_cancelled, bool)
    assert isinstance(ErrorBody.model_validate_json(raw).reason, str)


def test_a_model_with_everything() -> None:
    body = {
        "model_id": "a/b", "display_name": "B", "description": "d", "kind": "image", "categories": ["edit"], "base_price_usd": "0.04",
        "price_unit": "output", "pricing_note": "n", "input_schema": {"type": "object"}, "new_field": 1,
    }  # fmt: skip
    assert ModelBody.model_validate(body).to_record() == ModelInfo("a/b", "B", "d", "image", ("edit",), 0.04, "output", "n", {"type": "object"})


def test_a_model_with_odd_fields() -> None:
    body = {
        "model_id": "a/b", "display_name": None, "description": ["x", "y"], "categories": "edit", "base_price_usd": float("nan"), "price_unit": 5,
        "input_schema": "later",
    }  # fmt: skip
    assert ModelBody.model_validate(body).to_record() == ModelInfo("a/b", description="x; y", categories=("edit",))
    assert ModelBody.model_validate({"model_id": "a/b", "categories": [1, "x"]}).to_record().categories == ("x",)


def test_models_that_cannot_be_read_are_left_out() -> None:
    page = CatalogBody.model_validate({"models": [{"model_id": "a"}, None, "b", {}, {"model_id": ""}, {"model_id": "c"}], "total": "6"})
    assert [model.model_id for model in page.readable_models] == ["a", "c"]
    assert page.total == 6


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        ({"balance_usd": 12.5, "balance_microdollars": 1, "currency": "USD"}, Balance(12.5)),
        ({"balance_usd": "-0.5"}, Balance(-0.5)),
        ({"balance_microdollars": 2_500_000, "currency": None}, Balance(2.5)),
        ({"balance_usd": 1, "currency": "EUR"}, Balance(1.0, "EUR")),
        ({"balance_usd": "a lot"}, None),
        ({}, None),
    ],
)
def test_balances(body: dict[str, Any], balance: Balance | None) -> None:
    assert BalanceBody.model_validate(body).to_record() == balance
