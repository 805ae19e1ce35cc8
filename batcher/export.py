"""Results taken out of a batch: a new folder with the files, compared with what was saved, and with a manifest of what made each of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batcher.errors import BatcherError, InputError, OutputError, UsageError
from batcher.ledger import LEDGER, LedgerReader
from batcher.local_files import open_regular
from batcher.model import Artifact, Job, State, Verdict
from batcher.report.table import defused
from batcher.storage import sync_folder

COLUMNS: Final = ("file", "id", "prompt", "model", "seed", "request_id", "sha256", "size_bytes", "media_type", "note")
MANIFESTS: Final = ("manifest.jsonl", "manifest.csv")
RESULTS: Final = "results/"
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds. `was_there` says that an earlier one had made it already."""

    rows: int
    files: int
    was_there: bool


def export(folder: Path, target: Path, *, only_accepted: bool, by_link: bool = False) -> Exported:
    """Put the results in `folder`, or only those that were accepted, into the new folder `target`. Blocks.

    `target` is there when it is whole. Where it is there before, it has to be this very export. With `by_link` the files are hard links.
    Raises `UsageError` where there is nothing to take, `InputError` where a result is not what was saved, `OutputError` where `target` cannot be.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would replace links by what they lead to now
    with LedgerReader(folder / LEDGER) as reader:
        jobs = [job for job in reader.jobs([State.DONE]) if not only_accepted or (job.mark and job.mark.verdict is Verdict.ACCEPTED)]
    files = [(job, file) for job in jobs for file in job.artifacts]
    if not files:
        hint = "Mark results first: batcher review DIR --accept ID, or --from review.csv." if only_accepted else "Run the batch first."
        raise UsageError(f"{folder}: no row is {'accepted' if only_accepted else 'done'}", hint)
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(folder / RESULTS)):
        raise OutputError(f"{target} lies among the results of the batch", "Choose another folder.")
    manifests = {"manifest.jsonl": _as_lines(files), "manifest.csv": _as_table(files)}
    if os.path.lexists(target):
        _compare(target, files, manifests)
        return Exported(len(jobs), len(files), was_there=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        draft.mkdir(parents=True)
        for _, file in files:
            _take(folder, file, draft / _name(file), by_link=by_link)
        for name, data in manifests.items():
            _write(draft / name, data)
        for each in [draft, *(path for path in draft.rglob("*") if path.is_dir())]:
            sync_folder(each)
        os.rename(draft, target)  # noqa: PTH104 - fails where somebody has made it meanwhile, unless it is empty
        sync_folder(target.parent)
    except OSError as error:
        hint = "Leave out --link, or choose a folder on the disk of the batch." if by_link else "Choose another folder, or free some space."
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}", hint) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(draft)
    return Exported(len(jobs), len(files), was_there=False)


def _name(file: Artifact) -> str:
    return file.path.removeprefix(RESULTS)


def _take(folder: Path, file: Artifact, place: Path, *, by_link: bool) -> None:
    """Copy a result, or link to it, and see that it is what was saved."""
    place.parent.mkdir(parents=True, exist_ok=True)
    source = folder / file.path
    digest = hashlib.sha256()
    try:
        with open_regular(source, folder) as opened:
            if by_link:
                os.link(source, place, follow_symlinks=False)
                if not os.path.samestat(place.lstat(), os.fstat(opened.fileno())):
                    raise _altered(source, "a link")
                _hash(opened, digest)
            else:
                with place.open("xb") as made:
                    while chunk := opened.read(_READ_BYTES):
                        digest.update(chunk)
                        made.write(chunk)
                    made.flush()
                    os.fsync(made.fileno())
    except (FileNotFoundError, InputError) as error:
        raise _altered(source, "missing, or not to be read") from error
    if digest.hexdigest() != file.sha256:
        raise _altered(source, "not what was saved")


def _altered(path: Path, how: str) -> BatcherError:
    return InputError(f"{path} is {how}: nothing was exported", "batcher verify DIR fetches it again without paying.")


def _hash(file: Any, digest: Any) -> None:
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)


def _compare(target: Path, files: list[tuple[Job, Artifact]], manifests: dict[str, bytes]) -> None:
    """Raises `OutputError` where `target` is anything but this export, whole."""
    remedy = "Choose another folder, or move it away."
    try:
        if any((target / name).read_bytes() != data for name, data in manifests.items()):
            raise OutputError(f"{target} holds another export", remedy)
        for _, file in files:
            digest = hashlib.sha256()
            with open_regular(target / _name(file), target) as opened:
                _hash(opened, digest)
            if digest.hexdigest() != file.sha256:
                raise OutputError(f"{target / _name(file)} was changed since it was exported", remedy)
    except (OSError, InputError) as error:
        raise OutputError(f"{target} is there already, and is not this export", remedy) from error


def _facts(files: list[tuple[Job, Artifact]]) -> Iterator[dict[str, Any]]:
    for job, file in files:
        body, fields = job.spec.body, job.spec.fields
        yield {
            "file": _name(file),
            "id": job.row_id,
            "prompt": body.get("prompt", fields.get("prompt")),
            "model": job.spec.model,
            "seed": body.get("seed"),
            "request_id": job.request_id,
            "sha256": file.sha256,
            "size_bytes": file.size_bytes,
            "media_type": file.media_type,
            "note": job.mark.note if job.mark else "",
        }


def _as_lines(files: list[tuple[Job, Artifact]]) -> bytes:
    return "".join(json.dumps(facts) + "\n" for facts in _facts(files)).encode()


def _as_table(files: list[tuple[Job, Artifact]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for facts in _facts(files):
        writer.writerow({name: _cell(value) for name, value in facts.items()})
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    if value is None or isinstance(value, int):
        return value
    return defused(value if isinstance(value, str) else json.dumps(value))


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
