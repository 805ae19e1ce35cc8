from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from batcher.events import Accepted, Broken, Claimed, Event, Produced, Retry, Saved
from batcher.model import Failure, FailureKind, Job, State
from batcher.observe import (
    EventLog,
    NoView,
    Observers,
    PlainView,
    Pulse,
    SilentView,
    Snapshot,
    TerminalView,
    ViewObserver,
    choose_view,
    duration,
    plain_line,
    state_words,
)
from batcher.observe.progress import PACE_MIN_S, WINDOW_S, limit_words, money_words, rate_words, span
from batcher.observe.terminal import FAILURES, PLAIN_EVERY_S, PLAIN_SELDOM_S
from batcher.outlook import Pace, TimeLeft
from tests.support.engine_world import make_spec
from tests.support.ledgers import FILE
from tests.support.snapshots import ABOUT, LEFT, NOW, WAY, counts, failed, snapshot

JOB = Job(1, make_spec("a"), State.SUBMITTED, request_id="r1")


def unknown(pace: Pace | None) -> TimeLeft | None:
    return None


class Pulsed(Pulse):
    """A pulse of which only the numbers matter."""

    def of(self, counts: dict[State, int], spent_usd: float, now: float) -> Snapshot:
        return self.take(ABOUT, counts, spent_usd, now, WAY)


def pulse_of(counts: dict[State, int], now: float, time_left: Callable[[Pace | None], TimeLeft | None] = unknown) -> Pulsed:
    return Pulsed(now, counts, now, time_left)


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_snapshot_counts() -> None:
    assert (snapshot().rows, snapshot().ended) == (100, 25)


def test_the_rate_follows_from_what_ended() -> None:
    pulse = pulse_of(counts(planned=100), 0.0, unknown)
    first = pulse.of(counts(planned=100), 0.0, 10.0)
    assert (first.rate_per_s, first.left, first.elapsed_s) == (0.0, None, 10.0)
    second = pulse.of(counts(planned=60, submitted=20, done=15, failed=3, cancelled=1, in_doubt=1), 1.5, 20.0)
    assert (second.rate_per_s, second.spent_usd) == (1.0, 1.5)
    assert pulse.of(counts(done=100), 8.0, 25.0).rate_per_s == 4.0


def test_the_time_left_is_asked_for_once_a_second_and_not_after_the_end() -> None:
    asked: list[Pace | None] = []

    def time_left(pace: Pace | None) -> TimeLeft | None:
        asked.append(pace)
        return LEFT

    pulse = pulse_of(counts(planned=10), 0.0, time_left)
    lefts = [pulse.of(counts(planned=10), 0.0, now).left for now in (0.0, 0.5, 0.9, 1.1)]
    assert (lefts, len(asked)) == ([LEFT] * 4, 2)
    assert pulse.of(counts(done=10), 0.0, 1.2).left is None
    assert len(asked) == 2


def test_the_pace_leaves_out_the_time_before_anything_could_end() -> None:
    asked: list[Pace | None] = []
    pulse = pulse_of(counts(planned=1000, done=7), 0.0, asked.append)
    for second in range(1, 100):
        done = 10 * max(0, second - 30)
        pulse.of(counts(planned=1000 - done, done=7 + done), 0.0, float(second))
    believed = int(31 + PACE_MIN_S) - 1
    assert asked[:believed] == [None] * believed
    assert asked[believed] == Pace(50, 5.0)
    assert asked[-1] == Pace(600, 60.0)


def test_what_ended_in_earlier_runs_does_not_count_for_the_rate() -> None:
    assert pulse_of(counts(done=1000, planned=10), 0.0).of(counts(done=1001, planned=9), 0.0, 10.0).rate_per_s == 0.1


def test_the_rate_is_not_known_at_once() -> None:
    assert pulse_of(counts(planned=1), 5.0).of(counts(done=1), 0.0, 5.0).rate_per_s is None


