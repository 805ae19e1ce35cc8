from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import SAMPLES, environment, report, status, write_rows
from tests.support.preloaded import batcher, service

pytestmark = pytest.mark.acceptance

CANARY = "canary-5c1e77"
BROKEN = sorted(path for path in (SAMPLES / "broken").iterdir() if path.is_file() and path.suffix != ".md") if (SAMPLES / "broken").is_dir() else []


@pytest.fixture
def doorbell() -> Iterator[tuple[str, list[object]]]:
    """An address that counts who connects to it."""
    visits: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    visitor, address = server.accept()
                except OSError:
                    return
                visits.append(address)
                visitor.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", visits
        server.shutdown(socket.SHUT_RDWR)


def expected_words() -> dict[str, str]:
    """From the table of broken/README.md: a part of the message, by file."""
    lines = (SAMPLES / "broken" / "README.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return {name: words.strip("`") for name, _, words in cells if "." in name}


@pytest.mark.fault("F1", "F3", "F4", "F5", "F9", "F10", "X18")
@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.name)
def test_a_broken_manifest_says_what_is_wrong_and_sends_nothing(tmp_path: Path, path: Path, doorbell: tuple[str, list[object]]) -> None:
    base, visits = doorbell
    job = () if path.suffix == ".yaml" else ("--job", "background_replacement")
    env = {"RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": CANARY}
    refused = batcher("run", path, *job, "--out", tmp_path / "out", home=tmp_path, env=env)
    assert refused.returncode == 65, refused.stderr
    assert path.name in refused.stderr
    assert expected_words()[path.name] in refused.stderr
    assert "Traceback" not in refused.stderr
    assert visits == []
    assert not (tmp_path / "out").exists()


def test_every_broken_sample_is_in_the_table() -> None:
    assert len(BROKEN) >= 20
    assert {path.name for path in BROKEN} == set(expected_words())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "rows.csv", "--out", "out", "--job", "text_to_image"), 77, "RUNCOMFY_TOKEN"),
        (("run", "nothing.yaml", "--out", "out"), 66, "nothing.yaml"),
        (("run", "rows.csv", "--out", "out", "--simulate"), 65, "--job"),
        (("run", "rows.csv", "--out", "out", "--job", "text_to_imag", "--simulate"), 65, "text_to_image"),
        (("run", "rows.csv", "--out", "rows.csv", "--job", "text_to_image", "--simulate"), 73, "rows.csv"),
        (("run", "rows.csv"), 64, "--out"),
        (("run", "rows.csv", "--out", "out", "--no-such-flag"), 64, "--no-such-flag"),
        (("run", "rows.csv", "--out", "out", "--speed", "3"), 64, "--simulate"),
        (("run", "rows.csv", "--out", "out", "--simulate", "--fault", "nonsense"), 64, "nonsense"),
        (("run", "rows.csv", "--out", "out", "--job", "text_to_image", "--simulate", "--concurrency", "0"), 64, "concurrency"),
        (("run", "rows.csv", "--out", "out", "--job", "text_to_image", "--simulate", "--set", "prompt"), 64, "KEY=VALUE"),
        (("frobnicate",), 64, "frobnicate"),
        (("resume", "out"), 66, "no batch was run here"),
        (("retry", "out"), 64, "--failed"),
        (("status", "out"), 66, "no batch was run here"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_done_is_refused_with_its_code(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    write_rows(tmp_path / "rows.csv", 3)
    refused = batcher(*arguments, home=tmp_path)
    assert refused.returncode == code, refused.stderr
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out" / "results").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", 3)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refused = batcher("run", "rows.csv", "--job", "text_to_image", "--simulate", "--out", locked / "out", home=tmp_path)
    assert refused.returncode == 73


def test_a_rejected_token_ends_the_batch_resumable(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 20)
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "submit:400004:nth=5") as simulated:
        stopped = batcher("run", rows, "--job", "text_to_image", "--out", out, "--posts-in-flight", 1, home=tmp_path, env=simulated.env)
        assert stopped.returncode == 77, stopped.stderr
        assert report(out)["counts"] == {"done": 4, "failed": 0, "cancelled": 0, "in_doubt": 0, "open": 16}
        resumed = batcher("resume", out, home=tmp_path, env=simulated.env)
        assert resumed.returncode == 0, resumed.stderr
        assert simulated.bill()["accepted"] == 20


def test_no_balance_ends_the_batch_resumable(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 20)
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "submit:400002:nth=7") as simulated:
        stopped = batcher("run", rows, "--job", "text_to_image", "--out", out, "--posts-in-flight", 1, home=tmp_path, env=simulated.env)
        assert stopped.returncode == 75, stopped.stderr
        assert "balance" in stopped.stdout + stopped.stderr
        assert report(out)["counts"]["done"] == 6


def test_a_service_that_is_not_there_is_69_and_nothing_is_lost(tmp_path: Path) -> None:
    manifest = tmp_path / "batch.yaml"
    manifest.write_text("job: text_to_image\nrows: [{id: a, prompt: x}]\nrun: {outage_s: 1, backoff_ceiling_s: 0.2}\n", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    env = {"RUNCOMFY_MODEL_API_BASE": f"http://127.0.0.1:{port}/v1", "RUNCOMFY_TOKEN": CANARY}
    stopped = batcher("run", manifest, "--out", tmp_path / "out", home=tmp_path, env=env)
    assert stopped.returncode == 69, stopped.stderr
    assert status(tmp_path / "out", tmp_path)["planned"] == 1


def test_rows_in_doubt_are_told_and_settled_by_a_person(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 10)
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "submit:reset:accepted=true,nth=4") as simulated:
        flags = ("--job", "text_to_image", "--out", out, "--posts-in-flight", 1)
        ran = batcher("run", rows, *flags, home=tmp_path, env=simulated.env)
        assert ran.returncode == 1, ran.stderr
        assert "1 in doubt" in ran.stdout
        again = batcher("run", rows, *flags, home=tmp_path, env=simulated.env)
        assert again.returncode == 1
        assert simulated.bill()["accepted"] == 10
        settled = batcher("retry", out, "--in-doubt", "resubmit", home=tmp_path, env=simulated.env)
        assert settled.returncode == 0, settled.stderr
        assert simulated.bill()["accepted"] == 11


def test_failed_rows_are_retried_when_asked(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 6)
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "generation:fail:nth=2") as simulated:
        flags = ("--job", "text_to_image", "--out", out)
        ran = batcher("run", rows, *flags, home=tmp_path, env=simulated.env)
        assert ran.returncode == 1, ran.stderr
        assert report(out)["failures"][0]["kind"] == "generation_failed"
        assert batcher("run", rows, *flags, home=tmp_path, env=simulated.env).returncode == 1
        assert simulated.bill()["accepted"] == 6
        assert batcher("run", rows, *flags, "--retry-failed", home=tmp_path, env=simulated.env).returncode == 0
        assert simulated.bill()["accepted"] == 7


def test_the_token_is_in_nothing_that_a_run_leaves_behind(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 5)
    out = tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "status:500:first=3") as simulated:
        ran = batcher("run", rows, "--job", "text_to_image", "--out", out, "--log-json", home=tmp_path, env=simulated.env)
    assert ran.returncode == 0
    assert '"event": "Saved"' in ran.stderr
    left = [ran.stdout, ran.stderr, *(path.read_bytes().decode("latin-1") for path in out.rglob("*") if path.is_file())]
    assert not any(CANARY in text for text in left)


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| head -c 1"])
@pytest.mark.skipif(sys.platform == "win32", reason="a shell")
def test_nobody_listening_is_no_reason_to_stop(tmp_path: Path, redirect: str) -> None:
    rows = write_rows(tmp_path / "rows.csv", 5)
    out = tmp_path / "out"
    command = f"{sys.executable} -m batcher run {rows} --job text_to_image --simulate --latency-s 0 --art plain --out {out} {redirect}"
    ran = subprocess.run(["sh", "-c", command], env=environment(tmp_path), cwd=tmp_path, timeout=60, check=False, stderr=subprocess.PIPE)
    assert ran.returncode == 0
    assert b"Traceback" not in ran.stderr
    assert report(out)["counts"]["done"] == 5


def test_a_folder_that_lost_its_ledger_is_not_paid_for_again(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", 3)
    out = tmp_path / "out"
    flags = ("--job", "text_to_image", "--simulate", "--latency-s", 0, "--art", "plain", "--out", out)
    assert batcher("run", rows, *flags, home=tmp_path).returncode == 0
    for lose in (lambda path: path.write_bytes(b""), lambda path: path.unlink()):
        lose(out / "ledger.db")
        refused = batcher("run", rows, *flags, home=tmp_path)
        assert refused.returncode == 73, refused.stderr
        assert "not its ledger" in refused.stderr


@pytest.mark.parametrize("name", ["ledger.db", "owner.lock", ".simulator"])
@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_link_in_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    rows = write_rows(tmp_path / "rows.csv", 3)
    precious = tmp_path / "precious"
    precious.write_text("precious", "utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(precious)
    refused = batcher("run", rows, "--job", "text_to_image", "--simulate", "--out", tmp_path / "out", home=tmp_path)
    assert refused.returncode == 73, refused.stderr
    assert precious.read_text("utf-8") == "precious"
