"""Text for a terminal or a log, without anything that would be obeyed there or taken for something else.

Prompts, ids, names of files and the words of a server come from anybody: they must not move the cursor, hide behind bidirectional marks, or look like
lines of ours.
"""

from __future__ import annotations

SPELLED = str.maketrans({"·": "|", "–": "-", "…": "...", "×": "x", "━": "#", "─": ".", "\N{REPLACEMENT CHARACTER}": "?"})
"""Our own signs where there are only ASCII characters."""


def harmless(text: str) -> str:
    """`text` with a replacement character for each control, bidirectional and otherwise invisible character, line feeds apart."""
    return "".join(character if character == "\n" or character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def one_line(text: str) -> str:
    """`text` on one line, and harmless."""
    return harmless(" ".join(text.splitlines()))


def spelled(text: str, encoding: str) -> str:
    """`text` as far as `encoding` has its characters; where it has not, our signs in ASCII, and others as escapes."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(SPELLED).encode(encoding, "backslashreplace").decode(encoding)
    return text