def test_the_rate_is_that_of_the_last_minute() -> None:
    pulse = pulse_of(counts(planned=10_000), 0.0, unknown)
    for second in range(1, 301):
        done = 10 * min(second, 200)
        taken = pulse.of(counts(done=done, planned=10_000 - done), 0.0, float(second))
        if second == 200:
            assert taken.rate_per_s == pytest.approx(10.0)
    assert taken.rate_per_s == 0.0
    assert len(pulse._history) <= WINDOW_S + 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (5399, "1 h 30 min"),
        (12_000, "3 h 20 min"),
        (3e5, "83 h 20 min"),
    ],
)
def test_durations_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ((25, 30, 40), "25 to 40 s"),
        ((60, 80, 200), "60 s to 3 min"),
        ((170, 250, 310), "3 to 5 min"),
        ((175, 180, 190), "about 3 min"),
        ((5000, 6000, 12_000), "83 min to 3 h 20 min"),
        ((0.5, 3.2, 9.0), "about 3 s"),
    ],
)
def test_the_time_left_for_people(left: tuple[float, float, float], words: str) -> None:
    assert span(TimeLeft(*left)) == words


def test_every_state_has_a_word_and_those_without_rows_are_left_out() -> None:
    assert len(state_words(dict.fromkeys(State, 1))) == len(State)
    assert state_words(counts(done=3, in_doubt=1)) == ["3 done", "1 in doubt"]
    assert state_words({}) == []


def test_a_plain_line() -> None:
    assert plain_line(snapshot()) == (
        "25/100 rows (25 %) · 50 waiting · 20 at the service · 5 downloading · 20 done · 3 failed · 2 in doubt · 25 to 40 s left · 2.5 rows/s · "
        "1.60 USD spent, about 5.60 in all · at most 17 at once"
    )
    assert plain_line(snapshot(counts=counts(done=4), left=None, rate_per_s=None)) == "4/4 rows (100 %) · 4 done · 1.60 USD spent"
    assert plain_line(snapshot(counts={}, left=None)) == "0/0 rows (–) · 2.5 rows/s · 1.60 USD spent"


def test_all_rows_have_ended_only_when_all_have() -> None:
    assert plain_line(snapshot(counts=counts(done=999, submitted=1))).startswith("999/1000 rows (99 %)")


@pytest.mark.parametrize(
    ("spent_usd", "of", "words"),
    [
        (0.0, counts(planned=4), "0.00 USD spent"),
        (0.0, counts(planned=4, failed=2), "0.00 USD spent"),  # refused ones cost nothing, and tell nothing about the others
        (1.0, counts(planned=3, done=1), "1.00 USD spent, about 4.00 in all"),
        (1.0, counts(planned=1, submitting=1, submitted=1, produced=1, in_doubt=7), "1.00 USD spent, about 4.00 in all"),
        (1.0, counts(done=5, in_doubt=1), "1.00 USD spent"),
    ],
)
def test_money(spent_usd: float, of: dict[State, int], words: str) -> None:
    assert money_words(snapshot(spent_usd=spent_usd, counts=of)) == words


def test_money_that_is_not_real_is_not_called_spent() -> None:
    assert money_words(snapshot(about=replace(ABOUT, is_simulated=True))) == "1.60 USD simulated, about 5.60 in all"


@pytest.mark.parametrize(
    ("rate", "words"),
    [(None, []), (0.0, ["no row in the last minute"]), (0.01, ["36 rows/h"]), (0.1, ["6 rows/min"]), (12.34, ["12 rows/s"]), (345.6, ["346 rows/s"])],
)
def test_the_rate_for_people(rate: float | None, words: list[str]) -> None:
    assert rate_words(snapshot(rate_per_s=rate)) == words


