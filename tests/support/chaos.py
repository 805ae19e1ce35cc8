"""Real runs of the command line against a real simulator, killed again and again: what the crash suite and `scripts/chaos` share."""

from __future__ import annotations

import json
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batcher import crashpoints
from tests.support.command import PATIENCE_S, Service, start
from tests.support.evidence import Evidence, Figures, Submission, glance, objections, read_files, read_ledger, submission_of
from tests.support.preloaded import HangError, Nursery, nursery

POSTS_IN_FLIGHT = 3
RUN = {
    "concurrency": 12, "posts_in_flight": POSTS_IN_FLIGHT, "downloads": 4, "poll_floor_s": 0.01, "poll_ceiling_s": 0.05, "backoff_base_s": 0.01,
    "backoff_ceiling_s": 0.05,
}  # fmt: skip
PACE = ("--latency-s", "0.03", "--slots", "24", "--art", "plain")

TROUBLE = (
    "submit:429:probability=0.04,retry_after=0",
    "submit:500:probability=0.01",
    "submit:reset:probability=0.01,accepted=true",
    "submit:delay:probability=0.2,delay_s=0.03",
    "status:503:probability=0.05",
    "status:reset:probability=0.03",
    "result:500:probability=0.05",
    "download:403:probability=0.03",
    "download:truncated:probability=0.05",
    "download:reset:probability=0.03",
    "generation:fail:probability=0.02",
)
"""A service on a bad day; the second and the third rule make doubt."""

EVERY_ROW = sorted(
    point
    for point in crashpoints.POINTS
    if point.partition(".")[0] in ("Claimed", "Accepted", "Produced", "Saved", "submit", "poll", "draft", "writer") and point != "draft.written"
)
"""Points that every row passes, so that a random one of them, at a random count, is most likely reached."""
ONCE = sorted(
    point
    for point in crashpoints.POINTS
    if point.partition(".")[0]
    in ("plan", "put_meta", "begin_run", "recover", "add_requests", "end_run", "results", "report", "page", "folder", "view")
)
"""Points that every run passes once."""


@dataclass(frozen=True)
class Ending:
    """How one process ended; `code` is None where it was killed."""

    code: int | None
    hung: bool
    seconds: float
    said: str

    @property
    def killed(self) -> bool:
        return self.code is None


class Lab:
    """A simulator in a process of its own, and a process that forks others of the command line. Made by `open_lab`."""

    def __init__(self, home: Path, simulated: Service, forks: Nursery) -> None:
        self.home = home
        self.service = simulated
        self._forks = forks
        self._batches = 0

    def number(self) -> int:
        self._batches += 1
        return self._batches

    def run(self, *argv: object, crash: str = "", kill_after_s: float | None = None) -> Ending:
        """One process, forked."""
        began = time.monotonic()
        process = self._forks.start(*argv, env=self._env(crash))
        hung = False
        try:
            code = process.wait(PATIENCE_S if kill_after_s is None else kill_after_s)
        except HangError:
            hung, code = kill_after_s is None, -signal.SIGKILL
        return Ending(_code(code), hung, time.monotonic() - began, "".join(process.said()))

    def run_plainly(self, *argv: object, crash: str = "") -> Ending:
        """One process of `python -m batcher`, as a user starts it."""
        with start(*argv, home=self.home, env=self._env(crash)) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        return Ending(_code(process.returncode), False, 0.0, out + err)

    def _env(self, crash: str) -> dict[str, str]:
        return {**self.service.env, **({crashpoints.VARIABLE: crash} if crash else {})}


def _code(code: int) -> int | None:
    return None if code == -signal.SIGKILL else code


@contextmanager
def open_lab(home: Path, *faults: str) -> Iterator[Lab]:
    """`faults` are rules of the simulator."""
    flags = [*PACE, *(part for fault in faults for part in ("--fault", fault))]
    with nursery(home) as forks, forks.service(*flags) as simulated:
        yield Lab(home, simulated, forks)


