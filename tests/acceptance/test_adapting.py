"""A service that takes fewer requests at once than the batch would like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import report
from tests.support.preloaded import batcher

pytestmark = pytest.mark.acceptance

ROWS, CAPACITY = 100, 20


@pytest.mark.fault("C8", "C17")
def test_a_run_settles_below_what_the_service_refuses_and_says_so(tmp_path: Path) -> None:
    manifest, out = tmp_path / "rows.csv", tmp_path / "out"
    manifest.write_text("id,prompt\n" + "".join(f"row{n},thing {n}\n" for n in range(ROWS)), "utf-8")
    service = ("--simulate", "--capacity", CAPACITY, "--slots", 100, "--latency-s", 0.3, "--art", "plain")
    ended = batcher("run", manifest, "--job", "text_to_image", "--out", out, "--concurrency", 64, "--log-json", *service, home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = report(out)
    assert told["counts"]["done"] == ROWS
    assert told["requests"]["submits"] - ROWS < 40, "the rows that were refused"
    changes = told["concurrency"]
    # Requests that have ended and were not polled since count as being there: so it may come out above what the service takes.
    assert CAPACITY // 2 < changes[-1]["limit"] < 2 * CAPACITY
    lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert [line["notice"] for line in lines if "notice" in line] == [
        f"At most {change['limit']} requests at the service at once: {change['reason']}." for change in changes
    ]
