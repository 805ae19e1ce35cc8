"""Whether what a crash left behind keeps the promises: the checker of crash states, and the table of what it found.

As a program it looks at many more states than the tests do: `scripts/crash-states --help`.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import re
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batcher.errors import LedgerError
from batcher.ledger import sqlite
from tests.support.command import write_rows
from tests.support.crash_states import History, Tree, all_names, on_disk, states, within
from tests.support.preloaded import Nursery, nursery
from tests.support.system_calls import calls_in, traced, why_not

SOUND = (None, "a checkpoint every few pages")
CONTROLS = ("synchronous=NORMAL", "synchronous=OFF", "folders not synced", "files not synced")
"""Weaknesses that show in what a power cut leaves, and nowhere else."""

LEDGER_FILES = ("ledger.db", "ledger.db-wal", "ledger.db-journal")
_STATUS = re.compile(rb"GET /v1/requests/([\w-]+)/status ")


@dataclass(frozen=True, slots=True)
class Row:
    """What a ledger says of a row."""

    state: str
    request_id: str | None
    files: tuple[tuple[str, str, int], ...]
    """Path, SHA-256 and size of each."""


@dataclass(frozen=True, slots=True)
class Account:
    """What opening a ledger as a resume would brings to light. `rows` are by prompt, which is another for each row."""

    fault: str | None
    rows: Mapping[str, Row]


@dataclass(slots=True)
class Verdict:
    """How many states of one configuration were looked at, and what was wrong with how many of them."""

    configuration: str
    states: int = 0
    distinct: set[bytes] = field(default_factory=set)
    violations: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """The first example of each violation."""


class Checker:
    """Looks at states, each distinct ledger once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._accounts: dict[bytes, Account] = {}

    def look(self, verdict: Verdict, history: History, seed: int, rounds: int, every: int = 1) -> None:
        """Go over the states of a history, and add what is wrong with them to `verdict`."""
        for kind, moment, tree in states(history, seed, rounds, every):
            verdict.states += 1
            verdict.distinct.add(_digest(tree))
            wrong = dict.fromkeys(self.violations(history, moment, within(tree, "out")))
            for violation, detail in wrong:
                verdict.first.setdefault(violation, f"{kind}, at {moment:g}: {detail}")
            verdict.violations.update({violation for violation, _ in wrong})
            verdict.kinds.update([kind] if wrong else [])

    def violations(self, history: History, moment: float, tree: Tree) -> Iterator[tuple[str, str]]:
        """What is wrong with a state, given what had been sent before `moment`: kinds, each with a detail."""
        account = self.account({name: tree[name] for name in LEDGER_FILES if name in tree})
        if account.fault is not None:
            yield account.fault.partition(":")[0], account.fault
            return
        yield from _of_messages(account, history, moment)
        for prompt, row in account.rows.items():
            if row.state == "done":
                yield from _of_files(row, tree)
            elif moment == history.end:
                yield "a row that was done is not", f"{prompt}: {row.state}"
        for path, content in tree.items():
            if _is_final(path) and content not in history.whole.get(f"out/{path}", ()):
                yield "a file that is not whole under its final name", path

    def account(self, files: Tree) -> Account:
        """What a ledger says that is made of `files`."""
        key = _digest(files)
        if key not in self._accounts:
            self._accounts[key] = self._open(files)
        return self._accounts[key]

    def _open(self, files: Tree) -> Account:
        for name in (*LEDGER_FILES, "ledger.db-shm"):
            (self._folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
        try:
            connection = sqlite._open(self._folder / "ledger.db")
        except (sqlite3.Error, LedgerError) as error:
            return Account(f"the ledger does not open: {error}", {})
        try:
            return _read(connection)
        except (sqlite3.Error, ValueError) as error:
            return Account(f"the ledger cannot be read: {error}", {})
        finally:
            connection.close()


def _of_messages(account: Account, history: History, moment: float) -> Iterator[tuple[str, str]]:
    """Who has sent a POST knows its intent, and who has asked for a request knows its id."""
    ids = {row.request_id for row in account.rows.values()}
    for sent in history.sent_before(moment):
        if sent.startswith(b"POST "):
            row = account.rows.get(prompt := prompt_of(sent))
            if row is None or row.state == "planned":
                yield "a POST without its intent", prompt
        elif (polled := _STATUS.match(sent)) and polled[1].decode() not in ids:
            yield "a request id lost", polled[1].decode()


def _of_files(row: Row, tree: Tree) -> Iterator[tuple[str, str]]:
    for path, digest, size_bytes in row.files:
        content = tree.get(path)
        if content is None:
            yield "done, but its file is missing", path
        elif len(content) != size_bytes or hashlib.sha256(content).hexdigest() != digest:
            yield "done, but its file is damaged", path


def _read(connection: sqlite3.Connection) -> Account:
    said = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if said != "ok":
        return Account(f"the ledger is damaged: {said}", {})
    rows = {}
    for body, state, request_id, artifacts in connection.execute(
        "SELECT s.body, j.state, j.request_id, j.artifacts FROM jobs AS j JOIN specs AS s USING (seq) WHERE j.listed"
    ):
        files = tuple((file["path"], file["sha256"], file["size_bytes"]) for file in json.loads(artifacts or "[]"))
        rows[json.loads(body)["prompt"]] = Row(state, request_id, files)
    counted = Counter(row.state for row in rows.values())
    tallied = {state: n for state, n in connection.execute("SELECT state, rows FROM tallies") if n}
    if tallied != counted:
        return Account(f"the tallies are wrong: {tallied}, not {dict(counted)}", {})
    return Account(None, rows)


@functools.cache
def prompt_of(message: bytes) -> str:
    """The prompt that a POST asks for."""
    return str(json.loads(message.partition(b"\r\n\r\n")[2])["prompt"])


def _is_final(path: str) -> bool:
    """Whether a file is what people and programs look at; what is hidden is work in progress, what is left is the ledger."""
    return not Path(path).name.startswith(".") and (path.startswith("results/") or path in ("report.json", "results.jsonl"))


def _digest(tree: Tree) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, content in sorted(tree.items()):
        digest.update(f"{name}\0".encode() + _content_digest(content))
    return digest.digest()


@functools.lru_cache(maxsize=64)
def _content_digest(content: bytes) -> bytes:
    """Kept, because most files of a state are those of the state before."""
    return hashlib.blake2b(content, digest_size=16).digest()


@contextmanager
def checker() -> Iterator[Checker]:
    """A checker with a folder in memory, where there is one: it writes every ledger that it looks at."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="crash-states-") as folder:
        yield Checker(Path(folder))


def record(home: Nursery, folder: Path, rows: int, altered: str | None = None) -> list[History]:
    """What happened to the disk while a batch was run, and while it was run again with every other row changed."""
    folder.mkdir()
    histories = []
    manifest = folder / "rows.csv"
    out = folder / "disk" / "out"
    out.parent.mkdir()
    with home.service("--latency-s", 0.05, "--slots", 4, "--art", "plain") as simulated:
        for turn in ("first", "second"):
            write_rows(manifest, rows)
            if turn == "second":
                text = manifest.read_text("utf-8")
                manifest.write_text(re.sub(r"(row\d*[02468],.*)", r"\1 once more", text), "utf-8")
            before, trace = on_disk(out.parent), folder / f"{turn}.trace"
            command = ("run", manifest, "--job", "text_to_image", "--out", out, "--posts-in-flight", 3, "--downloads", 3)
            with traced(home, *command, trace=trace, cwd=folder, env=simulated.env, altered=altered) as process:
                code = process.wait()
            assert code == 0, process.err.read_text("utf-8")
            history = History(out.parent, calls_in(trace), before)
            rebuilt = history.tree(history.end, lambda change: None, names=all_names)
            assert rebuilt == on_disk(out.parent), "what was rebuilt from the trace is not what is on the disk"
            histories.append(history)
    return histories


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The figures, as a table in Markdown, and the first example of each violation."""
    yield "| configuration | states | of them distinct | violations |"
    yield "|---|--:|--:|---|"
    for verdict in verdicts:
        found = ", ".join(f"{n} × {violation}" for violation, n in verdict.violations.most_common()) or "0"
        yield f"| {verdict.configuration} | {verdict.states:,} | {len(verdict.distinct):,} | {found} |"
    for verdict in verdicts:
        for violation, example in verdict.first.items():
            yield f"{verdict.configuration}: {violation}, for example {example}"


def main() -> int:
    """Print the table; the exit code is 1 where batcher itself broke a promise, or a weakness was not noticed."""
    parser = argparse.ArgumentParser(prog="scripts/crash-states", description="Rebuild what a power cut could leave behind, and check it.")
    parser.add_argument("--rows", type=int, default=12, help="rows of the batch (12)")
    parser.add_argument("--rounds", type=int, default=8, help="random states for each moment (8)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed and the same trace give the same states (1)")
    parser.add_argument("--no-controls", action="store_true", help="only batcher as it is")
    options = parser.parse_args()
    if reason := why_not():
        print(f"Nothing can be traced here: {reason}.", file=sys.stderr)
        return 1
    verdicts = []
    folder = Path(tempfile.mkdtemp(prefix="crash-states-"))
    try:
        with nursery(folder) as home, checker() as checks:
            for number, altered in enumerate([*SOUND, *([] if options.no_controls else CONTROLS)]):
                verdict = Verdict(altered or "as it is")
                for history in record(home, folder / str(number), options.rows, altered):
                    checks.look(verdict, history, options.seed, options.rounds)
                verdicts.append(verdict)
    finally:
        shutil.rmtree(folder)
    print("\n".join(table(verdicts)))
    return 0 if all(bool(verdict.violations) == (verdict.configuration in CONTROLS) for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
