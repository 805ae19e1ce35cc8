"""Mistakes that the engine does not make, to be made for a moment: whoever watches over it has to notice each of them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from batcher import carry, engine, lifecycle
from batcher.carry import Carrier
from batcher.errors import ApiError, ApiErrorKind
from batcher.events import Accepted, Claimed, Event, Lost, Refused, Saved
from batcher.gate import SubmitGate
from batcher.ledger import SqliteLedger
from batcher.model import Artifact, Job, ProviderFacts, State
from batcher.pacing import CoolDown, SubmitRate
from batcher.retry import judge_submit

Bug = Callable[[pytest.MonkeyPatch], None]


def _never_written(patch: pytest.MonkeyPatch, is_forgotten: Callable[[Job, Job], bool]) -> None:
    is_durable = lifecycle.is_durable
    patch.setattr(engine.lifecycle, "is_durable", lambda before, after: not is_forgotten(before, after) and is_durable(before, after))


def no_intent(patch: pytest.MonkeyPatch) -> None:
    """The POST leaves, and nothing says that it will."""
    _never_written(patch, lambda before, after: after.state is State.SUBMITTING)


def _not_awaited(patch: pytest.MonkeyPatch, kind: type) -> None:
    record = SqliteLedger.record

    async def hasty(self: SqliteLedger, job: Job, event: Event, now: float) -> None:
        if isinstance(event, kind):
            written = self._writer.post(functools.partial(self._record, job, event, now))  # type: ignore[attr-defined]
            written.add_done_callback(lambda done: done.cancelled() or done.exception())
        else:
            await record(self, job, event, now)

    patch.setattr(SqliteLedger, "record", hasty)


def intent_not_awaited(patch: pytest.MonkeyPatch) -> None:
    """The intent is on its way to the disk when the POST leaves."""
    _not_awaited(patch, Claimed)


def submitted_not_awaited(patch: pytest.MonkeyPatch) -> None:
    """The request id is on its way to the disk when the place among the POSTs goes to the next row."""
    _not_awaited(patch, Accepted)


def resubmitted_at_recovery(patch: pytest.MonkeyPatch) -> None:
    """What an earlier process had submitted is planned again instead of asked for."""
    recover = SqliteLedger.recover

    async def forgetful(self: SqliteLedger, now: float) -> list[Job]:
        await self._writer.do(lambda connection: connection.execute("UPDATE jobs SET state = 'planned' WHERE state = 'submitted'").close())
        return await recover(self, now)

    patch.setattr(SqliteLedger, "recover", forgetful)


def done_before_the_file_is_durable(patch: pytest.MonkeyPatch) -> None:
    """A row is done as soon as its download has begun."""

    async def hasty(self: Carrier, job: Job) -> Event:
        artifacts = []
        for number, url in enumerate(job.outputs, start=1):
            stem = await self._stem(job, number)
            task = asyncio.ensure_future(self._fetcher.fetch(url, stem))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            content = url.removeprefix("https://files.example/").partition("?")[0]
            artifacts.append(Artifact(f"results/{stem}.png", content, 1000, "image/png"))
        return Saved(tuple(artifacts), 0.0)

    patch.setattr(Carrier, "_fetch", hasty)


def doubt_turned_into_planned(patch: pytest.MonkeyPatch) -> None:
    """A row whose POST may have been accepted is submitted again by itself."""
    patch.setitem(lifecycle.TABLE, (State.SUBMITTING, Lost), lambda job, event, now, jitter, settings: lifecycle._plan(job))


def post_retried_after_5xx(patch: pytest.MonkeyPatch) -> None:
    """A 5xx is taken for proof that nothing was made."""

    def trusting(error: ApiError, facts: ProviderFacts) -> Event:
        event = judge_submit(error, facts)
        is_5xx = isinstance(event, Lost) and error.kind is ApiErrorKind.UNAVAILABLE
        return Refused(event.failure, transient=True) if is_5xx else event  # type: ignore[union-attr]

    patch.setattr(carry, "judge_submit", trusting)


def no_rate(patch: pytest.MonkeyPatch) -> None:
    """Submits are not paced."""
    patch.setattr(SubmitRate, "wait_s", lambda self, now: 0.0)


def rate_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    """A new process sends at once what the limit allows, whatever the one before it has just sent."""
    made = SubmitRate.__init__
    patch.setattr(SubmitRate, "__init__", lambda self, rate_per_s, start: made(self, rate_per_s, float("-inf")))


def no_cool_down(patch: pytest.MonkeyPatch) -> None:
    """`Retry-After` is not heard."""
    patch.setattr(CoolDown, "wait_s", lambda self, now: 0.0)


class _Uncounted(set[int]):
    def __len__(self) -> int:
        return 0


def no_limit_of_posts(patch: pytest.MonkeyPatch) -> None:
    """`posts_in_flight` is not obeyed."""
    made = SubmitGate.__init__

    def boundless(self: SubmitGate, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        self._inside = _Uncounted()

    patch.setattr(SubmitGate, "__init__", boundless)


def cancel_wish_not_recorded(patch: pytest.MonkeyPatch) -> None:
    """A request is asked to be cancelled, and nothing says why."""
    _never_written(patch, lambda before, after: before.cancel is not after.cancel and after.cancel is not None)


def not_before_lost(patch: pytest.MonkeyPatch) -> None:
    """The time before which a row may not be tried again is not kept."""
    values = SqliteLedger._record
    patch.setattr(
        SqliteLedger, "_record", lambda self, job, event, now, connection: values(self, replace(job, not_before=0.0), event, now, connection)
    )


def request_id_lost(patch: pytest.MonkeyPatch) -> None:
    """The id of a request is lost on the way into the ledger."""
    values = SqliteLedger._record
    patch.setattr(
        SqliteLedger, "_record",
        lambda self, job, event, now, connection: values(
            self, replace(job, request_id=None) if isinstance(event, Accepted) else job, event, now, connection),
    )  # fmt: skip


BUGS: Mapping[str, Bug] = MappingProxyType(
    {
        bug.__name__: bug
        for bug in (
            no_intent, intent_not_awaited, submitted_not_awaited, resubmitted_at_recovery, done_before_the_file_is_durable, doubt_turned_into_planned,
            post_retried_after_5xx, no_rate, rate_forgotten_at_restart, no_cool_down, no_limit_of_posts, cancel_wish_not_recorded, not_before_lost,
            request_id_lost,
        )
    }
)  # fmt: skip
