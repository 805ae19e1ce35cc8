import asyncio
import base64
import subprocess
import sys

import aiohttp
import pytest

from batcher.simulator import Simulator, SimulatorError, SimulatorSettings, serve

TEXT = "google/nano-banana-2-lite/text-to-image"
EDIT = "blackforestlabs/flux-1-kontext/max/edit"
ME = {"Authorization": "Bearer me"}


class Time:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Caller:
    """A client of one simulator whose clock stands still until it is moved."""

    def __init__(self, simulator, session, time):
        self.simulator, self.session, self.time = simulator, session, time
        self.origin = simulator.base_url.removesuffix("/v1")

    async def call(self, method, path, headers=ME, **options):
        url = path if path.startswith("http") else f"{self.origin}{path}"
        async with self.session.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def submit(self, prompt="a mug", model=TEXT, headers=ME, **fields):
        return await self.call("POST", f"/v1/models/{model}", headers, json={"prompt": prompt, **fields})

    async def get(self, path, headers=ME):
        return await self.call("GET", path, headers)


@pytest.fixture
async def caller(request):
    settings = {"latency_s": 10, "sigma": 0, "slots": 1, "art": "plain", **getattr(request, "param", {})}
    time = Time()
    async with Simulator(SimulatorSettings(**settings), clock=time) as simulator, aiohttp.ClientSession() as session:
        yield Caller(simulator, session, time)


def behaving(**settings):
    return pytest.mark.parametrize("caller", [settings], indirect=True)


async def test_a_request_goes_all_the_way(caller):
    status, accepted = await caller.submit()
    assert status == 200
    assert set(accepted) == {"request_id", "status_url", "result_url", "cancel_url"}
    assert all(accepted[name].startswith(caller.simulator.base_url) for name in ("status_url", "result_url", "cancel_url"))
    assert (await caller.get(accepted["status_url"]))[1]["status"] == "in_progress"
    caller.time.now += 10
    assert (await caller.get(accepted["status_url"]))[1]["status"] == "completed"
    status, result = await caller.get(accepted["result_url"] + "?include_cost=true")
    assert (status, result["status"], result["cost"]) == (200, "succeeded", 0.036)
    async with caller.session.get(result["output"]["image"]) as answer:
        assert answer.status == 200
        assert answer.content_type == "image/png"
        assert (await answer.read()).startswith(b"\x89PNG")


async def test_links_point_where_the_client_addressed_the_simulator(caller):
    _, accepted = await caller.submit(headers={**ME, "Host": "simulator.test:8080"})
    assert accepted["status_url"].startswith("http://simulator.test:8080/v1/requests/")


async def test_a_queue_with_falling_positions_and_cancelling(caller):
    first, second, third = [(await caller.submit(prompt))[1] for prompt in ("one", "two", "three")]
    assert [(await caller.get(one["status_url"]))[1].get("queue_position") for one in (first, second, third)] == [None, 1, 2]
    status, cancelled = await caller.call("POST", second["cancel_url"])
    assert (status, cancelled["outcome"], cancelled["status"]) == (202, "cancelled", "cancelled")
    assert (await caller.get(third["status_url"]))[1]["queue_position"] == 1
    status, refused = await caller.call("POST", first["cancel_url"])
    assert (status, refused["outcome"]) == (202, "not_cancellable")


