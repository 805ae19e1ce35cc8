"""System calls that fail, or that the process does not survive, one run for each, until the batch outruns them.

strace counts the calls of each thread by itself, so every thread has an n-th call, and the first of them to come ends the run. That none is left out
for it, blocking work shares one thread, and there are three beginnings. From a manifest the main thread makes the first calls, while it makes the
ledger; from a ledger that holds the plan it is the ledger's own thread, and from a batch that is done it is the main thread again, with the report.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from batcher.app import Stopper, _plan
from batcher.ledger import SqliteLedger
from batcher.manifest import open_manifest
from tests.support.command import Service, report, results
from tests.support.crash_checks import Checker, checker
from tests.support.crash_states import History, all_names, on_disk, synced_names, within
from tests.support.preloaded import HangError, Nursery, nursery
from tests.support.system_calls import NAMES, Call, calls_in, traced, why_not

ROWS = 5
POSTS = 2
HANG_S = 120.0
"""What no run here takes, however busy the machine is."""

RUN = {
    "posts_in_flight": POSTS, "downloads": 2, "poll_floor_s": 0.02, "poll_ceiling_s": 0.1, "backoff_base_s": 0.02, "backoff_ceiling_s": 0.2,
}  # fmt: skip
KILL = "signal=SIGKILL"
FAULTS = ("error=EIO", "error=ENOSPC", KILL)
CALLS = ("fdatasync", "fsync", "pwrite64", "write", "rename", "ftruncate", "mkdir", "unlink", "openat", "sendto")
BEGINNINGS = ("manifest", "plan", "done")


@dataclass(frozen=True, slots=True)
class Point:
    """One call that goes wrong: the `n`-th of its name in a thread of a batch that begins as `beginning` says."""

    beginning: str
    call: str
    fault: str
    n: int

    @property
    def expression(self) -> str:
        """For strace."""
        return f"{self.call}:{self.fault}:when={self.n}"

    def __str__(self) -> str:
        return f"{self.expression} from a {self.beginning}"


@dataclass(slots=True)
class Finding:
    """What came of a point. `struck` is the calls that it hit; with none the batch has outrun it."""

    point: Point
    struck: list[str] = field(default_factory=list)
    code: int | None = None
    said: str = ""
    posts_after: int = 0
    """POSTs that were sent after a call of the ledger had failed; their intents were durable before."""
    in_doubt: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def outrun(self) -> bool:
        return not self.struck


class Prober:
    """Tries points, each in a folder of its own with a service of its own."""

    def __init__(self, home: Nursery, folder: Path, checks: Checker, altered: str | None = None) -> None:
        self._home = home
        self._folder = folder
        self._checks = checks
        self._altered = altered

    def points(self, beginning: str, call: str, fault: str, first: int = 1, step: int = 1) -> Iterator[Finding]:
        """Every `step`-th point from the `first`, until the batch outruns one."""
        n = first
        while not (finding := self.probe(Point(beginning, call, fault, n))).outrun:
            yield finding
            n += step

    def probe(self, point: Point) -> Finding:
        """Let one call go wrong, and then go on without anything going wrong."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        manifest = _manifest(folder)
        out = folder / "disk" / "out"
        out.parent.mkdir()
        finding = Finding(point)
        try:
            with self._home.service("--latency-s", 0.01, "--slots", 16, "--art", "plain") as simulated:
                self._prepare(point.beginning, manifest, out, simulated)
                run = ("run", manifest, "--out", out)
                before, trace = on_disk(out.parent), folder / "trace"
                command = run if point.beginning == "manifest" else ("resume", out)
                with traced(
                    self._home, *command, trace=trace, cwd=folder, env=simulated.env, inject=point.expression, altered=self._altered,
                    countable=True,
                ) as process:  # fmt: skip
                    finding.code = process.wait(HANG_S)
                finding.said = process.err.read_text("utf-8")
                self._judge_run(finding, History(out.parent, calls_in(trace), before), out)
                if not finding.outrun:
                    again = self._home.start(*(("resume", out) if _rows(out) else run), cwd=folder, env=simulated.env)
                    self._judge_resume(finding, again.wait(HANG_S), again.err.read_text("utf-8"), out, simulated)
        except HangError as hang:
            finding.struck = finding.struck or ["unknown"]
            finding.wrong.append(f"hang: {hang}")
        shutil.rmtree(folder)
        return finding

    def _prepare(self, beginning: str, manifest: Path, out: Path, simulated: Service) -> None:
        if beginning == "plan":
            out.mkdir()
            asyncio.run(_plan_only(manifest, out, simulated))
        elif beginning == "done":
            done = self._home.start("run", manifest, "--out", out, cwd=out.parent, env=simulated.env)
            assert done.wait() == 0, done.err.read_text("utf-8")

    def _judge_run(self, finding: Finding, history: History, out: Path) -> None:
        point = finding.point
        failed = [call for call in history.calls if call.injected]
        finding.struck = [_what(call, out) for call in failed]
        if point.fault == KILL and finding.code == -signal.SIGKILL:
            finding.struck = ["the process"]
        if finding.outrun:
            if finding.code != 0:
                finding.wrong.append(f"exit code {finding.code} where nothing went wrong: {finding.said}")
            return
        if point.fault != KILL:
            finding.wrong.extend(_wrong_ending(finding, out))
            if of_ledger := [call for call in failed if "ledger.db" in _what(call, out)]:
                finding.posts_after = sum(
                    1 for message in history.messages if message.data.startswith(b"POST ") and message.began > of_ledger[0].began
                )
                if finding.posts_after > POSTS:
                    finding.wrong.append(f"{finding.posts_after} POSTs after a call of the ledger had failed")
        for moment in sorted({message.began + 0.5 for message in history.messages} | {history.end - 0.5}):
            for names, pieces in ((all_names, lambda change: None), (synced_names, lambda change: ())):
                tree = within(history.tree(moment, pieces, names=names), "out")
                finding.wrong.extend(f"{what}: {detail}" for what, detail in self._checks.violations(history, moment, tree))

    def _judge_resume(self, finding: Finding, code: int, said: str, out: Path, simulated: Service) -> None:
        if not (out / "report.json").exists():
            finding.wrong.append(f"no report after the resume, which ended with {code}: {said}")
            return
        counts, bill = report(out)["counts"], simulated.bill()
        finding.in_doubt = counts["in_doubt"]
        if code != (1 if finding.in_doubt else 0) or "Traceback" in said:
            finding.wrong.append(f"the resume ended with {code}: {said}")
        if counts["done"] + counts["in_doubt"] != ROWS:
            finding.wrong.append(f"after the resume: {counts}")
        if finding.in_doubt > POSTS:
            finding.wrong.append(f"{finding.in_doubt} rows in doubt")
        if bill["duplicates"] or not counts["done"] <= bill["accepted"] <= ROWS:
            finding.wrong.append(f"paid twice: {bill}")
        for row in results(out):
            for file in row["files"]:
                if hashlib.sha256((out / file["path"]).read_bytes()).hexdigest() != file["sha256"]:
                    finding.wrong.append(f"{file['path']} is damaged")


