import asyncio
import json
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from yarl import URL

from batcher.simulator import Simulator, SimulatorSettings

TEXT = "google/nano-banana-2-lite/text-to-image"
ME = {"Authorization": "Bearer me"}


class Caller:
    def __init__(self, simulator, session):
        self.simulator, self.session = simulator, session

    def submit(self, prompt="a mug"):
        return self.session.post(f"{self.simulator.base_url}/models/{TEXT}", headers=ME, json={"prompt": prompt})

    def get(self, url, **options):
        return self.session.get(url, headers=ME, allow_redirects=False, **options)

    async def accepted(self):
        async with self.submit() as answer:
            return await answer.json()

    async def link(self):
        async with self.get((await self.accepted())["result_url"]) as answer:
            return (await answer.json())["output"]["image"]


@pytest.fixture
async def caller(request):
    settings = {"latency_s": 0, "art": "plain", **request.param}
    async with Simulator(SimulatorSettings(**settings)) as simulator, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield Caller(simulator, session)


def faulty(*faults, **settings):
    return pytest.mark.parametrize("caller", [{"faults": faults, **settings}], indirect=True)


async def told(answering):
    async with answering as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ({"faults": ["submit:429"]}, (429, {"detail": "Too Many Requests"})),
        ({"faults": ["submit:599:message=so it goes"]}, (599, {"detail": "so it goes"})),
        ({"faults": ["submit:400002"]}, (400, {"error_code": 400002, "error_message": "InsufficientResources"})),
        ({"faults": ["submit:400004:under_200=true"]}, (200, {"error_code": 400004, "error_message": "UserAccountError"})),
        ({"faults": ["submit:400005"], "errors_under_200": True}, (200, {"error_code": 400005, "error_message": "ResultNotReady"})),
        ({"faults": ["submit:403001"], "error_style": "code"}, (403, {"code": 403001, "message": "PermissionDeniedError"})),
        ({"faults": ["submit:422"]}, (422, {"detail": [{"loc": ["body", "prompt"], "msg": "simulated", "type": "value_error"}]})),
    ],
    indirect=["caller"],
)
async def test_a_refusal_accepts_nothing(caller, expected):
    assert await told(caller.submit()) == expected
    assert caller.simulator.bill().accepted == 0


@faulty("submit:500:nth=1,body=<html>", "submit:502:nth=2,accepted=true")
async def test_an_error_can_hide_that_the_request_was_accepted(caller):
    async with caller.submit() as answer:
        assert (answer.status, await answer.text()) == (500, "<html>")
    assert caller.simulator.bill().accepted == 0
    async with caller.submit() as answer:
        assert answer.status == 502
    assert caller.simulator.bill().accepted == 1
    assert caller.simulator.bill().faults == {"submit:500": 1, "submit:502": 1}


@faulty("submit:429:nth=1,retry_after=2", "submit:503:nth=2,retry_after_date_s=60", "submit:429:nth=3,retry_after=soon, please")
async def test_retry_after_comes_in_every_form(caller):
    async with caller.submit() as answer:
        assert answer.headers["Retry-After"] == "2"
    async with caller.submit() as answer:
        assert 50 < parsedate_to_datetime(answer.headers["Retry-After"]).timestamp() - time.time() < 70
    async with caller.submit() as answer:
        assert answer.headers["Retry-After"] == "soon, please"
    assert (await told(caller.submit()))[0] == 200


@pytest.mark.parametrize(
    ("caller", "accepted"), [({"faults": ["submit:reset"]}, 0), ({"faults": ["submit:reset:accepted=true"]}, 1)], indirect=["caller"]
)
async def test_a_connection_is_reset_before_or_after_acceptance(caller, accepted):
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.submit()
    assert caller.simulator.bill().accepted == accepted


@pytest.mark.parametrize(
    ("caller", "accepted"), [({"faults": ["submit:hang"]}, 0), ({"faults": ["submit:hang:accepted=true"]}, 1)], indirect=["caller"]
)
async def test_no_answer_comes(caller, accepted):
    with pytest.raises(TimeoutError):
        await told(
            caller.session.post(f"{caller.simulator.base_url}/models/{TEXT}", headers=ME, json={"prompt": "x"}, timeout=aiohttp.ClientTimeout(0.1))
        )
    assert caller.simulator.bill().accepted == accepted


@faulty("submit:hang:delay_s=0.02")
async def test_a_hang_can_end_in_a_reset(caller):
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.submit()


@faulty("submit:delay:delay_s=0.05")
async def test_a_late_answer_is_whole(caller):
    started = time.monotonic()
    answers = await asyncio.gather(*(told(caller.submit(str(n))) for n in range(4)))
    assert time.monotonic() - started >= 0.05
    assert {status for status, _ in answers} == {200}
    assert caller.simulator.bill().peak_in_flight["submit"] == 4


@faulty("submit:slow:delay_s=0.001,size_bytes=50")
async def test_a_dripping_answer_is_whole(caller):
    status, answer = await told(caller.submit())
    assert (status, set(answer)) == (200, {"request_id", "status_url", "result_url", "cancel_url"})


@faulty("download:truncated:keep=0.5")
async def test_a_truncated_download_is_shorter_than_announced(caller):
    with pytest.raises(aiohttp.ClientPayloadError):
        async with caller.session.get(await caller.link()) as answer:
            await answer.read()


@faulty("submit:truncated")
async def test_a_truncated_answer_was_accepted(caller):
    with pytest.raises(aiohttp.ClientPayloadError):
        await told(caller.submit())
    assert caller.simulator.bill().accepted == 1


@faulty("download:cut:nth=1,keep=0.5", "download:flipped:nth=3")
async def test_a_cut_or_flipped_download_looks_like_any_other(caller):
    link = await caller.link()

    async def fetched():
        async with caller.session.get(link) as answer:
            return await answer.read()

    cut, whole, flipped = await fetched(), await fetched(), await fetched()
    assert cut == whole[: len(whole) // 2]
    assert len(flipped) == len(whole)
    assert sum(a != b for a, b in zip(flipped, whole, strict=True)) == 1


@faulty("download:wrong-length")
async def test_a_body_can_be_longer_than_announced(caller):
    link = URL(await caller.link())
    reader, writer = await asyncio.open_connection(link.host, link.port)
    writer.write(f"GET {link.path} HTTP/1.1\r\nHost: {link.host}\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert f"Content-Length: {len(body) // 2}".encode() in head
    assert body.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize(
    ("caller", "content"),
    [
        ({"faults": ["status:empty"]}, b""),
        ({"faults": ["status:html"]}, b"<!DOCTYPE html>"),
        ({"faults": ["status:garbled"]}, b'{"request_id": oops'),
        ({"faults": ["status:not-utf8"]}, b'{"request_id": "\xff'),
        ({"faults": ["status:deep"]}, b"[[[[[["),
    ],
    indirect=["caller"],
)
async def test_an_answer_comes_that_is_no_json(caller, content):
    async with caller.get((await caller.accepted())["status_url"]) as answer:
        body = await answer.read()
        assert answer.status == 200
    assert body.startswith(content)
    with pytest.raises((ValueError, RecursionError)):
        json.loads(body)


@faulty("submit:html:accepted=false")
async def test_a_portal_in_between_accepts_nothing(caller):
    async with caller.submit() as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert caller.simulator.bill().accepted == 0


@faulty(
    "submit:wrong-types",
    'status:set:field=status,value=["x"]',
    "status:unknown-word",
    "result:no-output:nth=1",
    "result:set:nth=2,field=output.image,value=http://10.0.0.1/x",
)
async def test_an_answer_comes_with_wrong_contents(caller):
    _, answer = await told(caller.submit())
    assert answer == {"request_id": [17], "status_url": [17], "result_url": [17], "cancel_url": [17]}
    request_id = caller.simulator.requests()[0]["request_id"]
    base = f"{caller.simulator.base_url}/requests/{request_id}"
    assert (await told(caller.get(f"{base}/status")))[1]["status"] == ["x"]
    _, result = await told(caller.get(f"{base}/result"))
    assert (result["status"], "output" in result) == ("succeeded", False)
    assert (await told(caller.get(f"{base}/result")))[1]["output"] == {"image": "http://10.0.0.1/x"}


@faulty("status:unknown-word:nth=1", "status:unknown-word:nth=2,word=baking")
async def test_a_status_word_that_nobody_knows(caller):
    url = (await caller.accepted())["status_url"]
    assert [(await told(caller.get(url)))[1]["status"] for _ in range(3)] == ["contemplating", "baking", "completed"]


@faulty("balance:wrong-types", "catalog:set:field=models,value=3")
async def test_other_calls_can_be_spoilt_too(caller):
    origin = caller.simulator.base_url.removesuffix("/v1")
    _, balance = await told(caller.get(f"{origin}/prod/v2/balance"))
    assert balance == {"balance_usd": {"unexpected": True}, "balance_microdollars": {"unexpected": True}, "currency": [17]}
    assert (await told(caller.get(f"{caller.simulator.base_url}/models")))[1]["models"] == 3


@faulty("download:gzip:nth=1", "download:gzip-truncated:nth=2")
async def test_a_body_can_come_compressed_without_being_asked(caller):
    link = await caller.link()
    async with caller.session.get(link) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (await answer.read()).startswith(b"\x89PNG")
    async with caller.session.get(link) as answer:
        assert len(await answer.read()) < 184


@faulty("download:too-large", "download:endless")
async def test_a_download_can_be_too_large(caller):
    link = await caller.link()
    async with caller.session.get(link) as answer:
        assert answer.content_length == 3 * 2**30
        await answer.content.readexactly(2**20)
        answer.close()


@faulty("download:too-large:size_bytes=200000,nth=1", "download:endless")
async def test_a_large_download_ends_where_it_said_and_an_endless_one_does_not(caller):
    link = await caller.link()
    async with caller.session.get(link) as answer:
        assert len(await answer.read()) == 200_000
    async with caller.session.get(link) as answer:
        assert answer.content_length is None
        await answer.content.readexactly(2**20)
        answer.close()


@faulty("download:redirect:nth=1,to=http://169.254.169.254/", "submit:redirect:to=/elsewhere,status=307")
async def test_a_redirect_leads_elsewhere_and_accepts_nothing(caller):
    async with caller.session.post(f"{caller.simulator.base_url}/models/{TEXT}", headers=ME, json={"prompt": "x"}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "/elsewhere")
    assert caller.simulator.bill().accepted == 0
    async with caller.session.get(f"{caller.simulator.base_url.removesuffix('/v1')}/files/x/y", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "http://169.254.169.254/")


@faulty("download:403:first=1,per=request", "status:500:contains=LAMP")
async def test_rules_see_the_request_behind_every_call(caller):
    link = await caller.link()
    for expected in (403, 200):
        async with caller.session.get(link) as answer:
            assert answer.status == expected
    for prompt, expected in (("a red lamp", 500), ("a mug", 200)):
        _, accepted = await told(caller.submit(prompt))
        assert (await told(caller.get(accepted["status_url"])))[0] == expected


@faulty("submit:500:contains=lámpara")
async def test_rules_search_a_body_as_text_and_not_as_bytes(caller):
    assert (await told(caller.submit("una LÁMPARA")))[0] == 500
    assert (await told(caller.submit("una mesa")))[0] == 200
    async with caller.session.post(f"{caller.simulator.base_url}/models/{TEXT}", headers=ME, data="{lámpara".encode()) as answer:
        assert answer.status == 500


@faulty('generation:fail:variant=B,error="too bright"')
async def test_a_generation_fails_with_the_error_that_was_asked_for(caller):
    accepted = await caller.accepted()
    assert (await told(caller.get(accepted["status_url"])))[1]["status"] == "failed"
    _, result = await told(caller.get(accepted["result_url"]))
    assert (result["status"], result["error"]) == ("failed", "too bright")


@faulty("submit:hang:contains=hang", "download:endless", "status:slow:delay_s=100")
@pytest.mark.parametrize("call", ["submit", "status", "download"])
async def test_it_comes_down_quickly_whatever_hangs(caller, call):
    request_id = (await caller.accepted())["request_id"]
    base_url = caller.simulator.base_url
    urls = {"status": f"{base_url}/requests/{request_id}/status", "download": f"{base_url.removesuffix('/v1')}/files/{request_id}/output.png"}

    async def read(answering):
        async with answering as answer:
            await answer.read()

    hanging = asyncio.create_task(read(caller.submit("hang") if call == "submit" else caller.get(urls[call])))
    while caller.simulator.bill().calls.get(call, 0) < (2 if call == "submit" else 1):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    started = time.monotonic()
    await caller.simulator.__aexit__(None, None, None)
    assert time.monotonic() - started < 0.9
    with pytest.raises((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        await hanging
