"""The gallery and the table as the command line writes them: beside the report, and never in its way."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from batcher.app import _show_gallery
from batcher.model import ExitReason
from batcher.observe import NoView
from batcher.report import Report
from batcher.stopping import Stopper
from tests.support.command import REPOSITORY, report, wait_until, write_rows
from tests.support.preloaded import batcher

pytestmark = pytest.mark.acceptance

QUICK = ("--simulate", "--latency-s", "0", "--art", "plain", "--job", "text_to_image")


class Said(NoView):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ran")
    done = batcher("run", write_rows(home / "rows.csv", 3), "--out", "out", *QUICK, home=home)
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert f"Gallery:  {Path('out', 'report.html')}" in done.stdout
    return home


def test_a_run_writes_it_and_a_plan_does_not(ran: Path, tmp_path: Path) -> None:
    assert (ran / "out" / "report.html").is_file()
    assert len(list((ran / "out" / "report" / "thumbnails").rglob("*.webp"))) >= 1
    planned = batcher("plan", write_rows(tmp_path / "rows.csv", 3), "--out", "out", "--job", "text_to_image", home=tmp_path)
    assert planned.returncode == 0
    assert [path.name for path in tmp_path.iterdir() if path.name == "out"] == []


def test_it_can_be_left_out(tmp_path: Path) -> None:
    done = batcher("run", write_rows(tmp_path / "rows.csv", 2), "--out", "out", "--no-gallery", *QUICK, home=tmp_path)
    assert done.returncode == 0
    assert "Gallery" not in done.stdout
    assert not (tmp_path / "out" / "report").exists()
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.fault("B1")
def test_where_it_cannot_be_written_the_run_is_as_good_as_ever(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report").write_text("a file of somebody's")
    done = batcher("run", write_rows(tmp_path / "rows.csv", 2), "--out", "out", *QUICK, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report.html could not be written" in done.stderr.replace("\n", " ")
    assert report(tmp_path / "out")["counts"]["done"] == 2
    assert (tmp_path / "out" / "report").read_text() == "a file of somebody's"


def test_a_table_goes_to_standard_output_alone(ran: Path) -> None:
    done = batcher("report", "out", "--csv", "-", home=ran)
    assert done.returncode == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["id"] for row in rows] == ["row0000", "row0001", "row0002"]
    assert "3 of 3 rows done" in done.stderr
    assert not (ran / "-").exists()
    assert batcher("report", "out", "--csv", "rows out.csv", home=ran).returncode == 0
    assert list(csv.DictReader(io.StringIO((ran / "rows out.csv").read_text("utf-8-sig")))) == rows


def test_it_is_shown_in_a_browser(ran: Path) -> None:
    seen = ran / "seen"
    command = ran / "look"
    command.write_text(f'#!/bin/sh\necho "$1" > "{seen}.part"; mv "{seen}.part" "{seen}"\n')
    command.chmod(0o700)
    done = batcher("report", "out", "--open", home=ran, env={"BROWSER": f"{command} %s"})
    assert done.returncode == 0, done.stderr
    wait_until(seen.is_file, "the browser")
    assert seen.read_text().strip() == (ran / "out" / "report.html").as_uri()


@pytest.mark.fault("A5")
def test_whoever_asks_twice_to_leave_does_not_wait_for_it(ran: Path) -> None:
    written = Report.model_validate_json((ran / "out" / "report.json").read_bytes())
    page = ran / "out" / "report.html"
    before = page.stat().st_mtime_ns
    stopper, view = Stopper(), Said()
    stopper.stop(ExitReason.INTERRUPTED)
    stopper.stop(ExitReason.INTERRUPTED)
    assert _show_gallery(ran / "out", written, view, stopper) is None
    assert page.stat().st_mtime_ns == before
    assert view.lines == []


@pytest.mark.fault("A5")
def test_a_stop_while_it_is_written_leaves_the_page_that_was_there(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Report.model_validate_json((ran / "out" / "report.json").read_bytes())
    page = ran / "out" / "report.html"
    before = page.read_bytes()
    stopper, view = Stopper(), Said()
    monkeypatch.setattr(
        "batcher.report.gallery.writing.enter", lambda folder: stopper.stop(ExitReason.INTERRUPTED) if folder.name == "rows" else None
    )
    assert _show_gallery(ran / "out", written, view, stopper) == page
    assert page.read_bytes() == before
    assert view.lines == [f"The gallery has not all of its small pictures yet: batcher report {ran / 'out'} makes them."]


def test_the_folder_is_described() -> None:
    text = (REPOSITORY / "docs" / "reference" / "output-folder.md").read_text("utf-8")
    for name in ("`report.html`", "`report/`", "`rows/`", "`thumbnails/`"):
        assert name in text
