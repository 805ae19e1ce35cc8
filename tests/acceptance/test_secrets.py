"""The token is nowhere but in the header of a request: everything that runs leave behind is searched for it, in every form that is easily read."""

from __future__ import annotations

import base64
import os
import re
import signal
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.command import AT_STARTUP, Service, report, results, start, wait_until
from tests.support.preloaded import batcher, service

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("G4")]

TOKEN = "Canary+5c1e77/Ab9-Zq=="
BASE64 = base64.b64encode(f"Bearer {TOKEN}".encode()).decode()
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in TOKEN)
CORE = base64.b64encode(b"Bearer " + TOKEN.encode()).decode()[12:-4]
FORMS = tuple(form.lower().encode() for form in (TOKEN, quote(TOKEN, safe=""), quote(quote(TOKEN, safe="")), ESCAPED, TOKEN.encode().hex(), CORE))

ECHOES = {
    "refusal": f'submit:422:body={{"error_code": "422000", "error_message": "you sent Authorization: Bearer {TOKEN}"}}',
    "page": f"submit:500:body=<html><title>Bearer {quote(TOKEN, safe='')}</title></html>",
    "encoded": f'submit:422:body={{"detail": "{BASE64} {ESCAPED}"}}',
    "number": f"submit:set:field=request_id,value={TOKEN}",
    "word": f"status:set:first=1,per=request,field=status,value={TOKEN}",
    "link": f'result:set:field=output,value={{"images": ["http://127.0.0.1:9/{quote(TOKEN, safe="")}.png?key={TOKEN}"]}}',
    "reason": f"generation:fail:error=rejected for {TOKEN}",
    "delay": "status:hang:first=1,per=request",
}
"""What the service says to each row, by a word in its prompt."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    flags = [flag for word, fault in ECHOES.items() for flag in ("--fault", fault + (",contains=" if fault.count(":") > 1 else ":contains=") + word)]
    with service(tmp_path_factory.mktemp("service"), "--latency-s", 0.05, "--art", "plain", *flags) as running:
        yield running


def manifest(home: Path, words: Iterable[str]) -> Path:
    rows = "".join(f"  - {{id: row-{word}, prompt: {word} in {home.name}}}\n" for word in words)
    path = home / "batch.yaml"
    path.write_text(f"job: text_to_image\nrun: {{download_attempts: 1}}\nrows:\n{rows}", "utf-8")
    return path


def environ(home: Path, simulated: Service, **more: str) -> dict[str, str]:
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    debugging = {"PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "ignore"}
    return {**simulated.env, **debugging, "RUNCOMFY_TOKEN": TOKEN, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(home / "cache"), **more}


def search(home: Path, *said: str, at_least: int = 2) -> None:
    """Every file under `home`, `at_least` so many, and what was said: nothing holds the token."""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) >= at_least
    for name, content in [*((str(path), path.read_bytes()) for path in files), *(("output", text.encode()) for text in said)]:
        for form in FORMS:
            assert form not in content.lower(), f"{name}: {form!r}"
            assert form not in re.sub(rb"[\n\r ]", b"", content.lower()), f"{name}: {form!r}"


def test_a_service_that_echoes_it_a_kill_and_an_end(tmp_path: Path, simulated: Service) -> None:
    env = environ(tmp_path, simulated)
    running = start("run", manifest(tmp_path, ECHOES), "--out", tmp_path / "out", "--log-json", home=tmp_path, env=env)
    wait_until(lambda: simulated.bill()["faults"].get("status:hang", 0) > 0, "a poll without an answer")
    if sys.platform == "linux":
        assert TOKEN not in Path(f"/proc/{running.pid}/cmdline").read_text()
    running.kill()
    said = running.communicate()
    search(tmp_path, *said)
    ended = batcher("resume", tmp_path / "out", "--log-json", home=tmp_path, env=env)
    assert ended.returncode == 1, ended.stderr
    search(tmp_path, ended.stdout, ended.stderr)
    told = {row["id"]: row for row in results(tmp_path / "out")}
    assert told["row-refusal"]["failure"]["message"].endswith("Bearer ***")
    assert told["row-number"]["state"] == told["row-page"]["state"] == "in_doubt"
    assert "***" in told["row-reason"]["failure"]["message"]
    assert told["row-word"]["state"] == told["row-delay"]["state"] == "done"
    assert told["row-link"]["state"] == "failed"
    assert simulated.bill()["downloads_with_credentials"] == 0


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_what_is_private_is_readable_by_the_owner_only(tmp_path: Path, simulated: Service) -> None:
    ended = batcher("run", manifest(tmp_path, ["plain"]), "--out", tmp_path / "out", home=tmp_path, env=environ(tmp_path, simulated))
    assert ended.returncode == 0, ended.stderr
    assert stat.S_IMODE((tmp_path / "out" / "ledger.db").stat().st_mode) == 0o600
    search(tmp_path, ended.stdout, ended.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param({"CRASH_AT": "open .results.jsonl."}, 70, id="crash-in-the-report"),
        pytest.param({"CRASH_AT": "socket.connect 127.0.0.1"}, None, id="crash-in-a-call"),
        pytest.param({"SIGNALS_AT": f"open .batcher- 1 {int(signal.SIGTERM)}"}, None, id="stopped"),
    ],
)
def test_an_end_that_nobody_expected(tmp_path: Path, simulated: Service, more: dict[str, str], code: int | None) -> None:
    env = environ(tmp_path, simulated, PYTHONPATH=AT_STARTUP, **more)
    ended = batcher("run", manifest(tmp_path, ["plain"]), "--out", tmp_path / "out", "--log-json", home=tmp_path, env=env)
    assert code is None or (ended.returncode == code and "ZeroDivisionError: planted" in ended.stderr)
    search(tmp_path, ended.stdout, ended.stderr)


def test_a_token_that_is_rejected(tmp_path: Path) -> None:
    settings = tmp_path / "service" / "settings.yaml"
    settings.parent.mkdir()
    settings.write_text("token: another\n", "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    with service(settings.parent, "--art", "plain", "--simulator-settings", settings) as simulated:
        env = environ(home, simulated)
        ended = batcher("run", manifest(home, ["plain"]), "--out", home / "out", "--log-json", home=home, env=env)
        models = batcher("models", home=home, env=env)
    assert (ended.returncode, models.returncode) == (77, 77)
    assert report(home / "out")["counts"]["open"] == 1
    search(home, ended.stdout, ended.stderr, models.stdout, models.stderr)


@pytest.mark.parametrize("token", [f"{TOKEN}\nX-Evil: 1", f"{TOKEN} two", f"{TOKEN}é"], ids=["newline", "space", "not-ascii"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(tmp_path: Path, simulated: Service, token: str) -> None:
    env = environ(tmp_path, simulated, RUNCOMFY_TOKEN=token)
    ended = batcher("run", manifest(tmp_path, ["plain"]), "--out", tmp_path / "out", home=tmp_path, env=env)
    assert ended.returncode == 77
    assert "holds characters that no token has" in ended.stderr
    search(tmp_path, ended.stdout, ended.stderr, at_least=1)


def test_an_address_with_a_password_is_refused_and_not_kept(tmp_path: Path, simulated: Service) -> None:
    env = environ(tmp_path, simulated, RUNCOMFY_MODEL_API_BASE=f"http://me:{quote(TOKEN, safe='')}@127.0.0.1:9/v1")
    ended = batcher("run", manifest(tmp_path, ["plain"]), "--out", tmp_path / "out", home=tmp_path, env=env)
    assert ended.returncode == 64
    assert "without a name" in ended.stderr
    search(tmp_path, ended.stdout, ended.stderr, at_least=1)
