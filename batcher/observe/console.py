"""Where to write for people: the console of a terminal or of a log."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from batcher.observe.harmless import one_line, spelled


class LocaleConsole(Console):
    """A console that obeys NO_COLOR, the kind of terminal, and a locale that was set to one without Unicode.

    Python itself takes the locale C for one with UTF-8, since most who have it never chose it. Whoever says `LANG=C` did.
    """

    def __init__(self, environ: Mapping[str, str], *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, emoji=False)
        self._is_ascii = is_ascii_locale(environ)

    @property
    def encoding(self) -> str:
        """What can be written."""
        return "ascii" if self._is_ascii else super().encoding


def is_ascii_locale(environ: Mapping[str, str]) -> bool:
    """Whether the locale was set to C or POSIX. What Python sets itself, LC_CTYPE to C.UTF-8 beside a LANG of C, does not count."""
    languages = [environ.get("LC_ALL"), environ.get("LC_CTYPE"), environ.get("LANG")]
    if languages[0] in (None, "") and languages[1] == "C.UTF-8" and languages[2] in ("C", "POSIX"):
        languages[1] = None
    return next((language for language in languages if language), "") in ("C", "POSIX")


def write_line(console: Console, text: str, *, wrap: bool = False) -> None:
    """Write `text` as one line of text, or with `wrap` as many as a terminal needs, broken between words; nothing that would be obeyed."""
    console.print(spelled(one_line(text), console.encoding), markup=False, highlight=False, emoji=False, soft_wrap=not wrap)
