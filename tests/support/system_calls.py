"""What a command asked of the operating system, call by call, as strace saw it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import PATIENCE_S, wait_until
from tests.support.preloaded import Nursery, Process

DATA = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "truncate", "fallocate", "copy_file_range", "sendfile")
NAMES = ("open", "openat", "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat", "symlink", "mkdir", "mkdirat", "rmdir")
SYNCS = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync")
SENDS = ("sendto", "sendmsg", "sendmmsg")
FOLLOWED = (*DATA, *NAMES, *SYNCS, *SENDS)

_LINE = re.compile(r"(?P<thread>\d+) +(?:(?P<name>\w+)\(|<\.\.\. (?P<resumed>\w+) resumed>)(?P<rest>.*)")
_END = re.compile(r"(?P<arguments>.*)\) *= (?P<result>-?\d+|\?)(?P<remark>.*)")
_BUFFER = re.compile(r'iov_base="((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(?P<number>\d+|AT_FDCWD)<(?P<of>.*)>$")


@functools.cache
def why_not() -> str | None:
    """Why nothing can be traced here; None where it can."""
    if sys.platform != "linux":
        return "strace exists on Linux only"
    if shutil.which("strace") is None:
        return "strace is not installed (on Debian and Ubuntu: apt-get install strace)"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace may not trace: {tried.stderr.strip()}"


REQUIRED = "BATCHER_TESTS_REQUIRE_STRACE"
"""Set where a test that needs strace must fail without it instead of being skipped."""

needs_strace = pytest.mark.skipif(REQUIRED not in os.environ and why_not() is not None, reason=f"{why_not()}; what a crash leaves is not checked")


@dataclass(slots=True)
class Call:
    """One system call. `began` and `ended` are places in the order of everything that was seen; strings among the arguments are still in hex."""

    thread: int
    name: str
    arguments: list[str]
    began: int
    ended: int
    result: int | None
    remark: str = ""

    @property
    def injected(self) -> bool:
        return "(INJECTED)" in self.remark

    def text(self, place: int) -> bytes:
        """The string at `place`, whole. Raises `ValueError` where strace has shortened it."""
        shown = self.arguments[place]
        if not shown.startswith('"') or not shown.endswith('"'):
            raise ValueError(f"{self.name}: {shown[:80]} is no whole string")
        return _bytes(shown)

    def beginning(self, place: int) -> bytes:
        """The string at `place`, as far as strace shows it."""
        shown = self.arguments[place].removesuffix("...")
        return _bytes(shown) if shown.startswith('"') else b""

    def sent(self) -> bytes:
        """What was handed to a socket, of one buffer or of several."""
        if self.name in ("write", "sendto"):
            return self.beginning(1)
        return bytes.fromhex("".join(_BUFFER.findall(", ".join(self.arguments))).replace("\\x", ""))

    def path(self, place: int) -> str:
        """The path at `place`."""
        return os.fsdecode(self.text(place))

    def of(self, place: int = 0) -> str:
        """What the descriptor at `place` stands for: a path, or a kind of socket."""
        match = _DESCRIPTOR.match(self.arguments[place])
        return "" if match is None else os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda hexed: bytes([int(hexed[1], 16)]), match["of"].encode()))


@contextmanager
def traced(
    home: Nursery, *arguments: object, trace: Path, cwd: Path, env: Mapping[str, str], inject: str | None = None, shown_bytes: int = 1 << 24,
    follow: Sequence[str] = FOLLOWED, altered: str | None = None, countable: bool = False,
) -> Iterator[Process]:  # fmt: skip
    """A command with strace on it from its first call; `inject` is an expression of strace's. The trace is whole when the context ends."""
    assert (reason := why_not()) is None, reason
    process = home.start(*arguments, cwd=cwd, env=env, trace=trace, altered=altered, countable=countable)
    options = ["-f", "-yy", "-xx", "-s", str(shown_bytes), "-o", str(trace), "-e", "signal=none", "-e", f"trace={','.join(('getppid', *follow))}"]
    if inject is not None:
        options += ["-e", f"inject={inject}"]
    said = trace.with_suffix(".err")
    with said.open("w") as err:
        strace = subprocess.Popen(["strace", *options, "-p", str(process.pid)], stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        try:
            wait_until(lambda: strace.poll() is not None or (trace.exists() and trace.stat().st_size > 0), "strace to follow")
            assert strace.poll() is None or process.poll() is not None, said.read_text("utf-8")
            yield process
        finally:
            process.kill()
            strace.wait(timeout=PATIENCE_S)


def calls_in(trace: Path) -> list[Call]:
    """Everything in a trace, in the order in which it began. A call that the end of the process cut off has no result."""
    calls: list[Call] = []
    open_calls: dict[int, tuple[Call, str]] = {}
    with trace.open(encoding="ascii", errors="replace") as lines:
        for place, line in enumerate(lines):
            match = _LINE.match(line)
            if match is None:
                continue
            thread, rest = int(match["thread"]), match["rest"]
            if match["resumed"]:
                call, begun = open_calls.pop(thread)
                rest = begun + rest
            else:
                call = Call(thread, match["name"], [], place, sys.maxsize, None)
                calls.append(call)
            if rest.endswith("<unfinished ...>"):
                rest = rest.removesuffix("<unfinished ...>").rstrip()
                call.arguments = _split(rest)
                open_calls[thread] = (call, rest)
                continue
            end = _END.match(rest)
            assert end is not None, line
            call.arguments = _split(end["arguments"])
            call.ended = place
            call.result = None if end["result"] == "?" else int(end["result"])
            call.remark = end["remark"]
    return [call for call in calls if call.name != "getppid"]


def _bytes(quoted: str) -> bytes:
    return bytes.fromhex(quoted[1:-1].replace("\\x", ""))


def _split(arguments: str) -> list[str]:
    """Strings are in hex, so that no comma inside one can be mistaken; what stands in braces is nothing that is looked at."""
    return arguments.split(", ")
