"""From a command to an event: the one place where the world is asked, and where an exception becomes an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from batcher.course import Course
from batcher.crashpoints import reach
from batcher.errors import ApiError, ApiErrorKind, DownloadError, InputError, OutputError
from batcher.events import Accepted, CancelAsked, Cancelled, Claimed, Died, Event, Lost, NotCancellable, Produced, Refused, Running, Saved
from batcher.gate import SubmitGate
from batcher.lifecycle import WISHES, Command
from batcher.model import ExitReason, Failure, FailureKind, Job, Json, Lane, Mode, RequestPhase, RequestResult
from batcher.pacing import FirstSubmits, Outage
from batcher.polling import Polls
from batcher.ports import Clock, Fetcher, Provider, RequestBodies
from batcher.retry import NOT_YOURS, TROUBLE, judge_download, judge_poll, judge_submit
from batcher.settings import RunSettings

Links = Callable[[str, Json], tuple[str, ...]]
"""Finds the links to the files in an output: takes the name of the job definition and the output."""

OUTPUTS_MAX = 1000
"""More files for one row than this are no result but an attack, or an accident."""

WORDS_TOLD = 10
"""After so many unknown words no more is said of them."""


class Carrier:
    """Performs commands. `requests` counts the calls made, by kind.

    A whole-batch condition that it meets (token rejected, no balance, disk full, service out) changes the course; the row stays where it is.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        bodies: RequestBodies,
        fetcher: Fetcher,
        links: Links,
        has_stem: Callable[[str], Awaitable[bool]],
        gate: SubmitGate,
        course: Course,
        outage: Outage,
        clock: Clock,
        polls: Polls,
        jitter: Callable[[], float],
        settings: RunSettings,
        notice: Callable[[str], None],
    ) -> None:
        self._provider = provider
        self._bodies = bodies
        self._fetcher = fetcher
        self._links = links
        self._has_stem = has_stem
        self._gate = gate
        self._course = course
        self._clock = clock
        self._polls = polls
        self._jitter = jitter
        self._settings = settings
        self._outage = outage
        self._notice = notice
        self._first = FirstSubmits(settings.stop_after_refused)
        self._words: set[str] = set()
        self._encoded: dict[int, bytes] = {}
        self.requests: Counter[str] = Counter()

    async def perform(self, command: Command, job: Job) -> Event | None:
        """Do what `command` says with `job`. None where the course changed meanwhile, or the world cannot take it now."""
        match command:
            case Command.CLAIM:
                return await self._claim(job)
            case Command.SUBMIT:
                return await self._submit(job)
            case Command.POLL:
                return await self._poll(job)
            case Command.ASK_CANCEL:
                return CancelAsked(WISHES[self._course.mode(Lane.REMOTE)])
            case Command.CANCEL:
                return await self._cancel(job)
            case Command.FETCH:
                return await self._fetch(job)

    def release(self, job: Job) -> None:
        """`job` is not about to be submitted any more: give its place at the gate to another."""
        self._encoded.pop(job.seq, None)
        self._gate.leave(job.seq)

    def leave_disk(self, error: OutputError) -> None:
        """The disk takes no more: nothing more is submitted or downloaded, what is paid for stays collectable."""
        trouble = f"{error.message} {error.remedy}"
        self._course.change(ExitReason.OUTPUT_UNWRITABLE, remote=Mode.COLLECT, download=Mode.STOP, trouble=trouble)

    async def _claim(self, job: Job) -> Event | None:
        """Everything that takes time happens before the intent is recorded, so that nothing is awaited between that and the POST."""
        if not await self._gate.enter(job.seq):
            return None
        try:
            self._encoded[job.seq] = await self._bodies.encode(job.spec)
        except InputError as error:
            self._gate.withdrawn(job.seq)
            return Refused(Failure(FailureKind.INPUT_CHANGED, error.message, error.remedy), transient=False)
        return Claimed()

    async def _submit(self, job: Job) -> Event:
        self.requests["submits"] += 1
        number = self._first.sent()
        self._gate.posting(job.seq)
        reach("submit.send")
        try:
            request_id = await self._provider.submit(job.spec.model, self._encoded.pop(job.seq))
        except ApiError as refusal:
            error = await self._of_row_or_token(refusal)
            self._note(error)
            self._gate.failed(job.seq, error)
            return self._judge_submit(error, number)
        self._outage.answered()
        self._gate.answered()
        self._first.accepted()
        reach("submit.answered")
        return Accepted(request_id)

    def _judge_submit(self, error: ApiError, number: int) -> Event:
        event = judge_submit(error, self._provider.facts)
        if isinstance(event, Lost) or event.transient:
            self._first.undecided(number)
        elif self._first.refused(number):
            trouble = f"The first {self._first.limit} submits were refused, every one, so it may be the same with all rows: {error.message}"
            self._course.change(ExitReason.ALL_REFUSED, remote=Mode.COLLECT, trouble=trouble)
        return event

    async def _of_row_or_token(self, error: ApiError) -> ApiError:
        """A bare 403 may be about one request or about the token: a free call, for which any good token will do, tells which."""
        if error.kind is not ApiErrorKind.FORBIDDEN or error.code == NOT_YOURS:
            return error
        try:
            await self._provider.probe()
        except ApiError as probed:
            if probed.kind in (ApiErrorKind.FORBIDDEN, ApiErrorKind.TOKEN):
                return ApiError(ApiErrorKind.TOKEN, f"{error.message} (and so to a question that costs nothing)", status=error.status)
        return error

    async def _poll(self, job: Job) -> Event | None:
        now = self._clock.now()
        if await self._course.pause(max(self._polls.wait_s(job, now, self._jitter()), job.not_before - now)):
            return None
        turn_s = self._polls.turn_s(self._clock.now())
        if turn_s and await self._course.pause(turn_s):
            self._polls.turn_unused()
            return None
        began = self._clock.now()
        event = await self._look(job)
        if self._polls.looked(job, began, event):
            self._course.reconsider()
        return event

    async def _look(self, job: Job) -> Event:
        request_id = job.request_id or ""
        try:
            self.requests["polls"] += 1
            status = await self._provider.status(request_id)
            reach("poll.answered")
            self._outage.answered()
            match status.phase:
                case RequestPhase.QUEUED:
                    return Running(True, status.queue_position)
                case RequestPhase.RUNNING:
                    return Running(False)
                case RequestPhase.UNKNOWN:
                    self._tell_of_word(job, status.word)
                    return Running(None)
                case RequestPhase.CANCELLED:
                    return Cancelled()
                case RequestPhase.COMPLETED | RequestPhase.FAILED:
                    return await self._read_result(job, request_id, status.phase)
        except ApiError as failure:
            if failure.kind is ApiErrorKind.NOT_READY:
                return Running(None)
            error = await self._of_row_or_token(failure)
            self._note(error, rejected=Mode.STOP)
            return judge_poll(error, job)

    async def _read_result(self, job: Job, request_id: str, phase: RequestPhase) -> Event:
        """Nothing is a success before the result said so, and a status that says `failed` is enough of a failure where the result says nothing."""
        self.requests["results"] += 1
        try:
            result = await self._provider.result(request_id)
        except ApiError as error:
            if phase is not RequestPhase.FAILED or error.kind in TROUBLE or error.kind is ApiErrorKind.TOKEN:
                raise
            return _died(f"the service reports that it failed, and gives no reason ({error.message})")
        if phase is RequestPhase.FAILED and result.phase not in (RequestPhase.COMPLETED, RequestPhase.CANCELLED):
            return _died(result.error or "the service reports that it failed, and gives no reason", result.cost_usd)
        return self._judge_result(job, result)

    def _judge_result(self, job: Job, result: RequestResult) -> Event:
        match result.phase:
            case RequestPhase.COMPLETED:
                links = self._links(job.spec.job, result.output)
                if len(links) > OUTPUTS_MAX:
                    return _bad_result(f"the service names {len(links):,} files for one row, more than the {OUTPUTS_MAX:,} that are believed", result)
                if links:
                    return Produced(links, result.cost_usd)
                return _bad_result("the service reports success, but no output", result)
            case RequestPhase.FAILED:
                return _died(result.error or "the service reports that it failed, and gives no reason", result.cost_usd)
            case RequestPhase.CANCELLED:
                return Cancelled()
            case _:
                if result.phase is RequestPhase.UNKNOWN:
                    self._tell_of_word(job, result.word)
                return Running(None)

    def _tell_of_word(self, job: Job, word: str) -> None:
        """Once for each word that is not known, as long as there are few of them."""
        if word not in self._words and len(self._words) < WORDS_TOLD:
            self._words.add(word)
            self._notice(
                f"The service says {word!r} of the request of row {job.row_id}, which is not known here: it is asked again until it says another."
            )

    async def _cancel(self, job: Job) -> Event:
        self.requests["cancels"] += 1
        try:
            return Cancelled() if await self._provider.cancel(job.request_id or "") else NotCancellable()
        except ApiError as failure:
            error = await self._of_row_or_token(failure)
            self._note(error, rejected=Mode.STOP)
            return NotCancellable(certain=error.kind not in TROUBLE | {ApiErrorKind.TOKEN, ApiErrorKind.THROTTLED})

    async def _fetch(self, job: Job) -> Event | None:
        started = self._clock.now()
        artifacts = []
        try:
            for number, url in enumerate(job.outputs, start=1):
                self.requests["downloads"] += 1
                artifacts.append(await self._fetcher.fetch(url, await self._stem(job, number)))
        except DownloadError as error:
            return judge_download(error)
        except OutputError as error:
            self.leave_disk(error)
            return None
        return Saved(tuple(artifacts), self._clock.now() - started)

    async def _stem(self, job: Job, number: int) -> str:
        """The name of one output; never that of another row, which may be called `mug-2` where the row `mug` has a second output."""
        stem = job.spec.stem
        if len(job.outputs) == 1:
            return stem
        numbered = f"{stem}-{number}"
        return f"{numbered}-{job.spec.fingerprint[:8]}" if await self._has_stem(numbered) else numbered

    def _note(self, error: ApiError, *, rejected: Mode = Mode.COLLECT) -> None:
        """Let the batch hear of what concerns all of it. `rejected` is what is still worth trying with a token that this call was rejected for."""
        if error.kind is ApiErrorKind.TOKEN:
            self._course.change(ExitReason.TOKEN_REJECTED, remote=rejected, trouble=error.message)
        elif error.kind is ApiErrorKind.BALANCE:
            self._course.change(ExitReason.NO_BALANCE, remote=Mode.COLLECT, trouble=error.message)
        elif error.kind not in TROUBLE:
            self._outage.answered()
        elif self._outage.failed(self._clock.now(), hopeless=error.kind is ApiErrorKind.UNTRUSTED):
            self._course.change(ExitReason.SERVICE_UNAVAILABLE, remote=Mode.STOP, trouble=error.message)


def _bad_result(reason: str, result: RequestResult) -> Died:
    said = f"; it begins: {result.excerpt}" if result.excerpt else ""
    return Died(Failure(FailureKind.BAD_RESULT, f"{reason}{said}", "`batcher retry DIR --failed` reads it again."), cost_usd=result.cost_usd)


def _died(reason: str, cost_usd: float | None = None) -> Died:
    remedy = "`batcher retry DIR --failed` pays for another attempt; `run: regenerations: 1` in the manifest does so by itself."
    return Died(Failure(FailureKind.GENERATION_FAILED, reason, remedy), transient=True, cost_usd=cost_usd)
