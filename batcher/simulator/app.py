"""The HTTP face of the simulated service: its routes, and what every call goes through."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web

from batcher.simulator.answers import Answers
from batcher.simulator.bill import Bill, Traffic, bill_of, request_records
from batcher.simulator.blobs import BlobStore
from batcher.simulator.errors import Refusal, SimulatorError, bad_identifier, invalid_body, not_found, too_many
from batcher.simulator.faults import Call, FaultPlan, FaultRule, Occasion
from batcher.simulator.journal import Journal
from batcher.simulator.outputs import Drawing, Outputs
from batcher.simulator.records import Fate, Submission, text_of
from batcher.simulator.service import Phase, Progress, Service
from batcher.simulator.settings import SimulatorSettings
from batcher.simulator.wire import Reply, Wire, refusal_of

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Act = Callable[[web.Request], Awaitable[Reply]]
DEFAULT_PAGE = 50


class Front:
    """The routes, and what every call goes through: counting, faults, refusals."""

    def __init__(self, settings: SimulatorSettings, clock: Callable[[], float], state_dir: Path | None) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = None if state_dir is None else Journal(state_dir)
        self._blobs = BlobStore(None if state_dir is None else state_dir / "inputs")
        self._faults = FaultPlan(settings.faults, settings.seed, clock())
        try:
            self._service = Service(settings, clock, self._faults, self._blobs, self._journal)
        except BaseException:
            self._close_files()
            raise
        self._answers = Answers(settings, self._service)
        self._outputs = Outputs(settings, self._blobs)
        self._traffic = Traffic()
        self._wire = Wire()
        self._recent: deque[float] = deque()

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application(client_max_size=self._settings.max_body_bytes, middlewares=[self._as_json])
        application.add_routes(
            [
                web.get("/v1/requests/{request_id}/status", self._route("status", self._status)),
                web.get("/v1/requests/{request_id}/result", self._route("result", self._result)),
                web.post("/v1/requests/{request_id}/cancel", self._route("cancel", self._cancel)),
                web.get("/files/{request_id}/{name}", self._route("download", self._download)),
                web.post("/v1/models/{model_id:.+}", self._route("submit", self._submit)),
                web.get("/v1/models", self._route("catalog", self._catalog)),
                web.get("/v1/models/{model_id:.+}", self._route("catalog", self._model)),
                web.get("/prod/v2/balance", self._route("balance", self._balance)),
                web.get("/_simulator/bill", self._show_bill),
                web.get("/_simulator/requests", self._show_requests),
            ]
        )
        application.on_shutdown.append(self._release)
        application.on_cleanup.append(self._close)
        return application

    def bill(self) -> Bill:
        """The account as it stands."""
        return bill_of(self._service, self._traffic)

    def request_records(self, after: int = 0) -> list[dict[str, Any]]:
        """Every accepted submission but the first `after`, oldest first."""
        return request_records(self._service, after)

    def _route(self, call: Call, act: Act) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            with self._traffic.counted(call):
                rule = self._faults.strike(await self._occasion(call, request), self._clock()) if self._settings.faults else None
                if rule is not None:
                    self._traffic.faults[f"{call}:{rule.fault}"] += 1
                return await self._answer(request, act, rule)

        return handle

    async def _answer(self, request: web.Request, act: Act, rule: FaultRule | None) -> web.StreamResponse:
        reply = Reply(200, b"")
        if rule is None or rule.takes_effect:
            reply = await self._reply(request, act)
        if rule is not None and rule.name is None:
            reply = self._refused(refusal_of(rule, self._clock()), rule.body)
        return await self._wire.send(request, reply, rule)

    async def _reply(self, request: web.Request, act: Act) -> Reply:
        try:
            return await act(request)
        except Refusal as refusal:
            return self._refused(refusal)

    def _refused(self, refusal: Refusal, body: str | None = None) -> Reply:
        headers = {} if refusal.retry_after is None else {"Retry-After": refusal.retry_after}
        if body is not None:
            return Reply(refusal.status, body.encode(), "text/plain; charset=utf-8", headers)
        status, document = self._answers.error(refusal)
        return Reply.of(document, status, headers)

    async def _occasion(self, call: Call, request: web.Request) -> Occasion:
        request_id = request.match_info.get("request_id")
        if request_id is not None:
            submission = self._service.look_up(request_id)
            return Occasion(call, request_id, *((submission.model_id, lambda: submission.text) if submission else ()))
        model_id = request.match_info.get("model_id", "")
        if call != "submit":
            return Occasion(call, model=model_id)
        content = await request.read()
        return Occasion(call, hashlib.sha256(content).hexdigest(), model_id, lambda: _text_in(content))

    async def _submit(self, request: web.Request) -> Reply:
        owner = self._owner(request)
        self._limit_rate()
        body = _parsed(await request.read())
        submission = self._service.submit(owner, request.match_info["model_id"], body)
        return Reply.of(self._answers.accepted(submission, _origin(request)))

    async def _status(self, request: web.Request) -> Reply:
        submission = self._found(request)
        progress = self._service.progress(submission)
        self._draw_ahead(submission, progress)
        return Reply.of(self._answers.status(submission, progress, _origin(request)))

    async def _result(self, request: web.Request) -> Reply:
        submission = self._found(request)
        progress = self._service.progress(submission)
        self._draw_ahead(submission, progress)
        include_cost = request.query.get("include_cost", "").lower() in ("true", "1")
        return Reply.of(self._answers.result(submission, progress, _origin(request), self._clock(), include_cost=include_cost))

    async def _cancel(self, request: web.Request) -> Reply:
        submission = self._found(request)
        done = self._service.cancel(submission)
        return Reply.of(self._answers.cancelled(submission, self._service.progress(submission), done=done), 202)

    async def _catalog(self, request: web.Request) -> Reply:
        self._owner(request)
        query = request.query
        found = [
            card
            for card in self._service.cards.values()
            if _mentions(query.get("search", ""), (card.model_id, card.display_name, card.description))
            and query.get("category", "") in ("", *card.categories)
            and query.get("kind", "") in ("", card.kind)
        ]
        limit, offset = _whole_number(query, "limit", DEFAULT_PAGE), _whole_number(query, "offset", 0)
        with_schema = query.get("include_schema", "").lower() in ("true", "1")
        models = [self._answers.model(card, with_schema=with_schema) for card in found[offset : offset + limit]]
        return Reply.of({"models": models, "total": len(found), "limit": limit, "offset": offset})

    async def _model(self, request: web.Request) -> Reply:
        self._owner(request)
        model_id = request.match_info["model_id"]
        card = self._service.cards.get(model_id)
        if card is None:
            raise bad_identifier(f"there is no model {model_id!r}")
        return Reply.of(self._answers.model(card, with_schema=True))

    async def _balance(self, request: web.Request) -> Reply:
        self._owner(request)
        return Reply.of(self._answers.balance())

    async def _download(self, request: web.Request) -> Reply:
        if "Authorization" in request.headers or "Cookie" in request.headers:
            self._traffic.downloads_with_credentials += 1
        submission, name = self._service.look_up(request.match_info["request_id"]), request.match_info["name"]
        if submission is None or self._service.progress(submission).phase is not Phase.SUCCEEDED:
            raise not_found("there is no such file")
        names = self._answers.file_names(submission)
        if name not in names:
            raise not_found("there is no such file")
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        if not self._answers.link_works(submission, name, expires, signature, self._clock()):
            status = self._settings.expired_link_status
            return Reply(status, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "application/xml")
        output = await self._outputs.get(self._drawings(submission)[names.index(name)])
        return Reply(200, output.content, output.media_type)

    async def _show_bill(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(asdict(self.bill()))

    async def _show_requests(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after", "")
        return web.json_response(self.request_records(int(after[:9]) if after.isascii() and after.isdecimal() else 0))

    def _found(self, request: web.Request) -> Submission:
        return self._service.find(self._owner(request), request.match_info["request_id"])

    def _owner(self, request: web.Request) -> str:
        """Who asks, as a hash of the token. Raises `Refusal` without a token that is accepted."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        wanted = self._settings.token
        if scheme.lower() == "bearer" and token.strip() and (wanted is None or token.strip() == wanted.get_secret_value()):
            return hashlib.sha256(token.strip().encode("utf-8", "replace")).hexdigest()[:16]
        failure = self._settings.auth_failure
        if failure == 400004:
            raise Refusal(400, 400004, "the token is missing, expired or revoked")
        raise Refusal(failure, None, "the token is missing, expired or revoked")

    def _limit_rate(self) -> None:
        limit, now = self._settings.submits_per_s, self._clock()
        if limit is None:
            return
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= limit:
            raise too_many("1")
        self._recent.append(now)

    def _draw_ahead(self, submission: Submission, progress: Progress) -> None:
        """Begin with the pictures of a request that runs or has run: whoever asks after it will want them."""
        if progress.phase in (Phase.IN_PROGRESS, Phase.SUCCEEDED) and submission.fate is Fate.SUCCEEDS:
            self._outputs.prepare(self._drawings(submission))

    def _drawings(self, submission: Submission) -> list[Drawing]:
        card, file_format = self._service.card(submission.model_id), self._answers.file_format(submission)
        return [Drawing(submission, card, index, file_format) for index in range(self._service.output_count(card))]

    @web.middleware
    async def _as_json(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            return web.json_response({"detail": refusal.reason}, status=refusal.status)
        except SimulatorError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message says it all
            return web.json_response({"detail": str(error)}, status=500)

    async def _release(self, application: web.Application) -> None:
        self._wire.close()

    async def _close(self, application: web.Application) -> None:
        await self._outputs.close()
        self._close_files()

    def _close_files(self) -> None:
        self._blobs.close()
        if self._journal is not None:
            self._journal.close()


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _parsed(content: bytes) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(word)

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise invalid_body([{"loc": ["body"], "msg": "JSON decode error", "type": "json_invalid"}]) from None


def _text_in(content: bytes) -> str:
    try:
        return text_of(json.loads(content))
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def _mentions(words: str, texts: tuple[str, ...]) -> bool:
    return all(any(word in text.casefold() for text in texts) for word in words.casefold().split())


def _whole_number(query: Any, name: str, default: int) -> int:
    value = query.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal()):
        raise Refusal(
            422,
            None,
            f"{name}: Input should be a valid integer",
            [{"loc": ["query", name], "msg": "Input should be a valid integer", "type": "int_parsing"}],
        )
    return int(value[:9])
