"""Making the rows of a manifest the rows of the batch, in one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import fields, replace

from batcher.errors import ManifestError, Problem
from batcher.ledger.codec import spec_values, to_json
from batcher.ledger.statements import statements
from batcher.model import JobSpec, State, Where
from batcher.naming import name_key
from batcher.ports import PlanSummary

PROBLEMS_SHOWN = 50
UNDER_WAY = frozenset({State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED, State.PRODUCED})


class PlanWriter:
    """Writes specs one by one into an open transaction and keeps account."""

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

    def plan(self, items: Iterable[JobSpec | Problem]) -> PlanSummary:
        """Take every item in turn. Raises `ManifestError` with all problems; then the transaction must be undone."""
        self._connection.execute(self._sql["begin_seen"])
        for item in items:
            if isinstance(item, Problem):
                self._note(item)
            else:
                self._position += 1
                self._add(item)
        self._settle_unnamed()
        if self._problem_count:
            problems = [replace(problem, more_rows=more) for problem, more in self._problems.items()]
            raise ManifestError(problems, self._problem_count)
        self._counts["repeated"] = self._connection.execute(self._sql["count_repeated"]).fetchone()[0]
        self._connection.execute(self._sql["end_seen"])
        self._counts["total"] = sum(self._counts[name] for name in ("new", "changed", "reused", "kept"))
        return PlanSummary(**self._counts)

    def _add(self, spec: JobSpec) -> None:
        known = self._known(spec.key)
        if known is not None and (seen := self._one("select_seen", known["seq"])) is not None:
            self._add_again(spec, known, seen["fingerprint"])
        elif known is None:
            cursor = self._connection.execute(self._sql["insert_spec"], spec_values(spec))
            seq = cursor.lastrowid or 0
            self._connection.execute(self._sql["insert_job"], (seq, self._position))
            self._see(seq, spec)
            self._counts["new"] += 1
        elif known["fingerprint"] == spec.fingerprint:
            self._reuse(spec, known)
        else:
            self._change(spec, known)

    def _add_again(self, spec: JobSpec, known: sqlite3.Row, fingerprint: str) -> None:
        """The same key twice in one manifest: a row without id is one more of its kind; a row with id must be the same row."""
        if spec.key == spec.fingerprint:
            nth = self._repeats[spec.key] = self._repeats.get(spec.key, 1) + 1
            self._add(replace(spec, key=f"{spec.key}#{nth}", row_id=f"{spec.row_id}-{nth}", stem=f"{spec.stem}-{nth}"))
        elif fingerprint == spec.fingerprint:
            self._counts["duplicates"] += 1
        else:
            self._problem(
                spec, f"the id {spec.row_id!r} is used by {known['source']} too, for a different row", field="id", hint="give each row its own id"
            )

    def _reuse(self, spec: JobSpec, known: sqlite3.Row) -> None:
        seq = known["seq"]
        if known["state"] == State.DONE:  # its files are there under the name that they were given
            spec = replace(spec, stem=known["stem"])
        *_, stem, row_fields, axes, inputs, source = spec_values(spec)
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
        self._see(seq, spec)
        self._counts["changed"] += 1

    def _see(self, seq: int, spec: JobSpec) -> None:
        try:
            self._connection.execute(self._sql["insert_seen"], (seq, name_key(spec.stem), spec.fingerprint, _request_hash(spec)))
        except sqlite3.IntegrityError:
            self._refused.add(seq)
            other = self._one("select_seen_name", name_key(spec.stem))
            whose = f"row {other['row_id']!r} of {other['source']}" if other else "another row"
            self._problem(spec, f"row {spec.row_id!r} would write the same file, {spec.stem!r}, as {whose}", hint="see output: name")

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

    def _known(self, key: str) -> sqlite3.Row | None:
        return self._one("select_known", key)

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


def _request_hash(spec: JobSpec) -> bytes:
    """The same for two rows that make the same request, also by the seeds that were drawn for them."""
    return hashlib.blake2b(f"{spec.fingerprint} {to_json(spec.body)}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
