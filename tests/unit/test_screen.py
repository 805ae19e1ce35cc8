"""What a live view looks like at several sizes, encodings and colours: whole pictures, and what holds of all of them."""

from __future__ import annotations

import io
import textwrap
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from batcher.model import State
from batcher.observe import LocaleConsole, TerminalView, write_line
from batcher.observe.console import is_ascii_locale
from batcher.observe.progress import FAILURES_MAX, FLIGHTS_MAX
from batcher.observe.screen import BAR_MIN, WIDTH_MAX, height_on, picture
from tests.support.snapshots import ABOUT, FLIGHTS, NOW, WAY, counts, failed, snapshot

FAILED = [failed("vase", "the prompt was blocked by a filter of the service"), failed("pot", "no answer")]
FULL = snapshot(failures=FAILED)


def drawn(of: object = FULL, width: int = 76, height: int = 22, encoding: str = "utf-8") -> str:
    return "\n".join(line.plain for line in picture(of, width, height, encoding)) + "\n"  # type: ignore[arg-type]


def block(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


# ── whole pictures ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_at_80_by_24() -> None:
    assert drawn() == block("""
        25/100 ━━━━━━━━──────────────────────── 25 %  30 s so far · 25 to 40 s left
        50 waiting · 20 at the service · 5 downloading · 20 done · 3 failed
        2 in doubt
        1.60 USD spent, about 5.60 in all · 2.5 rows/s
        at most 17 at once for 5 s (64 asked for): it took 16, and refused 21

        Oldest at the service (12 running, 6 queued, 2 accepted)
          mug-beach    running          2 min
          mug-kitchen  queued, place 3  31 s
          b            accepted         2 s
          c            queued           0 s

        Latest failures
          vase  generation failed: the prompt was blocked by a filter of the service
          pot   generation failed: no answer

        Ctrl-C stops in order; to go on: batcher resume out/shop
        """)


def test_where_it_is_narrow() -> None:
    assert drawn(width=36, height=22) == block("""
        25/100 ━━━━━────────────────── 25 %
        30 s so far · 25 to 40 s left
        50 waiting · 20 at the service
        5 downloading · 20 done · 3 failed
        2 in doubt
        1.60 USD spent, about 5.60 in all
        2.5 rows/s
        at most 17 at once for 5 s (64 asked
        for): it took 16, and refused 21

        Oldest at the service (12 running,…
          mug-beach   running          2 min
          mug-kitch…  queued, place 3  31 s
          b           accepted         2 s
          c           queued           0 s

        Latest failures
          vase  generation failed: the prom…
          pot   generation failed: no answer

        Ctrl-C stops in order; to go on:
        batcher resume out/shop
        """)


def test_without_unicode() -> None:
    assert drawn(height=8, encoding="ascii") == block("""
        25/100 ########........................ 25 %  30 s so far | 25 to 40 s left
        50 waiting | 20 at the service | 5 downloading | 20 done | 3 failed
        2 in doubt
        1.60 USD spent, about 5.60 in all | 2.5 rows/s
        at most 17 at once for 5 s (64 asked for): it took 16, and refused 21
        Latest failures
          vase  generation failed: the prompt was blocked by a filter of the service
        Ctrl-C stops in order; to go on: batcher resume out/shop
        """)


def test_before_anything_is_known() -> None:
    of = snapshot(counts=counts(planned=3), spent_usd=0.0, elapsed_s=0.2, rate_per_s=None, left=None, under_way=replace(WAY, change=None, oldest=()))
    assert drawn(of) == block("""
        0/3 ─────────────────────────────────────────────────────── 0 %  0 s so far
        3 waiting
        0.00 USD spent
        at most 17 at once

        Ctrl-C stops in order; to go on: batcher resume out/shop
        """)


def test_at_its_end() -> None:
    of = snapshot(counts=counts(done=3), rate_per_s=0.5, left=None)
    assert drawn(of, height=4) == block("""
        3/3 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 100 %  30 s so far
        3 done
        1.60 USD spent · 30 rows/min
        Ctrl-C stops in order; to go on: batcher resume out/shop
        """)


# ── what holds of all of them ─────────────────────────────────────────────────────────────────────────────────────────

NASTY = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(["\x1b[2J", "a\nb", "\u202egnp", "図書館" * 20, "e\u0301" * 9])


@pytest.mark.fault("G3")
@settings(max_examples=60, deadline=None)
@given(
    row_id=NASTY,
    message=NASTY,
    width=st.integers(10, 220),
    height=st.integers(1, 60),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1", "cp437"]),
)
def test_nothing_goes_beyond_the_terminal_and_nothing_is_obeyed(row_id: str, message: str, width: int, height: int, encoding: str) -> None:
    way = replace(WAY, oldest=[replace(FLIGHTS[0], row_id=row_id)] * 30, change=replace(WAY.change, reason=message))  # type: ignore[type-var]
    of = snapshot(under_way=way, failures=[failed(row_id, message)] * 30)
    lines = picture(of, width, height, encoding)
    assert len(lines) <= height
    for line in lines:
        assert line.plain.isprintable()
        line.plain.encode(encoding)
        assert cell_len(line.plain) <= min(width, WIDTH_MAX) or line.plain == ABOUT.resume


@pytest.mark.parametrize("height", [24, 50, 500])
def test_however_high_a_terminal_is_some_of_the_rows_are_shown(height: int) -> None:
    many = snapshot(under_way=replace(WAY, oldest=[FLIGHTS[0]] * FLIGHTS_MAX), failures=FAILED * 10)
    text = drawn(many, height=height)
    assert text.count("mug-beach") == min(FLIGHTS_MAX, height // 4)
    assert text.count("generation failed") == min(FAILURES_MAX, height // 6)


@pytest.mark.parametrize("ended", [0, 1, 99, 999, 1000])
def test_the_bar_is_full_only_at_the_end(ended: int) -> None:
    bar = drawn(snapshot(counts=counts(done=ended, planned=1000 - ended))).splitlines()[0]
    assert ("─" in bar) == (ended < 1000)
    assert ("━" in bar) == (ended >= 99)


def test_a_terminal_too_narrow_for_a_bar_gets_figures() -> None:
    lines = drawn(width=len("25/100 25 %") + BAR_MIN + 1).splitlines()
    assert lines[0] == "25/100 25 %"
    assert drawn(width=10, height=3).splitlines() == ["25/100 25…", "30 s so", "Ctrl-C"]


def test_what_is_longer_than_a_line_is_broken_between_words_and_nothing_of_it_is_left_out() -> None:
    of = snapshot(spent_usd=1234.5, about=replace(ABOUT, is_simulated=True))
    assert "1234.50 USD simulated, about\n4320.75 in all" in drawn(of, width=30)


def test_a_command_is_whole_even_where_it_is_longer_than_a_line() -> None:
    resume = "batcher resume 'out/of the way/" + "x" * 60 + "'"
    assert drawn(snapshot(about=replace(ABOUT, resume=resume)), width=40).splitlines()[-1] == resume


# ── on a terminal ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Screen:
    """A terminal, as far as views use one: it breaks lines that are too long, also when it is made narrower."""

    def __init__(self, width: int, height: int = 24, **options: object) -> None:
        self.width = width
        self.lines: list[str] = [""]
        self.console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, legacy_windows=False, _environ={}, **options)  # type: ignore[arg-type]

    def resize(self, width: int) -> None:
        self.width = self.console.width = width

    def read(self) -> list[str]:
        """What is on the screen, after obeying what was written since."""
        assert isinstance(self.console.file, io.StringIO)
        text = self.console.file.getvalue()
        self.console.file.seek(0)
        self.console.file.truncate()
        while text:
            if text.startswith("\r\x1b["):
                up, _, text = text[3:].partition("A")
                self._go_up(int(up))
            elif text.startswith(("\x1b[K", "\x1b[J")):
                text = text[3:]
            elif text[0] == "\n":
                self.lines.append("")
                text = text[1:]
            else:
                self.lines[-1] += text[0]
                text = text[1:]
        return self.lines

    def _go_up(self, up: int) -> None:
        assert self.lines[-1] == "", "the cursor is at the beginning of a line"
        while up > 0:
            self.lines.pop()
            up -= height_on([cell_len(self.lines[-1])], self.width)
        assert up == 0, "it stops at the beginning of a line"
        self.lines[-1] = ""


@pytest.mark.parametrize("widths", [(80, 80, 80), (80, 50, 37, 61, 200), (200, 30)])
def test_it_stays_in_its_place_when_the_terminal_is_resized(widths: tuple[int, ...]) -> None:
    screen = Screen(widths[0], height=40, color_system=None)
    view = TerminalView(screen.console)
    view.say("before")
    for width in widths:
        screen.resize(width)
        view.show(FULL)
        text = screen.read()
        assert text[0] == "before"
        assert sum(line.startswith("25/100") for line in text) == 1
        assert text[-1] == ""
    view.say("a message that stays")
    assert screen.read()[:2] == ["before", "a message that stays"]
    view.close()
    assert screen.read() == ["before", "a message that stays", ""]


def test_nothing_is_painted_on_a_terminal_that_takes_nothing() -> None:
    screen = Screen(80, color_system=None)
    view = TerminalView(screen.console)
    screen.console.file.is_behind = True  # type: ignore[attr-defined]
    view.show(FULL)
    assert screen.read() == [""]
    screen.console.file.is_behind = False  # type: ignore[attr-defined]
    view.show(FULL)
    assert screen.read()[0].startswith("25/100")


def test_messages_are_broken_between_words() -> None:
    screen = Screen(30, color_system=None)
    TerminalView(screen.console).say("what is queued is taken back, what runs is waited for")
    assert screen.read() == ["what is queued is taken back, ", "what runs is waited for", ""]


@pytest.mark.parametrize(("options", "is_coloured"), [({"color_system": "256"}, True), ({"color_system": "256", "no_color": True}, False)])
def test_colours_only_where_they_are_wanted(options: dict[str, object], is_coloured: bool) -> None:
    screen = Screen(80, **options)
    TerminalView(screen.console).show(FULL)
    assert isinstance(screen.console.file, io.StringIO)
    assert ("\x1b[32m" in screen.console.file.getvalue()) == is_coloured


@pytest.mark.parametrize(
    ("environ", "is_ascii"),
    [
        ({}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "POSIX", "LC_CTYPE": "C.UTF-8"}, True),  # as Python leaves it to those whom it starts
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, False),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "en_GB.UTF-8"}, False),
        ({"LANG": "en_GB.UTF-8"}, False),
    ],
)
def test_a_locale_without_unicode(environ: dict[str, str], is_ascii: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_ascii_locale(environ) == is_ascii
    write_line(LocaleConsole(environ), "3 × done – 1 … caf\u00e9 \x1b[2J \ud83d")
    said = capsys.readouterr().out
    assert said == ("3 x done - 1 ... caf\\xe9 ?[2J ?\n" if is_ascii else "3 × done – 1 … caf\u00e9 \ufffd[2J \ufffd\n")


def test_every_state_can_be_shown() -> None:
    text = drawn(snapshot(counts=dict.fromkeys(State, 7), at=NOW), width=200)
    assert "7 waiting · 7 submitting · 7 at the service · 7 downloading · 7 done · 7 failed · 7 cancelled · 7 in doubt" in text