async def test_refusals_carry_the_codes_of_the_service(caller):
    _, accepted = await caller.submit()
    assert (await caller.submit(model="no/such/model"))[1]["error_code"] == 400001
    assert await caller.get("/v1/requests/unknown/status") == (404, {"error_code": 404001, "error_message": "there is no request 'unknown'"})
    status, foreign = await caller.get(accepted["status_url"], {"Authorization": "Bearer you"})
    assert (status, foreign["error_code"]) == (403, 403001)
    status, invalid = await caller.submit(colour="red")
    assert (status, invalid["detail"][0]["loc"]) == (422, ["body", "colour"])
    status, nothing = await caller.get("/v1/nothing/here")
    assert (status, nothing) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"prompt": NaN}', b"[" * 100_000, b'{"prompt":"x","seed":' + b"9" * 5000 + b"}"])
async def test_a_body_that_is_no_json_is_a_422(caller, content):
    status, answer = await caller.call("POST", f"/v1/models/{TEXT}", data=content)
    assert (status, answer["detail"][0]["type"]) == (422, "json_invalid")


@behaving(max_body_bytes=2000)
async def test_a_body_that_is_too_large_is_a_413(caller):
    status, answer = await caller.submit("x" * 3000)
    assert (status, answer) == (413, {"detail": "Request Entity Too Large"})
    assert caller.simulator.bill().accepted == 0


@behaving(balance_usd=0.05)
async def test_the_balance_runs_out(caller):
    assert (await caller.submit("one"))[0] == 200
    status, refused = await caller.submit("two")
    assert (status, refused["error_code"]) == (400, 400002)
    assert await caller.get("/prod/v2/balance") == (200, {"balance_usd": 0.014, "balance_microdollars": 14000, "currency": "USD"})


@pytest.mark.parametrize(
    ("caller", "status", "code"),
    [({}, 400, 400004), ({"auth_failure": 401}, 401, None), ({"auth_failure": 402}, 402, None), ({"auth_failure": 403}, 403, None)],
    indirect=["caller"],
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic abc"}])
async def test_a_missing_token_is_refused_on_every_call(caller, status, code, headers):
    for answer in (
        await caller.submit(headers=headers),
        await caller.get("/v1/requests/x/status", headers),
        await caller.get("/v1/requests/x/result", headers),
        await caller.call("POST", "/v1/requests/x/cancel", headers),
        await caller.get("/v1/models", headers),
        await caller.get(f"/v1/models/{TEXT}", headers),
        await caller.get("/prod/v2/balance", headers),
    ):
        assert (answer[0], answer[1].get("error_code")) == (status, code)
    assert caller.simulator.bill().accepted == 0


@behaving(token="right")
async def test_one_token_alone_can_be_accepted(caller):
    assert (await caller.submit())[1]["error_code"] == 400004
    assert (await caller.submit(headers={"Authorization": "Bearer right"}))[0] == 200


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ({"errors_under_200": True}, (200, {"error_code": 404001, "error_message": "there is no request 'x'"})),
        ({"error_style": "code"}, (404, {"code": 404001, "message": "there is no request 'x'"})),
        ({"error_style": "detail"}, (404, {"detail": "there is no request 'x'"})),
    ],
    indirect=["caller"],
)
async def test_errors_come_in_every_shape_that_was_seen(caller, expected):
    assert await caller.get("/v1/requests/x/result") == expected


@behaving(submits_per_s=2)
async def test_submits_can_be_limited(caller):
    assert [(await caller.submit(str(n)))[0] for n in range(3)] == [200, 200, 429]
    async with caller.session.post(f"{caller.origin}/v1/models/{TEXT}", headers=ME, json={"prompt": "x"}) as answer:
        assert answer.headers["Retry-After"] == "1"
    caller.time.now += 1
    assert (await caller.submit("later"))[0] == 200
    assert caller.simulator.bill().accepted == 3


@behaving(capacity=2, slots=1, latency_s=10.0, sigma=0)
async def test_requests_at_once_can_be_limited(caller):
    assert [(await caller.submit(str(n)))[0] for n in range(3)] == [200, 200, 429]
    async with caller.session.post(f"{caller.origin}/v1/models/{TEXT}", headers=ME, json={"prompt": "x"}) as answer:
        assert answer.headers["Retry-After"] == "1"
    caller.time.now += 10
    assert [(await caller.submit(str(n)))[0] for n in range(3, 5)] == [200, 429]
    assert caller.simulator.bill().accepted == 3


@behaving(early_result=400005)
async def test_an_early_result_can_be_an_error(caller):
    _, accepted = await caller.submit()
    status, answer = await caller.get(accepted["result_url"])
    assert (status, answer["error_code"]) == (400, 400005)


async def test_the_catalog_can_be_searched_and_paged(caller):
    _, everything = await caller.get("/v1/models")
    assert everything["total"] == len(everything["models"]) == 11
    assert (everything["limit"], everything["offset"]) == (50, 0)
    assert "input_schema" not in everything["models"][0]
    _, kontext = await caller.get("/v1/models?search=Kontext%20max&include_schema=true")
    assert [model["model_id"] for model in kontext["models"]] == [EDIT]
    assert kontext["models"][0]["input_schema"]["required"] == ["prompt", "image_url"]
    assert {model["kind"] for model in (await caller.get("/v1/models?kind=text-to-video"))[1]["models"]} == {"text-to-video"}
    assert (await caller.get("/v1/models?category=video"))[1]["total"] == 3
    _, page = await caller.get("/v1/models?limit=2&offset=10")
    assert (len(page["models"]), page["total"]) == (1, 11)
    assert (await caller.get("/v1/models?limit=many"))[0] == 422


@behaving(prices={EDIT: 0.5})
async def test_one_model_is_shown_with_its_schema_and_its_price(caller):
    status, model = await caller.get(f"/v1/models/{EDIT}")
    assert (status, model["model_id"], model["base_price_usd"], model["price_unit"]) == (200, EDIT, 0.5, "image")
    assert model["input_schema"]["properties"]["seed"]["default"] == 40123778
    assert (await caller.get("/v1/models/no/such"))[1]["error_code"] == 400001


