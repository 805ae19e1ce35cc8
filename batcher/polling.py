"""When to look again how far a request is, and which requests are stuck: from how long their model takes, as far as that was learned."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any

from batcher.events import Died, Event, Produced, Running
from batcher.model import Job
from batcher.retry import backoff_s
from batcher.service_times import ServiceTimes
from batcher.settings import RunSettings

POLL_COST_S = 0.15
POLL_COST_SHARE = 0.02
"""What a poll is worth: results seen so many seconds later, but of a quick model no more than this share of its median time."""

SPREAD = 0.1
"""The wait varies by this share to either side, so that requests submitted together are not polled together."""

EARLY_SHARE = 0.03
EARLY_JOBS = 5
"""So many of the first polls, and all as long as fewer jobs have ended, come at any time before they are due, rather soon than late: a model that
became quicker, or is not known yet, is found out in no other way."""

TAKEN_UP_S = 1.0
"""Requests that this process knows nothing of are first polled spread over this time."""

STUCK_SHARE_ENDED = 0.999
STUCK_FACTOR = 4.0
STUCK_FLOOR_S = 300.0
STUCK_SAMPLES = 5
"""A request is called stuck once it is older than the third, and than the second times the age by which that share of at least so many had ended."""

STUCK_SHARE = 0.25
"""As long as fewer have ended, it is called stuck after this share of the time that it may take."""

LEARNED = "learned"
"""The name under which a ledger keeps what `Polls.keep` returned. It is no fact about the batch, which does not depend on it."""

MODELS_MAX = 100
"""Of so many models is kept what was learned: those of which most jobs have ended."""


class Polls:
    """Decides about the polls of one run, and learns from them.

    For each model it learns the time from submit to end. The time in the queue of the service is part of it: that is what a poll has to wait for, and
    what the queue is like today is learned with the rest. Only polls of requests that this process submitted teach, each from the one before it on:
    when a request of an earlier run ended, nobody knows. Times are in seconds since the epoch.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._models: dict[str, _Model] = {}
        self._turn = float("-inf")
        self._told: set[str] = set()
        self._watched: dict[int, Job] = {}
        self.is_changed = False
        """Whether anything was learned since `keep`."""

    def times(self, model: str) -> ServiceTimes:
        """What is known of how long `model` takes."""
        return self._model(model).times

    def wait_s(self, job: Job, now: float, jitter: float) -> float:
        """How long to wait before the next poll of `job`, in seconds; `jitter` is in [0, 1).

        After failed polls the wait backs off instead, so that a service in trouble is left in peace.
        """
        settings = self._settings
        self._watched[job.seq] = job
        if job.poll_failures:
            return max(settings.poll_floor_s, backoff_s(job.poll_failures, jitter, settings.backoff_base_s, settings.backoff_ceiling_s))
        if job.looked_at is None:
            return jitter * TAKEN_UP_S
        model = self._model(job.spec.model)
        cost_s = min(POLL_COST_S, POLL_COST_SHARE * model.times.median_s)
        wait = model.times.next_look_s(_age_s(job, now), cost_s, settings.poll_ceiling_s)
        if job.queue_position:
            wait = max(wait, model.queue_s(job.queue_position))
        wait = min(settings.poll_ceiling_s, max(settings.poll_floor_s, wait))
        if not job.polls and jitter < (early := EARLY_SHARE if model.is_known else 1.0):
            floor = min(settings.poll_floor_s, wait)
            return float(floor * (wait / floor) ** (jitter / early))
        return wait * (1 - SPREAD + 2 * SPREAD * jitter)

    def turn_s(self, now: float) -> float:
        """How long a poll that is due has to wait for its turn, so that all together keep to `polls_per_s`; the turn is taken."""
        if not self._settings.polls_per_s:
            return 0.0
        turn = max(now, self._turn)
        self._turn = turn + 1.0 / self._settings.polls_per_s
        return turn - now

    def turn_unused(self) -> None:
        """Who waited for a turn was woken before it came, as all who wait are: the turn is free again."""
        self._turn -= 1.0 / self._settings.polls_per_s if self._settings.polls_per_s else 0.0

    def looked(self, job: Job, at: float, event: Event) -> bool:
        """Learn from a poll of `job` that began at the time `at` and brought `event`; `job` is the row as it was before.

        True where its model is known from now on: other waits, which were chosen before, are to be chosen again.
        """
        if job.submitted_at is None or job.looked_at is None:
            return False
        model, since_s, age_s = self._model(job.spec.model), max(0.0, job.looked_at - job.submitted_at), _age_s(job, at)
        if isinstance(event, Produced | Died):
            model.times.saw_finished(min(since_s, age_s), age_s)
        elif isinstance(event, Running):
            model.times.saw_unfinished(min(since_s, age_s), age_s)
            if job.queue_position and event.queue_position is not None:
                model.saw_queue(job.queue_position - event.queue_position, at - job.looked_at)
        else:
            return False
        self.is_changed = True
        was_known, model.is_known = model.is_known, model.is_known or model.times.jobs >= EARLY_JOBS
        return model.is_known and not was_known

    def forget(self, job: Job) -> None:
        """`job` is not polled any more."""
        self._watched.pop(job.seq, None)

    @property
    def watched(self) -> Collection[Job]:
        """The rows that are polled, as they were when that was last thought of, in the order in which they first were."""
        return self._watched.values()

    def ages_s(self, now: float) -> dict[ServiceTimes, list[float]]:
        """The ages of the requests that are polled, by what is known of their model."""
        ages: dict[ServiceTimes, list[float]] = {}
        for job in self._watched.values():
            ages.setdefault(self.times(job.spec.model), []).append(_age_s(job, now))
        return ages

    def stuck_after_s(self, model: str) -> float:
        """From which age on a request of `model` is called stuck."""
        settings, times = self._settings, self._model(model).times
        if times.jobs < STUCK_SAMPLES:
            return STUCK_SHARE * settings.job_timeout_s
        return min(settings.job_timeout_s, max(STUCK_FLOOR_S, STUCK_FACTOR * times.ended_by_s(STUCK_SHARE_ENDED)))

    def stuck_words(self, job: Job, now: float) -> str:
        """The notice about a request that is stuck: which, since when, and what becomes of it. Empty where it is not, or was told of before."""
        if job.submitted_at is None or job.request_id is None or job.request_id in self._told:
            return ""
        if now - job.submitted_at <= self.stuck_after_s(job.spec.model):
            return ""
        self._told.add(job.request_id)
        where = {True: "in the queue of the service", False: "running at the service", None: "at the service"}[job.queued]
        times, settings = self.times(job.spec.model), self._settings
        enough = times.jobs >= STUCK_SAMPLES
        others = f", and hardly any other of its model took longer than {times.ended_by_s(STUCK_SHARE_ENDED):.0f} s" if enough else ""
        left_s = settings.job_timeout_s - (now - (job.watched_since or now))
        fate = (
            "it is waited for (on_stuck: wait)"
            if settings.on_stuck == "wait"
            else f"it is given up in {max(0.0, left_s):.0f} s, its id kept (job_timeout_s)"
        )
        return f"Row {job.row_id}: its request {job.request_id} is {where} for {now - job.submitted_at:.0f} s{others}. The rest goes on; {fate}."

    def recall(self, kept: object) -> None:
        """Begin with what `keep` returned at an earlier time; anything else that it may be is ignored."""
        if isinstance(kept, Mapping):
            self._models = {str(name): _Model(value) for name, value in itertools.islice(kept.items(), MODELS_MAX)}

    def keep(self) -> dict[str, Any]:
        """What was learned, by model, to be kept as JSON."""
        self.is_changed = False
        most = sorted(self._models.items(), key=lambda item: -item[1].times.jobs)[:MODELS_MAX]
        return {name: model.times.keep() for name, model in most if model.times.jobs}

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model()
        return model


class _Model:
    """What is known of one model: how long it takes, and how fast its queue moves."""

    MEMORY = 0.95

    def __init__(self, kept: object = None) -> None:
        self.times = ServiceTimes(kept)
        self.is_known = self.times.jobs >= EARLY_JOBS
        self._moved = 0.0
        self._in_s = 0.0

    def saw_queue(self, moved: int, in_s: float) -> None:
        """A request moved up so many places in so many seconds."""
        if moved >= 0 and in_s > 0:
            self._moved = self.MEMORY * self._moved + moved
            self._in_s = self.MEMORY * self._in_s + in_s

    def queue_s(self, position: int) -> float:
        """How long until a request at this place of the queue is through it, at the pace of late; 0.0 while none was seen to move."""
        return position * self._in_s / self._moved if self._moved else 0.0


def _age_s(job: Job, now: float) -> float:
    return max(0.0, now - (job.submitted_at if job.submitted_at is not None else now))
