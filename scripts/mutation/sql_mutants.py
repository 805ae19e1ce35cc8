"""Small bugs in SQL: one change of the text each, as long as SQLite still takes it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from python_mutants import Mutant

STATES = ["planned", "submitting", "in_doubt", "submitted", "produced", "done", "failed", "cancelled"]
ENDS = r"(?=\s+(?:AND|OR|ORDER|LIMIT)\b|\s*\)|\s*;|\s+BEGIN\b|\s*$)"
CONDITION = rf"[\w.]+\s*(?:NOT IN|IN)\s*\([^)]*\)|(?:(?!\b(?:AND|OR|ORDER|LIMIT|WHERE|BEGIN)\b)[^;()\n]|\([^()]*\))+?{ENDS}"

RULES: list[tuple[str, str, tuple[str, ...]]] = [
    # name, pattern, what may stand there instead
    ("condition", rf"(?<=WHERE )(?:{CONDITION})", (r"(\g<0> OR 1)",)),
    ("condition", rf"(?<=WHEN )(?:{CONDITION})", (r"(\g<0> OR 1)",)),
    ("condition", rf"(?<=AND )(?:{CONDITION})", (r"(\g<0> OR 1)",)),
    ("condition", rf"(?<=OR )(?:{CONDITION})", (r"(\g<0> AND 0)",)),
    ("and/or", r"\bAND\b", ("OR",)),
    ("order", r"ORDER BY [\w.]+", (r"\g<0> DESC", "")),
    ("limit", r"LIMIT (?::limit|1)", ("",)),
    ("comparison", r"<=", ("<", ">")),
    ("comparison", r"(?<![<>])>(?!=)", (">=", "<")),
    ("comparison", r"<>", ("=",)),
    ("comparison", r"\bIS NOT\b", ("IS",)),
    ("comparison", r"\bNOT (?=IN\b|j\.)", ("",)),
    ("arithmetic", r" \+ ", (" - ",)),
    ("arithmetic", r" - (?=\w)", (" + ",)),
    ("constant", r"(?<=DEFAULT )\d", ("7",)),
    ("constant", r"(?<== )\d\b", ("7",)),
    ("constant", r"(?<= [+-] )1\b", ("2",)),
    ("assignment", r"(?<!WHERE )(?<!\.)\b(\w+) = \?", (r"\1 = iif(? IS NULL, \1, \1)",)),
    ("assignment", r"(?<!WHERE )(?<!AND )\b(\w+) = (?:NULL|\d|'planned')(?=[,\n ])", (r"\1 = \1",)),
    ("assignment", r"earlier_cost_usd = earlier_cost_usd \+ coalesce\(cost_usd, 0\)", ("earlier_cost_usd = earlier_cost_usd",)),
    ("assignment", r"DO UPDATE SET .*", ("DO NOTHING",)),
    ("assignment", r"(?<= SET )(\w+) = (\w+) ([+-]) [^,\n]*(?=, )", (r"\1 = \1",)),
    ("column", r"\b([sj]\.\w+), ([sj]\.\w+)", (r"\2, \1",)),
    ("column", r"(?<=[(,] )(\w+), (\w+)(?=[^)]*\) VALUES)|(?<=\()(\w+), (\w+)(?=[^)]*\) VALUES)", (r"\2\4, \1\3",)),
    ("coalesce", r"coalesce\((\S+), 0\)", (r"\1",)),
    ("collation", r" COLLATE NOCASE", ("",)),
    ("constraint", r" UNIQUE| AUTOINCREMENT", ("",)),
    ("statement", r"CREATE (?:UNIQUE )?INDEX [^;]*;|CREATE TRIGGER [\s\S]*?END;", ("",)),
    ("statement", r"(?<=\n)    UPDATE tallies [^;]*;", ("",)),
    ("trigger", r"OF state, listed, cost_usd, earlier_cost_usd ", ("", "OF state ", "OF state, listed ", "OF state, listed, cost_usd ")),
    ("row", r"\('planned'\), ", ("",)),
]

TEMPORARY = frozenset({"begin_seen", "begin_requests"})
"""What makes the tables that last as long as a plan is made."""


def sql_mutants(module: str, text: str, schema: str, *, is_schema: bool) -> Iterator[Mutant]:
    """Every bug that the rules make of `text`, each once, comments left alone."""
    seen = {text}
    shown = re.sub(r"--.*", lambda found: " " * len(found[0]), text)
    for operator, pattern, replacements in RULES:
        for found in re.finditer(pattern, shown, re.MULTILINE):
            for replacement in replacements:
                yield from _mutant(module, text, schema, found, found.expand(replacement), operator, seen, is_schema)
    for found in re.finditer(r"'(\w+)'", shown):
        if found[1] in STATES:
            other = STATES[(STATES.index(found[1]) + 1) % len(STATES)]
            yield from _mutant(module, text, schema, found, f"'{other}'", "state", seen, is_schema)


def _mutant(
    module: str, text: str, schema: str, found: re.Match[str], replacement: str, operator: str, seen: set[str], is_schema: bool
) -> Iterator[Mutant]:
    changed = text[: found.start()] + replacement + text[found.end() :]
    if changed in seen or not (_fits(changed, "") if is_schema else _fits(schema, changed)):
        return
    seen.add(changed)
    line = text.count("\n", 0, found.start()) + 1
    change = f"{' '.join(found[0].split())}  →  {' '.join(replacement.split()) or 'nothing'}"
    yield Mutant(module, line, range(0), range(0), operator, f"{_statement_at(text, found.start())}: {change}", changed, True)


def _statement_at(text: str, position: int) -> str:
    names = re.findall(r"^-- name: (\w+)$|^CREATE \w+ (\w+)", text[:position], flags=re.MULTILINE)
    return next((left or right for left, right in reversed(names)), "schema")


def _fits(schema: str, queries: str) -> bool:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema)
        parts = re.split(r"^-- name: (\w+)$", queries, flags=re.MULTILINE)[1:]
        statements = dict(zip(parts[::2], parts[1::2], strict=True))
        for name in TEMPORARY & statements.keys():
            connection.execute(statements[name])
        for name, sql in statements.items():
            if name not in TEMPORARY:
                whole = f"{statements['select_jobs']} {sql}" if name.startswith("where_") else sql
                given = dict.fromkeys(re.findall(r":(\w+)", whole), 1) if ":" in whole else (1,) * whole.count("?")
                connection.execute(f"EXPLAIN {whole}", given)
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return True
