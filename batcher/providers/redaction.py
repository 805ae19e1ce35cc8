"""Taking the token out of what a server says: one that echoes the header it was sent must not bring it into a ledger, a report or a log."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

MARK = b"***"

LEAST_CHARS = 8
"""A shorter token keeps nothing secret, and would be found in the middle of ordinary words."""

_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|(/)|.)", re.DOTALL)


class Redaction:
    """Knows a token as it stands, percent-encoded, in hexadecimal digits and inside base64, all in any case."""

    def __init__(self, token: str) -> None:
        forms = {form.lower() for form in _forms(token)} if len(token) >= LEAST_CHARS else set()
        self._forms = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms)), re.IGNORECASE)

    def __repr__(self) -> str:
        return "Redaction(***)"

    def body(self, data: bytes) -> bytes:
        """`data`, which may be JSON in any encoding, with every form of the token replaced; as it is where there is none."""
        opened = _opened(data)
        return self._pattern.sub(MARK, opened) if self._is_in(opened) else data

    def text(self, text: str) -> str:
        """The same for a header."""
        return self.body(text.encode("utf-8", "replace")).decode()

    def _is_in(self, data: bytes) -> bool:
        lowered = data.lower()
        return any(form in lowered for form in self._forms)


def _forms(token: str) -> Iterator[bytes]:
    plain = token.encode()
    yield plain
    yield quote(token, safe="").encode()
    yield plain.hex().encode()
    for shift in range(3):  # where the token begins within a group of three bytes is not known
        encoded = base64.b64encode(bytes(shift) + plain)
        known = encoded[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]  # the characters that nothing but the token decides
        yield known
        yield known.translate(bytes.maketrans(b"+/", b"-_"))


def _opened(data: bytes) -> bytes:
    """`data` in UTF-8, its JSON escapes of plain characters undone: the same JSON, written so that the token can be found."""
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        data = data.decode(encoding, "replace").encode()
    return _ESCAPE.sub(_undone, data) if b"\\" in data else data


def _undone(escape: re.Match[bytes]) -> bytes:
    if escape[2]:
        return b"/"
    character = bytes.fromhex(escape[1].decode()) if escape[1] else b'"'
    return escape[0] if character in b'"\\' else character
