"""The command line in processes that are forked from one that has imported everything: hundreds of starts for the price of one.

Each is a process of its own, with arguments, environment, working folder, output and exit code of its own, and ends as the interpreter ends. A start
may wait until strace follows it, so that not a single call is missed, and may be altered on purpose, mostly to see that a check notices. The product
has no switch for that: what is altered is replaced here, in the forked process, before the command begins.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import command
from tests.support.command import PATIENCE_S, REPOSITORY, Service, environment, wait_until

PRELOADED = (
    "batcher.app", "batcher.cli.commands", "batcher.cli.summary", "batcher.decisions", "batcher.simulator", "jobs.text_to_image", "ctypes._endian",
    "encodings.idna", "importlib.readers", "pydantic.type_adapter", "rich._emoji_codes", "uvloop",
)  # fmt: skip
"""All that a run imports when it comes to need it."""

CAN_FORK = hasattr(os, "fork")

PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1


class HangError(AssertionError):
    """A process did not end in time."""


@dataclass
class Process:
    """One command that was started; `out` and `err` are files with what it said."""

    nursery: Nursery
    pid: int
    out: Path
    err: Path
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.code is None:
            self.code = self.nursery.ask({"poll": self.pid})
        return self.code

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """The exit code. Raises `HangError`, and kills, where it does not come in time."""
        if self.code is None:
            self.code = self.nursery.ask({"poll": self.pid, "patience_s": patience_s})
        if self.code is None:
            self.kill()
            raise HangError(f"process {self.pid} did not end within {patience_s:g} s; it said: {self.err.read_text('utf-8')}")
        return self.code

    def said(self) -> tuple[str, str]:
        """What it wrote to its standard output and to standard error; the files are gone then."""
        texts = self.out.read_text("utf-8"), self.err.read_text("utf-8")
        self.out.unlink()
        self.err.unlink()
        return texts

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            wait_until(lambda: self.poll() is not None, "a killed process to be gone")


class Nursery:
    """The process that has imported everything, and forks on demand."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.preloaded"],
            cwd=REPOSITORY,
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        *arguments: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        trace: Path | None = None,
        altered: str | None = None,
        countable: bool = False,
    ) -> Process:
        """Start a command. With `trace` it waits until strace has written to that file; `countable`: see `_make_countable`."""
        self._started += 1
        out, err = (self._home / f"said-{self._started}.{name}" for name in ("out", "err"))
        out.touch()
        err.touch()
        request = {
            "argv": [str(argument) for argument in arguments],
            "cwd": str(cwd or self._home),
            "env": environment(self._home, **(env or {})),
            "out": str(out),
            "err": str(err),
            "trace": None if trace is None else str(trace),
            "altered": altered,
            "countable": countable,
        }
        return Process(self, self.ask(request), out, err)

    @contextmanager
    def service(self, *flags: object, **options: Any) -> Iterator[Service]:
        """A simulator of its own, killed in the end; `options` are those of `start`."""
        process = self.start("simulate", "--port", 0, *flags, **options)
        try:
            wait_until(lambda: process.out.read_text("utf-8").endswith("/v1\n") or process.poll() is not None, "the simulator to be up")
            assert process.code is None, process.err.read_text("utf-8")
            yield Service(process.out.read_text("utf-8").strip())
        finally:
            process.kill()

    def close(self) -> None:
        """End, with everything that was started and still runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def nursery(home: Path) -> Iterator[Nursery]:
    opened = Nursery(home)
    try:
        yield opened
    finally:
        opened.close()


@functools.cache
def _shared() -> Nursery:
    """One for all tests of this process."""
    home = tempfile.TemporaryDirectory(prefix="batcher-nursery-")
    atexit.register(home.cleanup)
    opened = Nursery(Path(home.name))
    atexit.register(opened.close)
    return opened


def batcher(
    *arguments: object, home: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """One command from its start to its end. What reads from a pipe, or has Python look at something as it starts, is started as a user starts it."""
    if stdin or "PYTHONPATH" in (env or {}) or not CAN_FORK:
        return command.batcher(*arguments, home=home, cwd=cwd, env=env, stdin=stdin)
    process = _shared().start(*arguments, cwd=cwd or home, env={"HOME": str(home), **(env or {})})
    code = process.wait()
    return subprocess.CompletedProcess(arguments, code, *process.said())


@contextmanager
def service(home: Path, *flags: object) -> Iterator[Service]:
    """A simulator of its own."""
    with _shared().service(*flags, cwd=home, env={"HOME": str(home)}) if CAN_FORK else command.service(home, *flags) as simulated:
        yield simulated


# What follows runs in the process that forks, and in what is forked from it.


def _serve() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # what is here now is not looked at again in every child
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            answer = _poll(request["poll"], children, request.get("patience_s", 0.0))
        elif (answer := os.fork()) == 0:
            _become(request)
            return
        else:
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _poll(pid: int, children: set[int], patience_s: float) -> int | None:
    deadline = time.monotonic() + patience_s
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.005)
    status = ended[1]
    children.discard(pid)
    return os.waitstatus_to_exitcode(status)


def _become(request: Mapping[str, Any]) -> None:
    """Turn into the command; comes back only where the command does not exit."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, request["out"], os.O_WRONLY), (2, request["err"], os.O_WRONLY)):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    if request["altered"] is not None:
        ALTERATIONS[request["altered"]]()
    if request["countable"]:
        _make_countable()
    if request["trace"] is not None:
        _wait_for_strace(request["trace"])
    sys.argv = ["batcher", *request["argv"]]
    from batcher.cli import main

    main()


