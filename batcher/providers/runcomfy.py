"""RunComfy's Model API as a `Provider` and a `Catalog`.

One method is one HTTP request (the pages of the catalog apart); nothing is tried again here, because a retry is a row with a `not_before`. The
token goes to the host of the base address and to the host of the balance, and to no address that an answer names.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import ValidationError
from yarl import URL

from batcher.errors import ApiError, ApiErrorKind, TokenError, UsageError
from batcher.model import Balance, ModelInfo, ProviderFacts, RequestResult, RequestStatus
from batcher.ports import Clock
from batcher.providers.http import Answer, HttpClient, Secret, open_client, proxy_for
from batcher.providers.redaction import Redaction
from batcher.providers.runcomfy_errors import classify, status_of
from batcher.providers.runcomfy_wire import (
    REQUEST_ID,
    BalanceBody,
    CancelBody,
    CatalogBody,
    ErrorBody,
    ModelBody,
    ResultBody,
    StatusBody,
    SubmitBody,
    Wire,
    clean,
    code_text,
)
from batcher.retry import retry_after_s
from batcher.settings import RunSettings

DEFAULT_BASE = "https://model-api.runcomfy.net/v1"

_SUBMIT_KEEP_ALIVE_S = 1.0
"""A submit never goes out on a connection that was idle for longer. A service may close an idle connection at the very moment at which the submit is
written to it, and then nobody knows whether it was read; services wait at least two seconds before they do. Under load a connection is used again
within the second, which saves the round trips of a handshake."""

_READ_KEEP_ALIVE_S = 15.0

EXCERPT_BYTES = 2000
EXCERPT_CHARS = 300
"""How much of a result is kept for the message about one that cannot be used."""

_BALANCE_OF_DEFAULT = URL("https://api.runcomfy.net/prod/v2/balance")
_BALANCE_PATH = "/prod/v2/balance"
_PAGE_MODELS = 100
_PAGES_MAX = 1000
_HTML = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)

_Body = TypeVar("_Body", bound=Wire)


class RunComfy:
    """One account at RunComfy, reached through two clients: one for submits, which cost money, and one for everything else."""

    def __init__(self, base: URL, balance: URL, token: Secret, *, submits: HttpClient, reads: HttpClient, clock: Clock) -> None:
        self._base = str(base)
        self._balance = balance
        self._redaction = Redaction(token)
        self._submits = submits
        self._reads = reads
        self._clock = clock
        self._facts = ProviderFacts(name="runcomfy")

    def __repr__(self) -> str:
        return f"RunComfy({self._base!r})"

    @property
    def facts(self) -> ProviderFacts:
        """What is known of the service: no idempotency keys, no list of one's requests, only what is queued can be cancelled."""
        return self._facts

    async def submit(self, model: str, body: bytes) -> str:
        """Send one request, at most once, and return its id. `body` is the model's input as JSON in UTF-8. Costs money.

        A 2xx answer without a usable id, a 3xx and a 5xx are no refusals: the request may have been made.
        """
        answer = self._redacted(await self._submits.post(self._model_url(model), body))
        accepted = self._read(answer, SubmitBody, about_request=False)
        if accepted.request_id is None:
            raise self._unusable(answer, "names no usable request_id")
        return accepted.request_id

    async def status(self, request_id: str) -> RequestStatus:
        """Ask how far a request is. A word that is not known is kept, with the phase `unknown`."""
        answer = await self._get(self._request_url(request_id, "status"))
        return self._read(answer, StatusBody, about_request=True).to_record()

    async def result(self, request_id: str) -> RequestResult:
        """Ask what came of a request, and what it cost. Before its end: the current phase, or `ApiError` of the kind `not_ready`."""
        answer = await self._get(self._request_url(request_id, "result?include_cost=true"))
        body = self._read(answer, ResultBody, about_request=True)
        excerpt = clean(answer.body[:EXCERPT_BYTES].decode("utf-8", "replace"), EXCERPT_CHARS)
        return RequestResult(body.phase, body.output, clean(body.failure) or None, body.cost, body.status, excerpt)

    async def cancel(self, request_id: str) -> bool:
        """Ask the service to cancel a request that is queued; False unless it says that it did."""
        answer = self._redacted(await self._reads.post(self._request_url(request_id, "cancel")))
        return self._read(answer, CancelBody, about_request=True).is_cancelled

    async def probe(self) -> None:
        """Ask for one line of the catalog, which costs nothing; returns if the service answers and accepts the token."""
        self._read(await self._get(self._catalog_url(limit=1, offset=0)), Wire, about_request=False)

    async def models(self, search: str = "", *, with_schema: bool = False) -> AsyncIterator[ModelInfo]:
        """Every model that matches `search`, page by page, each once, whatever the service makes of `offset`."""
        seen: set[str] = set()
        offset = 0
        for _ in range(_PAGES_MAX):
            answer = await self._get(self._catalog_url(limit=_PAGE_MODELS, offset=offset, search=search, with_schema=with_schema))
            page = self._read(answer, CatalogBody, about_request=False)
            known = len(seen)
            for model in page.readable_models:
                if model.model_id not in seen:
                    seen.add(model.model_id)
                    yield model
            offset += len(page.models)
            if len(seen) == known or (page.total is not None and offset >= page.total):
                return

    async def model(self, model_id: str) -> ModelInfo:
        """One model with its input schema."""
        answer = await self._get(self._model_url(model_id))
        body = self._read(answer, ModelBody, about_request=False)
        if not body.model_id:
            raise self._unusable(answer, "names no model_id")
        return body.to_record()

    async def balance(self) -> Balance:
        """What the account holds."""
        answer = await self._get(self._balance)
        balance = self._read(answer, BalanceBody, about_request=False).to_record()
        if balance is None:
            raise self._unusable(answer, "names no balance")
        return balance

    # ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _model_url(self, model: str) -> URL:
        # The status is what the service would answer: nothing was sent, so this is a refusal as good as its own.
        if any(part in ("", ".", "..") for part in model.split("/")):
            raise ApiError(ApiErrorKind.INVALID, f"{clean(model)!r} is not a model id: it goes into a path, as in 'maker/model/edit'", status=400)
        return URL(f"{self._base}/models/{quote(model, safe='/:@', errors='replace')}", encoded=True)

    def _request_url(self, request_id: str, call: str) -> URL:
        if not REQUEST_ID.fullmatch(request_id):
            raise ApiError(ApiErrorKind.INVALID, f"{clean(request_id)!r} is not a request id: letters, digits, _ and -, at most 128", status=400)
        return URL(f"{self._base}/requests/{request_id}/{call}", encoded=True)

    def _catalog_url(self, *, limit: int, offset: int, search: str = "", with_schema: bool = False) -> URL:
        asked = {"limit": str(limit), "offset": str(offset), "search": search, "include_schema": "true" if with_schema else ""}
        return URL(f"{self._base}/models", encoded=True).with_query({name: value for name, value in asked.items() if value})

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _get(self, url: URL) -> Answer:
        return self._redacted(await self._reads.get(url))

    def _redacted(self, answer: Answer) -> Answer:
        body = self._redaction.body(answer.body)
        return answer if body is answer.body else replace(answer, body=body)

    def _read(self, answer: Answer, shape: type[_Body], *, about_request: bool) -> _Body:
        if not 200 <= answer.status < 300:
            raise self._error(answer, about_request)
        try:
            body = _parse(answer, shape)
        except ValueError as error:
            raise self._unusable(answer, "is not the JSON object that was expected") from error
        if code_text(body.error_code) is not None or status_of(code_text(body.code)) is not None:
            raise self._error(answer, about_request)
        return body

    def _error(self, answer: Answer, about_request: bool) -> ApiError:
        body = _complaint(answer)
        return classify(
            answer.status,
            body.named_code,
            clean(body.reason),
            about_request=about_request,
            is_page=_is_page(answer),
            retry_after_s=retry_after_s(answer.headers.get("Retry-After"), self._clock.now()),
            location=self._host_of(answer.headers.get("Location")),
        )

    def _unusable(self, answer: Answer, fault: str) -> ApiError:
        said = clean(_text(answer), 200) or "(it is empty)"
        return ApiError(ApiErrorKind.INTERRUPTED, f"the answer ({answer.status}) {fault}: {said}", status=answer.status)

    def _host_of(self, location: str | None) -> str | None:
        if location is None:
            return None
        try:
            return URL(self._redaction.text(location)).host or "another path of the same host"
        except ValueError:
            return "an unreadable address"


