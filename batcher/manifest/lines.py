"""The lines of a text file of any size, decoded one at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from batcher.errors import ManifestError, Problem
from batcher.model import Where

LINE_LIMIT_BYTES = 8 * 2**20
"""The longest line that is read; a longer one is refused before it is all in memory."""

NOT_UTF8_HINT = "save the file as UTF-8"


def text_lines(stream: BinaryIO, file: str) -> Iterator[str]:
    """Every line with its line end, a byte order mark left out. Raises `ManifestError` at the first line that is no UTF-8 text."""
    n = 0
    while line := stream.readline(LINE_LIMIT_BYTES + 1):
        n += 1
        if n == 1:
            line = _without_mark(line, file)
        if len(line) > LINE_LIMIT_BYTES:
            raise _fault(file, n, f"the line is longer than {LINE_LIMIT_BYTES // 2**20} MiB", "give large inputs as files, not as text")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(error, file, n) from error
        if "\0" in text:
            raise _fault(file, n, "a NUL byte: this is no text file", NOT_UTF8_HINT)
        yield text


def not_utf8(error: UnicodeDecodeError, file: str, first_line: int = 1) -> ManifestError:
    """What to say of bytes that are not UTF-8; `first_line` is the number of the line with which they begin."""
    before = error.object[: error.start]
    line = first_line + before.count(b"\n")
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    byte = error.object[error.start]
    return ManifestError(
        [Problem(Where(file, line, column), f"the byte 0x{byte:02X} is not UTF-8; it looks like another encoding", hint=NOT_UTF8_HINT)]
    )


def refuse_utf16(head: bytes, file: str) -> None:
    """Raise `ManifestError` if a file begins as UTF-16 or UTF-32 does."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise _fault(file, 1, "the file is UTF-16 or UTF-32", NOT_UTF8_HINT)


def _without_mark(line: bytes, file: str) -> bytes:
    refuse_utf16(line, file)
    return line.removeprefix(codecs.BOM_UTF8)


def _fault(file: str, line: int, message: str, hint: str) -> ManifestError:
    return ManifestError([Problem(Where(file, line), f"{message}; the rest of the file was not read", hint=hint)])