def _wait_for_strace(trace: str) -> None:
    """Make a call that is followed and means nothing, until it shows: from there on nothing is missed."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)  # for kernels that let only ancestors look
    while not (os.path.exists(trace) and os.path.getsize(trace)):  # noqa: PTH110, PTH202 - nothing is allocated between two looks
        os.getppid()
        time.sleep(0.001)


def _make_countable() -> None:
    """Let strace's count mean something: it counts the calls of each thread by itself, and knows nothing of what they are for.

    All work that blocks shares a thread. The event loop is Python's own, which sends with `sendto` what uvloop sends with `write`; and it is woken up
    by `sendmsg`, which nothing else uses.
    """
    from batcher.cli import running

    class Loop(asyncio.SelectorEventLoop):
        def _write_to_self(self) -> None:
            with contextlib.suppress(OSError, AttributeError):
                self._csock.sendmsg([b"\0"])

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = Loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        return loop

    running._loop_factory = lambda: new_loop


def _set(pragma: str) -> None:
    from batcher.ledger import sqlite

    opened = sqlite._open

    def altered(path: Path | None) -> Any:
        connection = opened(path)
        connection.execute(f"PRAGMA {pragma}").close()
        return connection

    sqlite._open = altered


def _forget(name: str) -> None:
    """Replace a function of `batcher.storage` by one that does nothing, wherever it was imported to."""
    from batcher import storage

    function = getattr(storage, name)
    for module in tuple(sys.modules.values()):
        if getattr(module, name, None) is function:
            setattr(module, name, lambda *_: None)


def _ignore_ledger_errors() -> None:
    from batcher.errors import LedgerError
    from batcher.ledger import writer

    run = writer._Transactions.run

    def careless(self: Any, works: Any, **options: Any) -> Any:
        results: list[Any] = []
        kept = [lambda connection, work=work: results.append(work(connection)) or results[-1] for work in works]
        try:
            return run(self, kept, **options)
        except LedgerError:
            self.broken = None
            return results + [None] * (len(works) - len(results))

    writer._Transactions.run = careless


ALTERATIONS = {
    "a checkpoint every few pages": lambda: _set("wal_autocheckpoint = 8"),
    "synchronous=NORMAL": lambda: _set("synchronous = NORMAL"),
    "synchronous=OFF": lambda: _set("synchronous = OFF"),
    "folders not synced": lambda: _forget("sync_folder"),
    "files not synced": lambda: _forget("_sync"),
    "errors of the ledger ignored": _ignore_ledger_errors,
}
"""Ways to be another than the product is, by the names that reports give them. But for the first, a check must notice each."""


if __name__ == "__main__":
    _serve()
