"""A system call that fails, or that the process does not survive: no hang, no POST without its intent, no row paid twice, and a resume completes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_checks import checker
from tests.support.injection import KILL, Prober, table
from tests.support.preloaded import Nursery, nursery
from tests.support.system_calls import needs_strace

EIO, ENOSPC, EDQUOT = "error=EIO", "error=ENOSPC", "error=EDQUOT"

pytestmark = [pytest.mark.acceptance, pytest.mark.no_cover, needs_strace, pytest.mark.fault("X4")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("call", "fault", "beginning", "first", "step", "at_least"),
    [
        pytest.param("fdatasync", EIO, "plan", 2, 3, 5, marks=pytest.mark.fault("B3")),
        pytest.param("fdatasync", EIO, "manifest", 2, 4, 3, marks=pytest.mark.fault("B3")),
        pytest.param("fdatasync", KILL, "plan", 2, 4, 3, marks=pytest.mark.fault("A1")),
        pytest.param("fsync", EIO, "plan", 1, 4, 2, marks=pytest.mark.fault("B3")),
        pytest.param("fsync", EIO, "done", 1, 1, 2, marks=pytest.mark.fault("B3")),
        pytest.param("fsync", KILL, "plan", 2, 4, 2, marks=pytest.mark.fault("A1")),
        pytest.param("pwrite64", ENOSPC, "plan", 3, 36, 4, marks=pytest.mark.fault("B2")),
        pytest.param("pwrite64", ENOSPC, "manifest", 7, 60, 2, marks=pytest.mark.fault("B2")),
        pytest.param("pwrite64", EDQUOT, "plan", 39, 60, 2, marks=pytest.mark.fault("B11")),
        pytest.param("pwrite64", EIO, "plan", 20, 40, 2, marks=pytest.mark.fault("B3")),
        pytest.param("pwrite64", KILL, "plan", 10, 45, 2, marks=pytest.mark.fault("A1")),
        pytest.param("write", ENOSPC, "plan", 1, 2, 3, marks=pytest.mark.fault("B1")),
        pytest.param("rename", EIO, "plan", 1, 2, 2, marks=pytest.mark.fault("B3")),
        pytest.param("rename", KILL, "plan", 1, 1, 2, marks=pytest.mark.fault("A1")),
        pytest.param("ftruncate", EIO, "manifest", 1, 1, 2, marks=pytest.mark.fault("B3")),
        pytest.param("sendto", EIO, "plan", 1, 6, 2),
        pytest.param("sendto", KILL, "plan", 1, 5, 2, marks=pytest.mark.fault("A1")),
    ],
)
def test_a_call_goes_wrong(home: Nursery, tmp_path: Path, call: str, fault: str, beginning: str, first: int, step: int, at_least: int) -> None:
    with checker() as checks:
        findings = list(Prober(home, tmp_path, checks).points(beginning, call, fault, first, step))
    print("\n".join(table(findings)))
    assert not [f"{finding.point}: {wrong}" for finding in findings for wrong in finding.wrong]
    if fault in (ENOSPC, EDQUOT):
        assert not any(finding.in_doubt for finding in findings), "there is room for the ids of what was paid for"
    assert len(findings) >= at_least, "the batch outran the first points: nothing was tried"


def test_a_ledger_that_takes_no_notice_of_errors_is_noticed(home: Nursery, tmp_path: Path) -> None:
    with checker() as checks:
        careless = Prober(home, tmp_path, checks, altered="errors of the ledger ignored")
        findings = careless.points("plan", "fdatasync", EIO, first=4)
        assert any(wrong.startswith("a POST without its intent") for finding in findings for wrong in finding.wrong)