def test_the_limit_with_the_reason_of_its_last_change() -> None:
    assert limit_words(snapshot(), reason=True) == ["at most 17 at once for 5 s (64 asked for): it took 16, and refused 21"]
    assert limit_words(snapshot(under_way=replace(WAY, limit=64, change=None)), reason=True) == ["at most 64 at once"]
    assert limit_words(snapshot(counts=counts(done=3, produced=1)), reason=True) == []


# ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def console(*, terminal: bool = False, width: int = 72) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, height=20, record=True, color_system=None, legacy_windows=False, _environ={}
    )


def shown(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_off_a_terminal_a_line_now_and_then_where_something_changed() -> None:
    screen = console()
    view = PlainView(screen)
    view.show(snapshot(elapsed_s=0.5))
    view.show(snapshot())
    view.show(snapshot())
    view.show(snapshot(spent_usd=1.68))
    view.say("a notice that is [bold]longer[/bold] than the line is wide: " + "x" * 60)
    view.close()
    lines = shown(screen).splitlines()
    assert lines == [plain_line(snapshot()), plain_line(snapshot(spent_usd=1.68)), lines[-1]]
    assert "[bold]longer[/bold]" in lines[-1]


def test_where_quiet_was_asked_for_messages_are_shown_all_the_same() -> None:
    screen = console(terminal=True)
    view = choose_view(screen, quiet=True)
    assert type(view) is SilentView
    assert view.interval_s is None
    view.show(snapshot())
    view.say("stopping")
    view.close()
    assert shown(screen) == "stopping\n"


def test_a_program_that_looks_for_itself_is_shown_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    view = NoView()
    assert view.snapshot is None
    view.show(snapshot())
    view.say("x")
    view.close()
    assert view.snapshot == snapshot()
    assert capsys.readouterr() == ("", "")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "options", "fits"),
    [
        (Tty(), {}, TerminalView),
        (io.StringIO(), {}, PlainView),
        (io.StringIO(), {"force_terminal": True}, PlainView),
        (io.StringIO(), {"_environ": {"FORCE_COLOR": "1"}}, PlainView),
        (Tty(), {"_environ": {"TERM": "dumb"}}, PlainView),
        (Tty(), {"legacy_windows": True}, PlainView),
    ],
    ids=["terminal", "log", "forced", "colours-forced", "dumb", "old-windows"],
)
def test_the_view_fits_where_it_is_shown(file: io.StringIO, options: dict[str, Any], fits: type) -> None:
    view = choose_view(Console(file=file, **{"legacy_windows": False, "_environ": {}, **options}), quiet=False)
    assert type(view) is fits
    view.close()
    assert file.getvalue() == ""


def test_of_failures_a_log_is_told_some_of_those_that_are_new() -> None:
    screen = console()
    view = PlainView(screen)
    failures = [failed(f"r{n}") for n in range(8)]
    view.show(snapshot(failures=failures))
    view.show(snapshot(failures=failures, counts=counts(planned=10, failed=5, in_doubt=2)))
    view.show(snapshot(failures=failures, counts=counts(planned=9, failed=6, in_doubt=2)))
    told = [line for line in shown(screen).splitlines() if line.startswith("  ")]
    assert told == [f"  r{n}: generation failed: it did not work" for n in (0, 1, 0)]


@pytest.mark.parametrize(("elapsed_s", "every_s"), [(10.0, PLAIN_EVERY_S), (1200.0, 60.0), (86_400.0, PLAIN_SELDOM_S)])
def test_the_longer_a_run_the_more_seldom_its_lines(elapsed_s: float, every_s: float) -> None:
    view = PlainView(console())
    view.show(snapshot(elapsed_s=elapsed_s))
    assert view.interval_s == every_s