@behaving(link_lifetime_s=60, expired_link_status=404)
async def test_links_expire_and_another_result_gives_new_ones(caller):
    _, accepted = await caller.submit()
    caller.time.now += 10
    old = (await caller.get(accepted["result_url"]))[1]["output"]["image"]
    caller.time.now += 60
    new = (await caller.get(accepted["result_url"]))[1]["output"]["image"]
    for link, expected in ((old, 404), (new, 200)):
        async with caller.session.get(link) as answer:
            assert answer.status == expected


@behaving(retention_s=60)
async def test_requests_are_forgotten(caller):
    _, accepted = await caller.submit()
    caller.time.now += 70
    assert (await caller.get(accepted["result_url"]))[1]["error_code"] == 404001


async def test_files_that_are_not_there_are_a_404(caller):
    _, accepted = await caller.submit()
    path = f"/files/{accepted['request_id']}/output.png"
    assert (await caller.get(path))[0] == 404
    caller.time.now += 10
    assert (await caller.get(path.replace(".png", ".exe")))[0] == 404
    assert (await caller.get("/files/unknown/output.png"))[0] == 404


@behaving(outputs=3)
async def test_a_request_can_bring_several_files_that_differ(caller):
    _, accepted = await caller.submit()
    caller.time.now += 10
    links = (await caller.get(accepted["result_url"]))[1]["output"]["images"]
    contents = set()
    for link in links:
        async with caller.session.get(link) as answer:
            contents.add(await answer.read())
    assert len(links) == len(contents) == 3


@behaving(accept_data_uris=False)
async def test_data_uris_can_be_refused(caller):
    uri = "data:image/png;base64," + base64.b64encode(b"x").decode()
    assert (await caller.submit(model=EDIT, image_url=uri))[0] == 422
    assert (await caller.submit(model=EDIT, image_url="https://example.com/a.png"))[0] == 200


async def test_the_bill_is_the_same_in_process_and_over_http(caller):
    for prompt in ("one", "two", "two"):
        await caller.submit(prompt)
    await caller.submit(colour="red")
    async with caller.session.get(f"{caller.origin}/files/x/y", headers=ME):
        pass
    bill = caller.simulator.bill()
    assert (bill.accepted, bill.distinct_bodies, bill.charged_usd, bill.cancelled) == (3, 2, 0.108, 0)
    assert bill.calls == {"submit": 4, "download": 1}
    assert bill.downloads_with_credentials == 1
    status, shown = await caller.get("/_simulator/bill", {})
    assert (status, shown["accepted"], shown["calls"]) == (200, 3, {"submit": 4, "download": 1})
    assert len(shown["duplicates"][0]["request_ids"]) == 2
    _, requests = await caller.get("/_simulator/requests", {})
    assert requests == caller.simulator.requests()
    assert [one["state"] for one in requests] == ["in_progress", "in_queue", "in_queue"]


async def test_the_same_seed_and_the_same_calls_give_the_same_everything():
    async def run():
        told = []
        time = Time()
        async with Simulator(SimulatorSettings(art="plain", seed=5), clock=time) as simulator, aiohttp.ClientSession() as session:
            caller = Caller(simulator, session, time)
            for prompt in ("one", "two", "two"):
                _, accepted = await caller.submit(prompt)
                time.now += 1_000
                _, result = await caller.get(accepted["result_url"])
                async with session.get(result["output"]["image"]) as answer:
                    told.append((accepted["request_id"], result["finished_at"], await answer.read()))
        return told

    assert await run() == await run()


async def test_it_listens_on_loopback_only_unless_told():
    with pytest.raises(SimulatorError, match="not loopback"):
        Simulator(host="0.0.0.0")
    async with Simulator(host="0.0.0.0", allow_remote=True) as simulator:
        assert simulator.base_url.startswith("http://0.0.0.0:")


async def test_a_port_that_is_taken_is_told():
    async with Simulator() as simulator:
        port = int(simulator.base_url.split(":")[2].split("/")[0])
        with pytest.raises(SimulatorError, match="choose another port"):
            async with Simulator(port=port):
                pass


async def test_before_it_is_up_there_is_nothing_to_ask():
    simulator = Simulator()
    with pytest.raises(SimulatorError, match="not up"):
        simulator.base_url  # noqa: B018
    with pytest.raises(SimulatorError, match="has not been up"):
        simulator.bill()
    async with simulator:
        pass
    assert simulator.bill().accepted == 0


async def test_serving_announces_the_address_and_goes_on_until_cancelled():
    told = asyncio.Queue()
    task = asyncio.create_task(serve(SimulatorSettings(), host="127.0.0.1", port=0, state_dir=None, announce=told.put_nowait))
    base_url = await told.get()
    async with aiohttp.ClientSession() as session, session.get(f"{base_url}/models", headers=ME) as answer:
        assert answer.status == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(base_url)


def test_importing_it_brings_no_pictures():
    code = "import sys, batcher.simulator; print([name for name in sys.modules if 'pictures' in name or name.startswith(('PIL', 'numpy'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
