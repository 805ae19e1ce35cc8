from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher import compact
from batcher.compact import compact_encoder
from batcher.model import InputFile

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(value=ANYTHING, sort_keys=st.booleans(), ensure_ascii=st.booleans())
def test_the_text_is_that_of_the_documented_encoder(value: Any, sort_keys: bool, ensure_ascii: bool) -> None:
    """Fingerprints of rows that were paid for are hashes of it: another text, and they would count as changed."""
    documented = json.dumps(value, sort_keys=sort_keys, ensure_ascii=ensure_ascii, separators=(",", ":"))
    assert compact_encoder(sort_keys=sort_keys, ensure_ascii=ensure_ascii)(value) == documented


@pytest.mark.parametrize("is_fast", [True, False])
def test_records_are_objects_and_what_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch, is_fast: bool) -> None:
    if not is_fast:
        monkeypatch.setattr(compact.encoder, "c_make_encoder", None)
    file = InputFile("a.png", "ab", 3, "image/png")
    assert compact_encoder(default=dataclasses.asdict)([file]) == '[{"path":"a.png","sha256":"ab","size_bytes":3,"media_type":"image/png"}]'
    with pytest.raises(TypeError, match="not JSON serializable"):
        compact_encoder()({"a": object()})
