"""What the system allows one process to have open, and how a run is made to fit: a socket that cannot be opened must never cost a row its result."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass

from batcher.errors import BatcherError
from batcher.settings import RunSettings

BASE_FILES = 40
"""Descriptors that a process has open whatever it carries: the ledger and its reader, the event loop, name lookups, the report, decoding."""

LEAST_FILES = BASE_FILES + 20


@dataclass(frozen=True, slots=True)
class Fitted:
    """The settings to run with, and what to say where they are not those that were asked for."""

    settings: RunSettings
    message: str = ""


def fit_open_files(settings: RunSettings, *, simulated: bool) -> Fitted:
    """Raise the soft limit of open files to what `settings` need, as far as the hard limit allows, and lower the settings where that is not enough.

    A service that is `simulated` has its ends of the connections in this process too. Raises `BatcherError` where not even a little would fit.
    """
    ends = 2 if simulated else 1
    download_files = ends + 2  # the connection, the file, and the folder while it is made durable
    needed = BASE_FILES + ends * (settings.concurrency + settings.posts_in_flight) + download_files * settings.downloads
    allowed = _allow(needed)
    if allowed is None or allowed >= needed:
        return Fitted(settings)
    if allowed < LEAST_FILES:
        raise BatcherError(f"the limit of open files is {allowed}, and at least {LEAST_FILES} are needed", "Raise it: ulimit -n 1024.")
    free = allowed - BASE_FILES
    downloads = min(settings.downloads, max(1, free // (4 * download_files)))
    posts = min(settings.posts_in_flight, max(1, free // (4 * ends)))
    concurrency = min(settings.concurrency, (free - download_files * downloads - ends * posts) // ends)
    message = (
        f"The limit of open files ({allowed}) allows {concurrency} requests, {posts} submits and {downloads} downloads at once, instead of "
        f"{settings.concurrency}, {settings.posts_in_flight} and {settings.downloads}. To have more: ulimit -n {needed}."
    )
    return Fitted(settings.model_copy(update={"concurrency": concurrency, "posts_in_flight": posts, "downloads": downloads}), message)


def _allow(needed: int) -> int | None:
    """How many files may be open, after asking for `needed` of them; None where there is no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):  # a system may have a limit of its own below the one that it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft
