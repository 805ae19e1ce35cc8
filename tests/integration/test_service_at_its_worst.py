"""The service at its worst, through the whole program: how the row ends, how the batch ends, what a person is told, and how often was paid."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from batcher.app import Stopper
from batcher.decisions import adopt_requests, retry_ended
from batcher.model import ExitReason, State
from tests.support.raw_server import (
    Act,
    Exchange,
    RawServer,
    answer,
    black_hole,
    close_after_body,
    drip,
    endless,
    free_port,
    hang,
    head,
    raw_server,
    reset_after_body,
    reset_before_body,
    says,
)
from tests.support.stub_service import TOKEN, Story, StubService, run_rows, stub_service

pytestmark = pytest.mark.no_cover

PAGE = b"<!DOCTYPE html><html><head><title>Sign in to this network</title></head></html>"
JSON = {"Content-Type": "application/json"}
TLS = Path(__file__).parents[1] / "support" / "tls"


@pytest.fixture
async def stub() -> AsyncIterator[StubService]:
    async with stub_service() as stub:
        yield stub


def refused(code: int, *, under_200: bool = False, status: int | None = None) -> Act:
    body = {"error_code": code, "error_message": f"no, says {code}", "request_id": "r0-1", "status": "completed"}
    return answer(body, status=200 if under_200 else status or code // 1000)


@dataclass(frozen=True)
class Ending:
    """How a batch of three rows ends where one call of its first row goes wrong; `failure` is that of the first row."""

    states: tuple[str, str, str] = ("done", "done", "done")
    exit_code: int = 0
    reason: str = "completed"
    posts: int = 3
    failure: str | None = None
    words: str = ""


DOUBT = Ending(("in_doubt", "done", "done"), 1, failure="outcome_unknown")
REJECTED = Ending(("failed", "done", "done"), 1, failure="rejected")
LOST = Ending(("failed", "done", "done"), 1, failure="result_lost")
AGAIN = Ending()
"""It is asked again, and all is well."""


def says_of(ending: Ending, words: str, **changes: Any) -> Ending:
    return Ending(**{**{name: getattr(ending, name) for name in ("states", "exit_code", "reason", "posts", "failure")}, "words": words, **changes})


def check(story: Story, stub: StubService, ending: Ending) -> None:
    assert (tuple(story.states), story.outcome.exit_code, story.outcome.report.exit_reason) == (ending.states, ending.exit_code, ending.reason)
    assert stub.posts == ending.posts
    assert len(stub.accepted) == len(set(stub.accepted)), "a row was paid for twice"
    if ending.failure is not None:
        failure = story.failure("row0")
        assert failure["kind"] == ending.failure
        assert ending.words in failure["message"]
        assert failure["message"].isprintable()
        assert failure["remedy"]
    assert TOKEN not in json.dumps(story.rows) + " ".join(story.said) + story.outcome.trouble


def case(name: str, act: Act, ending: Ending, *faults: str, rows: int = 3, **settings: Any) -> Any:
    return pytest.param(act, ending, rows, settings, id=name, marks=pytest.mark.fault(*faults))


# ── a submit goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────


def answered(body: Any, ending: Ending, name: str, *faults: str, **more: Any) -> Any:
    return case(name, answer(body, **more), ending, *faults)


SUBMITS = [
    case("reset before the body was read", reset_before_body, says_of(DOUBT, "broke", posts=2), "C3"),
    case("reset after the body", reset_after_body, says_of(DOUBT, "broke"), "C4"),
    case("closed after the body", close_after_body, says_of(DOUBT, "closed before an answer came"), "C4"),
    case("reset after the headers", says(head(200, {"Content-Length": "50"}), then="reset"), says_of(DOUBT, "broke off"), "C4"),
    case("cut within the body", says(head(200, {"Content-Length": "50"}) + b'{"request_id'), says_of(DOUBT, "broke off"), "C6"),
    case("cut without a length", says(head(200) + b'{"request_id": "r0'), says_of(DOUBT, '{"request_id": "r0'), "C6"),
    case("no answer", hang, says_of(DOUBT, "in time", posts=1), "C5", rows=1, submit_timeout_s=1.0),
    case("an answer that drips", drip(b" " * 9000, 0.005), says_of(DOUBT, "in time", posts=1), "C5", rows=1, submit_timeout_s=1.0),
    answered(b"", says_of(DOUBT, "it is empty"), "empty", "C6"),
    answered(PAGE, says_of(DOUBT, "Sign in to this network"), "a page", "C6", "C15"),
    answered(b'{"request_id": oops', says_of(DOUBT, "oops"), "garbled", "C6"),
    answered(b'{"request_id": "\xff\xfe/../\xc3"}', DOUBT, "not UTF-8", "C6"),
    answered(b"[" * 100_000 + b"]" * 100_000, DOUBT, "nested without end", "C6"),
    answered({"request_id": [17]}, says_of(DOUBT, "no usable request_id: {"), "an id of the wrong type", "C6"),
    answered([], DOUBT, "a list", "C6"),
    answered({"id": "r0-1"}, says_of(DOUBT, "no usable request_id"), "no id", "C6"),
    case("gigantic", endless(b" " * 900_000), says_of(DOUBT, "longer than"), "C6"),
    *[
        answered({"request_id": hostile}, says_of(DOUBT, "no usable request_id"), f"the id {hostile[:20]!r}", "D8", "C6")
        for hostile in ("../../v1/balance", "a?b=c", "a\r\nX-Evil: 1", "ré-1", "a/b", "%2e%2e", "r" * 129, "")
    ],
    *[answered(PAGE, says_of(DOUBT, f"answers {status}"), f"{status}", "C7", status=status) for status in (500, 502, 504, 599)],
    answered(b"", says_of(DOUBT, "503"), "503 that says when", "C7", "C8", status=503, headers={"Retry-After": "0"}),
    case("500001 under 200", refused(500001, under_200=True), says_of(DOUBT, "500"), "C7", "X12"),
    answered({"request_id": "r0-1", "error_code": "E_ODD"}, DOUBT, "a code that nobody knows under 200", "X12"),
    case("400001", refused(400001), says_of(REJECTED, "no, says 400001"), "C13", "X12"),
    case("400001 under 200", refused(400001, under_200=True), says_of(REJECTED, "400001"), "C13", "X12"),
    case("400005", refused(400005), REJECTED, "X12"),
    case("403001", refused(403001), REJECTED, "X12"),
    case("404001", refused(404001), REJECTED, "X12"),
    case("404001 under 200", refused(404001, under_200=True), REJECTED, "X12"),
    answered({"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]}, says_of(REJECTED, "body.prompt: too long"), "422", "C13", status=422),
    answered(b"", REJECTED, "413", "C13", status=413),
    answered(b"", REJECTED, "a 403 about this row alone", "C11", status=403),
    answered(b"", says_of(AGAIN, "", posts=4), "408", "C13", status=408),
    answered(b"", says_of(AGAIN, "", posts=4), "429 that says nothing", "C8", status=429),
    *[
        answered(b"", says_of(AGAIN, "", posts=4), f"429 and {value!r}", "C8", status=429, headers={"Retry-After": value})
        for value in ("0", "-7", "0.01", "\xfe soon", formatdate(0, usegmt=True))
    ],
    answered(b"", says_of(AGAIN, "", posts=4), "a proxy that wants a name first", "C15", status=407),
]


@pytest.mark.parametrize(("act", "ending", "rows", "settings"), SUBMITS)
async def test_one_submit_goes_wrong(tmp_path: Path, stub: StubService, act: Act, ending: Ending, rows: int, settings: dict[str, Any]) -> None:
    stub.strike("submit", act)
    story = await run_rows(tmp_path / "out", stub.base, rows, **settings)
    check(story, stub, Ending(**{**vars(ending), "states": ending.states[:rows]}))
    again = await run_rows(tmp_path / "out", stub.base, rows, **settings)
    assert (again.states, stub.posts) == (story.states, ending.posts), "nothing is sent again by itself"
    assert all(
        re.fullmatch(r"/v1/(models/[\w/.-]+|models\?limit=1&offset=0|requests/r\d-1/(status|result\?include_cost=true))|/\d\.png", s.target)
        for s in stub.server.requests
    )


@pytest.mark.fault("C14")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_submit_that_is_redirected_is_in_doubt_and_nobody_else_sees_it(tmp_path: Path, stub: StubService, status: int) -> None:
    async with raw_server() as elsewhere:
        stub.strike("submit", answer(b"", status=status, headers={"Location": f"{elsewhere.url}/v1/models/x"}))
        check(await run_rows(tmp_path / "out", stub.base), stub, says_of(DOUBT, "redirects to 127.0.0.1"))
    assert elsewhere.connections == 0


@pytest.mark.fault("D9")
async def test_addresses_in_answers_are_not_visited(tmp_path: Path, stub: StubService) -> None:
    async with raw_server() as elsewhere:
        links = {name: f"{elsewhere.url}/{name}" for name in ("status_url", "result_url", "cancel_url")}
        stub.strike("submit", answer({"request_id": "r0-1", **links}))
        stub.strike("status", answer({"status": "completed", **links}), row=0)
        check(await run_rows(tmp_path / "out", stub.base, 1), stub, Ending(("done",), posts=1))  # type: ignore[arg-type]
    assert elsewhere.connections == 0


WHOLE_BATCH = [
    *[
        pytest.param(act, "no_balance", 75, "no, says|answers 402", id=name, marks=pytest.mark.fault("C12", "X12"))
        for name, act in {
            "400002": refused(400002),
            "400002 under 200": refused(400002, under_200=True),
            "10001": refused(10001, status=400),
            "by name": answer({"error_code": "InsufficientResources", "message": "no, says it"}, status=400),
            "402": answer(b"", status=402),
        }.items()
    ],
    *[
        pytest.param(act, "token_rejected", 77, "no, says|answers 40[13]", id=name, marks=pytest.mark.fault("C11", "X12"))
        for name, act in {
            "400004": refused(400004),
            "400004 under 200": refused(400004, under_200=True),
            "401": answer(b"", status=401),
            "401 with a page": answer(PAGE, status=401),
            "403": answer(b"", status=403),
        }.items()
    ],
]


@pytest.mark.parametrize(("act", "reason", "exit_code", "words"), WHOLE_BATCH)
async def test_what_is_true_for_every_row_stops_submits_and_fails_none(
    tmp_path: Path, stub: StubService, act: Act, reason: str, exit_code: int, words: str
) -> None:
    good = [stub._submit, stub._submit]
    stub.strike("submit", *good, act, forever=True)
    stub.strike("probe", act, forever=True)
    story = await run_rows(tmp_path / "out", stub.base, 6)
    assert (story.states, story.outcome.exit_code, story.outcome.report.exit_reason) == (["done"] * 2 + ["planned"] * 4, exit_code, reason)
    assert re.search(words, story.outcome.trouble)
    assert stub.posts == 3
    stub._struck.clear()
    resumed = await run_rows(tmp_path / "out", stub.base, 6, resume=True)
    assert (resumed.states, resumed.outcome.exit_code) == (["done"] * 6, 0)
    assert sorted(stub.accepted) == list(range(6))


@pytest.mark.fault("C13")
async def test_a_batch_that_is_refused_from_its_first_row_on_stops(tmp_path: Path, stub: StubService) -> None:
    stub.strike("submit", refused(400001), forever=True)
    story = await run_rows(tmp_path / "out", stub.base, 40)
    assert (story.outcome.exit_code, story.outcome.report.exit_reason) == (75, "all_refused")
    assert "The first 20 submits were refused" in story.outcome.trouble
    assert (story.states.count("failed"), story.states.count("planned"), stub.posts) == (20, 20, 20)
    assert story.outcome.report.cost_usd == 0


@pytest.mark.fault("C16")
async def test_two_rows_that_are_given_one_request_are_held_until_a_person_says_whose_it_is(tmp_path: Path, stub: StubService) -> None:
    stub.strike("submit", stub._submit, answer({"request_id": "r0-1"}))
    stub.strike("status", answer({"status": "in_progress"}), row=0, forever=True)
    story = await run_rows(tmp_path / "out", stub.base)
    assert (story.states, story.outcome.exit_code) == (["in_doubt", "in_doubt", "done"], 1)
    for row in ("row0", "row1"):
        assert "'row0', 'row1'" in story.failure(row)["message"]
        assert story.rows[row]["request_id"] == "r0-1"
    assert sum("r0-1" in said for said in story.said) == 1
    stub._struck.clear()
    settled = await run_rows(tmp_path / "out", stub.base, resume=True, decide=adopt_requests({"row1": "r0-1"}))
    assert settled.states == ["in_doubt", "done", "done"]
    assert stub.posts == 3


# ── the service cannot be reached ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("C1")
@pytest.mark.parametrize("how", ["refused", "no such name", "a black hole"])
async def test_a_service_that_cannot_be_reached_has_seen_nothing(tmp_path: Path, how: str) -> None:
    with black_hole() as port:
        base = {"refused": f"http://127.0.0.1:{free_port()}/v1", "no such name": "http://nothing.invalid/v1"}.get(how, f"http://127.0.0.1:{port}/v1")
        story = await run_rows(tmp_path / "out", base, connect_timeout_s=0.1 if how == "a black hole" else 10, outage_s=0.2)
    assert (story.states, story.outcome.exit_code, story.outcome.report.exit_reason) == (["planned"] * 3, 69, "service_unavailable")
    assert all(row["attempts"] == 0 for row in story.rows.values())
    assert "cannot reach" in story.outcome.trouble


@pytest.mark.fault("C1")
async def test_rows_go_out_once_each_when_the_service_comes_up(tmp_path: Path) -> None:
    server = RawServer()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens yet: connections are refused
        server.port = held.getsockname()[1]
        stub = StubService(server, server.url)
        server.script(stub.serve)
        running = asyncio.create_task(run_rows(tmp_path / "out", stub.base, 8, connect_timeout_s=5, posts_in_flight=8))
        await asyncio.sleep(0.3)
        listener = await asyncio.start_server(server.serve, sock=held.dup())
        story = await running
        listener.close()
        await server.end()
    assert story.states == ["done"] * 8
    assert (sorted(stub.accepted), stub.posts) == (list(range(8)), 8)


@pytest.mark.fault("C14", "C15", "C6")
@pytest.mark.parametrize("act", [answer(PAGE), answer(b"", status=302, headers={"Location": "https://login.example/"})], ids=["a page", "a redirect"])
async def test_a_network_that_answers_in_place_of_the_service_puts_few_rows_in_doubt(tmp_path: Path, stub: StubService, act: Act) -> None:
    stub.strike("submit", act, forever=True)
    stub.strike("probe", act, forever=True)
    story = await run_rows(tmp_path / "out", stub.base, 20, outage_s=1.5)
    assert (story.outcome.exit_code, story.outcome.report.exit_reason) == (69, "service_unavailable")
    assert 1 <= story.states.count("in_doubt") == stub.posts <= 5
    assert story.states.count("planned") == 20 - stub.posts
    assert story.outcome.trouble


# ── the event loop stands still ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("A7")
@pytest.mark.parametrize("call", ["submit", "status", "file"])
async def test_what_blocks_the_event_loop_past_every_deadline_puts_no_row_in_doubt(tmp_path: Path, stub: StubService, call: str) -> None:
    """Of four calls that are under way when something blocks, one is answered, and the others are as soon as nothing blocks any more."""
    deadline_s = 0.3
    well, all_came = getattr(stub, f"_{call}"), asyncio.Event()

    async def wait_for_the_others(exchange: Exchange) -> None:
        await all_came.wait()
        await well(exchange)

    async def answer_and_block(exchange: Exchange) -> None:
        all_came.set()
        await well(exchange)
        time.sleep(1.5 * deadline_s)  # real time, because that is what the deadlines are made of

    stub.strike(call, *[wait_for_the_others] * 3, answer_and_block)
    deadlines = {f"{name}_timeout_s": deadline_s for name in ("submit", "connect", "read")}
    story = await run_rows(tmp_path / "out", stub.base, 8, posts_in_flight=4, **deadlines)
    assert (story.states, story.outcome.exit_code) == (["done"] * 8, 0)
    assert (sorted(stub.accepted), stub.posts) == (list(range(8)), 8)


# ── TLS and proxies ───────────────────────────────────────────────────────────────────────────────────────────────────


def trusting(*, ca: bool) -> ssl.SSLContext:
    """What the client trusts: the CA of the tests, or nobody."""
    context = ssl.create_default_context(cafile=TLS / "ca.pem" if ca else None)
    context.set_alpn_protocols(("http/1.1",))
    return context


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    ("certificate", "ca", "words"),
    [("expired", True, "expired"), ("wrong_host", True, "not valid for 'localhost'"), ("good", False, "TLS failed: "), (None, True, "TLS failed")],
    ids=["expired", "for another host", "of an unknown CA", "no TLS at all"],
)
async def test_who_does_not_prove_to_be_the_service_is_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: str | None, ca: bool, words: str
) -> None:
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting(ca=ca))
    heard = bytearray()
    connections = 0

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" if certificate is None else b"")
        heard.extend(await reader.read())
        writer.close()

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / f"{certificate}.pem")
    listener = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with listener:
        base = f"https://localhost:{listener.sockets[0].getsockname()[1]}/v1"
        story = await run_rows(tmp_path / "out", base)
    assert (story.states, story.outcome.exit_code, story.outcome.report.exit_reason) == (["planned"] * 3, 69, "service_unavailable")
    assert words in story.outcome.trouble
    assert TOKEN.encode() not in heard
    assert connections <= 1, "it is not tried again"


@pytest.mark.fault("C2")
async def test_who_proves_to_be_the_service_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting(ca=True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "good.pem")
    async with stub_service(tls=context) as stub:
        stub.files = f"https://localhost:{stub.server.port}"
        story = await run_rows(tmp_path / "out", f"https://localhost:{stub.server.port}/v1")
    check(story, stub, AGAIN)


@pytest.mark.fault("C15")
async def test_calls_and_downloads_go_through_the_proxy_of_the_environment(
    tmp_path: Path, stub: StubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", stub.server.url)
    stub.files = "http://files.example.test"
    story = await run_rows(tmp_path / "out", "http://api.example.test/v1", allow_hosts=["files.example.test"])
    check(story, stub, AGAIN)
    assert {re.match(r"http://[^/]+", seen.target)[0] for seen in stub.server.requests} == {"http://api.example.test", "http://files.example.test"}  # type: ignore[index]
    for seen in stub.server.requests:
        assert (seen.headers.get("authorization") is not None) == ("//api." in seen.target)


@pytest.mark.fault("C15")
async def test_a_proxy_that_lets_nobody_through_leaves_nothing_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with raw_server(answer(b"", status=407)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        story = await run_rows(tmp_path / "out", "https://api.example.test/v1", outage_s=0.2)
    assert (story.states, story.outcome.exit_code) == (["planned"] * 3, 69)
    assert "the proxy refuses to open a tunnel (407)" in story.outcome.trouble
    assert {seen.method for seen in proxy.requests} == {"CONNECT"}
    assert all(TOKEN not in str(seen) for seen in proxy.requests)


# ── a poll goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────

ONCE = {
    "reset": (reset_after_body, "D7"),
    "closed": (close_after_body, "D7"),
    "no answer": (hang, "D7"),
    "a drip": (drip(b" " * 2000, 0.002), "D7"),
    "cut": (says(head(200, {"Content-Length": "50"}) + b'{"status'), "D7"),
    "empty": (answer(b""), "D5"),
    "a page": (answer(PAGE), "D5"),
    "a page with 404": (answer(PAGE, status=404), "D5"),
    "garbled": (answer(b'{"status": oops'), "D5"),
    "not UTF-8": (answer(b'{"status": "\xff"}'), "D5"),
    "nested without end": (answer(b'{"output": ' + b"[" * 90_000), "D5"),
    "gigantic": (endless(b" " * 900_000), "D5"),
    "a list": (answer([{"status": "completed"}]), "D5"),
    "wrong types": (answer({"status": ["completed"], "queue_position": {}, "output": 17}), "D5"),
    "a word that nobody knows": (answer({"status": "contemplating"}), "D2"),
    "a word in another case": (answer({"status": "In Progress"}), "D2"),
    "no word": (answer({}), "D2"),
    "400005": (refused(400005), "X12"),
    "400005 under 200": (refused(400005, under_200=True), "X12"),
    "500": (answer(b"", status=500), "D7"),
    "503 that says when": (answer(b"", status=503, headers={"Retry-After": "0"}), "D7"),
    "429": (answer(b"", status=429), "D7"),
    "429 in the past": (answer(b"", status=429, headers={"Retry-After": "-1000000000"}), "D7"),
    "500001 under 200": (refused(500001, under_200=True), "X12"),
    "404001, which is not true": (refused(404001), "D3"),
    "400001, which is not true": (refused(400001), "D3"),
    "a redirect": (answer(b"", status=302, headers={"Location": "http://127.0.0.1:1/"}), "D9"),
}


@pytest.mark.parametrize("call", ["status", "result"])
@pytest.mark.parametrize("act", [pytest.param(act, id=name, marks=pytest.mark.fault(fault)) for name, (act, fault) in ONCE.items()])
async def test_a_poll_that_goes_wrong_is_asked_again(tmp_path: Path, stub: StubService, call: str, act: Act) -> None:
    stub.strike(call, act, row=0)
    slow = act in (hang, ONCE["a drip"][0])
    check(await run_rows(tmp_path / "out", stub.base, **({"read_timeout_s": 0.1, "connect_timeout_s": 0.1} if slow else {})), stub, AGAIN)


FOR_EVER = {
    "404001": (refused(404001), LOST),
    "404001 under 200": (refused(404001, under_200=True), LOST),
    "404": (answer(b"", status=404), LOST),
    "410": (answer(b"", status=410), LOST),
    "400001": (refused(400001), LOST),
    "403001": (refused(403001), LOST),
    "403 about this request": (answer(b"", status=403), LOST),
}


@pytest.mark.fault("D3", "D4", "X12")
@pytest.mark.parametrize("call", ["status", "result"])
@pytest.mark.parametrize(("act", "ending"), FOR_EVER.values(), ids=FOR_EVER)
async def test_a_request_that_the_service_no_longer_knows_is_lost_and_never_paid_for_again(
    tmp_path: Path, stub: StubService, call: str, act: Act, ending: Ending
) -> None:
    stub.strike(call, act, row=0, forever=True)
    story = await run_rows(tmp_path / "out", stub.base)
    check(story, stub, ending)
    assert story.rows["row0"]["request_id"] == "r0-1"
    assert (story.outcome.report.cost_usd, story.outcome.report.cost_unknown_rows) == (0.08, 1)
    again = await run_rows(tmp_path / "out", stub.base, resume=True)
    assert (again.states, stub.posts) == (list(ending.states), 3)


@pytest.mark.fault("D4")
@pytest.mark.parametrize("call", ["status", "result"])
async def test_a_result_that_expired_while_the_batch_was_left_alone_says_so(tmp_path: Path, stub: StubService, call: str) -> None:
    stub.strike("status", answer(b"", status=401), forever=True)
    first = await run_rows(tmp_path / "out", stub.base, 1)
    assert (first.states, first.outcome.exit_code) == (["submitted"], 77)
    stub._struck.clear()
    stub.strike(call, refused(404001), forever=True)
    story = await run_rows(tmp_path / "out", stub.base, 1, resume=True)
    assert (story.states, story.failure("row0")["kind"], stub.posts) == (["failed"], "result_lost", 1)
    assert "404001" in story.failure("row0")["message"]


@pytest.mark.fault("C11", "C12", "X12")
@pytest.mark.parametrize("call", ["status", "result"])
@pytest.mark.parametrize(("act", "exit_code"), [(refused(400004), 77), (answer(b"", status=401), 77), (answer(b"", status=403), 77)])
async def test_a_token_revoked_in_the_middle_keeps_every_request(tmp_path: Path, stub: StubService, call: str, act: Act, exit_code: int) -> None:
    stub.strike(call, act, forever=True)
    stub.strike("probe", act, forever=True)
    story = await run_rows(tmp_path / "out", stub.base)
    assert story.outcome.exit_code == exit_code
    assert set(story.states) <= {"submitted", "planned"}
    assert "submitted" in story.states
    stub._struck.clear()
    resumed = await run_rows(tmp_path / "out", stub.base, resume=True)
    assert resumed.states == ["done"] * 3
    assert sorted(stub.accepted) == [0, 1, 2]


@pytest.mark.fault("C12", "X12")
async def test_no_balance_on_a_poll_collects_what_was_paid_for(tmp_path: Path, stub: StubService) -> None:
    stub.strike("status", refused(400002), row=0)
    stub.strike("submit", stub._submit, hang, forever=False)
    story = await run_rows(tmp_path / "out", stub.base, 1)
    assert (story.states, stub.posts) == (["done"], 1)


# ── what came of it ───────────────────────────────────────────────────────────────────────────────────────────────────


def came(**result: Any) -> Act:
    return answer(json.dumps({"status": "succeeded", **result}).encode(), headers=JSON)


OUTCOMES = [
    pytest.param(came(), "bad_result", "no output", id="no output", marks=pytest.mark.fault("X13", "D5")),
    pytest.param(came(output=None), "bad_result", "no output", id="null", marks=pytest.mark.fault("X13", "D5")),
    pytest.param(came(output={}), "bad_result", '"output": {}', id="an empty object", marks=pytest.mark.fault("X13", "D5")),
    pytest.param(came(output=""), "bad_result", "no output", id="an empty text", marks=pytest.mark.fault("X13", "D5")),
    pytest.param(came(output=[None, 17, [], {}]), "bad_result", "17", id="no links", marks=pytest.mark.fault("D5")),
    pytest.param(came(output=float("nan")), "bad_result", "NaN", id="NaN", marks=pytest.mark.fault("D5")),
    pytest.param(
        came(output={"image": {"image": {"url": {"url": {"url": {}}}}}}), "bad_result", "no output", id="nested", marks=pytest.mark.fault("D5")
    ),
    pytest.param(came(output={"text": TOKEN}), "bad_result", "***", id="an echo of the token", marks=pytest.mark.fault("D5")),
    pytest.param(
        came(output={"images": [f"https://x.runcomfy.net/{n}" for n in range(1001)]}), "bad_result", "1,001 files", id="1,001 files",
        marks=pytest.mark.fault("D5", "E10"),
    ),
    pytest.param(answer({"status": "failed", "error": "NSFW"}), "generation_failed", "NSFW", id="variant A", marks=pytest.mark.fault("X13", "D6")),
    pytest.param(answer({"status": "failed"}), "generation_failed", "gives no reason", id="no reason", marks=pytest.mark.fault("X13", "D6")),
    pytest.param(
        answer({"status": "failed", "error": [{"errorCode": 7, "error": "a\x1b[2J", "debugInfo": "x" * 9999}]}), "generation_failed", "7: a [2J",
        id="an error in pieces", marks=pytest.mark.fault("X13", "D6"),
    ),
    pytest.param(answer({"status": "cancelled"}), "cancelled", "was cancelled", id="cancelled", marks=pytest.mark.fault("D6")),
]  # fmt: skip


@pytest.mark.parametrize(("act", "kind", "words"), OUTCOMES)
async def test_a_result_that_is_none_is_said_so_and_not_paid_for_again(tmp_path: Path, stub: StubService, act: Act, kind: str, words: str) -> None:
    stub.strike("result", act, row=0, forever=True)
    state = "cancelled" if kind == "cancelled" else "failed"
    story = await run_rows(tmp_path / "out", stub.base)
    check(story, stub, Ending((state, "done", "done"), 1, failure=kind, words=words))
    assert len(story.failure("row0")["message"]) < 700
    assert not story.rows["row0"]["files"]


@pytest.mark.fault("X13", "D6")
@pytest.mark.parametrize("word", ["failed", "FAILED"])
async def test_a_failure_that_the_status_tells_is_variant_b(tmp_path: Path, stub: StubService, word: str) -> None:
    stub.strike("status", answer({"status": word}), row=0, forever=True)
    stub.strike("result", answer({"status": "failed", "error": {"message": "too bright"}, "cost": 0.04}), row=0, forever=True)
    story = await run_rows(tmp_path / "out", stub.base)
    check(story, stub, Ending(("failed", "done", "done"), 1, failure="generation_failed", words="too bright"))
    assert story.outcome.report.cost_usd == pytest.approx(0.12)


@pytest.mark.fault("X13")
@pytest.mark.parametrize(
    "shape",
    [
        lambda link: link,
        lambda link: [link],
        lambda link: {"url": link},
        lambda link: {"image": {"url": link}},
        lambda link: {"images": [{"url": link, "width": 48}]},
        lambda link: {"image": f"  {link}\n", "seed": 7, "video": None},
    ],
    ids=["text", "list", "url", "nested", "objects in a list", "with more beside"],
)
async def test_an_output_of_any_shape_is_found(tmp_path: Path, stub: StubService, shape: Any) -> None:
    stub.outputs = {0: shape(f"{stub.files}/0.png")}
    check(await run_rows(tmp_path / "out", stub.base), stub, AGAIN)


@pytest.mark.fault("X14")
@pytest.mark.parametrize(
    ("cost", "known"), [({}, None), ({"cost": None}, None), ({"cost": "0.25"}, 0.25), ({"cost": -3}, None), ({"cost": [1]}, None)]
)
async def test_a_cost_that_is_late_or_odd_is_not_known_and_said_so(
    tmp_path: Path, stub: StubService, cost: dict[str, Any], known: float | None
) -> None:
    stub.strike("result", came(output={"image": f"{stub.files}/0.png"}, **cost), row=0, forever=True)
    story = await run_rows(tmp_path / "out", stub.base)
    check(story, stub, AGAIN)
    assert story.rows["row0"]["cost_usd"] == known
    assert story.outcome.report.cost_usd == pytest.approx(0.08 + (known or 0.0))
    assert story.outcome.report.cost_unknown_rows == (known is None)


@pytest.mark.fault("D1", "X11")
@pytest.mark.parametrize("word", ["in_queue", "in_progress"])
async def test_a_request_that_does_not_end_stalls_and_is_collected_when_it_has(tmp_path: Path, stub: StubService, word: str) -> None:
    stub.strike("status", answer({"status": word}), row=0, forever=True)
    story = await run_rows(tmp_path / "out", stub.base, job_timeout_s=1.6)
    assert (story.states[0], story.outcome.exit_code, stub.posts) == ("failed", 1, 3)
    assert story.failure("row0")["kind"] == "stalled"
    assert "--failed" in story.failure("row0")["remedy"]
    assert any("row0" in said and "r0-1" in said for said in story.said)
    stub._struck.clear()
    collected = await run_rows(tmp_path / "out", stub.base, resume=True, decide=retry_ended([State.FAILED]))
    assert (collected.states, stub.posts) == (["done"] * 3, 3)


# ── a cancel goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────

CANCELS = {
    "reset": reset_after_body,
    "closed": close_after_body,
    "no answer": hang,
    "empty": answer(b""),
    "a page": answer(PAGE),
    "garbled": answer(b"{"),
    "not cancellable": answer({"outcome": "not_cancellable", "status": "cancelled"}, status=202),
    "a word that nobody knows": answer({"outcome": "perhaps"}, status=202),
    "500": answer(b"", status=500),
    "429": answer(b"", status=429),
    "400001": refused(400001),
    "404001 under 200": refused(404001, under_200=True),
    "a redirect": answer(b"", status=307, headers={"Location": "http://127.0.0.1:1/"}),
}


def stopping(stopper: Stopper) -> Act:
    async def act(exchange: Exchange) -> None:
        stopper.stop(ExitReason.INTERRUPTED)
        await answer({"status": "in_queue", "queue_position": 1})(exchange)

    return act


@pytest.mark.fault("X15")
@pytest.mark.parametrize("act", CANCELS.values(), ids=CANCELS)
async def test_what_ends_while_it_is_being_cancelled_is_collected(tmp_path: Path, stub: StubService, act: Act) -> None:
    stopper = Stopper()
    stub.strike("status", stopping(stopper))
    stub.strike("cancel", act, forever=True)
    story = await run_rows(tmp_path / "out", stub.base, 1, stopper=stopper, grace_s=60, **({"read_timeout_s": 0.2} if act is hang else {}))
    assert (story.states, story.outcome.exit_code, stub.posts) == (["done"], 0, 1)
    assert stub.calls("cancel") >= 1
    assert story.outcome.report.cost_usd == pytest.approx(0.04)


@pytest.mark.fault("X15")
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "its answer lost"])
async def test_what_a_stop_took_back_goes_out_again_with_the_next_run(tmp_path: Path, stub: StubService, heard: bool) -> None:
    stopper = Stopper()
    stub.strike("status", stopping(stopper), answer({"status": "canceled"}))
    stub.strike("cancel", answer({"outcome": "cancelled"}, status=202) if heard else reset_after_body)
    story = await run_rows(tmp_path / "out", stub.base, 1, stopper=stopper, grace_s=60)
    assert (story.states, story.outcome.exit_code) == (["planned"], 130)
    stub._struck.clear()
    assert (await run_rows(tmp_path / "out", stub.base, 1, resume=True)).states == ["done"]
    assert stub.posts == 2
