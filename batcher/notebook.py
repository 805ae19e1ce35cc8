"""A batch as HTML, for notebooks: how far it is, and the first of its pictures.

Everything that comes from a manifest or a server is escaped, and nothing is fetched from anywhere: pictures are in the text, small.
"""

from __future__ import annotations

import base64
import io
import itertools
import warnings
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from batcher.errors import BatcherError
from batcher.ledger import LEDGER, LedgerReader
from batcher.model import Job, State
from batcher.observe import Snapshot, one_line, state_words
from batcher.observe.progress import duration, failure_words, money_words, rate_words, rows_words, share_words, time_words

if TYPE_CHECKING:
    from batcher.report import Report

PICTURES = 12
"""How many are shown."""

EDGE_PX = 160
"""The longer edge of a picture that is shown."""

PIXELS_MAX = 64_000_000
"""Larger ones are named instead: to decode them takes too long while somebody waits for a cell."""

NAME_MAX = 40

CARD = f"display:inline-block;vertical-align:top;margin:4px;width:{EDGE_PX}px;font-size:11px;overflow:hidden;white-space:nowrap"


def progress_html(snapshot: Snapshot, *, is_running: bool) -> str:
    """How far a run is, as it was at its last snapshot."""
    times = [f"{duration(snapshot.elapsed_s)} so far", *(time_words(snapshot) if is_running else ["not running any more"])]
    lines = [
        f'<progress max="{max(1, snapshot.rows)}" value="{snapshot.ended}" style="width:20em"></progress> '
        + _text(" · ".join([f"{rows_words(snapshot)} rows ({share_words(snapshot)})", *times])),
        _text(" · ".join(state_words(snapshot.counts))),
        _text(" · ".join([money_words(snapshot), *rate_words(snapshot)])),
        *(_text(f"{job.row_id}: {failure_words(job)}") for job in itertools.islice(snapshot.failures, 3)),
    ]
    return f"<div>{'<br>'.join(lines)}</div>"


def report_html(report: Report, folder: Path) -> str:
    """What came of a run, with the first pictures of the batch in `folder`."""
    counts = report.counts
    words = {"done": counts.done, "failed": counts.failed, "cancelled": counts.cancelled, "in doubt": counts.in_doubt, "open": counts.open}
    told = [f"{report.rows} rows", *(f"{n} {word}" for word, n in words.items() if n), f"{report.cost_usd:.2f} USD"]
    examples = [(group, group.examples[0]) for group in report.failures]
    failures = [f"{group.rows} × {group.kind.replace('_', ' ')}, such as {example.id}: {example.message}" for group, example in examples]
    lines = "<br>".join(_text(line) for line in [" · ".join(told), *failures])
    return f"<div>{lines}</div><div>{''.join(_cards(folder))}</div>"


def waiting_html(folder: Path) -> str:
    """A batch that was not run yet."""
    return f"<div>{_text(f'A batch for {folder}, not run yet')}</div>"


def _cards(folder: Path) -> Iterator[str]:
    try:
        with LedgerReader(folder / LEDGER) as reader:
            done = list(itertools.islice(_with_a_file(reader.jobs([State.DONE])), PICTURES))
    except BatcherError:  # the folder is gone, or somebody else's affair by now: what was said above holds
        return
    for job in done:
        name = _text(job.row_id)
        picture = _thumbnail(folder / job.artifacts[0].path) if job.artifacts[0].media_type.startswith("image/") else None
        shown = f'<img src="{picture}" alt="{name}">' if picture else f"<span>{_text(job.artifacts[0].path)}</span>"
        yield f'<div style="{CARD}">{shown}<br><span title="{name}">{_text(job.row_id[:NAME_MAX])}</span></div>'


def _with_a_file(jobs: Iterable[Job]) -> Iterator[Job]:
    return (job for job in jobs if job.artifacts)


def _text(text: str) -> str:
    return escape(one_line(text), quote=True)


def _thumbnail(path: Path) -> str | None:
    """The picture at `path`, small, as a data URI; None where it cannot be shown."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.width * image.height > PIXELS_MAX:
                    return None
                image.draft("RGB", (2 * EDGE_PX, 2 * EDGE_PX))
                small = ImageOps.exif_transpose(image)
        small.thumbnail((EDGE_PX, EDGE_PX))
        made = io.BytesIO()
        small.convert("RGBA" if small.has_transparency_data else "RGB").save(made, "WEBP", quality=75)
    except Exception:  # Pillow raises whatever its formats do, and a picture less is no reason for none
        return None
    return f"data:image/webp;base64,{base64.b64encode(made.getvalue()).decode('ascii')}"
