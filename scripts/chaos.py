"""Kills real runs of batcher until there were enough kills, and prints what came of it. Called by `scripts/chaos`.

The kills are dealt out in stretches, each with a simulated service and a seed of its own; every other service is on a bad day: 429, 5xx, resets,
broken downloads, failed generations. Rows in doubt are left alone, submitted again or given up, batch by batch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.support.chaos import TROUBLE, open_lab, storms, temporary_home
from tests.support.evidence import Figures

STRETCH = 50
SERVICES = ("calm", "troubled")
WORDS = {
    "kills": "kills",
    "runs": "runs",
    "batches": "batches",
    "rows": "rows",
    "done": "rows done",
    "accepted": "accepted submissions",
    "paid_twice": "rows paid twice by mistake",
    "lost": "rows with a lost id",
    "damaged": "damaged files",
    "held": "times that a row was put in doubt",
    "held_accepted": "  of which truly accepted",
    "held_by_one_kill_max": "most rows left in doubt by one kill",
    "hangs": "hangs",
}


@dataclass(frozen=True)
class Stretch:
    """So many kills of batches at one service; the same stretch again draws the same batches and kill points."""

    seed: int
    kills: int
    service: str
    rows: int

    def run(self) -> tuple[Figures, str]:
        """The figures, and what went wrong; nothing if every promise was kept."""
        figures, trouble = Figures(), TROUBLE if self.service == "troubled" else ()
        try:
            with temporary_home() as home, open_lab(home, *trouble) as lab:
                storms(lab, self.seed, self.kills, rows=self.rows, may_lose_answers=bool(trouble), figures=figures)
        except AssertionError as error:
            return figures, f"{error}\nTo repeat: {self}"
        return figures, ""

    def __str__(self) -> str:
        return f"scripts/chaos --jobs 1 --kills {self.kills} --rows {self.rows} --seed {self.seed} --service {self.service}"


def deal_out(kills: int, seed: int, service: str, rows: int) -> list[Stretch]:
    services = SERVICES if service == "both" else (service,)
    starts = range(0, kills, STRETCH)
    return [Stretch(seed + n, min(STRETCH, kills - start), services[n % len(services)], rows) for n, start in enumerate(starts)]


def total(parts: list[Figures]) -> Figures:
    """The sums; of a figure that is a maximum, the largest."""
    join = {field.name: max if field.name.endswith("_max") else sum for field in fields(Figures)}
    return Figures(**{name: how([getattr(part, name) for part in parts] or [0]) for name, how in join.items()})


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Kills real runs, and checks what is left.")
    parser.add_argument("--kills", type=int, default=200, help="how often a process is killed (200)")
    parser.add_argument("--rows", type=int, default=12, help="the most rows of a batch (12)")
    parser.add_argument("--seed", type=int, default=1, help="what settles batches and kill points, though not the times (1)")
    parser.add_argument("--jobs", type=int, default=2, help="batches at once (2)")
    parser.add_argument("--service", choices=[*SERVICES, "both"], default="both", help="whether the simulated service is on a bad day (both)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    asked = parser.parse_args()
    began, parts, broken = time.monotonic(), [], []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for figures, trouble in pool.map(Stretch.run, deal_out(asked.kills, asked.seed, asked.service, asked.rows)):
            parts.append(figures)
            if trouble:
                broken.append(trouble)
                print(trouble, file=sys.stderr, flush=True)
            elif sys.stderr.isatty():
                print(f"{sum(part.kills for part in parts)} kills", file=sys.stderr, flush=True)
    figures, seconds = total(parts), time.monotonic() - began
    for name, words in WORDS.items():
        print(f"{words:<37}{getattr(figures, name):>8}")
    print(f"{'stretches that broke a promise':<37}{len(broken):>8}")
    print(f"in {seconds:.0f} s with --jobs {asked.jobs} --rows {asked.rows} --seed {asked.seed} --service {asked.service}")
    if asked.json is not None:
        asked.json.write_text(json.dumps({**asdict(figures), "violations": broken, "seconds": round(seconds, 1)}, indent=2) + "\n", "utf-8")
    return 1 if broken or figures.kills < asked.kills else 0


if __name__ == "__main__":
    sys.exit(main())
