from __future__ import annotations

import re
import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from batcher.ledger import SqliteLedger
from batcher.ledger.statements import migrations, statements
from batcher.model import State

SOURCES = Path(str(resources.files("batcher.ledger")))

TEMPORARY = {"begin_seen": "seen", "begin_requests": "made_requests"}
"""The tables that last as long as a plan is made, by the statement that makes them."""


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for script in migrations():
        connection.executescript(script)
    for name in TEMPORARY:
        connection.execute(statements()[name])
    return connection


def test_every_migration_has_a_number_of_its_own_and_none_is_left_out() -> None:
    numbers = sorted(int(path.name[:4]) for path in (SOURCES / "sql").glob("[0-9]*.sql"))
    assert numbers == list(range(1, len(migrations()) + 1))


def test_every_statement_is_used_and_every_one_used_is_there() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.py"))
    used = set(re.findall(r"""_sql\[["'](\w+)["']\]""", code)) | set(re.findall(r"""(?:_one|_all)\("(\w+)\"""", code))
    used |= set(re.findall(r'"(where_\w+)"', code)) | {"begin_seen"}
    assert used == set(statements())


@pytest.mark.parametrize("name", [name for name in statements() if not name.startswith("where_")])
def test_every_statement_fits_the_schema(connection: sqlite3.Connection, name: str) -> None:
    sql = statements()[name]
    if name in TEMPORARY:
        connection.execute(f"DROP TABLE temp.{TEMPORARY[name]}")
    values = {"state": "planned", "now": 0.0, "limit": 1, "examples": 1} if ":" in sql else ("",) * sql.count("?")
    plan = connection.execute(f"EXPLAIN {sql}", values).fetchall()
    assert plan


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("select_jobs where_claimable", "jobs_state"),
        ("select_jobs where_submitted", "jobs_state"),
        ("select_jobs where_cancellable", "jobs_state"),
        ("select_jobs where_submitting", "jobs_state"),
        ("select_jobs where_page", "jobs_position"),
        ("select_jobs where_page_of_state", "jobs_state"),
        ("select_jobs where_page_of_key", "sqlite_autoindex_specs_1"),
        ("select_jobs where_row", "specs_row_id"),
        ("next_due", "jobs_waiting"),
        ("end_waits", "jobs_waiting"),
        ("has_stem", "specs_stem"),
        ("select_known", "sqlite_autoindex_specs_1"),
        ("select_other_of_request", "jobs_request_id"),
    ],
)
def test_what_is_asked_often_is_found_by_an_index_however_many_rows_there_are(connection: sqlite3.Connection, sql: str, index: str) -> None:
    statement = " ".join(statements()[name] for name in sql.split())
    values: dict[str, object] = {"state": "planned", "now": 0.0, "limit": 5, "after": 0, "row_id": "a"}
    given = {name: value for name, value in values.items() if f":{name}" in statement} if ":" in statement else ("a",) * statement.count("?")
    first, *steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given) if "VIRTUAL TABLE" not in row[3]]
    assert index in first
    assert not any("SCAN" in step for step in (first, *steps))
    assert "BY" not in " ".join(steps), "nothing is sorted that an index has in order"


def test_every_state_has_a_tally(connection: sqlite3.Connection) -> None:
    assert {row[0] for row in connection.execute(statements()["select_tallies"])} == set(State)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM jobs WHERE seq = 2",
        "UPDATE jobs SET listed = 0 WHERE seq = 2",
        "UPDATE jobs SET state = 'failed' WHERE seq = 2",
        "UPDATE jobs SET cost_usd = 16 WHERE seq = 2",
        "UPDATE jobs SET cost_usd = NULL WHERE seq = 2",
        "UPDATE jobs SET earlier_cost_usd = 32 WHERE seq = 2",
        "UPDATE jobs SET listed = 1 WHERE seq = 3",
        "UPDATE jobs SET cost_usd = 64 WHERE seq = 3",
        "DELETE FROM jobs WHERE seq = 3",
    ],
)
def test_tallies_are_what_counting_would_say_whatever_happens_to_a_row(connection: sqlite3.Connection, sql: str) -> None:
    rows = [(1, 1, None, 1.0), (2, 1, 2.0, 4.0), (3, 0, 8.0, 0.0)]
    insert = "INSERT INTO jobs (seq, position, state, listed, cost_usd, earlier_cost_usd) VALUES (?, 1, 'done', ?, ?, ?)"
    connection.executemany(insert, rows)

    def tallies(name: str) -> list[tuple[str, int, float]]:
        return sorted(row for row in connection.execute(statements()[name]) if row[1])

    assert tallies("select_tallies") == tallies("select_row_tallies") == [("done", 2, 7.0)]
    connection.execute(sql)
    assert tallies("select_tallies") == tallies("select_row_tallies")


PRAGMAS = ("journal_mode", "synchronous", "fullfsync", "foreign_keys", "busy_timeout")


async def test_a_ledger_on_a_disk_of_its_own_survives_a_power_cut(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    pragmas = await ledger._writer.do(lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS])
    assert pragmas == ["wal", 2, 1, 1, 10_000]
    await ledger.aclose()
