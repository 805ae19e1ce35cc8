from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from batcher.errors import TokenError, UsageError
from batcher.providers.runcomfy import DEFAULT_BASE, RunComfy, balance_url, open_runcomfy
from batcher.settings import RunSettings


class FixedClock:
    def now(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        return event.is_set()


async def opened(base: str = DEFAULT_BASE, token: str = "t0ken-of-mine") -> RunComfy:
    async with open_runcomfy(base, token, RunSettings(), clock=FixedClock(), version="1.2.3") as runcomfy:
        return runcomfy


@pytest.mark.parametrize(
    ("base", "balance"),
    [
        (DEFAULT_BASE, "https://api.runcomfy.net/prod/v2/balance"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/prod/v2/balance"),
        ("https://gateway.example.test/runcomfy/v1", "https://gateway.example.test/prod/v2/balance"),
    ],
)
def test_the_balance_is_at_a_host_of_its_own_for_the_real_service_only(base: str, balance: str) -> None:
    assert balance_url(URL(base)) == URL(balance)


@pytest.mark.parametrize(
    "base",
    [
        "",
        "model-api.runcomfy.net/v1",
        "ftp://model-api.runcomfy.net/v1",
        "https://",
        "https:///v1",
        "https://host:99999/v1",
        "https://user:secret@host/v1",
        "https://host/v1?x=1",
        "https://host/v1#x",
        "http://[::1/v1",
        "http://model-api.runcomfy.net/v1",
    ],
)
async def test_a_base_that_cannot_be_one_is_refused(base: str) -> None:
    with pytest.raises(UsageError, match="base address") as caught:
        await opened(base=base)
    assert "RUNCOMFY_MODEL_API_BASE" in caught.value.remedy


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "tokén", "a\x00"])
async def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(TokenError) as caught:
        await opened(token=token)
    assert "RUNCOMFY_TOKEN" in caught.value.remedy
    assert token.strip() == "" or token not in str(caught.value)


async def test_no_repr_shows_the_token() -> None:
    runcomfy = await opened()
    shown = "".join(repr(value) for value in [runcomfy, runcomfy._submits, runcomfy._submits._session.headers, vars(runcomfy)])
    assert "t0ken-of-mine" not in shown
    assert "model-api.runcomfy.net" in repr(runcomfy)


async def test_the_facts_claim_nothing_that_is_not_documented() -> None:
    facts = (await opened()).facts
    assert facts.name == "runcomfy"
    assert not facts.has_idempotency_keys
    assert not facts.can_look_up_requests
    assert not facts.can_cancel_running
    assert facts.refusal_statuses == frozenset(range(400, 500))


async def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://p.example.test:1080")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(UsageError, match="not an HTTP proxy"):
        await opened()


async def test_submits_have_as_many_connections_as_posts_may_be_in_flight_and_young_ones_only() -> None:
    async with open_runcomfy(DEFAULT_BASE, "t", RunSettings(posts_in_flight=7, concurrency=9), clock=FixedClock(), version="1") as runcomfy:
        submits, reads = runcomfy._submits._session, runcomfy._reads._session
        assert submits.connector is not reads.connector
        assert submits.connector is not None
        assert reads.connector is not None
        assert (submits.connector.limit, reads.connector.limit) == (7, 9)
        assert (submits.connector._keepalive_timeout or 0) <= 2
        assert runcomfy._submits._limit_s == RunSettings().submit_timeout_s
        assert reads.timeout.sock_read == RunSettings().read_timeout_s