@asynccontextmanager
async def open_runcomfy(base: str, token: str, settings: RunSettings, *, clock: Clock, version: str) -> AsyncIterator[RunComfy]:
    """RunComfy at `base` (with its `/v1`), its connections closed at the end. `version` goes into the User-Agent.

    Raises `UsageError` for a base or a proxy that cannot be used, `TokenError` for a token that cannot be sent.
    """
    address = checked_base(base)
    secret = checked_token(token)
    balance = balance_url(address)
    proxies = {url.host or "": proxy for url in (address, balance) if (proxy := proxy_for(url)) is not None}
    headers = {
        "Authorization": Secret(f"Bearer {token}"),
        "User-Agent": f"batcher/{version}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    connect_s, read_s = settings.connect_timeout_s, settings.read_timeout_s
    # No read time-out for submits: silence while the service thinks, or while a large body goes up, is no reason to make doubt before the time is up.
    submit_timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
    read_timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=read_s)
    submits_open = open_client(
        headers,
        submit_timeout,
        limit_s=settings.submit_timeout_s,
        connections=settings.posts_in_flight,
        keep_alive_s=_SUBMIT_KEEP_ALIVE_S,
        proxies=proxies,
    )
    reads_open = open_client(
        headers,
        read_timeout,
        limit_s=connect_s + 2 * read_s,  # an answer that trickles is never silent, so the whole has a limit too
        connections=settings.concurrency,
        keep_alive_s=_READ_KEEP_ALIVE_S,
        proxies=proxies,
    )
    async with submits_open as submits, reads_open as reads:
        yield RunComfy(address, balance, secret, submits=submits, reads=reads, clock=clock)


def balance_url(base: URL) -> URL:
    """Where the account of `base` is asked for: at a host of its own for the real service, at the origin of any other base."""
    if base.host == URL(DEFAULT_BASE).host:
        return _BALANCE_OF_DEFAULT
    return base.origin().with_path(_BALANCE_PATH)


def checked_base(base: str) -> URL:
    """`base` as an address. Raises `UsageError` for one that cannot be used, and does not repeat what may be a secret in it."""
    remedy = f"It is {DEFAULT_BASE} for the real service; RUNCOMFY_MODEL_API_BASE sets it."
    shown = "***" if any(mark in base for mark in "@?#") else repr(base)
    try:
        url = URL(base.rstrip("/"))
        port = url.port
    except ValueError as error:
        raise UsageError(f"the API's base address {shown} is not an address", remedy) from error
    if url.scheme not in ("http", "https") or not url.host or port is None or url.user or url.password or url.query_string or url.fragment:
        raise UsageError(f"the API's base address {shown} must be http(s)://host/path, without a name, a query or a fragment", remedy)
    if url.scheme == "http" and url.host.endswith((".runcomfy.net", ".runcomfy.com")):
        raise UsageError(f"the API's base address {shown} would send the token without encryption", remedy)
    return url


def checked_token(token: str) -> Secret:
    """`token` as it can be sent. Raises `TokenError`, which does not show it."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenError("the token is empty or holds characters that no token has", "Set RUNCOMFY_TOKEN to the token as the service shows it.")
    return Secret(token)


def _parse(answer: Answer, shape: type[_Body]) -> _Body:
    try:
        return shape.model_validate_json(answer.body)
    except ValidationError as error:
        if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] != "json_invalid":
            raise
    return shape.model_validate(_decoded(answer))


def _decoded(answer: Answer) -> object:
    """JSON in another encoding than plain UTF-8, or with bytes or halves of characters in it that are none. Raises `ValueError`."""
    try:
        whole = json.dumps(json.loads(_text(answer)), ensure_ascii=False).encode("utf-8", "replace")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return json.loads(whole)


def _text(answer: Answer) -> str:
    return answer.body.decode(json.detect_encoding(answer.body), "replace")


def _complaint(answer: Answer) -> ErrorBody:
    try:
        return _parse(answer, ErrorBody)
    except ValueError:
        text = _text(answer)
        title = _TITLE.search(text)
        return ErrorBody(message=title[1] if title else "an HTML page" if _is_page(answer) else text)


def _is_page(answer: Answer) -> bool:
    return _HTML.match(answer.body) is not None
