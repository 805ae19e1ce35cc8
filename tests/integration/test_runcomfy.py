from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from batcher.definition import output_links
from batcher.errors import ApiError, ApiErrorKind
from batcher.model import Balance, RequestPhase, RequestResult, RequestStatus
from batcher.providers.http import Answer, Secret
from batcher.providers.runcomfy import RunComfy, open_runcomfy
from batcher.settings import RunSettings
from tests.support.raw_server import Act, Exchange, RawServer, Seen, answer, close_after_body, drip, hang, head, raw_server, reset_after_body, says

TOKEN = "canary-0123456789"
ID = "6f1c2a52-1f9f-4a8e-9a0e-0c2a7f9d1a11"
NOW = 1_800_000_000.0
K = ApiErrorKind


class FixedClock:
    def now(self) -> float:
        return NOW

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        return event.is_set()


@contextlib.asynccontextmanager
async def service(*acts: Act, **settings: Any) -> AsyncIterator[tuple[RunComfy, RawServer]]:
    async with (
        raw_server(*acts) as server,
        open_runcomfy(f"{server.url}/v1", TOKEN, RunSettings(**settings), clock=FixedClock(), version="1.2.3") as runcomfy,
    ):
        yield runcomfy, server


Call = Callable[[RunComfy], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "submit": lambda r: r.submit("a/b", b"{}"),
    "status": lambda r: r.status(ID),
    "result": lambda r: r.result(ID),
    "cancel": lambda r: r.cancel(ID),
    "probe": lambda r: r.probe(),
    "models": lambda r: listed(r),
    "model": lambda r: r.model("a/b"),
    "balance": lambda r: r.balance(),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


async def listed(runcomfy: RunComfy, search: str = "", *, with_schema: bool = False) -> list[str]:
    return [model.model_id async for model in runcomfy.models(search, with_schema=with_schema)]


async def error_of(call: Call, *acts: Act, **settings: Any) -> ApiError:
    async with service(*acts, **settings) as (runcomfy, server):
        with pytest.raises(ApiError) as caught:
            await call(runcomfy)
        await asyncio.sleep(0.005)
        assert len(server.requests) == 1
    return caught.value


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "method", "target"),
    [
        (CALLS["submit"], "POST", "/v1/models/a/b"),
        (CALLS["status"], "GET", f"/v1/requests/{ID}/status"),
        (CALLS["result"], "GET", f"/v1/requests/{ID}/result?include_cost=true"),
        (CALLS["cancel"], "POST", f"/v1/requests/{ID}/cancel"),
        (CALLS["probe"], "GET", "/v1/models?limit=1&offset=0"),
        (CALLS["models"], "GET", "/v1/models?limit=100&offset=0"),
        (lambda r: listed(r, "flux & co", with_schema=True), "GET", "/v1/models?limit=100&offset=0&search=flux+%26+co&include_schema=true"),
        (CALLS["model"], "GET", "/v1/models/a/b"),
        (CALLS["balance"], "GET", "/prod/v2/balance"),
        (lambda r: r.submit("maker/odd name?#%2e/é", b"{}"), "POST", "/v1/models/maker/odd%20name%3F%23%252e/%C3%A9"),
    ],
)
async def test_each_call_is_one_request_with_the_token_and_the_name(call: Call, method: str, target: str) -> None:
    body = {"request_id": ID, "status": "in_queue", "models": [], "model_id": "a/b", "balance_usd": 1}
    async with service(answer(body)) as (runcomfy, server):
        await call(runcomfy)
    assert [(seen.method, seen.target) for seen in server.requests] == [(method, target)]
    headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["user-agent"] == "batcher/1.2.3"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


