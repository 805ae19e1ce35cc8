"""A terminal to look at: commands run under tmux, which obeys what they write as other terminals do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.command import REPOSITORY, environment, wait_until

REQUIRED = "BATCHER_TESTS_REQUIRE_TMUX"
"""Set where a test that needs tmux must fail without it instead of being skipped."""

needs_tmux = pytest.mark.skipif(
    REQUIRED not in os.environ and shutil.which("tmux") is None,
    reason="tmux is not installed (on Debian and Ubuntu: apt-get install tmux); what a terminal shows is not looked at",
)


class Terminal:
    """`width` × `height` characters with one command in it, and nothing after that but a line that tells its exit code."""

    def __init__(self, home: Path, width: int, height: int, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self._socket = f"batcher-{uuid.uuid4().hex[:12]}"
        self._width, self._height = width, height
        self._env = {name: value for name, value in environment(home, TERM="screen-256color", LANG="C.UTF-8").items() if name != "COLUMNS"}
        self._env |= {"PYTHONPATH": str(REPOSITORY), **(env or {})}
        exports = " ".join(f"{name}='{value}'" for name, value in self._env.items() if name != "PATH")
        words = " ".join(f"'{word}'" for word in (sys.executable, "-m", "batcher", *arguments))
        script = home / f"{self._socket}.sh"
        steps = ["trap : INT", f"cd '{home}'", "unset TMUX COLUMNS LINES", f"export {exports}", words, 'echo "ended with $?"', "exec sleep 600"]
        script.write_text("\n".join(steps), "utf-8")
        self._command = f"sh '{script}'"

    def __enter__(self) -> Self:
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", self._width, "-y", self._height, self._command)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tmux("kill-server")

    def lines(self, *, colours: bool = False) -> list[str]:
        """What is on the screen, line by line; with `colours` also how they are set."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else [])).rstrip("\n").split("\n")

    def wait_for(self, *texts: str) -> list[str]:
        """The lines once all of `texts` are among them."""
        seen: list[str] = []

        def is_there() -> bool:
            seen[:] = self.lines()
            return all(text in "\n".join(seen) for text in texts)

        wait_until(is_there, " and ".join(texts))
        return seen

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", width, "-y", height)

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def has_cursor(self) -> bool:
        return self._tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def processes(self) -> list[int]:
        """Those that the shell in the terminal has started."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", shell], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def _tmux(self, *arguments: object) -> str:
        command = ["tmux", "-u", "-L", self._socket, *map(str, arguments)]
        done = subprocess.run(command, env={**self._env, "LANG": "C.UTF-8"}, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout
