"""Mutation testing of the parts that spend money and keep records: see docs/reference/mutation.md."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from python_mutants import Mutant, enum_members, python_mutants
from running import Bench, Outcome
from sql_mutants import sql_mutants

ROOT = Path(__file__).resolve().parents[2]


class Area(NamedTuple):
    modules: list[str]
    tests: list[str]


AREAS = {
    "lifecycle": Area(
        ["batcher/lifecycle.py", "batcher/retry.py", "batcher/decisions.py"],
        ["tests/unit/test_lifecycle.py", "tests/unit/test_retry.py", "tests/unit/test_decisions.py", "tests/unit/test_carry.py",
         "tests/unit/test_odd_service.py"],
    ),
    "submit": Area(
        ["batcher/engine.py", "batcher/carry.py", "batcher/gate.py", "batcher/pacing.py", "batcher/course.py"],
        [f"tests/unit/test_{name}.py" for name in ("engine", "carry", "odd_service", "gate", "pacing", "course", "polling")],
    ),
    "ledger": Area(
        [path.relative_to(ROOT).as_posix() for pattern in ("*.py", "sql/*.sql") for path in sorted((ROOT / "batcher" / "ledger").glob(pattern))],
        ["tests/unit/ledger", "tests/contract/test_ledger.py", "tests/unit/test_decisions.py", "tests/unit/test_odd_service.py"],
    ),
}  # fmt: skip
ENUMS = ["batcher/model.py", "batcher/errors.py", "batcher/lifecycle.py", "batcher/pacing.py"]
SAME = ("module", "operator", "change")
"""What tells a mutant from others, wherever its line has moved."""

SLOW_S = 1.0
SHARE = 0.9
"""What has to be found of the bugs in each area."""


def mutants_of(module: str) -> list[Mutant]:
    text = (ROOT / module).read_text(encoding="utf-8")
    if module.endswith(".sql"):
        schema = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / module).parent.glob("[0-9]*.sql")))
        return list(sql_mutants(module, text, schema, is_schema="queries" not in module))
    enums = {name: members for path in ENUMS for name, members in enum_members((ROOT / path).read_text(encoding="utf-8")).items()}
    return list(python_mutants(module, text, enums))


def chosen(options: argparse.Namespace) -> dict[str, list[Mutant]]:
    """The mutants to try, by area."""
    modules = [module for area in AREAS.values() for module in area.modules if not options.module or any(part in module for part in options.module)]
    mutants = [mutant for module in modules for mutant in mutants_of(module)]
    if options.again:
        entries = json.loads(Path(options.again).read_text(encoding="utf-8"))
        survived = {tuple(entry[name] for name in SAME) for entry in entries if entry["outcome"] == Outcome.SURVIVED}
        mutants = [mutant for mutant in mutants if tuple(getattr(mutant, name) for name in SAME) in survived]
    if options.sample and options.sample < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.sample)
    return {name: [mutant for mutant in mutants if mutant.module in area.modules] for name, area in AREAS.items()}


def table(results: list[tuple[Mutant, Outcome, str]]) -> bool:
    """Print the score of each module and area; whether every area reaches its share."""
    counts: Counter[tuple[str, Outcome]] = Counter((mutant.module, outcome) for mutant, outcome, _ in results)
    good = True
    print(f"\n{'module':36} {'mutants':>8} {'killed':>8} {'hung':>6} {'survived':>9} {'score':>7}")
    for area, (modules, _) in AREAS.items():
        for name, of in [*((module, [module]) for module in modules), (f"= {area}", modules)]:
            killed, hung, survived = (sum(counts[module, outcome] for module in of) for outcome in (Outcome.KILLED, Outcome.HUNG, Outcome.SURVIVED))
            total = killed + hung + survived
            if total:
                share = (killed + hung) / total
                good = good and (share >= SHARE or not name.startswith("="))
                print(f"{name:36} {total:8} {killed:8} {hung:6} {survived:9} {share:7.1%}")
    return good


def tried(tests: list[str], mutants: list[Mutant], jobs: int, slow_s: float | None) -> Iterator[tuple[Mutant, Outcome, str]]:
    """What became of each mutant, and the test that found it; tells on the way."""
    with tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as folder:
        bench = Bench(tests, Path(folder), slow_s)
        print(f"{len(bench.seconds)} tests pass on the code as it is, in {sum(bench.seconds.values()):.0f} s. {len(mutants)} mutants.", flush=True)
        for number, (mutant, outcome, killer) in enumerate(bench.run(mutants, jobs), start=1):
            if outcome is Outcome.SURVIVED or number % 100 == 0:
                print(f"{number}/{len(mutants)} {outcome}: {mutant.name}", flush=True)
            yield mutant, outcome, killer


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("--module", action="append", metavar="M", help="only files with this in their path; may be given several times")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants, always the same")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another sample than the usual one")
    parser.add_argument("--json", metavar="FILE", help="write every mutant and what became of it")
    parser.add_argument("--again", metavar="FILE", help="only those that survived according to FILE, from an earlier --json")
    parser.add_argument(
        "--quick", action="store_true", help=f"leave out tests that take more than {SLOW_S:g} s of computing: a few more seem to survive"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="mutants tried at once")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    options = parser.parse_args()
    mutants = chosen(options)
    if options.list:
        print("\n".join(mutant.name for area in mutants.values() for mutant in area))
        return 0
    os.chdir(ROOT)
    started = time.monotonic()
    results = [
        result for area, of in mutants.items() if of for result in tried(AREAS[area].tests, of, options.jobs, SLOW_S if options.quick else None)
    ]
    results.sort(key=lambda result: (result[0].module, result[0].line, result[0].name))
    if options.json:
        fields = ("module", "line", "operator", "change")
        entries = [
            {"name": mutant.name, **{name: getattr(mutant, name) for name in fields}, "outcome": outcome, "killer": killer}
            for mutant, outcome, killer in results
        ]
        Path(options.json).write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")
    good = table(results)
    stillborn = sum(outcome is Outcome.STILLBORN for _, outcome, _ in results)
    print(f"\n{stillborn} more could not even be imported and do not count. {time.monotonic() - started:.0f} s.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
