"""What a person sees on a terminal while a batch runs, and what `batcher watch` shows of it: looked at under tmux."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import PATIENCE_S, Service, batcher, report, service, start, status, wait_until, write_rows
from tests.support.tmux import Terminal, needs_tmux

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(sys.platform == "win32", reason="a POSIX terminal")]

ROWS = 400
JOB = ("--job", "text_to_image")
COLOUR = re.compile(r"\x1b\[[\d;]*[34][0-7]")
"""A colour of the foreground or the background; bold and dim are none."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Takes fewer requests than are sent, and fails some: there is something to see, and for long."""
    flags = ("--latency-s", 0.5, "--slots", 5, "--capacity", 8, "--art", "plain", "--fault", "generation:fail:every=3")
    with service(tmp_path_factory.mktemp("service"), *flags) as running:
        yield running


def run_on(tmp_path: Path, slow: Service, width: int, height: int, **env: str) -> Terminal:
    manifest = write_rows(tmp_path / "rows.csv", ROWS)
    return Terminal(tmp_path, width, height, "run", manifest, *JOB, "--out", "out", env={**slow.env, **env})


def view(lines: list[str]) -> str:
    """What is painted over and over, without the messages before it."""
    text = "\n".join(lines)
    return text[re.search(r"^\d+/\d+ ", text, re.MULTILINE).start() :]  # type: ignore[union-attr]


def is_one_whole_view(lines: list[str], width: int) -> bool:
    text = "\n".join(lines)
    heads, feet = len(re.findall(r"^\d+/400 ", text, re.MULTILINE)), text.count("batcher resume out")
    return (heads, feet) == (1, 1) and "USD spent" in text and max(map(len, view(lines).split("\n"))) <= width - 4


@needs_tmux
def test_at_80_by_24_and_wherever_it_is_resized_to(tmp_path: Path, slow: Service) -> None:
    """All of it at first, then so narrow that everything breaks, then wide and high: there is one view all the time, and in the end none."""
    with run_on(tmp_path, slow, 80, 24) as terminal:
        seen = view(terminal.wait_for("Latest failures", "asked for", " in all", " left"))
        assert COLOUR.search("\n".join(terminal.lines(colours=True)))
        for pattern in (
            r"^\d+/400 [━─]+ \d+ %  \d+ s so far",
            r"^\d+ waiting · (\d+ submitting · )?\d+ at the service",
            r"\b\d+ failed\b",
            r"^\d+\.\d\d USD spent, about \d+\.\d\d in all · ",
            r"^at most \d+ at once for \d+ s \(64 asked for\): ",
            r"^(Oldest at|At) the service \(\d+ ",
            r"^  row\d{4}  (running|accepted|queued(, place \d+)?) +\d+ s$",
            r"^  row\d{4}  generation failed: ",
            r"^Ctrl-C stops in order; to go on: batcher resume out$",
        ):
            assert re.search(pattern, seen, re.MULTILINE), f"{pattern}\n{seen}"
        for width, height in ((40, 24), (30, 12), (200, 50)):
            terminal.resize(width, height)
            wait_until(lambda width=width: is_one_whole_view(terminal.lines(), width), f"one view at {width} by {height}")  # type: ignore[misc]
        wait_until(lambda: view(terminal.lines()).count("\n  row") > 6, "more rows, where there is room")
        assert is_one_whole_view(terminal.lines(), 124)
        terminal.type("C-c")
        terminal.wait_for("Stopping: ")
        terminal.type("C-c")
        ended = terminal.wait_for("ended with 130")
        assert "Go on with: batcher resume out" in ended
        assert not any(line.startswith("Nothing more is submitted") for line in ended), "the view is gone, and the summary in its place"
        assert terminal.has_cursor()


@needs_tmux
def test_without_colour_and_narrow(tmp_path: Path, slow: Service) -> None:
    with run_on(tmp_path, slow, 40, 24, NO_COLOR="1") as terminal:
        seen = view(terminal.wait_for("Latest failures", "batcher resume out"))
        coloured = "\n".join(terminal.lines(colours=True))
    assert COLOUR.search(coloured) is None
    assert max(map(len, seen.split("\n"))) <= 36
    assert re.search(r"^\d+/400 [━─]+ \d+ %", seen, re.MULTILINE)
    assert re.search(r"\d+ s so far", seen)


@needs_tmux
def test_without_unicode_and_killed(tmp_path: Path, slow: Service) -> None:
    """Nothing is left to be mended: the cursor was there all the time, and what comes next comes below."""
    with run_on(tmp_path, slow, 80, 24, LANG="C") as terminal:
        seen = terminal.wait_for("Latest failures")
        assert "\n".join(seen).isascii()
        assert re.search(r"^\d+/400 #*\.+ \d+ %  \d+ s so far", view(seen), re.MULTILINE)
        assert terminal.has_cursor()
        (process,) = terminal.processes()
        os.kill(process, signal.SIGKILL)
        assert terminal.wait_for("ended with 137")[-1] == "ended with 137"
        assert terminal.has_cursor()


# ── from another terminal ─────────────────────────────────────────────────────────────────────────────────────────────


@needs_tmux
def test_watching_from_another_terminal(tmp_path: Path, slow: Service) -> None:
    """Begun before the run, and ended by the end of it: in between it shows what the run shows, and Ctrl-C ends a second one only."""
    out = tmp_path / "out"
    with Terminal(tmp_path, 80, 24, "watch", "out") as watching, run_on(tmp_path, slow, 80, 24) as running:
        seen = view(watching.wait_for("Latest failures", "asked for"))
        assert re.search(r"^\d+/400 [━─]+ \d+ %  \d+ s so far", seen, re.MULTILINE)
        assert "at most" in seen
        assert "Ctrl-C ends the watching only; to go on after the run: batcher resume out" in seen
        with Terminal(tmp_path, 100, 30, "watch", "out", "--interval", "0.2") as other:
            other.wait_for("USD spent")
            other.type("C-c")
            assert "Not watched any more; the run is as it was." in other.wait_for("ended with 130")
        running.type("C-c")
        running.wait_for("Stopping: ")
        running.type("C-c")
        running.wait_for("ended with 130")
        ended = watching.wait_for("ended with 130")
        assert "rows: 400 rows, last run: interrupted" in ended
        assert not any(line.startswith("Ctrl-C ends") for line in ended)
    assert report(out)["exit_reason"] == "interrupted"


def test_watching_a_run_that_is_killed(tmp_path: Path, slow: Service) -> None:
    out = tmp_path / "out"
    running = start("run", write_rows(tmp_path / "rows.csv", ROWS), *JOB, "--out", out, home=tmp_path, env=slow.env)
    wait_until(lambda: status(out).get("done", 0) >= 1, "the first rows to be done")
    watching = start("watch", out, "--interval", 0.1, home=tmp_path)
    assert watching.stdout is not None
    assert "/400 rows (" in watching.stdout.readline(), "a log gets plain lines"
    running.kill()
    running.communicate()
    said, complained = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, complained) == (75, "")
    assert said.splitlines()[-1] == f"  go on with: batcher resume {out}"
    assert "last run: killed, or ended by an error" in said
    assert "\x1b" not in said
    again = batcher("watch", out, home=tmp_path)
    assert (again.returncode, again.stdout.count("\n")) == (75, 3)


def test_watching_takes_nothing_from_whoever_runs(tmp_path: Path, slow: Service) -> None:
    """Somebody watches as often as may be from before the run to its end: it ends as if nobody did, and its ledger is closed well."""
    out = tmp_path / "out"
    watching = start("watch", out, "--interval", 0.1, home=tmp_path)
    ran = batcher("run", write_rows(tmp_path / "rows.csv", 12), *JOB, "--out", out, home=tmp_path, env=slow.env)
    assert ran.returncode == 1, ran.stderr
    said, complained = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, complained) == (1, "")
    assert said.startswith(f"No batch is in {out} yet.")
    assert "last run: completed" in said
    assert batcher("verify", out, "--offline", home=tmp_path).returncode == 0
