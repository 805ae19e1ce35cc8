"""A ledger that is damaged: refused with a clear message, or as good as it was. Never a traceback, never a row that is not what it seems."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from batcher.errors import InputError, LedgerError, OutputError
from batcher.events import Accepted, Claimed, Produced, Saved
from batcher.ledger import LedgerReader, SqliteLedger, salvage
from batcher.ledger.wal import HEADER, SECTOR_BYTES, wal_damage
from batcher.model import Artifact, Job, State
from tests.support.engine_world import make_spec
from tests.support.ledgers import NOW, TO_STATE, Book

pytestmark = pytest.mark.fault("B6")

ROWS = 30
MUTATIONS = 120


@dataclass(frozen=True)
class Original:
    folder: Path
    jobs: list[Job]
    facts: dict[str, object]

    @property
    def request_ids(self) -> set[str]:
        return {job.request_id for job in self.jobs if job.request_id is not None}


async def make_ledger(folder: Path) -> list[Job]:
    """Rows in every state that a row rests in, each request with an id of its own, some bodies longer than a page."""
    book = Book(folder / "ledger.db")
    await book.plan(*(make_spec(f"row{n}", scene="x" * (9000 if n % 10 == 0 else 200)) for n in range(ROWS)))
    await book.ledger.put_meta({"name": "torn", "run": {"concurrency": 8}, "service": "https://x"})
    await book.ledger.begin_run(NOW, 1, "here")
    for n in range(ROWS):
        if n % 5 == 0:
            continue
        file = Artifact(f"results/row{n}.png", f"{n:064x}", 100 + n, "image/png")
        events = (Claimed(), Accepted(f"request-{n:04}"), Produced((f"https://x/{n}.png?{'s' * 300}",), 0.08), Saved((file,), 1.0))
        await book.move(f"row{n}", TO_STATE[State.IN_DOUBT] if n % 5 == 1 else events[: n % 5])
    jobs = await book.rows()
    if folder.name == "torn":  # as a kill leaves it: what was written last is in the WAL only
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copyfile(folder / name, folder.parent / f"killed-{name}")
    await book.ledger.aclose()
    if folder.name == "torn":
        for name in ("ledger.db", "ledger.db-wal"):
            (folder.parent / f"killed-{name}").replace(folder / name)
    return jobs


@pytest.fixture(scope="module", params=["closed", "torn"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("original") / request.param
    folder.mkdir()
    jobs = asyncio.run(make_ledger(folder))
    with LedgerReader(folder / "ledger.db") as reader:
        return Original(folder, jobs, dict(reader.meta()))


def copy_of(original: Original, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original.folder, folder)
    (folder / "ledger.db-shm").unlink(missing_ok=True)
    return folder / "ledger.db"


def mutate(path: Path, rng: random.Random) -> str:  # noqa: C901 - a list of what can happen
    """Do to a file what disks and people do."""
    targets = [each for each in (path, path.with_name("ledger.db-wal")) if each.is_file() and each.stat().st_size]
    target = rng.choice(targets)
    data = bytearray(target.read_bytes())
    kind = rng.choice(["flip", "flips", "byte", "zeros", "cut", "cut page", "noise", "swap", "grow", "header"])
    at = rng.randrange(len(data))
    page = at // 4096 * 4096
    match kind:
        case "flip":
            data[at] ^= 1 << rng.randrange(8)
        case "flips":
            for _ in range(20):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "byte":
            data[at] = rng.randrange(256)
        case "zeros":
            data[page : page + 4096] = bytes(len(data[page : page + 4096]))
        case "cut":
            del data[at:]
        case "cut page":
            del data[page or 4096 :]  # an empty file is none, and a folder with results and without a ledger is refused before it is opened
        case "noise":
            data[at : at + 512] = rng.randbytes(len(data[at : at + 512]))
        case "swap":
            other = rng.randrange(len(data)) // 4096 * 4096
            if page + 4096 <= len(data) and other + 4096 <= len(data):
                data[page : page + 4096], data[other : other + 4096] = data[other : other + 4096], data[page : page + 4096]
        case "grow":
            data += rng.randbytes(4096)
        case "header":
            data[rng.randrange(100)] = rng.randrange(256)
    target.write_bytes(data)
    return f"{kind} of {target.name} at {at}"


async def look(path: Path) -> list[Job] | None:
    """Every row, or None where the ledger is refused; nothing but `LedgerError` may be raised."""
    try:
        ledger = SqliteLedger(path, threaded=False)
    except LedgerError:
        return None
    try:
        with LedgerReader(path) as reader:
            reader.meta()
            reader.runs()
            reader.contradictions()
            return list(reader.jobs())
    except LedgerError:
        return None
    finally:
        await ledger.aclose()


def submittable(jobs: list[Job]) -> set[str]:
    """The rows that a run would pay for."""
    return {job.row_id for job in jobs if job.state is State.PLANNED}


@pytest.mark.no_cover
def test_a_mutated_ledger_is_refused_or_would_pay_for_nothing_twice(
    original: Original, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What cannot be told: a bit that flipped in a text, which costs nothing, and a WAL that was cut off, which looks as if no more had come."""
    rng = random.Random(6)
    refused = whole = altered = cut_off = found = 0
    may_be_paid = submittable(original.jobs)
    for n in range(MUTATIONS):
        path = copy_of(original, tmp_path / "mutated")
        what = mutate(path, rng)
        salvage(path, tmp_path / f"{n}.jsonl")
        read = (tmp_path / f"{n}.jsonl").read_text("utf-8")
        found += sum(request in read for request in original.request_ids)
        jobs = asyncio.run(look(path))
        if jobs is None:
            refused += 1
        elif jobs == original.jobs:
            whole += 1
        elif what.startswith("cut") and "ledger.db-wal" in what:
            cut_off += 1
            assert {job.request_id for job in jobs} - {None} <= original.request_ids, f"{n}: {what}"
        else:
            altered += 1
            assert submittable(jobs) <= may_be_paid, f"{n}: {what}"
            assert len(jobs) == ROWS, f"{n}: {what}"
    share = found / (MUTATIONS * len(original.request_ids))
    figures = f"{refused} refused, {whole} as it was, {altered} with an altered text, {cut_off} without its end; {share:.0%} of request ids salvaged"
    record_property("figures", figures)
    print(figures)
    assert refused > MUTATIONS / 3
    assert share > 0.8


