"""Signals at every phase of a run: how many it takes, what it exits with, what is left, and that resuming completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import AT_STARTUP, Service, environment, report, results, start, wait_until
from tests.support.preloaded import batcher, service

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("X23"), pytest.mark.skipif(sys.platform == "win32", reason="signals")]

ROWS = 6
POSTS = 4
HANG_S = 600
BOUND_S = 15
"""How long a process may live after its second signal, on a machine that is busy."""

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
CODES = {INT: 130, TERM: 143, HUP: 143}
ONCE, TWICE, THRICE = pytest.mark.fault("A4"), pytest.mark.fault("A5"), pytest.mark.fault("A5", "A6")
CLOSED = pytest.mark.fault("A6")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all: what goes wrong hangs on a word in the prompt."""
    faults = [
        "submit:delay:delay_s=2,contains=patience,first=1,per=request",
        f"submit:hang:delay_s={HANG_S},accepted=true,contains=silence,first=1,per=request",
        f"status:hang:delay_s={HANG_S},contains=stillness,first=1,per=request",
        f"download:hang:delay_s={HANG_S},contains=slowness,first=1,per=request",
    ]
    flags = [flag for fault in faults for flag in ("--fault", fault)]
    with service(tmp_path_factory.mktemp("service"), "--latency-s", 0.05, "--slots", 64, "--art", "plain", *flags) as running:
        yield running


class Attempt:
    """One batch, and the account of what the service was asked for on its behalf. The first prompts, as many as POSTs go out at once, hold `word`."""

    def __init__(self, home: Path, simulated: Service, word: str) -> None:
        self.home, self.out, self.simulated = home, home / "out", simulated
        self.manifest = home / "rows.csv"
        prompts = [f"{word if n < POSTS else 'plainness'} in {home.name} {n}" for n in range(ROWS)]
        self.manifest.write_text("id,prompt\n" + "".join(f"row{n},{prompt}\n" for n, prompt in enumerate(prompts)), "utf-8")
        self.before = simulated.bill()

    def start(self, *flags: object, **env: str) -> subprocess.Popen[str]:
        command = ("run", self.manifest, "--job", "text_to_image", "--out", self.out, "--posts-in-flight", POSTS, "--concurrency", 16, *flags)
        return start(*command, home=self.home, env={**self.simulated.env, **env})

    def called(self, call: str) -> int:
        return int(self.simulated.bill()["calls"].get(call, 0) - self.before["calls"].get(call, 0))

    def struck(self, fault: str) -> int:
        return int(self.simulated.bill()["faults"].get(fault, 0) - self.before["faults"].get(fault, 0))

    @property
    def accepted(self) -> int:
        return int(self.simulated.bill()["accepted"] - self.before["accepted"])

    def resume(self) -> dict[str, Any]:
        resumed = batcher("resume", self.out, home=self.home, env=self.simulated.env)
        assert resumed.returncode in (0, 1), resumed.stderr
        account = report(self.out)
        assert account["counts"]["open"] == 0
        assert account["counts"]["done"] + account["counts"]["in_doubt"] == account["rows"] == ROWS
        assert self.simulated.bill()["duplicates"] == []
        assert len(results(self.out)) == ROWS
        return account


@pytest.fixture
def attempt(tmp_path: Path, simulated: Service, request: pytest.FixtureRequest) -> Attempt:
    return Attempt(tmp_path, simulated, request.param)


def end(running: subprocess.Popen[str], numbers: tuple[signal.Signals, ...]) -> tuple[str, str]:
    """Send the signals one after another, each once the one before it has been heard or the process is gone."""
    for number in numbers:
        running.send_signal(number)
        wait_until(lambda: running.poll() is not None or not pending(running.pid), "the signal to be taken")
        time.sleep(0.05)  # what it set off may begin
    said, complained = running.communicate(timeout=HANG_S / 2 if len(numbers) == 1 else BOUND_S)
    assert running.returncode == CODES[numbers[0]], complained
    assert "Traceback" not in complained
    assert "Exception" not in complained
    return said, complained


