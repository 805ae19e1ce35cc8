"""Jobs a second and CPU a job of batcher and of what a user would do instead, on the same work, in turns in one run.

python benchmarks/throughput.py --rows 3000 --concurrency 256 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from service import stub

HERE = Path(__file__).resolve().parent
PEERS = ("fal", "dbos")


def measure(side: str, base: str, rows: int, concurrency: int, folder: Path) -> dict[str, float]:
    """Wall and CPU seconds of one side."""
    folder.mkdir()
    environment = {**os.environ, "RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": "any"}
    if side == "batcher":
        manifest = folder / "rows.csv"
        manifest.write_text("id,prompt\n" + "".join(f"{n},a picture of thing {n}\n" for n in range(rows)), "utf-8")
        flags = ["--model", "acme/paint", "--out", str(folder / "out"), "--concurrency", str(concurrency), "--quiet", "--no-gallery"]
        command = [sys.executable, "-m", "batcher", "run", str(manifest), *flags]
    else:
        script = "peers.py" if side in PEERS else "sides.py"
        command = [sys.executable, str(HERE / script), side, base, str(rows), str(concurrency), str(folder)]
    started = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{side} ended with {process.returncode}")
    files = sum(1 for _ in folder.rglob("*.png"))
    if files != rows:
        raise SystemExit(f"{side} left {files} of {rows} files")
    shutil.rmtree(folder)
    os.sync()  # what one side left to be written is not the burden of the next
    return {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "memory_mb": used.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file-bytes", type=int, default=1000)
    parser.add_argument("--median-s", type=float, default=0.0, help="The median time that the service takes.")
    parser.add_argument("--sides", default="bare,by_hand,batcher")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sides = options.sides.split(",")
    flags = ["--file-bytes", str(options.file_bytes), "--median-s", str(options.median_s)]
    results: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder, stub(*flags) as base:
        for turn in range(options.rounds):
            for side in sides:
                results[side].append(measure(side, base, options.rows, options.concurrency, Path(folder, f"{side}-{turn}")))
    report(sides, results, options.rows)
    if options.json:
        options.json.write_text(json.dumps({"options": vars(options) | {"json": None}, "results": results}, indent=2), "utf-8")


def report(sides: list[str], results: dict[str, list[dict[str, Any]]], rows: int) -> None:
    print(f"{'side':12} {'jobs/s':>8} {'least':>7} {'most':>7} {'CPU ms a job':>13} {'memory MB':>10} {'jobs/s against ' + sides[0]:>22}")
    first = statistics.median(each["seconds"] for each in results[sides[0]])
    for side in sides:
        seconds = [each["seconds"] for each in results[side]]
        median, cpu = statistics.median(seconds), statistics.median(each["cpu_s"] for each in results[side])
        memory = max(each["memory_mb"] for each in results[side])
        speeds = f"{rows / median:8.0f} {rows / max(seconds):7.0f} {rows / min(seconds):7.0f}"
        print(f"{side:12} {speeds} {1000 * cpu / rows:13.2f} {memory:10.0f} {first / median:22.2f}")


if __name__ == "__main__":
    main()
