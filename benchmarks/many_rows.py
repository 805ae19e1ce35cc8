"""Runs many rows at a high concurrency against the simulator in a process of its own, with no service time, and says how fast and how large it was.

.venv/bin/python benchmarks/many_rows.py --rows 10000 --concurrency 500
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=500)
    parser.add_argument("--memory-mb", type=float, default=160, help="The bound of resident memory: beyond it the exit code is 1.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.csv"
        rows.write_text("id,prompt\n" + "".join(f"r{n},a picture of thing {n}\n" for n in range(options.rows)), "utf-8")
        batcher = [sys.executable, "-m", "batcher"]
        simulate = [*batcher, "simulate", "--port", "0", "--latency-s", "0", "--slots", "100000", "--art", "plain"]
        with subprocess.Popen(simulate, stdout=subprocess.PIPE, text=True) as simulator:
            assert simulator.stdout is not None
            base = simulator.stdout.readline().strip()
            environment = {**os.environ, "RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": "any"}
            out = Path(folder) / "out"
            run = ["run", str(rows), "--job", "text_to_image", "--out", str(out), "--concurrency", str(options.concurrency), "--quiet"]
            started = time.monotonic()
            code = subprocess.run([*batcher, *run], env=environment, check=False).returncode
            seconds = time.monotonic() - started
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            with urllib.request.urlopen(base.removesuffix("/v1") + "/_simulator/bill") as answer:
                accepted = json.load(answer)["accepted"]
            simulator.terminate()
        counts = json.loads((out / "report.json").read_text("utf-8"))["counts"]
    print(f"exit code {code}, {counts['done']} of {options.rows} rows done, {accepted} submissions accepted")
    cpu_ms = 1000 * (used.ru_utime + used.ru_stime) / options.rows
    print(f"{seconds:.1f} s, {options.rows / seconds:.0f} rows/s, {cpu_ms:.2f} ms of CPU a row, {used.ru_maxrss / 1024:.0f} MB resident at the most")
    sys.exit(code or (used.ru_maxrss / 1024 > options.memory_mb))


if __name__ == "__main__":
    main()