def pending(pid: int) -> bool:
    """Whether a signal is on its way to the process. Where that cannot be told, it is not."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd"))


def signalling(event: str, text: str, *numbers: signal.Signals, nth: int = 1) -> dict[str, str]:
    """The environment of a process that sends itself signals at an audit event."""
    return {"PYTHONPATH": AT_STARTUP, "SIGNALS_AT": f"{event} {text} {nth} {','.join(str(int(number)) for number in numbers)}"}


@pytest.mark.parametrize("attempt", ["plainness"], indirect=True)
@pytest.mark.parametrize(
    ("event", "text", "numbers"),
    [
        pytest.param("import", "typer", (INT,), marks=ONCE, id="loading-int"),
        pytest.param("import", "batcher.app", (TERM,), marks=CLOSED, id="loading-term"),
        pytest.param("import", "aiohttp", (HUP, INT), marks=[CLOSED, TWICE], id="loading-hup-int"),
        pytest.param("open", "rows.csv", (INT,), marks=ONCE, id="opening-int"),
        pytest.param("sqlite3.connect", "ledger.db", (TERM,), marks=CLOSED, id="planning-term"),
        pytest.param("sqlite3.connect", "ledger.db", (INT, TERM, INT), marks=THRICE, id="planning-int-term-int"),
    ],
)
def test_before_anything_was_submitted(attempt: Attempt, event: str, text: str, numbers: tuple[signal.Signals, ...]) -> None:
    running = attempt.start(**signalling(event, text, *numbers))
    _, complained = running.communicate(timeout=HANG_S)
    assert running.returncode == CODES[numbers[0]], complained
    assert complained in ("batcher: interrupted\n", "batcher: stopped before anything was submitted\n")
    assert attempt.called("submit") == 0
    assert not attempt.out.exists()


@ONCE
@pytest.mark.parametrize("command", ["run", "plan"])
def test_standard_input_that_never_ends(tmp_path: Path, command: str) -> None:
    reading, writing = os.pipe()
    flags = ("--out", tmp_path / "out") if command == "run" else ()
    running = start(command, "-", "--job", "text_to_image", *flags, "--format", "csv", home=tmp_path, stdin=reading)
    os.close(reading)
    os.write(writing, b"id,prompt\n")
    wait_until(lambda: unread(writing) == 0, "standard input to be read")
    end(running, (INT,))
    os.close(writing)
    assert not (tmp_path / "out").exists()


def unread(pipe: int) -> int:
    import fcntl
    import struct
    import termios

    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


@pytest.mark.parametrize("attempt", ["patience"], indirect=True)
@pytest.mark.parametrize("number", [pytest.param(INT, marks=ONCE), pytest.param(TERM, marks=CLOSED)])
def test_once_while_submitting_waits_for_the_answers(attempt: Attempt, number: signal.Signals) -> None:
    running = attempt.start()
    wait_until(lambda: attempt.struck("submit:delay") == POSTS, "submits under way")
    _, complained = end(running, (number,))
    assert "Stopping" in complained
    assert report(attempt.out)["counts"]["in_doubt"] == 0
    assert attempt.resume()["counts"]["done"] == ROWS


@pytest.mark.parametrize("attempt", ["silence"], indirect=True)
@pytest.mark.parametrize("numbers", [pytest.param((INT, INT), marks=TWICE), pytest.param((HUP, INT, TERM), marks=THRICE)], ids=["twice", "thrice"])
def test_twice_while_submitting_leaves_doubt_and_pays_nothing_twice(attempt: Attempt, numbers: tuple[signal.Signals, ...]) -> None:
    running = attempt.start()
    wait_until(lambda: attempt.struck("submit:hang") == POSTS, "submits under way")
    end(running, numbers)
    assert report(attempt.out)["counts"]["open"] == ROWS
    assert attempt.resume()["counts"]["in_doubt"] == POSTS


@pytest.mark.parametrize("attempt", ["stillness"], indirect=True)
@pytest.mark.parametrize(
    ("numbers", "flags"),
    [
        pytest.param((TERM,), ("--grace-s", 0.5), marks=CLOSED, id="term-and-the-grace-ends"),
        pytest.param((INT, INT, INT), (), marks=THRICE, id="thrice"),
    ],
)
def test_while_polling(attempt: Attempt, numbers: tuple[signal.Signals, ...], flags: tuple[object, ...]) -> None:
    running = attempt.start(*flags)
    wait_until(lambda: attempt.struck("status:hang") == POSTS, "polls under way")
    end(running, numbers)
    assert report(attempt.out)["counts"]["open"] >= POSTS
    assert all(row["request_id"] for row in results(attempt.out)[:POSTS])
    assert attempt.resume()["counts"]["done"] == ROWS
    assert attempt.accepted == ROWS


@pytest.mark.parametrize("attempt", ["slowness"], indirect=True)
@pytest.mark.parametrize(
    ("numbers", "flags"),
    [
        pytest.param((INT,), ("--grace-s", 0.5), marks=ONCE, id="int-and-the-grace-ends"),
        pytest.param((TERM, HUP), (), marks=[CLOSED, TWICE], id="term-hup"),
    ],
)
def test_while_downloading(attempt: Attempt, numbers: tuple[signal.Signals, ...], flags: tuple[object, ...]) -> None:
    running = attempt.start(*flags)
    wait_until(lambda: attempt.struck("download:hang") == POSTS, "downloads under way")
    end(running, numbers)
    assert report(attempt.out)["counts"]["open"] >= POSTS
    assert not list((attempt.out / "results").glob(".*")), "half a file stays nowhere"
    assert attempt.resume()["counts"]["done"] == ROWS
    assert attempt.accepted == ROWS


@pytest.mark.parametrize("attempt", ["stillness"], indirect=True)
@TWICE
def test_again_while_it_waits_for_what_runs(attempt: Attempt) -> None:
    running = attempt.start("--grace-s", HANG_S)
    wait_until(lambda: attempt.struck("status:hang") == POSTS, "polls under way")
    running.send_signal(INT)
    assert running.stderr is not None
    for line in running.stderr:
        if "Stopping" in line:
            break
    end(running, (INT, INT))
    assert attempt.resume()["counts"]["done"] == ROWS


@pytest.mark.parametrize("attempt", ["plainness"], indirect=True)
@pytest.mark.parametrize(
    ("event", "text", "numbers"),
    [
        pytest.param("open", ".results.jsonl.", (INT, TERM, HUP), marks=THRICE, id="reporting"),
        pytest.param("import", "batcher.cli.summary", (INT,), marks=ONCE, id="summary"),
    ],
)
def test_after_the_last_row_a_signal_changes_nothing(attempt: Attempt, event: str, text: str, numbers: tuple[signal.Signals, ...]) -> None:
    running = attempt.start(**signalling(event, text, *numbers))
    said, complained = running.communicate(timeout=HANG_S)
    assert running.returncode == 0, complained
    assert f"{ROWS} of {ROWS} rows done" in said
    assert report(attempt.out)["counts"]["done"] == len(results(attempt.out)) == ROWS
    assert attempt.accepted == ROWS


@pytest.mark.fault("A6")
@pytest.mark.parametrize("attempt", ["patience"], indirect=True)
def test_a_closed_terminal_is_nothing_to_nohup(attempt: Attempt) -> None:
    command = ["nohup", sys.executable, "-m", "batcher", "run", attempt.manifest, "--job", "text_to_image", "--out", attempt.out]
    env = environment(attempt.home, **attempt.simulated.env)
    running = subprocess.Popen(
        command, cwd=attempt.home, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: attempt.struck("submit:delay") == POSTS, "submits under way")
    running.send_signal(HUP)
    _, complained = running.communicate(timeout=HANG_S)
    assert running.returncode == 0, complained
    assert report(attempt.out)["counts"]["done"] == ROWS


@pytest.mark.fault("A7")
@pytest.mark.parametrize("attempt", ["patience"], indirect=True)
def test_stopped_and_continued_past_every_deadline(attempt: Attempt) -> None:
    """The answers to the submits come while the process stands still, and their time is up before it goes on."""
    deadline_s = 3.0
    attempt.manifest = write_batch(attempt.manifest, submit_timeout_s=deadline_s, read_timeout_s=1.0, connect_timeout_s=1.0)
    running = attempt.start()
    wait_until(lambda: attempt.struck("submit:delay") == POSTS, "submits under way")
    running.send_signal(signal.SIGSTOP)
    time.sleep(deadline_s + 1)  # real time, because that is what the deadlines are made of
    running.send_signal(signal.SIGCONT)
    _, complained = running.communicate(timeout=HANG_S)
    assert running.returncode == 0, complained
    assert report(attempt.out)["counts"]["done"] == ROWS
    assert attempt.accepted == ROWS


def write_batch(rows: Path, **run: float) -> Path:
    path = rows.with_suffix(".yaml")
    path.write_text(f"job: text_to_image\nrows: {rows.name}\nrun:\n" + "".join(f"  {name}: {value}\n" for name, value in run.items()), "utf-8")
    return path
