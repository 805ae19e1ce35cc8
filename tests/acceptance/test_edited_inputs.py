"""Manifests and pictures that are edited between two runs: what was paid for is not paid for again unless the manifest asks for something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import results
from tests.support.preloaded import batcher, service
from tests.support.sample_bytes import picture

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("F8")]


def write(path: Path, rows: dict[str, str]) -> Path:
    path.write_text("id,prompt\n" + "".join(f"{name},{prompt}\n" for name, prompt in rows.items()), "utf-8")
    return path


def test_a_changed_row_is_announced_its_file_and_cost_are_kept_and_nothing_else_is_paid_again(tmp_path: Path) -> None:
    rows = {"a": "a red fox", "b": "an owl", "c": "a hare"}
    manifest, out = write(tmp_path / "rows.csv", rows), tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain") as simulated:

        def run() -> str:
            ran = batcher("run", manifest, "--job", "text_to_image", "--out", out, home=tmp_path, env=simulated.env)
            assert ran.returncode == 0, ran.stderr
            return ran.stderr

        run()
        first = {row["id"]: row for row in results(out)}
        assert simulated.bill()["accepted"] == 3

        write(manifest, {"c": rows["c"], "a": rows["a"], "b": rows["b"]})
        assert "3 as they were" in run()
        write(manifest, {"c": rows["c"], "b": rows["b"]})
        assert "1 no longer in the manifest" in run()
        write(manifest, rows)
        run()
        assert simulated.bill()["accepted"] == 3, "moved, left out and put back: nothing is paid again"

        write(manifest, {**rows, "b": "a white owl"})
        preview = batcher("plan", manifest, "--job", "text_to_image", "--out", out, home=tmp_path)
        assert "1 changed since the last run, to be run again" in preview.stdout
        assert simulated.bill()["accepted"] == 3
        assert "1 changed since the last run, to be run again" in run()
        assert simulated.bill()["accepted"] == 4
    again = {row["id"]: row for row in results(out)}
    assert again["a"] == {**first["a"], "row": again["a"]["row"], "source": again["a"]["source"]}
    assert again["b"]["cost_usd"] == pytest.approx(2 * first["b"]["cost_usd"]), "what the row cost before still counts"
    kept = [path.read_bytes() for path in (out / "results" / "earlier").iterdir()]
    assert len(kept) == 1
    assert (out / again["b"]["files"][0]["path"]).read_bytes() not in kept


def test_a_row_that_may_have_been_paid_for_cannot_be_changed(tmp_path: Path) -> None:
    manifest, out = write(tmp_path / "rows.csv", {"a": "a red fox"}), tmp_path / "out"
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "submit:reset:accepted=true,nth=1") as simulated:
        flags = ("--job", "text_to_image", "--out", out)
        assert batcher("run", manifest, *flags, home=tmp_path, env=simulated.env).returncode == 1
        write(manifest, {"a": "a grey fox"})
        refused = batcher("run", manifest, *flags, home=tmp_path, env=simulated.env)
        assert refused.returncode == 65
        assert "rows.csv:2: row 'a' was changed while it is in_doubt" in refused.stderr
        assert simulated.bill()["accepted"] == 1


@pytest.mark.fault("F9")
def test_a_picture_that_was_edited_since_the_plan_is_not_sent(tmp_path: Path) -> None:
    photo, out = tmp_path / "mug.png", tmp_path / "out"
    photo.write_bytes(picture(seed=1))
    manifest = tmp_path / "batch.yaml"
    manifest.write_text("job: background_replacement\nrows: [{id: mug, image: mug.png, background: a beach}]\n", "utf-8")
    with service(tmp_path, "--latency-s", 0, "--art", "plain", "--fault", "submit:400004:first=1") as simulated:
        assert batcher("run", manifest, "--out", out, home=tmp_path, env=simulated.env).returncode == 77
        photo.write_bytes(picture(seed=2))
        resumed = batcher("resume", out, home=tmp_path, env=simulated.env)
        assert resumed.returncode == 1, resumed.stderr
        assert simulated.bill()["accepted"] == 0
        (row,) = results(out)
        assert row["failure"]["kind"] == "input_changed"
        assert "mug.png is not the file that was planned" in row["failure"]["message"]
        assert batcher("run", manifest, "--out", out, home=tmp_path, env=simulated.env).returncode == 0
        assert simulated.bill()["accepted"] == 1