def test_what_was_paid_for_is_found_in_a_ledger_without_its_header_and_its_schema(original: Original, tmp_path: Path) -> None:
    path = copy_of(original, tmp_path / "headless")
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    if not path.with_name("ledger.db-wal").exists():  # which holds another copy of its first page
        with pytest.raises(LedgerError, match="damaged"):
            SqliteLedger(path)
    found = salvage(path, tmp_path / "found.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text("utf-8").splitlines()]
    assert found.rows == len(lines) == ROWS
    known = {job.row_id: job for job in original.jobs}
    assert {line["row"] for line in lines} == set(known)
    for line in lines:
        job = known[line["row"]]
        assert line["state"] == job.state
        assert line["request_ids"] == ([job.request_id] if job.request_id else [])
        assert [file["path"] for file in line["files"]] == [file.path for file in job.artifacts]
        assert (line["model"], line["stem"], line["cost_usd"]) == (job.spec.model, job.spec.stem, job.cost_usd)
    assert (tmp_path / "found.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_salvage_overwrites_nothing_and_says_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        salvage(tmp_path / "ledger.db", tmp_path / "x")
    (tmp_path / "ledger.db").write_bytes(b'xx Accepted{"request_id":"loose-1"} xx')
    found = salvage(tmp_path / "ledger.db", tmp_path / "x")
    assert (found.rows, found.request_ids, found.without_row) == (0, 1, 1)
    assert json.loads((tmp_path / "x").read_text()) == {"row": None, "request_ids": ["loose-1"]}
    with pytest.raises(OutputError, match="cannot be written"):
        salvage(tmp_path / "ledger.db", tmp_path / "x")


# ── the WAL ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """What a kill in the middle of a run leaves."""
    (tmp_path / "torn").mkdir()
    await make_ledger(tmp_path / "torn")
    return tmp_path / "torn" / "ledger.db"


async def test_a_wal_that_was_left_over_is_read(killed: Path) -> None:
    ledger = SqliteLedger(killed)
    assert ledger.counts()[State.IN_DOUBT] == ROWS / 5
    assert not ledger.lost_wal
    await ledger.aclose()
    assert not killed.with_name("ledger.db-wal").exists()


@pytest.mark.fault("A14")
@pytest.mark.parametrize("lose", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
async def test_a_ledger_that_was_copied_without_its_wal_says_so_until_it_was_closed_properly(killed: Path, lose: Callable[[Path], object]) -> None:
    lose(killed.with_name("ledger.db-wal"))
    ledger = SqliteLedger(killed)
    assert ledger.lost_wal
    assert ledger.counts()[State.PLANNED] == ROWS, "the rows look as if they had never been submitted"
    await ledger.aclose()
    again = SqliteLedger(killed)
    assert not again.lost_wal
    await again.aclose()


@pytest.mark.fault("A14")
@pytest.mark.parametrize("lose", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_wal_whose_ledger_is_empty_or_gone_is_not_thrown_away(killed: Path, lose: Callable[[Path], object]) -> None:
    lose(killed)
    for opener in (SqliteLedger, LedgerReader):
        with pytest.raises(LedgerError, match=r"ledger\.db-wal beside it is not"):
            opener(killed)
    assert killed.with_name("ledger.db-wal").stat().st_size > 0
    assert salvage(killed, killed.with_name("found.jsonl")).request_ids == ROWS * 3 / 5


async def test_what_a_power_cut_tears_off_the_last_transaction_is_no_damage(killed: Path) -> None:
    wal = killed.with_name("ledger.db-wal")
    whole = wal.read_bytes()
    for length in (len(whole) - 1, len(whole) - 2000, len(whole) - 4096 - 24):
        wal.write_bytes(whole[:length])
        killed.with_name("ledger.db-shm").unlink(missing_ok=True)
        before = killed.read_bytes()
        ledger = SqliteLedger(killed, threaded=False)
        assert sum(ledger.counts().values()) == ROWS
        await ledger.aclose()
        killed.write_bytes(before)


async def test_a_wal_of_which_only_the_length_came_to_the_disk_is_no_damage(killed: Path) -> None:
    wal = killed.with_name("ledger.db-wal")
    killed.with_name("ledger.db-shm").unlink(missing_ok=True)
    whole = wal.read_bytes()
    wal.write_bytes(bytes(32) + whole[32:])
    with pytest.raises(LedgerError, match="header of its WAL is damaged"):
        SqliteLedger(killed, threaded=False)
    for length in (3, 20, 31):
        wal.write_bytes(whole[:length])
        with pytest.raises(LedgerError, match="header of its WAL is damaged"):
            SqliteLedger(killed, threaded=False)
    wal.write_bytes(bytes(len(whole)))
    killed.with_name("ledger.db-shm").unlink(missing_ok=True)
    await SqliteLedger(killed, threaded=False).aclose()


def test_what_a_power_cut_leaves_of_a_wal_that_is_used_again_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    wal = path.with_name("ledger.db-wal")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
        for _ in range(90):  # each frame a commit
            connection.execute("REPLACE INTO t VALUES (1, 'a')")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        old, start = wal.read_bytes(), path.read_bytes()
        connection.execute("REPLACE INTO t VALUES (2, ?)", ("b" * 4000 * 60,))  # only the last of many frames is one
        new = wal.read_bytes()
    assert len(new) == len(old)
    for cut in range(SECTOR_BYTES, len(new), SECTOR_BYTES):
        path.write_bytes(start)
        wal.write_bytes(new[: HEADER.size] + old[HEADER.size : cut] + new[cut:])
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
            assert wal_damage(path) == ""


def test_a_frame_that_went_bad_in_the_middle_is_not_taken_for_the_end(killed: Path) -> None:
    wal = killed.with_name("ledger.db-wal")
    whole = bytearray(wal.read_bytes())
    frames = range(32, len(whole), 24 + 4096)
    *_, last_but_one, _ = [at for at in frames if any(whole[at + 4 : at + 8])]  # the frames that end a transaction
    for at in (20, 32 + 24 + 100, len(whole) // 2, last_but_one + 24 + 100):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        wal.write_bytes(damaged)
        killed.with_name("ledger.db-shm").unlink(missing_ok=True)
        with pytest.raises(LedgerError, match="WAL is damaged"):
            SqliteLedger(killed)


@pytest.mark.parametrize(("magic", "order"), [(0x377F0682, "<"), (0x377F0683, ">")])
def test_a_wal_may_have_been_written_by_a_machine_of_either_byte_order(tmp_path: Path, magic: int, order: str) -> None:
    wal = tmp_path / "ledger.db-wal"
    salts = (0xFFFF_FFFF, 0xABCD_0123)

    def summed(data: bytes, one: int = 0, two: int = 0) -> tuple[int, int]:
        words = struct.unpack(f"{order}{len(data) // 4}I", data)
        for first, second in zip(words[::2], words[1::2], strict=True):
            one = (one + first + two) % 2**32
            two = (two + second + one) % 2**32
        return one, two

    head = struct.pack(">6I", magic, 3_007_000, 512, 1, *salts)
    sums = summed(head)
    whole = head + struct.pack(">2I", *sums)
    for number in range(1, 4):  # each a commit
        start, page = struct.pack(">2I", number, 3), bytes([number]) * 512
        sums = summed(start + page, *sums)
        whole += start + struct.pack(">4I", *salts, *sums) + page
    wal.write_bytes(whole)
    assert wal_damage(tmp_path / "ledger.db") == ""
    wal.write_bytes(whole[:60] + b"x" + whole[61:])
    assert wal_damage(tmp_path / "ledger.db") == "its WAL is damaged after 0 of its records, and more follow"
    wal.write_bytes(whole[:31] + bytes([whole[31] ^ 1]) + whole[32:])
    assert wal_damage(tmp_path / "ledger.db") == "the header of its WAL is damaged"


def test_what_is_refused_is_left_as_it_is_and_refused_again(killed: Path) -> None:
    wal = killed.with_name("ledger.db-wal")
    damaged = bytearray(wal.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    wal.write_bytes(damaged)
    before = killed.read_bytes()
    for _ in range(2):
        with pytest.raises(LedgerError, match="WAL is damaged"):
            SqliteLedger(killed)
        assert (killed.read_bytes(), wal.read_bytes()) == (before, damaged)


@pytest.mark.skipif(sys.platform != "linux", reason="the place of the lock is that of SQLite on Unix")
async def test_a_ledger_that_is_open_keeps_its_locks(killed: Path) -> None:
    """Else whoever opens it beside, such as `batcher status`, takes it for left behind and makes the index anew, under the feet of the run."""
    taken = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)"
    ledger = SqliteLedger(killed, threaded=False)
    try:
        ended = subprocess.run([sys.executable, "-c", taken, killed.with_name("ledger.db-shm")], capture_output=True, text=True, check=False)
        assert "BlockingIOError" in ended.stderr
    finally:
        await ledger.aclose()


# ── what SQLite says ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("B5")
@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full", "Free some space"),
        (sqlite3.SQLITE_CORRUPT, "it is damaged", "--salvage"),
        (sqlite3.SQLITE_NOTADB, "not a ledger", "--salvage"),
        (sqlite3.SQLITE_CANTOPEN, "its folder may not be written", "permission"),
        (sqlite3.SQLITE_READONLY, "may only be read", "mount the disk for writing"),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk reports a fault", "Check the disk"),
        (sqlite3.SQLITE_PERM, "you may not write it", "permission"),
        (sqlite3.SQLITE_BUSY, "another program holds it", "Close"),
        (sqlite3.SQLITE_LOCKED, "another program holds it", "Close"),
        (sqlite3.SQLITE_MISUSE, "as SQLite says it", "keep the ledger"),
    ],
)
def test_what_sqlite_says_becomes_words_and_a_remedy(code: int, words: str, remedy: str) -> None:
    from batcher.ledger.faults import ledger_error

    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    told = ledger_error(error, "written", Path("out/ledger.db"))
    assert told.message.startswith("out/ledger.db: the ledger cannot be written: ")
    assert words in told.message
    assert "as SQLite says it" in told.message
    assert remedy in told.remedy
    assert told.exit_code == 73


@pytest.mark.fault("B6")
async def test_an_index_that_brings_the_wrong_row_pays_for_nothing(tmp_path: Path) -> None:
    """A row that is claimed must be planned by its own record, whatever the index says of it."""
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"))
    planned = await book.row("a")
    await book.move("a", TO_STATE[State.SUBMITTED])
    from batcher.lifecycle import advance
    from tests.support.ledgers import SETTINGS

    claimed = advance(planned, Claimed(), now=NOW, jitter=0.5, settings=SETTINGS)
    with pytest.raises(LedgerError, match="row a was to be submitted, but is submitted"):
        await book.ledger.record(claimed, Claimed(), NOW)
    await book.ledger.aclose()
    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert reader.counts()[State.SUBMITTED] == 1


def test_an_index_that_is_not_of_its_table_is_damage_though_all_tallies_add_up(original: Original, tmp_path: Path) -> None:
    path = copy_of(original, tmp_path / "copy")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX jobs_position ON jobs (polls)' WHERE name = 'jobs_position'")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match=r"the ledger is damaged: .*index jobs_position"):
        SqliteLedger(path, threaded=False)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE jobs SET state = 'plonned' WHERE seq = 1",
        "UPDATE jobs SET artifacts = '[{' WHERE seq = 1",
        'UPDATE jobs SET failure = \'{"kind": "no such", "message": ""}\' WHERE seq = 1',
        "UPDATE specs SET body = 'nonsense' WHERE seq = 1",
        "UPDATE specs SET inputs = '[{\"x\": 1}]' WHERE seq = 1",
        "UPDATE meta SET value = '{' WHERE key = 'run'",
        "UPDATE tallies SET rows = rows + 1 WHERE state = 'planned'",
        "UPDATE tallies SET state = 'x' WHERE state = 'planned'",
        "DROP TABLE events",
    ],
)
async def test_what_cannot_have_been_written_so_is_an_error_that_says_so(tmp_path: Path, sql: str) -> None:
    book = Book(tmp_path / "ledger.db")
    await book.plan(make_spec("a"))
    await book.ledger.put_meta({"run": {}})
    await book.ledger.aclose()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute(sql)
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match=r"damaged|cannot be read|no such table"):
        await book_of(tmp_path)


async def book_of(folder: Path) -> None:
    """Everything that a run reads before it submits."""
    ledger = SqliteLedger(folder / "ledger.db", threaded=False)
    try:
        with LedgerReader(folder / "ledger.db") as reader:
            reader.meta()
            list(reader.jobs())
            reader.events(1)
            reader.counts()
    finally:
        await ledger.aclose()
