"""Runs the tests over one mutant after another, each in a process of its own, forked from one that has everything slow imported already."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import inspect
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import CodeType, FunctionType
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


NOT_TRIED = 99


class Outcome(StrEnum):
    KILLED = "killed"
    HUNG = "hung"
    """Found too: its tests did not end in many times their usual time."""
    SURVIVED = "survived"
    NOT_TRIED = "not tried"
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
        self._on_import: dict[str, set[int]] = {}
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
            self._on_import[os.path.relpath(path)] = {line for line, contexts in lines.items() if "" in contexts}
            self._tests_of[os.path.relpath(path)] = {
                line: {context.rpartition("|")[0] for context in contexts if context} for line, contexts in lines.items()
            }

    def run(self, mutants: list[Mutant], jobs: int) -> Iterator[tuple[Mutant, Outcome, str]]:
        """Each mutant with what became of it and the test that found it, in no order."""
        tests = {mutant: self._tests_for(mutant) for mutant in mutants}
        yield from ((mutant, Outcome.SURVIVED, "") for mutant in mutants if not tests[mutant])
        # Of a function that ran when the tests were collected, something may have been kept.
        ran = {mutant for mutant in mutants if self._on_import.get(mutant.module, set()) & set(mutant.function)}
        together = [mutant for mutant in mutants if tests[mutant] and mutant.patchable and mutant not in ran]
        apart = [mutant for mutant in mutants if tests[mutant] and not (mutant.patchable and mutant not in ran)]
        for mutant, outcome, killer in self._run_together(together, tests, jobs):
            if outcome is Outcome.NOT_TRIED:
                apart.append(mutant)
            else:
                yield mutant, outcome, killer
        yield from self._run_apart(apart, tests, jobs)

    def _run_together(self, mutants: list[Mutant], tests: dict[Mutant, list[str]], jobs: int) -> Iterator[tuple[Mutant, Outcome, str]]:
        """Mutants that are put into modules that are loaded already, with the tests collected already."""
        if not mutants:
            return
        reading, writing = os.pipe()
        folder = self._folder / "together"
        folder.mkdir()
        session = Session(folder, mutants, tests, self.seconds, jobs, writing)
        pid = _fork(self._tests, session, ["-s"], None)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                number, outcome, killer = json.loads(line)
                yield mutants[number], Outcome(outcome), killer
        if _wait(pid) != 0:
            raise SystemExit((folder / "output").read_text(encoding="utf-8"))

    def _run_apart(self, mutants: list[Mutant], tests: dict[Mutant, list[str]], jobs: int) -> Iterator[tuple[Mutant, Outcome, str]]:
        """Mutants of what runs on import, each with modules of its own."""
        running: dict[int, tuple[Mutant, Path]] = {}
        for number, mutant in enumerate(mutants):
            while len(running) >= jobs:
                yield from self._ended(running)
            folder = self._folder / str(number)
            folder.mkdir()
            files = sorted({test.partition("::")[0] for test in tests[mutant]})
            usual = {test: self.seconds[test] for test in tests[mutant]}
            running[_fork(files, _Plugin(folder, usual), [], mutant)] = mutant, folder
        while running:
            yield from self._ended(running)

    def _tests_for(self, mutant: Mutant) -> list[str]:
        """Those that run its lines, and then the others that run its function, the quickest first; where it runs on import, those of the module.

        Of lines after an `await`, tracing misses some. Statements are read once and then kept, so that no test is seen to run them: all tests do.
        """
        if mutant.module.endswith((".sql", "ledger/statements.py")):
            near, far = set(), set(self.seconds)
        else:
            of = self._tests_of.get(mutant.module, {})
            near = {test for line in mutant.lines for test in of.get(line, ())}
            far = {test for line, tests in of.items() if not mutant.function or line in mutant.function for test in tests}
        return sorted((near | far) & set(self.seconds), key=lambda test: (test not in near, self.seconds[test], test))

    def _ended(self, running: dict[int, tuple[Mutant, Path]]) -> Iterator[tuple[Mutant, Outcome, str]]:
        """Those that ended meanwhile; waits a moment where none has."""
        ended = [(pid, status) for pid in running for done, status in [os.waitpid(pid, os.WNOHANG)] if done]
        for pid, status in ended:
            mutant, folder = running.pop(pid)
            found = _clean_up(pid, folder)
            yield mutant, _outcome(os.waitstatus_to_exitcode(status), found), found
        if not ended:
            time.sleep(0.01)


def _clean_up(pid: int, folder: Path) -> str:
    """End what a trial left behind; returns the test that failed."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    killer = folder / "killer"
    found = killer.read_text(encoding="utf-8") if killer.exists() else ""
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _outcome(code: int, killer: str) -> Outcome:
    if code == pytest.ExitCode.OK:
        return Outcome.SURVIVED
    if code == -signal.SIGALRM:
        return Outcome.HUNG
    if killer or code < 0 or code == pytest.ExitCode.TESTS_FAILED:
        return Outcome.KILLED
    if code in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR):
        return Outcome.STILLBORN
    raise SystemExit(f"pytest ended with {code}, and no test failed")


