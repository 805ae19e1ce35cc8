"""What strangers write, in manifests, in names and in answers of the service, on its way to a terminal and to logs."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batcher.cli import commands
from tests.support.command import report, results
from tests.support.preloaded import batcher

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("G3")]

HOSTILE = "boom\nFAKE: all rows done\r\x1b[2K\x1b]0;title\x07\x9b31m\x1b[8m\u202egnp\u2066\u200b\u2028FAKE: again [bold red]:smile:[/] <script>=1+1"
"""Line breaks of every kind, sequences that a terminal obeys (7 and 8 bit), marks that turn text round or hide it, markup."""

WRONG_MODEL = "job: text_to_image\nrows: [{id: a, prompt: x}, {id: b, prompt: y}]\n"


def assert_harmless(*texts: str) -> None:
    for text in texts:
        raw = {character for character in text if character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert raw == set()
        assert not [line for line in text.splitlines() if line.startswith("FAKE")]
        assert "Traceback" not in text


def settings(tmp_path: Path, *faults: dict[str, Any]) -> Path:
    path = tmp_path / "simulator.yaml"
    path.write_text(json.dumps({"art": "plain", "latency_s": 0, "faults": faults}), "utf-8")
    return path


def test_words_of_the_service_cannot_move_the_cursor_or_fake_a_line(tmp_path: Path) -> None:
    faults = settings(
        tmp_path,
        {"call": "submit", "fault": "422", "message": HOSTILE, "contains": "refused"},
        {"call": "generation", "fault": "fail", "error": HOSTILE, "contains": "broken"},
    )
    rows = [{"id": name, "prompt": f"{name} {HOSTILE}"} for name in ("refused", "broken", "good")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    out = tmp_path / "out"
    flags = ("--job", "text_to_image", "--simulate", "--simulator-settings", faults, "--out", out)
    ran = batcher("run", "rows.jsonl", *flags, home=tmp_path)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.count("boom FAKE: all rows done") == 2, "the words are told, on one line"
    assert "[bold red]:smile:[/]" in ran.stdout, "what looks like markup is text"
    assert_harmless(ran.stdout, ran.stderr)
    written = [batcher("report", out, home=tmp_path), batcher("status", out, home=tmp_path)]
    assert_harmless(*(each.stdout + each.stderr for each in written))
    assert {row["state"] for row in results(out)} == {"failed", "done"}
    assert report(out)["counts"]["failed"] == 2
    for name in ("results.jsonl", "report.json"):
        raw = (out / name).read_bytes()
        assert_harmless(raw.decode())


def test_the_log_has_one_whole_line_of_json_for_each_event_and_troubles_are_harmless(tmp_path: Path) -> None:
    faults = settings(tmp_path, {"call": "submit", "fault": "400004", "message": HOSTILE})
    (tmp_path / "batch.yaml").write_text(WRONG_MODEL, "utf-8")
    ran = batcher("run", "batch.yaml", "--simulate", "--simulator-settings", faults, "--out", tmp_path / "out", "--log-json", home=tmp_path)
    assert ran.returncode == 77, ran.stderr
    assert_harmless(ran.stdout, ran.stderr)
    *logged, said = [line for line in ran.stderr.splitlines() if line.startswith(("{", "batcher:"))]
    assert said.startswith("batcher: ")
    assert "boom" in said
    assert all("at" in json.loads(line) for line in logged)
    assert any("boom" in line for line in logged)


def test_words_of_a_manifest_and_its_name_cannot_either(tmp_path: Path) -> None:
    name = "evil\x1b[31m\nFAKE: \u202e.jsonl"
    rows: list[dict[str, Any]] = [
        {"id": HOSTILE, "prompt": "x"},
        {"id": "a", HOSTILE: "x", "prompt": "x"},
        {"id": "b", "prompt": {HOSTILE: 1}},
        {"id": "c", "prompt": "{" + HOSTILE + "}"},
        {"id": "d", "prompt": "x", "aspect_ratio": HOSTILE},
    ]
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    planned = batcher("plan", name, "--job", "text_to_image", home=tmp_path)
    assert planned.returncode == 65
    assert_harmless(planned.stdout, planned.stderr)
    assert planned.stderr.count("evil") == len(planned.stderr.splitlines()) - 2, "one line for each fault, and two of ours"
    for arguments in (("plan", HOSTILE), ("status", HOSTILE), ("plan", name, "--job", "x", HOSTILE)):
        refused = batcher(*arguments, home=tmp_path)
        assert refused.returncode in (64, 66)
        if arguments[-1] == HOSTILE and len(arguments) > 2:  # Typer's own words about the command line: without what a terminal obeys
            assert not {"\x1b", "\r", "\x07", "\x9b"} & set(refused.stderr)
        else:
            assert_harmless(refused.stdout, refused.stderr)


def test_the_catalog_is_shown_as_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def listed(*_: object, **__: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(model_id=HOSTILE, kind=HOSTILE, base_price_usd=1.0, price_unit=HOSTILE)]

    monkeypatch.setattr("batcher.catalog.list_models", listed)
    monkeypatch.setenv("COLUMNS", "2000")
    commands.models(simulate=True)
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert shown.count("[bold red]:smile:[/]") == 3