async def test_a_submit_sends_its_body_as_it_is_and_nothing_else() -> None:
    body = '{"prompt":"café","seed":7}'.encode()
    async with service(answer({"request_id": ID})) as (runcomfy, server):
        assert await runcomfy.submit("a/b", body) == ID
    assert server.requests[0].body == body
    assert server.requests[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("model", ["", "/", "a//b", "../requests/x", "a/./b", "a/..", "a/"])
async def test_a_model_id_cannot_leave_its_path(model: str) -> None:
    async with service() as (runcomfy, server):
        for call in (runcomfy.submit(model, b"{}"), runcomfy.model(model)):
            with pytest.raises(ApiError, match="not a model id") as caught:
                await call
            assert (caught.value.kind, caught.value.status) == (K.INVALID, 400)
    assert server.connections == 0


@pytest.mark.parametrize("request_id", ["", "../x", "a/b", "a?b", "a b", "x" * 129, "a\r\nX: y"])
@pytest.mark.fault("D8")
async def test_a_request_id_cannot_leave_its_path(request_id: str) -> None:
    async with service() as (runcomfy, server):
        for call in (runcomfy.status(request_id), runcomfy.result(request_id), runcomfy.cancel(request_id)):
            with pytest.raises(ApiError, match="not a request id") as caught:
                await call
            assert caught.value.kind is K.INVALID
    assert server.connections == 0


@pytest.mark.fault("D9")
async def test_addresses_in_an_answer_are_never_visited() -> None:
    async with raw_server() as elsewhere:
        links = {name: f"{elsewhere.url}/{name}" for name in ("status_url", "result_url", "cancel_url")}
        async with service(answer({"request_id": ID, "status": "completed", "outcome": "cancelled", **links})) as (runcomfy, server):
            await runcomfy.submit("a/b", b"{}")
            await runcomfy.status(ID)
            await runcomfy.result(ID)
            await runcomfy.cancel(ID)
        assert len(server.requests) == 4
        assert elsewhere.connections == 0


async def test_submits_and_questions_have_connections_of_their_own() -> None:
    async with service(answer({"request_id": ID, "status": "in_queue"})) as (runcomfy, server):
        for _ in range(2):
            await runcomfy.submit("a/b", b"{}")
            await runcomfy.status(ID)
            await runcomfy.cancel(ID)
    by_path = {seen.target.rsplit("/", 1)[1]: seen.connection for seen in server.requests}
    assert by_path["b"] != by_path["status"] == by_path["cancel"]


# ── what is understood ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_life_of_a_request() -> None:
    acts = [
        answer({"request_id": ID, "status_url": "https://x/s", "result_url": "https://x/r", "cancel_url": "https://x/c"}),
        answer({"request_id": ID, "status": "in_queue", "queue_position": "2"}),
        answer({"request_id": ID, "status": "IN_PROGRESS", "queue_position": None}),
        answer({"request_id": ID, "status": "completed"}),
        answer({"request_id": ID, "status": "succeeded", "output": {"image": "https://a.runcomfy.net/1.png"}, "cost": "0.08", "error": None}),
    ]
    async with service(*acts) as (runcomfy, _):
        assert await runcomfy.submit("a/b", b"{}") == ID
        assert await runcomfy.status(ID) == RequestStatus(RequestPhase.QUEUED, 2, "in_queue")
        assert await runcomfy.status(ID) == RequestStatus(RequestPhase.RUNNING, None, "IN_PROGRESS")
        assert (await runcomfy.status(ID)).phase is RequestPhase.COMPLETED
        result = await runcomfy.result(ID)
    assert (result.phase, result.output, result.error, result.cost_usd) == (
        RequestPhase.COMPLETED,
        {"image": "https://a.runcomfy.net/1.png"},
        None,
        0.08,
    )


async def test_a_failed_request_and_one_that_is_not_ready() -> None:
    failed = {"status": "failed", "error": [{"errorCode": 12, "error": f"bad\x1b[2J seed {TOKEN}", "debugInfo": "n7"}]}
    async with service(answer(failed), answer({"status": "in_progress"}), answer({"error_code": 400005}, status=400)) as (runcomfy, _):
        result = await runcomfy.result(ID)
        assert (result.phase, result.error, result.cost_usd) == (RequestPhase.FAILED, "12: bad [2J seed ***: n7", None)
        assert (await runcomfy.result(ID)).phase is RequestPhase.RUNNING
        with pytest.raises(ApiError) as caught:
            await runcomfy.result(ID)
    assert caught.value.kind is K.NOT_READY


@pytest.mark.parametrize(
    ("status", "body", "cancelled"),
    [
        (202, {"request_id": ID, "status": "completed", "outcome": "cancelled"}, True),
        (202, {"request_id": ID, "status": "cancelled", "outcome": "not_cancellable"}, False),
        (200, {"request_id": ID}, False),
    ],
)
async def test_the_outcome_of_a_cancel(status: int, body: Any, cancelled: bool) -> None:
    async with service(answer(body, status=status)) as (runcomfy, _):
        assert await runcomfy.cancel(ID) is cancelled


@pytest.mark.parametrize(
    "body",
    [
        '{"request_id": "é-is-not-in-it", "x": 1}'.replace("é-is-not-in-it", ID).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps({"request_id": ID}).encode(),
        json.dumps({"request_id": ID, "note": "café"}, ensure_ascii=False).encode("latin-1"),
        b'{"request_id": "%b", "note": "half a character \\ud83d"}' % ID.encode(),
        b'{"request_id": "%b", "request_id": "%b"}' % (b"first", ID.encode()),
    ],
    ids=["UTF-16", "a byte order mark", "Latin-1", "half a surrogate pair", "a key twice"],
)
async def test_json_is_read_in_whatever_encoding_it_comes(body: bytes) -> None:
    async with service(answer(body, status=201, headers={"Content-Type": "text/html; charset=klingon"})) as (runcomfy, _):
        assert await runcomfy.submit("a/b", b"{}") == ID


async def test_the_balance_and_a_model() -> None:
    async with service(answer({"balance_usd": -1.5}), answer({"model_id": "a/b", "input_schema": {"x": 1}})) as (runcomfy, _):
        assert await runcomfy.balance() == Balance(-1.5)
        assert (await runcomfy.model("a/b")).input_schema == {"x": 1}


# ── the catalog ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def page(*names: str, **more: Any) -> Act:
    return answer({"models": [{"model_id": name} for name in names], **more})


@pytest.mark.parametrize(
    ("acts", "names", "requests"),
    [
        ([page("a", "b", total=3), page("c", total=3)], ["a", "b", "c"], 2),
        ([page("a"), page("b"), page()], ["a", "b"], 3),
        ([page("a", "b", total=9)], ["a", "b"], 2),
        ([page(total=0)], [], 1),
        ([page("a", "a", total=2)], ["a"], 1),
    ],
    ids=["by the total", "without a total", "a server that ignores the offset", "nothing", "a model twice"],
)
async def test_the_pages_of_the_catalog_end(acts: list[Act], names: list[str], requests: int) -> None:
    async with service(*acts) as (runcomfy, server):
        assert await listed(runcomfy) == names
    assert len(server.requests) == requests


async def test_each_page_starts_where_the_last_one_ended() -> None:
    async with service(page("a", "b", total=3), page("c", total=3)) as (runcomfy, server):
        await listed(runcomfy)
    assert [seen.target for seen in server.requests] == ["/v1/models?limit=100&offset=0", "/v1/models?limit=100&offset=2"]


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_call
@pytest.mark.parametrize("act", [reset_after_body, close_after_body, says(head(200, {"Content-Length": "9"}) + b"{")], ids=["reset", "closed", "cut"])
async def test_a_lost_answer_is_interrupted(call: Call, act: Act) -> None:
    async with service(act) as (runcomfy, server):
        with pytest.raises(ApiError) as caught:
            await call(runcomfy)
        await asyncio.sleep(0.005)
    assert caught.value.kind is K.INTERRUPTED
    assert sum(seen.method == "POST" for seen in server.requests) <= 1


UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "HTML": b"<!DOCTYPE html><html><title>Sign in</title></html>",
    "text": b"OK",
    "cut": b'{"request_id": "abc"',
    "a list": b"[]",
    "a string": b'"abc"',
    "null": b"null",
    "binary": bytes(range(256)),
    "nested without end": b'{"output": ' + b"[" * 100_000,
    "nested deeply": b'{"output": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number too long": b'{"a": ' + b"9" * 10_000 + b"}",
}


@every_call
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.fault("C6", "D5")
async def test_an_unreadable_answer_is_interrupted(call: Call, body: bytes) -> None:
    error = await error_of(call, answer(body))
    assert error.kind is K.INTERRUPTED
    assert error.status == 200
    assert "is not the JSON object that was expected" in error.message
    assert len(error.message) < 600


@pytest.mark.parametrize("body", [{}, {"request_id": None}, {"request_id": "../x"}, {"request_id": ["a"]}, {"id": ID}])
@pytest.mark.fault("C6", "D8")
async def test_a_submit_without_a_usable_id_is_in_doubt(body: Any) -> None:
    error = await error_of(CALLS["submit"], answer(body))
    assert error.kind is K.INTERRUPTED
    assert "names no usable request_id" in error.message


@pytest.mark.parametrize(("call", "fault"), [(CALLS["model"], "no model_id"), (CALLS["balance"], "no balance")])
async def test_an_answer_without_its_point_is_interrupted(call: Call, fault: str) -> None:
    error = await error_of(call, answer({}))
    assert (error.kind, fault in error.message) == (K.INTERRUPTED, True)


@pytest.mark.parametrize("act", [hang, drip(b" " * 500, 0.005)], ids=["hangs", "drips"])
async def test_a_submit_ends_in_its_time(act: Act) -> None:
    error = await error_of(CALLS["submit"], act, submit_timeout_s=0.1)
    assert (error.kind, "in time" in error.message) == (K.INTERRUPTED, True)


@pytest.mark.parametrize("act", [hang, drip(b" " * 500, 0.005)], ids=["hangs", "drips"])
async def test_a_question_ends_in_its_time(act: Act) -> None:
    error = await error_of(CALLS["status"], act, read_timeout_s=0.05, connect_timeout_s=0.05)
    assert (error.kind, "in time" in error.message) == (K.INTERRUPTED, True)


@every_call
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.fault("C14")
async def test_a_redirect_is_named_and_never_followed(call: Call, status: int) -> None:
    async with raw_server() as elsewhere:
        error = await error_of(call, answer(b"", status=status, headers={"Location": f"{elsewhere.url}/login?x={TOKEN}"}))
        assert error.kind is K.INTERRUPTED
        assert (error.status, "redirects to 127.0.0.1" in error.message) == (status, True)
        assert TOKEN not in error.message
        assert elsewhere.connections == 0


@pytest.mark.parametrize(("location", "said"), [("/login", "another path"), ("http://[bad", "unreadable"), (None, "nowhere")])
async def test_odd_redirects(location: str | None, said: str) -> None:
    error = await error_of(CALLS["status"], answer(b"", status=302, headers={"Location": location} if location else {}))
    assert said in error.message


@every_call
@pytest.mark.fault("X12")
async def test_an_error_under_200_is_an_error(call: Call) -> None:
    error = await error_of(call, answer({"request_id": ID, "error_code": 400002, "error_message": "no balance", "models": [], "status": "completed"}))
    assert (error.kind, error.status, error.code) == (K.BALANCE, 400, "400002")
    assert "no balance" in error.message


@pytest.mark.fault("X12")
async def test_zero_is_no_error_code_and_a_bare_code_counts_only_if_it_is_one() -> None:
    for body in ({"error_code": None}, {"error_code": 0}, {"error_code": ""}, {"code": 200}, {"code": "ok"}):
        async with service(answer({"request_id": ID, **body})) as (runcomfy, _):
            assert await runcomfy.submit("a/b", b"{}") == ID
    assert (await error_of(CALLS["submit"], answer({"code": 422001, "message": "bad field"}))).kind is K.INVALID
    assert (await error_of(CALLS["submit"], answer({"error_code": 500001}))).kind is K.UNAVAILABLE
    assert (await error_of(CALLS["submit"], answer({"error_code": "E_ODD"}))).kind is K.INTERRUPTED


@every_call
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"", K.TOKEN),
        (400, {"error_code": 400004, "error_message": "expired"}, K.TOKEN),
        (402, {"detail": "top up"}, K.BALANCE),
        (403, {"error_code": 403001}, K.FORBIDDEN),
        (429, b"", K.THROTTLED),
        (422, {"detail": [{"loc": ["body", "prompt"], "msg": "field required"}]}, K.INVALID),
        (500, b"<html>oops</html>", K.UNAVAILABLE),
        (503, {"error_code": 503001, "message": "later"}, K.UNAVAILABLE),
    ],
)
@pytest.mark.fault("X12")
async def test_error_answers(call: Call, status: int, body: Any, kind: ApiErrorKind) -> None:
    error = await error_of(call, answer(body, status=status))
    assert (error.kind, error.status) == (kind, status)


@pytest.mark.parametrize(
    ("call", "kind"), [(CALLS["status"], K.GONE), (CALLS["result"], K.GONE), (CALLS["submit"], K.INVALID), (CALLS["model"], K.INVALID)]
)
async def test_what_is_not_found(call: Call, kind: ApiErrorKind) -> None:
    assert (await error_of(call, answer({"error_code": 404001, "error_message": "gone"}, status=404))).kind is kind
    assert (await error_of(call, answer(b"", status=404))).kind is kind


@pytest.mark.parametrize("status", [403, 404])
async def test_a_page_of_a_gateway_says_nothing_about_a_request(status: int) -> None:
    error = await error_of(CALLS["status"], answer(b"\n<!doctype html><title>Attention\nrequired</title>", status=status))
    assert error.kind is K.INTERRUPTED
    assert error.message == f"the service answers {status}: Attention required"
    assert "an HTML page" in (await error_of(CALLS["status"], answer(b"<html></html>", status=status))).message


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [("7", 7.0), (formatdate(NOW + 90, usegmt=True), 90.0), ("soon", None), (None, None)],
    ids=["seconds", "a date", "garbage", "none"],
)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.fault("C8")
async def test_retry_after_in_both_forms(status: int, value: str | None, wait_s: float | None) -> None:
    error = await error_of(CALLS["status"], answer(b"", status=status, headers={"Retry-After": value} if value else {}))
    assert error.retry_after_s == wait_s


async def test_an_unreachable_service_has_seen_nothing() -> None:
    async with raw_server() as server:
        gone = f"{server.url}/v1"
    async with open_runcomfy(gone, TOKEN, RunSettings(), clock=FixedClock(), version="1") as runcomfy:
        for call in CALLS.values():
            with pytest.raises(ApiError) as caught:
                await call(runcomfy)
            assert caught.value.kind is K.UNREACHABLE


@pytest.mark.parametrize(
    "body",
    [
        {"error_message": f"token {TOKEN} is not known"},
        {"detail": [{"loc": ["header"], "msg": TOKEN}]},
        {"error": {"nested": {"Authorization": f"Bearer {TOKEN}"}}},
        f"Bearer {TOKEN}".encode(),
        f"<html><title>{TOKEN}</title>".encode(),
        ("x" * 490 + TOKEN).encode(),
    ],
)
@pytest.mark.parametrize("status", [200, 401, 422, 500])
async def test_a_token_that_is_echoed_is_not_shown(status: int, body: Any) -> None:
    error = await error_of(CALLS["submit"], answer(body, status=status))
    chain = [error, error.__cause__, error.__context__]
    assert TOKEN not in "".join(f"{part} {part!r}" for part in chain)
    assert "canary" not in error.message
    assert len(error.message) <= 600


