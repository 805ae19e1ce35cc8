from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.providers.redaction import Redaction

pytestmark = pytest.mark.fault("G4")

TOKEN = "canary/5c1e77+Xy=="


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


@pytest.mark.parametrize(
    "echo",
    [
        TOKEN,
        f"Bearer {TOKEN}",
        TOKEN.upper(),
        quote(TOKEN, safe=""),
        quote(TOKEN, safe="").lower(),
        TOKEN.encode().hex(),
        base64.b64encode(TOKEN.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(f"Bearer {TOKEN}".encode()).decode(),
        base64.b64encode(f"x: {TOKEN}, and more".encode()).decode(),
        TOKEN.replace("/", "\\/"),
        escaped(TOKEN),
        "canary" + escaped(TOKEN[6:]),
        f"{TOKEN} {escaped(TOKEN)}",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
def test_no_form_of_the_token_is_left(echo: str, encoding: str) -> None:
    body = ('{"message": "you sent ' + echo + ' to us", "other": "\\"\\\\u0041"}').encode(encoding)
    left = json.loads(Redaction(TOKEN).body(body))
    assert "***" in left["message"]
    assert left["message"].startswith("you sent ")
    assert left["other"] == '"\\u0041'
    for form in (TOKEN, quote(TOKEN, safe=""), TOKEN.encode().hex(), base64.b64encode(TOKEN.encode()).decode()[:-4]):
        assert form.lower() not in left["message"].lower()


@given(st.recursive(st.text() | st.floats(allow_nan=False), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_does_not_hold_it_is_left_alone(value: object) -> None:
    for body in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")):
        assert Redaction("a token that nobody says").body(body) is body


def test_a_token_like_a_word_is_not_looked_for() -> None:
    assert Redaction("any").body(b'{"message": "many"}') == b'{"message": "many"}'


def test_headers_and_representations() -> None:
    redaction = Redaction(TOKEN)
    assert redaction.text(f"https://x.test/{TOKEN}/y") == "https://x.test/***/y"
    assert TOKEN not in repr(redaction)
