import pytest

from batcher.simulator.faults import FaultRule
from batcher.simulator.wire import Reply, refusal_of, spoilt


def spoil(line, document):
    return spoilt(Reply.of(document), FaultRule.parse(line)).document


def test_values_of_every_type_get_another():
    document = {"text": "a", "number": 1, "nothing": None, "list": [1], "object": {"a": 1}}
    changed = spoil("result:wrong-types", document)
    assert changed.keys() == document.keys()
    assert all(type(changed[name]) is not type(document[name]) for name in document)
    assert spoil("result:wrong-types", ["a list"]) == 17


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("a", {"a": 9, "b": {"c": 1}}),
        ("b.c", {"a": 0, "b": {"c": 9}}),
        ("b.d.e", {"a": 0, "b": {"c": 1, "d": {"e": 9}}}),
        ("a.x", {"a": {"x": 9}, "b": {"c": 1}}),
    ],
)
def test_a_field_is_set_however_deep_it_lies(field, expected):
    assert spoil(f"result:set:field={field},value=9", {"a": 0, "b": {"c": 1}}) == expected


def test_what_is_no_object_has_no_fields_to_set():
    assert spoil("result:set:field=a,value=9", ["a list"]) == ["a list"]
    assert spoil("result:set:field=a.b,value=9", {"a": "text"}) == {"a": "text"}


def test_there_is_nothing_to_flip_in_an_empty_body():
    assert spoilt(Reply(200, b""), FaultRule.parse("download:flipped")).body == b""


@pytest.mark.parametrize(
    ("line", "status", "code", "message"),
    [
        ("submit:503", 503, None, "Service Unavailable"),
        ("submit:499", 499, None, "simulated error"),
        ("submit:404001", 404, 404001, "ResourceNotFound"),
        ("submit:500001", 500, 500001, "simulated error"),
        ("submit:500001:under_200=true,message=oops", 200, 500001, "oops"),
    ],
)
def test_a_status_or_a_code_becomes_a_refusal(line, status, code, message):
    refusal = refusal_of(FaultRule.parse(line), now=0.0)
    assert (refusal.status, refusal.code, refusal.message) == (status, code, message)


def test_a_date_to_come_back_at_is_reckoned_from_the_answer():
    assert refusal_of(FaultRule.parse("submit:429:retry_after_date_s=60"), now=0.0).retry_after == "Thu, 01 Jan 1970 00:01:00 GMT"
