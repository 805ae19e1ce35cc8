"""The page itself: one file with its style and its script, and a head that says where the rows are.

Nothing that comes from a manifest or a server is markup. Jinja escapes what it writes, the script writes texts only, and a Content-Security-Policy
forbids whatever either might have missed: only scripts with the page's own nonce run, and nothing is fetched but pictures and films beside the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'nonce-{nonce}'",  # a nonce and not 'self': of a page on a disk, every file on that disk may be itself
    "style-src": "'nonce-{nonce}'",
    "img-src": "'self' data:",
    "media-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
"""What a page on a disk may do. `{nonce}` stands for a word that nobody else knows."""


def render_page(head: Mapping[str, object], *, nonce: str, policy: Mapping[str, str] = POLICY, is_live: bool = False) -> str:
    """The page as HTML; one that is live gets its rows, and what changes, from whoever serves it (`batcher.live`).

    `head` is JSON that the script reads: `report`, the account of the batch as in `report.json`; `thumbnails`, the address of the folder of small
    pictures; `chunks`, the scripts that hold the rows, each with its address `src` and its number of `rows`; and `part_rows`, how many of them a
    browser should hold at a time. Addresses start from the page.
    The head of a live page has `run` besides: how the last run is.
    """
    templates = Environment(loader=PackageLoader("batcher.report.gallery"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return templates.get_template("page.html.j2").render(
        head=head,
        nonce=nonce,
        policy="; ".join(f"{directive} {sources}" for directive, sources in policy.items()).format(nonce=nonce),
        style=_source(templates, "gallery.css"),
        scripts=[_source(templates, name) for name in (["live.js"] if is_live else []) + ["gallery.js"]],
        is_live=is_live,
    )


def _source(templates: Environment, name: str) -> str:
    """A file beside the template as it stands."""
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]