@dataclass
class _Plugin:
    """Runs only the tests in `usual`, in its order, where there are any; notes how long each computed and which one failed."""

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

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        began = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            (self.folder / "killer").write_text(report.nodeid, encoding="utf-8")

    def pytest_sessionfinish(self) -> None:
        (self.folder / "seconds.json").write_text(json.dumps(self.seconds), encoding="utf-8")


@dataclass
class Session:
    """Collects the tests once, and then runs them over each of `mutants` in a child; tells of each on `answers`, a line of JSON for each."""

    folder: Path
    mutants: list[Mutant]
    tests: dict[Mutant, list[str]]
    seconds: dict[str, float]
    jobs: int
    answers: int
    _killer: str = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        gc.freeze()
        running: dict[int, int] = {}
        for number, mutant in enumerate(self.mutants):
            while len(running) >= self.jobs:
                self._ended(running)
            folder = self.folder / str(number)
            folder.mkdir()
            pid = os.fork()
            if not pid:
                self._try(session, mutant, [items[test] for test in self.tests[mutant]], folder)
            running[pid] = number
        while running:
            self._ended(running)
        return True

    def _try(self, session: pytest.Session, mutant: Mutant, items: list[pytest.Item], folder: Path) -> None:
        code = NOT_TRIED
        try:
            os.setsid()
            vars(session.config)["_tmp_path_factory"]._basetemp = folder  # noqa: SLF001
            patch(mutant)
            code = 1
            for item in items:
                signal.alarm(PATIENCE_S + int(20 * self.seconds[item.nodeid]))
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if self._killer:
                    (folder / "killer").write_text(self._killer, encoding="utf-8")
                    break
            else:
                code = 0
        except UnpatchableError:
            pass
        finally:
            os._exit(code)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._killer = report.nodeid

    def _ended(self, running: dict[int, int]) -> None:
        ended = [(pid, os.waitstatus_to_exitcode(status)) for pid in running for done, status in [os.waitpid(pid, os.WNOHANG)] if done]
        for pid, code in ended:
            number = running.pop(pid)
            found = _clean_up(pid, self.folder / str(number))
            outcome = Outcome.NOT_TRIED if code == NOT_TRIED else _outcome(code, found or str(code))
            os.write(self.answers, (json.dumps([number, outcome, found]) + "\n").encode())
        if not ended:
            time.sleep(0.005)


class UnpatchableError(Exception):
    """The mutant needs a module that is loaded afresh."""


def patch(mutant: Mutant) -> None:
    """Put the mutant into its module, which is loaded. Raises `UnpatchableError`."""
    if isinstance(mutant.payload, str):
        module = sys.modules["batcher.ledger.statements"]
        _read_mutated(module, mutant)
        module.statements.cache_clear()
        module.migrations.cache_clear()
        return
    module = sys.modules[mutant.module.removesuffix(".py").replace("/", ".")]
    codes = {code.co_qualname: code for code in _function_codes(mutant.payload)}
    changed = [function for function in _functions(vars(module), module.__name__) if codes[function.__code__.co_qualname] != function.__code__]
    if len(changed) != 1 or hasattr(vars(module).get(changed[0].__name__), "cache_clear"):
        raise UnpatchableError
    try:
        changed[0].__code__ = codes[changed[0].__code__.co_qualname]
    except ValueError as error:  # another number of variables from outside
        raise UnpatchableError from error


def _function_codes(code: CodeType) -> Iterator[CodeType]:
    for item in code.co_consts:
        if isinstance(item, CodeType):
            if item.co_flags & inspect.CO_OPTIMIZED:
                yield item
            else:
                yield from _function_codes(item)


def _functions(names: Mapping[str, Any], module: str) -> Iterator[FunctionType]:
    """Those of a module and its classes, as they were before their decorators."""
    for value in names.values():
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions(vars(value), module)
            continue
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(inner, FunctionType) and inner.__module__ == module and not inner.__code__.co_filename.startswith("<"):
            yield inner


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
        _read_mutated(module, self._mutant)


def _read_mutated(module: Any, mutant: Mutant) -> None:
    read = vars(module)["_read"]
    vars(module)["_read"] = lambda name: mutant.payload if mutant.module.endswith(name) else read(name)


def _fork(files: list[str], plugin: _Plugin | Session, options: list[str], mutant: Mutant | None) -> int:
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
        signal.alarm(5 * PATIENCE_S if mutant is not None else 0)
        assert not any(name.partition(".")[0] in ("batcher", "jobs", "tests") for name in sys.modules)
        if mutant is not None:
            sys.meta_path.insert(0, _Mutated(mutant))
        code = int(pytest.main([*OPTIONS, *options, f"--basetemp={plugin.folder / 'temp'}", *files], plugins=[plugin]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
