"""How the cost of a job grows with the rows of a batch, and with how many requests are in flight: figures, and a picture of each as SVG.

python benchmarks/growth.py --pictures docs/images

Rows: CPU a row of planning, and of a run with all that belongs to it, 256 at once. Concurrency: CPU a job and jobs a second, where each job takes the
service no time, and where it takes 2 s, so that the service bounds the speed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from throughput import stub

ROWS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
AT_ONCE = (1, 4, 16, 64, 256, 1_000)
PLANNED = (10, 100, 1_000, 10_000, 100_000)
SERVICE_S = 2.0


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds of wall and of CPU."""

    seconds: float
    cpu_s: float


def batcher(folder: Path, base: str, rows: int, command: str, *flags: str) -> Cost:
    """What a command of batcher takes in a fresh folder."""
    manifest = folder / f"{rows}.csv"
    if not manifest.exists():
        manifest.write_text("id,prompt\n" + "".join(f"{n},a picture of thing {n}\n" for n in range(rows)), "utf-8")
    environment = {**os.environ, "RUNCOMFY_MODEL_API_BASE": f"{base}/v1", "RUNCOMFY_TOKEN": "any"}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        words = [sys.executable, "-m", "batcher", command, str(manifest), "--model", "acme/paint", "--out", f"{out}/out", *flags]
        began = time.monotonic()
        with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{command} of {rows} rows ended with {process.returncode}")
    return Cost(seconds, used.ru_utime + used.ru_stime)


Line = tuple[str, Sequence[tuple[float, float]]]


def by_rows(folder: Path, base: str, most: int) -> list[Line]:
    """ms of CPU a row."""
    flags = ("--quiet", "--no-gallery", "--concurrency", "256")
    runs = [(n, 1000 * batcher(folder, base, n, "run", *flags).cpu_s / n) for n in ROWS if n <= most]
    plans = [(n, 1000 * batcher(folder, base, n, "plan").cpu_s / n) for n in PLANNED if n <= 10 * most]
    return [("run", runs), ("plan", plans)]


def by_concurrency(folder: Path, base: str, slow: str) -> tuple[list[Line], list[Line]]:
    """ms of CPU a job, and jobs a second."""
    costs: list[Line] = []
    speeds: list[Line] = []
    for name, at, rows_of in (
        ("no service time", base, lambda n: min(4000, max(200, 20 * n))),
        (f"{SERVICE_S:g} s of service time", slow, lambda n: max(20, 4 * n)),
    ):
        found = []
        for n in AT_ONCE:
            rows = rows_of(n)
            cost = batcher(folder, at, rows, "run", "--quiet", "--no-gallery", "--concurrency", str(n))
            found.append((n, 1000 * cost.cpu_s / rows, rows / cost.seconds))
        costs.append((name, [(n, cost) for n, cost, _ in found]))
        speeds.append((name, [(n, speed) for n, _, speed in found]))
    return costs, speeds


WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
COLOURS = ("#2f7ed8", "#d9661f", "#2a9d62")


def decades(lines: Sequence[Line], axis: int) -> tuple[int, int]:
    """The powers of ten around all values of an axis."""
    values = [point[axis] for _, points in lines for point in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def drawing(title: str, across: str, lines: Sequence[Line]) -> str:
    """Lines over logarithmic axes, as SVG, to be read on white and on black."""
    (left, right), (low, high) = decades(lines, 0), decades(lines, 1)

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" fill="#808890">',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{across}</text>',
    ]
    for power in range(left, right + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#80889055"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#80889055"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>')
    is_high = min(y(points[-1][1]) for _, points in lines) < HEIGHT / 2
    names_at = HEIGHT - BOTTOM - 18 * len(lines) if is_high else TOP + 18  # where no line ends
    for number, (name, points) in enumerate(lines):
        colour = COLOURS[number]
        path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
        parts.append(f'<text x="{WIDTH - RIGHT - 8}" y="{names_at + 18 * number:.1f}" text-anchor="end" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def show(title: str, lines: Sequence[Line], form: Callable[[float], str]) -> None:
    print(title)
    for name, points in lines:
        print(f"  {name}: " + ", ".join(f"{n:,g}: {form(value)}" for n, value in points))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=ROWS[-1], help="Rows of the largest batch that is run; ten times as many are planned.")
    parser.add_argument("--pictures", type=Path, help="The folder that the pictures go to.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, stub() as base, stub("--median-s", str(SERVICE_S)) as slow:
        rows = by_rows(Path(name), base, options.most)
        costs, speeds = by_concurrency(Path(name), base, slow)
    show("ms of CPU a row, by rows", rows, "{:.3g}".format)
    show("ms of CPU a job, by concurrency", costs, "{:.3g}".format)
    show("jobs a second, by concurrency", speeds, "{:.3g}".format)
    if options.pictures:
        (options.pictures / "cost-by-rows.svg").write_text(drawing("CPU a row, ms", "rows of the batch", rows), "utf-8")
        both = [(f"jobs/s, {name}", points) for name, points in speeds] + [("CPU a job, ms, no service time", costs[0][1])]
        (options.pictures / "cost-by-concurrency.svg").write_text(drawing("Speed and cost", "requests in flight (concurrency)", both), "utf-8")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "cpu_ms": costs, "jobs_per_s": speeds}), "utf-8")


if __name__ == "__main__":
    main()