async def test_many_calls_at_once_keep_within_their_connections() -> None:
    busy = service(answer({"request_id": ID, "status": "in_queue"}), posts_in_flight=3, concurrency=5)
    async with busy as (runcomfy, server), asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(runcomfy.submit("a/b", b"{}"))
            group.create_task(runcomfy.status(ID))
    assert len(server.requests) == 80
    assert server.connections <= 8


@pytest.mark.fault("C10")
async def test_a_server_that_closes_idle_connections_never_makes_a_doubt() -> None:
    """Submits after every length of idleness, against a server that closes what was idle for two seconds, as few do sooner."""

    async def closing(exchange: Exchange) -> None:
        await answer({"request_id": ID})(exchange)
        asyncio.get_running_loop().call_later(2.0, close_if_idle, exchange.connection, len(seen_on(exchange.connection)), exchange)

    def seen_on(connection: int) -> list[Seen]:
        return [seen for seen in server.requests if seen.connection == connection]

    def close_if_idle(connection: int, seen: int, exchange: Exchange) -> None:
        if len(seen_on(connection)) == seen:
            exchange.writer.close()

    async def submits(runcomfy: RunComfy, number: int) -> None:
        rng = random.Random(number)
        for _ in range(4):
            assert await runcomfy.submit("a/b", b"{}") == ID
            await asyncio.sleep(rng.choice((0.0, 0.3, 0.9, 0.99, 1.0, 1.01, 1.9, 1.99, 2.0)))

    async with service(closing, posts_in_flight=200) as (runcomfy, server), asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(submits(runcomfy, number))
    assert len(server.requests) == 400


