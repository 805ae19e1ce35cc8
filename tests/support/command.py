"""Driving the command line as a user does: a process, a clean home, no token but the one that is given."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.errors import BatcherError
from batcher.ledger import LedgerReader

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "sample_manifests"
AT_STARTUP = str(REPOSITORY / "tests" / "support" / "at_startup")
"""In PYTHONPATH: a process that sends itself signals, or writes down what it does."""

PATIENCE_S = 60.0

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script: what tests start would inherit the deafness to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Without what measures coverage: it would take a third of the time of hundreds of processes."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "LANG")}
    return {**kept, "HOME": str(home), "COLUMNS": "120", **more}


def start(*arguments: object, home: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "batcher", *map(str, arguments)]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd or home, env=environment(home, **(env or {})), **{**pipes, **options})


def batcher(
    *arguments: object, home: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    with start(*arguments, home=home, cwd=cwd, env=env, stdin=subprocess.PIPE) as process:
        out, err = process.communicate(stdin, timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(condition: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S, meanwhile: subprocess.Popen[str] | None = None) -> None:
    """Wait, as long as the process `meanwhile` lives."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert meanwhile is None or meanwhile.poll() is None, meanwhile.communicate()
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Service:
    """A simulator in a process of its own."""

    base: str

    @property
    def env(self) -> dict[str, str]:
        return {"RUNCOMFY_MODEL_API_BASE": self.base, "RUNCOMFY_TOKEN": "canary-5c1e77"}

    def bill(self) -> dict[str, Any]:
        return dict(self._ask("bill"))

    def requests(self, after: int = 0) -> list[dict[str, Any]]:
        """Every accepted submission but the first `after`, oldest first."""
        return list(self._ask(f"requests?after={after}"))

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.base.removesuffix('/v1')}/_simulator/{path}", timeout=PATIENCE_S) as answer:
            return json.load(answer)


@contextmanager
def service(home: Path, *flags: object) -> Iterator[Service]:
    with start("simulate", "--port", 0, *flags, home=home) as process:
        assert process.stdout is not None
        try:
            yield Service(process.stdout.readline().strip())
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def steady_port() -> int:
    """A free port that no outgoing connection of others is given meanwhile, for a service that comes back under the same address."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def status(out: Path, _home: Path | None = None) -> dict[str, int]:
    """How many rows of a batch are in each state, also while it runs; empty while there is none yet."""
    try:
        with LedgerReader(out / "ledger.db") as reader:
            return {state.value: n for state, n in reader.counts().items()}
    except BatcherError:
        return {}


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]


def report(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "report.json").read_text("utf-8")))


def write_rows(path: Path, rows: int) -> Path:
    path.write_text("id,prompt\n" + "".join(f"row{n:04},a picture of thing {n}\n" for n in range(rows)), "utf-8")
    return path