def _wrong_ending(finding: Finding, out: Path) -> Iterator[str]:
    """An error of the system is a message and an exit code that says whether the batch can go on, never a traceback."""
    last_words = finding.said[-600:]
    if "the program itself" in finding.struck:
        return  # a part of batcher or of Python could not be read: there is nobody left to say so well
    if "Traceback" in finding.said:
        yield f"a traceback: {last_words}"
    if finding.code not in (0, 1, 73, 75):
        yield f"exit code {finding.code}: {last_words}"
    if finding.code in (73, 75) and "batcher: " not in finding.said and "what it says" not in finding.struck:
        yield f"exit code {finding.code} without a message: {last_words}"
    states = _rows(out)
    wanted = {0: {"done"}, 1: {"done", "in_doubt"}}.get(finding.code or 0)
    if wanted is not None and (len(states) != ROWS or not set(states) <= wanted):
        yield f"exit code {finding.code} with rows that are {states}: {last_words}"


def _what(call: Call, out: Path) -> str:
    """What a call was made on, in words that are the same in every run."""
    place = 1 if call.name.endswith("at") else 0
    target = call.path(place) if call.name in NAMES else call.of()
    if target.startswith("TCP"):
        return "a connection"
    path = Path(target)
    if not path.is_relative_to(out.parent):
        return "what it says" if path.suffix in (".out", ".err") else "the program itself"
    return f"{path.parent.name}/*.part" if path.suffix == ".part" else path.name


