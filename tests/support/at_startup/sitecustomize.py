"""Python imports this first of all where its folder is in PYTHONPATH: a process that sends itself signals at a
named moment, or writes down what it does.

`SIGNALS_AT` is `EVENT TEXT NTH NUMBER,NUMBER…`: at the NTH audit event of that name with TEXT in its arguments, the process sends itself each signal.
`CRASH_AT` is `EVENT TEXT`: there it meets an error that nobody expects.
`AUDIT_TO` names a file that gets a line for each audit event that begins with one of the words in `AUDIT`.
`WITHOUT` names a module that cannot be imported.
Audit events are listed in https://docs.python.org/3/library/audit_events.html.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def signal_at(event: str, text: str, nth: str, numbers: str) -> None:
    left = int(nth)

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if name == event and left > 0 and text in str(arguments):
            left -= 1
            if left == 0:
                for number in numbers.split(","):
                    os.kill(os.getpid(), int(number))

    sys.addaudithook(hook)


def crash_at(event: str, text: str) -> None:
    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name == event and text in str(arguments):
            raise ZeroDivisionError("planted")

    sys.addaudithook(hook)


def write_down(file: str, words: tuple[str, ...]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name.startswith(words):
            os.write(descriptor, f"{name} {arguments}\n".encode("utf-8", "replace"))

    sys.addaudithook(hook)


if "SIGNALS_AT" in os.environ:
    signal_at(*os.environ["SIGNALS_AT"].split(" "))
if "WITHOUT" in os.environ:
    sys.modules[os.environ["WITHOUT"]] = None  # type: ignore[assignment]
if "CRASH_AT" in os.environ:
    crash_at(*os.environ["CRASH_AT"].split(" "))
if "AUDIT_TO" in os.environ:
    write_down(os.environ["AUDIT_TO"], tuple(os.environ["AUDIT"].split(",")))
