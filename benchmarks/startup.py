"""CPU seconds of commands that do next to nothing: what is imported, above all.

python benchmarks/startup.py --rounds 7
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path


def cpu_s(*arguments: str) -> float:
    """Of one process, in user and system mode."""
    with subprocess.Popen([sys.executable, "-m", "batcher", *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"batcher {' '.join(arguments)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cpu_s("--help")  # compiles
    found = sorted(cpu_s("--help") for _ in range(options.rounds))
    print(f"batcher --help: {statistics.median(found):.3f} s of CPU ({found[0]:.3f} to {found[-1]:.3f})")
    if options.json:
        options.json.write_text(json.dumps({"help_cpu_s": found}), "utf-8")


if __name__ == "__main__":
    main()
