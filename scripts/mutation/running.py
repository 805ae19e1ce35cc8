"""Runs the tests over one mutant after another, each in a process of its own, forked from one that has everything slow imported already."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import CodeType
from typing import Any

import hypothesis
import pytest
from coverage import CoverageData
from python_mutants import Mutant

PRELOADED = [
    "aiofiles", "aiohttp", "aiohttp.web", "asyncio", "jinja2", "jsonschema", "numpy", "PIL.Image", "pydantic", "pytest_asyncio", "rich.progress",
    "typer", "yaml",
]  # fmt: skip
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
MEMORY_BYTES = 4 << 30
PATIENCE_S = 12
"""How long a test may take beyond twenty times as long as usual: a machine may be busy, and a bug may go round in circles or wait for ever."""


class Outcome(StrEnum):
    KILLED = "killed"
    HUNG = "hung"
    """Found too: its tests did not end in many times their usual time."""
    SURVIVED = "survived"
    STILLBORN = "stillborn"
    """The module, or what imports it, does not even load."""


class Bench:
    """Learns which tests run which lines, then tries mutants. Raises `SystemExit` if the tests do not pass on the code as it is."""

    def __init__(self, tests: list[str], folder: Path, slow_s: float | None = None) -> None:
        self._tests = tests
        self._folder = folder
        self.seconds: dict[str, float] = {}
        """How long each test takes, by its id."""
        self._tests_of: dict[str, dict[int, set[str]]] = {}
        hypothesis.settings.register_profile(
            "mutation", derandomize=True, database=None, deadline=None, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
        )
        hypothesis.settings.load_profile("mutation")
        for name in PRELOADED:
            importlib.import_module(name)
        self._learn()
        self.seconds = {test: seconds for test, seconds in self.seconds.items() if slow_s is None or seconds <= slow_s}

    def _learn(self) -> None:
        folder = self._folder / "learning"
        folder.mkdir()
        os.environ["COVERAGE_FILE"] = str(folder / "coverage")
        status = _wait(_fork(self._tests, _Plugin(folder), ["--cov=batcher", "--cov-context=test", "--cov-report=", "--no-cov-on-fail"], None))
        if status != 0:
            print((folder / "output").read_text(encoding="utf-8"), file=sys.stderr)
            raise SystemExit("The tests do not pass on the code as it is.")
        del os.environ["COVERAGE_FILE"]
        self.seconds = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
        data = CoverageData(str(folder / "coverage"))
        data.read()
        for path in data.measured_files():
            lines = data.contexts_by_lineno(path)
            self._tests_of[os.path.relpath(path)] = {
                line: {context.rpartition("|")[0] for context in contexts if context} for line, contexts in lines.items()
            }

    def run(self, mutants: list[Mutant], jobs: int) -> Iterator[tuple[Mutant, Outcome, str]]:
        """Each mutant with what became of it and the test that found it, in no order."""
        running: dict[int, tuple[Mutant, Path]] = {}
        for number, mutant in enumerate(mutants):
            tests = self._tests_for(mutant)
            if not tests:
                yield mutant, Outcome.SURVIVED, ""
                continue
            while len(running) >= jobs:
                yield from self._ended(running)
            folder = self._folder / str(number)
            folder.mkdir()
            files = sorted({test.partition("::")[0] for test in tests})
            usual = {test: self.seconds[test] for test in tests}
            running[_fork(files, _Plugin(folder, usual), [], mutant)] = mutant, folder
        while running:
            yield from self._ended(running)

    def _tests_for(self, mutant: Mutant) -> list[str]:
        """Those that run its lines, the quickest first."""
        module = "batcher/ledger/statements.py" if mutant.module.endswith(".sql") else mutant.module
        lines = self._tests_of.get(module, {})
        of = [tests for line, tests in lines.items() if mutant.everywhere or line in mutant.lines]
        if mutant.module.endswith(".sql"):  # read once and kept, so that only those tests would count that came first
            of = [tests for name, found in self._tests_of.items() if name.startswith("batcher/ledger/") for tests in found.values()]
        return sorted(set().union(*of) & set(self.seconds), key=lambda test: (self.seconds[test], test))

    def _ended(self, running: dict[int, tuple[Mutant, Path]]) -> Iterator[tuple[Mutant, Outcome, str]]:
        """Those that ended meanwhile; waits a moment where none has."""
        ended = [(pid, status) for pid in running for done, status in [os.waitpid(pid, os.WNOHANG)] if done]
        for pid, status in ended:
            mutant, folder = running.pop(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it left behind
            killer = folder / "killer"
            found = killer.read_text(encoding="utf-8") if killer.exists() else ""
            shutil.rmtree(folder, ignore_errors=True)
            yield mutant, _outcome(os.waitstatus_to_exitcode(status), found), found
        if not ended:
            time.sleep(0.01)


def _outcome(code: int, killer: str) -> Outcome:
    if code == pytest.ExitCode.OK:
        return Outcome.SURVIVED
    if code == -signal.SIGALRM:
        return Outcome.HUNG
    if killer or code < 0:
        return Outcome.KILLED
    if code in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR):
        return Outcome.STILLBORN
    raise SystemExit(f"pytest ended with {code}, and no test failed")


@dataclass
class _Plugin:
    """Runs only the tests in `usual`, in its order, where there are any; notes how long each took and which one failed."""

    folder: Path
    usual: dict[str, float] = field(default_factory=dict)
    """How long each test takes."""
    seconds: dict[str, float] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.usual:
            order = {test: number for number, test in enumerate(self.usual)}
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        signal.alarm(PATIENCE_S + int(20 * self.usual.get(nodeid, 10.0)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            (self.folder / "killer").write_text(report.nodeid, encoding="utf-8")

    def pytest_sessionfinish(self) -> None:
        (self.folder / "seconds.json").write_text(json.dumps(self.seconds), encoding="utf-8")


@dataclass
class _Mutated(importlib.abc.MetaPathFinder):
    """Gives the mutant in place of its module."""

    mutant: Mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        is_sql = self.mutant.module.endswith(".sql")
        if name != ("batcher.ledger.statements" if is_sql else self.mutant.module.removesuffix(".py").replace("/", ".")):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = (_SqlLoader if is_sql else _CodeLoader)(name, spec.origin, self.mutant)
        return spec


class _CodeLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        assert isinstance(self._mutant.payload, CodeType)
        return self._mutant.payload


class _SqlLoader(_CodeLoader):
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: Any) -> None:
        super().exec_module(module)
        read = vars(module)["_read"]
        vars(module)["_read"] = lambda name: self._mutant.payload if self._mutant.module.endswith(name) else read(name)


def _fork(files: list[str], plugin: _Plugin, options: list[str], mutant: Mutant | None) -> int:
    """The number of a process that runs the tests in `files`, on `mutant` where there is one."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.setsid()
        output = os.open(plugin.folder / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        signal.alarm(5 * PATIENCE_S)
        assert not any(name.partition(".")[0] in ("batcher", "jobs", "tests") for name in sys.modules)
        if mutant is not None:
            sys.meta_path.insert(0, _Mutated(mutant))
        code = int(pytest.main([*OPTIONS, *options, f"--basetemp={plugin.folder / 'temp'}", *files], plugins=[plugin]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
