"""When to ask again how far a request is: a wait that grows with the age of the request, with jitter, between a floor and a ceiling."""

from __future__ import annotations

from dataclasses import dataclass, field

from batcher.model import Job
from batcher.retry import backoff_s
from batcher.settings import RunSettings

AGE_SHARE = 0.12
"""The wait as a share of the request's age: an answer is seen at most about this much late."""

SPREAD = 0.2
"""The wait varies by this share to either side, so that requests submitted together are not polled together."""

STUCK_FACTOR = 4.0
STUCK_FLOOR_S = 300.0
STUCK_SAMPLES = 5
"""A request is called stuck once it is older than the second, and than the first times the longest of so many others that have ended."""

STUCK_SHARE = 0.25
"""As long as fewer have ended, it is called stuck after this share of the time that it may take."""


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


@dataclass(slots=True)
class StuckWatch:
    """Tells which requests take far longer than those of the same run that have ended, each once. Times are in seconds since the epoch."""

    settings: RunSettings
    began: float
    """What was submitted before is left out of the account: nobody looked when it ended."""
    longest_s: float = 0.0
    _ended: int = 0
    _told: set[int] = field(default_factory=set)

    @property
    def after_s(self) -> float:
        """From which age on a request is called stuck."""
        if self._ended < STUCK_SAMPLES:
            return STUCK_SHARE * self.settings.job_timeout_s
        return min(self.settings.job_timeout_s, max(STUCK_FLOOR_S, STUCK_FACTOR * self.longest_s))

    def running(self, job: Job, now: float) -> bool:
        """The request of `job` is not finished; whether to say that it is stuck."""
        if job.submitted_at is None or now - job.submitted_at <= self.after_s or job.seq in self._told:
            return False
        self._told.add(job.seq)
        return True

    def ended(self, job: Job, now: float) -> None:
        """The request of `job` brought something, or nothing."""
        self._told.discard(job.seq)
        if job.submitted_at is not None and job.submitted_at >= self.began:
            self._ended += 1
            self.longest_s = max(self.longest_s, now - job.submitted_at)


def stuck_words(job: Job, now: float, watch: StuckWatch) -> str:
    """The notice about a request that is stuck: which, since when, and what becomes of it."""
    age_s = now - (job.submitted_at or now)
    where = {True: "in the queue of the service", False: "running at the service", None: "at the service"}[job.queued]
    others = f", and no other of this run took longer than {watch.longest_s:.0f} s" if watch.longest_s else ""
    settings = watch.settings
    left_s = settings.job_timeout_s - (now - (job.watched_since or now))
    fate = (
        "it is waited for (on_stuck: wait)"
        if settings.on_stuck == "wait"
        else f"it is given up in {max(0.0, left_s):.0f} s, its id kept (job_timeout_s)"
    )
    return f"Row {job.row_id}: its request {job.request_id} is {where} for {age_s:.0f} s{others}. The rest goes on; {fate}."
