"""A million rows: planned, a slice of them run, stopped, and taken up again with 99 of 100 done. What each step takes, and how large it is.

python benchmarks/many_rows.py --rows 1000000 --json many_rows.json

The steps are commands of batcher, each a process of its own, against `stub.py`. Only most of the rows that are done are not run one by one: SQL makes
them what a run would have made them, with four events each, and their files are names of a few files. Then the folder is opened and closed once, as
the run that did them would have left it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from throughput import stub

from batcher.folder import open_folder

LINKS = 50_000
"""Names of one file: some file systems allow 65,000."""


@dataclass
class Step:
    """What a process took: seconds from its start, MB resident at the most."""

    name: str
    seconds: float
    cpu_s: float
    peak_mb: float
    first_request_s: float | None = None
    exit_code: int = 0


class Bench:
    def __init__(self, folder: Path, base: str, concurrency: int) -> None:
        self.folder, self.out, self.base, self.concurrency = folder, folder / "out", base, concurrency
        self.steps: list[Step] = []
        self.environment = {**os.environ, "RUNCOMFY_MODEL_API_BASE": f"{base}/v1", "RUNCOMFY_TOKEN": "any"}

    def ask(self, path: str) -> object:
        with urllib.request.urlopen(self.base + path) as answer:
            return json.load(answer)

    def step(self, name: str, *arguments: str, stop: signal.Signals | None = None, submits: int = 0) -> Step:
        """Run a command of batcher; with `stop` until so many rows were submitted, and then end it by that signal."""
        self.ask("/first")
        begun = self.submits() if stop else 0
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "batcher", *arguments], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ended, status, used = os.wait4(process.pid, os.WNOHANG if stop else 0)
        while not ended:
            time.sleep(0.1)
            if stop and self.submits() >= begun + submits:
                process.send_signal(stop)
                stop = None
            ended, status, used = os.wait4(process.pid, os.WNOHANG if stop else 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        first = self.ask("/first")
        first_s = first - started if isinstance(first, float) else None
        step = Step(name, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, first_s, process.returncode)
        self.steps.append(step)
        when = f"first request after {first_s:7.2f} s" if first_s is not None else ""
        print(f"{name:44} {seconds:8.2f} s {step.cpu_s:8.2f} s CPU {step.peak_mb:6.0f} MB  exit {step.exit_code:3}  {when}", flush=True)
        return step

    def submits(self) -> int:
        counts = self.ask("/counts")
        assert isinstance(counts, dict)
        return int(counts["submits"])


def finish(out: Path, rows: int) -> None:
    """Make the first `rows` rows done, with their history and their files, but for those that are done already."""
    ledger = sqlite3.connect(out / "ledger.db", isolation_level=None)
    ledger.execute("PRAGMA cache_size = -65536")
    ledger.execute("BEGIN")
    ledger.execute("CREATE TEMP TABLE wanted AS SELECT seq FROM jobs WHERE state = 'planned' AND position <= ?", (rows,))
    ledger.execute(
        """
        UPDATE jobs SET state = 'done', attempts = 1, polls = 2, queued = 0, cost_usd = 0.04, download_s = 0.01,
            request_id = printf('7f0c%08x-4b1d-4c7e-9d2f-%012x', seq * 2654435761 % 4294967296, seq),
            submitted_at = 1800000000.0 + seq / 100.0, started_at = 1800000001.0 + seq / 100.0, produced_at = 1800000004.0 + seq / 100.0,
            ended_at = 1800000005.0 + seq / 100.0, outputs = '["https://files.example/' || seq || '.png"]',
            artifacts = '[{"height":16,"media_type":"image/png","path":"results/' || (SELECT stem FROM specs WHERE specs.seq = jobs.seq)
                || '.png","sha256":"' || lower(hex(randomblob(32))) || '","size_bytes":1000,"width":16}]'
        WHERE seq IN (SELECT seq FROM wanted)
        """
    )
    for name, detail in (
        ("Claimed", "NULL"),
        ("Accepted", """'{"request_id":"' || request_id || '"}'"""),
        ("Produced", """'{"cost_usd":0.04,"outputs":' || outputs || '}'"""),
        ("Saved", """'{"artifacts":' || artifacts || ',"seconds":0.01}'"""),
    ):
        ledger.execute(f"INSERT INTO events (seq, at, name, detail) SELECT seq, submitted_at, '{name}', {detail} FROM jobs JOIN wanted USING (seq)")
    stems = ledger.execute("SELECT stem FROM specs JOIN wanted USING (seq)")
    source, left = out / "results", 0
    for (stem,) in stems:
        if not left:
            source, left = out / "results" / f"{stem}.png", LINKS
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(bytes(1000))
        else:
            os.link(source, out / "results" / f"{stem}.png")
        left -= 1
    ledger.execute("COMMIT")
    ledger.close()
    asyncio.run(settled(out))


async def settled(out: Path) -> None:
    async with open_folder(out, create=False):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--slice", type=int, default=2000, help="Rows submitted before each stop.")
    parser.add_argument("--concurrency", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--finish", type=Path, metavar="OUT", help="Only make the first --rows rows of the batch in OUT done.")
    options = parser.parse_args()
    if options.finish:
        finish(options.finish, options.rows)
        return
    with tempfile.TemporaryDirectory() as name, stub() as base:
        bench = Bench(Path(name), base, options.concurrency)
        results = measure(bench, options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), "utf-8")


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, object]:
    rows, out = options.rows, str(bench.out)
    manifest = bench.folder / "rows.csv"
    with manifest.open("w", encoding="utf-8") as file:
        file.write("id,prompt\n")
        file.writelines(f"r{n},a picture of thing {n}\n" for n in range(rows))
    pace = ["--quiet", "--no-gallery", "--concurrency", str(bench.concurrency), "--posts-in-flight", str(min(bench.concurrency, 256))]
    run = ["run", str(manifest), "--job", "text_to_image", "--out", out, *pace]
    done = rows - max(rows // 100, 5 * options.slice)
    print(f"{rows} rows, {done} of them done from the second run on, {bench.concurrency} at once")
    look = bench.step("look at the plan (batcher plan)", "plan", str(manifest), "--job", "text_to_image")
    first = bench.step("plan, run a slice, stop (SIGINT)", *run, stop=signal.SIGINT, submits=options.slice)
    subprocess.run([sys.executable, __file__, "--finish", out, "--rows", str(done)], check=True)  # a child counts the memory of its parent as its own
    resumed = bench.step("resume, run a slice, stop (SIGINT)", "resume", out, *pace, stop=signal.SIGINT, submits=options.slice)
    bench.step("resume, run a slice, killed (SIGKILL)", "resume", out, *pace, stop=signal.SIGKILL, submits=options.slice)
    killed = bench.step("resume after the kill, run the rest", "resume", out, *pace)
    bench.step("run again: every row compared, none to do", *run)
    status = bench.step("status", "status", out)
    report = bench.step("report", "report", out)
    plan_s = first.first_request_s or 0.0
    figures = {
        "rows": rows,
        "planned_rows_per_s": rows / plan_s,
        "planned_rows_per_cpu_s": rows / look.cpu_s,
        "plan_peak_mb": first.peak_mb,
        "resume_first_request_s": resumed.first_request_s,
        "resume_after_kill_first_request_s": killed.first_request_s,
        "in_flight_peak_mb": resumed.peak_mb,
        "status_s": status.seconds,
        "report_s": report.seconds,
        "report_peak_mb": report.peak_mb,
        "ledger_mb": (bench.out / "ledger.db").stat().st_size / 1e6,
    }
    for name, value in figures.items():
        print(f"{name:36} {value:12.2f}" if isinstance(value, float) else f"{name:36} {value!s:>12}")
    return {
        "options": {"rows": rows, "slice": options.slice, "concurrency": bench.concurrency},
        "figures": figures,
        "steps": [asdict(s) for s in bench.steps],
    }


if __name__ == "__main__":
    main()
