"""When to ask again how far a request is: a wait that grows with the age of the request, with jitter, between a floor and a ceiling."""

from __future__ import annotations

from batcher.model import Job
from batcher.retry import backoff_s
from batcher.settings import RunSettings

AGE_SHARE = 0.12
"""The wait as a share of the request's age: an answer is seen at most about this much late."""

SPREAD = 0.2
"""The wait varies by this share to either side, so that requests submitted together are not polled together."""


def wait_s(job: Job, now: float, jitter: float, settings: RunSettings) -> float:
    """How long to wait before the next poll of `job`, in seconds; `jitter` is in [0, 1).

    After failed polls the wait backs off instead, so that a service in trouble is left in peace.
    """
    if job.poll_failures:
        return max(settings.poll_floor_s, backoff_s(job.poll_failures, jitter, settings.backoff_base_s, settings.backoff_ceiling_s))
    age_s = max(0.0, now - (job.submitted_at if job.submitted_at is not None else now))
    if job.polls == 0 and age_s > settings.poll_floor_s:  # taken up again after a restart: look soon, but not all rows at once
        return jitter * settings.poll_floor_s
    wait = min(settings.poll_ceiling_s, max(settings.poll_floor_s, AGE_SHARE * age_s))
    return wait * (1 - SPREAD + 2 * SPREAD * jitter)