def test_a_live_view_shows_progress_and_messages_and_leaves_the_terminal_as_it_was() -> None:
    screen = console(terminal=True)
    view = TerminalView(screen)
    view.show(snapshot())
    view.say("stopping")
    view.show(snapshot(spent_usd=2.0))
    view.close()
    view.close()
    text = shown(screen)
    assert "25/100" in text
    assert "stopping\x1b[K\n" in text or "stopping\n" in text
    assert "2.00 USD" in text
    assert "\x1b[?" not in text, "neither the cursor nor the screen is changed in a way that would have to be mended"
    assert text.endswith("A\x1b[J"), "the view is taken back"


def test_a_failure_is_kept_and_others_are_not() -> None:
    observer = ViewObserver(NoView(), [failed("before")])
    for state in State:
        observer.observe(failed(state.value, state=state), Claimed(), NOW)
    assert [job.row_id for job in observer.failures] == [*(state.value for state in reversed(State) if state in FAILURES), "before"]


def test_notices_reach_the_view_and_events_do_not() -> None:
    screen = console()
    observer = ViewObserver(PlainView(screen))
    observer.observe(JOB, Claimed(), NOW)
    observer.notice("the service is in trouble", NOW)
    observer.notice("at most 7 requests", NOW, passing=True)
    assert shown(screen) == "the service is in trouble\n"


# ── events as lines ───────────────────────────────────────────────────────────────────────────────────────────────────

FAILURE = Failure(FailureKind.DOWNLOAD_FAILED, "line one\nline two \u00fc", "again")
LINES: list[tuple[Event, dict[str, Any]]] = [
    (Claimed(), {}),
    (Accepted("r1"), {}),
    (Produced(("https://x/1",), None), {"outputs": ["https://x/1"]}),
    (
        Broken(FAILURE, transient=False, retry_after_s=0.0),
        {
            "failure": {"kind": "download_failed", "message": "line one\nline two \u00fc", "remedy": "again"},
            "transient": False,
            "retry_after_s": 0.0,
        },
    ),
    (Retry(), {"regenerate": False}),
]


@pytest.mark.parametrize(("event", "said"), LINES, ids=lambda value: type(value).__name__)
def test_every_event_is_one_line_of_json(event: Event, said: dict[str, Any]) -> None:
    stream = io.StringIO()
    EventLog(stream).observe(JOB, event, NOW)
    (line,) = stream.getvalue().splitlines()
    always = {"at": "2027-01-15T08:00:00.250Z", "row": "a", "event": type(event).__name__, "state": "submitted", "request_id": "r1"}
    assert json.loads(line) == always | said


def test_artifacts_and_notices_as_lines() -> None:
    stream = io.StringIO()
    log = EventLog(stream)
    log.observe(JOB, Saved((FILE,), 1.5), NOW)
    log.notice("service out", NOW)
    saved, notice = (json.loads(line) for line in stream.getvalue().splitlines())
    assert saved["artifacts"][0]["path"] == FILE.path
    assert notice == {"at": "2027-01-15T08:00:00.250Z", "notice": "service out"}


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [Gone(), closed()], ids=["nobody reads", "closed"])
def test_a_log_that_cannot_be_written_does_not_stop_the_batch(stream: io.StringIO) -> None:
    log = EventLog(stream)
    log.notice("a", NOW)
    log.observe(JOB, Claimed(), NOW)
    assert log._stream is None


def test_any_characters_reach_any_stream() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    log = EventLog(stream)
    log.notice("\u00fc", NOW)
    log.observe(JOB, Produced(("https://x/\ud83d",)), NOW)
    stream.seek(0)
    notice, produced = (json.loads(line) for line in stream)
    assert (notice["notice"], produced["outputs"]) == ("\u00fc", ["https://x/\ud83d"])


def test_several_observers_as_one() -> None:
    first, second = io.StringIO(), io.StringIO()
    observers = Observers([EventLog(first), EventLog(second)])
    observers.observe(JOB, Claimed(), NOW)
    observers.notice("x", NOW)
    assert first.getvalue() == second.getvalue()
    assert len(first.getvalue().splitlines()) == 2
