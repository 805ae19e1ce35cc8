"""Real processes of the command line without the second that importing it takes: each is forked from a process that has imported everything already.

Run as a program, it reads one JSON object a line from standard input, does what it says, and answers with one line:

    {"argv": […], "env": {…}, "cwd": "…", "out": "file", "err": "file", "kill_after_s": 0.2 or null, "patience_s": 60}
    {"status": a wait status as of os.waitpid, "hung": whether it did not end within its patience, "seconds": how long it took}

A child is what `python -m batcher` is from its first line on: it leaves through the interpreter's own exit. No thread runs before the fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

PRELOADED = (
    "batcher.cli.commands", "batcher.app", "batcher.decisions", "batcher.observe", "batcher.cli.summary", "uvloop", "PIL.PngImagePlugin",
    "rich.console", "jobs.text_to_image", "jobs.raw",
)  # fmt: skip


def serve() -> dict[str, Any] | None:
    """Answer until standard input ends; in a child, the request that it was forked for."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        began = time.monotonic()
        alive, holds = os.pipe()  # the child holds the writing end until it is gone, however it goes
        child = os.fork()
        if child == 0:
            os.close(alive)
            return request
        os.close(holds)
        hung = False
        limits = [request["patience_s"]] if request["kill_after_s"] is None else [request["kill_after_s"], request["patience_s"]]
        for limit in limits:
            ended = bool(select.select([alive], [], [], max(0.0, limit))[0])
            hung = not ended and limit is limits[-1]
            if not ended:
                os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(alive)
        print(json.dumps({"status": status, "hung": hung, "seconds": time.monotonic() - began}), flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Be the command line with these arguments."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, request["out"], os.O_WRONLY), (2, request["err"], os.O_WRONLY)):
        opened = os.open(path, flags | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["batcher", *request["argv"]]
    from batcher.cli import main

    main()


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    if (request := serve()) is not None:
        become(request)