class Canned:
    """In place of the network: one answer to everything."""

    def __init__(self, body: bytes) -> None:
        self._answer = Answer(200, {}, body)

    async def get(self, url: URL) -> Answer:
        return self._answer

    async def post(self, url: URL, body: bytes | None = None) -> Answer:
        return self._answer


NAMES = st.sampled_from(
    [
        "request_id",
        "status",
        "output",
        "cost",
        "error",
        "error_code",
        "code",
        "message",
        "detail",
        "outcome",
        "queue_position",
        "image",
        "images",
        "url",
        "x",
    ]
)
WORDS = st.one_of(
    st.sampled_from(["completed", "succeeded", "failed", "in_queue", "cancelled", "https://a.runcomfy.net/1.png", TOKEN, ""]), st.text()
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, st.text()), inner, max_size=6))
)
BODIES = st.one_of(
    st.dictionaries(NAMES, DOCUMENTS).map(json.dumps).map(str.encode),
    DOCUMENTS.map(json.dumps).map(str.encode),
    st.binary(),
    st.integers(0, 3000).map(lambda n: b'{"status": "succeeded", "output": ' + b"[" * n + b"]" * n + b"}"),
    st.integers(0, 400).map(lambda n: b'{"status": "succeeded", "output": {"image": "' + b"\\ud83d" * n + b'"}}'),
)


@pytest.mark.no_cover
@pytest.mark.fault("D5", "C6")
@settings(max_examples=250, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES)
@example(b'{"status": "succeeded", "output": NaN, "cost": Infinity}')
@example(b'{"status": "succeeded", "cost": ' + b"9" * 400 + b"}")
@example(b'{"status": 1e999, "error": {"error": {"error": {}}}}')
def test_no_body_brings_anything_but_a_record_or_an_error_of_ours(body: bytes) -> None:
    async def ask() -> None:
        canned = Canned(body)
        runcomfy = RunComfy(URL("http://x/v1"), URL("http://x/b"), Secret(TOKEN), submits=canned, reads=canned, clock=FixedClock())  # type: ignore[arg-type]
        for call in CALLS.values():
            came: Any = None
            said = ""
            try:
                came = await call(runcomfy)
            except ApiError as error:
                said = error.message
            assert said.isprintable()
            assert len(said) < 800
            assert TOKEN not in said
            if isinstance(came, RequestResult):
                assert all(isinstance(link, str) for link in output_links(came.output))
                assert came.cost_usd is None or 0 <= came.cost_usd < float("inf")
                assert TOKEN not in came.excerpt
                assert len(came.excerpt) <= 300

    asyncio.run(ask())
