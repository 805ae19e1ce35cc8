from __future__ import annotations

import pytest

from batcher.events import Claimed, Expired
from batcher.ledger.codec import event_values, job_values, to_json
from batcher.model import InputFile, Job
from tests.support.engine_world import make_spec
from tests.support.ledgers import NO


@pytest.mark.parametrize("text", ["plain", "zwölf", "half \ud83d"])
def test_equal_values_are_equal_texts_that_sqlite_takes(text: str) -> None:
    one = to_json({"b": text, "a": 1})
    assert one == to_json({"a": 1, "b": text})
    assert one.startswith('{"a":1,')
    assert ("zwölf" in one) == ("zwölf" in text), "words can be looked for in the file"
    assert one.encode()


def test_a_file_whose_name_is_no_text_is_written_down_too() -> None:
    file = InputFile("half \ud83d.png", "ab" * 32, 5, "image/png")
    assert "half \\ud83d.png" in to_json((file,))
    assert to_json((file,)).encode()


def test_what_says_nothing_takes_no_place() -> None:
    assert event_values(Claimed()) == ("Claimed", None)
    assert event_values(Expired(NO))[1] == '{"failure":{"kind":"unreachable","message":"no","remedy":""}}'
    assert "[]" not in job_values(Job(1, make_spec("a")))