def _manifest(folder: Path) -> Path:
    path = folder / "points.yaml"
    rows = [{"id": f"row{number}", "prompt": f"a picture of thing {number}"} for number in range(ROWS)]
    path.write_text(yaml.safe_dump({"name": "points", "job": "text_to_image", "run": RUN, "rows": rows}), "utf-8")
    return path


async def _plan_only(manifest: Path, out: Path, simulated: Service) -> None:
    opened, ledger = open_manifest(manifest), SqliteLedger(out / "ledger.db")
    await _plan(ledger, opened, Stopper())
    await ledger.put_meta({"name": opened.name, "run": opened.head.run.model_dump(), "service": simulated.base})
    await ledger.aclose()


def _rows(out: Path) -> list[str]:
    """The states of the rows; none where there is no ledger yet, or nothing in it."""
    try:
        with sqlite3.connect(f"{(out / 'ledger.db').as_uri()}?mode=ro", uri=True) as connection:
            return [state for (state,) in connection.execute("SELECT state FROM jobs")]
    except sqlite3.Error:
        return []


def table(findings: Sequence[Finding]) -> Iterator[str]:
    """The figures, as a table in Markdown, and everything that was wrong."""
    yield "| call | fault | points | exit codes | hangs | paid twice | POSTs after an error, intent durable | rows in doubt | wrong |"
    yield "|---|---|--:|---|--:|--:|--:|--:|--:|"
    for call, fault in dict.fromkeys((finding.point.call, finding.point.fault) for finding in findings):
        those = [finding for finding in findings if (finding.point.call, finding.point.fault) == (call, fault)]
        codes = ", ".join(f"{n} × {code}" for code, n in Counter(finding.code for finding in those).most_common())
        doubts, after = (sum(getattr(finding, name) for finding in those) for name in ("in_doubt", "posts_after"))
        hangs, twice = (sum(any(wrong.startswith(word) for wrong in finding.wrong) for finding in those) for word in ("hang", "paid twice"))
        wrongs = sum(bool(finding.wrong) for finding in those)
        yield f"| {call} | {fault} | {len(those)} | {codes} | {hangs} | {twice} | {after} | {doubts} | {wrongs} |"
    for finding in findings:
        for wrong in finding.wrong:
            yield f"{finding.point} ({', '.join(finding.struck)}): {wrong}"


def main() -> int:
    """Go through all points and print the table; the exit code is 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="scripts/inject-errors", description="Let each system call of a batch fail once, and see what comes of it.")
    parser.add_argument("--calls", nargs="+", default=CALLS, help="names of system calls")
    parser.add_argument("--faults", nargs="+", default=FAULTS, help="expressions of strace")
    parser.add_argument("--beginnings", nargs="+", default=BEGINNINGS, choices=BEGINNINGS)
    parser.add_argument("--first", type=int, default=1, help="the point to begin with (1)")
    parser.add_argument("--step", type=int, default=1, help="only each n-th point (1)")
    options = parser.parse_args()
    if reason := why_not():
        print(f"Nothing can be traced here: {reason}.", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="inject-errors-"))
    findings: list[Finding] = []
    try:
        with nursery(folder) as home, checker() as checks:
            prober = Prober(home, folder, checks)
            for call in options.calls:
                for fault in options.faults:
                    for beginning in options.beginnings:
                        for finding in prober.points(beginning, call, fault, options.first, options.step):
                            findings.append(finding)
                            for wrong in finding.wrong:
                                print(f"{finding.point}: {wrong}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)
        print("\n".join(table(findings)))
    return 1 if any(finding.wrong for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
