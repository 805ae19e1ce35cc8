"""Making the rows of a manifest the rows of the batch, in one transaction.

Rows come by the million, so they are looked up and written by the chunk, and what only the whole plan can tell, such as two rows with one file name,
is found in one go at the end.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice

from batcher.errors import ManifestError, Problem
from batcher.ledger.codec import spec_values, to_json
from batcher.ledger.statements import statements
from batcher.model import JobSpec, State, Where
from batcher.naming import name_key
from batcher.ports import PlanSummary

PROBLEMS_SHOWN = 50
CHUNK = 256
"""Rows looked up and written at once."""

CACHE_KB = 32 * 1024
"""What SQLite may keep of the file in memory meanwhile: with less, the index of keys that are hashes is read from the disk again and again."""

UNDER_WAY = frozenset({State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED, State.PRODUCED})


class PlanWriter:
    """Writes specs into an open transaction and keeps account."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = statements()
        self._counts = {field.name: 0 for field in fields(PlanSummary)}
        self._problems: dict[Problem, int] = {}
        """The first problems, and how many more rows have each of them."""
        self._problem_count = 0
        self._repeats: dict[str, int] = {}
        self._refused: set[int] = set()
        """Rows that the manifest names, but not as they may be."""
        self._position = 0
        self._last_seq: int = connection.execute(self._sql["select_last_seq"]).fetchone()[0]
        self._is_first = connection.execute(self._sql["has_rows"]).fetchone() is None
        """Whether the batch has no rows yet."""
        self._taken: dict[str, JobSpec] = {}
        """The specs of this chunk that are rows of the batch now, by key."""
        self._new: list[tuple[int, int, JobSpec]] = []
        """Those of them that are new, with number and position: not written yet."""
        self._seen: list[tuple[int, str]] = []

    def plan(self, items: Iterable[JobSpec | Problem]) -> PlanSummary:
        """Take every item in turn. Raises `ManifestError` with all problems; then the transaction must be undone."""
        cache = self._connection.execute("PRAGMA cache_size").fetchone()[0]
        self._connection.execute(f"PRAGMA cache_size = {-CACHE_KB}")
        try:
            return self._plan(items)
        finally:
            self._connection.execute(f"PRAGMA cache_size = {cache}")

    def _plan(self, items: Iterable[JobSpec | Problem]) -> PlanSummary:
        self._connection.execute(self._sql["begin_seen"])
        dropped = self._drop_upkeep() if self._is_first else []
        rest = iter(items)
        while chunk := list(islice(rest, CHUNK)):
            self._take(chunk)
        self._restore_upkeep(dropped)
        self._connection.execute(self._sql["index_seen"])
        self._settle_names()
        if not self._is_first:
            self._settle_unnamed()
        if self._problem_count:
            problems = [replace(problem, more_rows=more) for problem, more in self._problems.items()]
            raise ManifestError(problems, self._problem_count)
        self._counts["repeated"] = self._count_repeated()
        self._connection.execute(self._sql["end_seen"])
        self._counts["total"] = sum(self._counts[name] for name in ("new", "changed", "reused", "kept"))
        return PlanSummary(**self._counts)

    def _drop_upkeep(self) -> list[str]:
        """Make rows cheap to add where there are none: without indexes and tallies to keep. Returns what makes them again."""
        kept = self._connection.execute(self._sql["select_upkeep"]).fetchall()
        for drop, _ in kept:
            self._connection.execute(drop)
        return [sql for _, sql in kept]

    def _restore_upkeep(self, dropped: Sequence[str]) -> None:
        """Sorting once takes less than searching for each row."""
        for sql in dropped:
            self._connection.execute(sql)
        if dropped:
            self._connection.execute(self._sql["tally_first_rows"])

    def _take(self, chunk: Sequence[JobSpec | Problem]) -> None:
        known = self._look_up([item.key for item in chunk if not isinstance(item, Problem)])
        for item in chunk:
            if isinstance(item, Problem):
                self._note(item)
            else:
                self._position += 1
                self._add(item, known.get(item.key))
        self._connection.executemany(self._sql["insert_spec"], ((seq, *spec_values(spec)) for seq, _, spec in self._new))
        self._connection.executemany(self._sql["insert_job"], ((seq, position) for seq, position, _ in self._new))
        self._connection.executemany(self._sql["insert_seen"], self._seen)
        for written in (self._taken, self._new, self._seen):
            written.clear()

    def _look_up(self, keys: Sequence[str]) -> dict[str, sqlite3.Row]:
        """The rows that have these keys, by key."""
        return {row["key"]: row for row in self._connection.execute(self._sql["select_known"], (json.dumps(keys),))}

    def _add(self, spec: JobSpec, known: sqlite3.Row | None) -> None:
        if (first := self._taken.get(spec.key)) is not None:
            self._add_again(spec, first.fingerprint, first.where)
        elif known is None:
            self._last_seq += 1
            self._new.append((self._last_seq, self._position, spec))
            self._see(self._last_seq, spec)
            self._counts["new"] += 1
        elif known["is_seen"]:
            self._add_again(spec, known["planned"] or known["fingerprint"], known["source"])
        elif known["fingerprint"] == spec.fingerprint:
            self._reuse(spec, known, is_revised=False)
        elif known["planned"] == spec.fingerprint:
            self._reuse(spec, known, is_revised=True)
        else:
            self._change(spec, known)

    def _add_again(self, spec: JobSpec, fingerprint: str, source: str) -> None:
        """The same key twice in one manifest: a row without id is one more of its kind; a row with id must be the same row."""
        if spec.key == spec.fingerprint:
            nth = self._repeats[spec.key] = self._repeats.get(spec.key, 1) + 1
            another = replace(spec, key=f"{spec.key}#{nth}", row_id=f"{spec.row_id}-{nth}", stem=f"{spec.stem}-{nth}")
            self._add(another, self._look_up([another.key]).get(another.key))
        elif fingerprint == spec.fingerprint:
            self._counts["duplicates"] += 1
        else:
            self._problem(spec, f"the id {spec.row_id!r} is used by {source} too, for a different row", field="id", hint="give each row its own id")

    def _reuse(self, spec: JobSpec, known: sqlite3.Row, *, is_revised: bool) -> None:
        """With `is_revised` the manifest asks for what it asked for before a person changed the request of the row: that change stands."""
        seq = known["seq"]
        if known["state"] == State.DONE or is_revised:  # its files are there under the name that they were given
            spec = replace(spec, stem=known["stem"])
        *_, stem, row_fields, axes, inputs, source = spec_values(spec)
        if is_revised:
            row_fields, inputs = known["fields"], known["inputs"]
        elif known["planned"] is not None:  # the manifest asks for the changed request itself by now
            self._connection.execute(self._sql["forget_revision"], (seq,))
        if (stem, row_fields, axes, inputs, source) != tuple(known[name] for name in ("stem", "fields", "axes", "inputs", "source")):
            self._connection.execute(self._sql["describe_spec"], (stem, row_fields, axes, inputs, source, seq))
        if not known["listed"] or known["position"] != self._position:
            self._connection.execute(self._sql["place_job"], (self._position, seq))
        self._see(seq, spec)
        self._counts["reused"] += 1

    def _change(self, spec: JobSpec, known: sqlite3.Row) -> None:
        seq, state = known["seq"], State(known["state"])
        if state in UNDER_WAY:
            self._refused.add(seq)
            request = f" (request {known['request_id']})" if known["request_id"] else ""
            hint = "collect it first with `batcher resume`, or settle it with `batcher retry`; then run again"
            self._problem(spec, f"row {spec.row_id!r} was changed while it is {state}{request}", hint=hint)
            return
        _, _, *columns = spec_values(spec)
        self._connection.execute(self._sql["update_spec"], (*columns, seq))
        self._connection.execute(self._sql["replan_job"], (self._position, seq))
        self._connection.execute(self._sql["forget_revision"], (seq,))
        self._see(seq, spec)
        self._counts["changed"] += 1

    def _see(self, seq: int, spec: JobSpec) -> None:
        self._taken[spec.key] = spec
        self._seen.append((seq, name_key(spec.stem)))

    def _settle_names(self) -> None:
        """No two rows write the same file."""
        for row_id, stem, source, other_id, other_source in self._connection.execute(self._sql["select_clashes"]):
            message = f"row {row_id!r} would write the same file, {stem!r}, as row {other_id!r} of {other_source}"
            self._note(Problem(Where.parse(source), message, hint="see output: name"))

    def _settle_unnamed(self) -> None:
        """Rows that the manifest names no more: forgotten if nothing was paid, kept in the batch while their request may still bring something."""
        for kept in self._connection.execute(self._sql["select_kept"]).fetchall():
            if kept["seq"] in self._refused:
                continue
            self._counts["kept"] += 1
            self._position += 1
            self._connection.execute(self._sql["place_job"], (self._position, kept["seq"]))
            if (other := self._one("select_seen_name", name_key(kept["stem"]))) is not None:
                whose = f"row {kept['row_id']!r}, which is not in the manifest any more but still under way"
                message = f"row {other['row_id']!r} would write the same file, {kept['stem']!r}, as {whose}"
                self._note(Problem(Where.parse(other["source"]), message, hint="collect that first with `batcher resume`"))
        deleted = self._connection.execute(self._sql["delete_dropped"]).rowcount
        if deleted:
            self._connection.execute(self._sql["delete_orphans"])
        unlisted = self._connection.execute(self._sql["unlist_dropped"]).rowcount
        self._counts["dropped"] = deleted + unlisted

    def _count_repeated(self) -> int:
        """How many rows make the very request of another one, also by the seeds that were drawn for them."""
        self._connection.execute(self._sql["begin_requests"])
        same = self._connection.execute(self._sql["select_same_fingerprints"])
        rows = 0

        def digests() -> Iterator[tuple[bytes]]:
            nonlocal rows
            for fingerprint, body in same:
                rows += 1
                text = f"{fingerprint} {to_json(json.loads(body))}"
                yield (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(),)

        requests = self._connection.executemany(self._sql["insert_request"], digests()).rowcount
        self._connection.execute(self._sql["end_requests"])
        return rows - max(0, requests)

    def _one(self, statement: str, value: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._connection.execute(self._sql[statement], (value,)).fetchone()
        return row

    def _problem(self, spec: JobSpec, message: str, *, field: str | None = None, hint: str = "") -> None:
        self._note(Problem(Where.parse(spec.where), message, field=field, hint=hint))

    def _note(self, problem: Problem) -> None:
        if problem in self._problems:
            self._problems[problem] += 1
            return
        self._problem_count += 1
        if len(self._problems) < PROBLEMS_SHOWN:
            self._problems[problem] = 0