@dataclass
class Batch:
    """One manifest and its folder, and what was done to it."""

    lab: Lab
    rows: Sequence[tuple[str, str]]
    """Id and prompt of each."""
    may_lose_answers: bool = False
    job_timeout_s: float = 60.0
    kills: int = 0
    runs: int = 0
    hangs: int = 0
    last: Ending | None = None
    held: list[set[str]] = field(default_factory=list)
    asked_again: Counter[str] = field(default_factory=Counter)
    was_changed: bool = False

    def __post_init__(self) -> None:
        self.name = f"batch{self.lab.number()}"
        self.out = self.lab.home / f"out-{self.name}"
        self.manifest = self.lab.home / f"{self.name}.yaml"
        self._owners: dict[str, str] = {}
        self._held_claims: set[tuple[str, int]] = set()
        self._submissions_before = self.lab.service.bill()["accepted"]
        self._write()

    def change(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write the manifest anew."""
        self.rows, self.was_changed = rows, True
        self._write()

    def _write(self) -> None:
        head = {"name": self.name, "job": "text_to_image", "run": {**RUN, "job_timeout_s": self.job_timeout_s}}
        rows = [{"id": row_id, "prompt": f"{prompt}, for {row_id} of {self.name}"} for row_id, prompt in self.rows]
        self.manifest.write_text(json.dumps({**head, "rows": rows}), "utf-8")  # JSON is YAML

    def run(self, crash: str = "", **options: Any) -> Ending:
        return self.command("run", self.manifest, "--out", self.out, crash=crash, **options)

    def command(self, *argv: object, crash: str = "", plainly: bool = False, **options: Any) -> Ending:
        """One process, and a look at what it left."""
        self.last = (self.lab.run_plainly if plainly else self.lab.run)(*argv, crash=crash, **options)
        self.runs += 1
        self.hangs += self.last.hung
        self.kills += self.last.killed and not self.last.hung
        found = glance(self.out)
        self._owners |= {body: row_id for row_id, _, body, _ in found}
        claims = {(row_id, claims) for row_id, state, _, claims in found if state == "submitting"}
        if self.last.killed or crash.endswith(":raise"):
            self.held.append({row_id for row_id, _ in claims - self._held_claims})
            self._held_claims |= claims
        return self.last

    def retry(self, *flags: object, states: Sequence[str], crash: str = "", **options: Any) -> Ending:
        """`batcher retry`, where it may submit rows again that are in `states`."""
        self.asked_again.update(row_id for row_id, state, _, _ in glance(self.out) if state in states)
        return self.command("retry", self.out, *flags, crash=crash, **options)

    @property
    def states(self) -> Counter[str]:
        return Counter(state for _, state, _, _ in glance(self.out))

    def submissions(self) -> list[Submission]:
        return [submission_of(record) for record in self.lab.service.requests(after=self._submissions_before)]

    def owner(self, submission: Submission) -> str | None:
        """The row that a submission was made for."""
        return self._owners.get(submission.body_sha256)

    def evidence(self) -> Evidence:
        """What is left after the last process, which must have ended by itself."""
        assert self.last is not None
        return Evidence(
            row_ids=[row_id for row_id, _ in self.rows],
            owners=self._owners,
            submissions=self.submissions(),
            ledger=read_ledger(self.out),
            results=[json.loads(line) for line in (self.out / "results.jsonl").read_text("utf-8").splitlines()],
            report=json.loads((self.out / "report.json").read_text("utf-8")),
            files=read_files(self.out),
            exit_code=-1 if self.last.code is None else self.last.code,
            posts_in_flight=POSTS_IN_FLIGHT,
            held=self.held,
            asked_again=self.asked_again,
            hangs=self.hangs,
            may_lose_answers=self.may_lose_answers,
            may_keep_earlier=self.was_changed,
        )

    def check(self, figures: Figures | None = None) -> Evidence:
        """Hold everything against everything. Raises `AssertionError` with all objections."""
        evidence = self.evidence()
        if figures is not None:
            figures.kills += self.kills
            figures.runs += self.runs
            figures.add(evidence)
        found = objections(evidence)
        assert not found, f"{self.name} after {self.kills} kills:\n" + "\n".join(found) + f"\n{self.last.said if self.last else ''}"
        return evidence


class Storm:
    """One batch under kills at random: at named points, at the n-th point of any name, and after a random time."""

    def __init__(self, batch: Batch, rng: random.Random, kills: int) -> None:
        self._batch = batch
        self._rng = rng
        self._kills = kills
        self._seconds = 0.3
        """How long a run takes, about: learned from those that end."""

    def rage(self) -> None:
        """Kill the batch so many times, or until it ends; then let it end, and have a person decide about what ended badly."""
        batch, rng = self._batch, self._rng
        self._until(lambda crash, **o: batch.run(crash, **o) if rng.random() < 0.5 or not batch.states else self._command("resume", crash, **o))
        if rng.random() < 0.2 and batch.states["cancelled"] == 0:
            self._command("cancel", self._crash())
        self._finish()
        for states, flags in (
            (("in_doubt",), ("--in-doubt", rng.choice(["resubmit", "abandon"]))),
            (("failed", "cancelled"), ("--failed", "--cancelled")),
        ):
            if rng.random() < 0.5 and any(batch.states[state] for state in states):
                batch.retry(*flags, states=states, crash=self._crash())
                self._finish()

    def _until(self, act: Any) -> None:
        before = self._batch.kills
        while self._batch.kills < before + self._kills:
            by_time = self._rng.random() < 0.2
            ending = act("", kill_after_s=self._rng.uniform(0.0, self._seconds)) if by_time else act(self._crash())
            if not ending.killed:
                self._seconds = 0.5 * self._seconds + 0.5 * ending.seconds
                return

    def _command(self, name: str, crash: str = "", **options: Any) -> Ending:
        return self._batch.command(name, self._batch.out, crash=crash, **options)

    def _crash(self) -> str:
        rng, rows = self._rng, len(self._batch.rows)
        match rng.randrange(4):
            case 0:
                return f"{crashpoints.ANY}:{rng.randint(1, 20 * rows)}"
            case 1:
                return rng.choice(ONCE)
            case _:
                return f"{rng.choice(EVERY_ROW)}:{rng.randint(1, max(1, rows // 2))}"

    def _finish(self) -> None:
        """Without a kill. A process that hangs is ended, and counts."""
        for _ in range(3):
            if self._batch.run().code in (0, 1):
                return


def storms(lab: Lab, seed: int, kills: int, *, rows: int, may_lose_answers: bool = False, figures: Figures | None = None) -> Figures:
    """Batch after batch until there were so many kills; adds to `figures`. Raises `AssertionError` at the first that breaks a promise."""
    rng = random.Random(seed)
    figures = Figures() if figures is None else figures
    while figures.kills < kills:
        names = [(f"row{n}", rng.choice(["a red boat", "a green door", "a tall tree"])) for n in range(rng.randint(1, rows))]
        batch = Batch(lab, names, may_lose_answers=may_lose_answers)
        Storm(batch, rng, min(rng.randint(4, 16), kills - figures.kills)).rage()
        batch.check(figures)
    return figures


@contextmanager
def temporary_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="batcher-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
