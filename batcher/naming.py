"""Names: of result files, safe on every disk, and of things that were mistyped."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable

STEM_LIMIT_BYTES = 120
"""The longest stem; an extension, a counter and a temporary suffix still fit into the 255 bytes that file systems allow."""
SLUG_LIMIT = 40
"""The longest slug, in characters."""

_RESERVED_CHARACTERS = frozenset('<>:"/\\|?*')
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, bidi and other invisible marks, surrogates, line ends
_EDGES = re.compile(r"^[\s.]+|[\s.]+$")
_RESERVED_NAME = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NOT_IN_SLUG = re.compile(r"(?:[^\w.]|_|(?<!\w)\.|\.(?!\w))+")


def file_stem(text: str) -> str:
    """A name for a file, without extension, that any disk takes and that stays in its folder.

    A text that is such a name already comes back as it is; any other is cleaned, cut to 120 bytes of UTF-8, and given a short hash of the original,
    so that two texts do not get one name.
    """
    if _PLAIN.fullmatch(text) and not _RESERVED_NAME.match(text):
        return text
    normal = unicodedata.normalize("NFC", text)
    clean = _EDGES.sub("", "".join("_" if _is_unsafe(character) else character for character in normal))
    reserved = _RESERVED_NAME.match(clean) or not clean
    if clean == text and not reserved and len(clean.encode()) <= STEM_LIMIT_BYTES:
        return clean
    mark = "-" + _hash(text, 10)
    return _cut(f"_{clean}" if reserved else clean, STEM_LIMIT_BYTES - len(mark)) + mark


def name_key(stem: str) -> str:
    """The key by which two names are one file on a disk that ignores case and accent composition."""
    if stem.isascii():
        return stem.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", stem).casefold())


def slug(text: str) -> str:
    """A short label made of a text: its letters and digits in lower case, joined by hyphens, at most 40 characters; never empty."""
    words = _NOT_IN_SLUG.sub("-", unicodedata.normalize("NFC", text).lower()).strip("-")
    return words[:SLUG_LIMIT].rstrip("-.") or _hash(text, 8)


def nearest(found: str, allowed: Iterable[str], likeness: float = 0.65) -> str | None:
    """The one of `allowed` that was most likely meant by `found`, if any is as like it as `likeness`, from 0 to 1."""
    by_key = {_spelling(name): name for name in sorted(allowed, reverse=True)}
    wanted = _spelling(found[:200])
    if wanted in by_key:
        return by_key[wanted]
    close = difflib.get_close_matches(wanted, by_key, n=1, cutoff=likeness)
    return by_key[close[0]] if close else None


def _spelling(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _is_unsafe(character: str) -> bool:
    return character in _RESERVED_CHARACTERS or unicodedata.category(character) in _UNSAFE_CATEGORIES


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def _cut(text: str, limit_bytes: int) -> str:
    return text.encode()[:limit_bytes].decode("utf-8", "ignore")
