from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

from batcher import app, errors
from batcher.ledger import LedgerReader, SqliteLedger
from batcher.model import Artifact, Failure, FailureKind, Job, State
from batcher.report import result_row, write_report
from tests.support.engine_world import make_spec

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "sample_manifests").rglob("*.md")])
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_script("generate_reference")


@pytest.fixture(scope="module")
def generated(generator: ModuleType) -> dict[Path, str]:
    return dict(generator.generated())


@pytest.mark.parametrize("name", ["commands.md", "jobs.md", "settings.md", "results.md", "results.schema.json", "report.schema.json"])
def test_generated_reference_is_up_to_date(generated: dict[Path, str], name: str) -> None:
    path = REFERENCE / name
    assert path.is_file(), f"{name} is missing: run python scripts/generate_reference.py"
    assert path.read_text("utf-8") == generated[path], f"{name} is out of date: run python scripts/generate_reference.py"


def test_every_generated_file_is_tested(generated: dict[Path, str]) -> None:
    assert {path.name for path in generated} == {
        "commands.md", "jobs.md", "settings.md", "results.md", "results.schema.json", "report.schema.json", "reliability.md",
    }  # fmt: skip


def test_every_field_of_the_settings_is_explained() -> None:
    for name in ("settings.md", "jobs.md"):
        rows = [line.split(" | ") for line in (REFERENCE / name).read_text("utf-8").splitlines() if line.startswith("| `")]
        assert rows
        assert [row[0] for row in rows if not row[-1].strip(" |")] == []


def job(**changes: object) -> Job:
    return Job(1, make_spec("mug"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ended",
    [
        job(),
        job(state=State.DONE, attempts=1, artifacts=(Artifact("results/mug.png", "0" * 64, 10, "image/png", 8, 8),), cost_usd=0.08),
        job(state=State.FAILED, attempts=1, failure=Failure(FailureKind.GENERATION_FAILED, "it failed", "try again")),
    ],
    ids=["planned", "done", "failed"],
)
def test_result_rows_keep_to_their_schema(ended: Job) -> None:
    schema = json.loads((REFERENCE / "results.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(result_row(ended).model_dump_json()), schema, jsonschema.Draft202012Validator)


async def test_a_report_keeps_to_its_schema(tmp_path: Path) -> None:
    schema = json.loads((REFERENCE / "report.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    ledger = SqliteLedger(tmp_path / "ledger.db")
    try:
        await ledger.plan([make_spec("mug"), make_spec("vase")])
        with LedgerReader(tmp_path / "ledger.db") as reader:
            assert write_report(tmp_path, reader, 1_800_000_000.0).rows == 2
    finally:
        await ledger.aclose()
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text("utf-8")), schema, jsonschema.Draft202012Validator)


def test_every_exit_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", (REFERENCE / "exit-codes.md").read_text("utf-8"), re.MULTILINE)}
    raised = {each.exit_code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.BatcherError)}
    assert raised | set(app.REASON_CODES.values()) | {0, 1} <= documented


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = (page.parent / path) if path else page
        assert found.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{page.name} links to {target}, which has no such heading"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
