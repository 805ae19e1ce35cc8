"""What a power cut could leave behind, rebuilt from the system calls of one run.

The model is harder than a local file system. What was written is on the disk for certain only after an fsync of that file which began after the write
had returned, and itself returned without an error; a name only after an fsync of its folder. Bytes that an fsync failed for are never certain again.
Whatever else had begun by the time of the cut may be there, in any combination: whole, torn at sectors of 512 bytes, or as a length without bytes.
Only the names of one folder change in order. The shared-memory index of SQLite is not kept, as it never is over a restart.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.support.system_calls import DATA, SENDS, SYNCS, Call

SECTOR = 512
ROOT = 0
NEVER = math.inf

Tree = dict[str, bytes]
"""Every file by its path, relative to the folder that was looked at."""


@dataclass(slots=True)
class Change:
    """Bytes that were written into a file, or its new size where there are none."""

    file: int
    offset: int
    data: bytes | None
    began: float
    ended: float
    durable: float = NEVER
    forgotten: bool = False


@dataclass(slots=True)
class Naming:
    """A name that was given (`child` is a file or a folder), or taken away (`child` None); with `source`, moved from there."""

    folder: int
    name: str
    child: int | None
    source: tuple[int, str] | None
    began: float
    ended: float
    durable: float = NEVER


@dataclass(slots=True)
class Message:
    """What was sent over the network."""

    began: float
    data: bytes


Pieces = Callable[[Change], Iterable[int] | None]
"""Which sectors of an unsynced change are on the disk, counted from its first; None: all of them."""


@dataclass
class History:
    """Everything that happened to the folder `root`, which is where the output folder is, and everything that was sent meanwhile.

    `before` is what was there already, all of it durable.
    """

    root: Path
    calls: list[Call]
    before: Tree = field(default_factory=dict)
    changes: dict[int, list[Change]] = field(default_factory=dict)
    namings: list[Naming] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    whole: dict[str, set[bytes]] = field(default_factory=dict)
    """Every content that a file had when it was given a name by a rename, or had before."""

    def __post_init__(self) -> None:
        self._settled: dict[int, tuple[int, bytes, float]] = {}
        self._folders = {ROOT}
        self._numbers = itertools.count(1)
        for name, content in self.before.items():
            self._lay_down(PurePosixPath(name), content)
            self.whole.setdefault(name, set()).add(content)
        for call in self.calls:
            if call.result is None or call.result >= 0 or call.name in SYNCS:
                self._take(call)
        happened = [*itertools.chain.from_iterable(self.changes.values()), *self.namings]
        begun = {one.began for one in happened} | {message.began for message in self.messages}
        synced = {one.durable for one in happened if one.durable is not NEVER}
        self.moments = sorted(place + 0.5 for place in begun | synced if place >= 0)

    @property
    def end(self) -> float:
        """The moment after everything."""
        return self.moments[-1] + 1 if self.moments else 0.0

    def sent_before(self, moment: float) -> Iterator[bytes]:
        """Every message that had begun to be sent by then."""
        return (message.data for message in self.messages if message.began < moment)

    def tree(self, moment: float, pieces: Pieces, *, names: Callable[[int, int], int], lengths: bool = False) -> Tree:
        """What is on the disk after a cut at `moment`.

        `pieces` chooses among the changes that are not synced, `names` says how many of a folder's are there: at least the first argument, the
        number of those that are synced, and at most the second. With `lengths` a file is as long as it would be with all changes, its holes zero.
        """
        tree: Tree = {}
        for path, file in self._paths(moment, names):
            settled, content = self._settled_content(file, moment)
            if later := [change for change in self.changes.get(file, ())[settled:] if change.began < moment]:
                altered = bytearray(content)
                for change in later:
                    _apply(altered, change, None if change.durable < moment else pieces(change), lengths=lengths)
                content = bytes(altered)
            tree[path] = content
        return tree

    def _settled_content(self, file: int, moment: float) -> tuple[int, bytes]:
        """How many of the first changes of a file are durable, up to one that is not, and what is in it by them. Made from what was found for an
        earlier moment, if the last one was earlier."""
        changes = self.changes.get(file, ())
        count, content, since = self._settled.get(file, (0, b"", -1.0))
        if since >= moment:
            count, content, since = 0, b"", -1.0
        new = list(itertools.takewhile(lambda change: change.durable < moment, changes[count:]))
        if new:
            altered = bytearray(content)
            for change in new:
                _apply(altered, change, None, lengths=False)
            count, content, since = count + len(new), bytes(altered), max(since, *(change.durable for change in new))
            self._settled[file] = count, content, since
        return count, content

    def _paths(self, moment: float, names: Callable[[int, int], int]) -> Iterator[tuple[str, int]]:
        """Every file that has a name, with the path that it has."""
        visible: set[int] = set()
        for folder in sorted(self._folders):
            log = [naming for naming in self.namings if naming.folder == folder and naming.began < moment]
            synced = max((place for place, naming in enumerate(log, start=1) if naming.durable < moment), default=0)
            visible.update(id(naming) for naming in log[: names(synced, len(log))])
        held: dict[int, dict[str, int]] = {folder: {} for folder in self._folders}
        for naming in self.namings:
            if id(naming) in visible:
                _name(held, naming)
        waiting = [("", ROOT)]
        while waiting:
            path, folder = waiting.pop()
            for name, child in sorted(held[folder].items()):
                if child in self._folders:
                    waiting.append((f"{path}{name}/", child))
                else:
                    yield path + name, child

    # From here on: how a history is read from calls.

    def _lay_down(self, path: PurePosixPath, content: bytes) -> None:
        folder = ROOT
        for name in path.parts[:-1]:
            child = self._live(folder, name)
            if child is None:
                child = next(self._numbers)
                self._folders.add(child)
                self.namings.append(Naming(folder, name, child, None, -1, -1, -1))
            folder = child
        file = next(self._numbers)
        self.namings.append(Naming(folder, path.name, file, None, -1, -1, -1))
        self.changes[file] = [Change(file, 0, content, -1, -1, -1)]

    def _live(self, folder: int, name: str) -> int | None:
        held: dict[int, dict[str, int]] = {number: {} for number in self._folders}
        for naming in self.namings:
            _name(held, naming)
        return held[folder].get(name)

    def _find(self, path: str) -> tuple[int, str] | None:
        """The folder of a path and the last part of it; None for what is not kept in mind."""
        try:
            *parents, last = Path(path).relative_to(self.root).parts or ("",)
        except ValueError:
            return None
        if last.endswith("-shm"):
            return None
        folder = ROOT
        for name in parents:
            child = self._live(folder, name)
            if child not in self._folders:
                return None
            folder = child
        return folder, last

    def _file(self, path: str) -> int | None:
        place = self._find(path)
        return None if place is None else ROOT if place == (ROOT, "") else self._live(*place)

    def _take(self, call: Call) -> None:
        if call.name in ("open", "openat", "creat"):
            self._open(call)
        elif call.name.startswith(("mkdir", "rename", "unlink", "link", "symlink", "rmdir")):
            self._rename(call)
        elif call.name in SYNCS:
            self._sync(call)
        elif call.name in DATA or call.name in SENDS:
            self._write(call)

    def _open(self, call: Call) -> None:
        arguments = {"open": (0, 1), "openat": (1, 2)}
        assert call.name in arguments, call
        path, flags = arguments[call.name]
        opened = set(call.arguments[flags].split("|"))
        place = self._find(_absolute(call, path))
        if place is None or not opened & {"O_CREAT", "O_TRUNC"}:
            return
        file = self._live(*place)
        if file is None:
            file = next(self._numbers)
            self.changes[file] = []
            self.namings.append(Naming(*place, file, None, call.began, call.ended))
        elif "O_TRUNC" in opened:
            self.changes[file].append(Change(file, 0, None, call.began, call.ended))

    def _rename(self, call: Call) -> None:
        match call.name:
            case "mkdir" | "mkdirat":
                place = self._find(_absolute(call, call.name == "mkdirat"))
                if place is not None and self._live(*place) is None:  # else it was killed before it could fail
                    child = next(self._numbers)
                    self._folders.add(child)
                    self.namings.append(Naming(*place, child, None, call.began, call.ended))
            case "unlink" | "unlinkat" | "rmdir":
                place = self._find(_absolute(call, call.name == "unlinkat"))
                if place is not None:
                    self.namings.append(Naming(*place, None, None, call.began, call.ended))
            case "rename" | "renameat" | "renameat2":
                paths = (0, 1) if call.name == "rename" else (1, 3)
                source, target = (self._find(_absolute(call, place)) for place in paths)
                if source is not None and target is not None:
                    child = self._live(*source)
                    assert child is not None, call
                    self.whole.setdefault(str(Path(_absolute(call, paths[1])).relative_to(self.root)), set()).add(self._content(child))
                    self.namings.append(Naming(*target, child, source, call.began, call.ended))
            case _:
                raise AssertionError(f"nothing is known of what {call.name} leaves behind")

    def _content(self, file: int) -> bytes:
        content = bytearray()
        for change in self.changes[file]:
            _apply(content, change, None, lengths=False)
        return bytes(content)

    def _sync(self, call: Call) -> None:
        assert call.name in ("fsync", "fdatasync"), f"nothing is known of what {call.name} makes durable"
        synced = self._file(call.of())
        if synced is None:
            return
        of_folder = [naming for naming in self.namings if naming.folder == synced or (naming.source is not None and naming.source[0] == synced)]
        for one in [*self.changes.get(synced, ()), *(of_folder if synced in self._folders else ())]:
            if one.ended < call.began and one.durable is NEVER and not (isinstance(one, Change) and one.forgotten):
                if call.result == 0:
                    one.durable = call.ended
                elif isinstance(one, Change):  # the system drops what it could not write, and the next fsync says that all is well
                    one.forgotten = True

    def _write(self, call: Call) -> None:
        what = call.of()
        if call.name in SENDS or what.startswith(("TCP", "socket")):
            self.messages.append(Message(call.began, call.sent()))
            return
        file = self._file(what)
        if file is None:
            return
        assert call.name in ("write", "pwrite64", "ftruncate"), f"nothing is known of what {call.name} changes"
        change = Change(file, 0, None, call.began, call.ended)
        if call.name == "ftruncate":
            change.offset = int(call.arguments[1])
        else:
            change.data = call.text(1)[: call.result]
            change.offset = int(call.arguments[3]) if call.name == "pwrite64" else len(self._content(file))
        self.changes[file].append(change)


def _absolute(call: Call, place: int) -> str:
    """A path argument; one that is relative starts from the descriptor before it."""
    path = call.path(place)
    return path if path.startswith("/") or not call.name.endswith("at") else str(Path(call.of(place - 1), path))


def _name(held: dict[int, dict[str, int]], naming: Naming) -> None:
    if naming.source is not None:
        held[naming.source[0]].pop(naming.source[1], None)
    if naming.child is None:
        held[naming.folder].pop(naming.name, None)
    else:
        held[naming.folder][naming.name] = naming.child


def _apply(content: bytearray, change: Change, sectors: Iterable[int] | None, *, lengths: bool) -> None:
    if change.data is None:
        if sectors is None or change.offset in sectors:
            del content[change.offset :]
            content.extend(bytes(change.offset - len(content)))
        return
    end = change.offset + len(change.data)
    if sectors is None:
        parts = [(change.offset, end)]
    else:
        first = change.offset // SECTOR
        bounds = [((first + sector) * SECTOR, (first + sector + 1) * SECTOR) for sector in sorted(sectors)]
        parts = [(max(low, change.offset), min(high, end)) for low, high in bounds if max(low, change.offset) < min(high, end)]
    reach = end if lengths else max((high for _, high in parts), default=0)
    content.extend(bytes(max(0, reach - len(content))))
    for low, high in parts:
        content[low:high] = change.data[low - change.offset : high - change.offset]


def sectors_of(change: Change) -> range:
    """The sectors that a change touches, counted from its first."""
    if change.data is None:
        return range(change.offset, change.offset + 1)
    return range((change.offset + len(change.data) - 1) // SECTOR - change.offset // SECTOR + 1 if change.data else 0)


def all_names(synced: int, begun: int) -> int:
    return begun


def synced_names(synced: int, begun: int) -> int:
    return synced


def states(history: History, seed: int, rounds: int, every: int = 1) -> Iterator[tuple[str, float, Tree]]:
    """The states that a cut at each moment, or each `every`-th, could leave: what kind, when, and what is on the disk. Same seed, same states."""
    for moment in [*history.moments[::every], history.end]:
        yield "everything", moment, history.tree(moment, _whole, names=all_names)
        yield "only what was synced", moment, history.tree(moment, _nothing, names=synced_names)
        yield "names before bytes", moment, history.tree(moment, _nothing, names=all_names, lengths=True)
        yield "bytes before names", moment, history.tree(moment, _whole, names=synced_names)
        rng = random.Random(f"{seed} {moment}")
        yield "last write torn", moment, history.tree(moment, _torn(history, moment, rng), names=all_names)
        for _ in range(rounds):
            names = lambda synced, begun: rng.randint(synced, begun)  # noqa: B023, E731 - used before the next moment
            yield "any of the unsynced", moment, history.tree(moment, _any(rng), names=names, lengths=rng.random() < 0.3)


def _whole(change: Change) -> None:
    return None


def _nothing(change: Change) -> Iterable[int]:
    return ()


def _any(rng: random.Random) -> Pieces:
    share = rng.random()

    def pieces(change: Change) -> Iterable[int] | None:
        drawn = rng.random()
        if drawn < share:
            return None
        return () if drawn < (1 + share) / 2 else [sector for sector in sectors_of(change) if rng.random() < 0.5]

    return pieces


def _torn(history: History, moment: float, rng: random.Random) -> Pieces:
    """Everything, but of the last write that was not synced only the first sectors."""
    open_changes = [change for changes in history.changes.values() for change in changes if change.began < moment <= change.durable and change.data]
    last = max(open_changes, key=lambda change: change.began, default=None)
    cut = 0 if last is None else rng.randrange(len(sectors_of(last)))
    return lambda change: range(cut) if change is last else None


def on_disk(folder: Path) -> Tree:
    """What is there now, as a tree."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: content for name, content in found.items() if not name.endswith("-shm")}


def within(tree: Mapping[str, bytes], folder: str) -> Tree:
    """The part of a tree that is in one of its folders."""
    return {name.removeprefix(f"{folder}/"): content for name, content in tree.items() if name.startswith(f"{folder}/")}
