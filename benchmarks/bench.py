"""Runs every benchmark and says what came of each target: a table, and a JSON file with all that was measured.

python benchmarks/bench.py [--quick] [--json benchmarks/results.json]

Figures swing with the machine; ratios of one run are what to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

Found = dict[str, Any]
"""What each benchmark wrote, by its name."""


@dataclass(frozen=True)
class Target:
    """A figure, and the bound that it should keep."""

    what: str
    bound: float
    at_least: bool
    figure: Callable[[Found], float]

    def line(self, found: Found) -> dict[str, Any]:
        value = self.figure(found)
        met = value >= self.bound if self.at_least else value <= self.bound
        return {"what": self.what, "target": f"{'≥' if self.at_least else '≤'} {self.bound:,g}", "found": value, "met": met}


def plan(quick: bool) -> dict[str, list[str]]:
    """The commands, by name."""
    rounds, few = ["--rounds", "3" if quick else "5"], ["--rounds", "1" if quick else "3"]
    rows, ours = ["--rows", "1000" if quick else "5000"], ["--sides", "bare,by_hand,batcher"]
    return {
        "throughput": ["throughput.py", *rows, *ours, *rounds],
        "throughput-1000": ["throughput.py", *rows, *ours, *few, "--concurrency", "1000"],
        "peers": ["throughput.py", "--rows", "200" if quick else "600", "--sides", "batcher,fal,dbos", *few],
        "large-files": ["throughput.py", "--rows", "1000", "--file-bytes", "1000000", "--sides", "by_hand,batcher", *rounds],
        "in-flight": ["throughput.py", "--rows", "2000", "--concurrency", "1000", "--median-s", "3", "--sides", "batcher", "--rounds", "1"],
        "downloads": ["downloads.py", *rounds],
        "ledger": ["ledger.py", *rounds],
        "polling": ["polling.py", *(["--jobs", "500", "--seeds", "2"] if quick else [])],
        "many-rows": ["many_rows.py", "--rows", "50000" if quick else "1000000"],
        "parts": ["parts.py"],
        "growth": ["growth.py", *(["--most", "300"] if quick else [])],
        "start-up": ["startup.py"],
    }


def median(found: Found, name: str, side: str, key: str) -> float:
    return statistics.median(each[key] for each in found[name]["results"][side])


def faster(name: str, other: str) -> Callable[[Found], float]:
    """Jobs a second of batcher against another side."""
    return lambda found: median(found, name, other, "seconds") / median(found, name, "batcher", "seconds")


TARGETS: Sequence[Target] = (
    Target("jobs/s against the bare loop (concurrency 256)", 0.80, True, faster("throughput", "bare")),
    Target("jobs/s against the bare loop (concurrency 1,000)", 0.80, True, faster("throughput-1000", "bare")),
    Target("jobs/s against the script written by hand", 1.0, True, faster("throughput", "by_hand")),
    Target("jobs/s against fal's client", 1.0, True, faster("peers", "fal")),
    Target("jobs/s against DBOS on SQLite", 10.0, True, faster("peers", "dbos")),
    Target(
        "CPU a job at 1 MB against the script written by hand", 1.5, False,
        lambda found: median(found, "large-files", "batcher", "cpu_s") / median(found, "large-files", "by_hand", "cpu_s"),
    ),
    Target("durable transitions/s, 200 workers", 20_000, True, lambda found: statistics.median(found["ledger"]["transitions_per_s"])),
    Target("MB at 1,000 in flight", 150, False, lambda found: median(found, "in-flight", "batcher", "memory_mb")),
    Target(
        "downloads of 2 MB, 32 at once, against a bare loop", 0.65, True,
        lambda found: statistics.median(found["downloads"]["seconds"]["bare"]) / statistics.median(found["downloads"]["seconds"]["batcher"]),
    ),
    Target("batcher --help, s of CPU", 0.25, False, lambda found: statistics.median(found["start-up"]["help_cpu_s"])),
)  # fmt: skip


def run(name: str, command: Sequence[str], folder: Path) -> Any:
    """What one benchmark wrote; its table goes to the terminal."""
    print(f"\n{name}: {' '.join(command)}", flush=True)
    written = folder / f"{name}.json"
    subprocess.run([sys.executable, str(HERE / command[0]), *command[1:], "--json", str(written)], check=True)
    return json.loads(written.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Fewer rows and rounds: to see that all of it runs.")
    parser.add_argument("--only", default="", help="Names of benchmarks, with commas.")
    parser.add_argument("--json", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    commands = plan(options.quick)
    chosen = options.only.split(",") if options.only else list(commands)
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            found[name] = run(name, commands[name], Path(folder))
    lines = []
    for target in TARGETS:
        try:
            lines.append(target.line(found))
        except KeyError:  # of a benchmark that was not chosen
            continue
    machine = {"processors": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    options.json.write_text(json.dumps({"machine": machine, "targets": lines, "measured": found}, indent=1), "utf-8")
    print(f"\n{'what':58} {'target':>10} {'found':>12}")
    for line in lines:
        print(f"{line['what']:58} {line['target']:>10} {line['found']:12,.2f}{'' if line['met'] else '  missed'}")


if __name__ == "__main__":
    main()
