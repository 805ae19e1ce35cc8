"""Puts captures of real terminals into docs/how-to/watch.md: a batch that runs with the simulated service, under tmux, at several sizes.

python scripts/capture_terminal.py
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.command import start  # noqa: E402
from tests.support.tmux import Terminal  # noqa: E402

PAGE = ROOT / "docs" / "how-to" / "watch.md"
CAPTURE = re.compile(r"(<!-- capture: (\S+) -->\n\n)(?:    .*\n|\n(?=    ))*")
OUT = "out/quickstart"
FLAGS = (
    "--simulate",
    "--speed",
    3,
    "--slots",
    4,
    "--capacity",
    6,
    "--art",
    "plain",
    "--seed",
    3,
    "--fault",
    "generation:fail:nth=3,error=blocked by a filter",
)
RUN = ("run", "sample_manifests/quickstart.yaml", *FLAGS, "--out", OUT)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copytree(ROOT / "sample_manifests", home / "sample_manifests")
        captures = {"wide": "", "watch": "", "narrow": "", "log": "", "ascii": ""}
        with Terminal(home, 80, 24, *RUN) as running:
            with Terminal(home, 80, 24, "watch", OUT) as watching:
                captures["watch"] = text_of(watching.wait_for("Latest failures", " left", "asked for"))
                captures["wide"] = text_of(running.wait_for("Latest failures", " left", "asked for", "place "))
            with start("watch", OUT, "--interval", 1, home=home) as log:
                assert log.stdout is not None
                captures["log"] = next(line for line in log.stdout if " left" in line)
                log.kill()
            running.resize(40, 24)
            captures["narrow"] = text_of(running.wait_for("Latest failures", "\nbatcher resume"))
        shutil.rmtree(home / "out")
        with Terminal(home, 80, 24, *RUN, env={"LANG": "C", "NO_COLOR": "1"}) as running:
            captures["ascii"] = text_of(running.wait_for("Latest failures", " left"))
    page = CAPTURE.sub(
        lambda found: found[1] + "".join(f"    {line}".rstrip() + "\n" for line in captures[found[2]].splitlines()), PAGE.read_text("utf-8")
    )
    PAGE.write_text(page, "utf-8", newline="\n")


def text_of(lines: list[str]) -> str:
    """The view alone, without the messages above it."""
    text = "\n".join(lines)
    begin = re.search(r"^\d+/\d+ ", text, re.MULTILINE)
    assert begin is not None, text
    return text[begin.start() :]


if __name__ == "__main__":
    main()
